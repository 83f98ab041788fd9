//! `$Secure`: each security descriptor once, found by number (`$SII`) or by hash (`$SDH`).
//!
//! `$SDS` is a stream of blocks of 256 KiB, each followed by its copy. An entry stands at a multiple
//! of 16 bytes, crosses no block, and its copy stands 256 KiB after it. The stream ends with the
//! copy of its last entry: there Windows goes on.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::format::SecurityEntryHeader;
use super::index::IndexEntry;
use super::narrow::{to_u32, wide};
use super::security;
use crate::error::MkfsError;

/// Distance from an entry to its copy.
const COPY_DISTANCE: u64 = 0x4_0000;
const ENTRY_ALIGNMENT: usize = 16;
/// The four bytes at the end of an entry of `$SDH`: "II" as Windows writes it.
const HASH_ENTRY_END: [u8; 4] = [0x49, 0, 0x49, 0];

/// Keys of the security descriptors of a new volume.
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
            Self::SystemReadOnly => 0x100,
            Self::SystemReadWrite => 0x101,
            Self::Directory => 0x102,
            Self::File => 0x103,
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

/// The content of `$Secure`.
pub(super) struct Secure {
    /// The entries of the first block; its copy is the same bytes.
    pub entries: Vec<u8>,
    headers: Vec<SecurityEntryHeader>,
}

impl Secure {
    /// The descriptors of a new volume.
    pub(super) fn new() -> Result<Self, MkfsError> {
        let mut secure = Self {
            entries: Vec::new(),
            headers: Vec::new(),
        };
        for id in SecurityId::ALL {
            secure.push(id)?;
        }
        Ok(secure)
    }

    fn push(&mut self, id: SecurityId) -> Result<(), MkfsError> {
        let descriptor = id.descriptor();
        let start = self.entries.len().next_multiple_of(ENTRY_ALIGNMENT);
        let header = SecurityEntryHeader {
            hash: U32::new(hash(&descriptor)),
            id: U32::new(id.number()),
            offset: U64::new(wide(start)),
            length: U32::new(to_u32(
                size_of::<SecurityEntryHeader>() + descriptor.len(),
                "a security descriptor of this length",
            )?),
        };
        self.entries.resize(start, 0);
        self.entries.extend_from_slice(header.as_bytes());
        self.entries.extend_from_slice(&descriptor);
        self.headers.push(header);
        Ok(())
    }

    /// Bytes of `$SDS`.
    pub(super) fn stream_size(&self) -> u64 {
        COPY_DISTANCE + wide(self.entries.len())
    }

    /// Where the copy of the entries stands in `$SDS`.
    pub(super) const fn copy_offset() -> u64 {
        COPY_DISTANCE
    }

    /// The entries of `$SII`, in order.
    pub(super) fn by_id(&self) -> Result<Vec<IndexEntry>, MkfsError> {
        self.headers
            .iter()
            .map(|header| IndexEntry::view(header.id.as_bytes(), header.as_bytes()))
            .collect()
    }

    /// The entries of `$SDH`, in order.
    pub(super) fn by_hash(&self) -> Result<Vec<IndexEntry>, MkfsError> {
        let mut headers = self.headers.clone();
        headers.sort_by_key(|header| (header.hash.get(), header.id.get()));
        headers
            .iter()
            .map(|header| {
                let key = [header.hash.to_bytes(), header.id.to_bytes()].concat();
                IndexEntry::view_with_end(&key, header.as_bytes(), &HASH_ENTRY_END)
            })
            .collect()
    }
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
        let secure = Secure::new().unwrap();
        let offsets: Vec<u64> = secure.headers.iter().map(|h| h.offset.get()).collect();
        assert_eq!(offsets[..3], [0, 0x80, 0x100]);
        assert_eq!(secure.headers[0].length.get(), 0x78);
        let by_id = secure.by_id().unwrap();
        assert_eq!(
            by_id[0].bytes(),
            [
                0x14, 0, 0x14, 0, 0, 0, 0, 0, 0x28, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xCB, 0xC6,
                0xFE, 0x32, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x78, 0, 0, 0
            ]
        );
        let by_hash = secure.by_hash().unwrap();
        assert!(
            by_hash
                .iter()
                .all(|e| e.bytes().len() == 0x30 && e.bytes()[0] == 0x18)
        );
        assert_eq!(by_hash[0].bytes()[0x2C..], HASH_ENTRY_END);
    }
}
