//! The content of a file on its way to free clusters, or into the record where it is short.

use std::io;
use std::ops::{ControlFlow, Range};

use blockio::{ByteCount, ByteRange};

use super::bytes::{narrow, wide};
use super::record::{Attribute, Stream, Value, kind};
use super::volume::Volume;
use crate::change::{ChangeError, Meter};
use crate::ntfs::runs::{total, with_holes};
use crate::tree::{FileContent, TreeError, TreeErrorKind};

/// Bytes written at once.
const CHUNK: u64 = 1 << 20;
/// Clusters of a file at most.
const MAX_FILE_CLUSTERS: u64 = 0xFFFF_FFFF;

/// What a file is read from, and who is told how far it came.
pub(super) struct Incoming<'c, 'p> {
    pub content: FileContent,
    pub path: &'c dyn Fn() -> String,
    pub meter: &'c mut Meter<'p>,
}

impl Incoming<'_, '_> {
    fn fail(&self, error: io::Error) -> ChangeError {
        let is_short = error.kind() == io::ErrorKind::UnexpectedEof
            && error.get_ref().is_none_or(|inner| !inner.is::<TreeError>());
        if is_short {
            let reason = "it ended before the size it had";
            return TreeError::new(TreeErrorKind::Changed, (self.path)(), reason).into();
        }
        TreeError::from_read(error, || (self.path)()).into()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), ChangeError> {
        let read = self.content.reader.read_exact(buffer);
        read.map_err(|error| self.fail(error))?;
        self.meter.bytes += wide(buffer.len());
        match self.meter.tell() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ChangeError::Interrupted),
        }
    }
}

impl Volume<'_> {
    /// Stores content as the stream `name` of a file, in the record where `room` bytes are enough.
    pub(super) fn store_content(
        &mut self,
        name: &[u16],
        room: usize,
        mut incoming: Incoming<'_, '_>,
    ) -> Result<Attribute, ChangeError> {
        let content = &incoming.content;
        if !content.is_well_formed() {
            let reason = "its data does not lie within its size, in order";
            return Err(TreeError::new(TreeErrorKind::Malformed, (incoming.path)(), reason).into());
        }
        let limit = MAX_FILE_CLUSTERS.saturating_mul(self.layout.cluster);
        let size = content.size.get();
        if size > limit {
            return Err(ChangeError::FileTooLarge {
                path: (incoming.path)(),
                size: content.size,
                limit: ByteCount(limit),
            });
        }
        if size <= wide(room) {
            let mut value = vec![0; narrow(size)];
            for island in content.islands.clone() {
                let (start, end) = (narrow(island.start().get()), narrow(island.end().get()));
                incoming.read(&mut value[start..end])?;
            }
            return Ok(Attribute::resident(kind::DATA, name, value));
        }
        let stream = self.store_stream(&mut incoming)?;
        Ok(Attribute::stream(kind::DATA, name, stream))
    }

    fn store_stream(&mut self, incoming: &mut Incoming<'_, '_>) -> Result<Stream, ChangeError> {
        let cluster = self.layout.cluster;
        let size = incoming.content.size.get();
        let areas = cluster_areas(&incoming.content.islands, cluster);
        let occupied: u64 = areas.iter().map(|area| area.end - area.start).sum();
        let taken = self.space.take(&self.disk, occupied, None)?;
        let clusters = size.div_ceil(cluster);
        let runs = with_holes(&taken, &areas, clusters);
        let is_sparse = occupied < clusters;
        let stream = Stream {
            total_allocated: is_sparse.then_some(occupied * cluster),
            ..Stream::dense(runs, cluster, size)
        };
        debug_assert_eq!(total(&stream.runs), clusters);
        let islands = incoming.content.islands.clone();
        let mut islands = islands.iter().peekable();
        for area in areas {
            let (mut at, end) = (area.start * cluster, area.end * cluster);
            while at < end {
                let to = (at + CHUNK).min(end);
                let mut buffer = vec![0; narrow(to - at)];
                // An island may go on in the next piece, and a piece may hold several.
                while let Some(island) = islands.peek().filter(|island| island.start().get() < to) {
                    let (from, until) = (island.start().get().max(at), island.end().get().min(to));
                    incoming.read(&mut buffer[narrow(from - at)..narrow(until - at)])?;
                    if island.end().get() > to {
                        break;
                    }
                    islands.next();
                }
                self.write_data(&stream, &buffer, at)?;
                at = to;
            }
        }
        Ok(stream)
    }

    /// Writes file data to the clusters that were taken for it.
    fn write_data(
        &mut self,
        stream: &Stream,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), ChangeError> {
        let mut done = 0;
        while done < bytes.len() {
            let (place, length) = stream
                .locate(offset + wide(done), self.layout.cluster)
                .and_then(|(place, length)| place.map(|place| (place, length)))
                .ok_or_else(|| {
                    ChangeError::damaged("a run list", offset, "it ends before the data")
                })?;
            let end = done + narrow(length).min(bytes.len() - done);
            self.disk.write_data(&bytes[done..end], place)?;
            done = end;
        }
        Ok(())
    }

    /// Gives the clusters of an attribute back.
    pub(super) fn discard_value(&mut self, attribute: &Attribute) -> Result<(), ChangeError> {
        match &attribute.value {
            Value::Stream(stream) => self.space.give(&self.disk, &stream.runs),
            Value::Resident(_) => Ok(()),
        }
    }
}

/// The clusters that hold any data: ascending, apart.
fn cluster_areas(islands: &[ByteRange], cluster: u64) -> Vec<Range<u64>> {
    let mut areas: Vec<Range<u64>> = Vec::with_capacity(1);
    for island in islands {
        let (start, end) = (
            island.start().get() / cluster,
            island.end().get().div_ceil(cluster),
        );
        match areas.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => areas.push(start..end),
        }
    }
    areas
}
