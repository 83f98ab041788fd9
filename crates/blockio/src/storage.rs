//! `Storage`: growable bytes below an image format, which is what a host file is.

use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::units::{ByteCount, ByteOffset, ByteRange, MIB};

/// How zeros are put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMode {
    /// Space stays (or becomes) allocated on the host where the host can do that.
    KeepAllocated,
    /// Space is given back to the host where it can be (a hole is punched); else zeros are written.
    Punch,
}

/// Whether a range of a storage is backed by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// May hold any bytes.
    Data,
    /// A hole: reads as zeros, occupies nothing.
    Hole,
}

/// A run of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The bytes of the run.
    pub range: ByteRange,
    /// What the host keeps for it.
    pub kind: ExtentKind,
}

/// Growable bytes with durable flush: a host file, memory, a simulated disk.
///
/// All methods take `&self` and may be called from many threads at once; ranges that overlap are
/// ordered by the caller. What was written is durable only after the next [`Storage::sync`] that
/// began after the write returned; before that, a crash may keep any subset of it, torn per sector.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length is asked of the host, and nobody asks whether it is zero"
)]
pub trait Storage: Send + Sync {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `OutOfRange` where the range runs past the end, `Host` where the host fails.
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()>;

    /// Writes all of `buf` at `offset`; grows the storage where the range runs past the end, and
    /// what lies between reads zero.
    ///
    /// # Errors
    /// `ReadOnly`, `NoSpace`, `Host`.
    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()>;

    /// Makes every write, zeroing and change of length that returned before this call durable.
    ///
    /// # Errors
    /// `Host`, `NoSpace`. After a failure nothing is known of earlier writes; never retry, stop
    /// instead. A host file refuses each later sync with `Poisoned`.
    fn sync(&self) -> Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// `Host`.
    fn len(&self) -> Result<ByteCount>;

    /// Cuts or grows the storage to `len`; grown space reads zero.
    ///
    /// # Errors
    /// `ReadOnly`, `NoSpace`, `Host`.
    fn set_len(&self, len: ByteCount) -> Result<()>;

    /// Makes `range` read zero. The range must lie within the storage.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, `NoSpace`, `Host`.
    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<()>;

    /// The first run of one kind at the start of `range`, cut to `range`; `range` must be non-empty
    /// and lie within the storage. A storage that cannot know says `Data` for all of it.
    ///
    /// # Errors
    /// `OutOfRange`, `Host`.
    fn extent_at(&self, range: ByteRange) -> Result<Extent>;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Copies `range` to `to`, which it does not overlap; the storage grows where the copy runs past
    /// its end. As one write for what is durable when, and it may end in the middle like one. A host
    /// may share the bytes instead of copying them.
    ///
    /// # Errors
    /// As for [`Storage::read_at`] and [`Storage::write_at`].
    fn copy_within(&self, range: ByteRange, to: ByteOffset) -> Result<()> {
        copy_by_hand(self, range, to)
    }
}

/// Bytes that are copied at once where the host does not copy.
const COPY_STEP: u64 = MIB;

/// Copies by reading and writing.
pub(crate) fn copy_by_hand<S: Storage + ?Sized>(
    storage: &S,
    range: ByteRange,
    to: ByteOffset,
) -> Result<()> {
    let length = range.len().get();
    let unreachable = || IoError::new(IoErrorKind::OutOfRange, Operation::Write, to, range.len());
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < length {
        let step = (length - done).min(COPY_STEP);
        buffer.resize(usize::try_from(step).map_err(|_| unreachable())?, 0);
        let at = |start: ByteOffset| start.checked_add(ByteCount(done)).ok_or_else(unreachable);
        storage.read_at(&mut buffer, at(range.start())?)?;
        storage.write_at(&buffer, at(to)?)?;
        done += step;
    }
    Ok(())
}
