//! The header: what the image is, and whether it can be read here.
//!
//! Invariant of a decoded [`Header`]: the table of the first level has an entry for all of the disk
//! and lies within the file, so that memory for it is bounded by the length of the file.

use blockio::{ByteOffset, Storage};
use zerocopy::FromBytes;

use super::format::{
    BACKING_FORMAT, CLUSTER_BITS, COMPRESSION, CORRUPT, DIRTY, EXTENDED_L2, EXTERNAL_DATA, MAGIC,
    MAX_BACKING_NAME, MAX_DISK, MAX_L1_BYTES, RawHeader, V2_LEN, V3_LEN,
};
use crate::bounds::to_index;
use crate::error::ImageError;
use crate::image::ImageFormat;

/// The rule that errors name.
pub(super) const RULE: &str = "qcow2 header";
/// Most bytes of header extensions that are looked at.
const MAX_EXTENSIONS: u64 = 64 * 1024;

/// How clusters are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// What a header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    /// Entries of the table that the disk needs.
    pub(super) l1_entries: u64,
    pub(super) compression: Compression,
    pub(super) dirty: bool,
    pub(super) corrupt: bool,
    pub(super) snapshots: u32,
    pub(super) backing: Option<Backing>,
    /// Bytes of the file.
    pub(super) file_length: u64,
}

/// What an image says of the file behind it: advice from an untrusted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backing {
    pub(super) name: String,
    /// The format that the image says it has.
    pub(super) format: Option<String>,
}

impl Header {
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }
}

/// Reads and checks the header.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Io`.
pub(super) fn read_header(storage: &dyn Storage) -> Result<Header, ImageError> {
    let file_length = storage.len()?.get();
    let raw = read_raw(storage, file_length)?;
    let version = raw.version.get();
    let damaged = |message: String| ImageError::damaged_at(RULE, ByteOffset(0), message);
    if !(2..=3).contains(&version) {
        return Err(ImageError::unsupported(format!("qcow2 version {version}")));
    }
    let cluster_bits = raw.cluster_bits.get();
    if !CLUSTER_BITS.contains(&cluster_bits) {
        return Err(damaged(format!("clusters of 2^{cluster_bits} bytes")));
    }
    let compression = check_features(storage, &raw, file_length)?;
    let size = raw.size.get();
    if size == 0 || size > MAX_DISK {
        return Err(damaged(format!("disk of {size} bytes")));
    }
    // QEMU lets a disk end within a sector; a disk here does not.
    let size = size.next_multiple_of(512);
    let cluster = 1_u64 << cluster_bits;
    let l1_entries = size.div_ceil(cluster).div_ceil(cluster / 8);
    let (l1_size, l1_offset) = (u64::from(raw.l1_size.get()), raw.l1_offset.get());
    let end = l1_offset.checked_add(l1_entries * 8);
    if l1_size < l1_entries
        || l1_entries * 8 > MAX_L1_BYTES
        || !l1_offset.is_multiple_of(cluster)
        || l1_offset == 0
        || end.is_none_or(|end| end > file_length)
    {
        return Err(damaged(format!(
            "table of {l1_size} entries at {l1_offset:#x} is too small, out of the file or not on a \
             cluster"
        )));
    }
    Ok(Header {
        version,
        cluster_bits,
        size,
        l1_offset,
        l1_entries,
        compression,
        dirty: version >= 3 && raw.incompatible.get() & DIRTY != 0,
        corrupt: version >= 3 && raw.incompatible.get() & CORRUPT != 0,
        snapshots: raw.snapshots.get(),
        backing: read_backing(storage, &raw, file_length)?,
        file_length,
    })
}

/// The bytes of the header; those that version 2 lacks are zero.
fn read_raw(storage: &dyn Storage, file_length: u64) -> Result<RawHeader, ImageError> {
    let not_an_image = |reason| ImageError::NotAnImage {
        format: ImageFormat::Qcow2,
        reason,
    };
    let mut bytes = [0; size_of::<RawHeader>()];
    if file_length < V2_LEN {
        return Err(not_an_image("the file is too short"));
    }
    let stored = to_index(file_length.min(V3_LEN)).unwrap_or(0);
    storage.read_at(&mut bytes[..stored], ByteOffset(0))?;
    let mut raw =
        RawHeader::read_from_bytes(&bytes).map_err(|_| not_an_image("the file is too short"))?;
    if raw.magic != MAGIC {
        return Err(not_an_image("the file does not begin with \"QFI\""));
    }
    if raw.version.get() == 2 {
        raw.incompatible = 0.into();
        raw.header_length = 72.into();
    }
    Ok(raw)
}

