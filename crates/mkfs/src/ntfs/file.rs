//! Directories and files of a tree as they arrive.

use std::io;

use blockio::{ByteCount, ByteRange};

use super::attribute::{
    Attribute, Body, FileReference, Stream, resident_allocated, standard_information,
};
use super::build::{Builder, Last};
use super::directory::{ChildIndex, Directory, DirectoryIndex, Listing};
use super::format::{
    AttributeKind, FILE_REPARSE_POINT, FILE_SPARSE, NAME_SPACE_DOS, NAME_SPACE_POSIX,
};
use super::naming::StoredName;
use super::narrow::{to_u16, to_usize, wide};
use super::record::{Record, RecordHead};
use super::reparse::ReparsePoint;
use super::runs::with_holes;
use super::secure::SecurityId;
use super::spread::{Part, Spread, When};
use super::stream::{CopyError, StreamBuilder};
use crate::error::MkfsError;
use crate::tree::{Attributes, FileContent, NodeId, NodeName, TreeEntry, TreeError, TreeErrorKind};

/// Bytes of a reparse point that stays in the record of its directory.
const MAX_VALUE_IN_DIRECTORY: usize = 256;
/// Sequence number of records used for the first time.
pub(super) const FIRST_USE: u16 = 1;
/// Clusters of a file at most.
const MAX_FILE_CLUSTERS: u64 = 0xFFFF_FFFF;
/// Bytes of the attribute with times, attributes and the key of the security descriptor.
pub(super) const INFORMATION_LENGTH: usize = 0x60;

/// A file that is whole but for the named streams that may still follow it.
pub(super) struct OpenFile {
    pub parent: DirectoryIndex,
    /// Its name in the source.
    pub source_name: NodeName,
    pub record: Record,
}

impl Builder<'_, '_> {
    /// A directory: its record follows when all its entries are known.
    pub(super) fn add_directory(
        &mut self,
        parent: DirectoryIndex,
        entry: TreeEntry,
        point: Option<ReparsePoint>,
    ) -> Result<Last, MkfsError> {
        let stored = self.admit(parent, &entry)?;
        let security = self.security_key(&entry, SecurityId::Directory)?;
        let record = self.mft.take_late();
        let reference = FileReference::new(record, FIRST_USE);
        let mut attributes = self.attributes_of(parent, &entry, Attributes::NONE);
        let mut tag = 0;
        if let Some(point) = &point {
            attributes |= FILE_REPARSE_POINT;
            tag = point.tag;
            self.reparse_points.push((point.tag, reference));
            self.report.reparse_points += 1;
        } else {
            self.report.directories += 1;
        }
        let dos_name = stored.dos_name.clone();
        let directory = Directory {
            parent,
            record,
            reference,
            source_name: Some(entry.name),
            name: stored.name,
            dos_name: stored.dos_name,
            name_space: stored.name_space,
            times: entry.times,
            attributes,
            tag,
            security: Some(security),
            is_case_sensitive: false,
            siblings: crate::names::SiblingNames::new(),
        };
        let (index, place) = self.directories.add(entry.id, directory)?;
        self.number_node(entry.id, index, Some(place))?;
        if let Some(dos_name) = &dos_name {
            self.dos_name_made(parent, dos_name, place);
        }
        if let Some(point) = point {
            let value = self.small_value(point.value, MAX_VALUE_IN_DIRECTORY)?;
            let attribute = Attribute {
                kind: AttributeKind::ReparsePoint,
                name: Vec::new(),
                body: value,
            };
            self.directory_extras
                .entry(index)
                .or_default()
                .push(attribute);
        }
        Ok(Last::Directory(index))
    }

