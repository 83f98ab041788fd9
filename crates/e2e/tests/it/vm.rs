//! `cvol vm`: machines of QEMU that cvol starts, with the guest of the tests in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::Cvol;
use crate::guest::Pieces;
use crate::tools;

/// `cvol` with all that a machine takes.
struct Host {
    cvol: Cvol,
    pieces: Option<Pieces>,
    agent: PathBuf,
    qemu: Option<PathBuf>,
}

impl Host {
    /// A host that can boot the guest of the tests; `None` where something is absent (a failure in CI).
    fn booting() -> Option<Self> {
        let pieces = Pieces::find()?;
        let agent = tools::made_by_setup("CVOL_GUEST_AGENT", "agent/cvol-guest-agent");
        if !agent.is_file() {
            tools::absent(&format!("agent at {}", agent.display()));
            return None;
        }
        Some(Self {
            cvol: Cvol::new(),
            pieces: Some(pieces),
            agent,
            qemu: None,
        })
    }

    /// A host whose QEMU is a script, and whose pieces are none but there.
    fn with_script(script: &str) -> Self {
        let cvol = Cvol::new();
        let at = |name: &str| cvol.work().join(name);
        for piece in ["vmlinuz", "initramfs.cpio", "agent"] {
            fs::write(at(piece), piece).unwrap();
        }
        let (agent, qemu) = (at("agent"), at("qemu"));
        write_script(&qemu, script);
        Self {
            cvol,
            pieces: None,
            agent,
            qemu: Some(qemu),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.cvol.command(words);
        let folder = match &self.pieces {
            Some(pieces) => pieces.path(""),
            None => self.cvol.work().to_owned(),
        };
        command.env("CVOL_GUEST", folder);
        command.env("CVOL_GUEST_AGENT", &self.agent);
        match &self.qemu {
            Some(qemu) => command.env("CVOL_QEMU", qemu),
            None => command.env_remove("CVOL_QEMU"),
        };
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    #[track_caller]
    fn ends_with(&self, code: i32, words: &[&str]) -> (String, String) {
        let output = self.output(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (told, complained) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {told}{complained}"
        );
        (told, complained)
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.ends_with(0, words).0
    }

    fn machines(&self) -> Value {
        serde_json::from_str(&self.ok(&["vm", "ls", "--json"])).unwrap()
    }

    /// Nothing of any machine is left in the store.
    #[track_caller]
    fn has_nothing(&self) {
        assert_eq!(self.machines(), json!([]));
        let folder = self.cvol.root().join("machines");
        let left = fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!(left, 0, "folders of machines");
    }
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_machine_that_stays_runs_commands_and_is_known_after_its_qemu_was_killed() {
    let Some(mut host) = Host::booting() else {
        return;
    };
    let pid = host.cvol.work().join("pid");
    let wrapper = host.cvol.work().join("wrapper");
    let script = format!(
        "echo $$ > {}\nexec qemu-system-x86_64 \"$@\"",
        pid.display()
    );
    write_script(&wrapper, &script);
    host.qemu = Some(wrapper);
    let site = host.cvol.work().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("hello"), "from the host").unwrap();
    host.ok(&[
        "create",
        "data",
        "--size",
        "64M",
        "--from",
        site.to_str().unwrap(),
    ]);
    let mount = ["--mount", "source=data,target=/data"];
    let run = ["vm", "run", "--name", "web", "--detach", "--quiet"];
    assert_eq!(host.ok(&[&run[..], &mount[..]].concat()), "web\n");

    let machines = host.machines();
    assert_eq!(machines[0]["name"], "web");
    assert_eq!(machines[0]["state"], "running");
    assert_eq!(
        host.ok(&["vm", "exec", "web", "--", "cat", "/data/hello"]),
        "from the host"
    );
    let (out, err) = host.ends_with(
        7,
        &[
            "vm",
            "exec",
            "web",
            "--",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ],
    );
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    let kill = [
        "vm",
        "exec",
        "web",
        "--json",
        "--",
        "sh",
        "-c",
        "kill -9 $$",
    ];
    let told: Value = serde_json::from_str(&host.ends_with(137, &kill).0).unwrap();
    assert_eq!(
        (&told["exit_code"], &told["signal"]),
        (&Value::Null, &json!(9))
    );
    host.ends_with(3, &["vm", "exec", "web", "--", "no-such-program"]);

    // A command that takes long keeps nobody from another, and ends with who waits for it.
    let mut long = host.command(&["vm", "exec", "web", "--", "sleep", "1000"]);
    let mut long = long.spawn().unwrap();
    let sleeps = || {
        let find = [
            "vm",
            "exec",
            "web",
            "--",
            "sh",
            "-c",
            "ps | grep '[s]leep 1000'",
        ];
        host.output(&find).status.success()
    };
    wait_for("the long command", sleeps);
    tools::run("kill", &[&"-INT", &long.id().to_string()]);
    assert_eq!(long.wait().unwrap().code(), Some(130));
    wait_for("the end of the long command", || !sleeps());

    host.ends_with(4, &["vm", "run", "--name", "web", "--detach"]);
    host.ends_with(5, &["vm", "rm", "web"]);
    host.ends_with(5, &["rm", "data"]);

    let pid = fs::read_to_string(pid).unwrap();
    tools::run("kill", &[&"-9", &pid.trim()]);
    wait_for("the end of the machine", || {
        host.machines()[0]["state"] == "ended"
    });
    host.ends_with(3, &["vm", "exec", "web", "--", "true"]);
    host.ends_with(4, &["vm", "run", "--name", "web", "--detach"]);
    assert_eq!(host.ok(&["vm", "rm", "web"]), "web\n");
    host.has_nothing();
    host.ends_with(3, &["vm", "stop", "web"]);
    host.ok(&["rm", "data"]);
}

#[test]
fn a_machine_for_one_command_attaches_its_mounts_and_leaves_nothing_but_what_was_written() {
    let Some(host) = Host::booting() else {
        return;
    };
    let daemons = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
    if !daemons.iter().any(|daemon| Path::new(daemon).is_file()) {
        tools::absent("virtiofs daemon");
        return;
    }
    let site = host.cvol.work().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("hello"), "from the host").unwrap();
    fs::write(site.join("one"), "one\n").unwrap();
    host.ok(&["create", "data", "--size", "64M"]);
    let (folder, one) = (site.display(), site.join("one"));
    let script = "set -e; cat /srv/hello > /data/copy; echo two >> /one; mount | grep -q /scratch
        if echo x > /srv/hello; then echo written; fi
        if echo x > /srv/new; then echo made; fi
        exit 5";
    let (out, _) = host.ends_with(
        5,
        &[
            "vm",
            "run",
            "--mount",
            "source=data,target=/data",
            "--mount",
            &format!("type=bind,source={folder},target=/srv,readonly"),
            "--mount",
            &format!("type=bind,source={},target=/one", one.display()),
            "--mount",
            "type=tmpfs,target=/scratch,size=8M",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    assert_eq!(out, "", "the read-only share was written to");
    assert_eq!(host.ok(&["cat", "data:/copy"]), "from the host");
    assert_eq!(fs::read_to_string(one).unwrap(), "one\ntwo\n");
    host.has_nothing();
    assert_eq!(host.ok(&["ps", "--quiet"]), "");

    // Where a mount cannot be had, nothing is left either.
    let absent = site.join("absent");
    let absent = format!("type=bind,source={},target=/srv", absent.display());
    host.ends_with(3, &["vm", "run", "--mount", &absent, "--", "true"]);
    host.has_nothing();
}

#[test]
fn what_is_needed_for_a_machine_and_absent_is_named() {
    let host = Host::with_script("exit 0");
    let without = |variable: &str, value: &str| {
        let mut command = host.command(&["vm", "run", "--", "true"]);
        let output = command.env(variable, value).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(7), "{error}");
        assert!(error.contains("hint: "), "{error}");
        host.has_nothing();
        error
    };
    assert!(without("CVOL_QEMU", "/no/such/qemu").contains("QEMU is not installed"));
    assert!(without("CVOL_GUEST", "/no/such/folder").contains("kernel"));
    assert!(without("CVOL_GUEST_AGENT", "/no/such/agent").contains("agent"));
    host.ends_with(2, &["vm", "run", "--memory", "1M", "--", "true"]);
    host.ends_with(2, &["vm", "run", "--name", "../x", "--", "true"]);
    host.ends_with(3, &["vm", "exec", "nobody", "--", "true"]);
    host.ends_with(3, &["vm", "stop", "nobody"]);
    host.ok(&["vm", "rm", "--force", "nobody"]);
    host.has_nothing();
}

#[test]
fn a_qemu_that_ends_while_it_boots_is_told_with_its_last_words() {
    let host = Host::with_script("echo no luck today >&2; exit 3");
    let (_, error) = host.ends_with(8, &["vm", "run", "--", "true"]);
    assert!(error.contains("no luck today"), "{error}");
    host.has_nothing();
}

/// A kernel that panics ends QEMU without an error.
#[test]
fn a_guest_that_ends_while_it_boots_is_booted_once_more_and_a_broken_qemu_is_not() {
    for (code, starts) in [(0, 2), (3, 1)] {
        let script = format!("echo started >> \"${{0%/*}}/starts\"; exit {code}");
        let host = Host::with_script(&script);
        host.ends_with(8, &["vm", "run", "--accel", "tcg", "--", "true"]);
        let told = fs::read_to_string(host.cvol.work().join("starts")).unwrap();
        assert_eq!(told.lines().count(), starts, "QEMU ends with {code}");
        host.has_nothing();
    }
}

#[test]
fn a_guest_that_does_not_answer_is_given_up_and_an_interrupted_boot_too() {
    let pid = "echo $$ > \"${0%/*}/pid\"; exec sleep 1000";
    let host = Host::with_script(pid);
    let pid = host.cvol.work().join("pid");
    let words = [
        "vm",
        "run",
        "--accel",
        "tcg",
        "--boot-timeout",
        "3",
        "--",
        "true",
    ];
    let (_, error) = host.ends_with(8, &words);
    assert!(error.contains("did not answer within 3 s"), "{error}");
    assert!(!tools::is_process(&fs::read_to_string(&pid).unwrap()));
    host.has_nothing();

    fs::remove_file(&pid).unwrap();
    let mut booting = host.command(&["vm", "run", "--detach"]).spawn().unwrap();
    let read = || fs::read_to_string(&pid).unwrap_or_default();
    wait_for("the start", || read().ends_with('\n'));
    assert_eq!(host.machines()[0]["state"], "running");
    tools::run("kill", &[&"-INT", &booting.id().to_string()]);
    assert_eq!(booting.wait().unwrap().code(), Some(130));
    assert!(!tools::is_process(&read()));
    host.has_nothing();
}
