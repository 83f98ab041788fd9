//! `$Secure`: each security descriptor once, found by number (`$SII`) or by hash (`$SDH`).
//!
//! `$SDS` is a stream of blocks of 256 KiB, each followed by its copy. An entry stands at a multiple
//! of 16 bytes, crosses no block, and its copy stands 256 KiB after it. The stream ends with the
//! copy of its last entry: there Windows goes on.

use std::collections::HashMap;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::attribute::Attribute;
use super::build::Builder;
use super::folder::large_index;
use super::format::{AttributeKind, SecurityEntryHeader};
use super::index::{IndexEntry, SECURITY_HASHES, SECURITY_IDS};
use super::narrow::{to_u32, to_usize, wide};
use super::security;
use super::stream::StreamBuilder;
use super::system;
use crate::error::MkfsError;
use crate::security::SecurityDescriptor;

/// Name of the stream of descriptors.
const SECURITY_STREAM: &str = "$SDS";
/// Key of the first descriptor.
const FIRST_KEY: u32 = 0x100;
/// Bytes of all descriptors of a volume at most: they are kept in memory until its end.
const MAX_BYTES: usize = 256 << 20;

/// Distance from an entry to its copy.
const COPY_DISTANCE: u64 = 0x4_0000;
const ENTRY_ALIGNMENT: usize = 16;
/// The four bytes at the end of an entry of `$SDH`: "II" as Windows writes it.
const HASH_ENTRY_END: [u8; 4] = [0x49, 0, 0x49, 0];

/// Keys of the security descriptors that every new volume has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecurityId {
    SystemReadOnly,
    SystemReadWrite,
    Directory,
    File,
}

impl SecurityId {
    const ALL: [Self; 4] = [
        Self::SystemReadOnly,
        Self::SystemReadWrite,
        Self::Directory,
        Self::File,
    ];

    /// The key as stored; Windows counts from 0x100.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::SystemReadOnly => FIRST_KEY,
            Self::SystemReadWrite => FIRST_KEY + 1,
            Self::Directory => FIRST_KEY + 2,
            Self::File => FIRST_KEY + 3,
        }
    }

    fn descriptor(self) -> Vec<u8> {
        match self {
            Self::SystemReadOnly => security::system_read_only(),
            Self::SystemReadWrite => security::system_read_write(),
            Self::Directory => security::directory(),
            Self::File => security::file(),
        }
    }
}

/// The security descriptors of a volume, each once.
pub(super) struct Secure {
    /// In the order of their keys.
    descriptors: Vec<SecurityDescriptor>,
    keys: HashMap<SecurityDescriptor, u32>,
    bytes: usize,
}

/// What `$SDS` holds in one block and in its copy.
struct Block {
    /// Where it begins in the stream.
    start: u64,
    bytes: Vec<u8>,
}

/// `$SDS` laid out.
struct Layout {
    blocks: Vec<Block>,
    /// In the order of their keys.
    headers: Vec<SecurityEntryHeader>,
}

impl Secure {
    /// The descriptors that every new volume has.
    pub(super) fn new() -> Result<Self, MkfsError> {
        let mut secure = Self {
            descriptors: Vec::new(),
            keys: HashMap::new(),
            bytes: 0,
        };
        for id in SecurityId::ALL {
            let descriptor = SecurityDescriptor::from_bytes(&id.descriptor())
                .map_err(|_| MkfsError::Unsupported("a security descriptor of this form"))?;
            secure.key(&descriptor)?;
        }
        Ok(secure)
    }

    /// The key of a descriptor.
    pub(super) fn key(&mut self, descriptor: &SecurityDescriptor) -> Result<u32, MkfsError> {
        if let Some(key) = self.keys.get(descriptor) {
            return Ok(*key);
        }
        self.bytes = self.bytes.saturating_add(descriptor.as_bytes().len());
        if self.bytes > MAX_BYTES {
            return Err(MkfsError::Unsupported(
                "more than 256 MiB of security descriptors",
            ));
        }
        const WHAT: &str = "a volume with so many security descriptors";
        let key = FIRST_KEY
            .checked_add(to_u32(self.descriptors.len(), WHAT)?)
            .ok_or(MkfsError::Unsupported(WHAT))?;
        self.descriptors.push(descriptor.clone());
        self.keys.insert(descriptor.clone(), key);
        Ok(key)
    }

