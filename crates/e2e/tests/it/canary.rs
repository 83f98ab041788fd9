//! A password that is looked for everywhere while it is used: in processes, outputs and files.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::Cvol;
use crate::samba::{Samba, Settings, USER, with_input};
use crate::smb::{DENIED, with_password};

/// Looks at the arguments and the environment of every process, over and over.
struct Watch {
    stop: AtomicBool,
    own: u32,
}

impl Watch {
    /// The places where `canary` was seen, and the programs of ours that were seen at all.
    fn run(&self, canary: &[u8]) -> (Vec<String>, Vec<String>) {
        let (mut leaks, mut programs) = (Vec::new(), Vec::new());
        while !self.stop.load(Ordering::Relaxed) {
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(id) = name.parse::<u32>() else {
                    continue;
                };
                if id == self.own {
                    continue;
                }
                let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                let program = program.trim().to_owned();
                if ["cvol", "smbclient"].contains(&program.as_str()) && !programs.contains(&program)
                {
                    programs.push(program.clone());
                }
                for file in ["cmdline", "environ"] {
                    let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                    if holds(&bytes, canary) {
                        leaks.push(format!("{file} of {program} ({id})"));
                    }
                }
            }
        }
        (leaks, programs)
    }
}

fn holds(bytes: &[u8], canary: &[u8]) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary)
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn a_canary_password_is_found_nowhere() {
    // Of this run alone: nobody else's command line can hold it.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let common = format!("canary-{}-{}", std::process::id(), now.as_nanos());
    let (right, wrong) = (format!("{common}-right"), format!("{common}-wrong"));
    let canary = common.as_bytes();
    let settings = Settings {
        password: right.clone(),
        ..Settings::default()
    };
    let Some(server) = Samba::start_with(settings) else {
        return;
    };
    let cvol = Cvol::new();
    let source = server.source("data");
    let watch = Watch {
        stop: AtomicBool::new(false),
        own: std::process::id(),
    };
    let mut said: Vec<Output> = Vec::new();
    let (leaks, programs) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch.run(canary));
        let mut tell = |output: Output| said.push(output);
        let base = [
            "--type",
            "smb",
            "--source",
            &source,
            "--username",
            USER,
            "--verbose",
        ];
        for (name, password) in [("share", &right), ("bad", &wrong), ("share", &right)] {
            let arguments = [&["create", name], &base[..]].concat();
            let mut command = cvol.command(&arguments);
            command.args(["--password-fd", "0"]);
            command
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "full");
            tell(with_input(command, password));
        }
        let host = format!("//127.0.0.1:{}", server.port());
        let discover = ["discover", &host, "--username", USER, "--verbose"];
        tell(with_password(&cvol, &discover, &right));
        tell(with_password(&cvol, &discover, &wrong));
        tell(with_password(&cvol, &["secret", "set", "share"], &wrong));
        tell(with_password(&cvol, &["secret", "set", "share"], &right));
        let mount = "source=share,target=/data";
        for arguments in [
            &["secret", "check", "share"][..],
            &["secret", "rotate", "--json"],
            &["ls", "--long"],
            &["ls", "--json"],
            &["inspect", "share"],
            &["doctor", "--json"],
            &[
                "attach", "--plan", "--guest", "linux", "--mount", mount, "--json",
            ],
            &[
                "render",
                "--as",
                "hcs",
                "--guest",
                "windows",
                "--mount",
                "source=share,target=C:\\d",
            ],
            &["export", "share", "-o", "-"],
            &["snapshot", "create", "share@one"],
        ] {
            tell(cvol.output(arguments));
        }
        watch.stop.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    assert_eq!(leaks, [""; 0], "seen in /proc");
    // A watch that sees nobody proves nothing.
    assert_eq!(programs.len(), 2, "only {programs:?} were seen");
    let codes: Vec<_> = said
        .iter()
        .map(|output| output.status.code().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            0, DENIED, 4, 0, DENIED, DENIED, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7
        ],
        "{said:?}"
    );
    for output in &said {
        for stream in [&output.stdout, &output.stderr] {
            assert!(!holds(stream, canary), "{output:?}");
        }
    }
    let mut found = Vec::new();
    files(&cvol.root(), &mut found);
    let names: Vec<String> = found
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    for part in ["state.db", "secret.key", "/secret", "volume.json"] {
        assert!(
            names.iter().any(|name| name.ends_with(part)),
            "no {part} in {names:?}"
        );
    }
    for path in found {
        assert!(
            !holds(&fs::read(&path).unwrap(), canary),
            "{}",
            path.display()
        );
    }
}

/// The same canary in a process that is looked into while it waits: nobody but itself may read its memory, and
/// it would leave no image of it.
#[test]
fn a_process_that_holds_a_password_leaves_no_image_of_its_memory() {
    if !crate::tools::needs(&["smbclient"]) {
        return;
    }
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let source = format!("//127.0.0.1:{}/data", silent.local_addr().unwrap().port());
    let cvol = Cvol::new();
    let mut command = cvol.command(&["create", "xx", "--type", "smb", "--source", &source]);
    command.args(["--username", USER, "--password-fd", "0"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"canary-31").unwrap();
    // Until it talks to the server.
    let connection = silent.accept().unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(connection);
}
