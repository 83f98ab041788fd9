//! Checking an image without changing a byte.
//!
//! Damage is a finding, not an error: the check goes as far as the damage lets it. What a crash may
//! leave (a torn header beside a whole one, a log to be replayed, space nothing uses) is no error.

use blockio::{ByteCount, ByteOffset, MIB, Storage};

use super::bat::{Bat, BatEntry, BlockState, lies_in_file};
use super::bitmap;
use super::format::{HEADER_SECTION, REGION_TABLE_OFFSETS};
use super::geometry::{EntryIndex, EntryRole};
use super::header::{Slot, read_identifier, read_slot};
use super::open::{Structure, fixed_space, read_structure_of};
use super::region::read_table;
use super::space::{Run, SpaceMap};
use super::view::View;
use crate::error::{ImageError, readable};
use crate::image::ImageFormat;
use crate::report::CheckReport;

const RULE_ENTRY: &str = "MS-VHDX 2.5.1.1";
const RULE_BITMAP: &str = "MS-VHDX 2.5.1.2";
/// Most places claimed twice whose claimants are named.
const MAX_SHARED: usize = 100;

/// Checks an image.
///
/// # Errors
/// `NotAnImage` where the file does not begin as one, `Io` where the host fails.
pub(crate) fn check(storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    let mut report = CheckReport::new(ImageFormat::Vhdx);
    let creator = match read_identifier(storage) {
        Ok(creator) => creator,
        Err(error @ ImageError::NotAnImage { .. }) if !has_a_header(storage)? => return Err(error),
        Err(ImageError::NotAnImage { .. }) => {
            let message = "the file has a header, but does not begin with \"vhdxfile\"";
            report.error("MS-VHDX 2.1", Some(ByteOffset(0)), message);
            String::new()
        }
        Err(error) => {
            report.absorb(error)?;
            return Ok(report);
        }
    };
    check_headers(storage, &mut report)?;
    let mut structure = match read_structure_of(storage, creator) {
        Ok(structure) => structure,
        Err(error @ ImageError::Unsupported { .. }) => return Err(error),
        Err(error) => {
            check_region_tables(storage, &mut report)?;
            absorb_once(&mut report, error)?;
            return Ok(report);
        }
    };
    check_log(&structure, &mut report);
    let view = View::new(storage, structure.overlay.take());
    check_region_tables(&view, &mut report)?;
    if structure.metadata.has_stray_locator {
        let message = "image names a parent, but its flags say that it has none";
        report.error("MS-VHDX 2.6.2.1", None, message);
    }
    let bat = match Bat::new(structure.regions.bat, &structure.geometry) {
        Ok(bat) => bat,
        Err(error) => {
            report.absorb(error)?;
            return Ok(report);
        }
    };
    let mut table = TableCheck {
        structure: &structure,
        bat: &bat,
        map: fixed_space(&structure.regions),
        shared: Vec::new(),
        report: &mut report,
    };
    bat.scan(&view, &structure.geometry, |index, raw| {
        table.entry(&view, index, raw)
    })?;
    table.name_claimants(&view)?;
    table.finish();
    Ok(report)
}

/// Takes an error up that was not found on the way already.
fn absorb_once(report: &mut CheckReport, error: ImageError) -> Result<(), ImageError> {
    if let ImageError::Damaged { message, .. } = &error
        && report
            .findings()
            .iter()
            .any(|known| known.message == *message)
    {
        return Ok(());
    }
    report.absorb(error)
}

