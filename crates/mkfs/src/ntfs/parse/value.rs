//! The value of an attribute, wherever it lies, read by position.

use super::error::{ParseError, Structure};
use super::stream::StreamMap;
use super::volume::NtfsVolume;

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Value {
    /// It stands in the record.
    Resident(Vec<u8>),
    /// It lies in clusters.
    Stream(StreamMap),
}

impl Value {
    /// Bytes of the value.
    pub fn size(&self) -> u64 {
        match self {
            Self::Resident(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Stream(map) => map.size,
        }
    }

    /// Its map, where it lies in clusters.
    pub fn map(&self) -> Option<&StreamMap> {
        match self {
            Self::Resident(_) => None,
            Self::Stream(map) => Some(map),
        }
    }

    /// Reads from `offset` until `buf` is full or the value ends; returns the bytes read. Holes, and
    /// what lies behind the valid bytes, read as zeros.
    ///
    /// # Errors
    /// `Unsupported` for encrypted values and those compressed in an unknown way, `Damaged` where
    /// clusters are missing or do not unpack, `Disk`.
    pub fn read_at(
        &self,
        volume: &NtfsVolume<'_>,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize, ParseError> {
        let left = self.size().saturating_sub(offset);
        let count = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let buf = &mut buf[..count];
        match self {
            Self::Resident(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = bytes.get(start..).unwrap_or_default();
                buf.copy_from_slice(&from[..count]);
            }
            Self::Stream(map) => read_stream(map, volume, buf, offset)?,
        }
        Ok(count)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// As for [`Value::read_at`]; `Damaged` where the value ends before.
    pub fn read_exact_at(
        &self,
        volume: &NtfsVolume<'_>,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<(), ParseError> {
        if self.read_at(volume, buf, offset)? < buf.len() {
            return Err(ParseError::damaged(Structure::Stream, "it is too short").at(offset));
        }
        Ok(())
    }

    /// The whole value, which must not be longer than `limit`.
    ///
    /// # Errors
    /// As for [`Value::read_at`]; `Damaged` where it is longer.
    pub fn read_all(&self, volume: &NtfsVolume<'_>, limit: u64) -> Result<Vec<u8>, ParseError> {
        let size = self.size();
        let too_long = || ParseError::damaged(Structure::Stream, format!("it has {size} bytes"));
        if size > limit {
            return Err(too_long());
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| too_long())?];
        self.read_exact_at(volume, &mut bytes, 0)?;
        Ok(bytes)
    }
}

fn read_stream(
    map: &StreamMap,
    volume: &NtfsVolume<'_>,
    buf: &mut [u8],
    mut offset: u64,
) -> Result<(), ParseError> {
    if map.is_encrypted() {
        return Err(ParseError::Unsupported("an encrypted stream"));
    }
    if map.is_compressed() {
        return read_compressed(map, volume, buf, offset);
    }
    let cluster = volume.geometry().cluster;
    let mut rest = buf;
    while !rest.is_empty() {
        let missing = || ParseError::damaged(Structure::Stream, "clusters are missing").at(offset);
        let (position, mut room) = map.locate(offset, cluster).ok_or_else(missing)?;
        let valid = map.initialized.saturating_sub(offset);
        if valid > 0 {
            room = room.min(valid);
        }
        let count = usize::try_from(room).map_or(rest.len(), |room| room.min(rest.len()));
        let (now, later) = rest.split_at_mut(count);
        match position {
            Some(position) if valid > 0 => volume.read(now, position)?,
            _ => now.fill(0),
        }
        offset += u64::try_from(count).unwrap_or(u64::MAX);
        rest = later;
    }
    Ok(())
}

fn read_compressed(
    map: &StreamMap,
    volume: &NtfsVolume<'_>,
    buf: &mut [u8],
    mut offset: u64,
) -> Result<(), ParseError> {
    let cluster = volume.geometry().cluster;
    let unit = map.unit_bytes(cluster)?;
    let too_long = || ParseError::Unsupported("a compressed stream of an unknown kind");
    let mut bytes = vec![0; usize::try_from(unit).map_err(|_| too_long())?];
    let mut rest = buf;
    while !rest.is_empty() {
        map.read_unit(offset / unit, cluster, &mut bytes, &mut |part, at| {
            volume.read(part, at)
        })?;
        let within = usize::try_from(offset % unit).map_err(|_| too_long())?;
        let count = (bytes.len() - within).min(rest.len());
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(&bytes[within..within + count]);
        offset += u64::try_from(count).unwrap_or(u64::MAX);
        rest = later;
    }
    Ok(())
}
