//! Chains of differencing images: a child, its parent, the parent's parent.
//!
//! ```text
//!   open     gathers the parents through the gate and checks each link
//!   cache    what holds each part of the disk, found once
//!   disk     a chain that is open for reading, as a disk
//!   write    images of a chain opened for writing, and given other parents
//!   map      which layer holds what, for people to see
//! ```
//!
//! A [`Chain`] is immutable: nothing in it is open for writing. So what was found once stays true.
//! The disk is cut into units; a unit is resolved when it is first needed, from the top layer down,
//! into runs that name the layer and the place in its file. From then on a read costs one look-up
//! however many layers there are. A child that is written asks its own table first, which is in
//! memory, and then the chain of its parents: two look-ups. Nothing needs to be forgotten when the
//! child is written, since the cache knows the parents alone.

mod cache;
mod disk;
mod map;
mod open;
mod write;

use blockio::{BlockKind, ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, SectorSize};
use uuid::Uuid;

use crate::bounds::to_index;
use crate::info::{ImageInfo, ParentInfo};
use cache::{Run, RunCache, Source, UNIT};

pub(crate) use disk::ChainDisk;
pub use map::{Holder, MapRun, map_image};
pub use open::{LinkedImage, MAX_DEPTH, walk_chain};
pub(crate) use open::{
    check_fit, check_link, link_facts, open_layer, open_parents, open_parents_of,
};
pub(crate) use write::{open_into, open_taker, relink, relink_twice};

/// Most runs of one kind that one answer of [`Chain::status`] joins.
const MAX_STEPS: usize = 4096;

/// Who holds a run of a layer's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The layer, at this byte of its file.
    File(u64),
    /// Nobody: it is zeros.
    Zero,
    /// The layer's parent.
    Parent,
}

/// What an image says of itself and of its parent, as far as links between images go.
#[derive(Clone, Debug)]
pub(crate) struct LinkFacts {
    pub(crate) size: ByteCount,
    pub(crate) logical_sector: SectorSize,
    pub(crate) physical_sector: SectorSize,
    /// What a child remembers of this image: data write GUID (VHDX) or unique id (VHD).
    pub(crate) linkage: Uuid,
    pub(crate) parent: Option<ParentInfo>,
}

/// An image as a part of a chain.
pub(crate) trait Layer: Send + Sync {
    /// Size of the disk.
    fn size(&self) -> ByteCount;

    /// Who holds the byte at `start`, and how many of the `length` bytes from there on (all within
    /// the disk, more than none) are held alike and follow each other.
    fn held_at(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)>;

    /// Bytes from `start` on of which it is known, without looking at each block, that this layer
    /// holds none; 0 where nothing is known. They may reach past the end of the disk.
    fn absent_at(&self, start: u64) -> blockio::Result<u64>;

    /// Reads from the file.
    fn read_file(&self, buf: &mut [u8], at: ByteOffset) -> blockio::Result<()>;

    /// What the host says of a range of the file; the answer may be longer than the range.
    fn file_extent(&self, range: ByteRange) -> blockio::Result<Extent>;

    /// Facts of the image.
    fn info(&self) -> ImageInfo;

    /// What a child of the image knows it by.
    fn linkage(&self) -> Uuid;
}

/// Layers that nobody writes, the youngest first; the last has no parent.
pub(crate) struct Chain {
    layers: Vec<Box<dyn Layer>>,
    size: u64,
    cache: RunCache,
}

impl Chain {
    pub(crate) fn new(layers: Vec<Box<dyn Layer>>) -> Self {
        Self {
            size: layers.first().map_or(0, |layer| layer.size().get()),
            layers,
            cache: RunCache::default(),
        }
    }

