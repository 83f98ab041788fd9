//! A machine that `cvol vm run` started, and what can be asked of it and of its store.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::command::Cvol;
use crate::tools;

/// A machine, which ends with the value.
pub(super) struct Vm<'c> {
    pub(super) cvol: &'c Cvol,
    pub(super) name: String,
}

/// What a machine is made of; `None` where something of it is absent (a failure in CI).
pub(super) fn pieces() -> Option<(PathBuf, PathBuf)> {
    static PIECES: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    PIECES
        .get_or_init(|| {
            if !tools::needs(&["qemu-system-x86_64"]) {
                return None;
            }
            let guest = tools::made_by_setup("CVOL_GUEST", "guest");
            let agent = tools::made_by_setup("CVOL_GUEST_AGENT", "agent/cvol-guest-agent");
            for (what, path) in [
                ("kernel to boot", guest.join("vmlinuz")),
                ("agent", agent.clone()),
            ] {
                if !path.is_file() {
                    tools::absent(&format!("{what} at {}", path.display()));
                    return None;
                }
            }
            Some((guest, agent))
        })
        .clone()
}

impl<'c> Vm<'c> {
    /// Boots a machine of this name; `None` where that cannot be done here (a failure in CI).
    pub(super) fn boot(cvol: &'c Cvol, name: &str) -> Option<Self> {
        let (guest, agent) = pieces()?;
        let begun = Instant::now();
        let output = cvol
            .command(&["vm", "run", "--name", name, "--detach", "--accel", "tcg"])
            .env("CVOL_GUEST", guest)
            .env("CVOL_GUEST_AGENT", agent)
            .output()
            .unwrap();
        assert!(output.status.success(), "vm run: {}", said(&output));
        println!("{name} booted in {:.1} s", begun.elapsed().as_secs_f64());
        Some(Self {
            cvol,
            name: name.to_owned(),
        })
    }

    /// Runs a shell script in the guest, which must succeed; what it printed.
    pub(super) fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert!(output.status.success(), "{script}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell script in the guest.
    pub(super) fn try_sh(&self, script: &str) -> Output {
        self.cvol
            .output(&["vm", "exec", &self.name, "--", "sh", "-c", script])
    }

    /// The digest of a file in the guest.
    pub(super) fn digest(&self, path: &str) -> String {
        let told = self.sh(&format!("sha256sum '{path}'"));
        told.split_whitespace().next().unwrap().to_owned()
    }

    /// What is mounted in the guest, disks and serial ports of SCSI included: what a detach must leave
    /// as it was.
    pub(super) fn state(&self) -> String {
        self.sh("sort /proc/mounts; ls /sys/bus/scsi/devices; ls /sys/bus/pci/devices")
    }

    /// Attaches mounts, which must succeed.
    pub(super) fn attach(&self, mounts: &[&str]) -> String {
        let output = self.try_attach(mounts);
        assert!(output.status.success(), "{mounts:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn try_attach(&self, mounts: &[&str]) -> Output {
        self.cvol.output(&self.attach_words(mounts))
    }

    pub(super) fn attach_words<'w>(&'w self, mounts: &[&'w str]) -> Vec<&'w str> {
        let mut words = vec!["attach", "--vm", self.name.as_str()];
        for mount in mounts {
            words.extend(["--mount", mount]);
        }
        words
    }

    /// Detaches all, which must succeed.
    pub(super) fn detach_all(&self) {
        self.cvol.ok(&["detach", "--vm", &self.name, "--all"]);
    }

    /// What `cvol ps` says of the machine.
    pub(super) fn ps(&self) -> Value {
        let told = self.cvol.ok(&["--json", "ps", "--vm", &self.name]);
        serde_json::from_str(&told).unwrap()
    }

    /// The files in the folder of sockets that belong to something attached.
    pub(super) fn leftovers(&self) -> Vec<String> {
        leftovers(self.cvol, &self.name)
    }

    /// The processes that serve disks to the machine.
    pub(super) fn exports(&self) -> Vec<Export> {
        exports(self.cvol, &self.name)
    }

    /// Nothing is attached: neither for the store nor for the host.
    pub(super) fn assert_nothing_attached(&self) {
        assert_eq!(self.ps(), Value::Array(Vec::new()));
        assert_eq!(self.leftovers(), [""; 0]);
        assert_eq!(self.exports(), []);
        let told = self.cvol.ok(&["--json", "ls"]);
        let volumes: Value = serde_json::from_str(&told).unwrap();
        for volume in volumes.as_array().unwrap() {
            assert_eq!(volume["used_by"], Value::Array(Vec::new()), "{volume}");
        }
    }
}

impl Drop for Vm<'_> {
    fn drop(&mut self) {
        let _ = self.cvol.output(&["vm", "stop", &self.name]);
    }
}

/// A process that serves a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) process: i32,
    pub(super) is_server: bool,
}

impl Export {
    /// Kills it at once.
    pub(super) fn kill(&self) {
        kill(self.process);
    }
}

/// Kills a process, and waits until it has let go of all it had: a signal that was sent has done nothing
/// yet.
pub(super) fn kill(process: i32) {
    let number = process.to_string();
    // It may have ended by itself.
    let told = tools::output("kill", &[&"-9", &number]);
    eventually(&format!("process {number} ends: {}", said(&told)), || {
        !tools::is_process(&number)
    });
}

/// Kills all that serves disks to a machine.
pub(super) fn kill_exports(cvol: &Cvol, machine: &str) {
    eventually("nothing serves", || {
        let mut found = exports(cvol, machine);
        // The keepers first: they start others.
        found.sort_by_key(|export| export.is_server);
        found.iter().for_each(Export::kill);
        found.is_empty()
    });
}

/// The processes of this store that serve disks to a machine, by what they were started as.
pub(super) fn exports(cvol: &Cvol, machine: &str) -> Vec<Export> {
    let root = cvol.root().canonicalize().unwrap_or_else(|_| cvol.root());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let Some(process) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let Ok(words) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let words: Vec<String> = words
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let of_store = words.iter().any(|word| Path::new(word) == root)
            || words.iter().any(|word| Path::new(word) == cvol.root());
        let at = words.iter().position(|word| word == "serve-machine");
        let of_machine = at.and_then(|at| words.get(at + 1)).map(String::as_str) == Some(machine);
        if of_store && of_machine {
            found.push(Export {
                process,
                is_server: words.iter().any(|word| word == "--server"),
            });
        }
    }
    found
}

/// The files in the folder of sockets of a machine that belong to something attached: all but those of
/// the machine itself.
pub(super) fn leftovers(cvol: &Cvol, machine: &str) -> Vec<String> {
    let folder = cvol.root().join("machines").join(machine).join("run");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            ["nbd", "virtiofs", "share", "view"]
                .iter()
                .any(|part| name.contains(part))
        })
        .collect();
    names.sort();
    names
}

/// All that a command said.
pub(super) fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The digest of a file of the host.
pub(super) fn digest_of(path: &Path) -> String {
    digest_of_bytes(&std::fs::read(path).unwrap())
}

pub(super) fn digest_of_bytes(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that look like nothing, and are the same for the same number.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Tries until it holds.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
