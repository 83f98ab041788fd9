//! What the records of files say beyond their directories, and their named streams, by the bounded
//! reader of `mkfs`.

use std::io::Read;
use std::sync::Arc;

use blockio::Disk;
use mkfs::NtTime;
use mkfs::ntfs::parse::{NtfsVolume, Value};

use super::super::error::{BrowseError, Result};
use super::super::{ContentSink, Details, Entry, NamedStream};
use super::ROOT_RECORD;
use crate::volume_tree::ahead::Ahead;
use crate::volume_tree::content::content;
use crate::volume_tree::described::{Described, Descriptions};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The details of the entries of one directory; nothing of those that cannot be read.
pub(super) fn of_entries(disk: &Arc<dyn Disk>, entries: &[Entry]) -> Result<Vec<Option<Details>>> {
    let ahead = Ahead::new(Arc::clone(disk));
    let volume = NtfsVolume::open(&ahead).map_err(|error| BrowseError::damaged("/", error))?;
    let mut descriptions = Descriptions::open(&volume).map_err(BrowseError::Tree)?;
    Ok(entries
        .iter()
        .map(|entry| {
            let record = entry.node.unwrap_or(ROOT_RECORD);
            described(&volume, &mut descriptions, record, &entry.name)
                .ok()
                .map(details)
        })
        .collect())
}

fn described(
    volume: &NtfsVolume<'_>,
    descriptions: &mut Descriptions,
    record: u64,
    path: &str,
) -> Result<Described> {
    let file = volume
        .read_file(record)
        .map_err(|error| BrowseError::damaged(path, error))?;
    descriptions
        .describe(volume, &file, path)
        .map_err(BrowseError::Tree)
}

fn details(described: Described) -> Details {
    let streams = described.streams.iter().map(|(name, value)| NamedStream {
        name: String::from_utf16_lossy(name),
        size: value.size(),
    });
    Details {
        created: Some(described.times.created),
        changed: Some(described.times.changed),
        accessed: Some(described.times.accessed).filter(|time| *time != NtTime::default()),
        links: u64::try_from(described.names).unwrap_or(u64::MAX).max(1),
        streams: streams.collect(),
        security: described.security,
    }
}

/// Hands the content of a named stream on; returns its size.
pub(super) fn read_stream(
    disk: &Arc<dyn Disk>,
    record: u64,
    stream: &str,
    path: &str,
    sink: &mut dyn ContentSink,
) -> Result<u64> {
    let volume = NtfsVolume::open(&**disk).map_err(|error| BrowseError::damaged(path, error))?;
    let mut descriptions = Descriptions::open(&volume).map_err(BrowseError::Tree)?;
    let found = described(&volume, &mut descriptions, record, path)?;
    let (_, value) = found
        .streams
        .into_iter()
        .find(|(name, _)| String::from_utf16_lossy(name) == stream)
        .ok_or_else(|| BrowseError::NotFound {
            path: format!("{path}:{stream}"),
        })?;
    copy(&volume, disk, value, path, sink)
}

/// Hands the content of a value on, whatever it is stored as; returns its size.
pub(super) fn copy(
    volume: &NtfsVolume<'_>,
    disk: &Arc<dyn Disk>,
    value: Value,
    path: &str,
    sink: &mut dyn ContentSink,
) -> Result<u64> {
    let cluster = volume.geometry().cluster;
    let found = content(value, disk, cluster, path).map_err(BrowseError::Tree)?;
    let size = found.size.get();
    let mut at = 0;
    let mut reader = found.reader;
    let mut chunk = vec![0; CHUNK_BYTES];
    let host = |error| BrowseError::host(path, error);
    for island in found.islands {
        sink.hole(island.start().get().saturating_sub(at))
            .map_err(host)?;
        let mut left = island.len().get();
        while left > 0 {
            let room = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            let part = &mut chunk[..room];
            reader
                .read_exact(part)
                .map_err(|error| BrowseError::damaged(path, error))?;
            sink.data(part).map_err(host)?;
            left = left.saturating_sub(u64::try_from(room).unwrap_or(left));
        }
        at = island.end().get();
    }
    sink.hole(size.saturating_sub(at)).map_err(host)?;
    Ok(size)
}
