//! Changing an NTFS volume at rest.
//!
//! ```text
//!   add, remove, attributes     what is asked for, in terms of files and names
//!        |
//!   names, content, secure      keys of directories, data in clusters, descriptors by number
//!        |
//!   index, node                 B-trees: insert with splits, remove with replacement
//!        |
//!   volume, place, table        files in memory; their records; the master file table
//!        |
//!   space, record, layout       clusters, and bytes taken apart
//!        |
//!   change::Overlay             nothing reaches the disk but data in free clusters
//! ```
//! Structures that are not touched stay as they are, byte for byte. What is not known here (a volume
//! not cleanly unmounted, quotas in force, compressed or encrypted files that would be written) is
//! refused before anything is changed.

mod add;
mod attributes;
mod blocks;
mod bytes;
mod check;
mod content;
mod free;
mod index;
mod layout;
mod moves;
mod names;
mod node;
mod place;
mod record;
mod remove;
mod resize;
mod rules;
mod secure;
mod space;
mod table;
mod volume;

use crate::change::{
    ChangeError, ChangeOptions, ChangeSet, Folders, Meter, Overlay, PathNames, Removed, State,
};
use crate::report::BuildReport;
use crate::security::{AccessRules, PathRules, SecurityDescriptor};
use crate::tree::{Attributes, TreeSource};
pub(crate) use free::visit_free;
use names::ROOT;
use table::MFT;
use volume::Volume;

/// A volume that is being changed.
pub(crate) struct NtfsChange<'d> {
    volume: Volume<'d>,
    options: ChangeOptions,
}

impl<'d> NtfsChange<'d> {
    /// The volume on a partition, if it may be changed.
    pub(crate) fn open(
        disk: Overlay<'d>,
        options: ChangeOptions,
        state: State,
    ) -> Result<Self, ChangeError> {
        let mut volume = Volume::load(disk, options.now)?;
        if state == State::Clean {
            volume.refuse_unclean()?;
            volume.refuse_quotas()?;
        }
        Ok(Self { volume, options })
    }

    /// What a path leads to; whether it is a directory.
    pub(crate) fn find(&mut self, path: &PathNames) -> Result<Option<bool>, ChangeError> {
        match self.volume.resolve(path) {
            Ok(None) => Ok(Some(true)),
            Ok(Some(found)) => Ok(Some(self.volume.loaded(found.record)?.is_directory())),
            Err(ChangeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn set_access_rules(&mut self, rules: AccessRules) {
        self.volume.rules = Some(PathRules::new(rules));
    }

    pub(crate) fn add_tree(
        &mut self,
        directory: &PathNames,
        source: &mut dyn TreeSource,
        meter: &mut Meter<'_>,
    ) -> Result<BuildReport, ChangeError> {
        self.volume
            .add_tree(directory, source, self.options.name_policy, meter)
    }

    pub(crate) fn remove(
        &mut self,
        path: &PathNames,
        recursive: bool,
    ) -> Result<Removed, ChangeError> {
        self.volume.remove(path, recursive)
    }

    pub(crate) fn rename(
        &mut self,
        from: &PathNames,
        to: &PathNames,
        replace: bool,
    ) -> Result<(), ChangeError> {
        let (parent, name) = to.split_last().ok_or_else(|| ChangeError::Exists {
            path: to.to_string(),
        })?;
        let directory = self.volume.resolve_directory(&parent)?;
        to.check_new(parent.names().len(), &|unit| self.volume.upcased(unit))?;
        self.volume.rename(from, directory, name, replace)
    }

    pub(crate) fn set_attributes(
        &mut self,
        path: &PathNames,
        set: Attributes,
        clear: Attributes,
    ) -> Result<(), ChangeError> {
        self.volume.set_attributes(path, set, clear)
    }

    pub(crate) fn set_security(
        &mut self,
        path: &PathNames,
        descriptor: &SecurityDescriptor,
    ) -> Result<(), ChangeError> {
        self.volume.set_security(path, descriptor)
    }

    pub(crate) fn label(&mut self) -> Result<String, ChangeError> {
        self.volume.label()
    }

    pub(crate) fn set_label(&mut self, label: &str) -> Result<(), ChangeError> {
        self.volume.set_label(label)
    }

    /// Bytes of the smallest partition that what is on the volume fits in.
    pub(crate) fn minimum(&mut self) -> Result<u64, ChangeError> {
        self.volume.minimum()
    }

    /// Lets the volume fill a partition of `bytes`, of which the overlay holds as much as it needs.
    pub(crate) fn resize(&mut self, bytes: u64, meter: &mut Meter<'_>) -> Result<(), ChangeError> {
        self.volume.resize(bytes, meter)
    }

    /// Moves what is in the ranges `leave` to free clusters in the ranges `into`, in bytes of the
    /// partition.
    pub(crate) fn evacuate(
        &mut self,
        leave: &[(u64, u64)],
        into: &[(u64, u64)],
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        self.volume.evacuate(leave, into, meter)
    }

    /// Stores all that was changed.
    pub(crate) fn finish(mut self) -> Result<ChangeSet, ChangeError> {
        let volume = &mut self.volume;
        // What leaves its record takes other space, which directories show.
        for record in volume.loaded_files(|file| file.is_dirty && file.number != MFT) {
            volume.make_room(record)?;
        }
        for record in volume.loaded_files(|file| file.is_listing_stale) {
            // System files are listed as Windows left them, which does not keep that up either.
            if record >= 24 || record == ROOT {
                volume.refresh_listing(record)?;
            }
        }
        // Storing a file may take records, which makes the table dirty; so the table comes last.
        for record in volume.loaded_files(|file| file.is_dirty && file.number != MFT) {
            volume.store(record)?;
        }
        if !volume
            .loaded_files(|file| file.is_dirty && file.number == MFT)
            .is_empty()
        {
            volume.store(MFT)?;
        }
        volume.space.store(&mut volume.disk)?;
        let guards = volume.guards()?;
        self.volume.disk.into_change_set(guards)
    }
}

impl Folders for NtfsChange<'_> {
    /// The number of its record.
    type Folder = u64;

    fn top(&self) -> u64 {
        ROOT
    }

    fn has(&mut self, folder: u64, name: &[u16]) -> Result<bool, ChangeError> {
        Ok(self.volume.lookup(folder, name)?.is_some())
    }

    fn folder_at(&mut self, path: &PathNames) -> Result<u64, ChangeError> {
        self.volume.resolve_directory(path)
    }

    fn make_folder(&mut self, folder: u64, path: &PathNames) -> Result<u64, ChangeError> {
        let Some((above, name)) = path.split_last() else {
            return Ok(folder);
        };
        path.check_new(above.names().len(), &|unit| self.volume.upcased(unit))?;
        self.volume.make_directory(folder, name, path)
    }
}