    fn layout(&self) -> Result<Layout, MkfsError> {
        const HEAD: usize = size_of::<SecurityEntryHeader>();
        const WHAT: &str = "a security descriptor of this length";
        let block_size = to_usize(COPY_DISTANCE, WHAT)?;
        let mut layout = Layout {
            blocks: vec![Block::at(0)],
            headers: Vec::with_capacity(self.descriptors.len()),
        };
        let mut start = 0;
        for (id, descriptor) in (FIRST_KEY..).zip(&self.descriptors) {
            let descriptor = descriptor.as_bytes();
            let length = HEAD + descriptor.len();
            let full = layout
                .blocks
                .last()
                .is_none_or(|block| block.next_place() + length > block_size);
            if full {
                start += 2 * COPY_DISTANCE;
                layout.blocks.push(Block::at(start));
            }
            let Some(block) = layout.blocks.last_mut() else {
                continue;
            };
            let place = block.next_place();
            let header = SecurityEntryHeader {
                hash: U32::new(hash(descriptor)),
                id: U32::new(id),
                offset: U64::new(block.start + wide(place)),
                length: U32::new(to_u32(length, WHAT)?),
            };
            block.bytes.resize(place, 0);
            block.bytes.extend_from_slice(header.as_bytes());
            block.bytes.extend_from_slice(descriptor);
            layout.headers.push(header);
        }
        Ok(layout)
    }
}

impl Block {
    const fn at(start: u64) -> Self {
        Self {
            start,
            bytes: Vec::new(),
        }
    }

    /// Where the next entry begins in the block.
    const fn next_place(&self) -> usize {
        self.bytes.len().next_multiple_of(ENTRY_ALIGNMENT)
    }
}

impl Layout {
    /// The entries of `$SII`, in order.
    fn by_id(&self) -> impl Iterator<Item = Result<IndexEntry, MkfsError>> {
        self.headers
            .iter()
            .map(|header| IndexEntry::view(header.id.as_bytes(), header.as_bytes()))
    }

    /// The entries of `$SDH`, in order.
    fn by_hash(&mut self) -> impl Iterator<Item = Result<IndexEntry, MkfsError>> {
        self.headers
            .sort_by_key(|header| (header.hash.get(), header.id.get()));
        self.headers.iter().map(|header| {
            let key = [header.hash.to_bytes(), header.id.to_bytes()].concat();
            IndexEntry::view_with_end(&key, header.as_bytes(), &HASH_ENTRY_END)
        })
    }
}

impl Builder<'_, '_> {
    /// Writes `$SDS` and both its indexes: the attributes of `$Secure` after its name.
    pub(super) fn security_attributes(&mut self) -> Result<Vec<Attribute>, MkfsError> {
        let mut layout = self.secure.layout()?;
        let volume = &mut self.volume;
        let mut stream = StreamBuilder::default();
        for block in &layout.blocks {
            stream.skip_to(volume, block.start)?;
            stream.append(volume, &block.bytes)?;
            stream.skip_to(volume, block.start + COPY_DISTANCE)?;
            stream.append(volume, &block.bytes)?;
        }
        let stream = stream.finish(&volume.geometry);
        let stream = Attribute::stream(AttributeKind::Data, SECURITY_STREAM, stream);
        let taken = system::secure_record_bytes() + stream.length();
        // Both indexes have the same part of what is left.
        let part = self.attribute_room()?.saturating_sub(taken) / 2;
        let by_id = large_index(&mut self.volume, SECURITY_IDS, part, layout.by_id())?;
        let by_hash = large_index(&mut self.volume, SECURITY_HASHES, part, layout.by_hash())?;
        Ok(secure_order(stream, by_hash, by_id))
    }
}

/// The attributes in the order of type and name.
fn secure_order(
    stream: Attribute,
    by_hash: Vec<Attribute>,
    by_id: Vec<Attribute>,
) -> Vec<Attribute> {
    let mut attributes = vec![stream];
    attributes.extend(by_hash);
    attributes.extend(by_id);
    // The sort is stable, and `$SDH` comes before `$SII`.
    attributes.sort_by_key(|attribute| attribute.kind);
    attributes
}

