//! Five mounts of five kinds: what is written on one side is read on the other, and detaching leaves
//! nothing, however often.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

use super::vm::{Vm, digest_of, digest_of_bytes, noise, said};
use super::{number, turn};
use crate::command::Cvol;
use crate::samba::{Samba, USER};

/// A store, folders and a server for five mounts.
pub(super) struct Five {
    pub(super) cvol: Cvol,
    samba: Samba,
}

impl Five {
    /// `None` where a program is absent (a failure in CI).
    pub(super) fn new() -> Option<Self> {
        let samba = Samba::start()?;
        let cvol = Cvol::new();
        for name in ["tree", "read", "write"] {
            fs::create_dir(cvol.work().join(name)).unwrap();
        }
        fs::write(cvol.work().join("tree/first"), noise(1, 300_000)).unwrap();
        fs::write(cvol.work().join("read/second"), noise(2, 200_000)).unwrap();
        fs::write(samba.data().join("third"), noise(3, 100_000)).unwrap();
        let tree = cvol.work().join("tree").display().to_string();
        cvol.ok(&["create", "data", "--size", "64M", "--from", &tree]);
        let password = cvol.work().join("password");
        fs::write(&password, samba.password()).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        // This host reaches the server by another address than the guest, so nothing is checked.
        cvol.ok(&[
            "create",
            "team",
            "--type",
            "smb",
            "--source",
            &samba.source_for_guest("data"),
            "--username",
            USER,
            "--password-file",
            &password.display().to_string(),
            "--no-check",
        ]);
        fs::remove_file(password).unwrap();
        Some(Self { cvol, samba })
    }

    pub(super) fn mounts(&self) -> Vec<String> {
        let folder = |name: &str| self.cvol.work().join(name).display().to_string();
        vec![
            "source=data,target=/m/data".to_owned(),
            format!(
                "type=bind,source={},target=/m/read,readonly",
                folder("read")
            ),
            format!("type=bind,source={},target=/m/write", folder("write")),
            "source=team,target=/m/team".to_owned(),
            "type=tmpfs,target=/m/memory,size=8M".to_owned(),
        ]
    }

    pub(super) fn attach(&self, vm: &Vm<'_>) {
        let mounts = self.mounts();
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
        vm.attach(&mounts);
    }

    fn written(&self) -> PathBuf {
        self.cvol.work().join("write")
    }
}

#[test]
fn five_mounts_of_five_kinds_come_and_go_and_hold_what_was_written_on_either_side() {
    let _turn = turn();
    let Some(five) = Five::new() else { return };
    let Some(vm) = Vm::boot(&five.cvol, "web") else {
        return;
    };
    let before = vm.state();
    let rounds = number("CVOL_ATTACH_ROUNDS", 3);
    let begun = Instant::now();
    for round in 0..rounds {
        five.attach(&vm);
        read_both_ways(&five, &vm, round);
        vm.detach_all();
        at_rest(&five, round);
        if round == 0 || round + 1 == rounds {
            assert_eq!(vm.state(), before, "round {round}");
            vm.assert_nothing_attached();
        }
    }
    let each = begun.elapsed().as_secs_f64() / f64::from(u32::try_from(rounds).unwrap());
    println!("{rounds} rounds of five mounts, {each:.2} s each with all that was looked at");
    shown_while_attached(&five, &vm);
}

fn read_both_ways(five: &Five, vm: &Vm<'_>, round: usize) {
    let seed = u64::try_from(round).unwrap();
    for (path, expected) in [
        ("/m/data/first", noise(1, 300_000)),
        ("/m/read/second", noise(2, 200_000)),
        ("/m/team/third", noise(3, 100_000)),
    ] {
        assert_eq!(vm.digest(path), digest_of_bytes(&expected), "{path}");
    }
    let from_host = five.written().join("from-host");
    fs::write(&from_host, noise(100 + seed, 50_000)).unwrap();
    assert_eq!(vm.digest("/m/write/from-host"), digest_of(&from_host));
    // What is read-only is that, and memory holds what it was given.
    let refused = vm.try_sh("echo x > /m/read/new");
    assert!(!refused.status.success(), "{}", said(&refused));
    let digests = vm.sh(
        "dd if=/dev/urandom of=/m/memory/x bs=1k count=64 2>/dev/null
         for place in data write team; do cp /m/memory/x /m/$place/from-guest; done
         dd if=/dev/zero of=/m/memory/full bs=1M count=9 2>/dev/null && exit 1
         sha256sum /m/memory/x | cut -d ' ' -f 1 > /m/write/digest",
    );
    assert_eq!(digests, "");
    let digest = fs::read_to_string(five.written().join("digest")).unwrap();
    let digest = digest.trim();
    assert_eq!(digest_of(&five.written().join("from-guest")), digest);
    assert_eq!(digest_of(&five.samba.data().join("from-guest")), digest);
}

