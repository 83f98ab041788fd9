//! Under which names an entry is stored, and with which attributes and descriptor.

use super::attribute::{Attribute, FileName, FileReference};
use super::build::Builder;
use super::directory::{ChildIndex, DirectoryIndex, Listing};
use super::format::{NAME_SPACE_DOS, NAME_SPACE_POSIX};
use super::secure::SecurityId;
use crate::error::MkfsError;
use crate::names::NameRules;
use crate::report::{Change, Changed};
use crate::tree::{Attributes, NodeId, TreeEntry, TreeError, TreeErrorKind};

/// The names of an entry in one directory.
pub(super) struct StoredName {
    pub name: Vec<u16>,
    pub name_space: u8,
    /// Its 8.3 partner.
    pub dos_name: Option<Box<[u16]>>,
}

impl StoredName {
    /// Bytes of the attributes that hold the names.
    pub(super) fn attributes_length(&self) -> usize {
        let length =
            |units: &[u16]| Attribute::resident_length(0, FileName::value_length(units.len()));
        length(&self.name) + self.dos_name.as_deref().map_or(0, length)
    }

    /// Appends the attributes that hold the names.
    pub(super) fn attributes(
        &self,
        parent: FileReference,
        listing: &Listing,
        attributes: &mut Vec<Attribute>,
    ) -> Result<(), MkfsError> {
        attributes.push(listing.file_name(parent, &self.name).attribute()?);
        if let Some(dos_name) = &self.dos_name {
            let mut name = listing.file_name(parent, dos_name);
            name.name_space = NAME_SPACE_DOS;
            attributes.push(name.attribute()?);
        }
        Ok(())
    }
}

impl Builder<'_, '_> {
    /// The names under which an entry is stored.
    pub(super) fn admit(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
    ) -> Result<StoredName, MkfsError> {
        let fold = |unit| self.upcase.of(unit);
        let rules = NameRules {
            policy: self.name_policy,
            upcase: &fold,
        };
        let mut siblings = std::mem::take(&mut self.directories.get_mut(parent).siblings);
        let path = || self.directories.path(parent, &entry.name);
        let notes = &mut self.report.name_notes;
        let stored = siblings.admit(&entry.name, &rules, &path, notes);
        self.directories.get_mut(parent).siblings = siblings;
        Ok(StoredName {
            name: stored?.units().to_vec(),
            name_space: NAME_SPACE_POSIX,
            dos_name: None,
        })
    }

    /// Numbers a node and notes where it is listed.
    pub(super) fn number_node(
        &mut self,
        id: NodeId,
        parent: DirectoryIndex,
        place: Option<ChildIndex>,
    ) -> Result<(), MkfsError> {
        self.directories.number(id, place).ok_or_else(|| {
            MkfsError::Tree(TreeError::new(
                TreeErrorKind::Malformed,
                self.directories.directory_path(parent),
                "its entries are not numbered in order",
            ))
        })
    }

    /// The key of the descriptor of an entry.
    pub(super) fn security_key(
        &mut self,
        entry: &TreeEntry,
        inherited: SecurityId,
    ) -> Result<u32, MkfsError> {
        match &entry.security {
            Some(descriptor) => self.secure.key(descriptor),
            None => Ok(inherited.number()),
        }
    }

    /// The attributes of an entry as they are stored; `added` are those that Windows gives everything
    /// new of its kind.
    pub(super) fn attributes_of(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
        added: Attributes,
    ) -> u32 {
        let given = entry.attributes;
        if given.contains(Attributes::COMPRESSED) {
            self.report.changed.push(Changed {
                path: self.directories.path(parent, &entry.name),
                change: Change::Decompressed,
            });
        }
        let kept = given.bits() & !(Attributes::COMPRESSED.bits() | Attributes::NORMAL.bits());
        if given.contains(Attributes::NORMAL) {
            return kept;
        }
        // As on every file newly written on Windows; a directory has no such bit.
        (kept & !Attributes::ARCHIVE.bits()) | added.bits()
    }
}
