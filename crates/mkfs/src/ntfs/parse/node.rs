//! The nodes of an index: its root, its blocks, and the entries in both.

use zerocopy::FromBytes;

use super::super::attribute::FileReference;
use super::super::format::{
    ENTRY_HAS_CHILD, ENTRY_IS_LAST, INDEX_NODE_HAS_CHILDREN, IndexBlockHeader, IndexEntryHeader,
    IndexHeader, IndexRootHeader,
};
use super::error::{ParseError, Structure};
use super::fixup::unprotect;
use super::name::FileNameView;

/// Where the length of the key stands in an entry.
const KEY_LENGTH: usize = 10;

/// The number of a block below an entry.
pub type Child = u64;

pub(super) fn damaged(reason: impl Into<String>) -> ParseError {
    ParseError::damaged(Structure::Index, reason)
}

/// `$INDEX_ROOT`.
#[derive(Clone, Copy, Debug)]
pub struct RootView<'a> {
    /// Type of the attribute indexed; zero in a view index.
    pub attribute: u32,
    /// Number of the rule of order.
    pub collation: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// Units of child numbers in a block.
    pub units_per_block: u8,
    /// The entries.
    pub node: Node<'a>,
}

impl<'a> RootView<'a> {
    /// Reads the value of `$INDEX_ROOT`.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let (header, rest) = IndexRootHeader::ref_from_prefix(value)
            .map_err(|_| damaged("the root is cut short"))?;
        Ok(Self {
            attribute: header.attribute.get(),
            collation: header.collation.get(),
            block_size: header.block_size.get(),
            units_per_block: header.units_per_block,
            node: Node::parse(rest)?,
        })
    }
}

/// The entries of a root or block.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// From the node's head to the end of its bytes in use.
    pub(super) bytes: &'a [u8],
    /// Where the first entry stands, in bytes from the node's head.
    pub entries_offset: u32,
    /// Bytes in use, the head counted.
    pub used: u32,
    /// Bytes that the node has, the head counted.
    pub allocated: u32,
    /// Whether its entries have children, as the head says.
    pub has_children: bool,
    /// The flags of the head.
    pub flags: u8,
}

impl<'a> Node<'a> {
    /// Reads a node from its head on.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) =
            IndexHeader::ref_from_prefix(bytes).map_err(|_| damaged("a node is cut short"))?;
        let (start, used) = (header.entries_offset.get(), header.used.get());
        let in_use = usize::try_from(used)
            .ok()
            .and_then(|used| bytes.get(..used));
        let Some(in_use) = in_use else {
            return Err(damaged("a node uses more bytes than there are"));
        };
        if start > used || start < 16 || start % 8 != 0 {
            return Err(damaged("the entries of a node begin nowhere"));
        }
        Ok(Self {
            bytes: in_use,
            entries_offset: start,
            used,
            allocated: header.allocated.get(),
            has_children: header.flags & INDEX_NODE_HAS_CHILDREN != 0,
            flags: header.flags,
        })
    }

    /// The entries with the last one, which has no key; ends after one that cannot be read.
    pub fn entries(&self) -> Entries<'a> {
        Entries {
            bytes: self.bytes,
            offset: usize::try_from(self.entries_offset).unwrap_or(usize::MAX),
            is_done: false,
        }
    }
}

/// The entries of a node.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    offset: usize,
    is_done: bool,
}

impl Entries<'_> {
    /// Where the next entry stands, in bytes from the node's head.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<EntryView<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = EntryView::parse(self.bytes, self.offset);
        match &entry {
            Ok(entry) => {
                // A length is never zero, so this ends.
                self.offset += entry.bytes.len();
                self.is_done = entry.is_last();
            }
            Err(_) => self.is_done = true,
        }
        Some(entry)
    }
}

/// An entry of an index.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Its key; empty for the last entry of a node.
    pub key: &'a [u8],
    /// Its flags.
    pub flags: u16,
    /// The block below it, whose entries come before it.
    pub child: Option<Child>,
    /// The first eight bytes: a file reference in a directory.
    head: u64,
}

