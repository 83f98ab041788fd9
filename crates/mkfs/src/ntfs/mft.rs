//! The master file table while it grows: numbers handed out, records gathered, and written by the
//! mebibyte.
//!
//! Records of files are complete when their entry has been read and are put in ascending order.
//! Records of directories and links are complete at the end only; their numbers are handed out in batches, so
//! that each batch is one write then.

use std::collections::BTreeMap;

use blockio::{ByteOffset, Disk};

use super::geometry::Geometry;
use super::narrow::{to_usize, wide};
use super::runs::{Lcn, Run, push_joined, total};
use super::space::Space;
use crate::error::MkfsError;

/// Records below this one are the system's; those that Windows makes when it first mounts the volume
/// find room there.
const FIRST_USER_RECORD: u64 = 64;
/// Records gathered before they are written.
const RECORDS_PER_WRITE: u64 = 1024;
/// Records put late that lie together.
const LATE_BATCH: u64 = 64;

/// The master file table of a volume under construction.
pub(super) struct Mft<'d> {
    disk: &'d dyn Disk,
    cluster: u64,
    record_size: u64,
    records_per_step: u64,
    runs: Vec<Run>,
    next: u64,
    late_numbers: std::ops::Range<u64>,
    gathered: Vec<u8>,
    /// Number of the first record in `gathered`, which is empty or whole up to its last record.
    gathered_start: u64,
    in_use: Vec<u8>,
    late: BTreeMap<u64, Vec<u8>>,
}

impl<'d> Mft<'d> {
    /// A table that holds nothing yet.
    pub(super) fn new(disk: &'d dyn Disk, geometry: &Geometry) -> Self {
        Self {
            disk,
            cluster: geometry.cluster(),
            record_size: geometry.record(),
            records_per_step: geometry.records_per_step(),
            runs: Vec::new(),
            next: FIRST_USER_RECORD,
            late_numbers: 0..0,
            gathered: Vec::new(),
            gathered_start: FIRST_USER_RECORD,
            in_use: Vec::new(),
            late: BTreeMap::new(),
        }
    }

    /// Bytes the table takes at least.
    pub(super) const fn least_size(geometry: &Geometry) -> u64 {
        geometry.records_per_step() * geometry.record()
    }

