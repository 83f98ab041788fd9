//! Changing a volume at rest: files and directories added, removed, renamed, without mounting.
//!
//! ```text
//!   VolumeChange        what is asked for, one after another
//!     /      \
//!   ntfs    fat32       structures read through, and written to, an overlay
//!     \      /
//!   overlay             nothing on the disk changes, but for file data in free clusters
//!      |
//!   ChangeSet           every sector that is to change, as it was and as it will be
//!      |
//!   journal             commit: all of it, or nothing; recover: after a crash
//! ```
//! A change that fails or is dropped leaves the volume as it was.

mod checksum;
mod error;
mod folders;
mod journal;
mod overlay;
mod path;

use std::ops::ControlFlow;

use blockio::{ByteOffset, ByteRange, Disk};

use crate::error::MkfsErrorKind;
use crate::fat32::Fat32Change;
use crate::identify::{FileSystem, identify, identify_range};
use crate::names::NamePolicy;
use crate::ntfs::NtfsChange;
use crate::report::BuildReport;
use crate::security::{AccessRules, SecurityDescriptor};
use crate::tree::{Attributes, NtTime, TreeSource};

pub use error::{ChangeError, ChangeErrorKind};
pub(crate) use folders::{Folders, make_directory};
pub use journal::{ChangeSet, ChangedDisk, Growth, Recovery, forget, recover};
pub(crate) use overlay::Overlay;
pub(crate) use path::MAX_DEPTH;
pub use path::PathNames;

/// How a volume is changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangeOptions {
    /// The time of the change.
    pub now: NtTime,
    /// What is done with names that Windows cannot use.
    pub name_policy: NamePolicy,
}

/// In which state a volume may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Unmounted cleanly: it is going to be changed.
    Clean,
    /// Any: it is only looked at.
    Any,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of files and links.
    pub files: u64,
    /// Directories.
    pub directories: u64,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A directory.
    Directory,
    /// A file, a link, or what only Windows understands.
    File,
}

/// Tells the caller how far a change came, and hears whether to go on.
pub(crate) struct Meter<'p> {
    progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>,
    pub bytes: u64,
    pub entries: u64,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>) -> Self {
        Self {
            progress,
            bytes: 0,
            entries: 0,
        }
    }

    pub(crate) fn tell(&self) -> ControlFlow<()> {
        (self.progress)(self.bytes, self.entries)
    }
}

/// A volume that is being changed. Nothing has happened until the [`ChangeSet`] that
/// [`VolumeChange::finish`] returns is committed. After an error it is of no more use.
pub struct VolumeChange<'d>(Kind<'d>);