/// The hash of a descriptor, over its 32-bit words.
pub(super) fn hash(descriptor: &[u8]) -> u32 {
    let (words, _) = descriptor.as_chunks::<4>();
    words.iter().fold(0_u32, |hash, word| {
        hash.rotate_left(3).wrapping_add(u32::from_le_bytes(*word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_hashes_are_those_of_windows() {
        assert_eq!(hash(&security::system_read_only()), 0x32FE_C6CB);
        assert_eq!(hash(&security::system_read_write()), 0x3414_C8F7);
        assert_eq!(security::system_read_only().len(), 0x64);
        // The root's descriptor of a Windows 10 volume.
        let root = "01000480cc000000d800000000000000140000000200b8000800000000001800ff011f0001020000\
            000000052000000020020000000b1800000000100102000000000005200000002002000000001400ff011f00\
            010100000000000512000000000b14000000001001010000000000051200000000001400bf01130001010000\
            000000050b000000000b1400000001e001010000000000050b00000000001800a90012000102000000000005\
            2000000021020000000b1800000000a002010000000000052000000021020000010100000000000512000000\
            010100000000000512000000";
        let ours: String = security::root()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(ours.len(), 2 * 0xE4);
        // Generic read and execute: 0xA0000000, its SID after it.
        assert_eq!(ours, root.replace("a00201000000", "a00102000000"));
    }

    #[test]
    fn a_file_inherits_what_a_file_of_windows_inherits() {
        // The list of a file made on a Windows 10 volume; owner and group are the maker's.
        let list = "020060000400000000001800ff011f000102000000000005200000002002000000001400ff011f00\
            01010000000000051200000000001400bf01130001010000000000050b00000000001800a900120001020000\
            0000000520000000210200000102000000000005200000002002000";
        let ours: String = security::file()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert!(ours[40..].starts_with(list), "{ours}");
    }

    #[test]
    fn entries_stand_where_windows_puts_them() {
        let mut layout = Secure::new().unwrap().layout().unwrap();
        let offsets: Vec<u64> = layout.headers.iter().map(|h| h.offset.get()).collect();
        assert_eq!(offsets[..3], [0, 0x80, 0x100]);
        assert_eq!(layout.headers[0].length.get(), 0x78);
        let by_id: Vec<IndexEntry> = layout.by_id().collect::<Result<_, _>>().unwrap();
        assert_eq!(
            by_id[0].bytes(),
            [
                0x14, 0, 0x14, 0, 0, 0, 0, 0, 0x28, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xCB, 0xC6,
                0xFE, 0x32, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x78, 0, 0, 0
            ]
        );
        let by_hash: Vec<IndexEntry> = layout.by_hash().collect::<Result<_, _>>().unwrap();
        assert!(
            by_hash
                .iter()
                .all(|e| e.bytes().len() == 0x30 && e.bytes()[0] == 0x18)
        );
        assert_eq!(by_hash[0].bytes()[0x2C..], HASH_ENTRY_END);
    }

    #[test]
    fn an_entry_crosses_no_block_and_the_same_descriptor_has_one_key() {
        let mut secure = Secure::new().unwrap();
        for number in 0..20_u8 {
            let mut bytes = security::file();
            bytes.resize(60_000, number);
            let descriptor = SecurityDescriptor::from_bytes(&bytes).unwrap();
            let key = secure.key(&descriptor).unwrap();
            assert_eq!(key, 0x104 + u32::from(number));
            assert_eq!(secure.key(&descriptor).unwrap(), key);
        }
        let layout = secure.layout().unwrap();
        assert_eq!(layout.blocks.len(), 5);
        for header in &layout.headers {
            let (start, length) = (header.offset.get(), u64::from(header.length.get()));
            assert_eq!((start / COPY_DISTANCE) % 2, 0);
            assert_eq!((start + length - 1) / COPY_DISTANCE, start / COPY_DISTANCE);
            assert_eq!(start % 16, 0);
        }
    }
}
