//! Writing: a buffered writer for bytes that mostly follow one another, and streams of clusters that
//! grow through it.

use std::io::{self, Read};
use std::ops::ControlFlow;

use blockio::{ByteOffset, Disk, MIB};

use super::attribute::Stream;
use super::geometry::Geometry;
use super::index::BlockSink;
use super::narrow::{to_usize, wide};
use super::runs::{Lcn, Run, push_joined, total};
use super::space::Space;
use crate::error::MkfsError;

/// Bytes gathered before they are written.
const BUFFER_SIZE: u64 = MIB;
/// So many bytes at once go to the disk as they are, past what is gathered.
const DIRECT_SIZE: usize = 64 * 1024;
/// Gaps up to this are filled with zeros instead of beginning a new write.
const MAX_FILLED_GAP: u64 = 32 * 1024;

/// What a builder tells its caller between writes, and hears from it.
pub(super) struct Meter<'p> {
    progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>,
    /// Bytes of file data so far.
    pub bytes: u64,
    /// Entries so far.
    pub entries: u64,
}

impl<'p> Meter<'p> {
    /// Nothing done yet.
    pub(super) fn new(progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>) -> Self {
        Self {
            progress,
            bytes: 0,
            entries: 0,
        }
    }

    /// Tells the caller; an error where it asks to stop.
    pub(super) fn tell(&self) -> Result<(), MkfsError> {
        match (self.progress)(self.bytes, self.entries) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MkfsError::Interrupted),
        }
    }
}

/// Why bytes of a reader did not reach the disk.
pub(super) enum CopyError {
    /// The source failed, or ended early.
    Source(io::Error),
    /// The volume failed.
    Volume(MkfsError),
}

impl From<MkfsError> for CopyError {
    fn from(error: MkfsError) -> Self {
        Self::Volume(error)
    }
}

/// Gathers writes that follow one another.
pub(super) struct Writer<'d> {
    disk: &'d dyn Disk,
    buffer: Vec<u8>,
    /// Bytes of the buffer in use, and where the first of them belongs.
    filled: usize,
    start: u64,
}

impl<'d> Writer<'d> {
    /// A writer onto a disk that reads as zeros.
    pub(super) fn new(disk: &'d dyn Disk) -> Result<Self, MkfsError> {
        Ok(Self {
            disk,
            buffer: vec![0; to_usize(BUFFER_SIZE, "a write buffer")?],
            filled: 0,
            start: 0,
        })
    }

    /// Goes to a position: fills a short gap with zeros, else writes what is gathered.
    fn seek(&mut self, position: u64) -> Result<(), MkfsError> {
        let end = self.start + wide(self.filled);
        if position == end && self.filled < self.buffer.len() {
            return Ok(());
        }
        let room = wide(self.buffer.len() - self.filled);
        if self.filled > 0 && position > end && position - end <= MAX_FILLED_GAP.min(room) {
            let gap = to_usize(position - end, "a gap")?;
            self.buffer[self.filled..self.filled + gap].fill(0);
            self.filled += gap;
            if self.filled < self.buffer.len() {
                return Ok(());
            }
        }
        self.flush()?;
        self.start = position;
        Ok(())
    }

