//! Changing what is in a disk at rest, in a volume or an image file: all that is asked for in one
//! call happens, or nothing of it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blockio::ByteCount;
use volume::host_tree::{HostFile, HostTree, HostTreeOptions};
use volume::{
    Attributes, BuildReport, ChangeError, ChangeOptions, ChangeWork, FoundKind, NamePolicy,
    NodeName, NtTime, PathNames, Removed, SddlErrorKind, SecurityDescriptor, VolumeChange,
    VolumeError,
};

use crate::Engine;
use crate::access;
use crate::compact::refuse_parent;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::place::Place;
use crate::progress::{Progress, ProgressFn};
use crate::volumes::volume_name;

/// What is to be copied into a volume or image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyIn {
    /// Files, links and directories of the host; of a path that ends with `/.`, the content.
    pub sources: Vec<PathBuf>,
    /// A directory that exists, to copy into; else the name of the copy.
    pub target: Place,
    /// What becomes of names that Windows cannot use.
    pub name_policy: NamePolicy,
    /// Whether unreadable and changing files are left out and listed, instead of ending the copy.
    pub keep_going: bool,
    /// A file of rules of access for paths in the volume: what they match among what is copied gets
    /// what they say, also where it was there.
    pub access_rules: Option<PathBuf>,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiedIn {
    /// Files stored.
    pub files: u64,
    /// Directories made or filled.
    pub directories: u64,
    /// Links stored.
    pub symlinks: u64,
    /// Bytes of data stored, holes not counted.
    pub bytes: ByteCount,
    /// What was left out, or stored otherwise than it is, in words.
    pub notes: Vec<String>,
}

impl CopiedIn {
    fn add(&mut self, report: &BuildReport) {
        self.files += report.files;
        self.directories += report.directories;
        self.symlinks += report.symlinks;
        self.bytes = ByteCount(self.bytes.get() + report.bytes.get());
        for skipped in &report.skipped {
            self.notes
                .push(format!("{}: left out: {}", skipped.path, skipped.reason));
        }
        for changed in &report.changed {
            self.notes
                .push(format!("{}: {}", changed.path, changed.change));
        }
        for note in &report.name_notes {
            self.notes.push(format!(
                "{}: stored as {:?}: the name {}",
                note.path, note.stored_as, note.reason
            ));
        }
    }
}

type ChangeResult<T> = std::result::Result<T, ChangeError>;

impl Engine {
    /// Copies files and directories of the host into a disk. Files that exist are replaced (their
    /// access control stays), directories are filled.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument`, `InUse`, `Damaged` (also where the volume was not unmounted
    /// cleanly), `Unsupported` (also rules of access on FAT), `NoSpace`, `Interrupted`, `Io`. The volume is
    /// then as it was.
    pub fn copy_in(&self, request: &CopyIn, progress: ProgressFn<'_>) -> Result<CopiedIn> {
        for source in &request.sources {
            fs::symlink_metadata(source).map_err(Error::host("read", source))?;
        }
        let target = path_of(&request.target)?;
        let rules = request.access_rules.as_deref().map(access::read_rules);
        let rules = rules.transpose()?;
        let options = ChangeOptions {
            name_policy: request.name_policy,
            ..options()
        };
        self.change(&request.target.image, options, &mut |volume| {
            let mut copied = CopiedIn::default();
            if let Some(rules) = &rules {
                volume.set_access_rules(rules.clone())?;
            }
            for source in &request.sources {
                copy_one(volume, source, &target, request, progress, &mut copied)?;
            }
            Ok(copied)
        })
    }

    /// Removes a file or directory in a disk; a directory that is not empty only with `recursive`.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`].
    pub fn remove_path(&self, place: &Place, recursive: bool) -> Result<Removed> {
        let path = path_of(place)?;
        self.change(&place.image, options(), &mut |volume| {
            volume.remove(&path, recursive)
        })
    }

    /// Makes a directory in a disk; with `parents` also those above, and it may be there already.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`]; `AlreadyExists`.
    pub fn make_directory(&self, place: &Place, parents: bool) -> Result<()> {
        let path = path_of(place)?;
        self.change(&place.image, options(), &mut |volume| {
            volume.make_directory(&path, parents)
        })
    }

    /// Moves a file or directory within a disk: into a directory that exists, or to a new name.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`]; `AlreadyExists` where a file is there and `replace` is not given.
    pub fn move_path(&self, from: &Place, to: &Place, replace: bool) -> Result<()> {
        if from.image != to.image {
            return Err(Error::Unsupported {
                feature: "moving from one volume to another".to_owned(),
            });
        }
        let (from_path, to_path) = (path_of(from)?, path_of(to)?);
        self.change(&from.image, options(), &mut |volume| {
            let found = volume.find(&to_path)?;
            let last = from_path
                .split_last()
                .and_then(|(_, name)| NodeName::new(name.to_vec()).ok());
            let to_path = match (found, last) {
                (Some(FoundKind::Directory), Some(name)) if to_path != from_path => {
                    to_path.child(&name)
                }
                _ => to_path.clone(),
            };
            volume.rename(&from_path, &to_path, replace)
        })
    }

    /// Sets and clears attributes of a file or directory in a disk.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`].
    pub fn set_attributes(&self, place: &Place, set: Attributes, clear: Attributes) -> Result<()> {
        let path = path_of(place)?;
        self.change(&place.image, options(), &mut |volume| {
            volume.set_attributes(&path, set, clear)
        })
    }