    /// A number for a record that is put before any later one.
    pub(super) fn take(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// A number for a record that is put late.
    pub(super) fn take_late(&mut self) -> u64 {
        if self.late_numbers.is_empty() {
            self.late_numbers = self.next..self.next + LATE_BATCH;
            self.next = self.late_numbers.end;
        }
        let number = self.late_numbers.start;
        self.late_numbers.start += 1;
        number
    }

    /// Puts a record whose number is larger than those of all records put before.
    pub(super) fn put(
        &mut self,
        space: &mut Space,
        number: u64,
        record: &[u8],
    ) -> Result<(), MkfsError> {
        while number >= self.gathered_start + RECORDS_PER_WRITE {
            self.write_gathered(space)?;
            self.gathered_start += RECORDS_PER_WRITE;
        }
        let place = to_usize(
            (number - self.gathered_start) * self.record_size,
            "a record of this number",
        )?;
        // What lies between are records put late, or none.
        self.gathered.resize(place, 0);
        self.gathered.extend_from_slice(record);
        self.mark(number)
    }

    /// Puts a record out of order.
    pub(super) fn put_late(&mut self, number: u64, record: Vec<u8>) -> Result<(), MkfsError> {
        self.mark(number)?;
        self.late.insert(number, record);
        Ok(())
    }

    /// Writes the records put late; call it now and then to keep few in memory.
    pub(super) fn flush_late(&mut self, space: &mut Space) -> Result<(), MkfsError> {
        let mut start = 0;
        let mut bytes = Vec::new();
        for (number, record) in std::mem::take(&mut self.late) {
            if !bytes.is_empty() && number != start + wide(bytes.len()) / self.record_size {
                self.write(space, start, &bytes)?;
                bytes.clear();
            }
            if bytes.is_empty() {
                start = number;
            }
            bytes.extend_from_slice(&record);
        }
        self.write(space, start, &bytes)
    }

    /// Records put late and not yet written.
    pub(super) fn late_count(&self) -> usize {
        self.late.len()
    }

    fn mark(&mut self, number: u64) -> Result<(), MkfsError> {
        let byte = to_usize(number / 8, "a record of this number")?;
        if byte >= self.in_use.len() {
            self.in_use.resize(byte + 1, 0);
        }
        self.in_use[byte] |= 1 << (number % 8);
        Ok(())
    }

    /// Marks records as in use that are put later.
    pub(super) fn mark_all(&mut self, numbers: &[u64]) -> Result<(), MkfsError> {
        numbers.iter().try_for_each(|number| self.mark(*number))
    }

    /// Writes the records gathered. Afterwards records are put late only.
    pub(super) fn write_gathered(&mut self, space: &mut Space) -> Result<(), MkfsError> {
        let bytes = std::mem::take(&mut self.gathered);
        self.write(space, self.gathered_start, &bytes)?;
        self.gathered = bytes;
        self.gathered.clear();
        Ok(())
    }

    /// Writes records from a number on; the table grows as needed.
    fn write(&mut self, space: &mut Space, first: u64, bytes: &[u8]) -> Result<(), MkfsError> {
        let mut position = first * self.record_size;
        self.grow(space, position + wide(bytes.len()))?;
        let mut rest = bytes;
        let mut run_start = 0;
        for run in &self.runs {
            let run_end = run_start + run.length * self.cluster;
            if let (Some(Lcn(lcn)), true) = (run.start, position < run_end && !rest.is_empty()) {
                let room = to_usize(run_end - position, "a run of this length")?;
                let count = rest.len().min(room);
                let place = lcn * self.cluster + (position - run_start);
                self.disk.write_at(&rest[..count], ByteOffset(place))?;
                position += wide(count);
                rest = &rest[count..];
            }
            run_start = run_end;
        }
        Ok(())
    }

    /// A record as it stands on the disk: one that was put in order, once those gathered are written.
    pub(super) fn read(&self, number: u64) -> Result<Vec<u8>, MkfsError> {
        const WHAT: &str = "a record of this number";
        let mut record = vec![0; to_usize(self.record_size, WHAT)?];
        let mut rest = record.as_mut_slice();
        let mut position = number * self.record_size;
        let mut run_start = 0;
        for run in &self.runs {
            let run_end = run_start + run.length * self.cluster;
            if let (Some(Lcn(lcn)), true) = (run.start, position < run_end && !rest.is_empty()) {
                let count = rest.len().min(to_usize(run_end - position, WHAT)?);
                let (here, behind) = rest.split_at_mut(count);
                let place = lcn * self.cluster + (position - run_start);
                self.disk.read_at(here, ByteOffset(place))?;
                position += wide(count);
                rest = behind;
            }
            run_start = run_end;
        }
        Ok(record)
    }

    fn grow(&mut self, space: &mut Space, bytes: u64) -> Result<(), MkfsError> {
        let wanted = bytes.div_ceil(self.cluster);
        let have = total(&self.runs);
        if wanted > have {
            // The larger the table, the larger its steps: the base record holds few runs.
            for run in space.take_table(wanted - have, have / 8)? {
                push_joined(&mut self.runs, run);
            }
        }
        Ok(())
    }

    /// Writes the records put late and ends the table with a whole step.
    pub(super) fn finish(&mut self, space: &mut Space) -> Result<(), MkfsError> {
        self.flush_late(space)?;
        self.grow(space, self.size())
    }

    /// Bytes of the table: whole steps of records.
    pub(super) fn size(&self) -> u64 {
        self.records() * self.record_size
    }

    fn records(&self) -> u64 {
        self.next.next_multiple_of(self.records_per_step)
    }

    /// Where the table lies.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Which records are in use: a bit each, whole words of 64.
    pub(super) fn bitmap(&self) -> Result<Vec<u8>, MkfsError> {
        let mut bytes = self.in_use.clone();
        bytes.resize(to_usize(self.records() / 8, "a table of this length")?, 0);
        Ok(bytes)
    }
}
