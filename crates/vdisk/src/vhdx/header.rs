//! The two headers: which is current, and how a new one takes its place.
//!
//! Invariant: a header is written only to the slot that does not hold the current one, and only
//! while the current one is durable, so that a torn write leaves the current one whole.

use blockio::{ByteOffset, MIB, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::format::{
    FILE_SIGNATURE, FORMAT_VERSION, FileTypeIdentifier, Guid, HEADER_OFFSETS, HEADER_SECTION,
    HEADER_SIGNATURE, LOG_VERSION, MAX_LOG_LENGTH, PAGE_SIZE, RawHeader, checksum,
};
use crate::error::ImageError;
use crate::image::ImageFormat;

/// What a header says, checked by itself (not yet against the file's length).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence_number: u64,
    pub(super) file_write_guid: Uuid,
    pub(super) data_write_guid: Uuid,
    /// The live log; `None` where there is nothing to replay.
    pub(super) log_guid: Option<Uuid>,
    pub(super) log_offset: u64,
    pub(super) log_length: u64,
}

/// The current header and the slot it stands in.
#[derive(Clone, Debug)]
pub(super) struct CurrentHeader {
    pub(super) slot: Slot,
    pub(super) header: Header,
}

/// One of the two places of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    First,
    Second,
}

impl Slot {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    pub(super) const fn offset(self) -> ByteOffset {
        match self {
            Self::First => ByteOffset(HEADER_OFFSETS[0]),
            Self::Second => ByteOffset(HEADER_OFFSETS[1]),
        }
    }
}

impl Header {
    /// Reads a header out of its 4 KiB.
    pub(super) fn decode(bytes: &[u8; PAGE_SIZE], at: ByteOffset) -> Result<Self, ImageError> {
        const RULE: &str = "MS-VHDX 2.2.2";
        let damaged = |message: String| ImageError::damaged_at(RULE, at, message);
        let (raw, _) = RawHeader::ref_from_prefix(bytes)
            .map_err(|_| damaged("header is too short".to_owned()))?;
        if raw.signature != HEADER_SIGNATURE {
            return Err(damaged("header has no signature".to_owned()));
        }
        if raw.checksum.get() != checksum(bytes) {
            return Err(damaged("checksum of the header is wrong".to_owned()));
        }
        if raw.version.get() != FORMAT_VERSION {
            return Err(ImageError::unsupported(format!(
                "VHDX format version {}",
                raw.version
            )));
        }
        let log_guid = (raw.log_guid != Guid::NIL).then(|| raw.log_guid.into());
        if log_guid.is_some() && raw.log_version.get() != LOG_VERSION {
            return Err(ImageError::unsupported(format!(
                "VHDX log version {}",
                raw.log_version
            )));
        }
        let (log_offset, log_length) = (raw.log_offset.get(), u64::from(raw.log_length.get()));
        if !log_offset.is_multiple_of(MIB)
            || !log_length.is_multiple_of(MIB)
            || (log_length > 0 && log_offset < HEADER_SECTION)
            || log_offset.checked_add(log_length).is_none()
        {
            return Err(damaged(format!(
                "log at {log_offset:#x}+{log_length:#x} is out of place"
            )));
        }
        Ok(Self {
            sequence_number: raw.sequence_number.get(),
            file_write_guid: raw.file_write_guid.into(),
            data_write_guid: raw.data_write_guid.into(),
            log_guid,
            log_offset,
            log_length,
        })
    }

