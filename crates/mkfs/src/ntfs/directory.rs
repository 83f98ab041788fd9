//! The directories of a tree while it arrives: who lies in which, under which name, and what each
//! directory's index will say of it.
//!
//! Entries of one directory may arrive at any time, so that all are kept until the end: about 100
//! bytes each and the name.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::attribute::{FileName, FileReference};
use super::format::{
    DIRECTORY_IS_CASE_SENSITIVE, FILE_NAME_DIRECTORY, FILE_REPARSE_POINT, NAME_SPACE_DOS,
};
use super::index::IndexEntry;
use super::narrow::to_u32;
use super::reparse::Destination;
use super::upcase::Upcase;
use crate::error::MkfsError;
use crate::names::SiblingNames;
use crate::tree::{NodeId, NodeName, Times, TreeError, TreeErrorKind};

/// The place of a directory in [`Directories`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DirectoryIndex(u32);

impl DirectoryIndex {
    /// The root.
    pub(super) const ROOT: Self = Self(0);

    fn get(self) -> usize {
        // No target of ours has narrower pointers.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A directory.
pub(super) struct Directory {
    pub parent: DirectoryIndex,
    pub record: u64,
    pub reference: FileReference,
    /// Name in the source, for paths in messages.
    pub source_name: Option<NodeName>,
    pub name: Vec<u16>,
    /// Its 8.3 name, where it has another name than that.
    pub dos_name: Option<Box<[u16]>>,
    pub name_space: u8,
    pub times: Times,
    pub attributes: u32,
    /// Its reparse tag, or zero.
    pub tag: u32,
    /// Key of its security descriptor; none of a root that has the one Windows gives it.
    pub security: Option<u32>,
    /// Whether names in it that differ in case only are different names.
    pub is_case_sensitive: bool,
    pub siblings: SiblingNames,
}

/// The place of a listed name in [`Directories`], until they are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChildIndex(u32);

impl ChildIndex {
    /// The name listed right after: the 8.3 partner of a name that has one.
    pub(super) const fn partner(self) -> Self {
        Self(self.0 + 1)
    }

    /// The name listed right before.
    pub(super) const fn long_name(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What the index of a directory says of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    pub reference: FileReference,
    pub times: Times,
    pub allocated: u64,
    pub size: u64,
    pub attributes: u32,
    pub tag: u32,
    pub name_space: u8,
}

impl Listing {
    /// The name of the file as its record and the index have it.
    pub(super) const fn file_name<'n>(
        &self,
        parent: FileReference,
        name: &'n [u16],
    ) -> FileName<'n> {
        FileName {
            parent,
            times: self.times,
            allocated: self.allocated,
            size: self.size,
            attributes: self.attributes,
            tag: self.tag,
            name,
            name_space: self.name_space,
        }
    }
}

impl Directory {
    /// The version in `$STANDARD_INFORMATION`, of which one bit says that names in the directory are
    /// told apart by case.
    pub(super) fn version(&self) -> u32 {
        if self.is_case_sensitive {
            DIRECTORY_IS_CASE_SENSITIVE
        } else {
            0
        }
    }

