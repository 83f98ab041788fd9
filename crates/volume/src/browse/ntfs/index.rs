//! The entries of a directory: its root and every block in use, one after another.
//!
//! The tree's pointers are not followed, so that no ring can catch us; the order of the names is
//! made anew.

use mkfs::NtTime;
use mkfs::ntfs::parse::{File, NtfsVolume, kind};

use super::super::error::{BrowseError, Result};
use super::super::{Entry, EntryKind};
use super::link::{TAG_LX_SYMLINK, TAG_MOUNT_POINT, TAG_SYMLINK};
use super::{FIRST_USER_RECORD, failed, value_bytes};

/// Name of the index over file names.
const INDEX_NAME: &str = "$I30";
/// An index root lies in its record.
const MAX_ROOT_BYTES: u64 = 64 * 1024;
/// Bytes of the bitmap of blocks: half a million blocks in each.
const MAX_BITMAP_BYTES: u64 = 4 << 20;
const MAX_BLOCK_BYTES: usize = 64 * 1024;
/// The fix-up works in units of this, whatever the sector.
const FIXUP_STRIDE: usize = 512;
/// Where the node header stands in an index root and in a block.
const ROOT_NODE: usize = 16;
const BLOCK_NODE: usize = 24;

/// Entry flags.
const ENTRY_IS_LAST: u16 = 2;
/// Bytes of an entry before its key, and of a file name before its characters.
const ENTRY_HEADER: usize = 16;
const FILE_NAME_HEADER: usize = 66;
/// A name of eight and three characters beside a long one.
const NAMESPACE_DOS: u8 = 2;

const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
const ATTRIBUTE_DIRECTORY: u32 = 0x1000_0000;
/// What [MS-FSCC] calls FILE_ATTRIBUTE_DIRECTORY.
const SHOWN_DIRECTORY: u32 = 0x10;

