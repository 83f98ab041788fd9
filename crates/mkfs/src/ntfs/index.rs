//! An index: a B-tree of entries, built from the leaves up while the entries arrive in order.
//!
//! A leaf is filled; when the next entry does not fit, the last one of the leaf becomes the
//! separator in the node above, with the leaf as its child, and the leaf is written. What is left
//! open at the end becomes the root where it fits there. Blocks are numbered in the order in which
//! they are written, so that they follow one another on the disk.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::format::{
    ENTRY_HAS_CHILD, ENTRY_IS_LAST, FIXUP_STRIDE, INDEX_BLOCK_SIZE, INDEX_NODE_HAS_CHILDREN,
    IndexBlockHeader, IndexEntryHeader, IndexHeader, IndexRootHeader,
};
use super::narrow::{align8, to_u16, to_u32};
use super::record::protect;
use crate::error::MkfsError;

const ENTRY_HEADER: usize = size_of::<IndexEntryHeader>();
const NODE_HEADER: usize = size_of::<IndexHeader>();
const CHILD: usize = 8;
const BLOCK_FIXUP_OFFSET: usize = size_of::<IndexBlockHeader>() + NODE_HEADER;
const FIXUP_LENGTH: usize = 2 * (1 + INDEX_BLOCK_SIZE / FIXUP_STRIDE);
/// First entry of a block.
const BLOCK_ENTRIES: usize = (BLOCK_FIXUP_OFFSET + FIXUP_LENGTH).next_multiple_of(8);
const BLOCK_ROOM: usize = INDEX_BLOCK_SIZE - BLOCK_ENTRIES;
/// Bytes to which a block is filled: a tenth stays free for names that come later.
const BLOCK_FILL: usize = BLOCK_ROOM - BLOCK_ROOM / 10;
/// Bytes of an index root before its entries.
pub(super) const ROOT_HEADER: usize = size_of::<IndexRootHeader>() + NODE_HEADER;

/// What an index is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexKind {
    /// Name of its attributes.
    pub name: &'static str,
    /// Type of the attribute indexed; zero for a view index.
    pub attribute: u32,
    /// Rule of the order.
    pub collation: u32,
}

/// Names in a directory.
pub(super) const FILE_NAMES: IndexKind = kind("$I30", 0x30, 0x01);
/// `$Secure`: by hash and number.
pub(super) const SECURITY_HASHES: IndexKind = kind("$SDH", 0, 0x12);
/// `$Secure`: by number.
pub(super) const SECURITY_IDS: IndexKind = kind("$SII", 0, 0x10);
/// `$Quota`: by account.
pub(super) const QUOTA_OWNERS: IndexKind = kind("$O", 0, 0x11);
/// `$Quota`: by number.
pub(super) const QUOTAS: IndexKind = kind("$Q", 0, 0x10);
/// `$ObjId`: by GUID.
pub(super) const OBJECT_IDS: IndexKind = kind("$O", 0, 0x13);
/// `$Reparse`: by tag and file.
pub(super) const REPARSE_POINTS: IndexKind = kind("$R", 0, 0x13);

const fn kind(name: &'static str, attribute: u32, collation: u32) -> IndexKind {
    IndexKind {
        name,
        attribute,
        collation,
    }
}

/// An entry without a child, as it stands in a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry(Vec<u8>);

impl IndexEntry {
    /// An entry of a view index.
    pub(super) fn view(key: &[u8], data: &[u8]) -> Result<Self, MkfsError> {
        Self::view_with_end(key, data, &[])
    }

    /// An entry of a view index with bytes after its data.
    pub(super) fn view_with_end(key: &[u8], data: &[u8], end: &[u8]) -> Result<Self, MkfsError> {
        let data_offset = to_u16(ENTRY_HEADER + key.len(), "an index key of this length")?;
        let data_length = to_u16(data.len(), "index data of this length")?;
        let place = u64::from(data_offset) | u64::from(data_length) << 16;
        let mut entry = Self::start(place, key.len())?;
        for part in [key, data, end] {
            entry.0.extend_from_slice(part);
        }
        entry.finish()
    }

    /// An entry of a directory; `key` appends the key.
    pub(super) fn file(
        reference: u64,
        key_length: usize,
        key: impl FnOnce(&mut Vec<u8>) -> Result<(), MkfsError>,
    ) -> Result<Self, MkfsError> {
        let mut entry = Self::start(reference, key_length)?;
        key(&mut entry.0)?;
        entry.finish()
    }

