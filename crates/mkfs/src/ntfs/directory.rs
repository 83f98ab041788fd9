//! The directories of a tree while it arrives: who lies in which, under which name, and what each
//! directory's index will say of it.
//!
//! Entries of one directory may arrive at any time, so that all are kept until the end: about 100
//! bytes each and the name.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::attribute::{FileName, FileReference};
use super::format::{FILE_NAME_DIRECTORY, FILE_REPARSE_POINT, NAME_SPACE_POSIX};
use super::index::IndexEntry;
use super::narrow::to_u32;
use super::reparse::Destination;
use super::upcase::Upcase;
use crate::error::MkfsError;
use crate::names::SiblingNames;
use crate::tree::{NodeId, NodeName, Times, TreeError, TreeErrorKind};

/// The place of a directory in [`Directories`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    pub times: Times,
    pub attributes: u32,
    pub siblings: SiblingNames,
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
    children: Vec<Child>,
    names: Vec<u16>,
}

impl Directories {
    /// The root alone.
    pub(super) fn new(root: Directory) -> Self {
        Self {
            list: vec![root],
            by_node: HashMap::from([(NodeId::ROOT, DirectoryIndex::ROOT)]),
            children: Vec::new(),
            names: Vec::new(),
        }
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
    pub(super) fn add(&mut self, node: NodeId, directory: Directory) -> Result<(), MkfsError> {
        let listing = Listing {
            reference: directory.reference,
            times: directory.times,
            allocated: 0,
            size: 0,
            attributes: directory.attributes | FILE_NAME_DIRECTORY,
            tag: 0,
            name_space: NAME_SPACE_POSIX,
        };
        self.list_in(directory.parent, &directory.name, listing);
        let index = DirectoryIndex(to_u32(self.list.len(), "a tree of so many directories")?);
        self.by_node.insert(node, index);
        self.list.push(directory);
        Ok(())
    }

    /// Adds an entry to a directory's index.
    pub(super) fn list_in(&mut self, parent: DirectoryIndex, name: &[u16], listing: Listing) {
        self.children.push(Child {
            parent,
            // Names are at most 255 units long.
            name_length: u16::try_from(name.len()).unwrap_or(u16::MAX),
            name_start: self.names.len(),
            listing,
        });
        self.names.extend_from_slice(name);
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

    /// Replaces what a directory's index will say of an entry. Only after [`Directories::sort`].
    pub(super) fn list_again(
        &mut self,
        parent: DirectoryIndex,
        name: &[u16],
        listing: Listing,
        upcase: &Upcase,
    ) {
        if let Some(place) = self.position(parent, name, upcase) {
            self.children[place].listing = listing;
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
                    let reference = self.children[place].listing.reference;
                    match self.by_record(reference.record()) {
                        Some(directory) => at = directory,
                        None if steps.peek().is_some() => return Destination::Elsewhere,
                        None => return self.leaf(place),
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
    fn by_record(&self, record: u64) -> Option<DirectoryIndex> {
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
        children.sort_unstable_by(|a, b| {
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
    let key = FileName {
        parent,
        times: listing.times,
        allocated: listing.allocated,
        size: listing.size,
        attributes: listing.attributes,
        tag: listing.tag,
        name,
        name_space: listing.name_space,
    };
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
