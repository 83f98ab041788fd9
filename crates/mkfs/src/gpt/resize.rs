//! The partition table of a disk that gets another size: the second copy goes to the new end, and
//! the last partition ends where it is told to.

use blockio::{ByteOffset, ByteRange, Disk};
use zerocopy::{FromBytes, IntoBytes};

use super::checksum::crc32;
use super::format::{Entry, Header, MBR_TYPE_PROTECTIVE, Mbr};
use super::read::{Table, read};
use super::{ALIGNMENT_BYTES, array_sectors};
use crate::error::MkfsError;

/// A sector to be written, and where.
pub(crate) type Write = (ByteOffset, Vec<u8>);

/// A disk with a GUID partition table, on its way to another size.
pub(crate) struct GptResize {
    table: Table,
    sector: u64,
    last_lba: u64,
    array: u64,
    first_sector: Vec<u8>,
}

impl GptResize {
    /// The table of `disk`, for a size of `size` bytes.
    ///
    /// # Errors
    /// `NotFound` where the disk has none, `Damaged`, `InvalidOption` where the table does not fit, `Io`.
    pub(crate) fn new(disk: &dyn Disk, size: u64) -> Result<Self, MkfsError> {
        let table = read(disk)?;
        let sector = disk.logical_sector_size();
        let bytes = u64::try_from(table.array.len()).unwrap_or(u64::MAX);
        let array = array_sectors(bytes, sector);
        let sectors = size / sector.bytes();
        let least = table.header.first_usable_lba.get() + array + 2;
        if sectors < least {
            return Err(MkfsError::InvalidOption {
                option: "size",
                reason: format!("{size} bytes do not hold the partition table"),
            });
        }
        let mut first_sector = vec![0; usize::try_from(sector.bytes()).unwrap_or(0)];
        disk.read_at(&mut first_sector, ByteOffset(0))?;
        Ok(Self {
            table,
            sector: sector.bytes(),
            last_lba: sectors - 1,
            array,
            first_sector,
        })
    }

    /// The last sector that a partition may use.
    fn last_usable(&self) -> u64 {
        self.last_lba - self.array - 1
    }

    /// Where the last partition may end at most: aligned, unless it does not begin or end so now.
    pub(crate) fn room_end(&self) -> u64 {
        (self.last_usable() + 1) * self.sector / ALIGNMENT_BYTES * ALIGNMENT_BYTES
    }

    /// First byte after what may hold partitions.
    pub(crate) fn usable_end(&self) -> u64 {
        (self.last_usable() + 1) * self.sector
    }

    /// The partition that ends last.
    pub(crate) fn last_partition(&self) -> Option<ByteRange> {
        let ranges = self.table.partitions.iter().map(|entry| entry.range);
        ranges.max_by_key(|range| range.end())
    }

    /// All that is to be written, so that the partition `from` becomes `to`.
    pub(crate) fn writes(&self, from: Option<ByteRange>, to: Option<ByteRange>) -> Vec<Write> {
        let mut array = self.table.array.clone();
        if let (Some(from), Some(to)) = (from, to) {
            let size = usize::try_from(self.table.header.entry_size.get()).unwrap_or(usize::MAX);
            for slot in array.chunks_exact_mut(size) {
                let Ok((entry, _)) = Entry::mut_from_prefix(slot) else {
                    continue;
                };
                let is_it = entry.partition_type != [0; 16]
                    && entry.first_lba.get() == from.start().get() / self.sector;
                if is_it {
                    entry.last_lba = (to.end().get() / self.sector - 1).into();
                }
            }
        }
        let mut header = self.table.header;
        header.last_usable_lba = self.last_usable().into();
        header.entry_array_crc32 = crc32(&[&array]).into();
        header.reserved = 0.into();
        header.header_size = u32::try_from(size_of::<Header>()).unwrap_or(92).into();
        // Where the first array stands, if this is the header of the first copy; else by custom.
        let first_array = match header.my_lba.get() {
            1 => header.entry_array_lba.get(),
            _ => 2,
        };
        let mut writes = vec![(ByteOffset(0), self.protective_mbr())];
        let copies = [
            (1, self.last_lba, first_array),
            (self.last_lba, 1, self.last_lba - self.array),
        ];
        for (my_lba, alternate_lba, array_lba) in copies {
            header.my_lba = my_lba.into();
            header.alternate_lba = alternate_lba.into();
            header.entry_array_lba = array_lba.into();
            header.header_crc32 = 0.into();
            header.header_crc32 = crc32(&[header.as_bytes()]).into();
            writes.push((ByteOffset(array_lba * self.sector), array.clone()));
            let mut sector = header.as_bytes().to_vec();
            sector.resize(self.first_sector.len(), 0);
            writes.push((ByteOffset(my_lba * self.sector), sector));
        }
        writes
    }

    /// Sector 0, its protective entry as long as the disk ([UEFI] 5.2.3).
    fn protective_mbr(&self) -> Vec<u8> {
        let mut bytes = self.first_sector.clone();
        if let Ok((mbr, _)) = Mbr::mut_from_prefix(&mut bytes) {
            let records = mbr.records.iter_mut();
            for record in records.filter(|record| record.os_type == MBR_TYPE_PROTECTIVE) {
                if record.start_lba.get() == 1 {
                    let sectors = u32::try_from(self.last_lba).unwrap_or(u32::MAX);
                    record.sector_count = sectors.into();
                }
            }
        }
        bytes
    }
}

/// Sector 0 of a disk with a master boot record, in which the partition `from` becomes `to`.
///
/// # Errors
/// `InvalidOption` where the record cannot say how long it is, `Io`.
pub(crate) fn mbr_write(
    disk: &dyn Disk,
    from: ByteRange,
    to: ByteRange,
) -> Result<Write, MkfsError> {
    let sector = disk.logical_sector_size().bytes();
    let mut bytes = vec![0; usize::try_from(sector).unwrap_or(0)];
    disk.read_at(&mut bytes, ByteOffset(0))?;
    let count = u32::try_from(to.len().get() / sector).map_err(|_| MkfsError::InvalidOption {
        option: "size",
        reason: "a master boot record knows partitions of at most 4,294,967,295 sectors".to_owned(),
    })?;
    if let Ok((mbr, _)) = Mbr::mut_from_prefix(&mut bytes) {
        for record in &mut mbr.records {
            let starts = u64::from(record.start_lba.get()) * sector == from.start().get();
            if starts && record.os_type != 0 {
                record.sector_count = count.into();
                // Beyond what cylinders can say, which is what all systems go by now.
                record.end_chs = [0xFE, 0xFF, 0xFF];
            }
        }
    }
    Ok((ByteOffset(0), bytes))
}
