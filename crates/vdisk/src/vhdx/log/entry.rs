//! One entry of the log: a header, descriptors, and a sector of 4 KiB for each data descriptor.
//!
//! Invariant: a decoded entry is whole: its checksum fits, its descriptors lie within it, and every
//! sector carries the entry's own sequence number, so that no torn entry decodes.

use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::super::format::{
    DATA_DESCRIPTOR_SIGNATURE, DATA_SECTOR_SIGNATURE, DataSector, Guid, LOG_ENTRY_SIGNATURE,
    LogEntryHeader, PAGE, PAGE_SIZE, RawDescriptor, ZERO_DESCRIPTOR_SIGNATURE, checksum, index,
    wide,
};

/// Bytes of the entry's header, after which the descriptors stand.
const HEADER_SIZE: usize = size_of::<LogEntryHeader>();
/// Bytes of a descriptor.
const DESCRIPTOR_SIZE: usize = size_of::<RawDescriptor>();

/// What an entry's header says, before its body is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct EntryHeader {
    pub(in super::super) sequence_number: u64,
    /// Bytes of the whole entry.
    pub(in super::super) length: u64,
    /// Byte offset in the log of the oldest entry to replay with this one.
    pub(in super::super) tail: u64,
    pub(in super::super) flushed_file_offset: u64,
    pub(in super::super) last_file_offset: u64,
    descriptor_count: usize,
}

/// What one descriptor does to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    /// The page at `offset` becomes `page`.
    Page {
        /// Byte offset in the file.
        offset: u64,
        /// The new content.
        page: Box<[u8; PAGE_SIZE]>,
    },
    /// `length` bytes at `offset` become zero.
    Zero {
        /// Byte offset in the file.
        offset: u64,
        /// Bytes.
        length: u64,
    },
}

/// The parts of an entry that is to be written.
pub(in super::super) struct NewEntry<'a> {
    pub(in super::super) log_guid: Uuid,
    pub(in super::super) sequence_number: u64,
    pub(in super::super) tail: u32,
    pub(in super::super) flushed_file_offset: u64,
    pub(in super::super) last_file_offset: u64,
    /// Byte offset in the file and new content of each page.
    pub(in super::super) pages: &'a [(u64, Box<[u8; PAGE_SIZE]>)],
}

impl EntryHeader {
    /// Reads the header at the start of a page of the log; `None` where none of this log stands.
    pub(in super::super) fn decode(page: &[u8], log_guid: Uuid, log_length: u64) -> Option<Self> {
        let (raw, _) = LogEntryHeader::ref_from_prefix(page).ok()?;
        let length = u64::from(raw.entry_length.get());
        let tail = u64::from(raw.tail.get());
        let descriptor_count = usize::try_from(raw.descriptor_count.get()).ok()?;
        let in_shape = raw.signature == LOG_ENTRY_SIGNATURE
            && raw.log_guid == Guid::from(log_guid)
            && raw.sequence_number.get() != 0
            && length >= PAGE
            && length.is_multiple_of(PAGE)
            && length <= log_length
            && tail.is_multiple_of(PAGE)
            && tail < log_length
            && wide(descriptor_sectors(descriptor_count)?) <= length / PAGE;
        in_shape.then(|| Self {
            sequence_number: raw.sequence_number.get(),
            length,
            tail,
            flushed_file_offset: raw.flushed_file_offset.get(),
            last_file_offset: raw.last_file_offset.get(),
            descriptor_count,
        })
    }

    /// Reads the changes out of the whole entry; `None` where the entry is torn or malformed.
    pub(in super::super) fn changes(&self, entry: &[u8]) -> Option<Vec<Change>> {
        let (raw, _) = LogEntryHeader::ref_from_prefix(entry).ok()?;
        if raw.checksum.get() != checksum(entry) {
            return None;
        }
        let mut sectors = entry
            .get(descriptor_sectors(self.descriptor_count)?.checked_mul(PAGE_SIZE)?..)?
            .chunks_exact(PAGE_SIZE);
        let mut changes = Vec::with_capacity(self.descriptor_count);
        let descriptors = entry.get(HEADER_SIZE..)?.chunks_exact(DESCRIPTOR_SIZE);
        for bytes in descriptors.take(self.descriptor_count) {
            let descriptor = RawDescriptor::ref_from_bytes(bytes).ok()?;
            changes.push(self.change(descriptor, &mut sectors)?);
        }
        Some(changes)
    }

