//! Another size for a volume: its bitmap, the list of bad clusters and both boot sectors say it; what
//! lies behind a new end moves before it ([`super::moves`]).

use blockio::ByteCount;

use super::bytes::{narrow, put, wide};
use super::moves::Leaving;
use super::record::{Stream, Value, kind};
use super::space::{Space, read_stream, write_stream};
use super::table::MFT;
use super::volume::Volume;
use crate::change::{ChangeError, Meter};
use crate::ntfs::parse::count_ones_from;
use crate::ntfs::runs::{Lcn, Run, push_joined, total};

pub(super) const BITMAP: u64 = 6;
pub(super) const BAD_CLUSTERS: u64 = 8;
/// Bytes copied at once.
pub(super) const STEP: u64 = 1 << 20;
/// Clusters that must stay free besides those in use: room for records and lists that grow while
/// clusters move.
const MARGIN: u64 = 64;
/// Where the boot sector says how many sectors there are, and where the table and its copy begin.
const TOTAL_SECTORS: usize = 0x28;
const TABLE: usize = 0x30;
const TABLE_COPY: usize = 0x38;

/// Sectors and clusters of a volume that fills a partition.
struct Extent {
    sectors: u64,
    clusters: u64,
}

fn name_of_bad() -> Vec<u16> {
    "$Bad".encode_utf16().collect()
}