    /// A file with its data.
    pub(super) fn add_file(
        &mut self,
        parent: DirectoryIndex,
        entry: TreeEntry,
        mut content: FileContent,
    ) -> Result<Last, MkfsError> {
        self.check_content(&content, || self.directories.path(parent, &entry.name))?;
        let mut file = self.begin_file(parent, entry)?;
        let room = self.value_room(file.describing_length(), 0)?;
        let stored = self.store_content(&mut content, room);
        let stored = stored.map_err(|error| {
            copy_error(error, || {
                self.directories.path(file.parent, &file.source_name)
            })
        })?;
        file.listing.size = content.size.get();
        file.listing.allocated = stored.allocated;
        if stored.attribute.is_sparse() {
            file.listing.attributes |= FILE_SPARSE;
        }
        self.report.files += 1;
        self.list_file(file, [Some(stored.attribute), None])
    }

    /// A reparse point that is no directory.
    pub(super) fn add_reparse_file(
        &mut self,
        parent: DirectoryIndex,
        entry: TreeEntry,
        point: ReparsePoint,
    ) -> Result<Last, MkfsError> {
        let mut file = self.begin_file(parent, entry)?;
        file.listing.attributes |= FILE_REPARSE_POINT;
        file.listing.tag = point.tag;
        let data = Attribute::resident(AttributeKind::Data, Vec::new());
        let room = self.value_room(file.describing_length() + data.length(), 0)?;
        let value = Attribute {
            kind: AttributeKind::ReparsePoint,
            name: Vec::new(),
            body: self.small_value(point.value, room)?,
        };
        let reference = file.listing.reference;
        self.reparse_points.push((point.tag, reference));
        self.report.reparse_points += 1;
        self.list_file(file, [Some(data), Some(value)])
    }

    /// Decides the name of a file and takes its record.
    fn begin_file(
        &mut self,
        parent: DirectoryIndex,
        entry: TreeEntry,
    ) -> Result<NewFile, MkfsError> {
        let stored = self.admit(parent, &entry)?;
        let security = self.security_key(&entry, SecurityId::File)?;
        let mut listing = new_listing(&entry, self.mft.take());
        listing.attributes = self.attributes_of(parent, &entry, Attributes::ARCHIVE);
        listing.name_space = stored.name_space;
        Ok(NewFile {
            id: entry.id,
            parent,
            source_name: entry.name,
            stored,
            listing,
            security,
        })
    }

    /// Lists a file whose content is stored, and makes its record.
    fn list_file(
        &mut self,
        file: NewFile,
        content: [Option<Attribute>; 2],
    ) -> Result<Last, MkfsError> {
        let (parent, listing) = (file.parent, file.listing);
        let reference = self.directories.get(parent).reference;
        let mut attributes = Vec::with_capacity(5);
        attributes.push(standard_information(
            &listing.times,
            listing.attributes,
            file.security,
            0,
        ));
        file.stored
            .attributes(reference, &listing, &mut attributes)?;
        let links = attributes.len() - 1;
        attributes.extend(content.into_iter().flatten());
        let mut head = RecordHead::named(listing.reference.record(), FIRST_USE, 0);
        head.links = to_u16(links, "a file of so many names")?;
        let place = self.list_stored(parent, &file.stored, listing)?;
        self.number_node(file.id, parent, Some(place))?;
        Ok(Last::File(OpenFile {
            parent,
            source_name: file.source_name,
            record: Record { head, attributes },
        }))
    }

    /// Lists a name, and its 8.3 partner, in a directory.
    pub(super) fn list_stored(
        &mut self,
        parent: DirectoryIndex,
        stored: &StoredName,
        listing: Listing,
    ) -> Result<ChildIndex, MkfsError> {
        let place = self.directories.list_in(parent, &stored.name, listing)?;
        if let Some(dos_name) = &stored.dos_name {
            let listing = Listing {
                name_space: NAME_SPACE_DOS,
                ..listing
            };
            self.directories.list_in(parent, dos_name, listing)?;
            self.dos_name_made(parent, dos_name, place);
        }
        Ok(place)
    }

    /// Puts a file after which something else came.
    pub(super) fn close_file(&mut self, file: OpenFile) -> Result<(), MkfsError> {
        let number = file.record.head.number;
        if let Some(spread) = self.put_record(file.record, When::Now)? {
            self.spreads.insert(number, spread);
        }
        Ok(())
    }

