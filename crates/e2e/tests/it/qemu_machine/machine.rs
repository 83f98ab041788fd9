//! A QEMU whose processors stand still: it answers to its monitor, and no guest is needed. Disks come
//! and go all the same; PCI devices only come, since a guest would have to let them go.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attach::qemu::qmp::QmpAddress;
use attach::{DiskAttachment, HostPath, QemuVm, QemuVmOptions, Slot};
use blockio::{ByteCount, MemoryDisk, SectorSize};
use nbd::{Endpoint, Export, Server, ServerOptions};

use crate::tools;

/// A machine, ended when it is dropped.
pub(super) struct Bare {
    folder: tempfile::TempDir,
    child: Child,
    words: Vec<String>,
}

impl Bare {
    /// One with so many ports for directories, whose memory is shared or not.
    pub(super) fn start(ports: u32, shares_memory: bool) -> Self {
        let mut words: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none", "-S"]
            .map(str::to_owned)
            .to_vec();
        let mut option = |option: &str, value: String| words.extend([option.to_owned(), value]);
        option("-accel", "tcg".to_owned());
        option("-m", "64M".to_owned());
        if shares_memory {
            let memory = "memory-backend-memfd,id=memory,size=64M,share=on";
            option("-object", memory.to_owned());
            option("-machine", "q35,memory-backend=memory".to_owned());
        } else {
            option("-machine", "q35".to_owned());
        }
        for number in 0..4 {
            option("-device", format!("virtio-scsi-pci,id=scsi{number}"));
        }
        for number in 0..ports {
            let chassis = number + 1;
            let port = format!("pcie-root-port,id=port{number},chassis={chassis}");
            option("-device", port);
        }
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), &words);
        Self {
            folder,
            child,
            words,
        }
    }

    /// Kills it, as the system does in need.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts another one in its place.
    pub(super) fn restart(&mut self) {
        self.kill();
        std::fs::remove_file(self.at("qmp")).unwrap();
        self.child = spawn(self.folder.path(), &self.words);
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn options(&self) -> QemuVmOptions {
        QemuVmOptions::new(QmpAddress::Unix(self.at("qmp")), self.folder.path())
    }

    pub(super) fn vm(&self) -> QemuVm {
        QemuVm::new(self.options())
    }
}

fn spawn(folder: &Path, words: &[String]) -> Child {
    let socket = folder.join("qmp");
    let child = Command::new("qemu-system-x86_64")
        .args(words)
        .arg("-qmp")
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !tools::listens(&socket) {
        assert!(started.elapsed() < Duration::from_secs(60), "no monitor");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves an empty disk under its serial, until the end of the test.
pub(super) fn serve(folder: &Path, serial: &str) {
    let path = folder.join(format!("{serial}.nbd"));
    let server = Server::bind(&Endpoint::Unix(path)).unwrap();
    let serial = serial.to_owned();
    std::thread::spawn(move || {
        let disk = MemoryDisk::new(ByteCount(1 << 20), SectorSize::B512).unwrap();
        let export = Export::new(serial, &disk).unwrap();
        let options = ServerOptions {
            connections: 4,
            once: false,
        };
        server.serve(&[export], options, &|_| {})
    });
}

pub(super) fn disk(controller: u8, lun: u8, serial: &str) -> DiskAttachment {
    DiskAttachment {
        slot: Slot { controller, lun },
        path: HostPath::parse("/v/a.vhdx").unwrap(),
        serial: serial.to_owned(),
        read_only: false,
    }
}
