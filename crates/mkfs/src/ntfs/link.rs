//! Symbolic links and further names of files.
//!
//! Links wait for the end of the tree, when it is known what they lead to: a link whose target exists
//! on the volume, spelled exactly so and reached through real directories, is one that Windows
//! follows. All others keep their text alone (see [`super::reparse`]).

use super::attribute::{Attribute, standard_information};
use super::build::{Builder, Last};
use super::directory::{DirectoryIndex, Listing, RecordNames};
use super::file::{FIRST_USE, new_listing};
use super::folder::empty_index;
use super::format::{AttributeKind, FILE_NAME_DIRECTORY, FILE_REPARSE_POINT, RECORD_DIRECTORY};
use super::narrow::to_u16;
use super::record::{Record, RecordHead};
use super::reparse::{self, Destination, ReparsePoint};
use super::secure::SecurityId;
use super::spread::When;
use crate::error::MkfsError;
use crate::report::{SkipReason, Skipped};
use crate::tree::{Attributes, NodeId, NodeName, TreeEntry, TreeError, TreeErrorKind};

/// Names of one file that Windows allows, its 8.3 names not counted.
const MAX_NAMES: u32 = 1024;

/// A link that was listed in its directory and has no record yet.
pub(super) struct PendingLink {
    parent: DirectoryIndex,
    source_name: NodeName,
    target: Vec<u16>,
    /// Whether the source says that it leads to a directory.
    directory: bool,
    listing: Listing,
    /// Key of the descriptor that the source gave it.
    security: Option<u32>,
    pub streams: Vec<Attribute>,
}

impl Builder<'_, '_> {
    /// A symbolic link arrives.
    pub(super) fn add_symlink(
        &mut self,
        parent: DirectoryIndex,
        entry: TreeEntry,
        target: Vec<u16>,
        directory: bool,
    ) -> Result<Last, MkfsError> {
        if reparse::symlink(&target, Destination::Elsewhere)?.is_none() {
            return self.skip_entry(parent, &entry, SkipReason::SymlinkTarget);
        }
        let stored = self.admit(parent, &entry)?;
        let security = match &entry.security {
            Some(descriptor) => Some(self.secure.key(descriptor)?),
            None => None,
        };
        let mut listing = new_listing(&entry, self.mft.take_late());
        listing.attributes = self.attributes_of(parent, &entry, Attributes::ARCHIVE);
        listing.attributes |= FILE_REPARSE_POINT;
        listing.name_space = stored.name_space;
        let place = self.list_stored(parent, &stored, listing)?;
        self.number_node(entry.id, parent, Some(place))?;
        self.report.symlinks += 1;
        self.links.push(PendingLink {
            parent,
            source_name: entry.name,
            target,
            directory,
            listing,
            security,
            streams: Vec::new(),
        });
        Ok(Last::Link(self.links.len() - 1))
    }

    /// One more name of a file arrives.
    pub(super) fn add_hard_link(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
        target: NodeId,
    ) -> Result<Last, MkfsError> {
        let listing = match self.directories.listing_of(target) {
            Some(Some(listing)) if listing.attributes & FILE_NAME_DIRECTORY == 0 => listing,
            Some(None) if target != NodeId::ROOT => {
                return self.skip_entry(parent, entry, SkipReason::LinkTarget);
            }
            _ => {
                return Err(MkfsError::Tree(TreeError::new(
                    TreeErrorKind::Malformed,
                    self.directories.path(parent, &entry.name),
                    "a hard link leads to nothing before it, or to a directory",
                )));
            }
        };
        let record = listing.reference.record();
        let names = self.name_counts.entry(record).or_insert(1);
        if *names >= MAX_NAMES {
            return self.skip_entry(parent, entry, SkipReason::TooManyNames);
        }
        *names += 1;
        // A file has one 8.3 name at most, that of its first name.
        let stored = self.admit_further(parent, entry)?;
        let listing = Listing {
            name_space: stored.name_space,
            ..listing
        };
        let place = self.list_stored(parent, &stored, listing)?;
        self.number_node(entry.id, parent, Some(place))?;
        self.report.hard_links += 1;
        self.name_later(&listing);
        Ok(Last::HardLink)
    }

