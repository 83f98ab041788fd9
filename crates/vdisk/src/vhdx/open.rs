//! Opening: from bytes nobody vouches for to an image that can be read and written.
//!
//! For reading, nothing is changed; a dirty log is looked through. For writing, a dirty log is
//! replayed into the file first, and every entry of the table is checked, since space is handed
//! out on the strength of it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};
use uuid::Uuid;

use super::bat::{Bat, BatEntry, BlockState, lies_in_file};
use super::bitmap::{self, READER_PAGES, WRITER_PAGES};
use super::commit::{Round, Transaction};
use super::format::{HEADER_SECTION, MAX_FILE_LENGTH};
use super::geometry::{EntryIndex, EntryRole, Geometry};
use super::header::{CurrentHeader, read_current, read_identifier};
use super::image::{LOCK_SHARDS, VhdxImage, lock};
use super::log::replay::{Overlay, read_log};
use super::metadata::{Metadata, read_metadata};
use super::region::{Regions, read_regions};
use super::session::{DataIdentity, Session};
use super::space::{Run, Space, SpaceMap};
use super::view::View;
use crate::bitmap_pages::BitmapPages;
use crate::chain::{Chain, ChainDisk, Layer, LinkFacts, open_parents};
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::ids::IdSource;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::link::LinkState;
use crate::merge::Taker;

/// Opens an image with its parents.
pub(crate) fn open(
    storage: Box<dyn Storage>,
    access: Access,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    open_with(storage, access, IdSource::Random, gate)
}

/// As [`open`], with identifiers of later sessions from `ids`.
pub(super) fn open_with(
    storage: Box<dyn Storage>,
    access: Access,
    ids: IdSource,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let structure = read_structure(&*storage)?;
    if structure.metadata.parent.is_none() {
        return Ok(Box::new(open_structure(storage, structure, access, ids)?));
    }
    let parents = open_parents(ImageFormat::Vhdx, &structure.link_facts(), gate)?;
    let mut image = open_structure(storage, structure, access, ids)?;
    if access == Access::ReadOnly {
        return Ok(Box::new(ChainDisk::new(Box::new(image), parents)));
    }
    image.parents = Some(Arc::new(Chain::new(parents)));
    Ok(Box::new(image))
}

/// Opens a child for writing whose parents are open and known to be the right ones.
pub(super) fn open_child(
    storage: Box<dyn Storage>,
    ids: IdSource,
    parents: Chain,
) -> Result<VhdxImage, ImageError> {
    let structure = read_structure(&*storage)?;
    let mut image = open_structure(storage, structure, Access::ReadWrite, ids)?;
    image.parents = Some(Arc::new(parents));
    Ok(image)
}

/// Opens a child for taking in what others hold: its disk will read as before, so that what its own
/// children know it by stays.
pub(super) fn open_kept(
    storage: Box<dyn Storage>,
    below: Arc<Chain>,
) -> Result<VhdxImage, ImageError> {
    let structure = read_structure(&*storage)?;
    let mut image = open_structure(storage, structure, Access::ReadWrite, IdSource::Random)?;
    image.parents = Some(below);
    lock(&image.session).data_identity = DataIdentity::Kept;
    Ok(image)
}

/// As [`open_kept`], for whoever knows no format.
pub(crate) fn open_taker(
    storage: Box<dyn Storage>,
    below: Arc<Chain>,
) -> Result<Box<dyn Taker>, ImageError> {
    Ok(Box::new(open_kept(storage, below)?))
}

/// Opens an image for writing whose data are known by `identity` from the first write on.
pub(crate) fn open_as(
    storage: Box<dyn Storage>,
    gate: &dyn ParentGate,
    identity: Uuid,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let structure = read_structure(&*storage)?;
    let facts = structure.link_facts();
    let parents = match facts.parent {
        None => None,
        Some(_) => {
            let parents = open_parents(ImageFormat::Vhdx, &facts, gate)?;
            Some(Arc::new(Chain::new(parents)))
        }
    };
    let mut image = open_structure(storage, structure, Access::ReadWrite, IdSource::Random)?;
    image.parents = parents;
    lock(&image.session).data_identity = DataIdentity::Given(identity);
    Ok(Box::new(image))
}

/// Opens an image for reading as a part of a chain.
pub(crate) fn open_layer(storage: Box<dyn Storage>) -> Result<Box<dyn Layer>, ImageError> {
    let structure = read_structure(&*storage)?;
    let image = open_structure(storage, structure, Access::ReadOnly, IdSource::Random)?;
    Ok(Box::new(image))
}

/// What an image says of itself and its parent.
pub(crate) fn link_facts(storage: &dyn Storage) -> Result<LinkFacts, ImageError> {
    Ok(read_structure(storage)?.link_facts())
}

/// What an image says of itself and its parent, for whoever keeps images.
pub(crate) fn link_state(storage: &dyn Storage) -> Result<LinkState, ImageError> {
    let structure = read_structure(storage)?;
    let facts = structure.link_facts();
    Ok(LinkState {
        size: facts.size,
        data_identity: Some(facts.linkage),
        dirty_log: structure.dirty_log,
        parent: facts.parent,
    })
}

