//! The arguments that QEMU is started with.
//!
//! A machine of the kind that hcsshim makes on Windows: four SCSI controllers, nothing else but what
//! it takes to talk to it. Everything that can be attached later has its place from the start, since the
//! root bus takes nothing while the machine runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::pieces::AGENT_IN_GUEST;
use super::{Accelerator, StartVm};

/// Controllers of disks: what Hyper-V has.
const CONTROLLERS: u32 = 4;
/// Ports for directories. Each of them costs some milliseconds of a boot.
const PORTS: u32 = 16;

/// Where a machine has what it talks through.
pub(super) struct Files<'f> {
    pub(super) monitor: &'f Path,
    pub(super) agent: &'f Path,
    /// Where the agent is heard beside that.
    pub(super) ports: &'f [PathBuf],
    pub(super) console: &'f Path,
    pub(super) initramfs: &'f Path,
}

/// All arguments.
pub(super) fn arguments(
    request: &StartVm,
    name: &str,
    kernel: &Path,
    files: &Files<'_>,
    accelerator: Accelerator,
) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    for word in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        arguments.word(word);
    }
    arguments.option("-display", "none");
    arguments.option("-name", &format!("cvol-{name}"));
    match accelerator {
        Accelerator::Kvm => {
            arguments.option("-accel", "kvm");
            arguments.option("-cpu", "host");
        }
        Accelerator::Tcg | Accelerator::Auto => {
            arguments.option("-accel", "tcg,thread=multi");
            arguments.option("-cpu", "max");
        }
    }
    arguments.option("-smp", &request.processors.to_string());
    let memory = request.memory.get();
    // What a virtiofs daemon reads and writes.
    arguments.option(
        "-object",
        &format!("memory-backend-memfd,id=cvol-memory,size={memory},share=on"),
    );
    arguments.option("-m", &format!("{}M", memory >> 20));
    arguments.option("-machine", "q35,memory-backend=cvol-memory");
    arguments.file("-kernel", "", kernel);
    arguments.file("-initrd", "", files.initramfs);
    arguments.option("-append", &kernel_words());
    arguments.file("-chardev", "file,id=cvol-console,path=", files.console);
    arguments.option("-serial", "chardev:cvol-console");
    let socket = |id: &str| format!("socket,id={id},server=on,wait=off,path=");
    arguments.file("-chardev", &socket("cvol-monitor"), files.monitor);
    arguments.option("-mon", "chardev=cvol-monitor,mode=control");
    arguments.option("-device", "virtio-serial-pci,id=cvol-serial");
    let first = std::iter::once(files.agent);
    let ports = first.chain(files.ports.iter().map(PathBuf::as_path));
    for (number, path) in ports.enumerate() {
        let id = format!("cvol-agent-{number}");
        arguments.file("-chardev", &socket(&id), path);
        let port = format!("bus=cvol-serial.0,chardev={id},name=org.cvol.agent.{number}");
        arguments.option("-device", &format!("virtserialport,{port}"));
    }
    for number in 0..CONTROLLERS {
        arguments.option("-device", &format!("virtio-scsi-pci,id=scsi{number}"));
    }
    for number in 0..PORTS {
        let chassis = number + 1;
        arguments.option(
            "-device",
            &format!("pcie-root-port,id=port{number},chassis={chassis}"),
        );
    }
    if request.network {
        arguments.option("-netdev", "user,id=cvol-network");
        // Nobody boots over the network, so that its program need not be there.
        arguments.option("-device", "virtio-net-pci,netdev=cvol-network,romfile=");
    }
    arguments.words
}

/// What the kernel is told. The agent is the first process; the words behind `--` are its own. On a busy
/// host without KVM the timer can miss the moment in which the kernel tests it, and that would be all.
fn kernel_words() -> String {
    format!(
        "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check rdinit={AGENT_IN_GUEST} -- --init"
    )
}

#[derive(Default)]
struct Arguments {
    words: Vec<OsString>,
}

impl Arguments {
    fn word(&mut self, word: &str) {
        self.words.push(word.into());
    }

    fn option(&mut self, option: &str, value: &str) {
        self.word(option);
        self.word(value);
    }

    /// An option whose value ends in a path. In lists of options a comma is doubled to mean itself.
    fn file(&mut self, option: &str, start: &str, path: &Path) {
        self.word(option);
        let mut value = OsString::from(start);
        if start.is_empty() {
            value.push(path);
        } else {
            let mut parts = path.to_str().map(|text| text.replace(',', ",,"));
            value.push(parts.take().map_or_else(|| path.into(), OsString::from));
        }
        self.words.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_is_doubled_where_it_would_end_a_value() {
        let files = Files {
            monitor: Path::new("/a,b/qmp.sock"),
            agent: Path::new("/a,b/agent.sock"),
            ports: &[PathBuf::from("/a,b/exec1.sock")],
            console: Path::new("/a,b/console.log"),
            initramfs: Path::new("/a,b/initramfs"),
        };
        let request = StartVm::default();
        let kernel = Path::new("/k,1");
        let words = arguments(&request, "x", kernel, &files, Accelerator::Tcg);
        let has = |word: &str| words.iter().any(|found| found == word);
        assert!(has("/k,1"));
        assert!(has("/a,b/initramfs"));
        assert!(has(
            "socket,id=cvol-monitor,server=on,wait=off,path=/a,,b/qmp.sock"
        ));
        assert!(has("file,id=cvol-console,path=/a,,b/console.log"));
        assert!(has(
            "socket,id=cvol-agent-1,server=on,wait=off,path=/a,,b/exec1.sock"
        ));
        for number in 0..4 {
            assert!(has(&format!("virtio-scsi-pci,id=scsi{number}")));
        }
    }

    #[test]
    fn memory_is_shared_and_as_large_as_asked_for() {
        let files = Files {
            monitor: Path::new("/m"),
            agent: Path::new("/a"),
            ports: &[],
            console: Path::new("/c"),
            initramfs: Path::new("/i"),
        };
        let request = StartVm {
            memory: crate::ByteCount(768 << 20),
            network: false,
            ..StartVm::default()
        };
        let words = arguments(&request, "x", Path::new("/k"), &files, Accelerator::Kvm);
        let has = |word: &str| words.iter().any(|found| found == word);
        assert!(has(
            "memory-backend-memfd,id=cvol-memory,size=805306368,share=on"
        ));
        assert!(has("768M") && has("kvm") && has("host"));
        assert!(!words.iter().any(|word| word == "-netdev"));
    }
}
