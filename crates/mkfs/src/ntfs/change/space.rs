//! Free clusters: `$Bitmap`, read a piece at a time.
//!
//! Invariant: what this change frees is not given out again before the change is complete, so that
//! file data, which is written at once, never lands on anything that the old state still needs.

use std::collections::BTreeMap;

use blockio::ByteCount;

use super::bytes::{narrow, wide};
use super::layout::Layout;
use super::record::Stream;
use crate::change::{ChangeError, Overlay};
use crate::ntfs::runs::{Lcn, Run, push_joined};

/// Bytes of the bitmap that are read at a time.
const CHUNK: u64 = 4096;
const CHUNK_CLUSTERS: u64 = CHUNK * 8;
/// Pieces that are kept although nothing in them was changed.
const MAX_CLEAN: usize = 1024;

struct Chunk {
    /// As the change leaves it.
    bits: Vec<u8>,
    /// What cannot be given out: what is in use, and what was when the change began.
    busy: Vec<u8>,
    is_dirty: bool,
}

/// The clusters of the volume.
pub(super) struct Space {
    stream: Stream,
    cluster: u64,
    clusters: u64,
    chunks: BTreeMap<u64, Chunk>,
    /// Where the next data goes, if there is room.
    cursor: u64,
    /// Bytes of the bitmap that are written, and the first bit from which on all are set.
    end: Option<(u64, u64)>,
    /// Ranges of clusters, ascending and apart, outside of which none is taken.
    only: Option<Vec<(u64, u64)>>,
}

impl Space {
    /// Over the data of `$Bitmap`. Looking for room begins at `cursor`.
    pub(super) fn new(stream: Stream, layout: &Layout, cursor: u64) -> Result<Self, ChangeError> {
        if stream.size < layout.clusters.div_ceil(8) {
            return Err(ChangeError::damaged(
                "$Bitmap",
                0,
                "it is shorter than the volume",
            ));
        }
        Ok(Self {
            stream,
            cluster: layout.cluster,
            clusters: layout.clusters,
            chunks: BTreeMap::new(),
            cursor: cursor % layout.clusters,
            end: None,
            only: None,
        })
    }

    /// The data of `$Bitmap`.
    pub(super) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Lets clusters be taken before `end` alone, from the start of the volume on.
    pub(super) fn take_before(&mut self, end: u64) {
        self.clusters = end;
        self.cursor = 0;
    }

    /// Lets clusters be taken in these ranges alone, which are ascending and apart. Nothing was taken
    /// or given yet.
    pub(super) fn take_only(&mut self, ranges: Vec<(u64, u64)>) {
        self.chunks.clear();
        self.cursor = ranges.first().map_or(0, |(start, _)| *start);
        self.only = Some(ranges);
    }

    /// Marks as busy what is not to be taken, of the bits that begin with cluster `first`.
    fn close_all_but(&self, busy: &mut [u8], first: u64) {
        let Some(only) = &self.only else {
            return;
        };
        let end = first + wide(busy.len()) * 8;
        let mut at = first;
        let mut next = only.partition_point(|range| range.1 <= first);
        while at < end {
            let (start, stop) = only.get(next).copied().unwrap_or((end, end));
            for bit in at - first..start.clamp(at, end) - first {
                if let Some(byte) = busy.get_mut(narrow(bit / 8)) {
                    *byte |= 1 << (bit % 8);
                }
            }
            at = stop.max(at).max(start.min(end));
            next += 1;
        }
    }

