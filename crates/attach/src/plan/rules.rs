//! What each combination of hypervisor and guest can do, and what is said where it cannot.

use crate::guest::{GuestSystem, Hypervisor, Platform, SchemaVersion};
use crate::mount::{DiskSource, GuestFileSystem, MountRequest, Source};
use crate::path::HostPath;

use super::PlanRefusal;

/// The version since which a share of one file can be made: 1903.
const ONE_FILE_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 2 };

/// Checks one request against its platform.
pub(super) fn check(platform: Platform, request: &MountRequest) -> Result<(), PlanRefusal> {
    match &request.source {
        Source::Disk(disk) => {
            check_host(platform, &disk.path)?;
            check_disk(platform, disk)
        }
        Source::Directory { path, .. } => {
            check_host(platform, path)?;
            check_shares(platform, request.read_only)
        }
        Source::File { path } => {
            check_host(platform, path)?;
            check_shares(platform, request.read_only)?;
            check_one_file(platform)
        }
        Source::Smb(_) => Ok(()),
        Source::Temporary { image, .. } => {
            if request.read_only {
                return Err(unsupported(
                    platform,
                    "no temporary volume that is read-only",
                    "",
                ));
            }
            match platform.guest {
                GuestSystem::Linux => Ok(()),
                GuestSystem::Windows => check_host(platform, image),
            }
        }
    }
}

/// Names of shares that no guest can take for an option.
pub(crate) fn is_share_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.len() <= 36 && name.chars().all(plain)
}

/// Serials that every layer carries whole.
pub(crate) fn is_serial(serial: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !serial.is_empty() && serial.len() <= 36 && serial.chars().all(plain)
}

fn check_disk(platform: Platform, disk: &DiskSource) -> Result<(), PlanRefusal> {
    if !is_serial(&disk.serial) {
        return Err(PlanRefusal::Serial {
            serial: disk.serial.clone(),
        });
    }
    match (platform.guest, disk.file_system) {
        (GuestSystem::Linux, Some(GuestFileSystem::Refs)) => {
            Err(unsupported(platform, "no ReFS", "; use ntfs or ext4"))
        }
        (GuestSystem::Windows, Some(GuestFileSystem::Ext4 | GuestFileSystem::Xfs)) => Err(
            unsupported(platform, "no file system of Linux", "; use ntfs or refs"),
        ),
        _ => Ok(()),
    }
}

fn check_shares(platform: Platform, read_only: bool) -> Result<(), PlanRefusal> {
    match (platform.hypervisor, platform.guest) {
        (Hypervisor::Hcs(version), GuestSystem::Windows)
            if read_only && version < SchemaVersion::V2_1 =>
        {
            let instead = "; it takes schema 2.1";
            Err(unsupported(platform, "no read-only directories", instead))
        }
        (Hypervisor::Qemu, GuestSystem::Windows) => Err(no_shares(platform)),
        _ => Ok(()),
    }
}

pub(super) fn no_shares(platform: Platform) -> PlanRefusal {
    let instead = "; use a volume or an SMB share";
    unsupported(platform, "no directories of the host", instead)
}

fn check_one_file(platform: Platform) -> Result<(), PlanRefusal> {
    match (platform.hypervisor, platform.guest) {
        (Hypervisor::Hcs(version), GuestSystem::Linux) if version < ONE_FILE_SINCE => {
            let instead = "; it takes schema 2.2, or share the directory";
            Err(unsupported(platform, "no single files", instead))
        }
        (Hypervisor::Hcs(version), GuestSystem::Windows) if version < SchemaVersion::V2_1 => {
            let instead = "; it takes schema 2.1, or share the directory";
            Err(unsupported(platform, "no single files", instead))
        }
        _ => Ok(()),
    }
}

/// Refuses paths of the other kind of host: HCS runs on Windows, QEMU (for cvol) on Linux.
fn check_host(platform: Platform, path: &HostPath) -> Result<(), PlanRefusal> {
    let (on_windows, host) = match platform.hypervisor {
        Hypervisor::Hcs(_) => (true, "Windows"),
        Hypervisor::Qemu => (false, "Linux"),
    };
    if path.is_windows() == on_windows {
        return Ok(());
    }
    Err(PlanRefusal::ForeignPath {
        path: path.to_string(),
        host,
    })
}

fn unsupported(platform: Platform, what: &'static str, instead: &'static str) -> PlanRefusal {
    PlanRefusal::Unsupported {
        what,
        platform: format!("{} and a {} guest", platform.hypervisor, platform.guest),
        instead,
    }
}
