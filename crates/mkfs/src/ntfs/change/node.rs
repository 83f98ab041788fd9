//! Nodes of an index: entries taken apart and put together.

use super::bytes::{length, put, u16_at, u32_at, u64_at, wide};
use super::record::unprotect;
use crate::change::ChangeError;
use crate::ntfs::narrow::{align8, to_u16, to_u32};

const HAS_CHILD: u16 = 1;
const IS_LAST: u16 = 2;
const ENTRY_HEADER: usize = 16;
const CHILD: usize = 8;
/// Where the head of the entries stands in a block.
const BLOCK_HEADER: usize = 0x18;
/// Bytes of the head of the entries.
const NODE_HEADER: usize = 0x10;
/// Bytes of an index root before its entries.
pub(super) const ROOT_HEADER: usize = 0x20;

/// An entry of an index, without the number of its child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it stands in a leaf.
    pub bytes: Vec<u8>,
    pub child: Option<u64>,
    pub is_last: bool,
}

/// The entries of a node; the last one is the mark of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub entries: Vec<Entry>,
}

impl Entry {
    /// The mark of the end.
    pub(super) fn end(child: Option<u64>) -> Self {
        Self {
            bytes: vec![0; ENTRY_HEADER],
            child,
            is_last: true,
        }
    }

    /// An entry of a directory.
    pub(super) fn name(reference: u64, key: &[u8]) -> Result<Self, ChangeError> {
        let mut bytes = vec![0; align8(ENTRY_HEADER + key.len())];
        put(&mut bytes, 0, &reference.to_le_bytes());
        Self::finish(bytes, key)
    }

    /// An entry of a view index, with bytes after its data.
    pub(super) fn view(key: &[u8], data: &[u8], end: &[u8]) -> Result<Self, ChangeError> {
        let offset = ENTRY_HEADER + key.len();
        let mut bytes = vec![0; align8(offset + data.len() + end.len())];
        put(
            &mut bytes,
            0,
            &to_u16(offset, "an index key of this length")?.to_le_bytes(),
        );
        put(
            &mut bytes,
            2,
            &to_u16(data.len(), "index data of this length")?.to_le_bytes(),
        );
        put(&mut bytes, offset, data);
        put(&mut bytes, offset + data.len(), end);
        Self::finish(bytes, key)
    }

    fn finish(mut bytes: Vec<u8>, key: &[u8]) -> Result<Self, ChangeError> {
        put(
            &mut bytes,
            10,
            &to_u16(key.len(), "an index key of this length")?.to_le_bytes(),
        );
        put(&mut bytes, ENTRY_HEADER, key);
        Ok(Self {
            bytes,
            child: None,
            is_last: false,
        })
    }

    pub(super) fn key(&self) -> &[u8] {
        let length = usize::from(u16_at(&self.bytes, 10).unwrap_or(0));
        self.bytes
            .get(ENTRY_HEADER..)
            .and_then(|rest| rest.get(..length))
            .unwrap_or_default()
    }

    /// Overwrites the key with one of the same length.
    pub(super) fn set_key(&mut self, key: &[u8]) {
        put(&mut self.bytes, ENTRY_HEADER, key);
    }

    /// In a directory: the file.
    pub(super) fn reference(&self) -> u64 {
        u64_at(&self.bytes, 0).unwrap_or(0)
    }

    /// In a view index: the data.
    pub(super) fn data(&self) -> &[u8] {
        let offset = usize::from(u16_at(&self.bytes, 0).unwrap_or(0));
        let length = usize::from(u16_at(&self.bytes, 2).unwrap_or(0));
        self.bytes
            .get(offset..)
            .and_then(|rest| rest.get(..length))
            .unwrap_or_default()
    }

    pub(super) fn encoded_length(&self) -> usize {
        self.bytes.len() + if self.child.is_some() { CHILD } else { 0 }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ChangeError> {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(child) = self.child {
            out.extend_from_slice(&child.to_le_bytes());
        }
        let length = to_u16(out.len() - start, "an index entry of this length")?;
        let flags = if self.child.is_some() { HAS_CHILD } else { 0 }
            | if self.is_last { IS_LAST } else { 0 };
        put(out, start + 8, &length.to_le_bytes());
        put(out, start + 12, &flags.to_le_bytes());
        Ok(())
    }
}

impl Node {
    /// A leaf without entries.
    pub(super) fn empty() -> Self {
        Self {
            entries: vec![Entry::end(None)],
        }
    }

    pub(super) fn has_children(&self) -> bool {
        self.entries
            .last()
            .is_some_and(|entry| entry.child.is_some())
    }

