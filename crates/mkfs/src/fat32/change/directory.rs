//! A directory in memory: its slots, and its entries by name.

use std::collections::HashMap;

use zerocopy::FromBytes;

use crate::fat32::alias::{Aliases, ShortName};
use crate::fat32::format::{
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, ATTRIBUTE_LONG_NAME, LAST_LONG_ENTRY, LongEntry,
    SLOT_BYTES, ShortEntry,
};
use crate::fat32::upcase::upcase;

const FREE: u8 = 0xE5;
/// Stands for 0xE5 as the first byte of a name.
const ESCAPED: u8 = 0x05;

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: Vec<u16>,
    /// Slots of the long name and the short one.
    pub slots: std::ops::Range<usize>,
    /// The short entry as it stands.
    pub short: [u8; SLOT_BYTES],
}

/// A directory.
pub(super) struct Directory {
    pub chain: Vec<u32>,
    pub bytes: Vec<u8>,
    /// By the slot of the short entry.
    pub entries: HashMap<usize, Entry>,
    /// Upper-cased long and short names.
    by_name: HashMap<Vec<u16>, usize>,
    pub aliases: Aliases,
    /// The slot of the label, in the root.
    pub label: Option<usize>,
    /// The first slot that was never used.
    pub end: usize,
    /// No free slot stands before this one.
    first_free: usize,
}

impl Entry {
    fn fields(&self) -> Option<&ShortEntry> {
        ShortEntry::ref_from_bytes(&self.short).ok()
    }

    pub(super) fn attributes(&self) -> u8 {
        self.short[11]
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes() & ATTRIBUTE_DIRECTORY != 0
    }

    /// 0 where nothing is allocated.
    pub(super) fn first_cluster(&self) -> u32 {
        self.fields().map_or(0, |fields| {
            u32::from(fields.cluster_high.get() & 0x0FFF) << 16
                | u32::from(fields.cluster_low.get())
        })
    }

    fn alias(&self) -> ShortName {
        self.fields().map_or([b' '; 11], |fields| fields.name)
    }
}

pub(super) fn folded(name: &[u16]) -> Vec<u16> {
    name.iter().map(|unit| upcase(*unit)).collect()
}

/// The name that a short entry shows.
fn short_name(name: &ShortName, case: u8) -> Vec<u16> {
    const LOWER_STEM: u8 = 0x08;
    const LOWER_EXTENSION: u8 = 0x10;
    let part = |bytes: &[u8], is_lower: bool| -> Vec<u16> {
        let text = bytes.trim_ascii_end().iter();
        text.map(|byte| match byte {
            0x80.. => 0xFFFD,
            byte if is_lower => u16::from(byte.to_ascii_lowercase()),
            byte => u16::from(*byte),
        })
        .collect()
    };
    let mut bytes = *name;
    if bytes[0] == ESCAPED {
        bytes[0] = FREE;
    }
    let mut shown = part(&bytes[..8], case & LOWER_STEM != 0);
    let extension = part(&bytes[8..], case & LOWER_EXTENSION != 0);
    if !extension.is_empty() {
        shown.push(u16::from(b'.'));
        shown.extend(extension);
    }
    shown
}

/// A long name that is being gathered, from its end.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    next: u8,
    checksum: u8,
    start: usize,
}

impl LongName {
    fn take(&mut self, slot: usize, entry: &LongEntry) {
        let order = entry.order & !LAST_LONG_ENTRY;
        if entry.order & LAST_LONG_ENTRY != 0 {
            *self = Self {
                units: Vec::new(),
                next: order,
                checksum: entry.checksum,
                start: slot,
            };
        }
        if order == 0 || order != self.next || entry.checksum != self.checksum {
            *self = Self::default();
            return;
        }
        self.next -= 1;
        let units = entry
            .units_1
            .iter()
            .chain(&entry.units_2)
            .chain(&entry.units_3);
        let mut units: Vec<u16> = units.map(|unit| unit.get()).collect();
        units.append(&mut self.units);
        self.units = units;
    }

    /// The name and its first slot, where it belongs to the short entry that follows.
    fn finish(self, alias: &ShortName) -> Option<(Vec<u16>, usize)> {
        let is_whole = !self.units.is_empty()
            && self.next == 0
            && self.checksum == crate::fat32::entry::checksum(alias);
        let end = self
            .units
            .iter()
            .position(|unit| *unit == 0)
            .unwrap_or(self.units.len());
        is_whole.then(|| (self.units[..end].to_vec(), self.start))
    }
}

