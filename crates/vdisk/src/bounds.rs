//! Checks of ranges and small arithmetic that every format needs before it touches a byte.

use blockio::{ByteCount, ByteOffset, ByteRange, IoError, IoErrorKind, Operation};

/// The length of a buffer.
pub(crate) fn buffer_len(buf: &[u8]) -> u64 {
    u64::try_from(buf.len()).unwrap_or(u64::MAX)
}

/// `len` bytes at `offset` as a range that ends within `size`.
///
/// # Errors
/// `OutOfRange`.
pub(crate) fn checked_range(
    operation: Operation,
    offset: ByteOffset,
    len: u64,
    size: ByteCount,
) -> Result<ByteRange, IoError> {
    ByteRange::new(offset, ByteCount(len))
        .filter(|range| range.end().get() <= size.get())
        .ok_or_else(|| IoError::new(IoErrorKind::OutOfRange, operation, offset, ByteCount(len)))
}

/// Refuses a status request that is empty or runs past `size`.
///
/// # Errors
/// `OutOfRange`.
pub(crate) fn checked_status(range: ByteRange, size: ByteCount) -> Result<(), IoError> {
    if range.is_empty() || range.end().get() > size.get() {
        return Err(IoError::new(
            IoErrorKind::OutOfRange,
            Operation::Status,
            range.start(),
            range.len(),
        ));
    }
    Ok(())
}

/// An index in memory; `None` where the host cannot address so much.
pub(crate) fn to_index(value: u64) -> Option<usize> {
    usize::try_from(value).ok()
}
