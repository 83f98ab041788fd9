//! Changing an index, a B-tree whose separators stand in the inner nodes alone.
//!
//! ```text
//!   insert    into a leaf; a full node gives its middle entry to the node above; a full root moves
//!             into a block and keeps that as its only child
//!   remove    from a leaf; a separator is replaced by the entry before it. A leaf left empty goes,
//!             and the separator beside it is inserted again; a root with one child takes its place
//! ```
//! All leaves stay at the same depth.

use std::cmp::Ordering;

use super::bytes::{length, u16_at, u32_at, wide};
use super::node::{Entry, Node, ROOT_HEADER};
use super::record::{Attribute, Record, Stream, Value, kind};
use super::space::{read_stream, write_stream};
use super::volume::{File, Volume};
use crate::change::ChangeError;
use crate::ntfs::narrow::align8;

/// Levels of a tree; sixteen of two entries each would hold more than there can be.
const MAX_DEPTH: usize = 32;
/// Repairs of empty blocks in one removal.
const MAX_REPAIRS: usize = 64;

/// An index of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub file: u64,
    pub kind: IndexKind,
}

/// What an index is over: its name, and how keys compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexKind {
    /// `$I30`.
    Names,
    /// `$SDH`.
    SecurityHashes,
    /// `$SII`.
    SecurityIds,
    /// `$R`.
    ReparsePoints,
    /// `$O` of `$ObjId`.
    ObjectIds,
    /// `$Q` of `$Quota`.
    Quotas,
}

impl IndexKind {
    fn name(self) -> Vec<u16> {
        match self {
            Self::Names => "$I30",
            Self::SecurityHashes => "$SDH",
            Self::SecurityIds => "$SII",
            Self::ReparsePoints => "$R",
            Self::ObjectIds => "$O",
            Self::Quotas => "$Q",
        }
        .encode_utf16()
        .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    Block(u64),
}

/// A node on the way from the root, and the entry at which the way goes on.
#[derive(Clone, Debug)]
struct Step {
    place: Place,
    node: Node,
    at: usize,
}

/// An index that is being worked on: its file is out of the table.
pub(super) struct Tree<'v, 'd> {
    pub volume: &'v mut Volume<'d>,
    pub file: File,
    kind: IndexKind,
    pub name: Vec<u16>,
    pub block: usize,
    /// Whether names that differ in case only count as the same.
    is_folding: bool,
}

impl<'d> Volume<'d> {
    fn with_tree<T>(
        &mut self,
        index: Index,
        work: impl FnOnce(&mut Tree<'_, 'd>) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let file = self.take_file(index.file)?;
        let name = index.kind.name();
        let block = file
            .find(kind::INDEX_ROOT, &name)
            .and_then(Attribute::resident_value)
            .and_then(|root| u32_at(root, 8))
            .map(length)
            .filter(|size| size.is_power_of_two() && (512..=65_536).contains(size));
        let Some(block) = block else {
            let number = file.number;
            self.put_file(file);
            return Err(ChangeError::damaged(
                "file record",
                number,
                "it has no sound index",
            ));
        };
        let mut tree = Tree {
            volume: self,
            file,
            kind: index.kind,
            name,
            block,
            is_folding: false,
        };
        let result = work(&mut tree);
        let Tree { volume, file, .. } = tree;
        volume.put_file(file);
        result
    }

    /// The entry of a key.
    pub(super) fn index_find(
        &mut self,
        index: Index,
        key: &[u8],
    ) -> Result<Option<Entry>, ChangeError> {
        self.with_tree(index, |tree| {
            let (path, is_found) = tree.descend(key)?;
            let step = path.last().filter(|_| is_found);
            Ok(step.and_then(|step| step.node.entries.get(step.at).cloned()))
        })
    }

    /// The entry of a name in a directory: the one spelled so, or one that differs in case only where
    /// the directory does not tell case apart.
    pub(super) fn index_find_name(
        &mut self,
        file: u64,
        key: &[u8],
    ) -> Result<Option<Entry>, ChangeError> {
        self.with_tree(
            Index {
                file,
                kind: IndexKind::Names,
            },
            |tree| {
                let cases: &[bool] = if tree.file.is_case_sensitive() {
                    &[false]
                } else {
                    &[false, true]
                };
                for is_folding in cases {
                    tree.is_folding = *is_folding;
                    let (path, is_found) = tree.descend(key)?;
                    if let Some(step) = path.last().filter(|_| is_found) {
                        return Ok(step.node.entries.get(step.at).cloned());
                    }
                }
                Ok(None)
            },
        )
    }

