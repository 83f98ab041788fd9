//! Reading all that can be read of a damaged image.
//!
//! ```text
//!   lenient   the file, zeros where the host cannot read it while tables are looked for
//!   draft     the file as a repair that accepts every loss would leave it, in memory
//!   chain     the disk on that draft; a parent that is not there cannot be read
//!   copy      piece by piece; what fails is tried in smaller pieces, and then named
//! ```
//! The image is never written. Every byte of the disk is copied, is known to be zero, or lies in a
//! range that is named: lost (zeros are in its place) or doubtful (two parts of the image claim it).

mod copy;
mod lenient;
mod missing;

use blockio::{ByteCount, ByteRange, Disk, SectorSize, Storage};

use crate::chain::{ChainDisk, Layer, open_parents};
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::image::{Access, ImageDisk, ImageFormat, open_chain};
use crate::info::ImageInfo;
use crate::probe::probe;
use crate::repair::{Draft, Fix, RepairOptions, Repairs};
use crate::{vhd, vhdx};

pub use copy::{LostRange, SalvageReport};
use lenient::Lenient;
use missing::MissingLayer;

/// What the caller knows of an image whose own word is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SalvageOptions {
    /// Size of the disk.
    pub size: Option<ByteCount>,
    /// Bytes in a block.
    pub block_size: Option<ByteCount>,
    /// Logical sector size; 512 bytes where it is not given.
    pub logical_sector: Option<SectorSize>,
}

/// A damaged image, opened to be copied.
pub struct Salvage {
    disk: Source,
    /// What was put right in memory to be able to read.
    pub fixes: Vec<Fix>,
    /// Why the parents cannot be read, where they cannot.
    pub parent_error: Option<String>,
    /// Ranges that cannot be read, as far as they are known before reading.
    lost: Vec<ByteRange>,
    /// Bytes that cannot be read beside those ranges; only a hostile image scatters them so.
    unlisted: u64,
    /// Ranges that two parts of the image claim.
    doubtful: Vec<ByteRange>,
}

/// Most ranges that are known to be lost before anything is read.
const MAX_LOST: usize = 1_000_000;

/// The disk that is left.
enum Source {
    /// One that needs no repair to be read.
    Plain(Box<dyn ImageDisk>),
    /// One in layers, of which one may be missing, by its number.
    Layers(Box<ChainDisk>, Option<usize>),
}

/// Blocks of an image that are not to be trusted.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Ranges of the disk whose place another block claims too.
    pub(crate) doubtful: Vec<ByteRange>,
    /// Ranges of the disk whose place is none.
    pub(crate) lost: Vec<ByteRange>,
}

impl Salvage {
    /// Opens what is left of an image. `format` is found out where it is not given, which fails
    /// where the signatures are lost.
    ///
    /// # Errors
    /// `Damaged` where nothing says where the blocks are, `Unsupported`, `Io`.
    pub fn open(
        storage: Box<dyn Storage>,
        format: Option<ImageFormat>,
        options: SalvageOptions,
        gate: &dyn ParentGate,
    ) -> Result<Self, ImageError> {
        let format = match format {
            Some(format) => format,
            None => probe(&*storage)?,
        };
        if matches!(format, ImageFormat::Raw | ImageFormat::Qcow2) {
            let disk = open_chain(storage, Some(format), Access::ReadOnly, gate)?;
            return Ok(Self::of_disk(disk));
        }
        let lenient = Lenient::new(storage);
        let draft = Draft::new(lenient.clone())?;
        let mut repairs = Repairs::new(RepairOptions { accept_loss: true }, MAX_LOST);
        let suspects = match format {
            ImageFormat::Vhd => vhd::salvage(&draft, &mut repairs, options)?,
            _ => vhdx::salvage(&draft, &mut repairs, options)?,
        };
        let (disk, parent_error) = open_draft(Box::new(draft), &lenient, format, gate)?;
        let (fixes, mut lost, unlisted) = repairs.into_parts();
        lost.extend(suspects.lost);
        Ok(Self {
            disk,
            fixes,
            parent_error,
            lost,
            unlisted,
            doubtful: suspects.doubtful,
        })
    }

    fn of_disk(disk: Box<dyn ImageDisk>) -> Self {
        Self {
            disk: Source::Plain(disk),
            fixes: Vec::new(),
            parent_error: None,
            lost: Vec::new(),
            unlisted: 0,
            doubtful: Vec::new(),
        }
    }

    /// Facts of the image, as far as they are left.
    pub fn info(&self) -> ImageInfo {
        match &self.disk {
            Source::Plain(disk) => disk.info(),
            Source::Layers(disk, _) => disk.info(),
        }
    }

    /// The disk; reads of what is lost fail.
    pub fn disk(&self) -> &dyn Disk {
        match &self.disk {
            Source::Plain(disk) => &**disk,
            Source::Layers(disk, _) => &**disk,
        }
    }

    /// Bytes from `at` on that only a parent holds that is not there, or else how many are held alike.
    fn missing_at(&self, at: u64) -> blockio::Result<(bool, u64)> {
        match &self.disk {
            Source::Layers(disk, Some(missing)) => {
                let (holder, length) = disk.chain().holder_at(at)?;
                Ok((holder.is_some_and(|(layer, _)| layer == *missing), length))
            }
            _ => Ok((false, u64::MAX)),
        }
    }
}

/// The disk in a draft with its parents; where those cannot be opened, what they hold cannot be read.
fn open_draft(
    draft: Box<dyn Storage>,
    lenient: &Lenient,
    format: ImageFormat,
    gate: &dyn ParentGate,
) -> Result<(Source, Option<String>), ImageError> {
    let facts = crate::chain::link_facts(format, &*draft)?;
    let layer = match format {
        ImageFormat::Vhd => vhd::open_salvaged(draft)?,
        _ => vhdx::open_layer(draft)?,
    };
    // From here on a part that the host cannot read is a part of the disk that is lost.
    lenient.be_strict();
    let (mut parents, mut parent_error) = (Vec::<Box<dyn Layer>>::new(), None);
    let mut missing = None;
    if facts.parent.is_some() {
        match open_parents(format, &facts, gate) {
            Ok(opened) => parents = opened,
            Err(error) => {
                parents.push(Box::new(MissingLayer::new(layer.info())));
                (parent_error, missing) = (Some(error.to_string()), Some(1));
            }
        }
    }
    let disk = Box::new(ChainDisk::new(layer, parents));
    Ok((Source::Layers(disk, missing), parent_error))
}
