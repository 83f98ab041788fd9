//! Where things are: the workspace's root, cargo's target folder, and the corpus of real images.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The workspace's root folder: the parent of this crate's.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target folder: `CARGO_TARGET_DIR` or `target` in the root.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// A folder of our own under the target folder, made when it is not there.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, Failure> {
    let folder = target().join(name);
    std::fs::create_dir_all(&folder).map_err(|error| Failure::io("making", &folder, &error))?;
    Ok(folder)
}

/// A folder of our own under the target folder, empty.
pub(crate) fn empty_scratch(name: &str) -> Result<PathBuf, Failure> {
    remove_tree(&target().join(name))?;
    scratch(name)
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(crate) fn remove_tree(folder: &Path) -> Outcome {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("removing", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("reading", path, &error))
}

/// Reads a whole file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("reading", path, &error))
}

/// Writes a whole file, with the folders above it.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Outcome {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("making", parent, &error))?;
    }
    std::fs::write(path, bytes).map_err(|error| Failure::io("writing", path, &error))
}

/// Lets a file be run.
#[cfg(unix)]
pub(crate) fn make_executable(program: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| Failure::io("making executable", program, &error))
}

/// Lets a file be run, which needs nothing here.
#[cfg(not(unix))]
pub(crate) fn make_executable(_program: &Path) -> Outcome {
    Ok(())
}