    /// Replaces the access control of a file or directory in a disk. `access` is SDDL or the name of
    /// a preset; an owner and group that it does not say stay, and so does what lies below.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`].
    pub fn set_access(&self, place: &Place, access: &str) -> Result<()> {
        let descriptor = SecurityDescriptor::from_sddl_or_preset(access).map_err(|error| {
            let message = format!("\"{access}\" is no access control: {error}");
            match error.kind() {
                SddlErrorKind::Unsupported => Error::Unsupported { feature: message },
                _ => Error::InvalidRequest { message },
            }
        })?;
        let path = path_of(place)?;
        self.change(&place.image, options(), &mut |volume| {
            volume.set_security(&path, &descriptor)
        })
    }

    /// The label of the volume in an image; empty where it has none.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported`, `Io`.
    pub fn label(&self, image: &ImageReference) -> Result<String> {
        let disk = self.open_disk(image, None)?;
        let label = VolumeChange::label_of(&*disk);
        Ok(label.map_err(|source| VolumeError::Change {
            name: image.to_string(),
            source,
        })?)
    }

    /// Changes the label of the volume in an image.
    ///
    /// # Errors
    /// As for [`Engine::copy_in`].
    pub fn set_label(&self, image: &ImageReference, label: &str) -> Result<()> {
        self.change(image, options(), &mut |volume| volume.set_label(label))
    }

    fn change<T>(
        &self,
        image: &ImageReference,
        options: ChangeOptions,
        work: ChangeWork<'_, T>,
    ) -> Result<T> {
        let changed = match image {
            ImageReference::File(path) => {
                // A file that is not there is said so as by every other verb.
                fs::metadata(path).map_err(Error::host("open", path))?;
                refuse_parent(path, "changing")?;
                let gate = self.gate(image)?;
                volume::change_image(path, None, &*gate, options, work)
            }
            ImageReference::Volume(name) => {
                self.store()?.change(&volume_name(name)?, options, work)
            }
        };
        changed.map_err(|error| match error {
            VolumeError::Change {
                source: ChangeError::Interrupted,
                ..
            } => Error::Interrupted,
            error => error.into(),
        })
    }
}

pub(crate) fn options() -> ChangeOptions {
    ChangeOptions {
        now: NtTime::from(SystemTime::now()),
        name_policy: NamePolicy::Map,
    }
}

fn path_of(place: &Place) -> Result<PathNames> {
    PathNames::new(&place.path).map_err(|error| {
        let (name, source) = (place.image.to_string(), ChangeError::Name(error));
        VolumeError::Change { name, source }.into()
    })
}

/// Copies one file or directory.
fn copy_one(
    volume: &mut VolumeChange<'_>,
    source: &Path,
    target: &PathNames,
    request: &CopyIn,
    progress: ProgressFn<'_>,
    copied: &mut CopiedIn,
) -> ChangeResult<()> {
    let (bytes, files) = (copied.bytes.get(), copied.files);
    let report = |more_bytes: u64, more_files: u64| -> ControlFlow<()> {
        let done = ByteCount(bytes + more_bytes);
        progress(Progress {
            done,
            total: None,
            files: Some(files + more_files),
        })
    };
    let is_content = ends_with_dot(source);
    let found = volume.find(target)?;
    let is_into = found == Some(FoundKind::Directory);
    if !is_into && (request.sources.len() > 1 || request.target.path.ends_with(['/', '\\'])) {
        return Err(match found {
            None => ChangeError::NotFound {
                path: target.to_string(),
            },
            Some(_) => ChangeError::WrongKind {
                path: target.to_string(),
                is: "not a directory",
            },
        });
    }
    let own_name = || -> ChangeResult<NodeName> {
        // Of `..` and the like, the name is that of what they lead to.
        let real = match source.file_name() {
            Some(name) => PathBuf::from(name),
            None => source.canonicalize().map_err(|error| {
                volume::TreeError::unreadable(source.display().to_string(), error)
            })?,
        };
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        Ok(NodeName::from_text(&name)?)
    };
    if source.is_dir() && (is_content || !is_link(source)) {
        let directory = match (is_into, is_content) {
            (true, false) => target.child(&own_name()?),
            _ => target.clone(),
        };
        let options = HostTreeOptions {
            keep_going: request.keep_going,
            split_links: !volume.has_hard_links(),
            ..HostTreeOptions::default()
        };
        let mut tree = HostTree::open(source, options)?;
        if volume.find(&directory)? != Some(FoundKind::Directory) {
            volume.make_directory(&directory, false)?;
            copied.directories += 1;
        }
        copied.add(&volume.add_tree(&directory, &mut tree, &report)?);
        copied.notes.extend(
            tree.notes()
                .iter()
                .map(|note| format!("{}: {}", note.path, note.reason)),
        );
        return Ok(());
    }
    let (directory, name) = match (is_into, target.split_last()) {
        (true, _) => (target.clone(), None),
        (false, Some((directory, name))) => (directory, Some(NodeName::new(name.to_vec())?)),
        (false, None) => {
            return Err(ChangeError::Exists {
                path: target.to_string(),
            });
        }
    };
    let mut file = HostFile::open(source, name)?;
    copied.add(&volume.add_tree(&directory, &mut file, &report)?);
    Ok(())
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
}

/// Whether a path ends with `/.`, which `Path` itself does not tell.
fn ends_with_dot(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes == b"." || bytes.ends_with(b"/.") || (cfg!(windows) && bytes.ends_with(b"\\."))
}
