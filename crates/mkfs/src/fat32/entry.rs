//! Directory entries: a short one, preceded by the pieces of the long name where one is needed.

use zerocopy::little_endian::U16;
use zerocopy::{FromZeros, IntoBytes};

use super::alias::{ShortName, as_short_name};
use super::format::{ATTRIBUTE_LONG_NAME, LAST_LONG_ENTRY, LongEntry, ShortEntry};
use super::time::DosTime;
use crate::tree::{NodeName, NtTime, Times};

/// Code units in a piece of a long name.
const UNITS_PER_ENTRY: usize = 13;
const PADDING: u16 = 0xFFFF;

/// What an entry says besides its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryFields {
    pub(super) attributes: u8,
    /// 0 where nothing is allocated.
    pub(super) first_cluster: u32,
    pub(super) size: u32,
    pub(super) times: Times,
}

/// Slots that the entry of a name takes.
pub(super) fn slots(name: &NodeName) -> u32 {
    if as_short_name(name.units()).is_some() {
        return 1;
    }
    let pieces = name.units().len().div_ceil(UNITS_PER_ENTRY);
    1 + u32::try_from(pieces).unwrap_or(u32::MAX - 1)
}

/// Appends the entry of a name with its alias.
pub(super) fn append(
    directory: &mut Vec<u8>,
    name: &NodeName,
    alias: ShortName,
    fields: &EntryFields,
) {
    if as_short_name(name.units()).is_none() {
        append_long_name(directory, name.units(), checksum(&alias));
    }
    append_short(directory, alias, fields);
}

/// Appends an entry without a long name.
pub(super) fn append_short(directory: &mut Vec<u8>, name: ShortName, fields: &EntryFields) {
    let dos = |time: NtTime| DosTime::from(time);
    let created = dos(fields.times.created);
    let modified = dos(fields.times.modified);
    let [low_0, low_1, high_0, high_1] = fields.first_cluster.to_le_bytes();
    let mut entry = ShortEntry::new_zeroed();
    entry.name = name;
    entry.attributes = fields.attributes;
    entry.created_fine = created.fine;
    entry.created_time = created.time.into();
    entry.created_date = created.date.into();
    entry.accessed_date = dos(fields.times.accessed).date.into();
    entry.cluster_high = U16::from_bytes([high_0, high_1]);
    entry.modified_time = modified.time.into();
    entry.modified_date = modified.date.into();
    entry.cluster_low = U16::from_bytes([low_0, low_1]);
    entry.size = fields.size.into();
    directory.extend_from_slice(entry.as_bytes());
}

/// The pieces stand in reverse order, the last one of the name marked.
fn append_long_name(directory: &mut Vec<u8>, name: &[u16], checksum: u8) {
    let pieces = name.chunks(UNITS_PER_ENTRY);
    let last = pieces.len();
    for (index, piece) in pieces.enumerate().rev() {
        let mut units = [U16::new(PADDING); UNITS_PER_ENTRY];
        for (place, unit) in units.iter_mut().zip(piece) {
            *place = U16::new(*unit);
        }
        // The name ends with a zero, unless it fills its last piece.
        if let Some(place) = units.get_mut(piece.len()) {
            *place = U16::new(0);
        }
        let mut entry = LongEntry::new_zeroed();
        // At most 20 pieces: names have at most 255 units.
        entry.order = u8::try_from(index + 1).unwrap_or(u8::MAX);
        if index + 1 == last {
            entry.order |= LAST_LONG_ENTRY;
        }
        entry.attributes = ATTRIBUTE_LONG_NAME;
        entry.checksum = checksum;
        entry.units_1.copy_from_slice(&units[..5]);
        entry.units_2.copy_from_slice(&units[5..11]);
        entry.units_3.copy_from_slice(&units[11..]);
        directory.extend_from_slice(entry.as_bytes());
    }
}

/// Sum over a short name that ties the pieces to it ([FAT] "ChkSum").
pub(super) fn checksum(name: &ShortName) -> u8 {
    name.iter()
        .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}
