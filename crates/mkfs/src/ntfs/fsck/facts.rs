//! What each record in use says, kept small: a volume may have millions of them.

use std::hash::Hasher;

use super::super::parse::FileReference;

/// Records whose facts are kept in one piece.
const PAGE: usize = 256;

/// What a record says, and what was found of it elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub kind: RecordKind,
    pub marks: Marks,
    pub sequence: u16,
    /// Names as the record counts them.
    pub links: u16,
    /// Names in the record and its extensions; and those that are DOS or Win32 names alone.
    pub names: u16,
    pub dos_names: u16,
    pub win32_names: u16,
    /// Names found in directories.
    pub listed: u16,
    /// Sums over the names in the record and over those found in directories.
    pub name_sum: u64,
    pub listed_sum: u64,
    /// Record of the directory of its first name; of an extension record, its base.
    pub parent: u32,
    pub parent_sequence: u16,
    /// Sizes of the unnamed data.
    pub size: u64,
    pub allocated: u64,
    /// Attributes in `$STANDARD_INFORMATION`.
    pub attributes: u32,
    pub tag: u32,
}

/// What a record is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// Nothing, or nothing that could be read.
    #[default]
    None,
    Base,
    Extension,
}

/// Properties of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u16);

impl Marks {
    pub(super) const DIRECTORY: Self = Self(1);
    pub(super) const VIEW: Self = Self(2);
    pub(super) const LIST: Self = Self(4);
    pub(super) const REPARSE: Self = Self(8);
    /// An extension record that its base's list names.
    pub(super) const CLAIMED: Self = Self(16);
    /// A directory from which the root was reached.
    pub(super) const ROOTED: Self = Self(32);
    /// Parts of it could not be read.
    pub(super) const BROKEN: Self = Self(64);
    /// A directory of which not all names could be read.
    pub(super) const TORN: Self = Self(128);
    /// It has extended attributes, whose size stands where a reparse tag would.
    pub(super) const EXTENDED: Self = Self(256);
    /// It is marked as a file of `$Extend`.
    pub(super) const SYSTEM: Self = Self(512);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The facts of all records in use, by number.
pub(super) struct FactTable {
    pages: Vec<Option<Box<[Facts; PAGE]>>>,
    limit: u64,
}

impl FactTable {
    /// A table for records below a number.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            pages: Vec::new(),
            limit,
        }
    }

    /// The number that no record reaches.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    fn place(number: u64) -> Option<(usize, usize)> {
        let number = usize::try_from(number).ok()?;
        Some((number / PAGE, number % PAGE))
    }

    /// The facts of a record; none where nothing is known of it.
    pub(super) fn get(&self, number: u64) -> Option<&Facts> {
        let (page, index) = Self::place(number)?;
        let facts = &self.pages.get(page)?.as_ref()?[index];
        Some(facts)
    }

    /// The facts of a record, to be changed; `None` for a number past the limit.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Facts> {
        if number >= self.limit {
            return None;
        }
        let (page, index) = Self::place(number)?;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages.get_mut(page)?;
        let facts = page.get_or_insert_with(|| Box::new([Facts::default(); PAGE]));
        Some(&mut facts[index])
    }

    /// The base record that a reference leads to; `None` where it leads to none.
    pub(super) fn base(&self, reference: FileReference) -> Option<&Facts> {
        self.get(reference.record()).filter(|facts| {
            facts.kind == RecordKind::Base && facts.sequence == reference.sequence()
        })
    }

    /// The numbers of base records that have a mark, in order.
    pub(super) fn marked(&self, mark: Marks) -> Vec<u64> {
        self.numbers(|facts| facts.kind == RecordKind::Base && facts.marks.has(mark))
    }

    /// The numbers of records whose facts are of a kind, in order.
    pub(super) fn numbers(&self, is_wanted: impl Fn(&Facts) -> bool) -> Vec<u64> {
        let mut numbers = Vec::new();
        for (page, facts) in self.pages.iter().enumerate() {
            for (index, facts) in facts.iter().flat_map(|page| page.iter()).enumerate() {
                if is_wanted(facts) {
                    numbers.push(u64::try_from(page * PAGE + index).unwrap_or(u64::MAX));
                }
            }
        }
        numbers
    }
}

/// A number for a name in a directory, by which sets of names are compared through their sums.
pub(super) fn name_number(parent: FileReference, name_space: u8, name: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(parent.bits());
    hasher.write_u8(name_space);
    hasher.write(name);
    hasher.finish()
}
