//! What is on a disk, at its target.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use guest_proto::{ErrorKind, FileSystem, MountDisk, Mounted, Refusal};
use rustix::io::Errno;

use super::contents::{self, Contents};
use super::disk::{Address, Block, Devices};
use super::filesystem::{Setting, Unmountable, prepare};
use super::format;
use super::mounting::{Places, Ready, Wanted};
use super::target::Kind;
use crate::refused::{failed, refusal};

/// How long the guest waits for a disk at most, whatever it is asked.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// How often a file system is looked for: the kernel tells of parts a moment after the disk.
const LOOKS: u32 = 25;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

pub(super) fn mount(
    places: &Places,
    devices: &Devices,
    mount: &MountDisk,
) -> Result<Mounted, Refusal> {
    let access = if mount.read_only { "ro" } else { "rw" };
    let wanted = Wanted {
        target: &mount.target,
        asked: format!(
            "disk {}:{} {:?} {:?} {access}",
            mount.controller, mount.lun, mount.serial, mount.file_system
        ),
        kind: Kind::Folder,
        read_only: mount.read_only,
    };
    places.mount(&wanted, || {
        let at = Address {
            controller: mount.controller,
            lun: mount.lun,
        };
        let wait = Duration::from_secs(mount.wait_seconds.into()).min(MAX_WAIT);
        let disk = devices.wait(at, &mount.serial, wait)?;
        let (block, file_system, formatted) = find(devices, &disk, mount)?;
        if !mount.read_only && devices.is_write_protected(&disk.name) {
            let text = format!("the disk {} is write-protected by the host", disk.name);
            return Err(refusal(ErrorKind::Denied, text));
        }
        Ok(Ready {
            mount: prepare_one(devices, &block, file_system, mount.read_only)?,
            file_system: driver(file_system)?.to_owned(),
            source: devices.file(&block.name).display().to_string(),
            formatted,
        })
    })
}

/// The part of the disk, or all of it, that has the file system; made where that was asked for.
fn find(
    devices: &Devices,
    disk: &Block,
    mount: &MountDisk,
) -> Result<(Block, FileSystem, bool), Refusal> {
    let mut looks = 0;
    loop {
        let blocks = match look(devices, disk)? {
            // The table is on the disk, and the kernel has not read it yet.
            Contents::Partitions => devices.partitions(&disk.name),
            _ => vec![disk.clone()],
        };
        let mut found = Vec::new();
        for block in blocks {
            let contents = look(devices, &block)?;
            if let Contents::FileSystem(file_system) = contents
                && mount.file_system.is_none_or(|asked| asked == file_system)
            {
                return Ok((block, file_system, false));
            }
            found.push((block, contents));
        }
        looks += 1;
        if found.is_empty() && looks < LOOKS {
            std::thread::sleep(BETWEEN_LOOKS);
            continue;
        }
        return first_use(devices, found, mount);
    }
}

/// Formats what holds nothing, where that was asked for; otherwise tells what is there instead.
fn first_use(
    devices: &Devices,
    found: Vec<(Block, Contents)>,
    mount: &MountDisk,
) -> Result<(Block, FileSystem, bool), Refusal> {
    let wanted = mount
        .file_system
        .map_or("file system that guests mount".to_owned(), |known| {
            format!("{known:?}")
        });
    let told: Vec<String> = found
        .iter()
        .map(|(block, contents)| format!("{} {}", block.name, told(*contents)))
        .collect();
    let mut found = found.into_iter();
    let (Some((block, contents)), None) = (found.next(), found.next()) else {
        let told = match told.as_slice() {
            [] => "its table of parts is empty".to_owned(),
            told => told.join(", "),
        };
        let text = format!("the disk has no {wanted}: {told}");
        return Err(refusal(ErrorKind::NotFound, text));
    };
    let is_free = matches!(contents, Contents::Nothing | Contents::HalfFormatted);
    if !mount.format || mount.read_only || !is_free {
        let text = format!("the disk has no {wanted}: {}", told.join(", "));
        return Err(refusal(ErrorKind::NotFound, text));
    }
    let file_system = mount.file_system.unwrap_or(FileSystem::Ext4);
    format::format(&devices.file(&block.name), block.size, file_system)?;
    Ok((block, file_system, true))
}

fn told(contents: Contents) -> String {
    match contents {
        Contents::Nothing => "holds nothing".to_owned(),
        Contents::Partitions => "holds a table of parts".to_owned(),
        Contents::FileSystem(file_system) => format!("holds {file_system:?}"),
        Contents::Other(what) => format!("holds {what}"),
        Contents::HalfFormatted => "holds a file system that was never finished".to_owned(),
        Contents::Unknown => "holds something that is not known here".to_owned(),
    }
}

fn look(devices: &Devices, block: &Block) -> Result<Contents, Refusal> {
    let path = devices.file(&block.name);
    let disk = File::open(&path).map_err(|error| failed(path.display(), error))?;
    contents::identify(&disk, block.size)
        .map_err(|error| failed(format!("reading {}", block.name), error))
}

/// What the kernel calls its driver.
fn driver(file_system: FileSystem) -> Result<&'static str, Refusal> {
    match file_system {
        FileSystem::Ntfs => Ok("ntfs3"),
        FileSystem::Fat32 => Ok("vfat"),
        FileSystem::Ext4 => Ok("ext4"),
        FileSystem::Xfs => Ok("xfs"),
        FileSystem::Refs => {
            let text = "Linux has no ReFS";
            Err(refusal(ErrorKind::Unsupported, text))
        }
    }
}

fn prepare_one(
    devices: &Devices,
    block: &Block,
    file_system: FileSystem,
    read_only: bool,
) -> Result<OwnedFd, Refusal> {
    let driver = driver(file_system)?;
    let source = devices.file(&block.name).display().to_string();
    let mut settings = vec![Setting::Value("source", &source)];
    match file_system {
        FileSystem::Ntfs => settings.push(Setting::Value("iocharset", "utf8")),
        FileSystem::Fat32 => settings.push(Setting::Flag("utf8")),
        // Two snapshots of one volume have the same identifier, and may be here together.
        FileSystem::Xfs => settings.push(Setting::Flag("nouuid")),
        FileSystem::Ext4 | FileSystem::Refs => {}
    }
    prepare(driver, &settings, read_only)
        .map_err(|unmountable| refuse(&unmountable, driver, &block.name))
}

fn refuse(unmountable: &Unmountable, driver: &str, name: &str) -> Refusal {
    let what = format!("the {driver} of {name}");
    if unmountable.is_unknown() {
        let text = format!("the kernel of the guest has no {driver}");
        return refusal(ErrorKind::Unsupported, text);
    }
    let hint = match unmountable.error {
        Errno::INVAL | Errno::UCLEAN | Errno::BADMSG => {
            " (the file system is damaged or was not unmounted cleanly: check it at rest)"
        }
        Errno::ROFS | Errno::ACCESS => " (the disk is write-protected)",
        _ => return unmountable.refuse(&what),
    };
    let mut refusal = unmountable.refuse(&what);
    refusal.text.push_str(hint);
    refusal
}