/// Whether a file has at least one header that is whole.
///
/// # Errors
/// `Io`.
pub(crate) fn has_a_header(storage: &dyn Storage) -> Result<bool, ImageError> {
    if storage.len()?.get() < HEADER_SECTION {
        return Ok(false);
    }
    for slot in [Slot::First, Slot::Second] {
        if readable(read_slot(storage, slot))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_headers(storage: &dyn Storage, report: &mut CheckReport) -> Result<(), ImageError> {
    let mut headers = Vec::new();
    let mut damages = Vec::new();
    for slot in [Slot::First, Slot::Second] {
        match read_slot(storage, slot) {
            Ok(header) => headers.push(header),
            Err(error @ ImageError::Damaged { .. }) => damages.push((slot, error)),
            Err(error) => report.absorb(error)?,
        }
    }
    for (slot, error) in damages {
        match error {
            ImageError::Damaged { rule, message, .. } if !headers.is_empty() => {
                let message = format!("{message}; the other header stands in for it");
                report.note(rule, Some(slot.offset()), message);
            }
            error => report.absorb(error)?,
        }
    }
    if let [first, second] = headers.as_slice()
        && first.sequence_number == second.sequence_number
    {
        if first.agrees_with(second) {
            let message = "both headers have the same sequence number; the first is taken";
            report.note("MS-VHDX 2.2.2", None, message);
        } else {
            let message = "both headers have the same sequence number and say different things";
            report.error("MS-VHDX 2.2.2", Some(Slot::Second.offset()), message);
        }
    }
    Ok(())
}

fn check_log(structure: &Structure, report: &mut CheckReport) {
    report.dirty_log = structure.dirty_log;
    if let Some(overlay) = &structure.overlay {
        let effect = match (overlay.entry_count(), overlay.is_empty()) {
            (0, _) => "a log without a whole entry waits to be cleared".to_owned(),
            (entries, true) => format!("a log of {entries} entries that change nothing"),
            (entries, false) => format!("a log of {entries} entries waits to be replayed"),
        };
        let at = ByteOffset(structure.header.header.log_offset);
        report.note("MS-VHDX 2.3", Some(at), effect);
    }
    if structure.regions.log.is_empty() {
        report.note("MS-VHDX 2.2.2", None, "the image has no log");
    }
}

fn check_region_tables(storage: &dyn Storage, report: &mut CheckReport) -> Result<(), ImageError> {
    let mut tables = Vec::new();
    for offset in REGION_TABLE_OFFSETS {
        match read_table(storage, offset) {
            Ok(table) => tables.push(table),
            Err(error) => report.absorb(error)?,
        }
    }
    if tables.windows(2).any(|pair| pair[0] != pair[1]) {
        let at = Some(ByteOffset(REGION_TABLE_OFFSETS[1]));
        report.error("MS-VHDX 2.2.3", at, "the two region tables differ");
    }
    Ok(())
}

struct TableCheck<'a> {
    structure: &'a Structure,
    bat: &'a Bat,
    map: SpaceMap,
    /// Claims to space that was claimed before, the first [`MAX_SHARED`].
    shared: Vec<Run>,
    report: &'a mut CheckReport,
}

impl TableCheck<'_> {
    fn entry(
        &mut self,
        storage: &dyn Storage,
        index: EntryIndex,
        raw: u64,
    ) -> Result<(), ImageError> {
        let at = Some(self.bat.entry_offset(index));
        let name = format!("entry {} of the block allocation table ({raw:#x})", index.0);
        let Some(entry) = BatEntry::decode(raw) else {
            let message = format!("{name} has a reserved bit set or an unknown state");
            self.report.error(RULE_ENTRY, at, message);
            return Ok(());
        };
        match self.structure.geometry.role(index) {
            Some(EntryRole::Payload(block)) => {
                let bytes = self.structure.geometry.block_bytes(block);
                self.payload(entry, bytes, at, &name);
                let differencing = self.structure.metadata.parent.is_some();
                if entry.state == BlockState::PartiallyPresent && differencing {
                    let bitmap = self.structure.geometry.bitmap_entry_of(block);
                    let bitmap = BatEntry::decode(self.bat.load(storage, bitmap)?);
                    if !bitmap.is_some_and(bitmap::is_present) {
                        let message = format!("{name} is partial without a sector bitmap");
                        self.report.error(RULE_ENTRY, at, message);
                    }
                }
            }
            Some(EntryRole::Bitmap(_)) => self.bitmap(entry, at, &name),
            None => {
                let message = format!("{name} lies behind the last block and is not zero");
                self.report.note("MS-VHDX 2.5", at, message);
            }
        }
        Ok(())
    }

    fn payload(&mut self, entry: BatEntry, bytes: u64, at: Option<ByteOffset>, name: &str) {
        let differencing = self.structure.metadata.parent.is_some();
        match entry.place() {
            None if entry.offset != 0 => {
                let message = format!("{name} has an offset that its state gives no meaning");
                self.report.note(RULE_ENTRY, at, message);
            }
            None => {}
            Some(_) if entry.state == BlockState::PartiallyPresent && !differencing => {
                let named = match self.structure.metadata.has_stray_locator {
                    true => " by its flags, though it names one",
                    false => "",
                };
                let message = format!("{name} needs a parent, and the image has none{named}");
                self.report.error(RULE_ENTRY, at, message);
            }
            Some(_) => {
                self.report.allocated_blocks += 1;
                let mebibytes = self.structure.geometry.block_size / MIB;
                self.place(entry.offset, bytes, mebibytes, at, name);
            }
        }
    }

    fn bitmap(&mut self, entry: BatEntry, at: Option<ByteOffset>, name: &str) {
        match (entry.state, self.structure.metadata.parent.is_some()) {
            (BlockState::NotPresent, _) => {}
            (BlockState::FullyPresent, true) => {
                self.place(entry.offset, MIB, 1, at, name);
            }
            (_, true) => {
                let message = format!("{name} has a state that no sector bitmap has");
                self.report.error(RULE_BITMAP, at, message);
            }
            (_, false) => {
                let message = format!("{name} is a sector bitmap in an image without a parent");
                self.report.error(RULE_BITMAP, at, message);
            }
        }
    }

    fn place(
        &mut self,
        offset: u64,
        bytes: u64,
        mebibytes: u64,
        at: Option<ByteOffset>,
        name: &str,
    ) {
        let file_length = self.structure.file_length;
        let run = Run {
            start: offset / MIB,
            length: mebibytes,
        };
        if !lies_in_file(offset, bytes, file_length) {
            let message = format!("{name} points outside the file of {file_length} bytes");
            self.report.error(RULE_ENTRY, at, message);
        } else if !self.map.mark_used(run) {
            let message = format!("{name} shares space with a block, a region or the log");
            self.report.error(RULE_ENTRY, at, message);
            if self.shared.len() < MAX_SHARED {
                self.shared.push(run);
            }
        }
    }

    /// Names everything that claims the space that several entries claim.
    fn name_claimants(&mut self, storage: &dyn Storage) -> Result<(), ImageError> {
        let shared = std::mem::take(&mut self.shared);
        if shared.is_empty() {
            return Ok(());
        }
        let geometry = self.structure.geometry;
        let (bat, report) = (self.bat, &mut *self.report);
        bat.scan(storage, &geometry, |index, raw| {
            let Some(place) = BatEntry::decode(raw).and_then(BatEntry::place) else {
                return Ok(());
            };
            let length = match geometry.role(index) {
                Some(EntryRole::Payload(_)) => geometry.block_size / MIB,
                _ => 1,
            };
            let (start, end) = (place / MIB, (place / MIB).saturating_add(length));
            if let Some(run) = shared
                .iter()
                .find(|run| start < run.end() && run.start < end)
            {
                let message = format!(
                    "entry {} of the block allocation table ({raw:#x}) claims space at {:#x} that \
                     is claimed twice",
                    index.0,
                    run.offset()
                );
                report.note(RULE_ENTRY, Some(bat.entry_offset(index)), message);
            }
            Ok(())
        })
    }

    /// Counts what nothing uses.
    fn finish(mut self) {
        self.report.total_blocks = self.structure.geometry.blocks();
        let rest = self.structure.file_length % MIB;
        let last = Run {
            start: self.structure.file_length / MIB,
            length: 1,
        };
        if rest != 0 && !self.map.touches(last) {
            let at = Some(ByteOffset(self.structure.file_length - rest));
            let message = format!("the file ends {rest} bytes into a mebibyte that is nobody's");
            self.report.note("MS-VHDX 2.4", at, message);
        }
        self.map.extend_to(self.structure.file_length / MIB);
        for run in self.map.free_runs() {
            let bytes = ByteCount(run.length.saturating_mul(MIB));
            let message = format!("{bytes} of the file are used by nothing");
            self.report
                .leak("MS-VHDX 2.4", ByteOffset(run.offset()), bytes, message);
        }
    }
}
