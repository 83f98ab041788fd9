//! Under which names an entry is stored, and with which attributes and descriptor.

use std::collections::HashMap;

use super::attribute::{Attribute, FileName, FileReference};
use super::build::Builder;
use super::directory::{ChildIndex, DirectoryIndex, Listing};
use super::dos_name;
use super::format::{
    FILE_REPARSE_POINT, NAME_SPACE_DOS, NAME_SPACE_POSIX, NAME_SPACE_WIN32,
    NAME_SPACE_WIN32_AND_DOS,
};
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

/// The 8.3 names that were made up, with where they are listed.
pub(super) struct DosNamesMade(HashMap<(DirectoryIndex, Box<[u16]>), ChildIndex>);

impl DosNamesMade {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    fn contains(&self, directory: DirectoryIndex, name: &[u16]) -> bool {
        self.0.contains_key(&(directory, name.into()))
    }
}

impl Builder<'_, '_> {
    /// The names under which an entry is stored.
    pub(super) fn admit(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
    ) -> Result<StoredName, MkfsError> {
        let (mut stored, differs_in_case_only) = self.admit_alone(parent, entry)?;
        if self.dos_names.is_some() && !differs_in_case_only {
            if dos_name::is_legal(&stored.name) {
                stored.name_space = NAME_SPACE_WIN32_AND_DOS;
            } else if let Some(dos_name) = self.new_dos_name(parent, &stored.name) {
                stored.name_space = NAME_SPACE_WIN32;
                stored.dos_name = Some(dos_name);
            }
        }
        Ok(stored)
    }

    /// The name under which one more name of a file is stored: it has no 8.3 partner.
    pub(super) fn admit_further(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
    ) -> Result<StoredName, MkfsError> {
        Ok(self.admit_alone(parent, entry)?.0)
    }

    /// The name alone, and whether another one differs from it in case only.
    fn admit_alone(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
    ) -> Result<(StoredName, bool), MkfsError> {
        let fold = |unit| self.upcase.of(unit);
        let rules = NameRules {
            policy: self.name_policy,
            case: self.case_policy,
            upcase: &fold,
        };
        let mut siblings = std::mem::take(&mut self.directories.get_mut(parent).siblings);
        let path = || self.directories.path(parent, &entry.name);
        let notes = &mut self.report.name_notes;
        let admitted = siblings.admit(&entry.name, &rules, &path, notes);
        self.directories.get_mut(parent).siblings = siblings;
        let admitted = admitted?;
        if admitted.differs_in_case_only {
            self.directories.get_mut(parent).is_case_sensitive = true;
        }
        let name = admitted.name.into_units();
        self.give_way(parent, &name);
        let stored = StoredName {
            name,
            name_space: NAME_SPACE_POSIX,
            dos_name: None,
        };
        Ok((stored, admitted.differs_in_case_only))
    }

    /// An 8.3 name that nothing else in a directory has.
    fn new_dos_name(&self, parent: DirectoryIndex, name: &[u16]) -> Option<Box<[u16]>> {
        let made = self.dos_names.as_ref()?;
        let siblings = &self.directories.get(parent).siblings;
        dos_name::generate(name, &|unit| self.upcase.of(unit), |candidate| {
            !siblings.contains(candidate) && !made.contains(parent, candidate)
        })
    }

    /// Notes an 8.3 name that was listed as the partner of another name.
    pub(super) fn dos_name_made(
        &mut self,
        parent: DirectoryIndex,
        dos_name: &[u16],
        place: ChildIndex,
    ) {
        if let Some(made) = &mut self.dos_names {
            made.0.insert((parent, dos_name.into()), place.partner());
        }
    }

    /// Where a name arrives that was made up as the 8.3 partner of another one, that one gets another.
    fn give_way(&mut self, parent: DirectoryIndex, name: &[u16]) {
        let Some(made) = &mut self.dos_names else {
            return;
        };
        let upcased: Box<[u16]> = name.iter().map(|unit| self.upcase.of(*unit)).collect();
        let Some(place) = made.0.remove(&(parent, upcased)) else {
            return;
        };
        let (_, long, listing) = self.directories.listed_name(place.long_name());
        let (long, listing) = (long.to_vec(), *listing);
        // One is always found: names are tried until they run into thousands of thousands.
        let Some(dos_name) = self.new_dos_name(parent, &long) else {
            return;
        };
        self.directories.rename(place, &dos_name);
        self.dos_name_made(parent, &dos_name, place.long_name());
        match self.directories.by_record(listing.reference.record()) {
            Some(directory) => self.directories.get_mut(directory).dos_name = Some(dos_name),
            None => self.name_later(&listing),
        }
    }

    /// Has a file put again at the end, with all its names; links are put then anyway.
    pub(super) fn name_later(&mut self, listing: &Listing) {
        if listing.attributes & FILE_REPARSE_POINT == 0 || listing.tag != 0 {
            self.renamed.insert(listing.reference.record());
        }
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
