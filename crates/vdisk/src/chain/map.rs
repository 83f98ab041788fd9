//! Which layer of a chain holds which part of the disk.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, ExtentKind, Storage};

use super::{ChainDisk, link_facts, open_layer, open_parents};
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::image::{Access, ImageFormat, open_chain};
use crate::info::ImageInfo;
use crate::probe::probe;

/// A part of the disk that is held in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRun {
    /// The part of the disk.
    pub range: ByteRange,
    /// Who holds it; `None` where it is zeros that nobody holds.
    pub holder: Option<Holder>,
}

/// Where the bytes of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The layer, 0 for the image itself, 1 for its parent.
    pub layer: usize,
    /// Byte offset in the file of that layer.
    pub offset: ByteOffset,
    /// Whether the host keeps bytes there; where it keeps a hole they are zeros.
    pub is_data: bool,
}

impl MapRun {
    /// Whether `next` goes on where this run ends, in the same way.
    fn goes_on_with(&self, next: &Self) -> bool {
        let same = match (self.holder, next.holder) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let end = a.offset.checked_add(self.range.len());
                (a.layer, a.is_data) == (b.layer, b.is_data) && end == Some(b.offset)
            }
            _ => false,
        };
        same && self.range.end() == next.range.start()
    }
}

/// Shows every part of the disk of an image and who holds it, in order; returns what the layers say of
/// themselves, the image first.
///
/// # Errors
/// As for opening the chain for reading; `Cancelled` where `visit` breaks.
pub fn map_image(
    storage: Box<dyn Storage>,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    visit: &mut dyn FnMut(MapRun) -> ControlFlow<()>,
) -> Result<Vec<ImageInfo>, ImageError> {
    let format = match format {
        Some(format) => format,
        None => probe(&*storage)?,
    };
    let mut joined = Joined { last: None, visit };
    if matches!(format, ImageFormat::Raw | ImageFormat::Qcow2) {
        // A qcow2 image is shown as one layer with all that is behind it.
        let disk = open_chain(storage, Some(format), Access::ReadOnly, gate)?;
        let info = disk.info();
        map_flat(&*disk, &mut joined)?;
        return Ok(vec![info]);
    }
    let facts = link_facts(format, &*storage)?;
    let parents = open_parents(format, &facts, gate)?;
    let disk = ChainDisk::new(open_layer(format, storage)?, parents);
    map_layers(&disk, &mut joined)?;
    Ok(disk.chain().layers().map(|layer| layer.info()).collect())
}

/// Runs that are shown once they are known to be at their end.
struct Joined<'a> {
    last: Option<MapRun>,
    visit: &'a mut dyn FnMut(MapRun) -> ControlFlow<()>,
}

impl Joined<'_> {
    fn add(&mut self, run: MapRun) -> Result<(), ImageError> {
        if let Some(last) = &mut self.last
            && last.goes_on_with(&run)
            && let Some(range) = ByteRange::between(last.range.start(), run.range.end())
        {
            last.range = range;
            return Ok(());
        }
        self.finish()?;
        self.last = Some(run);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ImageError> {
        match self.last.take().map(|last| (self.visit)(last)) {
            Some(ControlFlow::Break(())) => Err(ImageError::Cancelled),
            _ => Ok(()),
        }
    }
}

fn map_flat(disk: &dyn Disk, joined: &mut Joined<'_>) -> Result<(), ImageError> {
    let end = ByteOffset(disk.size().get());
    let mut at = ByteOffset(0);
    while let Some(rest) = ByteRange::between(at, end).filter(|rest| !rest.is_empty()) {
        let status = disk.block_status(rest)?;
        joined.add(MapRun {
            range: status.range,
            holder: Some(Holder {
                layer: 0,
                offset: at,
                is_data: !status.kind.reads_zero(),
            }),
        })?;
        at = status
            .range
            .end()
            .max(ByteOffset(at.get().saturating_add(1)));
    }
    joined.finish()
}

fn map_layers(disk: &ChainDisk, joined: &mut Joined<'_>) -> Result<(), ImageError> {
    let chain = disk.chain();
    let end = disk.size().get();
    let mut at = 0;
    while at < end {
        let (holder, length) = chain.holder_at(at)?;
        let length = length.clamp(1, end - at);
        let Some(range) = ByteRange::new(ByteOffset(at), ByteCount(length)) else {
            break;
        };
        at = at.saturating_add(length);
        let Some((layer, offset)) = holder else {
            joined.add(MapRun {
                range,
                holder: None,
            })?;
            continue;
        };
        map_held(disk, layer, ByteOffset(offset), range, joined)?;
    }
    joined.finish()
}

/// Parts a run by what the host keeps for it.
fn map_held(
    disk: &ChainDisk,
    layer: usize,
    start: ByteOffset,
    range: ByteRange,
    joined: &mut Joined<'_>,
) -> Result<(), ImageError> {
    let Some(file) = disk.chain().layers().nth(layer) else {
        return Ok(());
    };
    let mut done = 0;
    while done < range.len().get() {
        let rest = ByteCount(range.len().get() - done);
        let at = start.checked_add(ByteCount(done));
        let place = range.start().checked_add(ByteCount(done));
        let (Some(at), Some(place)) = (at, place) else {
            break;
        };
        let Some(in_file) = ByteRange::new(at, rest) else {
            break;
        };
        let extent = file.file_extent(in_file)?;
        let length = extent.range.len().get().clamp(1, rest.get());
        if let Some(range) = ByteRange::new(place, ByteCount(length)) {
            joined.add(MapRun {
                range,
                holder: Some(Holder {
                    layer,
                    offset: at,
                    is_data: extent.kind == ExtentKind::Data,
                }),
            })?;
        }
        done += length;
    }
    Ok(())
}
