//! What the tests need that `cargo xtask windows --hcs` made, and `cvol.exe` under Wine with a store of
//! its own and the double of computecore.dll in the system folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attach::GuestClient;
use computecore::{Guest, HostModel, MachineModel};
use serde_json::Value;

use crate::guest_agent::machine::{Machine, told};

use super::broker::Broker;

/// The machine of QEMU, as the double knows it.
pub(super) const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

/// A machine with a broker before it, and a store that `cvol.exe` works on.
pub(super) struct Stage {
    pub(super) machine: Machine,
    pub(super) broker: Broker,
    windows: Windows,
}

/// `cvol.exe` with a host of the double.
pub(super) struct Windows {
    folder: tempfile::TempDir,
    wine: PathBuf,
    program: PathBuf,
}

impl Windows {
    /// `None` where this is not a run of `cargo xtask windows --hcs`, which alone has a `cvol.exe`.
    pub(super) fn new() -> Option<Self> {
        let made = ["CVOL_HCS_WINE", "CVOL_HCS_PROGRAM"].map(std::env::var_os);
        let [Some(wine), Some(program)] = made else {
            let name = std::thread::current().name().unwrap_or("?").to_owned();
            eprintln!("skipped: {name} is run by `cargo xtask windows --hcs`");
            return None;
        };
        let windows = Self {
            folder: tempfile::tempdir().unwrap(),
            wine: wine.into(),
            program: program.into(),
        };
        let machines = [(ID.to_owned(), MachineModel::running(Guest::Linux))];
        windows.set_host(&HostModel {
            machines: machines.into(),
            ..HostModel::default()
        });
        Some(windows)
    }

    /// A folder for files of the test, beside the store.
    pub(super) fn work(&self) -> &Path {
        self.folder.path()
    }

    fn host_file(&self) -> PathBuf {
        self.work().join("host.json")
    }

    /// The host of the double, as its last program left it.
    pub(super) fn host(&self) -> HostModel {
        serde_json::from_slice(&std::fs::read(self.host_file()).unwrap()).unwrap()
    }

    pub(super) fn set_host(&self, host: &HostModel) {
        std::fs::write(self.host_file(), serde_json::to_vec(host).unwrap()).unwrap();
    }

    /// What the double noted of the last program: lines that begin with `call:`, `broken:`, `open:`.
    pub(super) fn log(&self, kind: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.work().join("log")).unwrap_or_default();
        let lines = log.lines().filter_map(|line| line.strip_prefix(kind));
        lines.map(|line| line.trim().to_owned()).collect()
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let _ = std::fs::remove_file(self.work().join("log"));
        let mut command = Command::new(&self.wine);
        command.arg(&self.program).args(words);
        command.current_dir(self.work()).env("CVOL_ROOT", "store");
        command.env("HCS_DOUBLE_STATE", in_windows(&self.host_file()));
        command.env("HCS_DOUBLE_LOG", in_windows(&self.work().join("log")));
        command
    }

    pub(super) fn run(command: &mut Command) -> Output {
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// Runs `cvol.exe`, which must succeed.
    pub(super) fn ok(&self, words: &[&str]) -> String {
        let output = Self::run(&mut self.command(words));
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
    }

    /// Runs `cvol.exe`, which must end with this code.
    pub(super) fn fails(&self, code: i32, words: &[&str]) -> String {
        let output = Self::run(&mut self.command(words));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            said(&output)
        );
        said(&output)
    }

    /// The image of a volume, here, and what the guest knows its disk by.
    pub(super) fn image(&self, name: &str) -> (PathBuf, String) {
        let told: Value = serde_json::from_str(&self.ok(&["inspect", name])).unwrap();
        let path = told[0]["image_path"].as_str().unwrap().replace('\\', "/");
        let (_, inside) = path.split_once("store/").unwrap();
        let image = self.work().join("store").join(inside);
        (image, told[0]["id"].as_str().unwrap().to_owned())
    }
}

impl Stage {
    pub(super) fn new() -> Option<Self> {
        let windows = Windows::new()?;
        let machine = Machine::boot_with_port()?;
        let broker = Broker::new(machine.vm());
        // It answers when it has booted, and the port is free for others then.
        drop(client(machine.port()));
        Some(Self {
            machine,
            broker,
            windows,
        })
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Runs a script in the guest, which must succeed.
    pub(super) fn sh(&self, script: &str) -> String {
        told(&client(self.machine.port()), script)
    }

    /// `cvol.exe` with a way to the machine.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.windows.command(words);
        command.env("HCS_DOUBLE_BROKER", self.broker.place().to_string());
        command
    }

    /// Runs `cvol.exe` with a way to the machine, which must succeed and break no rule of the library.
    pub(super) fn ok(&self, words: &[&str]) -> String {
        let output = Windows::run(&mut self.command(words));
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        for kind in ["broken:", "open:"] {
            assert_eq!(self.windows.log(kind), [""; 0], "{words:?}");
        }
        String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
    }

    /// Words that attach mounts to the machine.
    pub(super) fn attach_words(&self, mounts: &[&str]) -> Vec<String> {
        let channel = format!("tcp:127.0.0.1:{}", self.machine.port());
        let words = [
            "attach",
            "--vm",
            "web",
            "--hcs",
            ID,
            "--guest",
            "linux",
            "--guest-channel",
            &channel,
        ];
        let mounts = mounts.iter().flat_map(|mount| ["--mount", mount]);
        words.into_iter().chain(mounts).map(str::to_owned).collect()
    }

    /// Nothing is attached: neither for the double, nor for QEMU, nor in the guest, nor for the store.
    #[track_caller]
    pub(super) fn check_bare(&self, context: &str) {
        let host = self.windows.host();
        assert_eq!(host.machines[ID].disks, [].into(), "{context}");
        assert_eq!(host.access, [].into(), "{context}");
        assert_eq!(self.broker.places(), [], "{context}");
        let disks = self.sh("ls /sys/bus/scsi/devices | grep -c : || true");
        assert_eq!(disks.trim(), "0", "{context}");
        let told: Value = serde_json::from_str(&self.windows.ok(&["--json", "ps"])).unwrap();
        assert_eq!(told, Value::Array(Vec::new()), "{context}");
    }
}

/// The agent at this port, once it answers.
fn client(port: u16) -> GuestClient {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let client = GuestClient::new(stream);
    client.hello(std::time::Duration::from_secs(120)).unwrap();
    client
}

/// A path as programs of Windows see it: under Wine the drive Z: is the root of this machine.
pub(super) fn in_windows(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

pub(super) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}