    /// Bytes of the disk.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the disk; what lies behind its end reads zero.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> blockio::Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (source, length) = self.run_at(at)?;
            let length = to_index(length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at_mut(length);
            match source {
                Source::Zero => part.fill(0),
                Source::Layer { layer, at } => {
                    self.layer(layer)?.read_file(part, ByteOffset(at))?;
                }
            }
            at = at.saturating_add(crate::bounds::buffer_len(part));
            rest = after;
        }
        Ok(())
    }

    /// Whether all of `length` bytes at `offset` are known to be zero without being read.
    pub(crate) fn reads_zero(&self, offset: u64, length: u64) -> blockio::Result<bool> {
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            match self.status(at, end - at)? {
                (kind, length) if kind.reads_zero() => at = at.saturating_add(length),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The kind of the byte at `start`, and how many of the next `length` bytes are of it, at least.
    pub(crate) fn status(&self, start: u64, length: u64) -> blockio::Result<(BlockKind, u64)> {
        let end = start.saturating_add(length);
        let (kind, first) = self.first_status(start, length)?;
        let mut at = start.saturating_add(first);
        for _ in 0..MAX_STEPS {
            if at >= end {
                break;
            }
            let (next, length) = self.first_status(at, end - at)?;
            if next != kind {
                break;
            }
            at = at.saturating_add(length);
        }
        Ok((kind, at - start))
    }

    fn first_status(&self, start: u64, length: u64) -> blockio::Result<(BlockKind, u64)> {
        if start >= self.size {
            return Ok((BlockKind::Hole, length));
        }
        let absent = self.absent_at(start)?;
        if absent > 0 {
            return Ok((BlockKind::Hole, absent.min(length)));
        }
        let (source, run) = self.run_at(start)?;
        let run = run.min(length);
        let Source::Layer { layer, at } = source else {
            return Ok((BlockKind::Hole, run));
        };
        let Some(range) = ByteRange::new(ByteOffset(at), ByteCount(run)) else {
            return Ok((BlockKind::Data, run));
        };
        let extent = self.layer(layer)?.file_extent(range)?;
        let kind = match extent.kind {
            ExtentKind::Data => BlockKind::Data,
            ExtentKind::Hole => BlockKind::Hole,
        };
        Ok((kind, extent.range.len().get().clamp(1, run)))
    }

    /// Bytes from `start` on that no layer holds, by what is known without looking at each block.
    fn absent_at(&self, start: u64) -> blockio::Result<u64> {
        let mut shortest = u64::MAX;
        for layer in &self.layers {
            if start >= layer.size().get() {
                break;
            }
            shortest = shortest.min(layer.absent_at(start)?);
            if shortest == 0 {
                break;
            }
        }
        Ok(shortest)
    }

    /// Which layer holds the byte at `at` (none where it is zeros), at which byte of its file, and how
    /// many of the next bytes follow it there.
    pub(crate) fn holder_at(&self, at: u64) -> blockio::Result<(Option<(usize, u64)>, u64)> {
        let absent = match at < self.size {
            true => self.absent_at(at)?.min(self.size - at),
            false => 0,
        };
        if absent > 0 {
            return Ok((None, absent));
        }
        let (source, length) = self.run_at(at)?;
        let holder = match source {
            Source::Zero => None,
            Source::Layer { layer, at } => to_index(u64::from(layer)).map(|layer| (layer, at)),
        };
        Ok((holder, length))
    }

    /// The layers, the youngest first.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &dyn Layer> {
        self.layers.iter().map(|layer| &**layer)
    }

    /// Where the byte at `at` is, and how many bytes follow it there.
    fn run_at(&self, at: u64) -> blockio::Result<(Source, u64)> {
        if at >= self.size {
            return Ok((Source::Zero, u64::MAX - at));
        }
        let unit = at / UNIT;
        if let Some(found) = self.cache.find(unit, at) {
            return Ok(found);
        }
        let runs = self.resolve(unit)?;
        let found = cache::lookup(&runs, unit, at);
        self.cache.insert(unit, runs);
        Ok(found)
    }

    /// Finds out who holds each byte of a unit: layer by layer, what none before it holds.
    fn resolve(&self, unit: u64) -> blockio::Result<Vec<Run>> {
        let start = unit.saturating_mul(UNIT);
        let end = start.saturating_add(UNIT).min(self.size);
        let mut open = vec![(start, end)];
        let mut runs = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let mut left: Vec<(u64, u64)> = Vec::new();
            for (from, to) in open {
                let held_to = to.min(layer.size().get()).max(from);
                let mut at = from;
                while at < held_to {
                    let (held, length) = layer.held_at(at, held_to - at)?;
                    let next = at.saturating_add(length.max(1)).min(held_to);
                    match held {
                        Held::File(place) => {
                            runs.push(Run::new(at, Source::in_layer(number, place)))
                        }
                        Held::Zero => runs.push(Run::new(at, Source::Zero)),
                        Held::Parent => match left.last_mut() {
                            Some(last) if last.1 == at => last.1 = next,
                            _ => left.push((at, next)),
                        },
                    }
                    at = next;
                }
                if held_to < to {
                    // Behind the end of this layer, which is behind the end of all below it.
                    runs.push(Run::new(held_to, Source::Zero));
                }
            }
            open = left;
            if open.is_empty() {
                break;
            }
        }
        // The last layer has no parent to ask.
        runs.extend(open.into_iter().map(|(at, _)| Run::new(at, Source::Zero)));
        Ok(cache::in_order(runs, start, end))
    }

    fn layer(&self, number: u32) -> blockio::Result<&dyn Layer> {
        let layer = to_index(u64::from(number)).and_then(|number| self.layers.get(number));
        layer.map(|layer| &**layer).ok_or_else(|| {
            // Runs are made by `resolve` alone, which numbers the layers that there are.
            blockio::IoError::new(
                blockio::IoErrorKind::Damaged,
                blockio::Operation::Read,
                ByteOffset(0),
                ByteCount(0),
            )
        })
    }
}
