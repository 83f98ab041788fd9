//! Disks by their place: controller and logical unit, as the host attached them.
//!
//! The kernel numbers hosts of SCSI as it finds them. Under Hyper-V that order means nothing, and each
//! controller is known by its identifier on the bus; under QEMU controllers of virtio come in the order
//! of the command line. What a disk says of itself (its serial) has the last word where it says it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guest_proto::{ErrorKind, Refusal};

use crate::refused::{failed, refusal};

/// Controllers of Hyper-V, as the host names them.
const HYPER_V: [&str; 4] = [
    "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
    "0110f83b-de10-5172-a266-78bca56bf50a",
    "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
    "305891a9-b251-5dfe-91a2-c25d9212275b",
];
/// How often it is looked for a disk.
const LOOK: Duration = Duration::from_millis(20);
/// How often the kernel is asked to look, should it have missed a disk.
const RESCAN: Duration = Duration::from_secs(1);
/// How long a disk that is to go is waited for.
const GOING: Duration = Duration::from_secs(20);
/// In which unit the kernel tells sizes.
const UNIT: u64 = 512;

/// A disk or a part of it, as the kernel calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// `sdb`, `sdb1`.
    pub(super) name: String,
    /// In bytes.
    pub(super) size: u64,
}

/// Where the kernel tells of its devices.
pub(super) struct Devices {
    sys: PathBuf,
    dev: PathBuf,
}

/// A place of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) controller: u8,
    pub(super) lun: u8,
}

impl Devices {
    pub(super) fn new(sys: &Path, dev: &Path) -> Self {
        let (sys, dev) = (sys.to_owned(), dev.to_owned());
        Self { sys, dev }
    }

