//! The content of a file or stream of an NTFS volume: the ranges that hold data, and a reader.

mod units;

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};
use mkfs::ntfs::parse::{StreamMap, Value};
use mkfs::{FileContent, TreeError, TreeErrorKind};

use super::malformed;

/// The content that a value holds.
///
/// # Errors
/// `Unsupported` where it is encrypted or compressed in an unknown way, `Malformed` where clusters are
/// missing.
pub(crate) fn content(
    value: Value,
    disk: &Arc<dyn Disk>,
    cluster: u64,
    path: &str,
) -> Result<FileContent, TreeError> {
    let map = match value {
        Value::Resident(bytes) => {
            let size = ByteCount(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            return Ok(FileContent::dense(size, Box::new(Cursor::new(bytes))));
        }
        Value::Stream(map) => map,
    };
    if map.is_encrypted() {
        let what = "an encrypted file is not supported";
        return Err(TreeError::new(TreeErrorKind::Unsupported, path, what));
    }
    if map.is_compressed() {
        return units::content(map, disk, cluster, path);
    }
    pieces(&map, cluster, path).map(|(islands, pieces)| FileContent {
        size: ByteCount(map.size),
        islands,
        reader: Box::new(Clusters {
            disk: Arc::clone(disk),
            pieces: pieces.into_iter(),
            piece: None,
        }),
    })
}

/// A part of a value in one place of the disk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    position: u64,
    /// Bytes of the value; what is past the valid ones reads as zeros.
    size: u64,
    valid: u64,
}

/// The ranges with data and where they lie. Clusters past the valid data are holes; the one in which
/// it ends is data whole, so that a copy of the volume has the same ranges.
fn pieces(
    map: &StreamMap,
    cluster: u64,
    path: &str,
) -> Result<(Vec<ByteRange>, Vec<Piece>), TreeError> {
    let missing = || malformed(path, "its clusters end before its size");
    if map.clusters().saturating_mul(cluster) < map.size {
        return Err(missing());
    }
    let end_of_data = map.initialized.next_multiple_of(cluster).min(map.size);
    let mut islands: Vec<ByteRange> = Vec::new();
    let mut pieces = Vec::new();
    for extent in map.extents() {
        let start = extent.vcn.saturating_mul(cluster);
        let end = extent
            .vcn
            .saturating_add(extent.run.length)
            .saturating_mul(cluster)
            .min(end_of_data);
        let (Some(lcn), true) = (extent.run.start, start < end) else {
            continue;
        };
        let island = ByteRange::between(ByteOffset(start), ByteOffset(end)).ok_or_else(missing)?;
        match islands.last_mut() {
            Some(last) if last.end() == island.start() => {
                *last = ByteRange::between(last.start(), island.end()).unwrap_or(island);
            }
            _ => islands.push(island),
        }
        pieces.push(Piece {
            position: lcn.0.saturating_mul(cluster),
            size: end - start,
            valid: map.initialized.saturating_sub(start).min(end - start),
        });
    }
    Ok((islands, pieces))
}

/// Reads pieces of a disk one after another.
struct Clusters {
    disk: Arc<dyn Disk>,
    pieces: std::vec::IntoIter<Piece>,
    piece: Option<Piece>,
}

impl Read for Clusters {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.piece.take().or_else(|| self.pieces.next()) else {
            return Ok(0);
        };
        let (left, is_valid) = if piece.valid > 0 {
            (piece.valid, true)
        } else {
            (piece.size, false)
        };
        let count = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let part = &mut out[..count];
        if is_valid {
            self.disk
                .read_at(part, ByteOffset(piece.position))
                .map_err(io::Error::other)?;
        } else {
            part.fill(0);
        }
        let done = u64::try_from(count).unwrap_or(u64::MAX);
        let rest = Piece {
            position: piece.position.saturating_add(done),
            size: piece.size.saturating_sub(done),
            valid: piece.valid.saturating_sub(done),
        };
        self.piece = (rest.size > 0).then_some(rest);
        Ok(count)
    }
}