impl<'a> EntryView<'a> {
    pub(super) fn parse(node: &'a [u8], offset: usize) -> Result<Self, ParseError> {
        let damaged = |reason: &str| damaged(reason).at(u64::try_from(offset).unwrap_or(u64::MAX));
        let rest = node.get(offset..).unwrap_or_default();
        let (header, _) = IndexEntryHeader::ref_from_prefix(rest)
            .map_err(|_| damaged("the entries of a node have no end"))?;
        let length = usize::from(header.length.get());
        let head = size_of::<IndexEntryHeader>();
        if length < head || length % 8 != 0 || length > rest.len() {
            return Err(damaged("the length of an entry is none"));
        }
        let bytes = &rest[..length];
        let flags = header.flags.get();
        let child = if flags & ENTRY_HAS_CHILD != 0 {
            let number = bytes[head..].last_chunk::<8>();
            Some(u64::from_le_bytes(*number.ok_or_else(|| {
                damaged("an entry has no room for its child")
            })?))
        } else {
            None
        };
        let end = length - child.map_or(0, |_| 8);
        let key_length = match flags & ENTRY_IS_LAST {
            0 => usize::from(header.key_length.get()),
            _ => 0,
        };
        let key = bytes
            .get(head..head + key_length)
            .filter(|_| head + key_length <= end)
            .ok_or_else(|| damaged("a key runs past its entry"))?;
        Ok(Self {
            bytes,
            key,
            flags,
            child,
            head: header.reference.get(),
        })
    }

    /// Bytes of its key, as its head says; the last entry of a node has none.
    pub fn key_length(&self) -> u16 {
        let (_, rest) = self.bytes.split_at(KEY_LENGTH.min(self.bytes.len()));
        rest.first_chunk()
            .map_or(0, |length| u16::from_le_bytes(*length))
    }

    /// Whether it ends its node, and has no key.
    pub fn is_last(&self) -> bool {
        self.flags & ENTRY_IS_LAST != 0
    }

    /// The file, in a directory.
    pub fn file(&self) -> FileReference {
        FileReference::from_bits(self.head)
    }

    /// The name, in a directory; `None` where the key is none.
    pub fn file_name(&self) -> Option<FileNameView<'a>> {
        FileNameView::parse(self.key)
    }

    /// The data, in a view index; `None` where they stand outside the entry.
    pub fn data(&self) -> Option<&'a [u8]> {
        let [a, b, c, d, ..] = self.head.to_le_bytes();
        let start = usize::from(u16::from_le_bytes([a, b]));
        let length = usize::from(u16::from_le_bytes([c, d]));
        self.bytes.get(start..start + length)
    }
}

/// An entry that was found.
#[derive(Clone, Debug)]
pub struct OwnedEntry(pub(super) Vec<u8>);

impl OwnedEntry {
    /// The entry.
    ///
    /// # Errors
    /// None: it was read before.
    pub fn view(&self) -> Result<EntryView<'_>, ParseError> {
        EntryView::parse(&self.0, 0)
    }
}

/// A block of an index, its update sequence put back.
#[derive(Clone, Debug)]
pub struct IndexBlock {
    bytes: Vec<u8>,
}

impl IndexBlock {
    /// Reads a block from its bytes as they stand on the disk.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, ParseError> {
        if !bytes.starts_with(b"INDX") {
            return Err(damaged("a block has no magic number"));
        }
        unprotect(&mut bytes).map_err(|problem| damaged(format!("a block is torn: {problem}")))?;
        let block = Self { bytes };
        block.node()?;
        Ok(block)
    }

    /// Its number as it says itself.
    pub fn number(&self) -> u64 {
        IndexBlockHeader::ref_from_prefix(&self.bytes).map_or(0, |(header, _)| header.number.get())
    }

    /// Its entries.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn node(&self) -> Result<Node<'_>, ParseError> {
        Node::parse(
            self.bytes
                .get(size_of::<IndexBlockHeader>()..)
                .unwrap_or_default(),
        )
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
