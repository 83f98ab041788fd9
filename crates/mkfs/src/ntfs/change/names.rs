//! Names of files: how directories hold them, what they show of the file, and paths.

use std::cell::RefCell;
use std::sync::Arc;

use super::bytes::{put, u16_at, u32_at, u64_at};
use super::index::{Index, IndexKind, name_units};
use super::node::Entry;
use super::record::{Attribute, Value, kind, record_of};
use super::volume::{File, Volume};
use crate::change::{ChangeError, PathNames};
use crate::ntfs::dos_name;
use crate::ntfs::narrow::to_u8;
use crate::tree::NtTime;

/// The record of the root directory.
pub(super) const ROOT: u64 = 5;
/// Records up to here are those of system files.
const LAST_SYSTEM: u64 = 23;
/// The record of `$Extend`, which holds system files.
const EXTEND: u64 = 11;

/// Flag of a record: it is a directory.
pub(super) const IS_DIRECTORY: u16 = 2;
/// In names alone: the record is a directory.
const LISTED_DIRECTORY: u32 = 0x1000_0000;
/// In names alone: the record has a view index.
const LISTED_VIEW: u32 = 0x2000_0000;
const IS_VIEW: u16 = 8;
/// The file is a reparse point.
pub(super) const FILE_REPARSE_POINT: u32 = 0x400;

/// Where a name begins in its key; before it stand the parent, what directories show, and its length.
const NAME_AT: usize = 0x42;
const NAME_SPACE_AT: usize = 0x41;
const LISTING: std::ops::Range<usize> = 0x08..0x40;
/// Name space of a long name that has a short partner.
const LONG: u8 = 1;
/// Name space of the short partner.
const SHORT: u8 = 2;
/// Name space of a name that is short itself.
const BOTH: u8 = 3;

/// What stands beside a new name.
enum Partner {
    /// Nothing: the volume makes no short names, or the file has one.
    None,
    /// The name is short itself.
    Same,
    /// A short name made for it.
    Short(Box<[u16]>),
}

/// Something found in a directory.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub parent: u64,
    pub record: u64,
    /// As the directory has it.
    pub key: Vec<u8>,
}

/// A key that compares as the name does.
pub(super) fn search_key(name: &[u16]) -> Result<Vec<u8>, ChangeError> {
    let mut key = vec![0; NAME_AT];
    put(
        &mut key,
        0x40,
        &[to_u8(name.len(), "a name of this length")?],
    );
    for unit in name {
        key.extend_from_slice(&unit.to_le_bytes());
    }
    Ok(key)
}

impl File {
    /// Whether it is a directory, reparse points not counted.
    pub(super) fn is_directory(&self) -> bool {
        self.flags & IS_DIRECTORY != 0 && self.attributes_bits() & FILE_REPARSE_POINT == 0
    }

    fn information(&self) -> Option<&Vec<u8>> {
        self.find(kind::STANDARD_INFORMATION, &[])
            .and_then(Attribute::resident_value)
    }

    /// The attributes of the file ([MS-FSCC] 2.6).
    pub(super) fn attributes_bits(&self) -> u32 {
        self.information()
            .and_then(|value| u32_at(value, 0x20))
            .unwrap_or(0)
    }

    /// Whether names of a directory that differ in case only are different names there.
    pub(super) fn is_case_sensitive(&self) -> bool {
        const VERSION: usize = 0x28;
        self.information()
            .and_then(|value| u32_at(value, VERSION))
            .is_some_and(|flags| flags & 1 != 0)
    }

    /// Changes its standard information.
    pub(super) fn change_information(
        &mut self,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), ChangeError> {
        let attribute = self.attribute_mut(kind::STANDARD_INFORMATION, &[])?;
        if let Value::Resident(value) = &mut attribute.value {
            put(value, offset, bytes);
        }
        self.is_dirty = true;
        self.is_listing_stale = true;
        Ok(())
    }

