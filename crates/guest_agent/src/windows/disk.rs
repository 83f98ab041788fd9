//! Disks by their place, and the volumes on them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use guest_proto::{ErrorKind, MountDisk, Refusal};
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE};
use windows_sys::Win32::Storage::IscsiDisc::IOCTL_SCSI_GET_ADDRESS;
use windows_sys::Win32::System::Ioctl::{
    FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME, IOCTL_DISK_SET_DISK_ATTRIBUTES,
    IOCTL_STORAGE_QUERY_PROPERTY,
};

use super::calls;
use crate::refused::{failed, refusal};

/// Asks a volume on which disks it lies (`winioctl.h`; the bindings lack it).
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS: u32 = 0x0056_0000;
/// How many disks are looked at.
const MAX_DISKS: u32 = 512;
/// How often.
const LOOK: Duration = Duration::from_millis(100);
/// How long at most, whatever is asked.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// The attributes of a disk that is not used, and of one that cannot be written.
const OFFLINE: u64 = 1;
const READ_ONLY: u64 = 2;

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// `\\.\PhysicalDriveN`.
    number: u32,
    serial: String,
    bus_is_virtual: bool,
}

/// Waits for the disk of a mount and the volume on it: `\\?\Volume{...}\`.
pub(super) fn volume(mount: &MountDisk) -> Result<String, Refusal> {
    let wait = Duration::from_secs(mount.wait_seconds.into()).min(MAX_WAIT);
    let started = Instant::now();
    let mut set_up = None;
    loop {
        let disk = find(mount)?;
        if let Some(disk) = &disk {
            if set_up != Some(disk.number) {
                bring_online(disk, mount.read_only)?;
                set_up = Some(disk.number);
            }
            if let Some(volume) = volume_of(disk)? {
                return Ok(volume);
            }
        }
        if started.elapsed() >= wait {
            let what = match disk {
                Some(_) => "no volume",
                None => "no disk",
            };
            let text = format!(
                "{what} came up at controller {}, number {} within {} s",
                mount.controller,
                mount.lun,
                wait.as_secs()
            );
            return Err(refusal(ErrorKind::NotFound, text));
        }
        std::thread::sleep(LOOK);
    }
}

/// The disk at a place. Windows does not tell which controller is which, and only the first is used for
/// volumes; where the disk says its serial, that decides.
fn find(mount: &MountDisk) -> Result<Option<Disk>, Refusal> {
    if mount.controller != 0 {
        let text = "disks of Windows guests are at the first controller alone";
        return Err(refusal(ErrorKind::Unsupported, text));
    }
    let numbers = 0..MAX_DISKS;
    let at_place: Vec<Disk> = numbers
        .filter_map(|number| look(number, mount.lun))
        .collect();
    let by_serial = at_place.iter().find(|disk| disk.serial == mount.serial);
    if let Some(disk) = by_serial {
        return Ok(Some(disk.clone()));
    }
    // Hyper-V gives disks no serial of ours.
    let mut hyper_v = at_place.iter().filter(|disk| disk.bus_is_virtual);
    match (hyper_v.next(), hyper_v.next()) {
        (Some(disk), None) => Ok(Some(disk.clone())),
        (Some(_), Some(_)) => {
            let text = format!("there are several disks of number {}", mount.lun);
            Err(refusal(ErrorKind::Failed, text))
        }
        (None, _) => Ok(None),
    }
}

fn look(number: u32, lun: u8) -> Option<Disk> {
    let device = open(&format!(r"\\.\PhysicalDrive{number}"), 0).ok()?;
    let mut address = [0; 8];
    calls::control(&device, IOCTL_SCSI_GET_ADDRESS, &[], &mut address).ok()?;
    // Length (4), port, path, target, unit.
    let [_, _, _, _, _, path, target, unit] = address;
    if (path, target, unit) != (0, 0, lun) {
        return None;
    }
    let description = describe(&device).unwrap_or_default();
    let text = |at: usize| text_at(&description, at);
    Some(Disk {
        number,
        serial: text(24),
        bus_is_virtual: text(12).starts_with("Msft"),
    })
}

