//! The head of a member of a tar stream, as POSIX (pax, "ustar Interchange Format") and GNU tar lay
//! it out. No checks are made here.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Everything in a tar stream comes in blocks of so many bytes.
pub(crate) const BLOCK: usize = 512;
/// The same for sizes.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// Magic and version of POSIX.
pub(crate) const MAGIC_POSIX: [u8; 6] = *b"ustar\0";

/// The head of a member, or of what extends the next one.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Header {
    /// Path, or the end of it where `tail` has a prefix.
    pub(crate) name: [u8; 100],
    pub(crate) mode: [u8; 8],
    pub(crate) user: [u8; 8],
    pub(crate) group: [u8; 8],
    /// Bytes of content in the stream.
    pub(crate) size: [u8; 12],
    /// Seconds since 1970.
    pub(crate) modified: [u8; 12],
    /// Sum of all bytes of the head, these taken as spaces.
    pub(crate) checksum: [u8; 8],
    pub(crate) kind: u8,
    pub(crate) link: [u8; 100],
    pub(crate) magic: [u8; 6],
    pub(crate) version: [u8; 2],
    pub(crate) user_name: [u8; 32],
    pub(crate) group_name: [u8; 32],
    pub(crate) device_major: [u8; 8],
    pub(crate) device_minor: [u8; 8],
    /// By POSIX the beginning of the path (155 bytes); by GNU a [`GnuTail`].
    pub(crate) tail: [u8; 167],
}

const _: () = assert!(size_of::<Header>() == BLOCK);

/// Bytes of the prefix of POSIX in [`Header::tail`].
pub(crate) const PREFIX: usize = 155;

/// The end of a head as old GNU tar has it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct GnuTail {
    pub(crate) accessed: [u8; 12],
    pub(crate) changed: [u8; 12],
    pub(crate) offset: [u8; 12],
    pub(crate) long_names: [u8; 4],
    pub(crate) unused: u8,
    pub(crate) islands: [GnuIsland; 4],
    /// Not zero where a [`GnuMore`] follows.
    pub(crate) more: u8,
    pub(crate) real_size: [u8; 12],
    pub(crate) padding: [u8; 17],
}

const _: () = assert!(size_of::<GnuTail>() == 167);

/// A range of a sparse file that holds data.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct GnuIsland {
    pub(crate) offset: [u8; 12],
    pub(crate) size: [u8; 12],
}

/// More ranges of a sparse file.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct GnuMore {
    pub(crate) islands: [GnuIsland; 21],
    /// Not zero where another one follows.
    pub(crate) more: u8,
    pub(crate) padding: [u8; 7],
}

const _: () = assert!(size_of::<GnuMore>() == BLOCK);

/// What the `kind` of a head says.
pub(crate) mod kind {
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const FILE_OLD: u8 = 0;
    pub(crate) const FILE_CONTIGUOUS: u8 = b'7';
    pub(crate) const HARD_LINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const CHARACTER_DEVICE: u8 = b'3';
    pub(crate) const BLOCK_DEVICE: u8 = b'4';
    pub(crate) const DIRECTORY: u8 = b'5';
    pub(crate) const PIPE: u8 = b'6';
    /// Records for the next member.
    pub(crate) const PAX: u8 = b'x';
    /// Records for all members that follow.
    pub(crate) const PAX_GLOBAL: u8 = b'g';
    /// The path of the next member.
    pub(crate) const GNU_LONG_NAME: u8 = b'L';
    /// The target of the next member.
    pub(crate) const GNU_LONG_LINK: u8 = b'K';
    pub(crate) const GNU_SPARSE: u8 = b'S';
    /// The name of the archive.
    pub(crate) const GNU_VOLUME: u8 = b'V';
}

/// Names of PAX records.
pub(crate) mod record {
    /// File attributes, decimal ([MS-FSCC] 2.6).
    pub(crate) const ATTRIBUTES: &str = "MSWINDOWS.fileattr";
    /// A self-relative security descriptor in base64.
    pub(crate) const SECURITY: &str = "MSWINDOWS.rawsd";
    /// A security descriptor as text ([MS-DTYP] 2.5.1).
    pub(crate) const SECURITY_TEXT: &str = "MSWINDOWS.sd";
    /// There for a junction.
    pub(crate) const MOUNT_POINT: &str = "MSWINDOWS.mountpoint";
    /// Before the name of an extended attribute.
    pub(crate) const EXTENDED_ATTRIBUTE: &str = "MSWINDOWS.xattr.";
    /// When it was made.
    pub(crate) const CREATED: &str = "LIBARCHIVE.creationtime";
    /// Ours: reparse data that the target of a link does not tell, in base64.
    pub(crate) const REPARSE: &str = "CVOL.reparse";
}
