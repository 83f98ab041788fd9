//! Making directories, the same way on every file system.

use super::{ChangeError, PathNames};

/// What it takes of a file system to make directories on it.
pub(crate) trait Folders {
    /// What a directory is known by.
    type Folder: Copy;

    /// The top of the volume.
    fn top(&self) -> Self::Folder;

    /// Whether a directory has something of this name.
    fn has(&mut self, folder: Self::Folder, name: &[u16]) -> Result<bool, ChangeError>;

    /// The directory that a path leads to.
    fn folder_at(&mut self, path: &PathNames) -> Result<Self::Folder, ChangeError>;

    /// Makes the last name of a path a directory of `folder`, which has nothing of that name.
    fn make_folder(
        &mut self,
        folder: Self::Folder,
        path: &PathNames,
    ) -> Result<Self::Folder, ChangeError>;
}

/// Makes the directory that a path names. With `parents` those above it are made as well, and what is
/// there already is fine.
///
/// # Errors
/// `Exists`, `NotFound`, `WrongKind`, those of the names, of the volume and of its disk.
pub(crate) fn make_directory<F: Folders>(
    volume: &mut F,
    path: &PathNames,
    parents: bool,
) -> Result<(), ChangeError> {
    let exists = |path: &PathNames| ChangeError::Exists {
        path: path.to_string(),
    };
    if path.is_top() && !parents {
        return Err(exists(path));
    }
    let mut at = volume.top();
    let count = path.names().len();
    for (depth, name) in path.names().iter().enumerate() {
        let is_last = depth + 1 == count;
        let below = path.first(depth + 1);
        at = match volume.has(at, name)? {
            false if is_last || parents => volume.make_folder(at, &below)?,
            false => {
                return Err(ChangeError::NotFound {
                    path: below.to_string(),
                });
            }
            true if is_last && !parents => return Err(exists(&below)),
            true => volume.folder_at(&below)?,
        };
    }
    Ok(())
}
