//! Units as types: an offset, a length and a sector number cannot be swapped by accident.
//!
//! Invariant: a [`ByteRange`] never runs past `u64::MAX`; arithmetic that could overflow is
//! checked and returns an `Option`.

use std::fmt;

/// Bytes in a kibibyte.
pub const KIB: u64 = 1024;
/// Bytes in a mebibyte.
pub const MIB: u64 = 1024 * KIB;
/// Bytes in a gibibyte.
pub const GIB: u64 = 1024 * MIB;
/// Bytes in a tebibyte.
pub const TIB: u64 = 1024 * GIB;

/// A position in bytes from the start of a storage or disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteOffset(pub u64);

/// A length in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(pub u64);

/// The number of a logical sector (logical block address) on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

/// The two sector sizes that disks have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectorSize {
    /// 512 bytes a sector.
    B512,
    /// 4096 bytes a sector ("4Kn").
    B4096,
}

/// A range of bytes `[start, start + len)`; `start + len` fits in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    start: u64,
    len: u64,
}

impl ByteOffset {
    /// The offset in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset `count` bytes further on, or `None` past 64 bits.
    pub fn checked_add(self, count: ByteCount) -> Option<Self> {
        self.0.checked_add(count.0).map(Self)
    }
}

impl ByteCount {
    /// The length in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl SectorSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// The sector size of so many bytes; `None` for anything but 512 and 4096.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            512 => Some(Self::B512),
            4096 => Some(Self::B4096),
            _ => None,
        }
    }
}

impl ByteRange {
    /// The range of `len` bytes from `start`, or `None` where its end does not fit in 64 bits.
    pub fn new(start: ByteOffset, len: ByteCount) -> Option<Self> {
        start.0.checked_add(len.0)?;
        Some(Self {
            start: start.0,
            len: len.0,
        })
    }

    /// The range between two offsets, or `None` where `end` stands before `start`.
    pub fn between(start: ByteOffset, end: ByteOffset) -> Option<Self> {
        let len = end.0.checked_sub(start.0)?;
        Some(Self {
            start: start.0,
            len,
        })
    }

    /// First byte of the range.
    pub const fn start(self) -> ByteOffset {
        ByteOffset(self.start)
    }

    /// First byte after the range.
    pub const fn end(self) -> ByteOffset {
        // Cannot overflow: checked when the range was made.
        ByteOffset(self.start + self.len)
    }

    /// Length of the range in bytes.
    pub const fn len(self) -> ByteCount {
        ByteCount(self.len)
    }

    /// Whether the range holds no byte.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes both ranges share; `None` where they share none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end().0.min(other.end().0);
        (start < end).then(|| Self {
            start,
            len: end - start,
        })
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x}", self.start, self.len)
    }
}