    /// The data of `$Bitmap` were copied elsewhere.
    pub(super) fn moved(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// Marks clusters that nobody had as used.
    pub(super) fn mark_used(&mut self, disk: &Overlay<'_>, run: Run) -> Result<(), ChangeError> {
        match run.length {
            0 => Ok(()),
            _ => self.mark(disk, run, true),
        }
    }

    /// Ends the bitmap, of which `stream` is what is left, behind `clusters`; what pads it is set.
    pub(super) fn end_at(
        &mut self,
        disk: &Overlay<'_>,
        clusters: u64,
        stream: Stream,
    ) -> Result<(), ChangeError> {
        self.end = Some((stream.size, clusters));
        if clusters < stream.size * 8 {
            self.chunk(disk, clusters)?.is_dirty = true;
        }
        Ok(())
    }

    fn chunk(&mut self, disk: &Overlay<'_>, cluster: u64) -> Result<&mut Chunk, ChangeError> {
        let number = cluster / CHUNK_CLUSTERS;
        if !self.chunks.contains_key(&number) {
            if self.chunks.len() >= MAX_CLEAN {
                self.chunks.retain(|_, chunk| chunk.is_dirty);
            }
            let start = number * CHUNK;
            let length = CHUNK.min(self.stream.size - start);
            let mut bits = vec![0; narrow(length)];
            read_stream(disk, &self.stream, self.cluster, &mut bits, start)?;
            let mut busy = bits.clone();
            self.close_all_but(&mut busy, number * CHUNK_CLUSTERS);
            let chunk = Chunk {
                busy,
                bits,
                is_dirty: false,
            };
            self.chunks.insert(number, chunk);
        }
        self.chunks
            .get_mut(&number)
            .ok_or_else(|| ChangeError::damaged("$Bitmap", cluster, "it cannot be read"))
    }

    /// The first stretch of free clusters within `from..to`, at most `most` long.
    fn next_free(
        &mut self,
        disk: &Overlay<'_>,
        from: u64,
        to: u64,
        most: u64,
    ) -> Result<Option<Run>, ChangeError> {
        let mut at = from;
        let mut found: Option<(u64, u64)> = None;
        while at < to {
            let end = ((at / CHUNK_CLUSTERS + 1) * CHUNK_CLUSTERS).min(to);
            let chunk = self.chunk(disk, at)?;
            while at < end {
                let inside = at % CHUNK_CLUSTERS;
                let byte = chunk.busy.get(narrow(inside / 8)).copied().unwrap_or(0xFF);
                if found.is_none() && byte == 0xFF {
                    at = (at / 8 + 1) * 8;
                    continue;
                }
                if byte >> (inside % 8) & 1 == 1 {
                    if found.is_some() {
                        return Ok(found.map(|(start, length)| Run::data(Lcn(start), length)));
                    }
                } else {
                    let (start, length) = found.unwrap_or((at, 0));
                    found = Some((start, length + 1));
                    if length + 1 >= most {
                        return Ok(found.map(|(start, length)| Run::data(Lcn(start), length)));
                    }
                }
                at += 1;
            }
        }
        Ok(found.map(|(start, length)| Run::data(Lcn(start), length)))
    }

    fn mark(&mut self, disk: &Overlay<'_>, run: Run, used: bool) -> Result<(), ChangeError> {
        let Some(Lcn(start)) = run.start else {
            return Ok(());
        };
        for cluster in start..start + run.length {
            let inside = cluster % CHUNK_CLUSTERS;
            let bit = 1_u8 << (inside % 8);
            let chunk = self.chunk(disk, cluster)?;
            let index = narrow(inside / 8);
            let Some(byte) = chunk.bits.get_mut(index) else {
                return Err(ChangeError::damaged(
                    "$Bitmap",
                    cluster,
                    "it is shorter than the volume",
                ));
            };
            if used {
                *byte |= bit;
                if let Some(busy) = chunk.busy.get_mut(index) {
                    *busy |= bit;
                }
            } else {
                if *byte & bit == 0 {
                    return Err(ChangeError::damaged(
                        "$Bitmap",
                        cluster,
                        "a cluster of a file is marked as free",
                    ));
                }
                *byte &= !bit;
            }
            chunk.is_dirty = true;
        }
        Ok(())
    }

    /// Takes `count` clusters: in one piece where there is one, from `hint` on or from where the last
    /// ones ended.
    pub(super) fn take(
        &mut self,
        disk: &Overlay<'_>,
        count: u64,
        hint: Option<u64>,
    ) -> Result<Vec<Run>, ChangeError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let start = hint.unwrap_or(self.cursor).min(self.clusters);
        let mut pieces = Vec::new();
        for (from, to) in [(start, self.clusters), (0, start)] {
            let mut at = from;
            while let Some(run) = self.next_free(disk, at, to, count)? {
                if run.length >= count {
                    self.mark(disk, run, true)?;
                    self.advance(run, hint);
                    return Ok(vec![run]);
                }
                at = run.start.map_or(to, |Lcn(lcn)| lcn + run.length);
                pieces.push(run);
            }
        }
        // The longest first, so that the file has few pieces.
        let free: u64 = pieces.iter().map(|run| run.length).sum();
        if free < count {
            return Err(ChangeError::NoSpace {
                needed: ByteCount(count.saturating_mul(self.cluster)),
                available: ByteCount(free.saturating_mul(self.cluster)),
            });
        }
        pieces.sort_by_key(|run| std::cmp::Reverse(run.length));
        let mut taken = Vec::new();
        let mut left = count;
        for run in pieces {
            let (run, _) = run.split(left);
            left -= run.length;
            self.mark(disk, run, true)?;
            self.advance(run, hint);
            push_joined(&mut taken, run);
            if left == 0 {
                break;
            }
        }
        Ok(taken)
    }