    /// The key of its security descriptor; none on volumes of the first versions.
    pub(super) fn security_id(&self) -> Option<u32> {
        let value = self.information().filter(|value| value.len() >= 0x48)?;
        u32_at(value, 0x34).filter(|id| *id != 0)
    }

    /// What directories show of the file: times, sizes, attributes, tag.
    fn listing(&self) -> Vec<u8> {
        let mut listing = vec![0; LISTING.len()];
        if let Some(value) = self.information() {
            put(&mut listing, 0, value.get(..0x20).unwrap_or_default());
        }
        let (size, allocated) = self.find(kind::DATA, &[]).map_or((0, 0), Attribute::sizes);
        if self.flags & IS_DIRECTORY == 0 {
            put(&mut listing, 0x20, &allocated.to_le_bytes());
            put(&mut listing, 0x28, &size.to_le_bytes());
        }
        let mut bits = self.attributes_bits();
        bits |= if self.flags & IS_DIRECTORY == 0 {
            0
        } else {
            LISTED_DIRECTORY
        };
        bits |= if self.flags & IS_VIEW == 0 {
            0
        } else {
            LISTED_VIEW
        };
        put(&mut listing, 0x30, &bits.to_le_bytes());
        put(&mut listing, 0x34, &self.tag().to_le_bytes());
        listing
    }

    /// The reparse tag, or the size of extended attributes.
    fn tag(&self) -> u32 {
        const EA_INFORMATION: u32 = 0xD0;
        if self.attributes_bits() & FILE_REPARSE_POINT != 0 {
            let value = self
                .find(kind::REPARSE_POINT, &[])
                .and_then(Attribute::resident_value);
            // A value in clusters is long; its tag stands in the names already.
            return match value.and_then(|value| u32_at(value, 0)) {
                Some(tag) => tag,
                None => self
                    .names()
                    .next()
                    .and_then(|key| u32_at(key, 0x3C))
                    .unwrap_or(0),
            };
        }
        let sizes = self
            .find(EA_INFORMATION, &[])
            .and_then(Attribute::resident_value);
        sizes
            .and_then(|value| u16_at(value, 0))
            .map_or(0, u32::from)
    }

    /// The values of its names.
    pub(super) fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.attributes
            .iter()
            .filter(|a| a.kind == kind::FILE_NAME)
            .filter_map(Attribute::resident_value)
    }
}

