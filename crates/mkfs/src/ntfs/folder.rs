//! What is written of each directory at the end: its index and its record. Also the index of all
//! reparse points, which is built in the same way.

use super::attribute::{Attribute, FileName, standard_information, standard_information_1_2};
use super::bitmap;
use super::build::Builder;
use super::directory::DirectoryIndex;
use super::format::{
    AttributeKind, FILE_NAME_DIRECTORY, NAME_SPACE_POSIX, NAME_SPACE_WIN32_AND_DOS,
    RECORD_DIRECTORY,
};
use super::index::{
    BlockSink, BuiltIndex, FILE_NAMES, IndexBuilder, IndexEntry, IndexKind, REPARSE_POINTS,
    ROOT_HEADER, RootRoom,
};
use super::narrow::to_usize;
use super::record::{Record, attribute_room};
use super::secure::SecurityId;
use super::security;
use super::stream::{IndexStore, StreamBuilder, Volume};
use super::system;
use crate::error::MkfsError;

/// Bytes that a record needs to describe index blocks: the stream with up to 24 bytes of runs, and
/// their bitmap.
const BLOCKS_ROOM: usize = 0x60 + BITMAP_ROOM;
/// Bytes of a bitmap in clusters; one of 64 bits in the record takes less.
const BITMAP_ROOM: usize = 0x50;
/// Bytes of a bitmap that stays in the record.
const MAX_RESIDENT_BITMAP: usize = 8;

/// The attribute of an index without entries.
pub(super) fn empty_index(units_per_block: u64) -> Result<Attribute, MkfsError> {
    small_index(FILE_NAMES, units_per_block, &[])
}

/// The attribute of an index that lies in the record alone.
pub(super) fn small_index(
    kind: IndexKind,
    units_per_block: u64,
    entries: &[IndexEntry],
) -> Result<Attribute, MkfsError> {
    let room = RootRoom {
        alone: usize::MAX,
        with_blocks: 0,
    };
    let mut sink = NoBlocks;
    let mut builder = IndexBuilder::new(kind, units_per_block, room, &mut sink);
    for entry in entries {
        builder.push(entry)?;
    }
    let root = builder.finish()?.root;
    Ok(Attribute::named_resident(
        AttributeKind::IndexRoot,
        kind.name,
        root,
    ))
}

struct NoBlocks;

impl BlockSink for NoBlocks {
    fn store(&mut self, _block: &[u8]) -> Result<(), MkfsError> {
        Err(MkfsError::Unsupported("a system index of this length"))
    }
}

/// Builds an index of any size beside attributes of so many bytes.
fn large_index(
    volume: &mut Volume<'_>,
    kind: IndexKind,
    taken: usize,
    entries: impl Iterator<Item = Result<IndexEntry, MkfsError>>,
) -> Result<Vec<Attribute>, MkfsError> {
    let record = to_usize(volume.geometry.record(), "a record of this size")?;
    let alone = attribute_room(record)
        .saturating_sub(taken)
        .saturating_sub(Attribute::resident_length(kind.name, ROOT_HEADER));
    let room = RootRoom {
        alone,
        with_blocks: alone.saturating_sub(BLOCKS_ROOM),
    };
    let units = volume.geometry.units_per_index_block();
    let mut store = IndexStore {
        volume,
        stream: StreamBuilder::default(),
    };
    let mut builder = IndexBuilder::new(kind, units, room, &mut store);
    for entry in entries {
        builder.push(&entry?)?;
    }
    let BuiltIndex { root, blocks } = builder.finish()?;
    let IndexStore { volume, stream } = store;
    let mut attributes = vec![Attribute::named_resident(
        AttributeKind::IndexRoot,
        kind.name,
        root,
    )];
    if blocks > 0 {
        let stream = stream.finish(&volume.geometry);
        attributes.push(Attribute::stream(
            AttributeKind::IndexAllocation,
            kind.name,
            stream,
        ));
        attributes.push(block_bitmap(volume, kind, blocks)?);
    }
    Ok(attributes)
}

/// The bitmap of index blocks, all of them in use.
fn block_bitmap(
    volume: &mut Volume<'_>,
    kind: IndexKind,
    blocks: u64,
) -> Result<Attribute, MkfsError> {
    let mut bits = vec![0; to_usize(bitmap::size(blocks), "an index of this length")?];
    bitmap::set(&mut bits, 0, blocks)?;
    if bits.len() <= MAX_RESIDENT_BITMAP {
        return Ok(Attribute::named_resident(
            AttributeKind::Bitmap,
            kind.name,
            bits,
        ));
    }
    let mut stream = StreamBuilder::default();
    stream.append(volume, &bits)?;
    let stream = stream.finish(&volume.geometry);
    Ok(Attribute::stream(AttributeKind::Bitmap, kind.name, stream))
}

impl Builder<'_, '_> {
    /// Builds the index of a directory and puts its record.
    pub(super) fn finish_directory(&mut self, index: DirectoryIndex) -> Result<(), MkfsError> {
        let is_root = index == DirectoryIndex::ROOT;
        let directory = self.directories.get(index);
        let parent = self.directories.get(directory.parent).reference;
        let name = FileName {
            parent,
            times: directory.times,
            allocated: 0,
            size: 0,
            attributes: directory.attributes | FILE_NAME_DIRECTORY,
            tag: 0,
            name: &directory.name,
            name_space: if is_root {
                NAME_SPACE_WIN32_AND_DOS
            } else {
                NAME_SPACE_POSIX
            },
        };
        let mut attributes = if is_root {
            vec![
                standard_information_1_2(&directory.times, directory.attributes),
                name.attribute()?,
                Attribute::resident(AttributeKind::SecurityDescriptor, security::root()),
            ]
        } else {
            let security = SecurityId::Directory.number();
            vec![
                standard_information(&directory.times, directory.attributes, security),
                name.attribute()?,
            ]
        };
        let mut record = Record {
            number: directory.record,
            sequence: if is_root {
                system::sequence(directory.record)
            } else {
                1
            },
            flags: RECORD_DIRECTORY,
            links: 1,
            base: None,
            attributes: Vec::new(),
        };
        let taken = attributes.iter().map(Attribute::resident_bytes).sum();
        let entries = self.directories.entries(index);
        attributes.extend(large_index(&mut self.volume, FILE_NAMES, taken, entries)?);
        record.attributes = attributes;
        self.put_late(&record)
    }

    /// The index attributes of `$Reparse`: every reparse point by tag and file.
    pub(super) fn reparse_index(&mut self) -> Result<Vec<Attribute>, MkfsError> {
        let mut points = std::mem::take(&mut self.reparse_points);
        // The key is compared as a sequence of 32-bit numbers.
        points.sort_unstable_by_key(|(tag, file)| (*tag, file.bits().rotate_left(32)));
        let entries = points.iter().map(|(tag, file)| {
            let key = [tag.to_le_bytes().as_slice(), &file.bits().to_le_bytes()].concat();
            IndexEntry::view(&key, &[])
        });
        let taken = system::reparse_record_bytes();
        large_index(&mut self.volume, REPARSE_POINTS, taken, entries)
    }
}