/// What the guest wrote to the volume is in it when it is detached, and nothing is wrong with it.
fn at_rest(five: &Five, round: usize) {
    let read = five.cvol.output(&["cat", "data:/from-guest"]);
    assert!(read.status.success(), "round {round}: {}", said(&read));
    let digest = fs::read_to_string(five.written().join("digest")).unwrap();
    assert_eq!(
        digest_of_bytes(&read.stdout),
        digest.trim(),
        "round {round}"
    );
    five.cvol.ok(&["check", "data"]);
}

/// The password of the share is in no file of the store, nor in the words or environment of any process,
/// here or in the guest.
fn password_is_nowhere(five: &Five, vm: &Vm<'_>) {
    let canary = five.samba.password().as_bytes();
    let holds = |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary);
    let mut folders = vec![five.cvol.root()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files += 1;
                assert!(!holds(&fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    }
    assert!(files > 5, "{files}");
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        if process.ends_with(&own) {
            continue;
        }
        for part in ["cmdline", "environ"] {
            // Others come and go, and some may not be looked at.
            let told = fs::read(process.join(part)).unwrap_or_default();
            assert!(!holds(&told), "{}", process.display());
        }
    }
    let guest =
        vm.sh("cat /proc/mounts /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; dmesg");
    assert!(!holds(guest.as_bytes()), "in the guest");
}

/// What `ps`, `ls` and `inspect` say, and what is refused meanwhile.
fn shown_while_attached(five: &Five, vm: &Vm<'_>) {
    five.attach(vm);
    let told = vm.ps();
    let attachment = &told[0];
    assert_eq!(attachment["machine"], "web");
    let mounts = attachment["mounts"].as_array().unwrap();
    let targets: Vec<&str> = mounts
        .iter()
        .map(|mount| mount["target"].as_str().unwrap())
        .collect();
    assert_eq!(
        targets,
        ["/m/data", "/m/read", "/m/write", "/m/team", "/m/memory"]
    );
    assert!(mounts.iter().all(|mount| mount["state"] == "attached"));
    password_is_nowhere(five, vm);
    assert_eq!(mounts[0]["volume"], "data");
    assert_eq!(mounts[0]["served"], true);
    assert_eq!(mounts[1]["read_only"], true);
    let listed = five.cvol.ok(&["ls"]);
    assert!(listed.contains("web:rw"), "{listed}");
    for words in [
        &["rm", "data"][..],
        &["rm", "--force", "data"],
        &["resize", "data", "+1M"],
        &["compact", "data"],
        &["snapshot", "create", "data@x"],
        &["cat", "data:/first"],
    ] {
        let error = five.cvol.fails(5, words);
        assert!(error.contains("machine web"), "{words:?}: {error}");
    }
    // A mount that was taken is refused, and changes nothing.
    let again = vm.try_attach(&["type=tmpfs,target=/m/memory"]);
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    assert_eq!(vm.ps(), told);
    // One alone can go.
    five.cvol.ok(&["detach", "--vm", "web", "/m/data"]);
    five.cvol.ok(&["cat", "data:/first"]);
    let number = attachment["attachment"].to_string();
    five.cvol
        .ok(&["detach", "--vm", "web", "--attachment", &number]);
    vm.assert_nothing_attached();
    let error = five.cvol.fails(3, &["detach", "--vm", "web", "/m/data"]);
    assert!(error.contains("nothing is attached"), "{error}");
}
