//! The footer: finding the one that counts, reading it and making one.
//!
//! The footer at the end counts. Where that one is missing or its checksum is wrong (the file was
//! cut, or a writer died while the file grew), the copy at 0 of a dynamic or differencing disk
//! stands in for it. The copy never overrules a good footer at the end: the first sector of a
//! fixed disk belongs to the guest, who may write there what it likes.

use blockio::{ByteCount, ByteOffset, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::format::{
    EPOCH_UNIX, FEATURE_RESERVED, FOOTER_COOKIE, FOOTER_LEN, MAX_DISK, NO_OFFSET, OLD_FOOTER_LEN,
    RawFooter, SECTOR, TYPE_DIFFERENCING, TYPE_DYNAMIC, TYPE_FIXED, VERSION, checksum,
};
use super::geometry::Geometry;
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::ImageKind;

/// The rule that errors name.
pub(crate) const RULE: &str = "VHD hard disk footer";

/// What a footer says.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    /// As it stands in the file, to be written again where the file grows.
    pub(crate) bytes: [u8; 512],
    pub(crate) kind: ImageKind,
    /// Size of the disk: `Current Size`, or that of the geometry (see [`disk_size`]).
    pub(crate) size: ByteCount,
    /// `Current Size`, which the block allocation table is laid out for.
    pub(crate) current_size: ByteCount,
    /// Where the dynamic disk header stands; meaningless in a fixed disk.
    pub(crate) header_offset: ByteOffset,
    pub(crate) unique_id: Uuid,
    pub(crate) creator: String,
    pub(crate) saved_state: bool,
    pub(crate) features: u32,
    /// Bytes that the geometry can address.
    pub(crate) by_geometry: u64,
}

/// Where the footer that counts was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The last 512 bytes.
    End,
    /// The last 511 bytes, by Virtual PC before 2004.
    OldEnd,
    /// The copy at 0; the end of the file holds none that is good.
    Start,
}

/// The footer that counts.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) footer: Footer,
    pub(crate) place: Place,
    /// First byte after what may hold data: where the footer at the end begins, or the end.
    pub(crate) data_limit: u64,
    /// Length of the file.
    pub(crate) file_length: u64,
}

/// Finds the footer that counts.
///
/// # Errors
/// `NotAnImage` where there is none, `Damaged` where none is good, `Unsupported`, `Io`.
pub(crate) fn find(storage: &dyn Storage) -> Result<Found, ImageError> {
    let file_length = storage.len()?.get();
    let mut damage = None;
    for (place, len) in [(Place::End, FOOTER_LEN), (Place::OldEnd, OLD_FOOTER_LEN)] {
        let Some(at) = file_length.checked_sub(len) else {
            continue;
        };
        let bytes = read(storage, at, len)?;
        match authentic(&bytes, ByteOffset(at)) {
            Ok(raw) => {
                return Ok(Found {
                    footer: interpret(&raw, ByteOffset(at))?,
                    place,
                    data_limit: at,
                    file_length,
                });
            }
            Err(error) => keep_worse(&mut damage, error),
        }
    }
    if file_length >= FOOTER_LEN {
        let bytes = read(storage, 0, FOOTER_LEN)?;
        match authentic(&bytes, ByteOffset(0)) {
            Ok(raw) if raw.disk_type.get() != TYPE_FIXED => {
                return Ok(Found {
                    footer: interpret(&raw, ByteOffset(0))?,
                    place: Place::Start,
                    data_limit: file_length,
                    file_length,
                });
            }
            Ok(_) => {}
            Err(error) => keep_worse(&mut damage, error),
        }
    }
    Err(damage.unwrap_or(NOT_A_VHD))
}

const NOT_A_VHD: ImageError = ImageError::NotAnImage {
    format: ImageFormat::Vhd,
    reason: "no footer at its end",
};

/// Keeps the error that says most: a footer that is there but wrong, before none at all.
fn keep_worse(kept: &mut Option<ImageError>, error: ImageError) {
    if kept.is_none() || matches!(kept, Some(ImageError::NotAnImage { .. })) {
        *kept = Some(error);
    }
}

/// The footer of `len` bytes at `at`; a byte that an old one lacks is 0.
pub(crate) fn read(storage: &dyn Storage, at: u64, len: u64) -> Result<[u8; 512], ImageError> {
    let mut bytes = [0; 512];
    let filled = usize::try_from(len).unwrap_or(512).min(512);
    storage.read_at(&mut bytes[..filled], ByteOffset(at))?;
    Ok(bytes)
}

/// Whether the bytes are a footer at all: cookie and checksum.
pub(super) fn authentic(bytes: &[u8; 512], at: ByteOffset) -> Result<RawFooter, ImageError> {
    let Ok(raw) = RawFooter::read_from_bytes(bytes) else {
        return Err(NOT_A_VHD);
    };
    if raw.cookie != FOOTER_COOKIE {
        return Err(NOT_A_VHD);
    }
    let computed = checksum(bytes, raw.checksum.to_bytes());
    if computed != raw.checksum.get() {
        return Err(ImageError::damaged_at(
            RULE,
            at,
            format!(
                "footer checksum is {:#010x}, computed {computed:#010x}",
                raw.checksum.get()
            ),
        ));
    }
    Ok(raw)
}