fn check_features(
    storage: &dyn Storage,
    raw: &RawHeader,
    file_length: u64,
) -> Result<Compression, ImageError> {
    match raw.crypt_method.get() {
        0 => {}
        1 => return Err(ImageError::unsupported("qcow2 image encrypted with AES")),
        2 => return Err(ImageError::unsupported("qcow2 image encrypted with LUKS")),
        other => {
            let feature = format!("qcow2 image encrypted by method {other}");
            return Err(ImageError::unsupported(feature));
        }
    }
    let features = raw.incompatible.get();
    for (bit, name) in [
        (EXTERNAL_DATA, "qcow2 image whose data are in another file"),
        (EXTENDED_L2, "qcow2 image with subclusters"),
    ] {
        if features & bit != 0 {
            return Err(ImageError::unsupported(name));
        }
    }
    let known = DIRTY | CORRUPT | COMPRESSION;
    if features & !known != 0 {
        let unknown = features & !known;
        let feature = format!("qcow2 image with unknown features {unknown:#x}");
        return Err(ImageError::unsupported(feature));
    }
    if features & COMPRESSION == 0 {
        return Ok(Compression::Deflate);
    }
    let mut kind = [0];
    if u64::from(raw.header_length.get()) <= V3_LEN || file_length <= V3_LEN {
        return Err(ImageError::damaged(RULE, "header has no compression type"));
    }
    storage.read_at(&mut kind, ByteOffset(V3_LEN))?;
    match kind[0] {
        0 => Ok(Compression::Deflate),
        1 => Ok(Compression::Zstd),
        other => Err(ImageError::unsupported(format!(
            "qcow2 image with compression type {other}"
        ))),
    }
}

fn read_backing(
    storage: &dyn Storage,
    raw: &RawHeader,
    file_length: u64,
) -> Result<Option<Backing>, ImageError> {
    let (at, length) = (raw.backing_offset.get(), raw.backing_size.get());
    if at == 0 {
        return Ok(None);
    }
    let end = at.checked_add(u64::from(length));
    if length > MAX_BACKING_NAME || end.is_none_or(|end| end > file_length) {
        let message = format!("name of {length} bytes of the backing file lies at {at:#x}");
        return Err(ImageError::damaged(RULE, message));
    }
    let mut name = vec![0; usize::try_from(length).unwrap_or(0)];
    storage.read_at(&mut name, ByteOffset(at))?;
    Ok(Some(Backing {
        name: String::from_utf8_lossy(&name).into_owned(),
        format: read_backing_format(storage, raw, file_length)?,
    }))
}

/// Looks through the header extensions, which stand between the header and the end of its cluster.
fn read_backing_format(
    storage: &dyn Storage,
    raw: &RawHeader,
    file_length: u64,
) -> Result<Option<String>, ImageError> {
    let mut at = u64::from(raw.header_length.get());
    let end = file_length
        .min(MAX_EXTENSIONS)
        .min(1 << raw.cluster_bits.get());
    while at.saturating_add(8) <= end {
        let mut head = [0; 8];
        storage.read_at(&mut head, ByteOffset(at))?;
        let (kind, length) = head.split_at(4);
        let number = |bytes: &[u8]| {
            let bytes = bytes.first_chunk().copied().unwrap_or_default();
            u32::from_be_bytes(bytes)
        };
        let (kind, length) = (number(kind), u64::from(number(length)));
        if kind == 0 {
            break;
        }
        if kind == BACKING_FORMAT && length <= 16 && at + 8 + length <= end {
            let mut name = vec![0; to_index(length).unwrap_or(0)];
            storage.read_at(&mut name, ByteOffset(at + 8))?;
            return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
        }
        at = at
            .saturating_add(8)
            .saturating_add(length.next_multiple_of(8));
    }
    Ok(None)
}
