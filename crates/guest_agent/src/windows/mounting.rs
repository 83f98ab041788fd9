//! Mounting and unmounting at letters and folders, once and only where nothing else is.

use std::fs;
use std::path::Path;
use std::process::Command;

use guest_proto::{
    ErrorKind, FileSystem, MountDisk, MountShare, MountSmb, Mounted, Refusal, ShareTransport,
    Unmount,
};

use super::place::Place;
use super::{calls, disk};
use crate::book::{Book, Entry};
use crate::refused::{failed, refusal};

/// What `GetVolumeInformationW` says of a volume that cannot be written.
const READ_ONLY_VOLUME: u32 = 0x0008_0000;

/// What is mounted, as it stands in the source of an entry.
fn source_at(place: &Place) -> Option<String> {
    match place {
        Place::Letter(letter) => calls::volume_at(&place.root())
            .ok()
            .or_else(|| calls::letter(letter)),
        Place::Folder(folder) => calls::volume_at(&place.root()).ok().or_else(|| {
            let link = fs::read_link(folder).ok()?;
            Some(link.to_string_lossy().into_owned())
        }),
    }
}

/// Mounts what `ready` makes of the place: what is there then, its file system, whether it was
/// formatted.
fn mount(
    book: &Book,
    target: &str,
    asked: String,
    read_only: bool,
    ready: impl FnOnce(&Place) -> Result<(String, String, bool), Refusal>,
) -> Result<Mounted, Refusal> {
    let place = Place::parse(target)?;
    let mounted = |file_system: String, formatted, was_there| Mounted {
        target: target.to_owned(),
        file_system,
        read_only,
        formatted,
        was_there,
    };
    if let Some(source) = source_at(&place) {
        return match book.find(target) {
            Some(entry) if entry.source == source && entry.asked == asked => {
                Ok(mounted(entry.file_system, false, true))
            }
            _ => {
                let text = format!("something else is at {target}");
                Err(refusal(ErrorKind::AlreadyExists, text))
            }
        };
    }
    let made = make_folders(&place)?;
    let outcome = ready(&place).and_then(|(source, file_system, formatted)| {
        let entry = Entry {
            target: target.to_owned(),
            asked,
            file_system: file_system.clone(),
            source,
            read_only,
            mount: 0,
            made: made.clone(),
        };
        book.add(entry)?;
        Ok(mounted(file_system, formatted, false))
    });
    if outcome.is_err() {
        remove_folders(&made);
    }
    outcome
}

/// Makes what is missing of a folder; a link on the way is not followed.
fn make_folders(place: &Place) -> Result<Vec<String>, Refusal> {
    let mut made = Vec::new();
    for folder in place.folders() {
        let facts = fs::symlink_metadata(&folder);
        let outcome = match facts {
            Ok(facts) if facts.is_dir() => Ok(()),
            Ok(_) => {
                let text = format!("{folder} is a link or a file");
                Err(refusal(ErrorKind::Invalid, text))
            }
            Err(_) => match fs::create_dir(&folder) {
                Ok(()) => {
                    made.push(folder);
                    Ok(())
                }
                Err(error) => Err(failed(format!("making {folder}"), error)),
            },
        };
        if let Err(refusal) = outcome {
            remove_folders(&made);
            return Err(refusal);
        }
    }
    Ok(made)
}

fn remove_folders(made: &[String]) {
    for folder in made.iter().rev() {
        // One that is not empty stays, with those above it.
        if fs::remove_dir(folder).is_err() && Path::new(folder).exists() {
            return;
        }
    }
}

pub(super) fn mount_disk(book: &Book, wanted: &MountDisk) -> Result<Mounted, Refusal> {
    let asked = format!(
        "disk {}:{} {:?} {:?} {}",
        wanted.controller, wanted.lun, wanted.serial, wanted.file_system, wanted.read_only
    );
    mount(book, &wanted.target, asked, wanted.read_only, |place| {
        let volume = disk::volume(wanted)?;
        let (name, formatted) = file_system(&volume, wanted)?;
        calls::mount_volume(&place.root(), &volume)
            .map_err(|error| failed(format!("mounting at {}", wanted.target), error))?;
        Ok((volume, name, formatted))
    })
}