pub(super) fn interpret(raw: &RawFooter, at: ByteOffset) -> Result<Footer, ImageError> {
    let damaged = |message: String| ImageError::damaged_at(RULE, at, message);
    if raw.file_format_version.get() >> 16 != VERSION >> 16 {
        return Err(ImageError::unsupported(format!(
            "VHD file format version {:#010x}",
            raw.file_format_version.get()
        )));
    }
    let kind = match raw.disk_type.get() {
        TYPE_FIXED => ImageKind::Fixed,
        TYPE_DYNAMIC => ImageKind::Dynamic,
        TYPE_DIFFERENCING => ImageKind::Differencing,
        other => return Err(ImageError::unsupported(format!("VHD disk type {other}"))),
    };
    let current = raw.current_size.get();
    if current == 0 || !current.is_multiple_of(SECTOR) {
        return Err(damaged(format!(
            "current size of {current} bytes is not a whole number of sectors above zero"
        )));
    }
    let geometry = Geometry {
        cylinders: raw.cylinders.get(),
        heads: raw.heads,
        sectors_per_track: raw.sectors_per_track,
    };
    let size = disk_size(raw.creator_application, current, geometry);
    if size.max(current) > MAX_DISK {
        return Err(damaged(format!(
            "disk of {} bytes is larger than 2040 GiB",
            size.max(current)
        )));
    }
    let header_offset = raw.data_offset.get();
    if kind != ImageKind::Fixed && (header_offset == NO_OFFSET || header_offset < FOOTER_LEN) {
        return Err(damaged(format!(
            "data offset {header_offset:#x} leads to no dynamic disk header"
        )));
    }
    let mut bytes = [0; 512];
    bytes.copy_from_slice(raw.as_bytes());
    Ok(Footer {
        bytes,
        kind,
        size: ByteCount(size),
        current_size: ByteCount(current),
        header_offset: ByteOffset(header_offset),
        unique_id: Uuid::from_bytes(raw.unique_id),
        creator: creator(raw),
        saved_state: raw.saved_state != 0,
        features: raw.features.get(),
        by_geometry: geometry.sectors() * SECTOR,
    })
}

/// Size of the disk by who made the image, the rule of qemu-img 10: Virtual PC (`vpc `) and old
/// QEMU (`qemu`) go by the geometry, all others (`win `, `qem2`, `d2v `, `tap\0`, ...) by `Current
/// Size`; so does the largest geometry, which says nothing, and an empty one.
fn disk_size(creator: [u8; 4], current_size: u64, geometry: Geometry) -> u64 {
    let by_geometry = geometry.sectors() * SECTOR;
    let goes_by_geometry = matches!(&creator, b"vpc " | b"qemu");
    if goes_by_geometry && by_geometry != 0 && !geometry.is_largest() {
        by_geometry
    } else {
        current_size
    }
}

fn creator(raw: &RawFooter) -> String {
    let text = |bytes: [u8; 4]| {
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text: String = bytes
            .iter()
            .filter(|b| printable(b))
            .map(|b| char::from(*b))
            .collect();
        text.trim().to_owned()
    };
    let version = raw.creator_version.get();
    format!(
        "{} {}.{} ({})",
        text(raw.creator_application),
        version >> 16,
        version & 0xffff,
        text(raw.creator_host_os)
    )
}

impl Footer {
    /// The bytes of this footer for a disk of another size. They name Windows as the creator, since
    /// for some others readers would go by the geometry, which is rounded.
    pub(crate) fn resized(&self, size: ByteCount) -> [u8; 512] {
        let geometry = Geometry::of_sectors(size.get() / SECTOR);
        let mut bytes = self.bytes;
        if let Ok(raw) = RawFooter::mut_from_bytes(&mut bytes) {
            raw.creator_application = *b"win ";
            raw.current_size = size.get().into();
            raw.cylinders = geometry.cylinders.into();
            raw.heads = geometry.heads;
            raw.sectors_per_track = geometry.sectors_per_track;
            raw.checksum = 0.into();
            raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
        }
        bytes
    }
}

/// What a new footer is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFooter {
    pub(crate) size: ByteCount,
    pub(crate) kind: ImageKind,
    pub(crate) unique_id: Uuid,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) unix_time: u64,
}

impl NewFooter {
    /// The bytes of the footer, as Windows 10 would write them: the creator `win ` makes readers
    /// go by `Current Size`.
    pub(crate) fn to_bytes(self) -> [u8; 512] {
        let geometry = Geometry::of_sectors(self.size.get() / SECTOR);
        let (disk_type, data_offset) = match self.kind {
            ImageKind::Fixed => (TYPE_FIXED, NO_OFFSET),
            ImageKind::Dynamic => (TYPE_DYNAMIC, FOOTER_LEN),
            ImageKind::Differencing => (TYPE_DIFFERENCING, FOOTER_LEN),
        };
        let seconds = self.unix_time.saturating_sub(EPOCH_UNIX);
        let mut raw = RawFooter {
            cookie: FOOTER_COOKIE,
            features: FEATURE_RESERVED.into(),
            file_format_version: VERSION.into(),
            data_offset: data_offset.into(),
            time_stamp: u32::try_from(seconds).unwrap_or(u32::MAX).into(),
            creator_application: *b"win ",
            creator_version: 0x000a_0000.into(),
            creator_host_os: *b"Wi2k",
            original_size: self.size.get().into(),
            current_size: self.size.get().into(),
            cylinders: geometry.cylinders.into(),
            heads: geometry.heads,
            sectors_per_track: geometry.sectors_per_track,
            disk_type: disk_type.into(),
            checksum: 0.into(),
            unique_id: self.unique_id.into_bytes(),
            saved_state: 0,
            reserved: [0; 427],
        };
        raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
        let mut bytes = [0; 512];
        bytes.copy_from_slice(raw.as_bytes());
        bytes
    }
}
