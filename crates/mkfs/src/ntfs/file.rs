//! Directories and files of a tree as they arrive.

use std::io;

use blockio::{ByteCount, ByteRange};

use super::attribute::{
    Attribute, FileName, FileReference, Stream, resident_allocated, standard_information,
};
use super::build::Builder;
use super::directory::{Directories, Directory, DirectoryIndex, Listing};
use super::format::{
    AttributeKind, FILE_ARCHIVE, FILE_NAME_DIRECTORY, FILE_SPARSE, NAME_SPACE_POSIX,
    RECORD_DIRECTORY,
};
use super::narrow::{to_usize, wide};
use super::record::{Record, attribute_room};
use super::runs::{Run, push_joined};
use super::secure::SecurityId;
use super::stream::{CopyError, StreamBuilder};
use crate::error::MkfsError;
use crate::tree::{FileContent, TreeEntry, TreeError, TreeErrorKind};

/// Sequence number of records used for the first time.
pub(super) const FIRST_USE: u16 = 1;
/// Clusters of a file at most.
const MAX_FILE_CLUSTERS: u64 = 0xFFFF_FFFF;

impl Builder<'_, '_> {
    /// A directory: its record follows when all its entries are known.
    pub(super) fn add_directory(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
    ) -> Result<(), MkfsError> {
        let name = self.admit(parent, entry)?;
        let record = self.mft.take_late();
        let directory = Directory {
            parent,
            record,
            reference: FileReference::new(record, FIRST_USE),
            source_name: Some(entry.name.clone()),
            name,
            times: entry.times,
            attributes: entry.attributes.bits() & !FILE_ARCHIVE,
            siblings: crate::names::SiblingNames::new(),
        };
        self.report.directories += 1;
        self.directories.add(entry.id, directory)
    }

    /// A file with its data.
    pub(super) fn add_file(
        &mut self,
        parent: DirectoryIndex,
        entry: &TreeEntry,
        mut content: FileContent,
    ) -> Result<(), MkfsError> {
        if !content.is_well_formed() {
            return Err(MkfsError::Tree(TreeError::new(
                TreeErrorKind::Malformed,
                self.directories.path(parent, &entry.name),
                "its data does not lie within its size, in order",
            )));
        }
        let limit = MAX_FILE_CLUSTERS * self.volume.geometry.cluster();
        if content.size.get() > limit {
            return Err(MkfsError::FileTooLarge {
                path: self.directories.path(parent, &entry.name),
                size: content.size,
                limit: ByteCount(limit),
            });
        }
        let name = self.admit(parent, entry)?;
        let room = self.value_room(name.len());
        let mut listing = new_listing(entry, self.mft.take());
        let fits = wide(room) >= content.size.get();
        let stored = if fits {
            self.resident_data(&mut content)
        } else {
            self.stream_data(&mut content)
        };
        let (data, allocated) = stored.map_err(|error| match error {
            CopyError::Volume(error) => error,
            CopyError::Source(error) => {
                source_error(error, || self.directories.path(parent, &entry.name))
            }
        })?;
        listing.size = content.size.get();
        listing.allocated = allocated;
        if data.is_sparse() {
            listing.attributes |= FILE_SPARSE;
        }
        self.report.files += 1;
        let record = file_record(&self.directories, parent, &name, &listing, vec![data])?;
        self.directories.list_in(parent, &name, listing);
        match record.encode(self.volume.geometry.record())? {
            Some(bytes) => self.mft.put(&mut self.volume.space, record.number, &bytes),
            None => self.put_split(record),
        }
    }

    /// Bytes of one more unnamed resident value beside the attributes every file has.
    pub(super) fn value_room(&self, name_units: usize) -> usize {
        const INFORMATION: usize = 0x60;
        const HEADER: usize = 24;
        let name = Attribute::resident_length("", FileName::value_length(name_units));
        let record = usize::try_from(self.volume.geometry.record()).unwrap_or(1024);
        (attribute_room(record) - INFORMATION)
            .saturating_sub(name)
            .saturating_sub(HEADER)
            / 8
            * 8
    }

    /// Data in the record; holes are zeros there.
    fn resident_data(&mut self, content: &mut FileContent) -> Result<(Attribute, u64), CopyError> {
        let size = to_usize(content.size.get(), "a resident file of this length")?;
        let mut value = vec![0; size];
        for island in &content.islands {
            let start = to_usize(island.start().get(), "a resident file of this length")?;
            let end = to_usize(island.end().get(), "a resident file of this length")?;
            content
                .reader
                .read_exact(&mut value[start..end])
                .map_err(CopyError::Source)?;
            self.meter.bytes += island.len().get();
        }
        let attribute = Attribute::resident(AttributeKind::Data, value);
        Ok((attribute, resident_allocated(size)))
    }