/// The entries of a directory, sorted by name.
pub(super) fn entries(volume: &NtfsVolume<'_>, file: &File, path: &str) -> Result<Vec<Entry>> {
    let bad = |reason: &str| BrowseError::damaged(path, reason);
    let attribute = (kind::INDEX_ROOT, INDEX_NAME);
    let root = value_bytes(volume, file, attribute, MAX_ROOT_BYTES, path)?
        .ok_or_else(|| bad("the directory has no index"))?;
    let block = u32_at(&root, 8)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| bytes.is_power_of_two())
        .filter(|bytes| (FIXUP_STRIDE..=MAX_BLOCK_BYTES).contains(bytes))
        .ok_or_else(|| bad("its index has blocks of an impossible size"))?;
    let mut found = Vec::new();
    node_entries(&root, ROOT_NODE, &mut found).ok_or_else(|| bad("its index root"))?;
    let attribute = (kind::BITMAP, INDEX_NAME);
    let bitmap = value_bytes(volume, file, attribute, MAX_BITMAP_BYTES, path)?;
    let bitmap = bitmap.unwrap_or_default();
    blocks(volume, file, path, block, &bitmap, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Adds the entries of the blocks in use.
fn blocks(
    volume: &NtfsVolume<'_>,
    file: &File,
    path: &str,
    block: usize,
    bitmap: &[u8],
    found: &mut Vec<Entry>,
) -> Result<()> {
    let bad = |reason: &str| BrowseError::damaged(path, reason);
    let blocks = file
        .value(volume, kind::INDEX_ALLOCATION, INDEX_NAME)
        .map_err(failed(path))?;
    let Some(blocks) = blocks else {
        return Ok(());
    };
    let geometry = volume.geometry();
    if blocks.size() > geometry.clusters.saturating_mul(geometry.cluster) {
        return Err(bad("its index is larger than the disk"));
    }
    let block_bytes = u64::try_from(block).unwrap_or(u64::MAX);
    let mut bytes = vec![0; block];
    for number in 0..blocks.size() / block_bytes {
        if !is_set(bitmap, number) {
            continue;
        }
        blocks
            .read_exact_at(volume, &mut bytes, number * block_bytes)
            .map_err(failed(path))?;
        fix_up(&mut bytes)
            .and_then(|()| node_entries(&bytes, BLOCK_NODE, found))
            .ok_or_else(|| bad("a block of its index"))?;
    }
    Ok(())
}

fn is_set(bitmap: &[u8], bit: u64) -> bool {
    usize::try_from(bit / 8)
        .ok()
        .and_then(|byte| bitmap.get(byte))
        .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Puts the last two bytes of each stride back, where they are what the update sequence says.
fn fix_up(block: &mut [u8]) -> Option<()> {
    if block.get(..4)? != b"INDX" {
        return None;
    }
    let array = usize::from(u16_at(block, 4)?);
    let count = usize::from(u16_at(block, 6)?);
    if count != block.len() / FIXUP_STRIDE + 1 || array + 2 * count > block.len() {
        return None;
    }
    let expected = u16_at(block, array)?;
    for stride in 1..count {
        let original = u16_at(block, array + 2 * stride)?;
        let end = stride * FIXUP_STRIDE;
        if u16_at(block, end - 2)? != expected {
            return None;
        }
        block
            .get_mut(end - 2..end)?
            .copy_from_slice(&original.to_le_bytes());
    }
    Some(())
}

/// Adds the entries of a node whose header stands at `header`; `None` where it is damaged.
fn node_entries(bytes: &[u8], header: usize, found: &mut Vec<Entry>) -> Option<()> {
    let start = usize::try_from(u32_at(bytes, header)?).ok()?;
    let end = usize::try_from(u32_at(bytes, header + 4)?).ok()?;
    let mut entries = bytes.get(header.checked_add(start)?..header.checked_add(end)?)?;
    loop {
        let len = usize::from(u16_at(entries, 8)?);
        let flags = u16_at(entries, 12)?;
        if flags & ENTRY_IS_LAST != 0 {
            return Some(());
        }
        if len < ENTRY_HEADER {
            return None;
        }
        let (entry, rest) = entries.split_at_checked(len)?;
        found.extend(file_entry(entry)?);
        entries = rest;
    }
}

/// What an index entry describes; `Some(None)` for what is not shown.
#[allow(clippy::option_option)]
fn file_entry(entry: &[u8]) -> Option<Option<Entry>> {
    const RECORD_BITS: u64 = 0x0000_FFFF_FFFF_FFFF;
    let record = u64_at(entry, 0)? & RECORD_BITS;
    let key_len = usize::from(u16_at(entry, 10)?);
    let key = entry.get(ENTRY_HEADER..ENTRY_HEADER.checked_add(key_len)?)?;
    let characters = usize::from(*key.get(64)?);
    let namespace = *key.get(65)?;
    let name = key.get(FILE_NAME_HEADER..FILE_NAME_HEADER + 2 * characters)?;
    if record < FIRST_USER_RECORD || namespace == NAMESPACE_DOS {
        return Some(None);
    }
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let flags = u32_at(key, 56)?;
    let tag = u32_at(key, 60)?;
    let is_directory = flags & ATTRIBUTE_DIRECTORY != 0;
    let kind = if flags & ATTRIBUTE_REPARSE_POINT == 0 {
        if is_directory {
            EntryKind::Directory
        } else {
            EntryKind::File
        }
    } else if matches!(tag, TAG_SYMLINK | TAG_MOUNT_POINT | TAG_LX_SYMLINK) {
        EntryKind::Symlink
    } else {
        EntryKind::Other
    };
    let shown = if is_directory { SHOWN_DIRECTORY } else { 0 };
    Some(Some(Entry {
        name: String::from_utf16_lossy(&units),
        kind,
        size: u64_at(key, 48)?,
        allocated: u64_at(key, 40)?,
        modified: NtTime::from_ticks(u64_at(key, 16)?),
        attributes: (flags & !ATTRIBUTE_DIRECTORY) | shown,
        link_target: None,
        node: Some(record),
    }))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([pair[0], pair[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at.checked_add(4)?)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at.checked_add(8)?)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_le_bytes)
}