    /// What the index of its parent says of it.
    pub(super) fn listing(&self) -> Listing {
        Listing {
            reference: self.reference,
            times: self.times,
            allocated: 0,
            size: 0,
            attributes: self.attributes | FILE_NAME_DIRECTORY,
            tag: self.tag,
            name_space: self.name_space,
        }
    }
}

/// The names of certain records.
pub(super) struct RecordNames(Vec<(u64, ChildIndex)>);

impl RecordNames {
    /// The names of one record.
    pub(super) fn of(&self, record: u64) -> impl Iterator<Item = ChildIndex> {
        let start = self.0.partition_point(|(number, _)| *number < record);
        self.0[start..]
            .iter()
            .take_while(move |(number, _)| *number == record)
            .map(|(_, place)| *place)
    }
}

struct Child {
    parent: DirectoryIndex,
    name_length: u16,
    name_start: usize,
    listing: Listing,
}

/// All directories and their entries.
pub(super) struct Directories {
    list: Vec<Directory>,
    by_node: HashMap<NodeId, DirectoryIndex>,
    /// Where each node is listed first, by its number; none where it is not.
    listed: Vec<Option<ChildIndex>>,
    children: Vec<Child>,
    names: Vec<u16>,
}

impl Directories {
    /// The root alone.
    pub(super) fn new(root: Directory) -> Self {
        Self {
            list: vec![root],
            by_node: HashMap::from([(NodeId::ROOT, DirectoryIndex::ROOT)]),
            listed: vec![None],
            children: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Notes the next node and where it is listed. Nodes are numbered from one, without gaps.
    pub(super) fn number(&mut self, node: NodeId, place: Option<ChildIndex>) -> Option<()> {
        let next = u32::try_from(self.listed.len()).ok()?;
        (node == NodeId(next)).then(|| self.listed.push(place))
    }

    /// What the index of its directory will say of a node that was numbered: the outer option is
    /// none where there was no such node, the inner one where it was left out.
    pub(super) fn listing_of(&self, node: NodeId) -> Option<Option<Listing>> {
        let place = self.listed.get(usize::try_from(node.0).ok()?)?;
        Some(place.map(|child| self.children[child.get()].listing))
    }

    /// The directory that a node is.
    pub(super) fn find(&self, node: NodeId, name: &NodeName) -> Result<DirectoryIndex, MkfsError> {
        self.by_node.get(&node).copied().ok_or_else(|| {
            MkfsError::Tree(TreeError::new(
                TreeErrorKind::Malformed,
                name.to_string(),
                "the entry arrived before its directory",
            ))
        })
    }

    /// A directory.
    pub(super) fn get(&self, index: DirectoryIndex) -> &Directory {
        &self.list[index.get()]
    }

    /// A directory, to be changed.
    pub(super) fn get_mut(&mut self, index: DirectoryIndex) -> &mut Directory {
        &mut self.list[index.get()]
    }

    /// Every directory, the root first.
    pub(super) fn indices(&self) -> impl Iterator<Item = DirectoryIndex> + use<> {
        let count = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        (0..count).map(DirectoryIndex)
    }

    /// Adds a directory, which its parent lists.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        directory: Directory,
    ) -> Result<(DirectoryIndex, ChildIndex), MkfsError> {
        let listing = directory.listing();
        let place = self.list_in(directory.parent, &directory.name, listing)?;
        if let Some(dos_name) = &directory.dos_name {
            let listing = Listing {
                name_space: NAME_SPACE_DOS,
                ..listing
            };
            self.list_in(directory.parent, dos_name, listing)?;
        }
        let index = DirectoryIndex(to_u32(self.list.len(), "a tree of so many directories")?);
        self.by_node.insert(node, index);
        self.list.push(directory);
        Ok((index, place))
    }

    /// Adds an entry to a directory's index.
    pub(super) fn list_in(
        &mut self,
        parent: DirectoryIndex,
        name: &[u16],
        listing: Listing,
    ) -> Result<ChildIndex, MkfsError> {
        let place = ChildIndex(to_u32(self.children.len(), "a tree of so many names")?);
        self.children.push(Child {
            parent,
            // Names are at most 255 units long.
            name_length: u16::try_from(name.len()).unwrap_or(u16::MAX),
            name_start: self.names.len(),
            listing,
        });
        self.names.extend_from_slice(name);
        Ok(place)
    }

    /// The path of a directory in the source; empty for the root.
    pub(super) fn directory_path(&self, index: DirectoryIndex) -> String {
        let directory = self.get(index);
        match &directory.source_name {
            Some(name) => self.path(directory.parent, name),
            None => String::new(),
        }
    }

    /// The path of an entry in the source.
    pub(super) fn path(&self, parent: DirectoryIndex, name: &NodeName) -> String {
        let mut names = vec![name.to_string()];
        let mut index = parent;
        while let Some(name) = &self.get(index).source_name {
            names.push(name.to_string());
            index = self.get(index).parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Every name of certain records, in the order of records. Only after [`Directories::sort`].
    pub(super) fn names_of(&self, records: &HashSet<u64>) -> RecordNames {
        let mut names = Vec::new();
        if !records.is_empty() {
            for (place, child) in (0..).zip(&self.children) {
                let record = child.listing.reference.record();
                if records.contains(&record) {
                    names.push((record, ChildIndex(place)));
                }
            }
            names.sort_unstable();
        }
        RecordNames(names)
    }

    /// A name with its directory and what that directory's index says of it.
    pub(super) fn listed_name(&self, place: ChildIndex) -> (DirectoryIndex, &[u16], &Listing) {
        let child = &self.children[place.get()];
        (child.parent, self.name(child), &child.listing)
    }

    /// Replaces a name. Only before [`Directories::sort`].
    pub(super) fn rename(&mut self, place: ChildIndex, name: &[u16]) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        let child = &mut self.children[place.get()];
        child.name_start = start;
        child.name_length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    }

    /// Replaces the attributes and the reparse tag that a directory's index says of a name.
    pub(super) fn list_again(&mut self, place: ChildIndex, attributes: u32, tag: u32) {
        let listing = &mut self.children[place.get()].listing;
        listing.attributes = attributes;
        listing.tag = tag;
    }

    /// The directory that a node is; none where it was left out or is none.
    pub(super) fn of_node(&self, node: NodeId) -> Option<DirectoryIndex> {
        self.by_node.get(&node).copied()
    }

    /// Replaces what the index of its parent says of a node.
    pub(super) fn list_anew(&mut self, node: NodeId, listing: Listing) {
        let place = usize::try_from(node.0)
            .ok()
            .and_then(|at| self.listed.get(at));
        if let Some(Some(place)) = place {
            let place = *place;
            self.children[place.get()].listing = listing;
        }
    }

    /// What a relative target leads to from a directory, by exactly these names and through real
    /// directories. Only after [`Directories::sort`].
    pub(super) fn follow(
        &self,
        from: DirectoryIndex,
        target: &[u16],
        upcase: &Upcase,
    ) -> Destination {
        const DOT: u16 = 0x2E;
        let mut at = from;
        let mut steps = target.split(|unit| *unit == 0x2F).peekable();
        while let Some(name) = steps.next() {
            match name {
                [DOT] => continue,
                [DOT, DOT] if at == DirectoryIndex::ROOT => return Destination::Elsewhere,
                [DOT, DOT] => at = self.get(at).parent,
                _ => {
                    let Some(place) = self.position(at, name, upcase) else {
                        return Destination::Elsewhere;
                    };
                    let listing = &self.children[place].listing;
                    let is_link = listing.attributes & FILE_REPARSE_POINT != 0;
                    match self.by_record(listing.reference.record()) {
                        Some(directory) if !is_link => at = directory,
                        _ if steps.peek().is_some() => return Destination::Elsewhere,
                        _ => return self.leaf(place),
                    }
                }
            }
        }
        Destination::Directory
    }

    fn leaf(&self, place: usize) -> Destination {
        if self.children[place].listing.attributes & FILE_REPARSE_POINT != 0 {
            Destination::Link
        } else {
            Destination::File
        }
    }

    /// The directory of a record; those come in the order of their records.
    pub(super) fn by_record(&self, record: u64) -> Option<DirectoryIndex> {
        let place = self.list[1..]
            .binary_search_by_key(&record, |directory| directory.record)
            .ok()?;
        u32::try_from(place + 1).ok().map(DirectoryIndex)
    }

    fn position(&self, parent: DirectoryIndex, name: &[u16], upcase: &Upcase) -> Option<usize> {
        self.children
            .binary_search_by(|child| {
                let order = child.parent.cmp(&parent);
                order.then_with(|| compare(self.name(child), name, upcase))
            })
            .ok()
    }

    fn name(&self, child: &Child) -> &[u16] {
        &self.names[child.name_start..child.name_start + usize::from(child.name_length)]
    }

    /// Sorts the entries by directory and name. Call it once, after the last entry.
    pub(super) fn sort(&mut self, upcase: &Upcase) {
        let mut children = std::mem::take(&mut self.children);
        // The stable sort makes use of what is in order: most sources deliver names by their units.
        children.sort_by(|a, b| {
            a.parent
                .cmp(&b.parent)
                .then_with(|| compare(self.name(a), self.name(b), upcase))
        });
        self.children = children;
    }

    /// The index entries of a directory, in order. Only after [`Directories::sort`].
    pub(super) fn entries(
        &self,
        directory: DirectoryIndex,
    ) -> impl Iterator<Item = Result<IndexEntry, MkfsError>> {
        let start = self
            .children
            .partition_point(|child| child.parent < directory);
        let parent = self.get(directory).reference;
        self.children[start..]
            .iter()
            .take_while(move |child| child.parent == directory)
            .map(move |child| file_entry(parent, self.name(child), &child.listing))
    }
}

/// The index entry of a name.
pub(super) fn file_entry(
    parent: FileReference,
    name: &[u16],
    listing: &Listing,
) -> Result<IndexEntry, MkfsError> {
    let key = listing.file_name(parent, name);
    IndexEntry::file(
        listing.reference.bits(),
        FileName::value_length(name.len()),
        |out| key.encode(out),
    )
}

/// The order of names: by upper-case form, the shorter first, then by the units themselves.
pub(super) fn compare(a: &[u16], b: &[u16], upcase: &Upcase) -> Ordering {
    let folded = |name: &'_ [u16], at: usize| upcase.of(name[at]);
    let common = a.len().min(b.len());
    for at in 0..common {
        if a[at] != b[at] {
            let order = folded(a, at).cmp(&folded(b, at));
            if order.is_ne() {
                return order;
            }
        }
    }
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_upper_case_then_length_then_case() {
        let upcase = Upcase::new();
        let mut names: Vec<Vec<u16>> = ["b", "a_", "aB", "ab", "a", "Ab", "az", "A", "ä", "Z"]
            .iter()
            .map(|name| name.encode_utf16().collect())
            .collect();
        names.sort_by(|a, b| compare(a, b, &upcase));
        let names: Vec<String> = names
            .iter()
            .map(|n| String::from_utf16(n).unwrap())
            .collect();
        assert_eq!(
            names,
            ["A", "a", "Ab", "aB", "ab", "az", "a_", "b", "Z", "ä"]
        );
    }
}
