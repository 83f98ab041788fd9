//! The file behind an image, which holds the clusters that the image does not.

use blockio::Disk;

use super::header::Backing;
use crate::chain::MAX_DEPTH;
use crate::error::ImageError;
use crate::gate::{FileIdentity, ParentGate};
use crate::image::{Access, ImageDisk, ImageFormat, open_chain};
use crate::info::{ParentInfo, ParentPath};

/// The kind of path that a qcow2 image names.
const KIND: &str = "backing_file";

/// The name of the backing file, in the common form.
pub(super) fn parent_info(backing: &Backing) -> ParentInfo {
    ParentInfo {
        linkage: None,
        linkage2: None,
        paths: vec![ParentPath {
            kind: KIND,
            path: backing.name.clone(),
        }],
    }
}

/// Opens the backing file of an image through the gate. `seen` are the image and all above it.
///
/// # Errors
/// `Unsupported` where the image does not say which format the file has (a raw one that a guest wrote
/// could pass for any) or names no file; what the gate refuses with; what opening fails with.
pub(super) fn open_backing(
    backing: &Backing,
    gate: &dyn ParentGate,
    seen: &[FileIdentity],
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let format = match backing.format.as_deref() {
        Some("raw") => ImageFormat::Raw,
        Some("qcow2") => ImageFormat::Qcow2,
        Some("vhdx") => ImageFormat::Vhdx,
        Some("vpc") => ImageFormat::Vhd,
        Some(other) => {
            let feature = format!("backing file of the format {other:?}");
            return Err(ImageError::unsupported(feature));
        }
        None => {
            return Err(ImageError::unsupported(
                "qcow2 image that does not say which format its backing file has",
            ));
        }
    };
    if seen.len() > MAX_DEPTH {
        return Err(ImageError::ChainTooDeep { limit: MAX_DEPTH });
    }
    let parent = gate.open_parent(ImageFormat::Qcow2, &parent_info(backing), seen)?;
    if format != ImageFormat::Qcow2 {
        return open_chain(
            parent.storage,
            Some(format),
            Access::ReadOnly,
            &*parent.gate,
        );
    }
    let mut seen = seen.to_vec();
    match parent.gate.identity() {
        Some(identity) if seen.contains(&identity) => {
            return Err(ImageError::ParentLoop {
                parent: parent.name,
            });
        }
        Some(identity) => seen.push(identity),
        // A gate that cannot tell files apart: the depth ends a loop.
        None => seen.push(FileIdentity::new(format!("backing file {}", seen.len()))),
    }
    super::reader::open_seen(parent.storage, &*parent.gate, &seen)
}

/// Fills `buf` from the backing disk; what lies behind its end reads zero.
pub(super) fn read_backing(disk: &dyn Disk, buf: &mut [u8], at: u64) -> blockio::Result<()> {
    let stored = disk.size().get().saturating_sub(at);
    let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(buf.len());
    let (inside, behind) = buf.split_at_mut(stored);
    behind.fill(0);
    match inside.is_empty() {
        true => Ok(()),
        false => disk.read_at(inside, blockio::ByteOffset(at)),
    }
}
