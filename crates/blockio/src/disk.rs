//! `Disk`: what a guest sees. Everything that holds sectors is one, and they stack like lenses.

use crate::error::Result;
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// What a range of a disk holds, as far as the disk knows without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// May hold any bytes.
    Data,
    /// Reads as zeros and occupies host space.
    Zero,
    /// Reads as zeros and occupies nothing.
    Hole,
}

impl BlockKind {
    /// Whether the range is known to read as zeros.
    pub const fn reads_zero(self) -> bool {
        matches!(self, Self::Zero | Self::Hole)
    }
}

/// A run of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockStatus {
    /// The bytes of the run.
    pub range: ByteRange,
    /// What they hold.
    pub kind: BlockKind,
}

/// A disk: a fixed number of bytes in sectors, read and written by position.
///
/// All methods take `&self` and may be called from many threads at once; writes that overlap are
/// ordered by the caller. Ranges are in bytes and need not be aligned to sectors, but must lie
/// within [`Disk::size`]. Durability is that of [`crate::Storage`]: only [`Disk::flush`] promises it.
pub trait Disk: Send + Sync {
    /// Size in bytes, a multiple of the logical sector size.
    fn size(&self) -> ByteCount;

    /// Logical sector size: what a guest addresses.
    fn logical_sector_size(&self) -> SectorSize;

    /// Physical sector size: what is written without read-modify-write.
    fn physical_sector_size(&self) -> SectorSize;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `OutOfRange`, `Host`, `Damaged`.
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()>;

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, `NoSpace`, `Host`, `Poisoned`.
    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()>;

    /// Makes everything that returned before this call durable.
    ///
    /// # Errors
    /// `Host`, `NoSpace`, `Poisoned`.
    fn flush(&self) -> Result<()>;

    /// Gives space back where the disk can; the range reads zero afterwards in all of cvol's own
    /// disks (never stale bytes).
    ///
    /// # Errors
    /// As for [`Disk::write_at`].
    fn discard(&self, range: ByteRange) -> Result<()>;

    /// Makes the range read zero as cheaply as the disk can.
    ///
    /// # Errors
    /// As for [`Disk::write_at`].
    fn write_zeroes(&self, range: ByteRange) -> Result<()>;

    /// The first run of one kind at the start of `range` (non-empty, within the disk), cut to
    /// `range`.
    ///
    /// # Errors
    /// `OutOfRange`, `Host`, `Damaged`.
    fn block_status(&self, range: ByteRange) -> Result<BlockStatus>;
}
