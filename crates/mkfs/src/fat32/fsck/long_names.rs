//! Long names, put together from the pieces before an entry.

use zerocopy::FromBytes;

use super::super::entry::checksum;
use super::super::format::{LAST_LONG_ENTRY, LongEntry};

/// Pieces of a name of 255 units.
const MAX_PIECES: u8 = 20;

/// The pieces of a name so far, the last ones of the name first.
pub(super) struct LongName {
    /// Number of the piece taken last; the next one is one less.
    number: u8,
    checksum: u8,
    /// The pieces, the last of the name first.
    pieces: Vec<[u16; 13]>,
}

impl LongName {
    /// Takes the next piece; false where it does not follow the one before, or begins anew too
    /// early.
    pub(super) fn take(name: &mut Option<Self>, slot: &[u8]) -> bool {
        let Ok(entry) = LongEntry::read_from_bytes(slot) else {
            return false;
        };
        let number = entry.order & !LAST_LONG_ENTRY;
        let is_last = entry.order & LAST_LONG_ENTRY != 0;
        let is_sound = (1..=MAX_PIECES).contains(&number)
            && entry.entry_type == 0
            && entry.cluster_low.get() == 0;
        let mut piece = [0; 13];
        let units = entry
            .units_1
            .iter()
            .chain(&entry.units_2)
            .chain(&entry.units_3);
        for (to, from) in piece.iter_mut().zip(units) {
            *to = from.get();
        }
        if is_last {
            let was_open = name.is_some();
            *name = Some(Self {
                number,
                checksum: entry.checksum,
                pieces: vec![piece],
            });
            return is_sound && !was_open;
        }
        let Some(open) = name else {
            return false;
        };
        let follows = open.number == number + 1 && open.checksum == entry.checksum;
        if !follows || !is_sound {
            *name = None;
            return false;
        }
        open.number = number;
        open.pieces.push(piece);
        true
    }

    /// The name, if it belongs to the short name.
    pub(super) fn finish(self, short: &[u8; 11]) -> Result<Vec<u16>, &'static str> {
        if self.number != 1 {
            return Err("lacks its first pieces");
        }
        if self.checksum != checksum(short) {
            return Err("has the checksum of another entry");
        }
        let units: Vec<u16> = self.pieces.iter().rev().flatten().copied().collect();
        let end = units
            .iter()
            .position(|unit| *unit == 0)
            .unwrap_or(units.len());
        let (name, padding) = units.split_at(end);
        if name.is_empty() || name.len() > 255 || padding.iter().skip(1).any(|unit| *unit != 0xFFFF)
        {
            return Err("does not end as it should");
        }
        Ok(name.to_vec())
    }
}