/// Opens what is in this file; reading what a parent holds is the caller's business.
fn open_structure(
    storage: Box<dyn Storage>,
    mut structure: Structure,
    access: Access,
    ids: IdSource,
) -> Result<VhdxImage, ImageError> {
    if access == Access::ReadWrite && storage.is_read_only() {
        return Err(ImageError::ReadOnly);
    }
    let bat = Bat::new(structure.regions.bat, &structure.geometry)?;
    if access == Access::ReadOnly {
        let view = View::new(storage, structure.overlay.take());
        return build(view, structure, bat, SpaceMap::default(), 0, false, ids);
    }
    let scan = {
        // Before anything is written: an image whose tables are damaged is left as it is, and a
        // replay would be the first step into the damage.
        let seen = View::new(&storage, structure.overlay.clone());
        scan_space(&seen, &structure, &bat)?
    };
    if let Some(overlay) = structure.overlay.take() {
        replay(&*storage, &mut structure.header, &overlay, ids)?;
        structure.dirty_log = false;
    }
    let view = View::new(storage, None);
    build(view, structure, bat, scan.map, scan.present, true, ids)
}

/// All that an image says of itself, decoded and checked, but for the table's entries.
pub(super) struct Structure {
    pub(super) creator: String,
    pub(super) header: CurrentHeader,
    /// What the log does, where one waits for its replay.
    pub(super) overlay: Option<Overlay>,
    pub(super) dirty_log: bool,
    pub(super) regions: Regions,
    pub(super) metadata: Metadata,
    pub(super) geometry: Geometry,
    /// Bytes of the file, after the replay of the log.
    pub(super) file_length: u64,
}

impl Structure {
    fn link_facts(&self) -> LinkFacts {
        LinkFacts {
            size: ByteCount(self.metadata.disk_size),
            logical_sector: self.metadata.logical_sector,
            physical_sector: self.metadata.physical_sector,
            linkage: self.header.header.data_write_guid,
            parent: self.metadata.parent.clone(),
        }
    }
}

/// Reads everything but the block allocation table.
pub(super) fn read_structure(storage: &dyn Storage) -> Result<Structure, ImageError> {
    let creator = read_identifier(storage)?;
    read_structure_of(storage, creator)
}

/// As [`read_structure`], whatever the file begins with.
pub(super) fn read_structure_of(
    storage: &dyn Storage,
    creator: String,
) -> Result<Structure, ImageError> {
    let header = read_current(storage)?;
    let overlay = match header.header.log_guid {
        None => None,
        Some(guid) => {
            let at = ByteOffset(header.header.log_offset);
            let log = ByteRange::new(at, ByteCount(header.header.log_length))
                .ok_or_else(|| ImageError::damaged("MS-VHDX 2.2.2", "log lies outside the file"))?;
            Some(read_log(storage, log, guid)?)
        }
    };
    let dirty_log = overlay.is_some();
    let view = View::new(storage, overlay);
    let file_length = view.len()?.get();
    if file_length > MAX_FILE_LENGTH {
        return Err(ImageError::unsupported(format!(
            "file of {file_length} bytes"
        )));
    }
    let regions = read_regions(&view, &header.header)?;
    let metadata = read_metadata(&view, regions.metadata)?;
    let geometry = Geometry::new(&metadata);
    Ok(Structure {
        creator,
        header,
        overlay: view.into_overlay(),
        dirty_log,
        regions,
        metadata,
        geometry,
        file_length,
    })
}

/// What the table says of the file's space.
pub(super) struct SpaceScan {
    pub(super) map: SpaceMap,
    /// Number of payload blocks with a place.
    pub(super) present: u64,
}