    /// Adds an entry whose key is not there.
    pub(super) fn index_insert(&mut self, index: Index, entry: Entry) -> Result<(), ChangeError> {
        self.with_tree(index, |tree| tree.insert(entry))
    }

    /// Removes the entry of a key; whether there was one.
    pub(super) fn index_remove(&mut self, index: Index, key: &[u8]) -> Result<bool, ChangeError> {
        self.with_tree(index, |tree| tree.remove(key))
    }

    /// Overwrites the key of an entry with one that compares equal; whether there was one.
    pub(super) fn index_rewrite(&mut self, index: Index, key: &[u8]) -> Result<bool, ChangeError> {
        self.with_tree(index, |tree| {
            let (mut path, is_found) = tree.descend(key)?;
            let Some(mut step) = path.pop().filter(|_| is_found) else {
                return Ok(false);
            };
            let entry = &mut step.node.entries[step.at];
            if entry.key() != key {
                entry.set_key(key);
                tree.write(step.place, &step.node)?;
            }
            Ok(true)
        })
    }

    /// Shows every entry, in order, until `visit` says `false`.
    pub(super) fn index_entries(
        &mut self,
        index: Index,
        visit: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<(), ChangeError> {
        self.with_tree(index, |tree| tree.visit(visit))
    }
}

impl Tree<'_, '_> {
    pub(super) fn damaged(&self, reason: &'static str) -> ChangeError {
        ChangeError::damaged("the index of file record", self.file.number, reason)
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.kind == IndexKind::Names {
            return self.volume.compare_names(a, b, self.is_folding);
        }
        let numbers = |key: &[u8]| -> Vec<u32> {
            key.chunks_exact(4)
                .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
                .collect()
        };
        numbers(a).cmp(&numbers(b))
    }

    pub(super) fn allocation(&self) -> Result<&Stream, ChangeError> {
        self.file.stream(kind::INDEX_ALLOCATION, &self.name)
    }

    pub(super) fn offset_of(&self, number: u64) -> Result<u64, ChangeError> {
        let offset = number.checked_mul(self.volume.layout.index_unit(self.block));
        offset
            .filter(|offset| offset.is_multiple_of(wide(self.block)))
            .ok_or_else(|| self.damaged("a child's number is impossible"))
    }

    fn read(&self, place: Place) -> Result<Node, ChangeError> {
        match place {
            Place::Root => {
                let root = self.file.attribute(kind::INDEX_ROOT, &self.name)?;
                let node = root
                    .resident_value()
                    .and_then(|value| Node::decode_root(value));
                node.ok_or_else(|| self.damaged("its root contradicts its format"))
            }
            Place::Block(number) => {
                let stream = self.allocation()?;
                let offset = self.offset_of(number)?;
                if offset.saturating_add(wide(self.block)) > stream.size {
                    return Err(self.damaged("a child lies past its end"));
                }
                let mut bytes = vec![0; self.block];
                let cluster = self.volume.layout.cluster;
                read_stream(&self.volume.disk, stream, cluster, &mut bytes, offset)?;
                Node::decode_block(bytes, number)
                    .ok_or_else(|| self.damaged("a block contradicts its format"))
            }
        }
    }

    fn write(&mut self, place: Place, node: &Node) -> Result<(), ChangeError> {
        match place {
            Place::Root => {
                let root = self.file.attribute_mut(kind::INDEX_ROOT, &self.name)?;
                let head = root.resident_value().cloned().unwrap_or_default();
                root.value = Value::Resident(node.encode_root(&head)?);
                self.file.is_dirty = true;
            }
            Place::Block(number) => {
                let bytes = node.encode_block(number, self.block)?;
                let offset = self.offset_of(number)?;
                let stream = self.allocation()?.clone();
                let cluster = self.volume.layout.cluster;
                write_stream(&mut self.volume.disk, &stream, cluster, &bytes, offset)?;
            }
        }
        Ok(())
    }

    /// The way from the root to a key, or to the place in a leaf where it would stand.
    fn descend(&self, key: &[u8]) -> Result<(Vec<Step>, bool), ChangeError> {
        let mut path = Vec::new();
        let mut place = Place::Root;
        loop {
            let node = self.read(place)?;
            let keyed = node.entries.len() - 1;
            let found =
                node.entries[..keyed].binary_search_by(|entry| self.compare(entry.key(), key));
            let at = found.unwrap_or_else(|at| at);
            let child = node.entries[at].child;
            path.push(Step { place, node, at });
            match child {
                Some(child) if found.is_err() => place = Place::Block(child),
                _ => return Ok((path, found.is_ok())),
            }
            if path.len() >= MAX_DEPTH {
                return Err(self.damaged("it is too deep"));
            }
        }
    }

