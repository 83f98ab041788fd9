//! Changes of width between the integers of memory and those on disk, checked.
//!
//! The lengths that pass here are bounded by construction (a record, a name, a security
//! descriptor); an error means that the structure named cannot be stored at all.

use crate::error::MkfsError;

/// A length in memory as 64 bits.
pub(super) fn wide(value: usize) -> u64 {
    // No target of ours has wider pointers.
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A 64-bit number as a length in memory.
pub(super) fn to_usize(value: u64, what: &'static str) -> Result<usize, MkfsError> {
    usize::try_from(value).map_err(|_| MkfsError::Unsupported(what))
}

/// A length as the 32 bits a header has for it.
pub(super) fn to_u32(value: usize, what: &'static str) -> Result<u32, MkfsError> {
    u32::try_from(value).map_err(|_| MkfsError::Unsupported(what))
}

/// A length as the 16 bits a header has for it.
pub(super) fn to_u16(value: usize, what: &'static str) -> Result<u16, MkfsError> {
    u16::try_from(value).map_err(|_| MkfsError::Unsupported(what))
}

/// A length as the byte a header has for it.
pub(super) fn to_u8(value: usize, what: &'static str) -> Result<u8, MkfsError> {
    u8::try_from(value).map_err(|_| MkfsError::Unsupported(what))
}

/// The number rounded up to a multiple of eight, as attributes, entries and bitmaps are.
pub(super) fn align8(value: usize) -> usize {
    value.next_multiple_of(8)
}
