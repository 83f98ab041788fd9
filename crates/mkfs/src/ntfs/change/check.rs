//! What a volume must be before it is changed, and how it looks while it is.

use super::bytes::{put, u16_at, u32_at, u64_at, wide};
use super::index::{Index, IndexKind};
use super::record::kind;
use super::space::read_stream;
use super::volume::Volume;
use crate::change::ChangeError;
use crate::ntfs::narrow::to_usize;

const LOG_FILE: u64 = 2;
const VOLUME: u64 = 3;
/// Where the flags stand in volume information.
const FLAGS: usize = 10;
const DIRTY: u16 = 0x0001;
/// No short names are made on the volume.
const NO_SHORT_NAMES: u16 = 0x0080;
/// Flags of a volume on which Windows has work to do.
const WORK_TO_DO: [(u16, &str); 5] = [
    (DIRTY, "it is marked as dirty"),
    (0x0002, "its log is to be resized"),
    (0x0004, "it is to be upgraded at its next mount"),
    (0x0020, "its object identifiers are to be repaired"),
    (0x4000, "it is being checked"),
];

impl Volume<'_> {
    /// Learns what the volume says of itself, and refuses one that was not unmounted cleanly, or that is
    /// not of version 3.
    pub(super) fn refuse_unclean(&mut self) -> Result<(), ChangeError> {
        let file = self.loaded(VOLUME)?;
        let information = file.attribute(kind::VOLUME_INFORMATION, &[])?.clone();
        let value = information.resident_value().cloned().unwrap_or_default();
        let flags = u16_at(&value, FLAGS).ok_or_else(|| {
            ChangeError::damaged("$Volume", VOLUME, "its information is cut short")
        })?;
        self.makes_short_names = flags & NO_SHORT_NAMES == 0;
        if value[8] != 3 {
            return Err(ChangeError::Unsupported(
                "an NTFS volume of a version before 3.0",
            ));
        }
        for (flag, reason) in WORK_TO_DO {
            if flags & flag != 0 {
                return Err(ChangeError::Unclean { reason });
            }
        }
        self.refuse_used_log()
    }

    /// The log must say that nothing is left to do, or never have been used.
    fn refuse_used_log(&mut self) -> Result<(), ChangeError> {
        const PAGE: usize = 4096;
        let cluster = self.layout.cluster;
        self.ensure(LOG_FILE)?;
        let stream = self.file(LOG_FILE)?.stream(kind::DATA, &[])?.clone();
        if stream.size < 2 * wide(PAGE) {
            return Err(ChangeError::damaged(
                "$LogFile",
                LOG_FILE,
                "it is too short",
            ));
        }
        let mut newest: Option<(u64, bool)> = None;
        let mut is_unused = true;
        for page in 0..2_u64 {
            let mut bytes = vec![0; PAGE];
            read_stream(&self.disk, &stream, cluster, &mut bytes, page * wide(PAGE))?;
            is_unused &= bytes.iter().all(|byte| *byte == 0xFF);
            if let Some((sequence, is_clean)) = restart_page(&bytes)
                && newest.is_none_or(|(other, _)| sequence >= other)
            {
                newest = Some((sequence, is_clean));
            }
        }
        match newest {
            Some((_, true)) => Ok(()),
            None if is_unused => Ok(()),
            _ => Err(ChangeError::Unclean {
                reason: "its log holds changes that are not done",
            }),
        }
    }

    /// Refuses a volume on which space is counted by owner.
    pub(super) fn refuse_quotas(&mut self) -> Result<(), ChangeError> {
        const TRACKED: u32 = 0x0070;
        let Some(file) = self.system_file("$Quota")? else {
            return Ok(());
        };
        let index = Index {
            file,
            kind: IndexKind::Quotas,
        };
        let defaults = self.index_find(index, &1_u32.to_le_bytes())?;
        let flags = defaults
            .and_then(|entry| u32_at(entry.data(), 4))
            .unwrap_or(0);
        if flags & TRACKED != 0 {
            return Err(ChangeError::Unsupported(
                "a volume on which quotas are tracked",
            ));
        }
        Ok(())
    }

    /// The sectors with the flags of the volume, marked as dirty: how the volume looks while a
    /// change is written to it.
    pub(super) fn guards(&mut self) -> Result<Vec<(u64, Vec<u8>)>, ChangeError> {
        let record = self.read_record_bytes(VOLUME)?;
        let sector = self.disk.sector();
        let at = flags_offset(&record).ok_or_else(|| {
            ChangeError::damaged("$Volume", VOLUME, "its information is cut short")
        })?;
        let inside = VOLUME * wide(record.len()) + wide(at);
        let mut guards = Vec::new();
        let table = self.file(super::table::MFT)?.stream(kind::DATA, &[])?;
        for stream in [table, &self.mirror] {
            if inside + 2 > stream.size {
                continue;
            }
            let place = stream
                .locate(inside, self.layout.cluster)
                .and_then(|(place, _)| place);
            let Some(place) = place else { continue };
            let start = place / sector * sector;
            let mut bytes = self.disk.read_vec(start, to_usize(sector, "a sector")?)?;
            let offset = to_usize(place - start, "a sector")?;
            let flags = u16_at(&bytes, offset).unwrap_or(0) | DIRTY;
            put(&mut bytes, offset, &flags.to_le_bytes());
            guards.push((start, bytes));
        }
        Ok(guards)
    }
}

/// Sequence of a restart page, and whether it says that the volume is clean.
fn restart_page(bytes: &[u8]) -> Option<(u64, bool)> {
    const NO_CLIENT: u16 = 0xFFFF;
    const CLEAN: u16 = 0x0002;
    if !bytes.starts_with(b"RSTR") {
        return None;
    }
    let area = usize::from(u16_at(bytes, 0x18)?);
    // The area lies before the first word that the update sequence protects.
    if area + 0x10 > 510 {
        return None;
    }
    let in_use = u16_at(bytes, area + 0x0C)?;
    let flags = u16_at(bytes, area + 0x0E)?;
    Some((
        u64_at(bytes, area)?,
        in_use == NO_CLIENT || flags & CLEAN != 0,
    ))
}

/// Where the flags of the volume stand in its record.
fn flags_offset(record: &[u8]) -> Option<usize> {
    let mut at = usize::from(u16_at(record, 0x14)?);
    // Ends: each turn goes at least 24 bytes on.
    loop {
        let (attribute, size) = (u32_at(record, at)?, u32_at(record, at + 4)?);
        if attribute == kind::VOLUME_INFORMATION {
            let value = usize::from(u16_at(record, at + 20)?);
            return Some(at + value + FLAGS);
        }
        let size = usize::try_from(size).ok().filter(|size| *size >= 24)?;
        if attribute == u32::MAX {
            return None;
        }
        at += size;
    }
}
