//! Sparse files in a tar stream: where their data lies, in the four ways that GNU tar wrote it.
//!
//! Invariant: the number of ranges is bounded before they are kept, and a map that is handed on is
//! ascending, without overlap, within the size, and as long as what the stream holds.

use std::io;

use blockio::{ByteCount, ByteOffset, ByteRange};
use zerocopy::FromBytes;

use super::format::{BLOCK_BYTES, GnuIsland, GnuMore, GnuTail, Header};
use super::number;
use super::pax::SparseRecords;
use super::stream::Stream;

/// Ranges of one file.
const MAX_ISLANDS: usize = 1 << 20;
/// Digits and line end of a number in the map of version 1.0.
const MAX_NUMBER_BYTES: usize = 24;

/// A sparse file.
#[derive(Debug)]
pub(super) struct Sparse {
    /// Bytes with the holes.
    pub(super) size: u64,
    /// Ranges with data, as the stream says.
    pub(super) islands: Vec<(u64, u64)>,
}

/// What is wrong: the stream failed, or the map makes no sense.
#[derive(Debug)]
pub(super) enum SparseError {
    Stream(io::Error),
    Map(&'static str),
}

impl From<io::Error> for SparseError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

type Result<T> = std::result::Result<T, SparseError>;

const TOO_MANY: SparseError = SparseError::Map("its map of holes is too long");
const NO_NUMBER: SparseError = SparseError::Map("its map of holes holds what is no number");

/// The map in the head of a member of old GNU tar, and in the blocks after it.
pub(super) fn old(header: &Header, stream: &mut Stream) -> Result<Sparse> {
    let tail = GnuTail::read_from_bytes(&header.tail).map_err(|_| NO_NUMBER)?;
    let size = number::size(&tail.real_size).ok_or(NO_NUMBER)?;
    let mut islands = Vec::new();
    add_old(&tail.islands, &mut islands)?;
    let mut more = tail.more != 0;
    while more {
        let block = stream
            .block()?
            .ok_or(SparseError::Map("its map of holes ends early"))?;
        let block = GnuMore::read_from_bytes(&block).map_err(|_| NO_NUMBER)?;
        add_old(&block.islands, &mut islands)?;
        more = block.more != 0;
    }
    Ok(Sparse { size, islands })
}

fn add_old(found: &[GnuIsland], islands: &mut Vec<(u64, u64)>) -> Result<()> {
    for island in found {
        // Slots that are not used are zeros.
        if island.offset[0] == 0 && island.size[0] == 0 {
            continue;
        }
        if islands.len() >= MAX_ISLANDS {
            return Err(TOO_MANY);
        }
        let offset = number::size(&island.offset).ok_or(NO_NUMBER)?;
        let size = number::size(&island.size).ok_or(NO_NUMBER)?;
        islands.push((offset, size));
    }
    Ok(())
}

/// The map in PAX records, or (version 1.0) at the start of the content; `None` where there is none.
pub(super) fn of_records(records: &SparseRecords, stream: &mut Stream) -> Result<Option<Sparse>> {
    let Some(size) = records.size else {
        return Ok(None);
    };
    let islands = match (records.major, records.minor) {
        (Some(1), Some(0)) => in_content(stream)?,
        (Some(_), _) => {
            return Err(SparseError::Map(
                "its map of holes is of an unknown version",
            ));
        }
        (None, _) => match &records.map {
            Some(map) => pairs(&between_commas(map)?)?,
            None => pairs(&records.numbers)?,
        },
    };
    Ok(Some(Sparse { size, islands }))
}

fn between_commas(map: &[u8]) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for text in map.split(|byte| *byte == b',') {
        if numbers.len() >= 2 * MAX_ISLANDS {
            return Err(TOO_MANY);
        }
        numbers.push(number::decimal(text).ok_or(NO_NUMBER)?);
    }
    Ok(numbers)
}

fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>> {
    let chunks = numbers.chunks_exact(2);
    if !chunks.remainder().is_empty() {
        return Err(SparseError::Map("its map of holes ends within a range"));
    }
    if chunks.len() > MAX_ISLANDS {
        return Err(TOO_MANY);
    }
    Ok(chunks.map(|pair| (pair[0], pair[1])).collect())
}

/// Numbers with a line end after each: how many ranges, then offset and size of each; zeros up to a
/// whole block.
fn in_content(stream: &mut Stream) -> Result<Vec<(u64, u64)>> {
    let before = stream.left();
    let count = usize::try_from(line(stream)?).map_err(|_| TOO_MANY)?;
    if count > MAX_ISLANDS {
        return Err(TOO_MANY);
    }
    let mut islands = Vec::new();
    for _ in 0..count {
        islands.push((line(stream)?, line(stream)?));
    }
    let used = (before - stream.left()) % BLOCK_BYTES;
    let mut padding = if used == 0 { 0 } else { BLOCK_BYTES - used };
    let mut byte = [0];
    while padding > 0 {
        if stream.read(&mut byte)? == 0 {
            return Err(SparseError::Map("its map of holes ends early"));
        }
        padding -= 1;
    }
    Ok(islands)
}

fn line(stream: &mut Stream) -> Result<u64> {
    let mut text = Vec::with_capacity(MAX_NUMBER_BYTES);
    let mut byte = [0];
    while text.len() < MAX_NUMBER_BYTES {
        if stream.read(&mut byte)? == 0 {
            return Err(SparseError::Map("its map of holes ends early"));
        }
        if byte == *b"\n" {
            return number::decimal(&text).ok_or(NO_NUMBER);
        }
        text.extend(byte);
    }
    Err(NO_NUMBER)
}

impl Sparse {
    /// The ranges that hold data, where they are in order, within the size, and as long together as
    /// the `stored` bytes of the stream.
    pub(super) fn checked(&self, stored: u64) -> std::result::Result<Vec<ByteRange>, &'static str> {
        let mut islands: Vec<ByteRange> = Vec::new();
        let (mut end, mut sum) = (0, 0_u64);
        for (offset, size) in &self.islands {
            if *offset < end {
                return Err("its map of holes is out of order");
            }
            end = offset
                .checked_add(*size)
                .filter(|end| *end <= self.size)
                .ok_or("its map of holes reaches past its size")?;
            sum = sum.saturating_add(*size);
            if *size == 0 {
                continue;
            }
            let range = ByteRange::new(ByteOffset(*offset), ByteCount(*size))
                .ok_or("its map of holes reaches past its size")?;
            match islands.last_mut() {
                Some(last) if last.end() == range.start() => {
                    *last = ByteRange::between(last.start(), range.end()).unwrap_or(range);
                }
                _ => islands.push(range),
            }
        }
        if sum != stored {
            return Err("its map of holes does not fit the data that the archive holds");
        }
        Ok(islands)
    }
}
