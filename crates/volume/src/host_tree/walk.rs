//! The walk: depth first, each directory's names in order, beneath one open handle.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata};
use mkfs::{NodeId, NodeName, TreeError, TreeErrorKind};

use super::name;

/// Levels that are entered; each keeps a handle open.
const MAX_DEPTH: usize = 512;

/// Something in a directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) directory: Arc<Dir>,
    pub(super) os_name: OsString,
    pub(super) name: NodeName,
    pub(super) name_is_mapped: bool,
    pub(super) parent: NodeId,
    /// From the root down.
    pub(super) path: String,
    /// Of itself, not of what a link points to.
    pub(super) metadata: Metadata,
}

#[derive(Debug)]
struct Level {
    directory: Arc<Dir>,
    id: NodeId,
    /// With `/` at its end; empty for the root.
    prefix: String,
    names: std::vec::IntoIter<Listed>,
}

#[derive(Debug)]
struct Listed {
    units: Vec<u16>,
    is_mapped: bool,
    os_name: OsString,
}

/// Where the walk stands.
#[derive(Debug)]
pub(super) struct Walk {
    levels: Vec<Level>,
}

impl Walk {
    /// A walk below `root`.
    pub(super) fn new(root: Arc<Dir>, id: NodeId) -> io::Result<Self> {
        let names = sorted_names(&root)?;
        Ok(Self {
            levels: vec![Level {
                directory: root,
                id,
                prefix: String::new(),
                names,
            }],
        })
    }

    /// A walk over one name of a directory.
    pub(super) fn of_one(root: Arc<Dir>, id: NodeId, os_name: &OsStr) -> Self {
        let (units, is_mapped) = name::units_of(os_name);
        let listed = Listed {
            units,
            is_mapped,
            os_name: os_name.to_owned(),
        };
        Self {
            levels: vec![Level {
                directory: root,
                id,
                prefix: String::new(),
                names: vec![listed].into_iter(),
            }],
        }
    }

    /// The next thing found; directories are entered where [`Walk::enter`] is called.
    pub(super) fn next(&mut self) -> Result<Option<Found>, TreeError> {
        loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            let Some(listed) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let path = format!(
                "{}{}",
                level.prefix,
                String::from_utf16_lossy(&listed.units)
            );
            let metadata = level
                .directory
                .symlink_metadata(&listed.os_name)
                .map_err(|error| TreeError::unreadable(path.clone(), error))?;
            let name = NodeName::new(listed.units).map_err(|error| {
                let what = format!("its name {}", error.reason());
                TreeError::new(TreeErrorKind::Unreadable, path.clone(), what)
            })?;
            return Ok(Some(Found {
                directory: Arc::clone(&level.directory),
                os_name: listed.os_name,
                name,
                name_is_mapped: listed.is_mapped,
                parent: level.id,
                path,
                metadata,
            }));
        }
    }

    /// Goes on with what lies in a directory that was found, which has the number `id`.
    pub(super) fn enter(&mut self, found: &Found, id: NodeId) -> Result<(), TreeError> {
        if self.levels.len() >= MAX_DEPTH {
            let what = format!("lies more than {MAX_DEPTH} directories deep");
            return Err(TreeError::new(
                TreeErrorKind::TooLarge,
                found.path.clone(),
                what,
            ));
        }
        let open = || {
            let directory = found.directory.open_dir_nofollow(&found.os_name)?;
            let names = sorted_names(&directory)?;
            io::Result::Ok((directory, names))
        };
        let (directory, names) =
            open().map_err(|error| TreeError::unreadable(found.path.clone(), error))?;
        self.levels.push(Level {
            directory: Arc::new(directory),
            id,
            prefix: format!("{}/", found.path),
            names,
        });
        Ok(())
    }
}

/// The names of a directory in the order of their code units.
fn sorted_names(directory: &Dir) -> io::Result<std::vec::IntoIter<Listed>> {
    let mut names = Vec::new();
    for entry in directory.entries()? {
        let os_name = entry?.file_name();
        let (units, is_mapped) = name::units_of(&os_name);
        names.push(Listed {
            units,
            is_mapped,
            os_name,
        });
    }
    names.sort_unstable_by(|a, b| a.units.cmp(&b.units));
    Ok(names.into_iter())
}
