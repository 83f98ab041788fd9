//! The master file table: records read, written, taken and given back; how it grows.

use super::bytes::{narrow, wide};
use super::record::{Record, Stream, Value, kind};
use super::space::{read_stream, write_stream};
use super::volume::{File, Volume};
use crate::change::ChangeError;
use crate::ntfs::runs::{Lcn, push_joined};

/// Number of the master file table's own record.
pub(super) const MFT: u64 = 0;
/// Records that are left to Windows, which makes more system files at its first mount.
const FIRST_USUAL: u64 = 64;
/// The first record that is kept for describing the table.
const FIRST_RESERVED: u64 = 16;
/// The first record that is no system file's.
const FIRST_USER: u64 = 24;
/// Records by which the table grows.
const STEP: u64 = 64;
/// Bytes of the table's bitmap: four thousand million records.
const MAX_BITMAP: u64 = 1 << 29;
/// Records at most, as Windows counts them.
const MAX_RECORDS: u64 = 0xFFFF_FFFF;

impl Volume<'_> {
    fn mft_data(&self) -> Result<&Stream, ChangeError> {
        self.file(MFT)?.stream(kind::DATA, &[])
    }

    /// Records that there are, in use or not.
    pub(super) fn record_count(&self) -> Result<u64, ChangeError> {
        let data = self.mft_data()?;
        Ok(data.size.min(data.initialized) / wide(self.layout.record))
    }

    /// The bytes of a record.
    pub(super) fn read_record_bytes(&self, number: u64) -> Result<Vec<u8>, ChangeError> {
        if number >= self.record_count()? {
            return Err(ChangeError::damaged(
                "a reference",
                number,
                "there is no such record",
            ));
        }
        let mut bytes = vec![0; self.layout.record];
        let offset = number * wide(bytes.len());
        read_stream(
            &self.disk,
            self.mft_data()?,
            self.layout.cluster,
            &mut bytes,
            offset,
        )?;
        Ok(bytes)
    }

    /// A record taken apart.
    pub(super) fn read_record(&self, number: u64) -> Result<Record, ChangeError> {
        Record::decode(self.read_record_bytes(number)?, self.layout.clusters)
            .ok_or_else(|| ChangeError::damaged("file record", number, "it contradicts its format"))
    }

    /// Writes a record, and its copy in the mirror where it has one.
    pub(super) fn write_record(&mut self, number: u64, record: &Record) -> Result<(), ChangeError> {
        let bytes = record.encode(number, self.layout.record)?;
        let offset = number * wide(bytes.len());
        let cluster = self.layout.cluster;
        let data = self.file(MFT)?.stream(kind::DATA, &[])?.clone();
        write_stream(&mut self.disk, &data, cluster, &bytes, offset)?;
        if offset + wide(bytes.len()) <= self.mirror.size {
            let mirror = self.mirror.clone();
            write_stream(&mut self.disk, &mirror, cluster, &bytes, offset)?;
        }
        Ok(())
    }

    /// Takes a record: its number and sequence number.
    pub(super) fn take_record(&mut self) -> Result<(u64, u16), ChangeError> {
        let number = match self.free_record(FIRST_USUAL)? {
            Some(number) => number,
            None => match self.grow_table() {
                Ok(()) => self
                    .free_record(FIRST_USUAL)?
                    .or(self.free_record(FIRST_USER)?),
                // A full volume may still have records of the first ones.
                Err(error @ ChangeError::NoSpace { .. }) => {
                    Some(self.free_record(FIRST_USER)?.ok_or(error)?)
                }
                Err(error) => return Err(error),
            }
            .ok_or_else(|| ChangeError::damaged("$MFT", 0, "no record is free after it grew"))?,
        };
        self.set_record_bit(number, true)?;
        let sequence = Record::decode(self.read_record_bytes(number)?, self.layout.clusters)
            .map_or(1, |record| record.sequence.max(1));
        Ok((number, sequence))
    }

    /// Takes one of the records that are kept for describing the table: they lie in its first part.
    pub(super) fn take_reserved_record(&mut self) -> Result<(u64, u16), ChangeError> {
        let is_free = |number: &u64| {
            let byte = self.record_bits.get(narrow(number / 8)).copied();
            byte.is_some_and(|byte| byte >> (number % 8) & 1 == 0)
        };
        let number = (FIRST_RESERVED..FIRST_USER)
            .find(is_free)
            .ok_or(ChangeError::Unsupported(
                "a master file table in so many pieces",
            ))?;
        self.set_record_bit(number, true)?;
        let sequence = Record::decode(self.read_record_bytes(number)?, self.layout.clusters)
            .map_or(1, |record| record.sequence.max(1));
        Ok((number, sequence))
    }

    /// Gives a record back: the next file in it has another sequence number.
    pub(super) fn give_record(&mut self, number: u64) -> Result<(), ChangeError> {
        let mut record = self.read_record(number)?;
        record.in_use = false;
        record.sequence = record.sequence.wrapping_add(1).max(1);
        self.write_record(number, &record)?;
        self.set_record_bit(number, false)?;
        self.next_record = self.next_record.min(number);
        Ok(())
    }

    fn free_record(&mut self, first: u64) -> Result<Option<u64>, ChangeError> {
        let count = self.record_count()?;
        let from = if first == FIRST_USUAL {
            self.next_record.max(first)
        } else {
            first
        };
        for number in from..count {
            let byte = self
                .record_bits
                .get(narrow(number / 8))
                .copied()
                .unwrap_or(0);
            if byte >> (number % 8) & 1 == 0 {
                if first == FIRST_USUAL {
                    self.next_record = number;
                }
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn set_record_bit(&mut self, number: u64, used: bool) -> Result<(), ChangeError> {
        let index = narrow(number / 8);
        let byte = self
            .record_bits
            .get_mut(index)
            .ok_or_else(|| ChangeError::damaged("$MFT:$Bitmap", number, "it is too short"))?;
        let bit = 1_u8 << (number % 8);
        if used {
            *byte |= bit;
        } else {
            *byte &= !bit;
        }
        let byte = [*byte];
        self.write_record_bits(wide(index), &byte)
    }

    fn write_record_bits(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let mut file = self.take_file(MFT)?;
        let written = match &mut file.attribute_mut(kind::BITMAP, &[])?.value {
            Value::Stream(stream) => {
                let stream = stream.clone();
                write_stream(&mut self.disk, &stream, cluster, bytes, offset)
            }
            Value::Resident(value) => {
                super::bytes::put(value, narrow(offset), bytes);
                file.is_dirty = true;
                Ok(())
            }
        };
        self.put_file(file);
        written
    }

    /// Loads the bitmap of the table.
    pub(super) fn load_record_bits(&mut self) -> Result<(), ChangeError> {
        let file = self.file(MFT)?;
        self.record_bits = match &file.attribute(kind::BITMAP, &[])?.value {
            Value::Resident(value) => value.clone(),
            Value::Stream(stream) => {
                if stream.size > MAX_BITMAP {
                    return Err(ChangeError::damaged("$MFT:$Bitmap", 0, "it is too long"));
                }
                let mut bits = vec![0; narrow(stream.size)];
                read_stream(&self.disk, stream, self.layout.cluster, &mut bits, 0)?;
                bits
            }
        };
        Ok(())
    }

    /// Adds records to the table, all of them free.
    fn grow_table(&mut self) -> Result<(), ChangeError> {
        let (record, cluster) = (wide(self.layout.record), self.layout.cluster);
        let old = self.record_count()?;
        let most = STEP.max(cluster / record);
        let least = (cluster / record).max(1);
        let mut data = self.mft_data()?.clone();
        if data.size != data.initialized {
            return Err(ChangeError::Unsupported(
                "a master file table that is not all in use",
            ));
        }
        let hint = data
            .runs
            .last()
            .and_then(|run| run.start.map(|Lcn(lcn)| lcn + run.length));
        let clusters_of = |records: u64| (records * record).div_ceil(cluster);
        let runs = match self.space.take(&self.disk, clusters_of(most), hint) {
            Err(ChangeError::NoSpace { .. }) if least < most => {
                self.space.take(&self.disk, clusters_of(least), hint)?
            }
            runs => runs?,
        };
        for run in runs {
            data.allocated += run.length * cluster;
            push_joined(&mut data.runs, run);
        }
        let new = data.allocated / record;
        if new > MAX_RECORDS {
            return Err(ChangeError::Unsupported(
                "a master file table of this length",
            ));
        }
        data.size = new * record;
        data.initialized = data.size;
        self.with_file(MFT, |file| {
            file.attribute_mut(kind::DATA, &[])?.value = Value::Stream(data);
            Ok(())
        })?;
        self.grow_record_bits(new)?;
        let unused = Record {
            log_sequence: 0,
            sequence: 1,
            links: 0,
            flags: 0,
            in_use: false,
            base: 0,
            attributes: Vec::new(),
        };
        for number in old..new {
            self.write_record(number, &unused)?;
        }
        // A table that its own record cannot describe would be found only at the end.
        self.check_table_pieces()
    }

    fn grow_record_bits(&mut self, records: u64) -> Result<(), ChangeError> {
        let size = records.div_ceil(64) * 8;
        let old = wide(self.record_bits.len());
        if size <= old {
            return Ok(());
        }
        let mut file: File = self.take_file(MFT)?;
        file.is_dirty = true;
        let grown = self.grow_value(file.attribute_mut(kind::BITMAP, &[])?, size);
        self.put_file(file);
        grown?;
        self.record_bits.resize(narrow(size), 0);
        Ok(())
    }
}
