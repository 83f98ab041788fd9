//! Storing a file: which attribute stands in which record.
//!
//! One record where all fits; then file data leaves the record, as Windows does it; then extension
//! records and the attribute list that names them.

use super::bytes::wide;
use super::record::{Attribute, Record, Stream, Value, kind, reference};
use super::table::MFT;
use super::volume::{File, Volume};
use crate::change::ChangeError;
use crate::ntfs::narrow::{align8, to_u8, to_u16};
use crate::ntfs::runs::{encode as encode_runs, total};

/// Bytes of an attribute list that Windows accepts.
const MAX_LIST: usize = 256 * 1024;
/// Records that describe the table besides its first one.
const RESERVED_RECORDS: usize = 8;
/// The least that the first part of the table takes: its head and some runs.
const LEAST_FIRST_PART: usize = 0x80;
/// Bytes of an entry of the list before the name.
const LIST_ENTRY: usize = 0x1A;

/// An extension record that is being filled.
struct Bin {
    left: usize,
    attributes: Vec<Attribute>,
}

impl Volume<'_> {
    /// Writes the records of a file.
    pub(super) fn store(&mut self, number: u64) -> Result<(), ChangeError> {
        if number == MFT {
            return self.store_table();
        }
        let mut file = self.take_file(number)?;
        let stored = self.store_taken(&mut file);
        self.put_file(file);
        stored
    }

    /// Moves values of a file out of its record where the record does not hold them all.
    pub(super) fn make_room(&mut self, number: u64) -> Result<(), ChangeError> {
        let room = Record::room(self.layout.record);
        let mut file = self.take_file(number)?;
        let is_full = file.encoded_length() > room;
        let moved = self.move_values_out(&mut file, room);
        file.is_listing_stale |= is_full;
        self.put_file(file);
        moved
    }

    /// Writes the record of the table, through which all records are found while that is done.
    fn store_table(&mut self) -> Result<(), ChangeError> {
        let room = Record::room(self.layout.record);
        let mut file = self.file(MFT)?.clone();
        file.attributes
            .sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        file.is_dirty = false;
        if file.list.is_none() && file.encoded_length() <= room {
            let attributes = file.attributes.clone();
            self.write_base(&file, attributes)?;
        } else {
            if let Some(Value::Stream(list)) = file.list.take() {
                self.space.give(&self.disk, &list.runs)?;
            }
            self.store_split(&mut file, room)?;
        }
        self.put_file(file);
        Ok(())
    }

    /// Refuses a table whose pieces the records kept for its description cannot tell.
    pub(super) fn check_table_pieces(&self) -> Result<(), ChangeError> {
        let room = Record::room(self.layout.record);
        let file = self.file(MFT)?;
        if file.list.is_none() && file.encoded_length() <= room {
            return Ok(());
        }
        let parts = self
            .pieces_of(file, room)?
            .iter()
            .filter(|piece| piece.kind == kind::DATA)
            .count();
        // The bits of its records would change while it is stored.
        let has_bits = file
            .attribute(kind::BITMAP, &[])?
            .resident_value()
            .is_some();
        if parts > RESERVED_RECORDS || has_bits {
            return Err(ChangeError::Unsupported(
                "a master file table in so many pieces",
            ));
        }
        Ok(())
    }

    /// The attributes of a file, streams cut so that each part fits a record. The first part of the
    /// table fits its first record beside all else: through it the other records are found.
    fn pieces_of(&self, file: &File, room: usize) -> Result<Vec<Attribute>, ChangeError> {
        if file.number != MFT {
            return pieces(&file.attributes, room, room);
        }
        let others: usize = file
            .attributes
            .iter()
            .filter(|a| a.kind != kind::DATA)
            .map(Attribute::encoded_length)
            .sum();
        let list = 24 + (RESERVED_RECORDS + 4) * align8(LIST_ENTRY);
        let first = room
            .checked_sub(others + list)
            .filter(|first| *first >= LEAST_FIRST_PART)
            .ok_or(ChangeError::Unsupported("a file record of this length"))?;
        pieces(&file.attributes, room, first)
    }

    fn store_taken(&mut self, file: &mut File) -> Result<(), ChangeError> {
        let room = Record::room(self.layout.record);
        file.attributes
            .sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        if let Some(Value::Stream(list)) = file.list.take() {
            self.space.give(&self.disk, &list.runs)?;
        }
        self.move_values_out(file, room)?;
        file.is_dirty = false;
        if file.encoded_length() <= room {
            for (extension, _) in std::mem::take(&mut file.extensions) {
                self.give_record(extension)?;
            }
            return self.write_base(file, file.attributes.clone());
        }
        self.store_split(file, room)
    }

    /// Moves values out of the record, the longest first, until the rest fits or none is left.
    fn move_values_out(&mut self, file: &mut File, room: usize) -> Result<(), ChangeError> {
        // Ends: each turn moves one.
        while file.encoded_length() > room {
            let longest = file
                .attributes
                .iter_mut()
                .filter(|a| {
                    matches!(
                        a.kind,
                        kind::DATA
                            | kind::BITMAP
                            | kind::REPARSE_POINT
                            | kind::LOGGED_STREAM
                            | kind::SECURITY_DESCRIPTOR
                            | 0xE0
                    )
                })
                .filter(|a| a.resident_value().is_some_and(|value| value.len() > 64))
                .max_by_key(|a| a.encoded_length());
            match longest {
                Some(attribute) => self.move_to_clusters(attribute)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn write_base(
        &mut self,
        file: &File,
        mut attributes: Vec<Attribute>,
    ) -> Result<(), ChangeError> {
        number_instances(&mut attributes);
        let record = Record {
            log_sequence: file.log_sequence,
            sequence: file.sequence,
            links: file.links,
            flags: file.flags,
            in_use: true,
            base: 0,
            attributes,
        };
        self.write_record(file.number, &record)
    }

    fn store_split(&mut self, file: &mut File, room: usize) -> Result<(), ChangeError> {
        let pieces = self.pieces_of(file, room)?;
        let list_length: usize = pieces.iter().map(list_entry_length).sum();
        if list_length > MAX_LIST {
            return Err(ChangeError::Unsupported("a file in so many pieces"));
        }
        let fixed: usize = pieces
            .iter()
            .filter(|a| matches!(a.kind, kind::STANDARD_INFORMATION | kind::INDEX_ROOT))
            .map(Attribute::encoded_length)
            .sum();
        // The list stands in the record where it leaves room; its content follows below.
        let resident = 24 + align8(list_length);
        let mut list = if fixed + resident <= room {
            Attribute::resident(kind::ATTRIBUTE_LIST, &[], vec![0; list_length])
        } else {
            let stream = self.structure_stream(&vec![0; list_length])?;
            Attribute::stream(kind::ATTRIBUTE_LIST, &[], stream)
        };
        let mut left = room
            .checked_sub(fixed + list.encoded_length())
            .ok_or(ChangeError::Unsupported("a file record of this length"))?;
        let mut base = Vec::new();
        let mut bins: Vec<Bin> = Vec::new();
        for piece in pieces {
            let length = piece.encoded_length();
            let is_fixed = matches!(piece.kind, kind::STANDARD_INFORMATION | kind::INDEX_ROOT);
            // Parts of a stream stand in their order: none here behind one that stands elsewhere.
            let is_behind = bins.last().is_some_and(|bin| {
                let last = bin.attributes.last();
                last.is_some_and(|last| last.kind == piece.kind && last.name == piece.name)
            });
            if is_fixed || length <= left && !is_behind {
                left -= if is_fixed { 0 } else { length };
                base.push(piece);
                continue;
            }
            match bins.last_mut().filter(|bin| length <= bin.left) {
                Some(bin) => {
                    bin.left -= length;
                    bin.attributes.push(piece);
                }
                None => bins.push(Bin {
                    left: room - length,
                    attributes: vec![piece],
                }),
            }
        }
        let after_information = base
            .iter()
            .take_while(|a| a.kind < kind::ATTRIBUTE_LIST)
            .count();
        base.insert(after_information, list.clone());
        number_instances(&mut base);
        let mut entries: Vec<(Attribute, u64)> = base
            .iter()
            .filter(|a| a.kind != kind::ATTRIBUTE_LIST)
            .map(|a| (a.clone(), file.reference()))
            .collect();
        self.store_bins(file, bins, &mut entries)?;
        let content = list_content(entries)?;
        match &mut list.value {
            Value::Resident(value) => value.clone_from(&content),
            Value::Stream(stream) => {
                let stream = stream.clone();
                super::space::write_stream(
                    &mut self.disk,
                    &stream,
                    self.layout.cluster,
                    &content,
                    0,
                )?;
            }
        }
        list.instance = base[after_information].instance;
        base[after_information] = list.clone();
        file.list = Some(list.value);
        self.write_base(file, base)
    }

    /// Writes the extension records, and gives back those that are not needed any more.
    fn store_bins(
        &mut self,
        file: &mut File,
        bins: Vec<Bin>,
        entries: &mut Vec<(Attribute, u64)>,
    ) -> Result<(), ChangeError> {
        let mut spare = std::mem::take(&mut file.extensions).into_iter();
        for mut bin in bins {
            let (number, sequence) = match spare.next() {
                Some(record) => record,
                None if file.number == MFT => self.take_reserved_record()?,
                None => self.take_record()?,
            };
            number_instances(&mut bin.attributes);
            let target = reference(number, sequence);
            entries.extend(bin.attributes.iter().map(|a| (a.clone(), target)));
            let record = Record {
                log_sequence: 0,
                sequence,
                links: 0,
                flags: 0,
                in_use: true,
                base: file.reference(),
                attributes: bin.attributes,
            };
            self.write_record(number, &record)?;
            file.extensions.push((number, sequence));
        }
        for (number, _) in spare {
            self.give_record(number)?;
        }
        Ok(())
    }
}

/// What attributes are sorted by: names of files by their bytes, as Windows has them.
fn order_of(attribute: &Attribute) -> (u32, &[u16], &[u8]) {
    let value = match &attribute.value {
        Value::Resident(value) if attribute.kind == kind::FILE_NAME => value.as_slice(),
        _ => &[],
    };
    (attribute.kind, &attribute.name, value)
}

fn number_instances(attributes: &mut [Attribute]) {
    for (instance, attribute) in (0_u16..).zip(attributes) {
        attribute.instance = instance;
    }
}

/// The attributes, streams cut so that each first part takes `first` bytes at most and each other one
/// fits a record.
fn pieces(
    attributes: &[Attribute],
    room: usize,
    first: usize,
) -> Result<Vec<Attribute>, ChangeError> {
    let mut pieces = Vec::new();
    for attribute in attributes {
        if attribute.encoded_length() <= first {
            pieces.push(attribute.clone());
            continue;
        }
        let Value::Stream(stream) = &attribute.value else {
            return Err(ChangeError::Unsupported(
                "an attribute longer than a file record",
            ));
        };
        let mut runs = stream.runs.as_slice();
        let mut first_vcn = 0;
        while !runs.is_empty() {
            let room = if first_vcn == 0 { first } else { room };
            let limit = room.saturating_sub(attribute.value_offset(0)) / 8 * 8;
            let (_, count) = encode_runs(runs, limit);
            // A run takes 17 bytes at most: one always fits.
            let (here, rest) = runs.split_at(count.max(1));
            let part = Stream {
                first_vcn,
                runs: here.to_vec(),
                ..stream.clone()
            };
            pieces.push(Attribute {
                value: Value::Stream(part),
                ..attribute.clone()
            });
            first_vcn += total(here);
            runs = rest;
        }
    }
    Ok(pieces)
}

fn list_entry_length(attribute: &Attribute) -> usize {
    align8(LIST_ENTRY + 2 * attribute.name.len())
}

fn list_content(mut entries: Vec<(Attribute, u64)>) -> Result<Vec<u8>, ChangeError> {
    let first_vcn = |attribute: &Attribute| match &attribute.value {
        Value::Stream(stream) => stream.first_vcn,
        Value::Resident(_) => 0,
    };
    entries.sort_by(|(a, _), (b, _)| {
        (a.kind, &a.name, first_vcn(a)).cmp(&(b.kind, &b.name, first_vcn(b)))
    });
    let mut content = Vec::new();
    for (attribute, target) in entries {
        let length = list_entry_length(&attribute);
        let start = content.len();
        content.extend_from_slice(&attribute.kind.to_le_bytes());
        content.extend_from_slice(&to_u16(length, "an attribute list")?.to_le_bytes());
        content.push(to_u8(attribute.name.len(), "an attribute list")?);
        content.push(to_u8(LIST_ENTRY, "an attribute list")?);
        content.extend_from_slice(&first_vcn(&attribute).to_le_bytes());
        content.extend_from_slice(&target.to_le_bytes());
        content.extend_from_slice(&attribute.instance.to_le_bytes());
        for unit in &attribute.name {
            content.extend_from_slice(&unit.to_le_bytes());
        }
        content.resize(start + length, 0);
        debug_assert!(wide(content.len()) <= wide(MAX_LIST));
    }
    Ok(content)
}
