//! An image that is there, open for reading.

use std::sync::{Mutex, PoisonError};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind,
    Operation, SectorSize, Storage,
};

use super::backing::{open_backing, parent_info, read_backing};
use super::compressed::unpack;
use super::header::{Header, read_header};
use super::table::{Cluster, RULE, Tables};
use crate::bounds::{buffer_len, checked_range, checked_status, to_index};
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::info::{ImageInfo, ImageKind};

/// Most clusters whose kind one status looks at.
const MAX_STEPS: u64 = 1 << 16;

/// An open image.
struct Qcow2Disk {
    storage: Box<dyn Storage>,
    header: Header,
    tables: Tables,
    backing: Option<Box<dyn ImageDisk>>,
    /// The packed cluster that was unpacked last, by its number.
    unpacked: Mutex<Option<(u64, Vec<u8>)>>,
}

/// Opens an image with its backing files, for reading.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported` (also to be written), `Io`, and those of the backing file.
pub(crate) fn open(
    storage: Box<dyn Storage>,
    access: Access,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    if access == Access::ReadWrite {
        return Err(ImageError::unsupported(
            "writing to a qcow2 image that exists",
        ));
    }
    let seen: Vec<_> = gate.identity().into_iter().collect();
    open_seen(storage, gate, &seen)
}

/// As [`open`]; `seen` are the image and all that led to it.
pub(super) fn open_seen(
    storage: Box<dyn Storage>,
    gate: &dyn ParentGate,
    seen: &[crate::gate::FileIdentity],
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let header = read_header(&*storage)?;
    let backing = match &header.backing {
        Some(backing) => Some(open_backing(backing, gate, seen)?),
        None => None,
    };
    let tables = Tables::load(&*storage, &header)?;
    Ok(Box::new(Qcow2Disk {
        storage,
        header,
        tables,
        backing,
        unpacked: Mutex::default(),
    }))
}

/// Facts of an image, also of one whose backing file is not there.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Io`.
pub(crate) fn info(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    let header = read_header(storage)?;
    let tables = Tables::load(storage, &header)?;
    Ok(describe(&header, allocated(storage, &header, &tables)?))
}

/// Clusters that have a place.
fn allocated(storage: &dyn Storage, header: &Header, tables: &Tables) -> Result<u64, ImageError> {
    let mut count = 0;
    for (first, entry) in (0_u64..).zip(tables.first_level()) {
        if *entry == 0 {
            continue;
        }
        let table = tables.second_level(storage, first)?;
        let entries = table.iter().flat_map(|table| table.iter());
        count += u64::try_from(entries.filter(|entry| **entry > 1).count()).unwrap_or(0);
    }
    Ok(count * header.cluster())
}

fn describe(header: &Header, allocated: u64) -> ImageInfo {
    ImageInfo {
        format: ImageFormat::Qcow2,
        kind: match header.backing {
            Some(_) => ImageKind::Differencing,
            None => ImageKind::Dynamic,
        },
        virtual_size: ByteCount(header.size),
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B4096,
        block_size: Some(ByteCount(header.cluster())),
        allocated: ByteCount(allocated),
        file_length: ByteCount(header.file_length),
        ids: Vec::new(),
        creator: format!("qcow2 version {}", header.version),
        dirty_log: false,
        parent: header.backing.as_ref().map(parent_info),
    }
}

impl Qcow2Disk {
    fn find(&self, number: u64) -> blockio::Result<Cluster> {
        let at = ByteOffset(number.saturating_mul(self.header.cluster()));
        self.tables
            .find(&*self.storage, number)
            .map_err(|error| error.into_io(Operation::Read, at, ByteCount(self.header.cluster())))
    }

    /// Fills `buf` with a part of one cluster.
    fn read_piece(&self, number: u64, within: u64, buf: &mut [u8]) -> blockio::Result<()> {
        match self.find(number)? {
            Cluster::Zero => buf.fill(0),
            Cluster::Unallocated => match &self.backing {
                Some(backing) => {
                    let at = number.saturating_mul(self.header.cluster()) + within;
                    read_backing(&**backing, buf, at)?;
                }
                None => buf.fill(0),
            },
            Cluster::Data(place) => {
                let start = place.saturating_add(within);
                let stored = self.header.file_length.saturating_sub(start);
                let stored = to_index(stored).unwrap_or(usize::MAX).min(buf.len());
                let (inside, behind) = buf.split_at_mut(stored);
                behind.fill(0);
                if !inside.is_empty() {
                    self.storage.read_at(inside, ByteOffset(start))?;
                }
            }
            Cluster::Packed { offset, length } => {
                self.read_packed(number, offset, length, within, buf)?;
            }
        }
        Ok(())
    }