    fn advance(&mut self, run: Run, hint: Option<u64>) {
        if let (Some(Lcn(start)), None) = (run.start, hint) {
            self.cursor = (start + run.length) % self.clusters;
        }
    }

    /// Gives clusters back.
    pub(super) fn give(&mut self, disk: &Overlay<'_>, runs: &[Run]) -> Result<(), ChangeError> {
        for run in runs {
            self.mark(disk, *run, false)?;
        }
        Ok(())
    }

    /// Writes what was changed.
    pub(super) fn store(&mut self, disk: &mut Overlay<'_>) -> Result<(), ChangeError> {
        for (number, chunk) in &mut self.chunks {
            let start = number * CHUNK;
            let (bytes, padding) = self.end.unwrap_or((u64::MAX, u64::MAX));
            if !chunk.is_dirty || start >= bytes {
                continue;
            }
            let length = narrow(bytes - start).min(chunk.bits.len());
            for bit in padding.max(start * 8)..(start + wide(length)) * 8 {
                let inside = bit - start * 8;
                if let Some(byte) = chunk.bits.get_mut(narrow(inside / 8)) {
                    *byte |= 1 << (inside % 8);
                }
            }
            let bits = &chunk.bits[..length];
            write_stream(disk, &self.stream, self.cluster, bits, start)?;
        }
        Ok(())
    }
}

/// Reads a part of a stream; holes, and what lies past the valid data, are zeros.
pub(super) fn read_stream(
    disk: &Overlay<'_>,
    stream: &Stream,
    cluster: u64,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), ChangeError> {
    let mut done = 0;
    while done < buffer.len() {
        let at = offset + wide(done);
        let (place, length) = stream
            .locate(at, cluster)
            .ok_or_else(|| ChangeError::damaged("a run list", at, "it ends before the data"))?;
        let end = done + narrow(length).min(buffer.len() - done);
        match place {
            Some(place) if at < stream.initialized => disk.read(&mut buffer[done..end], place)?,
            _ => buffer[done..end].fill(0),
        }
        if stream.initialized > at {
            let valid = narrow((stream.initialized - at).min(wide(end - done)));
            buffer[done + valid..end].fill(0);
        }
        done = end;
    }
    Ok(())
}

/// Writes a part of a stream that lies in clusters.
pub(super) fn write_stream(
    disk: &mut Overlay<'_>,
    stream: &Stream,
    cluster: u64,
    bytes: &[u8],
    offset: u64,
) -> Result<(), ChangeError> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + wide(done);
        let (place, length) = stream
            .locate(at, cluster)
            .ok_or_else(|| ChangeError::damaged("a run list", at, "it ends before the data"))?;
        let place = place.ok_or(ChangeError::Unsupported("a system file with holes"))?;
        let end = done + narrow(length).min(bytes.len() - done);
        disk.write(&bytes[done..end], place)?;
        done = end;
    }
    Ok(())
}
