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
    /// FILE_ATTRIBUTE_NORMAL, which a source sets beside all others where it knows every attribute: a
    /// builder then adds no [`Attributes::ARCHIVE`] to what is new on its volume. Never stored.
    pub const NORMAL: Self = Self(0x80);
    /// FILE_ATTRIBUTE_TEMPORARY.
    pub const TEMPORARY: Self = Self(0x100);
    /// FILE_ATTRIBUTE_COMPRESSED: data is stored as it is all the same, and a builder reports that.
    pub const COMPRESSED: Self = Self(0x800);
    /// FILE_ATTRIBUTE_OFFLINE.
    pub const OFFLINE: Self = Self(0x1000);
    /// FILE_ATTRIBUTE_NOT_CONTENT_INDEXED.
    pub const NOT_CONTENT_INDEXED: Self = Self(0x2000);
    /// FILE_ATTRIBUTE_NO_SCRUB_DATA.
    pub const NO_SCRUB_DATA: Self = Self(0x2_0000);
    /// FILE_ATTRIBUTE_PINNED.
    pub const PINNED: Self = Self(0x8_0000);
    /// FILE_ATTRIBUTE_UNPINNED.
    pub const UNPINNED: Self = Self(0x10_0000);

    const SETTABLE: u32 = 0x001A_39A7;

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
