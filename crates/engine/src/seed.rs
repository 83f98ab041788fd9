//! The seed of reproducible identifiers: a hash of what a disk holds and of what is asked for.
//!
//! Invariant: two disks with the same bytes give the same seed, however their images hold them.

use std::ops::ControlFlow;

use blockio::{BlockKind, ByteCount, ByteOffset, ByteRange, Disk};
use vdisk::ImageError;

use crate::progress::{Progress, ProgressFn};

/// Sets these seeds apart from every other use of the hash.
const CONTEXT: &str = "cvol 2026 seed of a converted image";
const PIECE: u64 = 256 * 1024;

/// A hash over `request` and all pieces of the disk that are not zero, each with its place.
///
/// # Errors
/// `Io`; `Cancelled` where the progress function asks to stop.
pub(crate) fn seed_of(
    disk: &dyn Disk,
    request: &str,
    progress: ProgressFn<'_>,
) -> Result<[u8; 32], ImageError> {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&disk.size().get().to_le_bytes());
    hasher.update(&length_of(request.as_bytes()).to_le_bytes());
    hasher.update(request.as_bytes());
    let end = ByteOffset(disk.size().get());
    let mut position = ByteOffset(0);
    let mut buffer = Vec::new();
    while let Some(rest) = ByteRange::between(position, end).filter(|rest| !rest.is_empty()) {
        // Pieces are cut at multiples of their size, so that the seed does not depend on where
        // the runs of an image begin.
        let next_cut = (position.get() / PIECE + 1) * PIECE;
        let status = disk.block_status(rest)?;
        if status.kind == BlockKind::Data {
            let start = position.get() - position.get() % PIECE;
            let stop = next_cut.min(end.get());
            buffer.resize(usize::try_from(stop - start).unwrap_or(0), 0);
            disk.read_at(&mut buffer, ByteOffset(start))?;
            if buffer.iter().any(|byte| *byte != 0) {
                hasher.update(&start.to_le_bytes());
                hasher.update(&buffer);
            }
            position = ByteOffset(stop);
        } else {
            position = status.range.end();
        }
        let done = Progress {
            done: ByteCount(position.get()),
            total: Some(disk.size()),
            files: None,
        };
        if let ControlFlow::Break(()) = progress(done) {
            return Err(ImageError::Cancelled);
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use blockio::{MemoryDisk, SectorSize};

    use super::*;

    fn go_on(_: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn the_seed_follows_the_bytes_and_the_request() {
        let disk = MemoryDisk::new(ByteCount(1 << 20), SectorSize::B512).unwrap();
        let empty = seed_of(&disk, "vhdx", &go_on).unwrap();
        assert_eq!(seed_of(&disk, "vhdx", &go_on).unwrap(), empty);
        assert_ne!(seed_of(&disk, "vhd", &go_on).unwrap(), empty);
        disk.write_at(&[1], ByteOffset(700_000)).unwrap();
        assert_ne!(seed_of(&disk, "vhdx", &go_on).unwrap(), empty);
        disk.write_at(&[0], ByteOffset(700_000)).unwrap();
        assert_eq!(seed_of(&disk, "vhdx", &go_on).unwrap(), empty);
    }

    #[test]
    fn a_request_to_stop_is_obeyed() {
        let disk = MemoryDisk::new(ByteCount(1 << 20), SectorSize::B512).unwrap();
        let stopped = seed_of(&disk, "vhdx", &|_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(ImageError::Cancelled)));
    }
}