impl Volume<'_> {
    fn extent(&self, bytes: u64) -> Result<Extent, ChangeError> {
        let boot = self.disk.read_vec(0, 512)?;
        let sector = u64::from(super::bytes::u16_at(&boot, 11).unwrap_or(0)).max(256);
        // The last sector of the partition holds the copy of the first.
        let sectors = (bytes / sector).saturating_sub(1);
        Ok(Extent {
            sectors,
            clusters: sectors * sector / self.layout.cluster,
        })
    }

    /// Bytes of the smallest partition that what is on the volume fits in.
    pub(super) fn minimum(&mut self) -> Result<u64, ChangeError> {
        let used = self.used_before(self.layout.clusters)?;
        let clusters = used.saturating_add(MARGIN).min(self.layout.clusters);
        // A cluster more holds the last sector.
        Ok((clusters + 1).saturating_mul(self.layout.cluster))
    }

    /// Clusters in use before a cluster.
    fn used_before(&mut self, end: u64) -> Result<u64, ChangeError> {
        let stream = self.space.stream().clone();
        let mut used = 0;
        let mut offset = 0;
        let bytes = end.div_ceil(8);
        while offset < bytes {
            let mut bits = vec![0; narrow(STEP.min(bytes - offset))];
            read_stream(&self.disk, &stream, self.layout.cluster, &mut bits, offset)?;
            let first = offset * 8;
            let stop = (first + wide(bits.len()) * 8).min(end);
            let mut at = first;
            while at < stop {
                let (is_used, length) = count_ones_from(&bits, at - first);
                let length = length.max(1).min(stop - at);
                used += if is_used { length } else { 0 };
                at += length;
            }
            offset += wide(bits.len());
        }
        Ok(used)
    }

    /// Lets the volume fill a partition of `bytes`.
    pub(super) fn resize(&mut self, bytes: u64, meter: &mut Meter<'_>) -> Result<(), ChangeError> {
        let extent = self.extent(bytes)?;
        if extent.clusters < self.layout.clusters {
            self.shrink(extent.clusters, bytes, meter)?;
        } else if extent.clusters > self.layout.clusters {
            self.grow(extent.clusters)?;
        }
        self.resize_bad_clusters(extent.clusters)?;
        self.write_boot_sectors(extent.sectors)
    }

    /// Moves what is in the ranges `leave` to free clusters in the ranges `into`; all are ascending
    /// and apart, in bytes of the partition, and counted inward to whole clusters.
    pub(super) fn evacuate(
        &mut self,
        leave: &[(u64, u64)],
        into: &[(u64, u64)],
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let clusters = |ranges: &[(u64, u64)]| -> Vec<(u64, u64)> {
            let whole = ranges
                .iter()
                .map(|(start, end)| (start.div_ceil(cluster), end / cluster));
            whole.filter(|(start, end)| start < end).collect()
        };
        let boot = self.disk.read_vec(0, 512)?;
        let sectors = super::bytes::u64_at(&boot, TOTAL_SECTORS)
            .ok_or_else(|| ChangeError::damaged("boot sector", 0, "it is too short"))?;
        self.space.take_only(clusters(into));
        self.move_away(&Leaving::ranges(clusters(leave)), meter)?;
        self.write_boot_sectors(sectors)
    }

    fn grow(&mut self, clusters: u64) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let old = self.layout.clusters;
        let mut stream = self.space.stream().clone();
        let old_size = stream.size;
        let size = clusters.div_ceil(64) * 8;
        let held = total(&stream.runs) * cluster;
        let missing = self
            .layout
            .clusters_for(size)
            .saturating_sub(held / cluster);
        // In what is added; but the copy of the boot sector at the old end is a part of the old state.
        let start = (old + 1).max(self.end_of_boot_copy()?);
        let added = Run::data(Lcn(start), missing);
        if missing > clusters.saturating_sub(start) {
            return Err(ChangeError::NoSpace {
                needed: ByteCount(missing * cluster),
                available: ByteCount(clusters.saturating_sub(start) * cluster),
            });
        }
        self.space.store(&mut self.disk)?;
        push_joined(&mut stream.runs, added);
        stream.allocated += missing * cluster;
        stream.size = size.max(old_size);
        stream.initialized = stream.size;
        self.write_zeros(added)?;
        // What is left of a longer bitmap that was there before.
        self.clear_bytes(&stream, old_size, held.min(stream.size))?;
        // What padded the old bitmap is free now, what pads the new one is not.
        self.set_bits(&stream, old, clusters.min(old_size * 8), false)?;
        self.set_bits(&stream, clusters, stream.size * 8, true)?;
        self.layout.clusters = clusters;
        self.space = Space::new(stream.clone(), &self.layout, old)?;
        self.space.mark_used(&self.disk, added)?;
        self.with_file(BITMAP, |file| {
            file.attribute_mut(kind::DATA, &[])?.value = Value::Stream(stream);
            Ok(())
        })
    }

    /// The cluster behind the one that holds the copy of the boot sector.
    fn end_of_boot_copy(&self) -> Result<u64, ChangeError> {
        let boot = self.disk.read_vec(0, 512)?;
        let sector = u64::from(super::bytes::u16_at(&boot, 11).unwrap_or(0));
        let sectors = super::bytes::u64_at(&boot, TOTAL_SECTORS).unwrap_or(0);
        Ok(sectors.saturating_mul(sector) / self.layout.cluster + 1)
    }

    fn clear_bytes(&mut self, stream: &Stream, from: u64, to: u64) -> Result<(), ChangeError> {
        let mut at = from;
        while at < to {
            let zeros = vec![0; narrow(STEP.min(to - at))];
            write_stream(&mut self.disk, stream, self.layout.cluster, &zeros, at)?;
            at += wide(zeros.len());
        }
        Ok(())
    }

    /// Zeros in clusters that were nobody's.
    fn write_zeros(&mut self, run: Run) -> Result<(), ChangeError> {
        let Some(Lcn(start)) = run.start else {
            return Ok(());
        };
        let (mut at, end) = (
            start * self.layout.cluster,
            (start + run.length) * self.layout.cluster,
        );
        let zeros = vec![0; narrow(STEP.min(end - at))];
        while at < end {
            let length = narrow((end - at).min(STEP));
            self.disk.write_data(&zeros[..length], at)?;
            at += wide(length);
        }
        Ok(())
    }

    /// Sets bits of the bitmap from `from` to `to`; whole bytes of it in pieces.
    fn set_bits(
        &mut self,
        stream: &Stream,
        from: u64,
        to: u64,
        value: bool,
    ) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let mut at = from;
        while at < to {
            let offset = at / 8;
            let end = to.min((offset + STEP) * 8);
            let mut bytes = vec![0; narrow(end.div_ceil(8) - offset)];
            read_stream(&self.disk, stream, cluster, &mut bytes, offset)?;
            let before = bytes.clone();
            while at < end {
                let bit = at - offset * 8;
                if let Some(byte) = bytes.get_mut(narrow(bit / 8)) {
                    let mask = 1_u8 << (bit % 8);
                    match value {
                        true => *byte |= mask,
                        false => *byte &= !mask,
                    }
                }
                at += 1;
            }
            if bytes != before {
                write_stream(&mut self.disk, stream, cluster, &bytes, offset)?;
            }
        }
        Ok(())
    }

    fn shrink(
        &mut self,
        clusters: u64,
        bytes: u64,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let minimum = self.minimum()?;
        if bytes < minimum || clusters == 0 {
            return Err(ChangeError::BelowMinimum {
                minimum: ByteCount(minimum),
            });
        }
        self.space.take_before(clusters);
        self.move_away(&Leaving::behind(clusters), meter)
            .map_err(|error| match error {
                ChangeError::NoSpace { .. } => ChangeError::BelowMinimum {
                    minimum: ByteCount(minimum),
                },
                error => error,
            })?;
        let mut stream = self.space.stream().clone();
        let size = clusters.div_ceil(64) * 8;
        let kept = self.layout.clusters_for(size);
        let mut runs = Vec::new();
        let mut dropped = Vec::new();
        let mut left = kept;
        for run in std::mem::take(&mut stream.runs) {
            let (head, rest) = match left {
                0 => (None, Some(run)),
                left => {
                    let (head, rest) = run.split(left);
                    (Some(head), rest)
                }
            };
            if let Some(head) = head {
                left -= head.length;
                push_joined(&mut runs, head);
            }
            dropped.extend(rest);
        }
        stream.runs = runs;
        stream.allocated = kept * self.layout.cluster;
        stream.size = size;
        stream.initialized = size;
        self.space.give(&self.disk, &dropped)?;
        self.space.end_at(&self.disk, clusters, stream.clone())?;
        self.with_file(BITMAP, |file| {
            file.attribute_mut(kind::DATA, &[])?.value = Value::Stream(stream);
            Ok(())
        })
    }

    /// The hole (and the bad clusters in it) that is as long as the volume.
    fn resize_bad_clusters(&mut self, clusters: u64) -> Result<(), ChangeError> {
        let size = clusters * self.layout.cluster;
        let name = name_of_bad();
        self.with_file(BAD_CLUSTERS, |file| {
            let Value::Stream(stream) = &mut file.attribute_mut(kind::DATA, &name)?.value else {
                // Some systems keep an empty one in the record.
                return Ok(());
            };
            let mut runs = Vec::new();
            let mut left = clusters;
            for run in &stream.runs {
                let (head, _) = run.split(left);
                push_joined(&mut runs, head);
                left = left.saturating_sub(run.length);
                if left == 0 {
                    break;
                }
            }
            push_joined(&mut runs, Run::hole(left));
            stream.runs = runs;
            stream.allocated = size;
            stream.size = size;
            stream.initialized = stream.initialized.min(size);
            Ok(())
        })
    }

    /// Writes both boot sectors, with the number of sectors and where the table and its copy are.
    pub(super) fn write_boot_sectors(&mut self, sectors: u64) -> Result<(), ChangeError> {
        let first_cluster = |stream: &Stream| {
            let first = stream.runs.first().and_then(|run| run.start);
            first.map(|Lcn(lcn)| lcn)
        };
        let table = first_cluster(self.file(MFT)?.stream(kind::DATA, &[])?);
        let copy = first_cluster(&self.mirror);
        let head = self.disk.read_vec(0, 512)?;
        let sector = u64::from(super::bytes::u16_at(&head, 11).unwrap_or(512));
        let mut boot = self.disk.read_vec(0, narrow(sector))?;
        put(&mut boot, TOTAL_SECTORS, &sectors.to_le_bytes());
        if let Some(table) = table {
            put(&mut boot, TABLE, &table.to_le_bytes());
        }
        if let Some(copy) = copy {
            put(&mut boot, TABLE_COPY, &copy.to_le_bytes());
        }
        self.disk.write(&boot, sectors * sector)?;
        self.disk.write(&boot, 0)
    }
}