    fn start(reference: u64, key_length: usize) -> Result<Self, MkfsError> {
        let mut header = IndexEntryHeader::new_zeroed();
        header.reference = U64::new(reference);
        header.key_length = U16::new(to_u16(key_length, "an index key of this length")?);
        let mut bytes = Vec::with_capacity(align8(ENTRY_HEADER + key_length) + 32);
        bytes.extend_from_slice(header.as_bytes());
        Ok(Self(bytes))
    }

    fn finish(mut self) -> Result<Self, MkfsError> {
        self.0.resize(align8(self.0.len()), 0);
        let length = to_u16(self.0.len(), "an index entry of this length")?;
        self.0[8..10].copy_from_slice(&length.to_le_bytes());
        Ok(self)
    }

    /// The entry as stored in a leaf.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where finished blocks go, in the order of their numbers.
pub(super) trait BlockSink {
    /// Stores the next block.
    fn store(&mut self, block: &[u8]) -> Result<(), MkfsError>;
}

/// A node that still takes entries.
#[derive(Default)]
struct OpenNode {
    bytes: Vec<u8>,
    last_start: usize,
    last_child: Option<u64>,
    count: usize,
}

/// Room for the entries of the root, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootRoom {
    /// Where there are no blocks.
    pub alone: usize,
    /// Where the record also describes blocks.
    pub with_blocks: usize,
}

/// A finished index.
#[derive(Debug)]
pub(super) struct BuiltIndex {
    /// The value of `$INDEX_ROOT`.
    pub root: Vec<u8>,
    /// Blocks stored.
    pub blocks: u64,
}

/// Builds an index from entries in order.
pub(super) struct IndexBuilder<'s> {
    kind: IndexKind,
    units_per_block: u64,
    room: RootRoom,
    sink: &'s mut dyn BlockSink,
    levels: Vec<OpenNode>,
    blocks: u64,
}

impl<'s> IndexBuilder<'s> {
    /// A builder whose blocks are numbered in steps of `units_per_block`.
    pub(super) fn new(
        kind: IndexKind,
        units_per_block: u64,
        room: RootRoom,
        sink: &'s mut dyn BlockSink,
    ) -> Self {
        Self {
            kind,
            units_per_block,
            room,
            sink,
            levels: vec![OpenNode::default()],
            blocks: 0,
        }
    }

    /// Adds the next entry in the order of the index.
    pub(super) fn push(&mut self, entry: &IndexEntry) -> Result<(), MkfsError> {
        self.add(0, entry.bytes(), None)
    }

    fn add(&mut self, level: usize, entry: &[u8], child: Option<u64>) -> Result<(), MkfsError> {
        if level == self.levels.len() {
            self.levels.push(OpenNode::default());
        }
        let node = &mut self.levels[level];
        if node.count > 1 && node.length_with_end() + entry.len() + child_length(child) > BLOCK_FILL
        {
            let (separator, last_child) = node.take_last();
            let number = self.close(level, last_child)?;
            self.add(level + 1, &separator, Some(number))?;
        }
        self.levels[level].push(entry, child);
        Ok(())
    }

    /// Stores the open node of `level` as a block; `last_child` holds what lies beyond its entries.
    fn close(&mut self, level: usize, last_child: Option<u64>) -> Result<u64, MkfsError> {
        let node = std::mem::take(&mut self.levels[level]);
        let number = self.blocks * self.units_per_block;
        self.sink.store(&block(number, &node.bytes, last_child)?)?;
        self.blocks += 1;
        Ok(number)
    }

    /// Ends the index.
    pub(super) fn finish(mut self) -> Result<BuiltIndex, MkfsError> {
        let mut level = 0;
        let mut child = None;
        loop {
            let is_top = level + 1 == self.levels.len();
            let room = if self.blocks == 0 {
                self.room.alone
            } else {
                self.room.with_blocks
            };
            let end = ENTRY_HEADER + child_length(child);
            if is_top && self.levels[level].bytes.len() + end <= room {
                let node = std::mem::take(&mut self.levels[level]);
                return Ok(BuiltIndex {
                    root: self.root(&node.bytes, child)?,
                    blocks: self.blocks,
                });
            }
            child = Some(self.close(level, child)?);
            level += 1;
            if level == self.levels.len() {
                self.levels.push(OpenNode::default());
            }
        }
    }

