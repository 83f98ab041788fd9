//! Writing data: small pieces that lie close together become one write.
//!
//! Invariant: a gap is filled only where nothing was ever written.

use blockio::{ByteOffset, Disk};

use crate::error::MkfsError;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// A gap up to this size is written as zeros rather than split a write in two.
const MAX_GAP_BYTES: u64 = 64 * 1024;

/// Gathers ascending writes.
pub(super) struct Output<'a> {
    disk: &'a dyn Disk,
    start: u64,
    gathered: Vec<u8>,
    /// Behind everything that was ever written.
    highest: u64,
}

impl<'a> Output<'a> {
    /// Writes to `disk`.
    pub(super) fn new(disk: &'a dyn Disk) -> Self {
        Self {
            disk,
            start: 0,
            gathered: Vec::new(),
            highest: 0,
        }
    }

    /// Writes `bytes` at `offset`, now or with what follows.
    pub(super) fn write(&mut self, offset: ByteOffset, bytes: &[u8]) -> Result<(), MkfsError> {
        let end = self.start + u64::try_from(self.gathered.len()).unwrap_or(u64::MAX);
        match offset.get().checked_sub(end) {
            Some(gap)
                if !self.gathered.is_empty()
                    && (gap == 0 || (gap <= MAX_GAP_BYTES && end >= self.highest)) =>
            {
                let zeros = usize::try_from(gap).unwrap_or(0);
                self.gathered.resize(self.gathered.len() + zeros, 0);
            }
            _ => {
                self.write_gathered()?;
                self.start = offset.get();
            }
        }
        self.gathered.extend_from_slice(bytes);
        let end = self.start + u64::try_from(self.gathered.len()).unwrap_or(u64::MAX);
        self.highest = self.highest.max(end);
        if self.gathered.len() >= BUFFER_BYTES {
            self.write_gathered()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn write_gathered(&mut self) -> Result<(), MkfsError> {
        if !self.gathered.is_empty() {
            self.disk.write_at(&self.gathered, ByteOffset(self.start))?;
            self.start += u64::try_from(self.gathered.len()).unwrap_or(u64::MAX);
            self.gathered.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::{ByteCount, MemoryDisk, SectorSize};

    #[test]
    fn a_gap_over_earlier_bytes_is_never_filled() {
        let disk = MemoryDisk::new(ByteCount(1 << 20), SectorSize::B512).unwrap();
        let mut output = Output::new(&disk);
        for (offset, byte) in [(5000, 1), (9000, 2), (100, 3), (12_000, 4), (12_001, 5)] {
            output.write(ByteOffset(offset), &[byte]).unwrap();
        }
        output.write_gathered().unwrap();
        let bytes = disk.to_bytes();
        let found: Vec<(usize, u8)> = bytes
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, byte)| *byte != 0)
            .collect();
        assert_eq!(
            found,
            [(100, 3), (5000, 1), (9000, 2), (12_000, 4), (12_001, 5)]
        );
    }
}
