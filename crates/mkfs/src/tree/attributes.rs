//! File attributes as Windows numbers them.

/// The attributes of an entry that a source may set ([MS-FSCC] 2.6); the numbers are those stored
/// by NTFS, and their low eight bits those stored by FAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(u32);

impl Attributes {
    /// None.
    pub const NONE: Self = Self(0);
    /// FILE_ATTRIBUTE_READONLY.
    pub const READ_ONLY: Self = Self(0x01);
    /// FILE_ATTRIBUTE_HIDDEN.
    pub const HIDDEN: Self = Self(0x02);
    /// FILE_ATTRIBUTE_SYSTEM.
    pub const SYSTEM: Self = Self(0x04);
    /// FILE_ATTRIBUTE_ARCHIVE.
    pub const ARCHIVE: Self = Self(0x20);
    /// FILE_ATTRIBUTE_NOT_CONTENT_INDEXED.
    pub const NOT_CONTENT_INDEXED: Self = Self(0x2000);

    const SETTABLE: u32 = 0x01 | 0x02 | 0x04 | 0x20 | 0x2000;

    /// The settable attributes among `bits`; all others are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::SETTABLE)
    }

    /// The number on disk.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every attribute of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
