//! What is written of each directory at the end: its index and its record. Also the index of all
//! reparse points, which is built in the same way.

use super::attribute::{Attribute, standard_information, standard_information_1_2};
use super::bitmap;
use super::build::Builder;
use super::directory::DirectoryIndex;
use super::file::FIRST_USE;
use super::format::{AttributeKind, FILE_REPARSE_POINT, NAME_SPACE_DOS, RECORD_DIRECTORY};
use super::index::{
    BlockSink, BuiltIndex, FILE_NAMES, IndexBuilder, IndexEntry, IndexKind, REPARSE_POINTS,
    ROOT_HEADER, RootRoom,
};
use super::narrow::{to_u16, to_usize};
use super::record::{Record, RecordHead};
use super::security;
use super::spread::When;
use super::stream::{IndexStore, StreamBuilder, Volume};
use super::system;
use crate::error::MkfsError;
use crate::tree::{Amendment, Attributes};

/// Bytes that a record needs to describe index blocks: the stream with up to 24 bytes of runs, and
/// their bitmap.
const BLOCKS_ROOM: usize = 0x60 + BITMAP_ROOM;
/// Bytes of a bitmap in clusters; one of 64 bits in the record takes less.
const BITMAP_ROOM: usize = 0x50;
/// Bytes of entries that every root has room for: the last one alone, with a child.
const LEAST_ROOT: usize = 24;
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

/// Builds an index of any size, whose attributes may take so many bytes of the record.
pub(super) fn large_index(
    volume: &mut Volume<'_>,
    kind: IndexKind,
    room: usize,
    entries: impl Iterator<Item = Result<IndexEntry, MkfsError>>,
) -> Result<Vec<Attribute>, MkfsError> {
    let alone = room.saturating_sub(Attribute::resident_length(kind.name.len(), ROOT_HEADER));
    // Where nothing is left, other attributes make room in extension records.
    let room = RootRoom {
        alone: alone.max(LEAST_ROOT),
        with_blocks: alone.saturating_sub(BLOCKS_ROOM).max(LEAST_ROOT),
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
    /// Takes the last word on a directory; one that was left out has none.
    pub(super) fn amend(&mut self, amendment: &Amendment) -> Result<(), MkfsError> {
        let Some(index) = self.directories.of_node(amendment.directory) else {
            return Ok(());
        };
        let security = match &amendment.security {
            Some(descriptor) => Some(self.secure.key(descriptor)?),
            None => None,
        };
        let directory = self.directories.get_mut(index);
        directory.times = amendment.times;
        directory.security = security.or(directory.security);
        if index != DirectoryIndex::ROOT {
            let plain = Attributes::NORMAL.with(Attributes::COMPRESSED).bits();
            directory.attributes &= FILE_REPARSE_POINT;
            directory.attributes |= amendment.attributes.bits() & !plain;
        }
        let listing = directory.listing();
        self.directories.list_anew(amendment.directory, listing);
        Ok(())
    }

    /// Builds the index of a directory and puts its record.
    pub(super) fn finish_directory(&mut self, index: DirectoryIndex) -> Result<(), MkfsError> {
        let directory = self.directories.get(index);
        let (number, times, own) = (directory.record, directory.times, directory.attributes);
        let mut attributes = vec![match directory.security {
            Some(security) => standard_information(&times, own, security, directory.version()),
            None => standard_information_1_2(&times, own, directory.version()),
        }];
        let parent = self.directories.get(directory.parent).reference;
        let listing = directory.listing();
        attributes.push(listing.file_name(parent, &directory.name).attribute()?);
        if let Some(dos_name) = &directory.dos_name {
            let mut name = listing.file_name(parent, dos_name);
            name.name_space = NAME_SPACE_DOS;
            attributes.push(name.attribute()?);
        }
        let links = attributes.len() - 1;
        if directory.security.is_none() {
            attributes.push(Attribute::resident(
                AttributeKind::SecurityDescriptor,
                security::root(),
            ));
        }
        attributes.extend(self.directory_extras.remove(&index).unwrap_or_default());
        let taken: usize = attributes.iter().map(Attribute::length).sum();
        let room = self.attribute_room()?.saturating_sub(taken);
        let entries = self.directories.entries(index);
        attributes.extend(large_index(&mut self.volume, FILE_NAMES, room, entries)?);
        let sequence = if index == DirectoryIndex::ROOT {
            system::sequence(number)
        } else {
            FIRST_USE
        };
        let mut head = RecordHead::named(number, sequence, RECORD_DIRECTORY);
        head.links = to_u16(links, "a directory of so many names")?;
        self.put_record(Record { head, attributes }, When::Late)?;
        Ok(())
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
        let room = self
            .attribute_room()?
            .saturating_sub(system::reparse_record_bytes());
        large_index(&mut self.volume, REPARSE_POINTS, room, entries)
    }
}