    /// Whether there is nothing but the mark of the end.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() <= 1
    }

    pub(super) fn encoded_length(&self) -> usize {
        self.entries.iter().map(Entry::encoded_length).sum()
    }

    /// The entries behind the head that stands at the start of `bytes`.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let start = length(u32_at(bytes, 0)?);
        let used = length(u32_at(bytes, 4)?);
        let mut rest = bytes.get(..used)?.get(start..)?;
        let mut entries = Vec::new();
        // Ends: each turn takes at least 16 bytes.
        loop {
            let whole = usize::from(u16_at(rest, 8)?);
            let key = usize::from(u16_at(rest, 10)?);
            let flags = u16_at(rest, 12)?;
            let child = if flags & HAS_CHILD == 0 { 0 } else { CHILD };
            let is_last = flags & IS_LAST != 0;
            let least = ENTRY_HEADER + child + if is_last { 0 } else { key };
            if whole < least || whole % 8 != 0 {
                return None;
            }
            let (entry, after) = rest.split_at_checked(whole)?;
            let (bytes, child) = entry.split_at_checked(whole - child)?;
            entries.push(Entry {
                bytes: bytes.to_vec(),
                child: u64_at(child, 0),
                is_last,
            });
            if is_last {
                let has_children = entries.last()?.child.is_some();
                let is_even = entries.iter().all(|e| e.child.is_some() == has_children);
                return is_even.then_some(Self { entries });
            }
            rest = after;
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ChangeError> {
        self.entries.iter().try_for_each(|entry| entry.encode(out))
    }

    pub(super) fn decode_root(value: &[u8]) -> Option<Self> {
        Self::decode(value.get(0x10..)?)
    }

    /// The value of an index root with the head that it had.
    pub(super) fn encode_root(&self, head: &[u8]) -> Result<Vec<u8>, ChangeError> {
        let mut value = head.get(..0x10).unwrap_or_default().to_vec();
        value.resize(ROOT_HEADER, 0);
        self.encode(&mut value)?;
        let used = to_u32(value.len() - 0x10, "an index root of this length")?;
        put(
            &mut value,
            0x10,
            &to_u32(NODE_HEADER, "an index root")?.to_le_bytes(),
        );
        put(&mut value, 0x14, &used.to_le_bytes());
        put(&mut value, 0x18, &used.to_le_bytes());
        put(&mut value, 0x1C, &[u8::from(self.has_children())]);
        Ok(value)
    }

    pub(super) fn decode_block(mut bytes: Vec<u8>, number: u64) -> Option<Self> {
        if !bytes.starts_with(b"INDX") {
            return None;
        }
        unprotect(&mut bytes)?;
        if u64_at(&bytes, 0x10)? != number {
            return None;
        }
        Self::decode(bytes.get(BLOCK_HEADER..)?)
    }

    /// Where entries begin in a block of so many bytes.
    const fn block_start(size: usize) -> usize {
        (BLOCK_HEADER + NODE_HEADER + 2 * (size / 512 + 1)).next_multiple_of(8)
    }

    /// Bytes for entries in a block of so many bytes.
    pub(super) const fn block_room(size: usize) -> usize {
        size - Self::block_start(size)
    }

    pub(super) fn encode_block(&self, number: u64, size: usize) -> Result<Vec<u8>, ChangeError> {
        let what = "an index block of this length";
        let start = Self::block_start(size);
        let mut bytes = vec![0; start];
        self.encode(&mut bytes)?;
        let used = bytes.len() - BLOCK_HEADER;
        if bytes.len() > size {
            return Err(ChangeError::Unsupported(what));
        }
        bytes.resize(size, 0);
        put(&mut bytes, 0, b"INDX");
        put(
            &mut bytes,
            4,
            &to_u16(BLOCK_HEADER + NODE_HEADER, what)?.to_le_bytes(),
        );
        put(&mut bytes, 6, &to_u16(size / 512 + 1, what)?.to_le_bytes());
        put(&mut bytes, 0x10, &number.to_le_bytes());
        put(
            &mut bytes,
            0x18,
            &to_u32(start - BLOCK_HEADER, what)?.to_le_bytes(),
        );
        put(&mut bytes, 0x1C, &to_u32(used, what)?.to_le_bytes());
        put(
            &mut bytes,
            0x20,
            &to_u32(size - BLOCK_HEADER, what)?.to_le_bytes(),
        );
        put(&mut bytes, 0x24, &[u8::from(self.has_children())]);
        crate::ntfs::record::protect(&mut bytes, BLOCK_HEADER + NODE_HEADER);
        debug_assert!(wide(bytes.len()) == wide(size));
        Ok(bytes)
    }
}