/// Marks all space that is in use; refuses entries out of their range and space used twice.
fn scan_space(
    storage: &dyn Storage,
    structure: &Structure,
    bat: &Bat,
) -> Result<SpaceScan, ImageError> {
    let mut map = fixed_space(&structure.regions);
    let geometry = &structure.geometry;
    let mebibytes = geometry.block_size / MIB;
    let differencing = structure.metadata.parent.is_some();
    let (mut present, mut anchors) = (0, Vec::new());
    bat.scan(storage, geometry, |index, raw| {
        let damaged = |what: &str| damaged_entry(bat, index, raw, what);
        let entry = BatEntry::decode(raw).ok_or_else(|| damaged("is malformed"))?;
        let run = |length| Run {
            start: entry.offset / MIB,
            length,
        };
        match (geometry.role(index), entry.state) {
            (
                Some(EntryRole::Payload(block)),
                BlockState::FullyPresent | BlockState::PartiallyPresent,
            ) if entry.state == BlockState::FullyPresent || differencing => {
                if entry.state == BlockState::PartiallyPresent {
                    let bitmap = bat.load(storage, geometry.bitmap_entry_of(block))?;
                    if !BatEntry::decode(bitmap).is_some_and(bitmap::is_present) {
                        return Err(damaged("is partially present without a sector bitmap"));
                    }
                }
                let length = geometry.block_bytes(block);
                if !lies_in_file(entry.offset, length, structure.file_length) {
                    return Err(damaged("lies outside the file"));
                }
                if !map.mark_used(run(mebibytes)) {
                    return Err(damaged("shares space with something else"));
                }
                present += 1;
                Ok(())
            }
            (Some(EntryRole::Bitmap(_)), BlockState::FullyPresent) if differencing => {
                if !lies_in_file(entry.offset, MIB, structure.file_length) {
                    return Err(damaged("leads to a bitmap outside the file"));
                }
                if !map.mark_used(run(1)) {
                    return Err(damaged("shares space with something else"));
                }
                Ok(())
            }
            (_, BlockState::PartiallyPresent) => Err(damaged("needs a parent, and there is none")),
            (role, _) if entry.offset != 0 => {
                // Space that has no meaning here; another reader may think otherwise.
                let bitmap = matches!(role, Some(EntryRole::Bitmap(_)));
                anchors.push(run(if bitmap { 1 } else { mebibytes }));
                Ok(())
            }
            _ => Ok(()),
        }
    })?;
    for anchor in anchors {
        if lies_in_file(anchor.offset(), anchor.length * MIB, structure.file_length) {
            map.mark_used(anchor);
        }
    }
    Ok(SpaceScan { map, present })
}

/// The space of the header section, the log and the regions, which share no byte.
pub(super) fn fixed_space(regions: &Regions) -> SpaceMap {
    let mut map = SpaceMap::default();
    let header = ByteRange::new(ByteOffset(0), ByteCount(HEADER_SECTION));
    let fixed = header.into_iter().chain([regions.log]);
    for range in fixed.chain(regions.all.iter().map(|(_, range)| *range)) {
        map.mark_used(Run::covering(range));
    }
    map
}

fn damaged_entry(bat: &Bat, index: EntryIndex, raw: u64, what: &str) -> ImageError {
    ImageError::damaged_at(
        "MS-VHDX 2.5.1.1",
        bat.entry_offset(index),
        format!("entry {raw:#x} of the block allocation table {what}"),
    )
}

/// Replays a log into the file and clears it in the headers.
fn replay(
    storage: &dyn Storage,
    header: &mut CurrentHeader,
    overlay: &Overlay,
    ids: IdSource,
) -> Result<(), ImageError> {
    // First of all: a killed process may have left the header and the log that were just read in
    // the cache alone. They must be durable before anything is done on the strength of them.
    storage.sync()?;
    let number = header.header.sequence_number;
    let file_write = ids.guid(&format!("vhdx replay {number}"));
    // The file changes, the disk does not: the data write GUID stays, or children would be lost.
    header.write_next(storage, |header| header.file_write_guid = file_write)?;
    // Before the replay: who finds the file half replayed must see that it was touched.
    storage.sync()?;
    overlay.apply_to_file(storage)?;
    // Before the header without a log: half a replay is mended by the next one, if it still has
    // the log.
    storage.sync()?;
    header.write_next(storage, |header| header.log_guid = None)?;
    // Before the other header, so that one of the two is whole at any time.
    storage.sync()?;
    header.write_next(storage, |_| {})
}

fn build(
    storage: View<Box<dyn Storage>>,
    structure: Structure,
    bat: Bat,
    map: SpaceMap,
    present: u64,
    writable: bool,
    ids: IdSource,
) -> Result<VhdxImage, ImageError> {
    if writable && structure.regions.log.is_empty() {
        let message = "image has no log, so it cannot be written";
        return Err(ImageError::damaged("MS-VHDX 2.2.2", message));
    }
    let file_length = structure.file_length.min(storage.len()?.get());
    let keep_length = match structure.metadata.leave_blocks_allocated {
        true => file_length,
        false => 0,
    };
    let mut blocks = Vec::new();
    blocks.resize_with(super::format::index(LOCK_SHARDS), RwLock::default);
    Ok(VhdxImage {
        storage,
        metadata: structure.metadata,
        geometry: structure.geometry,
        regions: structure.regions,
        creator: structure.creator,
        bat,
        parents: None,
        bitmaps: BitmapPages::new(match writable {
            true => WRITER_PAGES,
            false => READER_PAGES,
        }),
        bitmap_growth: Mutex::new(()),
        writable,
        punches_released: true,
        dirty_log: structure.dirty_log,
        blocks,
        round: Mutex::new(Round::default()),
        round_done: Condvar::new(),
        session: Mutex::new(Session {
            header: structure.header,
            ids,
            data_identity: DataIdentity::New,
            log: None,
            keep_length,
        }),
        transaction: Mutex::new(Transaction::default()),
        space: Space::new(map),
        gate: AtomicU8::new(0),
        poisoned: AtomicBool::new(false),
        file_length: AtomicU64::new(file_length),
        growth: Mutex::new(()),
        stable_length: AtomicU64::new(file_length),
        allocated_blocks: AtomicU64::new(present),
        known_data: Mutex::new(None),
    })
}
