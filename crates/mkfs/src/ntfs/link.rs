//! Symbolic links: they wait for the end of the tree, when it is known what they lead to.
//!
//! A link whose target exists on the volume, spelled exactly so and reached through real directories,
//! is one that Windows follows. All others keep their text alone (see [`super::reparse`]).

use super::attribute::Attribute;
use super::build::Builder;
use super::directory::{DirectoryIndex, Listing};
use super::file::{file_record, new_listing};
use super::folder::empty_index;
use super::format::{AttributeKind, FILE_ARCHIVE, FILE_NAME_DIRECTORY, FILE_REPARSE_POINT};
use super::reparse::{self, Destination, ReparsePoint};
use super::stream::StreamBuilder;
use crate::error::MkfsError;
use crate::report::{SkipReason, Skipped};
use crate::tree::TreeEntry;

/// A link that was listed in its directory and has no record yet.
pub(super) struct PendingLink {
    parent: DirectoryIndex,
    name: Vec<u16>,
    target: Vec<u16>,
    /// Whether the source says that it leads to a directory.
    directory: bool,
    listing: Listing,
}

impl Builder<'_, '_> {
    /// A symbolic link arrives.
    pub(super) fn add_symlink(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
        target: Vec<u16>,
        directory: bool,
    ) -> Result<(), MkfsError> {
        if reparse::symlink(&target, Destination::Elsewhere)?.is_none() {
            self.report.skipped.push(Skipped {
                path: self.directories.path(parent, &entry.name),
                reason: SkipReason::SymlinkTarget,
            });
            return Ok(());
        }
        let name = self.admit(parent, entry)?;
        let mut listing = new_listing(entry, self.mft.take_late());
        listing.attributes |= FILE_REPARSE_POINT;
        self.directories.list_in(parent, &name, listing);
        self.report.symlinks += 1;
        self.links.push(PendingLink {
            parent,
            name,
            target,
            directory,
            listing,
        });
        Ok(())
    }

    /// Puts the records of all links. The directories are sorted.
    pub(super) fn finish_links(&mut self) -> Result<(), MkfsError> {
        for link in std::mem::take(&mut self.links) {
            let directories = &self.directories;
            let destination = match directories.follow(link.parent, &link.target, &self.upcase) {
                // What lies behind another link, the source alone may know.
                Destination::Link if link.directory => Destination::Directory,
                Destination::Link => Destination::File,
                known => known,
            };
            if let Some(point) = reparse::symlink(&link.target, destination)? {
                self.finish_link(link, destination, point)?;
            }
            self.flush_some_late()?;
        }
        Ok(())
    }

    fn finish_link(
        &mut self,
        link: PendingLink,
        destination: Destination,
        point: ReparsePoint,
    ) -> Result<(), MkfsError> {
        let mut listing = link.listing;
        listing.tag = point.tag;
        let first = if destination == Destination::Directory && point.is_for_windows() {
            // Windows keeps links to directories apart.
            listing.attributes = (listing.attributes & !FILE_ARCHIVE) | FILE_NAME_DIRECTORY;
            empty_index(self.volume.geometry.units_per_index_block())?
        } else {
            Attribute::resident(AttributeKind::Data, Vec::new())
        };
        let room = self.value_room(link.name.len());
        let room = room.saturating_sub(first.resident_bytes());
        let value = if point.value.len() <= room {
            Attribute::resident(AttributeKind::ReparsePoint, point.value)
        } else {
            let mut stream = StreamBuilder::default();
            stream.append(&mut self.volume, &point.value)?;
            let stream = stream.finish(&self.volume.geometry);
            Attribute::stream(AttributeKind::ReparsePoint, "", stream)
        };
        self.reparse_points.push((point.tag, listing.reference));
        let content = vec![first, value];
        let record = file_record(
            &self.directories,
            link.parent,
            &link.name,
            &listing,
            content,
        )?;
        let directories = &mut self.directories;
        directories.list_again(link.parent, &link.name, listing, &self.upcase);
        self.put_late(&record)
    }
}
