//! The common face of all formats: what an open image is, and the doors to create, open, describe
//! and check one of any format.
//!
//! A format never opens a path: it is handed a [`Storage`] and keeps it.

use std::fmt;
use std::str::FromStr;

use blockio::{ByteCount, ByteOffset, Disk, SectorSize, Storage};

use crate::compact::{CompactReport, CompactRequest};
use crate::error::ImageError;
use crate::gate::{DenyAll, ParentGate};
use crate::ids::IdSource;
use crate::info::ImageInfo;
use crate::probe::probe;
use crate::report::CheckReport;
use crate::{qcow2, raw, vhd, vhdx};

/// The formats of image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageFormat {
    /// VHDX, the format of Hyper-V.
    Vhdx,
    /// VHD, its forerunner.
    Vhd,
    /// The bytes of the disk and nothing else.
    Raw,
    /// qcow2, the format of QEMU: read, and written as new images.
    Qcow2,
}

/// Whether space is taken when it is needed or from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provisioning {
    /// Blocks come into being when they are first written.
    Dynamic,
    /// Every byte has its place from the start.
    Fixed,
}

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading; not a byte of the file is changed.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What a new image is to be. Each format checks the values it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Size of the disk; a multiple of the logical sector size.
    pub size: ByteCount,
    /// Whether blocks are allocated when needed.
    pub provisioning: Provisioning,
    /// Bytes in a block; `None` for what Windows would choose.
    pub block_size: Option<ByteCount>,
    /// Logical sector size.
    pub logical_sector: SectorSize,
    /// Physical sector size.
    pub physical_sector: SectorSize,
    /// Where identifiers come from.
    pub ids: IdSource,
    /// Time of creation in seconds since 1970-01-01 UTC, for formats that record it.
    pub unix_time: u64,
}

impl CreateOptions {
    /// Whether the disk is of whole sectors of 512 bytes, which is all that some formats know; `why`
    /// tells who asked for others.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(crate) fn check_sectors_of_512(&self, why: &'static str) -> Result<(), ImageError> {
        let size = self.size.get();
        if size == 0 || !size.is_multiple_of(512) {
            let reason =
                format!("{size} bytes is not a whole number of 512 byte sectors above zero");
            return Err(ImageError::invalid_option("size", reason));
        }
        if self.logical_sector != SectorSize::B512 {
            return Err(ImageError::invalid_option("logical sector size", why));
        }
        Ok(())
    }
}

/// A disk that lives in an image file.
pub trait ImageDisk: Disk {
    /// Writes what is still pending, makes it durable and ends the use of the image.
    ///
    /// Dropping an image without closing it is what a crash does: nothing flushed is lost.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Poisoned`.
    fn close(self: Box<Self>) -> Result<(), ImageError>;

    /// Facts of the image as it is now.
    fn info(&self) -> ImageInfo;

    /// Where the byte of the disk at `offset` stands in the file, if its block has a place there.
    ///
    /// # Errors
    /// `Damaged`, `Host`.
    fn place_of(&self, _offset: ByteOffset) -> blockio::Result<Option<ByteOffset>> {
        Ok(None)
    }

    /// Gives back, in place, the space of what is zero and of what nobody uses. The image must have
    /// been opened for writing, also for a dry run; it is closed by the caller, and has its final
    /// length then.
    ///
    /// # Errors
    /// `Unsupported` for images that keep their space by definition, `ReadOnly`, `Cancelled`, `Io`,
    /// `NoSpace`. The disk reads as before also after an error.
    fn compact(&mut self, _request: &CompactRequest<'_>) -> Result<CompactReport, ImageError> {
        let feature = format!("compacting a {} image", self.info().format);
        Err(ImageError::unsupported(feature))
    }

    /// Gives the disk another size, durably and at once: a crash leaves the old size or the new one.
    /// What is added reads zero. What is cut off must read zero: it is for the caller to discard it.
    ///
    /// # Errors
    /// `InvalidOption` where the format has no such size, data stand beyond the new end, or a child
    /// would be smaller than its parent; `TooLarge`, `ReadOnly`, `NoSpace`, `Io`. The disk has its
    /// old size then.
    fn resize(&mut self, _size: ByteCount) -> Result<(), ImageError> {
        let feature = format!("resizing a {} image", self.info().format);
        Err(ImageError::unsupported(feature))
    }

    /// Whether the format and the parents of the image allow a size, whatever data stand where.
    ///
    /// # Errors
    /// As for [`ImageDisk::resize`], but for those that writing brings.
    fn allow_size(&self, _size: ByteCount) -> Result<(), ImageError> {
        let feature = format!("resizing a {} image", self.info().format);
        Err(ImageError::unsupported(feature))
    }
}