/// What is on a volume; made where nothing is and that was asked for.
fn file_system(volume: &str, wanted: &MountDisk) -> Result<(String, bool), Refusal> {
    let mut formatted = false;
    let mut found = calls::file_system(volume);
    // Windows calls what it does not know raw, by an error of its own.
    if found.is_err() && wanted.format && !wanted.read_only {
        format(volume, wanted.file_system.unwrap_or(FileSystem::Ntfs))?;
        formatted = true;
        found = calls::file_system(volume);
    }
    let (name, flags) = found.map_err(|error| {
        let text = format!("Windows knows no file system on {volume}: {error}");
        refusal(ErrorKind::NotFound, text)
    })?;
    if !wanted.read_only && flags & READ_ONLY_VOLUME != 0 {
        let text = format!("{volume} can only be read");
        return Err(refusal(ErrorKind::Denied, text));
    }
    Ok((name, formatted))
}

/// Formats by the program of Windows, which takes a volume by its own name. It has refused by itself
/// where it was not empty: a file system that Windows knows is never come to here, and what it does not
/// know has to be zeros.
fn format(volume: &str, file_system: FileSystem) -> Result<(), Refusal> {
    let name = match file_system {
        FileSystem::Ntfs => "NTFS",
        FileSystem::Refs => "ReFS",
        FileSystem::Fat32 => "FAT32",
        FileSystem::Ext4 | FileSystem::Xfs => {
            let text = format!("Windows cannot make {file_system:?}");
            return Err(refusal(ErrorKind::Unsupported, text));
        }
    };
    check_empty(volume)?;
    let output = Command::new("format.com")
        .arg(volume.trim_end_matches('\\'))
        .args([&format!("/FS:{name}"), "/Q", "/Y"])
        .output()
        .map_err(|error| failed("format.com", error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = format!("format.com ended with {}", output.status);
    Err(refusal(ErrorKind::Failed, text))
}

/// The first MiB has to be zeros.
fn check_empty(volume: &str) -> Result<(), Refusal> {
    use std::io::Read;
    let path = volume.trim_end_matches('\\');
    let mut first = vec![0; 1 << 20];
    let read = fs::File::open(path).and_then(|mut device| device.read_exact(&mut first));
    read.map_err(|error| failed(path, error))?;
    if first.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let text = format!("{path} holds something that is not known here");
    Err(refusal(ErrorKind::NotFound, text))
}

pub(super) fn mount_share(book: &Book, wanted: &MountShare) -> Result<Mounted, Refusal> {
    let ShareTransport::VirtualSmb { unc } = &wanted.transport else {
        let text = "directories of the host come to Windows guests over the bus of Hyper-V alone";
        return Err(refusal(ErrorKind::Unsupported, text));
    };
    let source = match &wanted.only_file {
        Some(file) => format!("{unc}\\{file}"),
        None => unc.clone(),
    };
    let asked = format!("share {source:?} {}", wanted.read_only);
    mount(book, &wanted.target, asked, wanted.read_only, |place| {
        link(place, &source, wanted.only_file.is_some())?;
        let source = source_at(place).unwrap_or(source);
        Ok((source, "vsmb".to_owned(), false))
    })
}

/// Has a place lead to a path.
fn link(place: &Place, path: &str, is_file: bool) -> Result<(), Refusal> {
    let linked = match place {
        Place::Letter(letter) => calls::define_letter(letter, path),
        Place::Folder(folder) => {
            // The link takes the place of the folder that was made for it.
            let _ = fs::remove_dir(folder);
            if is_file {
                std::os::windows::fs::symlink_file(path, folder)
            } else {
                std::os::windows::fs::symlink_dir(path, folder)
            }
        }
    };
    linked.map_err(|error| failed(format!("linking {} to {path}", place.as_str()), error))
}

pub(super) fn mount_smb(book: &Book, wanted: &MountSmb) -> Result<Mounted, Refusal> {
    check_smb(wanted)?;
    let mut unc = format!(r"\\{}\{}", wanted.server, wanted.share);
    let share = unc.clone();
    for name in wanted.path.split('/').filter(|name| !name.is_empty()) {
        unc.push('\\');
        unc.push_str(name);
    }
    let user = match &wanted.domain {
        Some(domain) => format!(r"{domain}\{}", wanted.user),
        None => wanted.user.clone(),
    };
    let asked = format!("smb {unc} {user:?} {}", wanted.require_encryption);
    mount(book, &wanted.target, asked, false, |place| {
        let password = wanted.password.reveal();
        let private = wanted.require_encryption;
        calls::connect_share(None, &share, &user, password, private).map_err(|error| {
            let kind = match error.raw_os_error() {
                // Access denied, wrong password, log-on failure, account restrictions.
                Some(5 | 86 | 1326 | 1327 | 1331) => ErrorKind::Denied,
                // No path, no name, no network.
                Some(51 | 53 | 67 | 1231) => ErrorKind::NotFound,
                _ => ErrorKind::Failed,
            };
            refusal(kind, format!("{share}: {error}"))
        })?;
        let linked = link(place, &unc, false);
        if linked.is_err() {
            let _ = calls::disconnect_share(&share, true);
        }
        linked?;
        let source = source_at(place).unwrap_or(unc);
        Ok((source, "smb".to_owned(), false))
    })
}

fn check_smb(wanted: &MountSmb) -> Result<(), Refusal> {
    if wanted.port.is_some_and(|port| port != 445) {
        let text = "Windows reaches servers of SMB at their usual port alone";
        return Err(refusal(ErrorKind::Unsupported, text));
    }
    if wanted.read_only {
        let text = "Windows mounts no share of a server for reading only: give the user no right \
                    to write there";
        return Err(refusal(ErrorKind::Unsupported, text));
    }
    let user = wanted.user.to_lowercase();
    if matches!(user.as_str(), "" | "guest" | "anonymous") || wanted.password.reveal().is_empty() {
        let text = "accounts of guests and empty passwords are not used";
        return Err(refusal(ErrorKind::Denied, text));
    }
    let odd = |text: &str| text.contains('\\') || text.split('/').any(|name| name == "..");
    if odd(&wanted.server) || odd(&wanted.share) || odd(&wanted.path) {
        let text = "the share has a name that leads elsewhere";
        return Err(refusal(ErrorKind::Invalid, text));
    }
    Ok(())
}

pub(super) fn unmount(book: &Book, wanted: &Unmount) -> Result<(), Refusal> {
    let target = wanted.target.as_str();
    let place = Place::parse(target)?;
    let Some(entry) = book.find(target) else {
        return match source_at(&place) {
            Some(_) => {
                let text = format!("what is at {target} was not mounted by this agent");
                Err(refusal(ErrorKind::Denied, text))
            }
            None => Ok(()),
        };
    };
    if source_at(&place).as_deref() == Some(entry.source.as_str()) {
        unmount_entry(&place, &entry, wanted.lazy)?;
    }
    remove_folders(&entry.made);
    book.remove(target)
}

fn unmount_entry(place: &Place, entry: &Entry, force: bool) -> Result<(), Refusal> {
    let what = format!("unmounting {}", entry.target);
    if entry.asked.starts_with("disk ") {
        let places = calls::places_of(&entry.source).unwrap_or_default();
        // Others may use the volume at another place.
        if places.len() <= 1 {
            disk::dismount(&entry.source, force)?;
        } else {
            disk::flush(&entry.source).map_err(|error| failed(&what, error))?;
        }
        return calls::unmount_volume(&place.root()).map_err(|error| failed(&what, error));
    }
    if entry.asked.starts_with("smb ") {
        disconnect(entry, force)?;
    }
    let unlinked = match place {
        Place::Letter(letter) => calls::free_letter(letter),
        // A link to a folder is removed as one, a link to a file as such.
        Place::Folder(folder) => fs::remove_dir(folder).or_else(|_| fs::remove_file(folder)),
    };
    unlinked.map_err(|error| failed(&what, error))
}

fn disconnect(entry: &Entry, force: bool) -> Result<(), Refusal> {
    let unc = entry.asked.split(' ').nth(1).unwrap_or_default();
    // `\\server\share`, without what of it was mounted.
    let end = unc
        .match_indices('\\')
        .nth(4)
        .map_or(unc.len(), |(at, _)| at);
    let share = unc.get(..end).unwrap_or_default();
    match calls::disconnect_share(share, force) {
        // Not connected: somebody else has ended it.
        Err(error) if error.raw_os_error() == Some(2250) => Ok(()),
        // Files are open.
        Err(error) if error.raw_os_error() == Some(2401) => {
            let text = format!("files of {share} are open");
            Err(refusal(ErrorKind::Busy, text))
        }
        outcome => outcome.map_err(|error| failed(share, error)),
    }
}

/// Whether what stands in the book still is there.
pub(super) fn is_there(entry: &Entry) -> bool {
    Place::parse(&entry.target)
        .is_ok_and(|place| source_at(&place).as_deref() == Some(entry.source.as_str()))
}

#[cfg(test)]
mod tests;