    /// Data in clusters: those that hold any, one after another; holes between them.
    fn stream_data(&mut self, content: &mut FileContent) -> Result<(Attribute, u64), CopyError> {
        let cluster = self.volume.geometry.cluster();
        let size = content.size.get();
        let areas = cluster_areas(&content.islands, cluster);
        let clusters: u64 = areas.iter().map(|area| area.end - area.start).sum();
        let mut stream = StreamBuilder::default();
        stream.reserve(&mut self.volume, clusters * cluster)?;
        let mut islands = content.islands.iter().peekable();
        for area in &areas {
            let mut position = area.start * cluster;
            let end = area.end * cluster;
            while let Some(island) = islands.next_if(|island| island.start().get() < end) {
                stream.skip(&mut self.volume, island.start().get() - position)?;
                let length = island.len().get();
                let reader = &mut content.reader;
                stream.copy(&mut self.volume, length, reader, &mut self.meter)?;
                position = island.end().get();
            }
            stream.skip(&mut self.volume, end - position)?;
        }
        let total = size.div_ceil(cluster);
        let runs = with_holes(&stream.into_runs(), &areas, total);
        let occupied = clusters * cluster;
        let stream = Stream {
            first_vcn: 0,
            runs,
            allocated: total * cluster,
            size,
            initialized: size,
            sparse: (clusters < total).then_some(occupied),
        };
        let attribute = Attribute::stream(AttributeKind::Data, "", stream);
        Ok((attribute, occupied))
    }
}

/// The record of a file with one name.
pub(super) fn file_record(
    directories: &Directories,
    parent: DirectoryIndex,
    name: &[u16],
    listing: &Listing,
    content: Vec<Attribute>,
) -> Result<Record, MkfsError> {
    let file_name = FileName {
        parent: directories.get(parent).reference,
        times: listing.times,
        allocated: listing.allocated,
        size: listing.size,
        attributes: listing.attributes,
        tag: listing.tag,
        name,
        name_space: listing.name_space,
    };
    // Of a link to a directory, only the names say that it is one.
    let (flags, security) = if listing.attributes & FILE_NAME_DIRECTORY == 0 {
        (0, SecurityId::File)
    } else {
        (RECORD_DIRECTORY, SecurityId::Directory)
    };
    let information = listing.attributes & !FILE_NAME_DIRECTORY;
    let mut attributes = vec![
        standard_information(&listing.times, information, security.number()),
        file_name.attribute()?,
    ];
    attributes.extend(content);
    Ok(Record {
        number: listing.reference.record(),
        sequence: FIRST_USE,
        flags,
        links: 1,
        base: None,
        attributes,
    })
}

/// What a directory says of a file that arrives.
pub(super) fn new_listing(entry: &TreeEntry, record: u64) -> Listing {
    Listing {
        reference: FileReference::new(record, FIRST_USE),
        times: entry.times,
        allocated: 0,
        size: 0,
        // As on every file newly written on Windows.
        attributes: entry.attributes.bits() | FILE_ARCHIVE,
        tag: 0,
        name_space: NAME_SPACE_POSIX,
    }
}

fn source_error(error: io::Error, path: impl FnOnce() -> String) -> MkfsError {
    if error.kind() == io::ErrorKind::UnexpectedEof
        && error.get_ref().is_none_or(|e| !e.is::<TreeError>())
    {
        return MkfsError::Tree(TreeError::new(
            TreeErrorKind::Changed,
            path(),
            "it ended before the size it had",
        ));
    }
    MkfsError::Tree(TreeError::from_read(error, path))
}

/// The clusters that hold any data: ascending, apart.
fn cluster_areas(islands: &[ByteRange], cluster: u64) -> Vec<std::ops::Range<u64>> {
    let mut areas: Vec<std::ops::Range<u64>> = Vec::with_capacity(1);
    for island in islands {
        let (start, end) = (
            island.start().get() / cluster,
            island.end().get().div_ceil(cluster),
        );
        match areas.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => areas.push(start..end),
        }
    }
    areas
}

/// The run list of a file whose areas lie one after another in `taken`.
fn with_holes(taken: &[Run], areas: &[std::ops::Range<u64>], total: u64) -> Vec<Run> {
    let mut runs = Vec::with_capacity(2 * areas.len());
    let mut taken = taken.iter().copied();
    let mut current = taken.next();
    let mut position = 0;
    for area in areas {
        push_joined(&mut runs, Run::hole(area.start - position));
        let mut wanted = area.end - area.start;
        while let (Some(run), true) = (current, wanted > 0) {
            let (piece, rest) = run.split(wanted);
            wanted -= piece.length;
            push_joined(&mut runs, piece);
            current = rest.or_else(|| taken.next());
        }
        position = area.end;
    }
    push_joined(&mut runs, Run::hole(total - position));
    runs
}