impl CreateOptions {
    /// A dynamic disk of `size` with 512-byte logical and 4096-byte physical sectors, the
    /// format's own block size and random identifiers.
    pub fn new(size: ByteCount) -> Self {
        Self {
            size,
            provisioning: Provisioning::Dynamic,
            block_size: None,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            ids: IdSource::Random,
            unix_time: 0,
        }
    }
}

/// Creates an image in the empty `storage` and opens it for reading and writing.
///
/// # Errors
/// `InvalidOption` or `TooLarge` where the options do not fit the format, `NoSpace`, `Io`.
pub fn create(
    storage: Box<dyn Storage>,
    format: ImageFormat,
    options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::create(storage, options),
        ImageFormat::Vhd => vhd::create(storage, options),
        ImageFormat::Raw => raw::create(storage, options),
        ImageFormat::Qcow2 => qcow2::create(storage, options),
    }
}

/// Opens an image that stands alone; `None` as the format finds out which it is.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Differencing`, `ReadOnly` where a read-only storage is
/// to be written, `Io`.
pub fn open(
    storage: Box<dyn Storage>,
    format: Option<ImageFormat>,
    access: Access,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    open_chain(storage, format, access, &DenyAll)
}

/// Opens an image with all its parents, which `gate` finds and opens. The parents are read and
/// never written; whoever changes one while this disk is open makes its bytes wrong.
///
/// # Errors
/// As for [`open`]; for the parents `ParentMissing`, `ParentDenied`, `ParentMismatch`, `ParentLoop`.
pub fn open_chain(
    storage: Box<dyn Storage>,
    format: Option<ImageFormat>,
    access: Access,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    match format_of(&*storage, format)? {
        ImageFormat::Vhdx => vhdx::open(storage, access, gate),
        ImageFormat::Vhd => vhd::open(storage, access, gate),
        ImageFormat::Raw => raw::open(storage, access),
        ImageFormat::Qcow2 => qcow2::open(storage, access, gate),
    }
}

/// Facts of an image, also of one whose data cannot be read (a differencing one).
///
/// # Errors
/// As for [`open`], without `Differencing`.
pub fn info(storage: &dyn Storage, format: Option<ImageFormat>) -> Result<ImageInfo, ImageError> {
    match format_of(storage, format)? {
        ImageFormat::Vhdx => vhdx::info(storage),
        ImageFormat::Vhd => vhd::info(storage),
        ImageFormat::Raw => raw::info(storage),
        ImageFormat::Qcow2 => qcow2::info(storage),
    }
}

/// Checks the structure of an image without changing a byte.
///
/// # Errors
/// `NotAnImage` where there is nothing to check, `Io`. Damage is not an error but a finding.
pub fn check(
    storage: &dyn Storage,
    format: Option<ImageFormat>,
) -> Result<CheckReport, ImageError> {
    match format_of(storage, format)? {
        ImageFormat::Vhdx => vhdx::check(storage),
        ImageFormat::Vhd => vhd::check(storage),
        ImageFormat::Raw => raw::check(storage),
        ImageFormat::Qcow2 => qcow2::check(storage),
    }
}

fn format_of(
    storage: &dyn Storage,
    format: Option<ImageFormat>,
) -> Result<ImageFormat, ImageError> {
    match format {
        Some(format) => Ok(format),
        None => probe(storage),
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vhdx => "vhdx",
            Self::Vhd => "vhd",
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl fmt::Display for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
        })
    }
}

/// A name that is none of an enumeration's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is none of {expected}")]
pub struct UnknownName {
    name: String,
    expected: &'static str,
}

impl FromStr for ImageFormat {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "vhdx" => Ok(Self::Vhdx),
            "vhd" => Ok(Self::Vhd),
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(UnknownName {
                name: text.to_owned(),
                expected: "vhdx, vhd, raw, qcow2",
            }),
        }
    }
}

impl FromStr for Provisioning {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "dynamic" => Ok(Self::Dynamic),
            "fixed" => Ok(Self::Fixed),
            _ => Err(UnknownName {
                name: text.to_owned(),
                expected: "dynamic, fixed",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_back_from_its_own_name() {
        for format in [
            ImageFormat::Vhdx,
            ImageFormat::Vhd,
            ImageFormat::Raw,
            ImageFormat::Qcow2,
        ] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        for provisioning in [Provisioning::Dynamic, Provisioning::Fixed] {
            assert_eq!(provisioning.to_string().parse(), Ok(provisioning));
        }
        assert!("vmdk".parse::<ImageFormat>().is_err());
    }
}