impl Directory {
    /// The directory whose slots are given.
    pub(super) fn parse(chain: Vec<u32>, mut bytes: Vec<u8>) -> Self {
        let mut directory = Self {
            chain,
            bytes: Vec::new(),
            entries: HashMap::new(),
            by_name: HashMap::new(),
            aliases: Aliases::default(),
            label: None,
            end: bytes.len() / SLOT_BYTES,
            first_free: 0,
        };
        let mut long = LongName::default();
        for (slot, slot_bytes) in bytes.chunks_exact(SLOT_BYTES).enumerate() {
            match (slot_bytes[0], slot_bytes[11] & 0x3F) {
                (0, _) => {
                    directory.end = slot;
                    break;
                }
                (FREE, _) => long = LongName::default(),
                (_, ATTRIBUTE_LONG_NAME) => match LongEntry::ref_from_bytes(slot_bytes) {
                    Ok(piece) => long.take(slot, piece),
                    Err(_) => long = LongName::default(),
                },
                (_, attributes) if attributes & ATTRIBUTE_LABEL != 0 => {
                    directory.label = Some(slot);
                    long = LongName::default();
                }
                _ => {
                    let mut short = [0; SLOT_BYTES];
                    short.copy_from_slice(slot_bytes);
                    let alias = short.first_chunk().copied().unwrap_or([b' '; 11]);
                    let (name, start) = std::mem::take(&mut long)
                        .finish(&alias)
                        .unwrap_or_else(|| (short_name(&alias, short[12]), slot));
                    if name != [u16::from(b'.')] && name != [u16::from(b'.'); 2] {
                        directory.admit(Entry {
                            name,
                            slots: start..slot + 1,
                            short,
                        });
                    }
                }
            }
        }
        // What stands behind the end means nothing, and shall not begin to.
        if let Some(rest) = bytes.get_mut(directory.end * SLOT_BYTES..) {
            rest.fill(0);
        }
        directory.bytes = bytes;
        directory
    }

    /// Knows an entry whose slots are in place.
    pub(super) fn admit(&mut self, entry: Entry) {
        let slot = entry.slots.end - 1;
        let alias = entry.alias();
        self.aliases.take(alias);
        self.by_name.insert(folded(&short_name(&alias, 0)), slot);
        self.by_name.insert(folded(&entry.name), slot);
        self.entries.insert(slot, entry);
    }

    /// Forgets an entry and marks its slots as free.
    pub(super) fn forget(&mut self, slot: usize) -> Option<Entry> {
        let entry = self.entries.remove(&slot)?;
        for name in [folded(&entry.name), folded(&short_name(&entry.alias(), 0))] {
            if self.by_name.get(&name) == Some(&slot) {
                self.by_name.remove(&name);
            }
        }
        self.aliases.release(entry.alias());
        for slot in entry.slots.clone() {
            if let Some(first) = self.bytes.get_mut(slot * SLOT_BYTES) {
                *first = FREE;
            }
        }
        self.first_free = self.first_free.min(entry.slots.start);
        Some(entry)
    }

    /// Knows that a slot is free now.
    pub(super) fn note_free(&mut self, slot: usize) {
        self.first_free = self.first_free.min(slot);
    }

    pub(super) fn find(&self, name: &[u16]) -> Option<&Entry> {
        let slot = self.by_name.get(&folded(name))?;
        self.entries.get(slot)
    }

    /// The first of `count` free slots in a row; they may lie past the last cluster.
    pub(super) fn room(&mut self, count: usize) -> usize {
        let mut start = self.first_free;
        let mut is_first = true;
        let mut length = 0;
        let slots = self.bytes.len() / SLOT_BYTES;
        for slot in self.first_free..slots {
            let first = self.bytes.get(slot * SLOT_BYTES).copied().unwrap_or(0);
            if slot < self.end && first != FREE {
                length = 0;
                continue;
            }
            if std::mem::take(&mut is_first) {
                self.first_free = slot;
            }
            if length == 0 {
                start = slot;
            }
            length += 1;
            if length == count {
                return start;
            }
        }
        if length == 0 { slots } else { start }
    }
}