impl Volume<'_> {
    /// What a name leads to in a directory.
    pub(super) fn lookup(
        &mut self,
        parent: u64,
        name: &[u16],
    ) -> Result<Option<Found>, ChangeError> {
        let entry = self.index_find_name(parent, &search_key(name)?)?;
        Ok(entry.map(|entry| Found {
            parent,
            record: record_of(entry.reference()),
            key: entry.key().to_vec(),
        }))
    }

    /// What a path leads to; `None` for the root.
    pub(super) fn resolve(&mut self, path: &PathNames) -> Result<Option<Found>, ChangeError> {
        let mut found = None;
        for (depth, name) in path.names().iter().enumerate() {
            let parent = found.as_ref().map_or(ROOT, |found: &Found| found.record);
            if depth > 0 && !self.loaded(parent)?.is_directory() {
                return Err(ChangeError::NotFound {
                    path: path.to_string(),
                });
            }
            let next = self.lookup(parent, name)?;
            let next = next.ok_or_else(|| ChangeError::NotFound {
                path: path.to_string(),
            })?;
            if next.record <= LAST_SYSTEM || parent == EXTEND {
                let reason = "it is a system file";
                return Err(ChangeError::Refused {
                    path: path.to_string(),
                    reason,
                });
            }
            found = Some(next);
        }
        Ok(found)
    }

    /// The record of the directory that a path leads to.
    pub(super) fn resolve_directory(&mut self, path: &PathNames) -> Result<u64, ChangeError> {
        let record = self.resolve(path)?.map_or(ROOT, |found| found.record);
        if self.loaded(record)?.is_directory() {
            return Ok(record);
        }
        Err(ChangeError::WrongKind {
            path: path.to_string(),
            is: "not a directory",
        })
    }

    /// Gives a file one more name, in a directory that does not have it; and a short partner where the
    /// volume has such names and the file has none.
    pub(super) fn link(
        &mut self,
        record: u64,
        parent: u64,
        name: &[u16],
    ) -> Result<(), ChangeError> {
        match self.partner(record, parent, name)? {
            Partner::None => self.link_one(record, parent, name, 0)?,
            Partner::Same => self.link_one(record, parent, name, BOTH)?,
            Partner::Short(short) => {
                self.link_one(record, parent, name, LONG)?;
                self.link_one(record, parent, &short, SHORT)?;
            }
        }
        self.touch_directory(parent)
    }

    fn link_one(
        &mut self,
        record: u64,
        parent: u64,
        name: &[u16],
        name_space: u8,
    ) -> Result<(), ChangeError> {
        let parent_reference = self.loaded(parent)?.reference();
        let mut key = search_key(name)?;
        let reference = self.with_file(record, |file| {
            put(&mut key, 0, &parent_reference.to_le_bytes());
            put(&mut key, LISTING.start, &file.listing());
            put(&mut key, NAME_SPACE_AT, &[name_space]);
            file.links = file
                .links
                .checked_add(1)
                .ok_or(ChangeError::Unsupported("a file with so many names"))?;
            file.attributes
                .push(Attribute::resident(kind::FILE_NAME, &[], key.clone()));
            Ok(file.reference())
        })?;
        let entry = Entry::name(reference, &key)?;
        let index = Index {
            file: parent,
            kind: IndexKind::Names,
        };
        self.index_insert(index, entry)
    }

    /// What is to stand beside a new name of a file, as Windows decides it: a file has one short name
    /// at most, and names in a directory that tells case apart have none.
    fn partner(&mut self, record: u64, parent: u64, name: &[u16]) -> Result<Partner, ChangeError> {
        if !self.makes_short_names || self.loaded(parent)?.is_case_sensitive() {
            return Ok(Partner::None);
        }
        let has_one = self.loaded(record)?.names().any(|key| {
            let space = key.get(NAME_SPACE_AT);
            matches!(space, Some(&SHORT | &BOTH))
        });
        if has_one {
            return Ok(Partner::None);
        }
        if dos_name::is_legal(name) {
            return Ok(Partner::Same);
        }
        // What goes wrong while names are looked up ends the search, and is told then.
        let upcase = Arc::clone(&self.upcase);
        let state = RefCell::new((self, None));
        let of = |unit: u16| upcase.get(usize::from(unit)).copied().unwrap_or(unit);
        let made = dos_name::generate(name, &of, |candidate| {
            let (volume, failure) = &mut *state.borrow_mut();
            match volume.lookup(parent, candidate) {
                Ok(found) => found.is_none(),
                Err(error) => {
                    *failure = Some(error);
                    true
                }
            }
        });
        match state.into_inner().1 {
            Some(error) => Err(error),
            None => Ok(made.map_or(Partner::None, Partner::Short)),
        }
    }

    /// Takes a name from a file, with its short or long partner, and from their directory.
    pub(super) fn unlink(&mut self, found: &Found) -> Result<(), ChangeError> {
        let index = Index {
            file: found.parent,
            kind: IndexKind::Names,
        };
        for key in self.drop_names(found.record, found.parent, Some(&found.key))? {
            if !self.index_remove(index, &key)? {
                return Err(ChangeError::damaged(
                    "file record",
                    found.record,
                    "its directory does not have its name",
                ));
            }
        }
        self.touch_directory(found.parent)
    }

    /// Takes names of a file from its record: the one of a key and its partner, or all that lie in a
    /// directory. Returns their keys.
    pub(super) fn drop_names(
        &mut self,
        record: u64,
        parent: u64,
        key: Option<&[u8]>,
    ) -> Result<Vec<Vec<u8>>, ChangeError> {
        let wanted = key.map(|key| {
            (
                name_units(key),
                key.get(NAME_SPACE_AT).copied().unwrap_or(0),
            )
        });
        let now = self.now;
        self.with_file(record, |file| {
            let is_wanted = |value: &[u8]| {
                let space = value.get(NAME_SPACE_AT).copied().unwrap_or(0);
                let in_parent = u64_at(value, 0).map(record_of) == Some(parent);
                in_parent
                    && wanted.as_ref().is_none_or(|(name, wanted_space)| {
                        match (wanted_space, space) {
                            // A file has one such pair at most.
                            (&LONG, SHORT) | (&SHORT, LONG) => true,
                            _ => name_units(value) == *name,
                        }
                    })
            };
            let gone: Vec<Vec<u8>> = file
                .attributes
                .extract_if(.., |a| {
                    a.kind == kind::FILE_NAME && a.resident_value().is_some_and(|v| is_wanted(v))
                })
                .filter_map(|a| a.resident_value().cloned())
                .collect();
            let count = u16::try_from(gone.len()).unwrap_or(u16::MAX);
            if count == 0 {
                return Err(ChangeError::damaged(
                    "file record",
                    record,
                    "it does not have the name that leads to it",
                ));
            }
            file.links = file.links.saturating_sub(count);
            file.change_information(0x10, &now.ticks().to_le_bytes())?;
            Ok(gone)
        })
    }

    /// Sets the times of a directory whose entries change.
    pub(super) fn touch_directory(&mut self, record: u64) -> Result<(), ChangeError> {
        let now = self.now.ticks().to_le_bytes();
        self.with_file(record, |file| {
            file.change_information(0x08, &now)?;
            file.change_information(0x10, &now)?;
            file.change_information(0x18, &now)
        })
    }

    /// Brings what directories show of a file up to date.
    pub(super) fn refresh_listing(&mut self, record: u64) -> Result<(), ChangeError> {
        let keys = self.with_file(record, |file| {
            file.is_listing_stale = false;
            let listing = file.listing();
            let mut keys = Vec::new();
            for attribute in file
                .attributes
                .iter_mut()
                .filter(|a| a.kind == kind::FILE_NAME)
            {
                if let Value::Resident(value) = &mut attribute.value {
                    put(value, LISTING.start, &listing);
                    keys.push(value.clone());
                }
            }
            Ok(keys)
        })?;
        for key in keys {
            let parent = record_of(u64_at(&key, 0).unwrap_or(0));
            let index = Index {
                file: parent,
                kind: IndexKind::Names,
            };
            if !self.index_rewrite(index, &key)? {
                return Err(ChangeError::damaged(
                    "file record",
                    record,
                    "its directory does not have its name",
                ));
            }
        }
        Ok(())
    }

    /// The directory that holds a directory.
    pub(super) fn parent_of(&mut self, record: u64) -> Result<u64, ChangeError> {
        let file = self.loaded(record)?;
        let parent = file
            .names()
            .next()
            .and_then(|key| u64_at(key, 0))
            .map(record_of);
        parent.ok_or_else(|| ChangeError::damaged("file record", record, "it has no name"))
    }
}

/// Standard information of a new file.
pub(super) fn standard_information(
    times: [NtTime; 4],
    attributes: u32,
    security: u32,
) -> Attribute {
    let mut value = vec![0; 0x48];
    for (index, time) in times.iter().enumerate() {
        put(&mut value, 8 * index, &time.ticks().to_le_bytes());
    }
    put(&mut value, 0x20, &attributes.to_le_bytes());
    put(&mut value, 0x34, &security.to_le_bytes());
    Attribute::resident(kind::STANDARD_INFORMATION, &[], value)
}
