//! Which format a file has, by its signatures; of a VHDX that lost its own, by a whole header.
//!
//! A file is raw only where nothing else fits: a raw disk whose first bytes were chosen by a guest
//! can look like any format, so a caller who knows the format says it and does not probe.

use blockio::{ByteOffset, Storage};

use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::vhdx;

/// Finds out the format of a file.
///
/// # Errors
/// `Io`.
pub fn probe(storage: &dyn Storage) -> Result<ImageFormat, ImageError> {
    let len = storage.len()?.get();
    if starts_with(storage, len, 0, b"vhdxfile")? {
        return Ok(ImageFormat::Vhdx);
    }
    // Version 2 or 3: what else begins with these four bytes is an older format, or none.
    for version in [b"QFI\xfb\0\0\0\x02", b"QFI\xfb\0\0\0\x03"] {
        if starts_with(storage, len, 0, version)? {
            return Ok(ImageFormat::Qcow2);
        }
    }
    // The footer of a VHD is the last 512 bytes; by old Virtual PC, the last 511. A dynamic disk
    // has a copy at the start, which counts when the end was torn off.
    let footers = [len.checked_sub(512), len.checked_sub(511), Some(0)];
    for offset in footers.into_iter().flatten() {
        if starts_with(storage, len, offset, b"conectix")? {
            return Ok(ImageFormat::Vhd);
        }
    }
    // Read as raw, such an image would show its own tables as the disk.
    match vhdx::has_a_header(storage)? {
        true => Ok(ImageFormat::Vhdx),
        false => Ok(ImageFormat::Raw),
    }
}

fn starts_with(
    storage: &dyn Storage,
    len: u64,
    offset: u64,
    signature: &[u8; 8],
) -> Result<bool, ImageError> {
    if offset.checked_add(8).is_none_or(|end| end > len) {
        return Ok(false);
    }
    let mut found = [0; 8];
    storage.read_at(&mut found, ByteOffset(offset))?;
    Ok(found == *signature)
}

#[cfg(test)]
mod tests {
    use blockio::MemoryStorage;

    use super::*;

    fn probe_bytes(bytes: Vec<u8>) -> ImageFormat {
        probe(&MemoryStorage::from_bytes(bytes)).unwrap()
    }

    fn with_signature(len: usize, offset: usize, signature: &[u8; 8]) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[offset..offset + 8].copy_from_slice(signature);
        bytes
    }

    #[test]
    fn each_format_is_known_by_its_signature() {
        let vhdx = with_signature(4096, 0, b"vhdxfile");
        assert_eq!(probe_bytes(vhdx), ImageFormat::Vhdx);
        let fixed = with_signature(4096, 4096 - 512, b"conectix");
        assert_eq!(probe_bytes(fixed), ImageFormat::Vhd);
        let old = with_signature(4095, 4095 - 511, b"conectix");
        assert_eq!(probe_bytes(old), ImageFormat::Vhd);
        let torn = with_signature(4096, 0, b"conectix");
        assert_eq!(probe_bytes(torn), ImageFormat::Vhd);
    }

    #[test]
    fn what_matches_nothing_is_raw_also_when_it_is_tiny() {
        for len in [0, 1, 7, 8, 511, 512, 4096] {
            assert_eq!(probe_bytes(vec![0; len]), ImageFormat::Raw);
        }
    }
}
