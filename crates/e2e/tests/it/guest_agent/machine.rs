//! A machine whose guest is the agent: QEMU with the pieces of `cargo xtask setup`, the agent in an
//! archive of its own behind them, and sockets to both.

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attach::qemu::qmp::{Qmp, QmpAddress, QmpLimits};
use attach::{GuestClient, GuestCommand, GuestSystem, OutputStream, QemuVm, QemuVmOptions, Target};
use serde_json::{Value, json};

use crate::guest::Pieces;
use crate::tools;

/// How long a guest may take to boot on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

/// A running machine.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    child: Child,
}

/// What a command in the guest came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) limit: Option<String>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Machine {
    /// Boots one, with further words for QEMU; `None` where something for it is absent (a failure in
    /// CI).
    pub(crate) fn boot(more: &[&str]) -> Option<Self> {
        Self::boot_with("socket,id=agent,path={},server=on,wait=off", more)
    }

    /// Boots one whose agent is reached at a port of the loopback interface, as programs of Windows
    /// under Wine reach it.
    pub(crate) fn boot_with_port() -> Option<Self> {
        let agent = "socket,id=agent,host=127.0.0.1,port=0,server=on,wait=off";
        Self::boot_with(agent, &[])
    }

    /// The port of the agent.
    pub(crate) fn port(&self) -> u16 {
        let begun = Instant::now();
        loop {
            let monitor = QmpAddress::Unix(self.folder.path().join("monitor"));
            let devices = Qmp::connect(&monitor, QmpLimits::default())
                .and_then(|mut qmp| qmp.execute("query-chardev", json!({})));
            match devices {
                Ok(devices) => {
                    let mut devices = devices.as_array().unwrap().iter();
                    let agent = devices.find(|device| device["label"] == "agent").unwrap();
                    let place = agent["filename"].as_str().unwrap();
                    let port = place.split("127.0.0.1:").nth(1).unwrap();
                    return port.split(',').next().unwrap().parse().unwrap();
                }
                Err(error) => assert!(begun.elapsed() < BOOT, "QEMU: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn boot_with(agent_device: &str, more: &[&str]) -> Option<Self> {
        let pieces = Pieces::find()?;
        let agent = tools::made_by_setup("CVOL_GUEST_AGENT", "agent/cvol-guest-agent");
        if !agent.is_file() {
            tools::absent(&format!("agent at {}", agent.display()));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        pack(&pieces, &agent, folder.path());
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        command.args(["-machine", "q35,memory-backend=memory", "-m", "768"]);
        let memory = "memory-backend-memfd,id=memory,size=768M,share=on";
        command.args(["-object", memory, "-no-reboot"]);
        command.arg("-kernel").arg(pieces.path("vmlinuz"));
        command.arg("-initrd").arg(folder.path().join("initramfs"));
        let words = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check";
        command.args(["-append", words]);
        let at = |name: &str| folder.path().join(name).display().to_string();
        command.args(["-serial", &format!("file:{}", at("console"))]);
        command.args(["-device", "virtio-serial-pci"]);
        command.args(["-chardev", &agent_device.replace("{}", &at("agent"))]);
        command.args([
            "-device",
            "virtserialport,chardev=agent,name=org.cvol.agent.0",
        ]);
        for name in ["qmp", "monitor"] {
            command.args(["-qmp", &format!("unix:{},server=on,wait=off", at(name))]);
        }
        for number in 0..4 {
            command.args(["-device", &format!("virtio-scsi-pci,id=scsi{number}")]);
        }
        for number in 0..4 {
            let port = format!("pcie-root-port,id=port{number},chassis={}", number + 1);
            command.args(["-device", &port]);
        }
        command.args([
            "-netdev",
            "user,id=net",
            "-device",
            "virtio-net-pci,netdev=net",
        ]);
        command.args(more).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        Some(Self { folder, child })
    }

    /// The agent, once it answers.
    pub(crate) fn client(&self) -> GuestClient {
        let socket = self.folder.path().join("agent");
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < BOOT, "QEMU: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let client = GuestClient::new(stream);
        if let Err(fault) = client.hello(BOOT) {
            let console = std::fs::read(self.folder.path().join("console")).unwrap_or_default();
            panic!("{fault}: {}", String::from_utf8_lossy(&console));
        }
        client
    }

    /// The machine, as cvol gives it directories.
    pub(crate) fn vm(&self) -> QemuVm {
        let qmp = QmpAddress::Unix(self.folder.path().join("qmp"));
        QemuVm::new(QemuVmOptions::new(qmp, self.folder.path()))
    }

    /// Asks QEMU for something that has to go well.
    fn qmp(&self, execute: &str, arguments: &Value) {
        let answer = self.try_qmp(execute, arguments);
        assert!(answer.is_ok(), "{execute}: {answer:?}");
    }

    /// Asks QEMU.
    fn try_qmp(&self, execute: &str, arguments: &Value) -> Result<(), Value> {
        let stream = UnixStream::connect(self.folder.path().join("monitor")).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut stream, mut line) = (stream, String::new());
        reader.read_line(&mut line).unwrap();
        for (execute, arguments) in [("qmp_capabilities", &json!({})), (execute, arguments)] {
            let request = json!({"execute": execute, "arguments": arguments});
            writeln!(stream, "{request}").unwrap();
            loop {
                let mut line = String::new();
                assert_ne!(reader.read_line(&mut line).unwrap(), 0, "QEMU hung up");
                let mut told: Value = serde_json::from_str(&line).unwrap();
                if let Some(error) = told.get_mut("error") {
                    return Err(error.take());
                }
                if told.get("return").is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Gives the machine a raw disk.
    pub(crate) fn add_disk(&self, image: &Path, place: (u8, u8), serial: &str, read_only: bool) {
        let (controller, lun) = place;
        let name = format!("disk-{controller}-{lun}");
        let node = json!({
            "driver": "raw", "node-name": name, "read-only": read_only,
            "file": {"driver": "file", "filename": image, "read-only": read_only},
        });
        self.qmp("blockdev-add", &node);
        let device = json!({
            "driver": "scsi-hd", "id": name, "bus": format!("scsi{controller}.0"),
            "channel": 0, "scsi-id": 0, "lun": lun, "drive": name, "serial": serial,
        });
        self.qmp("device_add", &device);
    }

    /// Takes it away again, and lets go of the image.
    pub(crate) fn remove_disk(&self, place: (u8, u8)) {
        let name = format!("disk-{}-{}", place.0, place.1);
        self.qmp("device_del", &json!({"id": name}));
        let begun = Instant::now();
        // The device goes a moment later, and the node only after it.
        while let Err(error) = self.try_qmp("blockdev-del", &json!({"node-name": name})) {
            assert!(begun.elapsed() < BOOT, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the machine to end by itself.
    pub(crate) fn ended(mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < BOOT {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pieces with the agent behind them, in one file.
fn pack(pieces: &Pieces, agent: &Path, folder: &Path) {
    let inside = folder.join("archive/sbin");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::copy(agent, inside.join("cvol-guest-agent")).unwrap();
    let script = "cd \"$1/archive\" && find . | \"$0\" cpio -o -H newc 2>/dev/null";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    let packed = command.arg(pieces.path("busybox")).arg(folder).output();
    let packed = packed.unwrap();
    assert!(packed.status.success(), "{packed:?}");
    let mut all = std::fs::read(pieces.path("initramfs.cpio")).unwrap();
    all.extend(packed.stdout);
    std::fs::write(folder.join("initramfs"), all).unwrap();
}

/// A target of a Linux guest.
pub(crate) fn target(text: &str) -> Target {
    Target::parse(text, GuestSystem::Linux).unwrap()
}

/// Runs a command in the guest.
pub(crate) fn run_with(client: &GuestClient, run: &GuestCommand) -> Said {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let end = client.run(run, &mut |stream, bytes| {
        match stream {
            OutputStream::Output => output.extend_from_slice(bytes),
            OutputStream::Error => errors.extend_from_slice(bytes),
        }
        ControlFlow::Continue(())
    });
    let end = end.unwrap_or_else(|fault| panic!("{fault}: {:?}", run.arguments));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said {
        code: end.code,
        signal: end.signal,
        limit: end.limit,
        output: text(output),
        errors: text(errors),
    }
}

/// Runs a script in the guest.
pub(crate) fn shell(client: &GuestClient, script: &str) -> Said {
    let arguments = ["sh", "-c", script].map(str::to_owned).to_vec();
    run_with(
        client,
        &GuestCommand {
            arguments,
            limit_seconds: 30,
            limit_output: 1 << 20,
        },
    )
}

/// What a script prints that has to go well.
pub(crate) fn told(client: &GuestClient, script: &str) -> String {
    let said = shell(client, script);
    assert_eq!(said.code, Some(0), "{script}: {said:?}");
    said.output
}

/// An image of this many MiB that holds nothing.
pub(crate) fn image(folder: &Path, name: &str, mebibytes: u64) -> PathBuf {
    let path = folder.join(name);
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(mebibytes << 20).unwrap();
    path
}