    fn read_packed(
        &self,
        number: u64,
        offset: u64,
        length: u64,
        within: u64,
        buf: &mut [u8],
    ) -> blockio::Result<()> {
        let within = to_index(within).unwrap_or(usize::MAX);
        let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(kept, _)| *kept != number) {
            // At most twice a cluster: the count of sectors has so many bits.
            let mut packed = vec![0; to_index(length).unwrap_or(0)];
            self.storage.read_at(&mut packed, ByteOffset(offset))?;
            let mut cluster = vec![0; to_index(self.header.cluster()).unwrap_or(0)];
            if !unpack(self.header.compression, &packed, &mut cluster) {
                let message = format!("cluster {number} does not unpack");
                let at = ByteOffset(number.saturating_mul(self.header.cluster()));
                let error = ImageError::damaged_at(RULE, ByteOffset(offset), message);
                return Err(error.into_io(Operation::Read, at, ByteCount(buffer_len(buf))));
            }
            *kept = Some((number, cluster));
        }
        if let Some((_, cluster)) = &*kept
            && let Some(part) = cluster.get(within..within.saturating_add(buf.len()))
        {
            buf.copy_from_slice(part);
        }
        Ok(())
    }

    /// The kind of cluster `number`, and of how many bytes from `at` on in it.
    fn kind_at(&self, at: u64, end: u64) -> blockio::Result<(BlockKind, u64)> {
        let cluster = self.header.cluster();
        let number = at / cluster;
        let stop = (number + 1).saturating_mul(cluster).min(end);
        let kind = match self.find(number)? {
            Cluster::Zero => BlockKind::Zero,
            Cluster::Data(_) | Cluster::Packed { .. } => BlockKind::Data,
            Cluster::Unallocated => match &self.backing {
                None => {
                    let absent = self.tables.absent(number).max(1);
                    let stop = number
                        .saturating_add(absent)
                        .saturating_mul(cluster)
                        .min(end);
                    return Ok((BlockKind::Hole, stop - at));
                }
                Some(backing) if at >= backing.size().get() => BlockKind::Hole,
                Some(backing) => {
                    let stop = stop.min(backing.size().get());
                    let range = ByteRange::between(ByteOffset(at), ByteOffset(stop));
                    let Some(range) = range else {
                        return Ok((BlockKind::Data, stop - at));
                    };
                    let status = backing.block_status(range)?;
                    return Ok((status.kind, status.range.len().get()));
                }
            },
        };
        Ok((kind, stop - at))
    }

    fn refuse(operation: Operation, range: ByteRange) -> blockio::Result<()> {
        let kind = IoErrorKind::ReadOnly;
        Err(IoError::new(kind, operation, range.start(), range.len()))
    }
}

impl Disk for Qcow2Disk {
    fn size(&self) -> ByteCount {
        ByteCount(self.header.size)
    }

    fn logical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn physical_sector_size(&self) -> SectorSize {
        SectorSize::B4096
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        checked_range(Operation::Read, offset, buffer_len(buf), self.size())?;
        let cluster = self.header.cluster();
        let (mut at, mut rest) = (offset.get(), buf);
        while !rest.is_empty() {
            let within = at % cluster;
            let length = to_index(cluster - within)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let (piece, after) = rest.split_at_mut(length);
            self.read_piece(at / cluster, within, piece)?;
            at += buffer_len(piece);
            rest = after;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        let range = checked_range(Operation::Write, offset, buffer_len(buf), self.size())?;
        Self::refuse(Operation::Write, range)
    }

    fn flush(&self) -> blockio::Result<()> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> blockio::Result<()> {
        Self::refuse(Operation::Discard, range)
    }

    fn write_zeroes(&self, range: ByteRange) -> blockio::Result<()> {
        Self::refuse(Operation::Zero, range)
    }

    fn block_status(&self, range: ByteRange) -> blockio::Result<BlockStatus> {
        checked_status(range, self.size())?;
        let (start, end) = (range.start().get(), range.end().get());
        let (kind, first) = self.kind_at(start, end)?;
        let mut at = start + first.max(1);
        for _ in 0..MAX_STEPS {
            if at >= end {
                break;
            }
            let (next, length) = self.kind_at(at, end)?;
            if next != kind {
                break;
            }
            at = at.saturating_add(length.max(1));
        }
        let range = checked_range(
            Operation::Status,
            range.start(),
            at.min(end) - start,
            self.size(),
        )?;
        Ok(BlockStatus { range, kind })
    }
}

impl ImageDisk for Qcow2Disk {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        Ok(())
    }

    fn info(&self) -> ImageInfo {
        let allocated = allocated(&*self.storage, &self.header, &self.tables);
        describe(&self.header, allocated.unwrap_or(0))
    }
}