    /// Writes bytes at a position, sooner or later.
    pub(super) fn write(&mut self, mut position: u64, mut bytes: &[u8]) -> Result<(), MkfsError> {
        if bytes.len() >= DIRECT_SIZE {
            self.flush()?;
            self.disk.write_at(bytes, ByteOffset(position))?;
            self.start = position + wide(bytes.len());
            return Ok(());
        }
        while !bytes.is_empty() {
            self.seek(position)?;
            let count = bytes.len().min(self.buffer.len() - self.filled);
            self.buffer[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            position += wide(count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Copies so many bytes of a reader to a position.
    pub(super) fn copy(
        &mut self,
        mut position: u64,
        mut length: u64,
        reader: &mut dyn Read,
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        while length > 0 {
            self.seek(position)?;
            let room = self.buffer.len() - self.filled;
            let count = usize::try_from(length).map_or(room, |length| length.min(room));
            reader
                .read_exact(&mut self.buffer[self.filled..self.filled + count])
                .map_err(CopyError::Source)?;
            self.filled += count;
            let count = wide(count);
            position += count;
            length -= count;
            meter.bytes += count;
            if self.filled == self.buffer.len() {
                meter.tell()?;
            }
        }
        Ok(())
    }

    /// Hands everything gathered to the disk.
    pub(super) fn flush(&mut self) -> Result<(), MkfsError> {
        if self.filled > 0 {
            self.disk
                .write_at(&self.buffer[..self.filled], ByteOffset(self.start))?;
        }
        self.start += wide(self.filled);
        self.filled = 0;
        Ok(())
    }
}

/// Clusters and the way to them: what everything with content needs.
pub(super) struct Volume<'d> {
    pub geometry: Geometry,
    pub space: Space,
    pub writer: Writer<'d>,
}

/// A stream of clusters that grows at its end.
#[derive(Debug, Default)]
pub(super) struct StreamBuilder {
    runs: Vec<Run>,
    /// Clusters taken, in all.
    clusters: u64,
    /// Bytes written or passed over.
    size: u64,
    /// The run the end lies in, and bytes of it behind the end.
    run: usize,
    in_run: u64,
}

impl StreamBuilder {
    /// A stream without bytes that has clusters already.
    pub(super) fn over(runs: Vec<Run>) -> Self {
        Self {
            clusters: total(&runs),
            runs,
            ..Self::default()
        }
    }

    /// Takes clusters for so many bytes more than are written.
    pub(super) fn reserve(&mut self, volume: &mut Volume<'_>, bytes: u64) -> Result<(), MkfsError> {
        let wanted = volume.geometry.clusters_for(self.size + bytes);
        if wanted > self.clusters {
            for run in volume.space.take(wanted - self.clusters)? {
                // A run that is joined stays the one the end lies in.
                push_joined(&mut self.runs, run);
            }
            self.clusters = wanted;
        }
        Ok(())
    }

    /// Where the next byte belongs and how many fit there. Space must have been reserved.
    fn place(&mut self, volume: &Volume<'_>) -> Option<(u64, u64)> {
        let cluster = volume.geometry.cluster();
        loop {
            let run = self.runs.get(self.run)?;
            let left = run.length * cluster - self.in_run;
            if left > 0 {
                let Lcn(start) = run.start?;
                return Some((start * cluster + self.in_run, left));
            }
            self.run += 1;
            self.in_run = 0;
        }
    }

    fn pass(&mut self, bytes: u64) {
        self.size += bytes;
        self.in_run += bytes;
    }

    /// Leaves so many bytes as zeros.
    pub(super) fn skip(&mut self, volume: &mut Volume<'_>, bytes: u64) -> Result<(), MkfsError> {
        self.reserve(volume, bytes)?;
        let mut left = bytes;
        while left > 0 {
            let Some((_, room)) = self.place(volume) else {
                break;
            };
            let count = left.min(room);
            self.pass(count);
            left -= count;
        }
        Ok(())
    }

    /// Leaves zeros up to a position of the stream.
    pub(super) fn skip_to(
        &mut self,
        volume: &mut Volume<'_>,
        position: u64,
    ) -> Result<(), MkfsError> {
        self.skip(volume, position.saturating_sub(self.size))
    }

    /// Appends bytes.
    pub(super) fn append(
        &mut self,
        volume: &mut Volume<'_>,
        bytes: &[u8],
    ) -> Result<(), MkfsError> {
        self.reserve(volume, wide(bytes.len()))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((position, room)) = self.place(volume) else {
                break;
            };
            let count = usize::try_from(room).map_or(rest.len(), |room| room.min(rest.len()));
            volume.writer.write(position, &rest[..count])?;
            self.pass(wide(count));
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Appends so many bytes of a reader.
    pub(super) fn copy(
        &mut self,
        volume: &mut Volume<'_>,
        length: u64,
        reader: &mut dyn Read,
        meter: &mut Meter<'_>,
    ) -> Result<(), CopyError> {
        self.reserve(volume, length)?;
        let mut left = length;
        while left > 0 {
            let Some((position, room)) = self.place(volume) else {
                break;
            };
            let count = left.min(room);
            volume.writer.copy(position, count, reader, meter)?;
            self.pass(count);
            left -= count;
        }
        Ok(())
    }

    /// The runs taken.
    pub(super) fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    /// The stream as its record describes it.
    pub(super) fn finish(self, geometry: &Geometry) -> Stream {
        Stream::dense(self.runs, geometry.cluster(), self.size)
    }
}

/// Stores the blocks of an index one after another.
pub(super) struct IndexStore<'v, 'd> {
    pub volume: &'v mut Volume<'d>,
    pub stream: StreamBuilder,
}

impl BlockSink for IndexStore<'_, '_> {
    fn store(&mut self, block: &[u8]) -> Result<(), MkfsError> {
        self.stream.append(self.volume, block)
    }
}