/// What the device says of itself: `STORAGE_DEVICE_DESCRIPTOR`.
fn describe(device: &File) -> io::Result<Vec<u8>> {
    let mut description = vec![0; 1024];
    // StorageDeviceProperty (0), PropertyStandardQuery (0).
    let query = [0; 12];
    let length = calls::control(
        device,
        IOCTL_STORAGE_QUERY_PROPERTY,
        &query,
        &mut description,
    )?;
    description.truncate(length);
    Ok(description)
}

/// A text whose place stands in a field of four bytes; empty where there is none.
fn text_at(description: &[u8], field: usize) -> String {
    let place = number_at(description, field).and_then(|at| usize::try_from(at).ok());
    let text = place
        .filter(|at| *at != 0)
        .and_then(|at| description.get(at..))
        .unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

/// Disks that come at run time may be kept off line or read-only by policy.
fn bring_online(disk: &Disk, read_only: bool) -> Result<(), Refusal> {
    let path = format!(r"\\.\PhysicalDrive{}", disk.number);
    let device = OpenOptions::new().read(true).write(true).open(&path);
    let device = device.map_err(|error| failed(&path, error))?;
    let mut request = [0; 40];
    let attributes = if read_only { READ_ONLY } else { 0 };
    let fields: [(usize, &[u8]); 3] = [
        (0, &40_u32.to_le_bytes()),
        (8, &attributes.to_le_bytes()),
        (16, &(OFFLINE | READ_ONLY).to_le_bytes()),
    ];
    for (at, field) in fields {
        for (to, from) in request.iter_mut().skip(at).zip(field) {
            *to = *from;
        }
    }
    calls::control(&device, IOCTL_DISK_SET_DISK_ATTRIBUTES, &request, &mut [])
        .map(drop)
        .map_err(|error| failed(format!("bringing {path} on line"), error))
}

/// The first volume that lies on a disk.
fn volume_of(disk: &Disk) -> Result<Option<String>, Refusal> {
    let all = calls::volumes().map_err(|error| failed("listing volumes", error))?;
    Ok(all.into_iter().find(|volume| {
        let mut extents = [0; 256];
        let opened = open(volume.trim_end_matches('\\'), 0);
        let told = opened.and_then(|device| {
            let code = IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS;
            calls::control(&device, code, &[], &mut extents)
        });
        // How many (4), nothing (4), then the number of the first disk.
        told.is_ok()
            && number_at(&extents, 0) == Some(1)
            && number_at(&extents, 8) == Some(disk.number)
    }))
}

fn open(path: &str, access: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(access);
    options.share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
    options.open(path)
}

/// Writes out all that a volume holds.
pub(super) fn flush(volume: &str) -> io::Result<()> {
    let path = volume.trim_end_matches('\\');
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)?
        .sync_all()
}

/// Ends the use of a volume; fails where somebody has files of it open, unless they are cut off.
pub(super) fn dismount(volume: &str, force: bool) -> Result<(), Refusal> {
    let path = volume.trim_end_matches('\\');
    let device = OpenOptions::new().read(true).write(true).open(path);
    let device = device.map_err(|error| failed(path, error))?;
    device.sync_all().map_err(|error| failed(path, error))?;
    let locked = calls::control(&device, FSCTL_LOCK_VOLUME, &[], &mut []);
    if locked.is_err() && !force {
        let text = format!("files of {path} are open");
        return Err(refusal(ErrorKind::Busy, text));
    }
    calls::control(&device, FSCTL_DISMOUNT_VOLUME, &[], &mut [])
        .map(drop)
        .map_err(|error| failed(format!("dismounting {path}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_of_itself_is_read_within_its_bounds() {
        let mut description = vec![0; 64];
        description[12] = 40;
        description[24] = 50;
        description[40..44].copy_from_slice(b"Msft");
        description[50..55].copy_from_slice(b"VOL-1");
        assert_eq!(text_at(&description, 12), "Msft");
        assert_eq!(text_at(&description, 24), "VOL-1");
        description[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(text_at(&description, 24), "");
        assert_eq!(text_at(&[1, 2], 24), "");
    }
}
