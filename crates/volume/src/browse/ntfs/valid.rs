//! The valid data of a file: how far it was ever written. What lies behind reads as zeros, whatever
//! the clusters hold from before.

use std::io::{self, Read, Seek, SeekFrom};

use ::ntfs::NtfsAttribute;

use super::super::ContentSink;
use super::super::error::{BrowseError, Result};
use super::super::guard::Metered;

/// Where the initialised size stands in the header of a non-resident attribute.
const INITIALISED_SIZE_AT: u64 = 56;
/// The update sequence takes the last two bytes of each stride of so many.
const STRIDE_BYTES: u64 = 512;
/// What is left of a number whose last two bytes it took; no size on a disk reaches further.
const BELOW_UPDATE_SEQUENCE: u64 = 0x0000_FFFF_FFFF_FFFF;

/// Bytes of valid data of an attribute; of one that lies in its record, no limit. Read from the disk,
/// since the crate `ntfs` does not tell.
pub(super) fn length(
    attribute: &NtfsAttribute<'_, '_>,
    disk: &mut Metered,
    path: &str,
) -> Result<u64> {
    if attribute.is_resident() {
        return Ok(u64::MAX);
    }
    let at = attribute
        .position()
        .value()
        .and_then(|start| start.get().checked_add(INITIALISED_SIZE_AT))
        .ok_or_else(|| BrowseError::damaged(path, "an attribute lies nowhere"))?;
    let failed = |error| BrowseError::damaged(path, error);
    let mut bytes = [0; 8];
    disk.seek(SeekFrom::Start(at)).map_err(failed)?;
    disk.read_exact(&mut bytes).map_err(failed)?;
    let size = u64::from_le_bytes(bytes);
    Ok(if at % STRIDE_BYTES == STRIDE_BYTES - 8 {
        size & BELOW_UPDATE_SEQUENCE
    } else {
        size
    })
}

/// Hands on what is valid, and a hole for the rest.
pub(super) struct ValidSink<'s> {
    sink: &'s mut dyn ContentSink,
    left: u64,
}

impl<'s> ValidSink<'s> {
    /// `valid` bytes of what comes are handed on.
    pub(super) fn new(sink: &'s mut dyn ContentSink, valid: u64) -> Self {
        Self { sink, left: valid }
    }

    /// How much of what comes next is valid.
    pub(super) fn valid_left(&self) -> u64 {
        self.left
    }

    fn pass(&mut self, len: u64) {
        self.left = self.left.saturating_sub(len);
    }
}

impl ContentSink for ValidSink<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let valid = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (data, rest) = bytes.split_at(valid);
        let len = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.pass(len(bytes));
        if !data.is_empty() {
            self.sink.data(data)?;
        }
        if !rest.is_empty() {
            self.sink.hole(len(rest))?;
        }
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.pass(len);
        if len > 0 {
            self.sink.hole(len)?;
        }
        Ok(())
    }
}