    /// Puts a record, with extension records where it needs them.
    pub(super) fn put_record(
        &mut self,
        mut record: Record,
        when: When,
    ) -> Result<Option<Spread>, MkfsError> {
        let upcase = &self.upcase;
        record.attributes.sort_by(|a, b| a.order(b, upcase));
        if let Some(bytes) = record.encode(self.volume.geometry.record())? {
            match when {
                When::Now => self
                    .mft
                    .put(&mut self.volume.space, record.head.number, &bytes)?,
                When::Late => self.mft.put_late(record.head.number, bytes)?,
            }
            return Ok(None);
        }
        let room = self.attribute_room()?;
        let mut parts = Vec::new();
        for attribute in &record.attributes {
            parts.extend(Part::of(attribute, room)?);
        }
        self.put_parts(record.head, &parts, None, when)
    }

    /// Refuses content that is not what it should be, or more than a file can hold.
    pub(super) fn check_content(
        &self,
        content: &FileContent,
        path: impl FnOnce() -> String,
    ) -> Result<(), MkfsError> {
        if !content.is_well_formed() {
            return Err(MkfsError::Tree(TreeError::new(
                TreeErrorKind::Malformed,
                path(),
                "its data does not lie within its size, in order",
            )));
        }
        let limit = MAX_FILE_CLUSTERS.saturating_mul(self.volume.geometry.cluster());
        if content.size.get() > limit {
            return Err(MkfsError::FileTooLarge {
                path: path(),
                size: content.size,
                limit: ByteCount(limit),
            });
        }
        Ok(())
    }

    /// Bytes of one more resident value beside attributes of so many bytes.
    pub(super) fn value_room(&self, taken: usize, name_units: usize) -> Result<usize, MkfsError> {
        let header = Attribute::resident_length(name_units, 0);
        Ok(self.attribute_room()?.saturating_sub(taken + header) / 8 * 8)
    }

    /// A value that is known: in the record where it takes at most `room` bytes, else in clusters.
    pub(super) fn small_value(&mut self, value: Vec<u8>, room: usize) -> Result<Body, MkfsError> {
        if value.len() <= room {
            return Ok(Body::Resident(value));
        }
        let mut stream = StreamBuilder::default();
        stream.append(&mut self.volume, &value)?;
        Ok(Body::Stream(stream.finish(&self.volume.geometry)))
    }

    /// Stores content: in the record where it takes at most `room` bytes, else in clusters.
    pub(super) fn store_content(
        &mut self,
        content: &mut FileContent,
        room: usize,
    ) -> Result<Stored, CopyError> {
        let (attribute, allocated) = if content.size.get() <= wide(room) {
            self.resident_data(content)?
        } else {
            self.stream_data(content)?
        };
        Ok(Stored {
            attribute,
            allocated,
        })
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

/// What went wrong while content was stored.
pub(super) fn copy_error(error: CopyError, path: impl FnOnce() -> String) -> MkfsError {
    match error {
        CopyError::Volume(error) => error,
        CopyError::Source(error) => source_error(error, path),
    }
}

/// Content that was stored.
pub(super) struct Stored {
    pub attribute: Attribute,
    /// What a directory says of the space it takes.
    pub allocated: u64,
}

/// A file of which not all is known that its directory will say.
struct NewFile {
    id: NodeId,
    parent: DirectoryIndex,
    source_name: NodeName,
    stored: StoredName,
    listing: Listing,
    security: u32,
}

impl NewFile {
    /// Bytes of the attributes that describe it.
    fn describing_length(&self) -> usize {
        INFORMATION_LENGTH + self.stored.attributes_length()
    }
}

/// What a directory says of a file that arrives.
pub(super) fn new_listing(entry: &TreeEntry, record: u64) -> Listing {
    Listing {
        reference: FileReference::new(record, FIRST_USE),
        times: entry.times,
        allocated: 0,
        size: 0,
        attributes: 0,
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
