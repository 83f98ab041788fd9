//! What backs a volume, and the parts of a specification for kinds that have no image.

use blockio::{ByteCount, KIB, MIB, TIB};

use super::disk::DiskSpec;
use super::error::SpecError;
use super::kind::VolumeKind;
use super::share::{SmbShare, SmbUser};
use super::size::format_size;

/// The longest path of the host that is recorded, in bytes.
const MAX_SOURCE_LENGTH: usize = 4096;
/// How much a temporary volume may hold where nobody says.
pub const DEFAULT_TEMPORARY_SIZE: ByteCount = ByteCount(64 * MIB);
/// The least that it may hold: a file system needs room for itself.
const TEMPORARY_MIN: ByteCount = ByteCount(MIB);
/// The most: more than any machine's memory is a slip of the keyboard.
const TEMPORARY_MAX: ByteCount = ByteCount(16 * TIB);
/// What memory is handed out in.
const PAGE: u64 = 4 * KIB;

/// What backs a volume, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// An image in the store.
    Disk(DiskSpec),
    /// A directory or file of the host.
    Bind(BindSpec),
    /// A share of an SMB server.
    Smb(SmbSpec),
    /// Memory of the machine that uses it.
    Tmpfs(TmpfsSpec),
}

/// A directory or a file of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindSpec {
    source: String,
    pub(super) read_only: bool,
}

/// A share of an SMB server. The password is kept apart ([`crate::secret`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbSpec {
    pub(super) share: SmbShare,
    pub(super) user: SmbUser,
    pub(super) read_only: bool,
}

/// Memory, gone with the machine that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsSpec {
    size: ByteCount,
}

impl Backing {
    /// The kind.
    pub fn kind(&self) -> VolumeKind {
        match self {
            Self::Disk(_) => VolumeKind::Vhd,
            Self::Bind(_) => VolumeKind::HostBind,
            Self::Smb(_) => VolumeKind::SmbShare,
            Self::Tmpfs(_) => VolumeKind::Tmpfs,
        }
    }
}

impl BindSpec {
    /// A directory or file of the host, by its absolute path in the spelling of Unix or Windows. It
    /// is not looked at here.
    pub(super) fn new(source: &str, read_only: bool) -> Result<Self, SpecError> {
        let fail = |message: &str| Err(SpecError::of_option("source", message));
        if source.len() > MAX_SOURCE_LENGTH {
            return fail("longer than the 4096 bytes that a path of the host can have here");
        }
        if source.contains(char::is_control) {
            return fail("holds a control character");
        }
        if source.starts_with("\\\\") || source.starts_with("//") {
            return fail("names a server, not a directory of this host; use kind=smb");
        }
        let letter = source.starts_with(|c: char| c.is_ascii_alphabetic());
        let has_drive = letter && (source[1..].starts_with(":\\") || source[1..].starts_with(":/"));
        if !has_drive && !source.starts_with('/') {
            return fail("not an absolute path of the host");
        }
        let separators: &[char] = if has_drive { &['/', '\\'] } else { &['/'] };
        if source.split(separators).any(|name| name == "..") {
            return fail("leads upward by `..`");
        }
        Ok(Self {
            source: source.to_owned(),
            read_only,
        })
    }

    /// The path.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether no mount of it may write.
    pub fn read_only(&self) -> bool {
        self.read_only
    }
}

impl SmbSpec {
    /// The share.
    pub fn share(&self) -> &SmbShare {
        &self.share
    }

    /// Who logs in.
    pub fn user(&self) -> &SmbUser {
        &self.user
    }

    /// Whether no mount of it may write.
    pub fn read_only(&self) -> bool {
        self.read_only
    }
}

impl TmpfsSpec {
    /// Memory that holds `size` bytes at most.
    ///
    /// # Errors
    /// A size that no machine could give or that no file system fits in.
    pub fn new(size: ByteCount) -> Result<Self, SpecError> {
        let fail = |what: &str| {
            let message = format!("{} {what}", format_size(size));
            Err(SpecError::of_option("size", message))
        };
        if size < TEMPORARY_MIN {
            return fail("is too small, a temporary volume has at least 1M");
        }
        if size > TEMPORARY_MAX {
            return fail("is too large, a temporary volume has at most 16T");
        }
        if !size.get().is_multiple_of(PAGE) {
            return fail("is no multiple of 4K");
        }
        Ok(Self { size })
    }

    /// How much it may hold.
    pub fn size(&self) -> ByteCount {
        self.size
    }
}