    /// Leaves an entry out.
    fn skip_entry(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
        reason: SkipReason,
    ) -> Result<Last, MkfsError> {
        let path = self.directories.path(parent, &entry.name);
        self.report.skipped.push(Skipped { path, reason });
        self.number_node(entry.id, parent, None)?;
        Ok(Last::Nothing)
    }

    /// The path of a link in the source.
    pub(super) fn link_path(&self, place: usize) -> String {
        let link = &self.links[place];
        self.directories.path(link.parent, &link.source_name)
    }

    /// The records of all links.
    pub(super) fn link_records(&self) -> impl Iterator<Item = u64> {
        self.links
            .iter()
            .map(|link| link.listing.reference.record())
    }

    /// Puts the records of all links. The directories are sorted.
    pub(super) fn finish_links(&mut self, names: &RecordNames) -> Result<(), MkfsError> {
        for link in std::mem::take(&mut self.links) {
            let directories = &self.directories;
            let destination = match directories.follow(link.parent, &link.target, &self.upcase) {
                // What lies behind another link, the source alone may know.
                Destination::Link if link.directory => Destination::Directory,
                Destination::Link => Destination::File,
                // Windows keeps links to directories apart, and those have one name only.
                Destination::Directory if self.has_names(&link) => Destination::Elsewhere,
                known => known,
            };
            if let Some(point) = reparse::symlink(&link.target, destination)? {
                self.finish_link(link, destination, point, names)?;
            }
            self.flush_some_late()?;
        }
        Ok(())
    }

    /// Whether a link has more than one name.
    fn has_names(&self, link: &PendingLink) -> bool {
        self.name_counts
            .contains_key(&link.listing.reference.record())
    }

    fn finish_link(
        &mut self,
        link: PendingLink,
        destination: Destination,
        point: ReparsePoint,
        names: &RecordNames,
    ) -> Result<(), MkfsError> {
        let mut listing = link.listing;
        listing.tag = point.tag;
        let is_directory = destination == Destination::Directory && point.is_for_windows();
        let (first, flags, inherited) = if is_directory {
            listing.attributes &= !Attributes::ARCHIVE.bits();
            let index = empty_index(self.volume.geometry.units_per_index_block())?;
            (index, RECORD_DIRECTORY, SecurityId::Directory)
        } else {
            let data = Attribute::resident(AttributeKind::Data, Vec::new());
            (data, 0, SecurityId::File)
        };
        let security = link.security.unwrap_or(inherited.number());
        let mut attributes = vec![standard_information(
            &listing.times,
            listing.attributes,
            security,
            0,
        )];
        if is_directory {
            // Of a link to a directory, only the names say that it is one.
            listing.attributes |= FILE_NAME_DIRECTORY;
        }
        let record = listing.reference.record();
        for place in names.of(record) {
            self.directories
                .list_again(place, listing.attributes, listing.tag);
            let (parent, name, listing) = self.directories.listed_name(place);
            let parent = self.directories.get(parent).reference;
            attributes.push(listing.file_name(parent, name).attribute()?);
        }
        let mut head = RecordHead::named(record, FIRST_USE, flags);
        head.links = to_u16(attributes.len() - 1, "a file of so many names")?;
        attributes.push(first);
        let taken = attributes.iter().map(Attribute::length).sum();
        let room = self.value_room(taken, 0)?;
        let value = Attribute {
            kind: AttributeKind::ReparsePoint,
            name: Vec::new(),
            body: self.small_value(point.value, room)?,
        };
        self.reparse_points.push((point.tag, listing.reference));
        attributes.push(value);
        attributes.extend(link.streams);
        self.put_record(Record { head, attributes }, When::Late)?;
        Ok(())
    }
}
