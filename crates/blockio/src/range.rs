//! The range check that every storage and disk makes before it touches a byte.

use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::units::{ByteCount, ByteOffset, ByteRange};

/// The length of a buffer.
pub(crate) fn buffer_len(buf: &[u8]) -> ByteCount {
    ByteCount(u64::try_from(buf.len()).unwrap_or(u64::MAX))
}

/// The `OutOfRange` error of an operation.
pub(crate) fn out_of_range(operation: Operation, offset: ByteOffset, len: ByteCount) -> IoError {
    IoError::new(IoErrorKind::OutOfRange, operation, offset, len)
}

/// The `ReadOnly` error of an operation.
pub(crate) fn read_only(operation: Operation, offset: ByteOffset, len: ByteCount) -> IoError {
    IoError::new(IoErrorKind::ReadOnly, operation, offset, len)
}

/// `len` bytes at `offset` as a range that ends within `size`, or `OutOfRange`.
pub(crate) fn checked(
    operation: Operation,
    offset: ByteOffset,
    len: ByteCount,
    size: ByteCount,
) -> Result<ByteRange> {
    ByteRange::new(offset, len)
        .filter(|range| range.end().get() <= size.get())
        .ok_or_else(|| out_of_range(operation, offset, len))
}

/// Refuses a status request that is empty or runs past `size`.
pub(crate) fn check_status(range: ByteRange, size: ByteCount) -> Result<()> {
    if range.is_empty() || range.end().get() > size.get() {
        return Err(out_of_range(Operation::Status, range.start(), range.len()));
    }
    Ok(())
}

/// The greatest length that a file can have on any host. Offsets beyond are not only useless: to
/// Windows the last two mean the end of the file and the current position.
const MAX_LEN: u64 = i64::MAX.unsigned_abs();

/// `len` bytes at `offset` as a range that a file can reach, or `NoSpace`.
pub(crate) fn reachable(
    operation: Operation,
    offset: ByteOffset,
    len: ByteCount,
) -> Result<ByteRange> {
    checked(operation, offset, len, ByteCount(MAX_LEN))
        .map_err(|_| IoError::new(IoErrorKind::NoSpace, operation, offset, len))
}