    /// The file of a device.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dev.join(name)
    }

    /// The disk at a place once it is there and can be opened.
    pub(super) fn wait(
        &self,
        at: Address,
        serial: &str,
        limit: Duration,
    ) -> Result<Block, Refusal> {
        let started = Instant::now();
        let mut scanned: Option<Instant> = None;
        loop {
            let seen = match self.look(at, serial)? {
                Seen::Disk(disk) => return Ok(disk),
                Seen::Nothing(what) => what,
            };
            if started.elapsed() >= limit {
                let text = format!(
                    "no disk came up at controller {}, number {} within {} s: {seen}",
                    at.controller,
                    at.lun,
                    limit.as_secs()
                );
                return Err(refusal(ErrorKind::NotFound, text));
            }
            if scanned.is_none_or(|scanned| scanned.elapsed() >= RESCAN) {
                scanned = Some(Instant::now());
                self.scan(at);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn look(&self, at: Address, serial: &str) -> Result<Seen, Refusal> {
        let nothing = |what: String| Ok(Seen::Nothing(what));
        let Some(host) = self.host(at.controller)? else {
            return nothing("there is no such controller".to_owned());
        };
        let device = self.device(host.number, at.lun);
        let Some(name) = first_name(&device.join("block")) else {
            return nothing("nothing is there".to_owned());
        };
        if !host.is_hyper_v && !serial.is_empty() {
            let other = serial_of(&device);
            if other != serial {
                return nothing(format!("the disk there calls itself {other:?}"));
            }
        }
        let Some(size) = self.size(&name).filter(|size| *size > 0) else {
            return nothing(format!("{name} has no size yet"));
        };
        match fs::File::open(self.file(&name)) {
            Ok(_) => Ok(Seen::Disk(Block { name, size })),
            Err(error) => nothing(format!("{name} cannot be opened: {error}")),
        }
    }

    /// The parts of a disk in their order.
    pub(super) fn partitions(&self, disk: &str) -> Vec<Block> {
        let folder = self.sys.join("class/block").join(disk);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut parts: Vec<(u64, Block)> = entries
            .filter_map(|entry| {
                let number = fs::read_to_string(entry.path().join("partition")).ok()?;
                let name = entry.file_name().into_string().ok()?;
                let size = self.size(&name)?;
                Some((number.trim().parse().ok()?, Block { name, size }))
            })
            .collect();
        parts.sort_by_key(|(number, _)| *number);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Whether the host lets a disk only be read.
    pub(super) fn is_write_protected(&self, name: &str) -> bool {
        let path = self.sys.join("class/block").join(name).join("ro");
        fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    }

    /// Has the kernel forget a disk, once it has written out what it holds for it.
    pub(super) fn forget(&self, at: Address) -> Result<(), Refusal> {
        let Some(host) = self.host(at.controller)? else {
            return Ok(());
        };
        let device = self.device(host.number, at.lun);
        if let Some(name) = first_name(&device.join("block")) {
            self.check_unused(&name)?;
            self.flush(&name)?;
        }
        match fs::write(device.join("delete"), "1") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("letting go of the disk", error)),
        }
        let started = Instant::now();
        while device.exists() {
            if started.elapsed() >= GOING {
                let text = "the kernel of the guest does not let go of the disk";
                return Err(refusal(ErrorKind::TimedOut, text));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A disk that is mounted would lose what is written to it from now on.
    fn check_unused(&self, disk: &str) -> Result<(), Refusal> {
        let parts = self.partitions(disk).into_iter().map(|part| part.name);
        let names: Vec<String> = parts.chain([disk.to_owned()]).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let numbers = names.iter().filter_map(|name| {
            let path = self.sys.join("class/block").join(name).join("dev");
            fs::read_to_string(path).ok()
        });
        let numbers: Vec<String> = numbers.map(|text| text.trim().to_owned()).collect();
        let mut lines = mounts.lines();
        let is_used = lines.find(|line| {
            let device = line.split(' ').nth(2).unwrap_or_default();
            numbers.iter().any(|number| number == device)
        });
        let Some(line) = is_used else { return Ok(()) };
        let place = line.split(' ').nth(4).unwrap_or_default();
        let text = format!("the disk {disk} is still mounted at {place}");
        Err(refusal(ErrorKind::Busy, text))
    }

    /// Everything that was written is with the host.
    pub(super) fn flush(&self, name: &str) -> Result<(), Refusal> {
        let opened = fs::File::open(self.file(name));
        match opened.and_then(|disk| disk.sync_all()) {
            Ok(()) => Ok(()),
            // A disk that was taken away holds nothing any more.
            Err(error) if matches!(error.raw_os_error(), Some(2 | 6 | 19)) => Ok(()),
            Err(error) => Err(failed(format!("writing out {name}"), error)),
        }
    }

    fn host(&self, controller: u8) -> Result<Option<Host>, Refusal> {
        let controller = usize::from(controller);
        if self.sys.join("bus/vmbus/devices").is_dir() {
            let Some(id) = HYPER_V.get(controller) else {
                let text = format!("there is no controller {controller}");
                return Err(refusal(ErrorKind::Invalid, text));
            };
            let names = names_in(&self.sys.join("bus/vmbus/devices").join(id));
            let number = names.iter().find_map(|name| host_number(name));
            let is_hyper_v = true;
            return Ok(number.map(|number| Host { number, is_hyper_v }));
        }
        let class = self.sys.join("class/scsi_host");
        let is_virtio = |number: &u64| {
            let path = class.join(format!("host{number}/proc_name"));
            fs::read_to_string(path).is_ok_and(|name| name.trim() == "virtio_scsi")
        };
        let names = names_in(&class);
        let hosts = names.iter().filter_map(|name| host_number(name));
        let mut hosts: Vec<u64> = hosts.filter(is_virtio).collect();
        hosts.sort_unstable();
        let is_hyper_v = false;
        let host = hosts.get(controller).copied();
        Ok(host.map(|number| Host { number, is_hyper_v }))
    }

    fn device(&self, host: u64, lun: u8) -> PathBuf {
        self.sys
            .join("class/scsi_device")
            .join(format!("{host}:0:0:{lun}"))
            .join("device")
    }

    /// The kernel is told of new disks; where it missed one, this helps.
    fn scan(&self, at: Address) {
        if let Ok(Some(host)) = self.host(at.controller) {
            let path = format!("class/scsi_host/host{}/scan", host.number);
            let _ = fs::write(self.sys.join(path), format!("0 0 {}", at.lun));
        }
    }

    fn size(&self, name: &str) -> Option<u64> {
        let path = self.sys.join("class/block").join(name).join("size");
        let units: u64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        units.checked_mul(UNIT)
    }
}

enum Seen {
    Disk(Block),
    Nothing(String),
}

struct Host {
    number: u64,
    is_hyper_v: bool,
}

fn host_number(name: &str) -> Option<u64> {
    name.strip_prefix("host")?.parse().ok()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn first_name(folder: &Path) -> Option<String> {
    names_in(folder).into_iter().next()
}

/// What the disk calls itself: page 80 of its vital data, behind a head of four bytes.
fn serial_of(device: &Path) -> String {
    let page = fs::read(device.join("vpd_pg80")).unwrap_or_default();
    let length = page.get(3).copied().map_or(0, usize::from);
    let end = 4_usize.saturating_add(length).min(page.len());
    let text = page.get(4..end).unwrap_or_default();
    String::from_utf8_lossy(text)
        .trim_matches([' ', '\0'])
        .to_owned()
}

#[cfg(test)]
mod tests;