    fn root(&self, entries: &[u8], child: Option<u64>) -> Result<Vec<u8>, MkfsError> {
        let header = IndexRootHeader {
            attribute: U32::new(self.kind.attribute),
            collation: U32::new(self.kind.collation),
            block_size: U32::new(to_u32(INDEX_BLOCK_SIZE, "an index block")?),
            units_per_block: u8::try_from(self.units_per_block).unwrap_or(1),
            unused: [0; 3],
        };
        let used = NODE_HEADER + entries.len() + ENTRY_HEADER + child_length(child);
        let mut value = header.as_bytes().to_vec();
        // No slack is left in a root.
        push_node(&mut value, NODE_HEADER, used, used, child)?;
        value.extend_from_slice(entries);
        push_end(&mut value, child);
        Ok(value)
    }
}

impl OpenNode {
    fn push(&mut self, entry: &[u8], child: Option<u64>) {
        self.last_start = self.bytes.len();
        self.last_child = child;
        self.count += 1;
        self.bytes.extend_from_slice(entry);
        if let Some(number) = child {
            self.bytes.extend_from_slice(&number.to_le_bytes());
            let head = &mut self.bytes[self.last_start..];
            let length = u16::from_le_bytes([head[8], head[9]]) + 8;
            head[8..10].copy_from_slice(&length.to_le_bytes());
            head[12..14].copy_from_slice(&ENTRY_HAS_CHILD.to_le_bytes());
        }
    }

    /// Takes the last entry out, in the form it has in a leaf, and its child.
    fn take_last(&mut self) -> (Vec<u8>, Option<u64>) {
        let mut entry = self.bytes.split_off(self.last_start);
        let child = self.last_child.take();
        if child.is_some() {
            entry.truncate(entry.len() - CHILD);
            let length = u16::from_le_bytes([entry[8], entry[9]]) - 8;
            entry[8..10].copy_from_slice(&length.to_le_bytes());
            entry[12..14].copy_from_slice(&[0, 0]);
        }
        self.count -= 1;
        (entry, child)
    }

    fn length_with_end(&self) -> usize {
        self.bytes.len() + ENTRY_HEADER + child_length(self.last_child)
    }
}

const fn child_length(child: Option<u64>) -> usize {
    if child.is_some() { CHILD } else { 0 }
}

fn push_node(
    out: &mut Vec<u8>,
    entries_offset: usize,
    used: usize,
    allocated: usize,
    child: Option<u64>,
) -> Result<(), MkfsError> {
    let header = IndexHeader {
        entries_offset: U32::new(to_u32(entries_offset, "an index node")?),
        used: U32::new(to_u32(used, "an index node")?),
        allocated: U32::new(to_u32(allocated, "an index node")?),
        flags: child.map_or(0, |_| INDEX_NODE_HAS_CHILDREN),
        unused: [0; 3],
    };
    out.extend_from_slice(header.as_bytes());
    Ok(())
}

fn push_end(out: &mut Vec<u8>, child: Option<u64>) {
    let mut header = IndexEntryHeader::new_zeroed();
    header.length = U16::new(if child.is_some() { 24 } else { 16 });
    header.flags = U16::new(ENTRY_IS_LAST | child.map_or(0, |_| ENTRY_HAS_CHILD));
    out.extend_from_slice(header.as_bytes());
    if let Some(number) = child {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn block(number: u64, entries: &[u8], child: Option<u64>) -> Result<Vec<u8>, MkfsError> {
    const NODE_START: usize = size_of::<IndexBlockHeader>();
    let header = IndexBlockHeader {
        magic: *b"INDX",
        fixup_offset: U16::new(to_u16(BLOCK_FIXUP_OFFSET, "an index block")?),
        fixup_count: U16::new(to_u16(FIXUP_LENGTH / 2, "an index block")?),
        log_sequence_number: U64::ZERO,
        number: U64::new(number),
    };
    let used = BLOCK_ENTRIES - NODE_START + entries.len() + ENTRY_HEADER + child_length(child);
    let mut bytes = Vec::with_capacity(INDEX_BLOCK_SIZE);
    bytes.extend_from_slice(header.as_bytes());
    let (offset, room) = (BLOCK_ENTRIES - NODE_START, INDEX_BLOCK_SIZE - NODE_START);
    push_node(&mut bytes, offset, used, room, child)?;
    bytes.resize(BLOCK_ENTRIES, 0);
    bytes.extend_from_slice(entries);
    push_end(&mut bytes, child);
    bytes.resize(INDEX_BLOCK_SIZE, 0);
    protect(&mut bytes, BLOCK_FIXUP_OFFSET);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