    /// Goes on from the last step, whose entry has a child, to the last leaf below that child.
    fn descend_last(&self, path: &mut Vec<Step>) -> Result<(), ChangeError> {
        while let Some(child) = path
            .last()
            .and_then(|step| step.node.entries[step.at].child)
        {
            if path.len() >= MAX_DEPTH {
                return Err(self.damaged("it is too deep"));
            }
            let node = self.read(Place::Block(child))?;
            let at = node.entries.len() - 1;
            path.push(Step {
                place: Place::Block(child),
                node,
                at,
            });
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry) -> Result<(), ChangeError> {
        let (mut path, is_found) = self.descend(entry.key())?;
        if is_found {
            return Err(self.damaged("a key that is to be added is there"));
        }
        if let Some(leaf) = path.last_mut() {
            leaf.node.entries.insert(leaf.at, entry);
        }
        self.settle(path)
    }

    /// Writes the last node of a path, splitting it and those above as need be.
    fn settle(&mut self, mut path: Vec<Step>) -> Result<(), ChangeError> {
        // Ends: each turn goes up, but for one at the root that adds a level.
        while let Some(step) = path.pop() {
            match step.place {
                Place::Block(number) => {
                    if step.node.encoded_length() <= Node::block_room(self.block) {
                        return self.write(step.place, &step.node);
                    }
                    let (left, separator, right) = split(step.node)?;
                    let new = self.take_block()?;
                    self.write(Place::Block(number), &left)?;
                    self.write(Place::Block(new), &right)?;
                    let parent = path
                        .last_mut()
                        .ok_or(ChangeError::Unsupported("this index"))?;
                    parent.node.entries[parent.at].child = Some(new);
                    let separator = Entry {
                        child: Some(number),
                        ..separator
                    };
                    parent.node.entries.insert(parent.at, separator);
                }
                Place::Root if self.root_fits(&step.node) => {
                    return self.write(Place::Root, &step.node);
                }
                Place::Root => {
                    let block = self.take_block()?;
                    let root = Node {
                        entries: vec![Entry::end(Some(block))],
                    };
                    self.write(Place::Root, &root)?;
                    path.push(Step {
                        place: Place::Root,
                        node: root,
                        at: 0,
                    });
                    path.push(Step {
                        place: Place::Block(block),
                        ..step
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a root fits its record, beside all else that stands there.
    fn root_fits(&self, node: &Node) -> bool {
        let is_least = node.has_children() && node.entries.len() <= 2;
        let old = self
            .file
            .find(kind::INDEX_ROOT, &self.name)
            .map_or(0, Attribute::encoded_length);
        let new = align8(24 + 2 * self.name.len()) + align8(ROOT_HEADER + node.encoded_length());
        let whole = self.file.encoded_length() - old + new;
        is_least || whole <= Record::room(self.volume.layout.record)
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool, ChangeError> {
        for _ in 0..MAX_REPAIRS {
            let (mut path, is_found) = self.descend(key)?;
            if !is_found {
                return Ok(false);
            }
            let depth = path.len() - 1;
            self.descend_last(&mut path)?;
            let Some(mut leaf) = path.pop() else { break };
            if path.len() == depth {
                leaf.node.entries.remove(leaf.at);
                path.push(leaf);
                self.shrink(path)?;
                self.collapse()?;
                return Ok(true);
            }
            if leaf.node.is_empty() {
                // Others leave such blocks. Without it the entry before this one is elsewhere.
                path.push(leaf);
                self.shrink(path)?;
                continue;
            }
            let before = leaf.node.entries.remove(leaf.at - 1);
            let before_key = before.key().to_vec();
            self.write(leaf.place, &leaf.node)?;
            path.truncate(depth + 1);
            if let Some(step) = path.last_mut() {
                let child = step.node.entries[step.at].child;
                step.node.entries[step.at] = Entry { child, ..before };
            }
            self.settle(path)?;
            if leaf.node.is_empty() {
                // The tree above may have been split: the way is looked for again.
                let (mut path, _) = self.descend(&before_key)?;
                self.descend_last(&mut path)?;
                self.shrink(path)?;
            }
            self.collapse()?;
            return Ok(true);
        }
        Err(self.damaged("it has too many empty blocks"))
    }

    /// Writes the leaf at the end of a path, or takes it out of the tree where it is empty.
    fn shrink(&mut self, mut path: Vec<Step>) -> Result<(), ChangeError> {
        // Ends: each turn goes up.
        loop {
            let is_gone = path
                .last()
                .is_some_and(|step| step.place != Place::Root && step.node.is_empty());
            if !is_gone {
                return self.settle(path);
            }
            if let Some(Step {
                place: Place::Block(number),
                ..
            }) = path.pop()
            {
                self.give_block(number)?;
            }
            let Some(parent) = path.last_mut() else {
                return Ok(());
            };
            let at = parent.at;
            let orphan = if !parent.node.entries[at].is_last {
                parent.node.entries.remove(at)
            } else if at > 0 {
                let orphan = parent.node.entries.remove(at - 1);
                parent.node.entries[at - 1].child = orphan.child;
                orphan
            } else {
                // It had no other child.
                parent.node = Node::empty();
                continue;
            };
            self.settle(path)?;
            return self.insert(Entry {
                child: None,
                ..orphan
            });
        }
    }

    /// A root that has one child and no entry takes the child's place where it fits.
    fn collapse(&mut self) -> Result<(), ChangeError> {
        for _ in 0..MAX_DEPTH {
            let root = self.read(Place::Root)?;
            let child = root
                .entries
                .first()
                .filter(|entry| entry.is_last)
                .and_then(|e| e.child);
            let Some(child) = child else {
                if !root.has_children() {
                    self.drop_blocks()?;
                }
                return Ok(());
            };
            let node = self.read(Place::Block(child))?;
            if !self.root_fits(&node) {
                return Ok(());
            }
            self.give_block(child)?;
            self.write(Place::Root, &node)?;
        }
        Ok(())
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&Entry) -> bool) -> Result<(), ChangeError> {
        let blocks = self.allocation().map_or(0, |stream| stream.size) / wide(self.block) + 1;
        let mut left = blocks;
        let root = self.read(Place::Root)?;
        let mut stack = vec![(root, 0, false)];
        while let Some((node, at, is_below_done)) = stack.pop() {
            let Some(entry) = node.entries.get(at) else {
                continue;
            };
            let (child, is_last) = (entry.child.filter(|_| !is_below_done), entry.is_last);
            if let Some(child) = child {
                left = left
                    .checked_sub(1)
                    .ok_or_else(|| self.damaged("it leads in a ring"))?;
                if stack.len() >= MAX_DEPTH {
                    return Err(self.damaged("it is too deep"));
                }
                stack.push((node, at, true));
                stack.push((self.read(Place::Block(child))?, 0, false));
                continue;
            }
            if !is_last {
                if !visit(entry) {
                    return Ok(());
                }
                stack.push((node, at + 1, false));
            }
        }
        Ok(())
    }
}

/// The two halves of a node and the entry between them, by bytes.
fn split(mut node: Node) -> Result<(Node, Entry, Node), ChangeError> {
    let half = node.encoded_length() / 2;
    let mut before = 0;
    let mut middle = 0;
    // Neither half may be empty: the first and the last entry with a key stay where they are.
    let most = node.entries.len().saturating_sub(3);
    for (at, entry) in node.entries.iter().enumerate() {
        if before + entry.encoded_length() > half || at >= most {
            middle = at;
            break;
        }
        before += entry.encoded_length();
    }
    let middle = middle.max(1);
    if middle + 2 > node.entries.len() {
        return Err(ChangeError::Unsupported(
            "an index block that holds two entries at most",
        ));
    }
    let right = node.entries.split_off(middle + 1);
    let separator = node
        .entries
        .pop()
        .ok_or(ChangeError::Unsupported("an empty index block"))?;
    node.entries.push(Entry::end(separator.child));
    Ok((node, separator, Node { entries: right }))
}

impl Volume<'_> {
    /// Compares two keys of a directory as this volume orders them.
    fn compare_names(&self, a: &[u8], b: &[u8], is_folding: bool) -> Ordering {
        let (a, b) = (name_units(a), name_units(b));
        let folded = |name: &[u16]| {
            name.iter()
                .map(|unit| self.upcased(*unit))
                .collect::<Vec<_>>()
        };
        // Names that differ in case only stand side by side, in the order of their code units.
        let order = folded(&a).cmp(&folded(&b));
        if is_folding {
            order
        } else {
            order.then_with(|| a.cmp(&b))
        }
    }
}

/// The name in a key of a directory.
pub(super) fn name_units(key: &[u8]) -> Vec<u16> {
    let length = key.get(0x40).copied().map_or(0, usize::from);
    (0..length)
        .map_while(|index| u16_at(key, 0x42 + 2 * index))
        .collect()
}