enum Kind<'d> {
    Ntfs(Box<NtfsChange<'d>>),
    Fat32(Box<Fat32Change<'d>>),
}

/// Does the same with every kind of file system.
macro_rules! each {
    ($self:expr, $change:ident => $work:expr) => {
        match &mut $self.0 {
            Kind::Ntfs($change) => $work,
            Kind::Fat32($change) => $work,
        }
    };
}

impl<'d> VolumeChange<'d> {
    /// The first file system on a disk (of a partition by GPT or MBR, or of the whole disk) that
    /// can be changed.
    ///
    /// # Errors
    /// `Unsupported` where there is none, or one in a state that is not known here; `Unclean`,
    /// `Damaged`, `Io`.
    pub fn open(disk: &'d dyn Disk, options: ChangeOptions) -> Result<Self, ChangeError> {
        Self::open_as(disk, options, State::Clean)
    }

    fn open_as(
        disk: &'d dyn Disk,
        options: ChangeOptions,
        state: State,
    ) -> Result<Self, ChangeError> {
        let whole = ByteRange::new(ByteOffset(0), disk.size());
        let ranges = match crate::gpt::partitions(disk) {
            Ok(partitions) => partitions.iter().map(|entry| entry.range).collect(),
            Err(error) if error.kind() == MkfsErrorKind::NotFound => {
                let mut ranges: Vec<ByteRange> = whole.into_iter().collect();
                if identify(disk)? == FileSystem::Unknown {
                    ranges = crate::gpt::mbr_partitions(disk)?;
                }
                ranges
            }
            Err(error) => return Err(error.into()),
        };
        for range in ranges {
            if let Some(change) = Self::open_range(disk, range, options, state)? {
                return Ok(change);
            }
        }
        Err(ChangeError::Unsupported(
            "changing a disk without a file system of NTFS or FAT32",
        ))
    }

    fn open_range(
        disk: &'d dyn Disk,
        range: ByteRange,
        options: ChangeOptions,
        state: State,
    ) -> Result<Option<Self>, ChangeError> {
        let overlay = Overlay::new(disk, range);
        Ok(match identify_range(disk, range)? {
            FileSystem::Ntfs => Some(Self(Kind::Ntfs(Box::new(NtfsChange::open(
                overlay, options, state,
            )?)))),
            FileSystem::Fat32 => Some(Self(Kind::Fat32(Box::new(Fat32Change::open(
                overlay, options, state,
            )?)))),
            _ => None,
        })
    }

    /// What a path leads to; `None` where there is nothing.
    ///
    /// # Errors
    /// `Damaged`, `Io`; `InvalidArgument` where it leads to a system file.
    pub fn find(&mut self, path: &PathNames) -> Result<Option<FoundKind>, ChangeError> {
        let found = each!(self, change => change.find(path))?;
        Ok(found.map(|is_directory| match is_directory {
            true => FoundKind::Directory,
            false => FoundKind::File,
        }))
    }

    /// Has what is added from now on, and what a tree that is added comes upon, get the access control
    /// that rules say for its path in the volume, with what it inherits. Where no rule matches, and of
    /// directories that lead there, all stays as without rules.
    ///
    /// # Errors
    /// `Unsupported` on FAT, where there is any rule.
    pub fn set_access_rules(&mut self, rules: AccessRules) -> Result<(), ChangeError> {
        match &mut self.0 {
            _ if rules.is_empty() => Ok(()),
            Kind::Ntfs(change) => {
                change.set_access_rules(rules);
                Ok(())
            }
            Kind::Fat32(_) => Err(ChangeError::Unsupported("access control on FAT")),
        }
    }

    /// Adds a tree to a directory. Directories that exist are filled; files that exist get the new
    /// content, and on NTFS keep their access control and their other names. `progress` is told
    /// the bytes and entries so far, and may ask to stop.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` (a file in a directory's place or the reverse), `NoSpace`,
    /// `Unsupported`, `Source`, `Interrupted`, `Damaged`, `Io`.
    pub fn add_tree(
        &mut self,
        directory: &PathNames,
        source: &mut dyn TreeSource,
        progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
    ) -> Result<BuildReport, ChangeError> {
        let mut meter = Meter::new(progress);
        each!(self, change => change.add_tree(directory, source, &mut meter))
    }

    /// Whether a file can have several names.
    pub fn has_hard_links(&self) -> bool {
        matches!(self.0, Kind::Ntfs(_))
    }

    /// Makes a directory; with `parents` also those above it, and it may be there already.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` (the directory above), `InvalidArgument` (the name), `NoSpace`,
    /// `Damaged`, `Io`.
    pub fn make_directory(&mut self, path: &PathNames, parents: bool) -> Result<(), ChangeError> {
        each!(self, change => make_directory(change.as_mut(), path, parents))
    }

    /// Removes a file, a link, an empty directory or, with `recursive`, a directory and all below.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` (not empty, a system file), `Damaged`, `Io`.
    pub fn remove(&mut self, path: &PathNames, recursive: bool) -> Result<Removed, ChangeError> {
        each!(self, change => change.remove(path, recursive))
    }

    /// Gives a file or directory another path. With `replace` a file there is removed first.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InvalidArgument` (into itself, the name), `NoSpace`,
    /// `Damaged`, `Io`.
    pub fn rename(
        &mut self,
        from: &PathNames,
        to: &PathNames,
        replace: bool,
    ) -> Result<(), ChangeError> {
        each!(self, change => change.rename(from, to, replace))
    }

    /// Sets and clears attributes.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported`, `Damaged`, `Io`.
    pub fn set_attributes(
        &mut self,
        path: &PathNames,
        set: Attributes,
        clear: Attributes,
    ) -> Result<(), ChangeError> {
        each!(self, change => change.set_attributes(path, set, clear))
    }

    /// Replaces the access control of a file or directory; an owner or group that is not said stays,
    /// and so does what lies below.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported` on FAT, `NoSpace`, `Damaged`, `Io`.
    pub fn set_security(
        &mut self,
        path: &PathNames,
        descriptor: &SecurityDescriptor,
    ) -> Result<(), ChangeError> {
        each!(self, change => change.set_security(path, descriptor))
    }

    /// The label of the volume on a disk that is not to be changed; it may be in any state.
    ///
    /// # Errors
    /// `Unsupported` where there is no file system that is known here; `Damaged`, `Io`.
    pub fn label_of(disk: &dyn Disk) -> Result<String, ChangeError> {
        let options = ChangeOptions {
            now: NtTime::UNIX_EPOCH,
            name_policy: NamePolicy::Strict,
        };
        VolumeChange::open_as(disk, options, State::Any)?.label()
    }

    /// The label of the volume; empty where it has none.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn label(&mut self) -> Result<String, ChangeError> {
        each!(self, change => change.label())
    }

    /// Changes the label of the volume.
    ///
    /// # Errors
    /// `InvalidArgument` where the file system cannot hold it, `NoSpace`, `Damaged`, `Io`.
    pub fn set_label(&mut self, label: &str) -> Result<(), ChangeError> {
        each!(self, change => change.set_label(label))
    }

    /// All that is to be written, to be committed.
    ///
    /// # Errors
    /// `NoSpace`, `Unsupported`, `Damaged`, `Io`.
    pub fn finish(self) -> Result<ChangeSet, ChangeError> {
        match self.0 {
            Kind::Ntfs(change) => change.finish(),
            Kind::Fat32(change) => change.finish(),
        }
    }
}