    fn change<'a>(
        &self,
        descriptor: &RawDescriptor,
        sectors: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Option<Change> {
        let offset = descriptor.file_offset.get();
        if descriptor.sequence_number.get() != self.sequence_number || !offset.is_multiple_of(PAGE)
        {
            return None;
        }
        match descriptor.signature {
            ZERO_DESCRIPTOR_SIGNATURE => {
                let length = u64::from_le_bytes(descriptor.leading);
                let in_shape = length.is_multiple_of(PAGE) && offset.checked_add(length).is_some();
                in_shape.then_some(Change::Zero { offset, length })
            }
            DATA_DESCRIPTOR_SIGNATURE => {
                offset.checked_add(PAGE)?;
                let sector = DataSector::ref_from_bytes(sectors.next()?).ok()?;
                let sequence = u64::from(sector.sequence_high.get()) << 32
                    | u64::from(sector.sequence_low.get());
                if sector.signature != DATA_SECTOR_SIGNATURE || sequence != self.sequence_number {
                    return None;
                }
                let mut page = Box::new([0; PAGE_SIZE]);
                page[..8].copy_from_slice(&descriptor.leading);
                page[8..PAGE_SIZE - 4].copy_from_slice(&sector.data);
                page[PAGE_SIZE - 4..].copy_from_slice(&descriptor.trailing);
                Some(Change::Page { offset, page })
            }
            _ => None,
        }
    }
}

/// Sectors of 4 KiB that the header and so many descriptors take.
fn descriptor_sectors(count: usize) -> Option<usize> {
    let bytes = count
        .checked_mul(DESCRIPTOR_SIZE)?
        .checked_add(HEADER_SIZE)?;
    Some(bytes.div_ceil(PAGE_SIZE))
}

/// Most pages that fit into an entry of `length` bytes.
pub(in super::super) fn pages_that_fit(length: u64) -> usize {
    let sectors = index(length / PAGE);
    let mut pages = sectors.saturating_sub(1);
    while descriptor_sectors(pages).is_none_or(|head| head.saturating_add(pages) > sectors) {
        pages = pages.saturating_sub(1);
    }
    pages
}

impl NewEntry<'_> {
    /// The bytes of the entry; `None` where its parts do not fit their fields.
    pub(in super::super) fn encode(&self) -> Option<Vec<u8>> {
        let head = descriptor_sectors(self.pages.len())?.checked_mul(PAGE_SIZE)?;
        let length = self.pages.len().checked_mul(PAGE_SIZE)?.checked_add(head)?;
        let mut bytes = vec![0; length];

        let mut header = LogEntryHeader::new_zeroed();
        header.signature = LOG_ENTRY_SIGNATURE;
        header.entry_length.set(u32::try_from(length).ok()?);
        header.tail.set(self.tail);
        header.sequence_number.set(self.sequence_number);
        header
            .descriptor_count
            .set(u32::try_from(self.pages.len()).ok()?);
        header.log_guid = self.log_guid.into();
        header.flushed_file_offset.set(self.flushed_file_offset);
        header.last_file_offset.set(self.last_file_offset);
        bytes[..HEADER_SIZE].copy_from_slice(header.as_bytes());

        let (descriptors, sectors) = bytes.split_at_mut(head);
        let slots = descriptors[HEADER_SIZE..].chunks_exact_mut(DESCRIPTOR_SIZE);
        let places = slots.zip(sectors.chunks_exact_mut(PAGE_SIZE));
        for ((offset, page), (slot, sector)) in self.pages.iter().zip(places) {
            let (descriptor, data) = self.encode_page(*offset, page)?;
            slot.copy_from_slice(descriptor.as_bytes());
            sector.copy_from_slice(data.as_bytes());
        }
        let sum = checksum(&bytes);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        Some(bytes)
    }

    fn encode_page(
        &self,
        offset: u64,
        page: &[u8; PAGE_SIZE],
    ) -> Option<(RawDescriptor, DataSector)> {
        let mut descriptor = RawDescriptor::new_zeroed();
        descriptor.signature = DATA_DESCRIPTOR_SIGNATURE;
        descriptor.leading.copy_from_slice(&page[..8]);
        descriptor.trailing.copy_from_slice(&page[PAGE_SIZE - 4..]);
        descriptor.file_offset.set(offset);
        descriptor.sequence_number.set(self.sequence_number);

        let mut sector = DataSector::new_zeroed();
        sector.signature = DATA_SECTOR_SIGNATURE;
        sector.data.copy_from_slice(&page[8..PAGE_SIZE - 4]);
        let high = u32::try_from(self.sequence_number >> 32).ok()?;
        let low = u32::try_from(self.sequence_number & u64::from(u32::MAX)).ok()?;
        sector.sequence_high.set(high);
        sector.sequence_low.set(low);
        Some((descriptor, sector))
    }
}