    /// What a damaged header seems to say: its fields without signature, checksum and versions;
    /// `None` where they name no log that could be one.
    pub(super) fn guess(bytes: &[u8; PAGE_SIZE]) -> Option<Self> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).ok()?;
        let (log_offset, log_length) = (raw.log_offset.get(), u64::from(raw.log_length.get()));
        let is_placed = log_offset.is_multiple_of(MIB)
            && log_offset >= HEADER_SECTION
            && log_length.is_multiple_of(MIB)
            && (MIB..=MAX_LOG_LENGTH).contains(&log_length);
        is_placed.then(|| Self {
            sequence_number: raw.sequence_number.get(),
            file_write_guid: raw.file_write_guid.into(),
            data_write_guid: raw.data_write_guid.into(),
            log_guid: (raw.log_guid != Guid::NIL).then(|| raw.log_guid.into()),
            log_offset,
            log_length,
        })
    }

    /// Whether both say the same of the log and of the disk's bytes.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let facts = |header: &Self| {
            let log = (header.log_guid, header.log_offset, header.log_length);
            (log, header.data_write_guid)
        };
        facts(self) == facts(other)
    }

    /// The 4 KiB of this header.
    pub(super) fn encode(&self) -> Result<[u8; PAGE_SIZE], ImageError> {
        let mut raw = RawHeader::new_zeroed();
        raw.signature = HEADER_SIGNATURE;
        raw.sequence_number.set(self.sequence_number);
        raw.file_write_guid = self.file_write_guid.into();
        raw.data_write_guid = self.data_write_guid.into();
        raw.log_guid = self.log_guid.map_or(Guid::NIL, Guid::from);
        raw.log_version.set(LOG_VERSION);
        raw.version.set(FORMAT_VERSION);
        let log_length = u32::try_from(self.log_length)
            .map_err(|_| ImageError::damaged("MS-VHDX 2.2.2", "log length exceeds 32 bits"))?;
        raw.log_length.set(log_length);
        raw.log_offset.set(self.log_offset);
        let sum = checksum(raw.as_bytes());
        raw.checksum.set(sum);
        let mut bytes = [0; PAGE_SIZE];
        bytes.copy_from_slice(raw.as_bytes());
        Ok(bytes)
    }
}

/// Reads the file type identifier; the name of the program that made the file.
pub(super) fn read_identifier(storage: &dyn Storage) -> Result<String, ImageError> {
    let not_an_image = |reason| ImageError::NotAnImage {
        format: ImageFormat::Vhdx,
        reason,
    };
    let length = storage.len()?.get();
    let mut bytes = [0; size_of::<FileTypeIdentifier>()];
    if length < 8 {
        return Err(not_an_image("the file is too short"));
    }
    storage.read_at(&mut bytes[..8], ByteOffset(0))?;
    if bytes[..8] != FILE_SIGNATURE {
        return Err(not_an_image("the file does not begin with \"vhdxfile\""));
    }
    if length < HEADER_SECTION {
        return Err(ImageError::damaged(
            "MS-VHDX 2.2",
            format!("file of {length} bytes ends within its header section"),
        ));
    }
    storage.read_at(&mut bytes, ByteOffset(0))?;
    let (raw, _) = FileTypeIdentifier::ref_from_prefix(&bytes)
        .map_err(|_| not_an_image("the file is too short"))?;
    let units = raw.creator.iter().map(|unit| unit.get());
    Ok(char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect())
}

/// Reads the header in one slot.
pub(super) fn read_slot(storage: &dyn Storage, slot: Slot) -> Result<Header, ImageError> {
    let mut bytes = [0; PAGE_SIZE];
    storage.read_at(&mut bytes, slot.offset())?;
    Header::decode(&bytes, slot.offset())
}

/// Finds the current header: the valid one with the higher sequence number.
///
/// Equal numbers are not allowed, but disk2vhd writes them (1 and 1): the first slot counts then.
pub(super) fn read_current(storage: &dyn Storage) -> Result<CurrentHeader, ImageError> {
    let (first, second) = (
        read_slot(storage, Slot::First),
        read_slot(storage, Slot::Second),
    );
    let (slot, header) = match (first, second) {
        (Ok(first), Ok(second)) if second.sequence_number > first.sequence_number => {
            (Slot::Second, second)
        }
        (Ok(first), _) => (Slot::First, first),
        (Err(ImageError::Damaged { .. }), Ok(second)) => (Slot::Second, second),
        (Err(error), Ok(_)) => return Err(error),
        (Err(ImageError::Damaged { .. }), Err(error)) => return Err(error),
        (Err(error), Err(_)) => return Err(error),
    };
    Ok(CurrentHeader { slot, header })
}

impl CurrentHeader {
    /// Writes `change(current)` with the next sequence number to the other slot and makes it the
    /// current one. The caller sees to it that the current one is durable before.
    pub(super) fn write_next(
        &mut self,
        storage: &dyn Storage,
        change: impl FnOnce(&mut Header),
    ) -> Result<(), ImageError> {
        let mut next = self.header.clone();
        change(&mut next);
        next.sequence_number = self.header.sequence_number.checked_add(1).ok_or_else(|| {
            ImageError::damaged("MS-VHDX 2.2.2", "header sequence number is at its end")
        })?;
        let slot = self.slot.other();
        storage.write_at(&next.encode()?, slot.offset())?;
        self.slot = slot;
        self.header = next;
        Ok(())
    }
}
