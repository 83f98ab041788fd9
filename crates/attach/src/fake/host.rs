//! The host in memory: directories, images, exports.

use crate::mount::SmbSource;
use crate::path::HostPath;
use crate::sides::{Credentials, Fault, FaultKind, Host};

use super::{State, World, refused};

/// A path and all above it, the root left out.
pub(super) fn with_those_above(path: &HostPath) -> Vec<HostPath> {
    let mut paths = vec![path.clone()];
    let mut last = path.clone();
    while let Some((folder, _)) = last.split() {
        match HostPath::parse(folder) {
            Ok(folder) if folder.split().is_some() => {
                paths.push(folder.clone());
                last = folder;
            }
            _ => break,
        }
    }
    paths
}

impl State {
    /// Whether something is in a directory.
    fn is_filled(&self, directory: &HostPath) -> bool {
        let is_in =
            |other: &String| HostPath::parse(other).is_ok_and(|other| other.lies_in(directory));
        self.now.directories.iter().any(is_in) || self.now.files.iter().any(is_in)
    }
}

impl Host for World {
    fn missing_directories(&self, path: &HostPath) -> Result<u32, Fault> {
        self.call(
            "missing-directories",
            || path.to_string(),
            |state| {
                let all = with_those_above(path);
                let missing = all
                    .iter()
                    .filter(|path| !state.now.directories.contains(&path.key()));
                Ok(u32::try_from(missing.count()).unwrap_or(u32::MAX))
            },
        )
    }

    fn make_directory(&self, path: &HostPath) -> Result<(), Fault> {
        self.call(
            "make-directory",
            || path.to_string(),
            |state| {
                for path in with_those_above(path) {
                    if state.now.files.contains(&path.key()) {
                        return refused(FaultKind::AlreadyExists, format!("{path} is a file"));
                    }
                    state.now.directories.insert(path.key());
                }
                Ok(())
            },
        )
    }

    fn remove_made_directories(&self, path: &HostPath, count: u32) -> Result<(), Fault> {
        self.call(
            "remove-made-directories",
            || path.to_string(),
            |state| {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                for path in with_those_above(path).into_iter().take(count) {
                    if state.is_filled(&path) {
                        break;
                    }
                    let key = path.key();
                    if state
                        .now
                        .shares
                        .values()
                        .any(|share| share.path.key() == key)
                    {
                        state.hurt(format!("{path} was removed while it was shared"));
                    }
                    state.now.directories.remove(&key);
                }
                Ok(())
            },
        )
    }

    fn make_image(&self, path: &HostPath, _size: u64) -> Result<(), Fault> {
        self.call(
            "make-image",
            || path.to_string(),
            |state| {
                if !state.now.files.insert(path.key()) {
                    return refused(FaultKind::AlreadyExists, format!("{path} is there"));
                }
                Ok(())
            },
        )
    }

    fn remove_image(&self, path: &HostPath) -> Result<(), Fault> {
        self.call(
            "remove-image",
            || path.to_string(),
            |state| {
                let key = path.key();
                if state.now.disks.values().any(|(file, ..)| *file == key) {
                    state.hurt(format!("{path} was removed while it was attached"));
                }
                state.now.files.remove(&key);
                Ok(())
            },
        )
    }

    fn serve_disk(&self, path: &HostPath, serial: &str, read_only: bool) -> Result<(), Fault> {
        self.call(
            "serve-disk",
            || serial.to_owned(),
            |state| {
                let key = path.key();
                if !state.now.files.contains(&key) {
                    return refused(FaultKind::NotFound, format!("{path} is not there"));
                }
                let wanted = (key, read_only);
                match state.now.exports.get(serial) {
                    Some(there) if *there == wanted => return Ok(()),
                    Some(_) => {
                        return refused(FaultKind::AlreadyExists, "another disk is served so");
                    }
                    None => {}
                }
                if state
                    .now
                    .exports
                    .values()
                    .any(|(file, _)| *file == wanted.0)
                {
                    return refused(FaultKind::Busy, format!("{path} is served already"));
                }
                state.now.exports.insert(serial.to_owned(), wanted);
                Ok(())
            },
        )
    }

    fn stop_serving(&self, serial: &str) -> Result<(), Fault> {
        self.call(
            "stop-serving",
            || serial.to_owned(),
            |state| {
                if state
                    .now
                    .disks
                    .values()
                    .any(|(_, known, _)| known == serial)
                {
                    state.hurt(format!("the export {serial} ended under the machine"));
                }
                state.now.exports.remove(serial);
                Ok(())
            },
        )
    }

    fn credentials(&self, source: &SmbSource) -> Result<Option<Credentials>, Fault> {
        self.call(
            "credentials",
            || source.unc(),
            |_| {
                Ok(source.user.as_ref().map(|user| Credentials {
                    user: user.clone(),
                    domain: None,
                    password: "not a secret".into(),
                }))
            },
        )
    }
}
