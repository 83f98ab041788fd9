//! The content of a compressed file: unpacked unit by unit.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};
use mkfs::ntfs::parse::{ParseError, StreamMap};
use mkfs::{FileContent, TreeError};

use super::super::described::of_parse;
use super::super::malformed;

/// The content of a compressed value; units without clusters are holes.
///
/// # Errors
/// `Unsupported` where it is compressed in an unknown way, `Malformed` where clusters are missing.
pub(super) fn content(
    map: StreamMap,
    disk: &Arc<dyn Disk>,
    cluster: u64,
    path: &str,
) -> Result<FileContent, TreeError> {
    let unit = map
        .unit_bytes(cluster)
        .map_err(|error| of_parse(path, &error))?;
    let missing = || malformed(path, "its clusters end before its size");
    if map.clusters().saturating_mul(cluster) < map.size {
        return Err(missing());
    }
    let end_of_data = map.initialized.next_multiple_of(cluster).min(map.size);
    let units = units_with_data(&map, unit / cluster, end_of_data.div_ceil(unit));
    let islands = units.iter().map(|range| {
        let end = range.end.saturating_mul(unit).min(end_of_data);
        ByteRange::between(ByteOffset(range.start * unit), ByteOffset(end)).ok_or_else(missing)
    });
    Ok(FileContent {
        size: ByteCount(map.size),
        islands: islands.collect::<Result<_, _>>()?,
        reader: Box::new(Units {
            disk: Arc::clone(disk),
            cluster,
            unit,
            end_of_data,
            units: units.into_iter(),
            range: 0..0,
            bytes: vec![0; usize::try_from(unit).map_err(|_| missing())?],
            unread: 0..0,
            map,
        }),
    })
}

/// The units that have clusters, below `end`: ascending and apart.
fn units_with_data(map: &StreamMap, clusters: u64, end: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in map.extents() {
        if extent.run.start.is_none() || extent.run.length == 0 {
            continue;
        }
        let first = extent.vcn / clusters;
        let last = (extent.vcn + extent.run.length).div_ceil(clusters).min(end);
        match ranges.last_mut() {
            Some(range) if first <= range.end => range.end = range.end.max(last),
            _ if first < last => ranges.push(first..last),
            _ => {}
        }
    }
    ranges
}

/// Reads units one after another.
struct Units {
    map: StreamMap,
    disk: Arc<dyn Disk>,
    cluster: u64,
    unit: u64,
    end_of_data: u64,
    units: std::vec::IntoIter<Range<u64>>,
    range: Range<u64>,
    /// The unit read last.
    bytes: Vec<u8>,
    /// What of it was not handed out.
    unread: Range<usize>,
}

impl Read for Units {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            let unit = loop {
                if let Some(unit) = self.range.next() {
                    break unit;
                }
                match self.units.next() {
                    Some(range) => self.range = range,
                    None => return Ok(0),
                }
            };
            let disk = &self.disk;
            let mut read = |part: &mut [u8], at: u64| {
                disk.read_at(part, ByteOffset(at)).map_err(ParseError::from)
            };
            self.map
                .read_unit(unit, self.cluster, &mut self.bytes, &mut read)
                .map_err(io::Error::other)?;
            let left = self.end_of_data.saturating_sub(unit * self.unit);
            let count = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.bytes.len());
            self.unread = 0..count;
        }
        let count = self.unread.len().min(out.len());
        out[..count].copy_from_slice(&self.bytes[self.unread.start..self.unread.start + count]);
        self.unread.start += count;
        Ok(count)
    }
}
