//! Compressed values: units of 16 clusters, each stored as it is, as a hole, or packed by LZNT1
//! ([MS-XCA] 2.5) into fewer clusters, with a hole behind them ([MS-FSCC] on FSCTL_SET_COMPRESSION).
//!
//! Invariant: what is unpacked never grows past its unit, whatever the bytes say.

use super::error::{ParseError, Structure};
use super::stream::StreamMap;

/// Bytes that a chunk unpacks to at most.
const CHUNK: usize = 4096;
/// The head of a chunk: bytes behind it less one, and whether they are packed.
const CHUNK_SIZE_MASK: u16 = 0x0FFF;
const CHUNK_IS_PACKED: u16 = 0x8000;
/// Bytes of a unit that are accepted: Windows packs 16 clusters of 4 KiB at most, others know larger
/// clusters.
const MAX_UNIT: u64 = 1 << 20;
/// The only method there is: LZNT1.
const METHOD: u16 = 1;
const METHOD_MASK: u16 = 0x00FF;

/// Unpacks LZNT1 into `out`; what is not reached becomes zeros. `None` where the bytes are none.
///
/// A chunk that unpacks to less than 4 KiB counts as 4 KiB where another follows.
pub fn unpack_lznt1(packed: &[u8], out: &mut [u8]) -> Option<()> {
    out.fill(0);
    let mut rest = packed;
    let mut chunks = out.chunks_mut(CHUNK);
    // Ends: each turn takes a chunk of the output.
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        if head == 0 {
            return Some(());
        }
        let Some(chunk) = chunks.next() else {
            return Some(());
        };
        let size = usize::from(head & CHUNK_SIZE_MASK) + 1;
        let body = after.get(..size)?;
        if head & CHUNK_IS_PACKED == 0 {
            chunk.get_mut(..size)?.copy_from_slice(body);
        } else {
            unpack_chunk(body, chunk)?;
        }
        rest = &after[size..];
    }
    Some(())
}

fn unpack_chunk(packed: &[u8], out: &mut [u8]) -> Option<()> {
    let mut at = 0;
    let mut bytes = packed.iter().copied();
    while let Some(flags) = bytes.next() {
        for bit in 0..8 {
            let Some(first) = bytes.next() else {
                return Some(());
            };
            if flags >> bit & 1 == 0 {
                *out.get_mut(at)? = first;
                at += 1;
                continue;
            }
            let token = u16::from_le_bytes([first, bytes.next()?]);
            // The further into the chunk, the more bits tell how far back, and the fewer how much.
            let far_bits = (at.checked_sub(1)?)
                .checked_ilog2()
                .map_or(4, |log| (log + 1).max(4));
            let length_bits = 16 - far_bits;
            let length = usize::from(token & ((1 << length_bits) - 1)) + 3;
            let distance = usize::from(token >> length_bits) + 1;
            let from = at.checked_sub(distance)?;
            if at + length > out.len() {
                return None;
            }
            // It may run into what it writes.
            for step in 0..length {
                out[at + step] = out[from + step];
            }
            at += length;
        }
    }
    Some(())
}

/// Reads bytes from a position of the volume.
pub type ReadVolume<'r> = &'r mut dyn FnMut(&mut [u8], u64) -> Result<(), ParseError>;

/// What a unit of a compressed value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// Nothing but zeros.
    Hole,
    /// The data as it is.
    Plain,
    /// Packed data in so many clusters.
    Packed(u64),
}

impl StreamMap {
    /// Bytes of a unit of a compressed value.
    ///
    /// # Errors
    /// `Unsupported` where it is packed in another way than Windows does.
    pub fn unit_bytes(&self, cluster: u64) -> Result<u64, ParseError> {
        let exponent = u32::from(self.compression_unit);
        let bytes = 1_u64
            .checked_shl(exponent)
            .and_then(|count| count.checked_mul(cluster));
        match bytes {
            Some(bytes)
                if self.flags & METHOD_MASK == METHOD && exponent > 0 && bytes <= MAX_UNIT =>
            {
                Ok(bytes)
            }
            _ => Err(ParseError::Unsupported(
                "a compressed stream of an unknown kind",
            )),
        }
    }

    /// The bytes of a unit of a compressed value: `out` is as long as a unit. `read` reads from a
    /// position of the volume.
    ///
    /// # Errors
    /// `Unsupported` as for [`StreamMap::unit_bytes`], `Damaged` where clusters are missing or do not
    /// unpack, and those of `read`.
    pub fn read_unit(
        &self,
        unit: u64,
        cluster: u64,
        out: &mut [u8],
        read: ReadVolume<'_>,
    ) -> Result<(), ParseError> {
        let start = unit.saturating_mul(self.unit_bytes(cluster)?);
        let damaged =
            |reason: &str| ParseError::damaged(Structure::Stream, reason.to_owned()).at(start);
        let count = u64::try_from(out.len()).unwrap_or(u64::MAX) / cluster;
        match self
            .stored(start / cluster, count)
            .ok_or_else(|| damaged("clusters are missing"))?
        {
            Stored::Hole => out.fill(0),
            Stored::Plain => self.read_clusters(start, cluster, out, read)?,
            Stored::Packed(clusters) => {
                let bytes = usize::try_from(clusters * cluster).unwrap_or(usize::MAX);
                let mut packed = vec![0; bytes.min(out.len())];
                self.read_clusters(start, cluster, &mut packed, read)?;
                unpack_lznt1(&packed, out).ok_or_else(|| damaged("it does not unpack"))?;
            }
        }
        // What is past the valid data reads as zeros.
        let valid = usize::try_from(self.initialized.saturating_sub(start)).unwrap_or(usize::MAX);
        if let Some(rest) = out.get_mut(valid..) {
            rest.fill(0);
        }
        Ok(())
    }

    /// How a unit is stored; `None` where clusters are missing, or data stands behind a hole.
    fn stored(&self, first: u64, count: u64) -> Option<Stored> {
        let mut data = 0;
        let mut at = first;
        let end = first + count;
        let mut is_behind_hole = false;
        while at < end {
            let index = self.extents().partition_point(|extent| extent.vcn <= at);
            let extent = self.extents().get(index.checked_sub(1)?)?;
            let extent_end = extent.vcn + extent.run.length;
            if extent_end <= at {
                return None;
            }
            let next = extent_end.min(end);
            if extent.run.start.is_none() {
                is_behind_hole = true;
            } else if is_behind_hole {
                return None;
            } else {
                data += next - at;
            }
            at = next;
        }
        Some(match data {
            0 => Stored::Hole,
            _ if data == count => Stored::Plain,
            _ => Stored::Packed(data),
        })
    }

    fn read_clusters(
        &self,
        mut offset: u64,
        cluster: u64,
        out: &mut [u8],
        read: ReadVolume<'_>,
    ) -> Result<(), ParseError> {
        let mut rest = out;
        while !rest.is_empty() {
            let missing =
                || ParseError::damaged(Structure::Stream, "clusters are missing").at(offset);
            let (position, room) = self.locate(offset, cluster).ok_or_else(missing)?;
            let count = usize::try_from(room).map_or(rest.len(), |room| room.min(rest.len()));
            let (now, later) = rest.split_at_mut(count);
            read(now, position.ok_or_else(missing)?)?;
            offset += u64::try_from(count).unwrap_or(u64::MAX);
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::unpack_lznt1;

    fn unpacked(packed: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut out = vec![0xEE; size];
        unpack_lznt1(packed, &mut out).map(|()| out)
    }

    #[test]
    fn the_examples_of_the_specification_unpack() {
        // [MS-XCA] 3.3: "F# F# G A A G F# E D C# B A B C# " and so on, packed by LZNT1.
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2,
            0x47, 0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0,
            0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58,
            0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01,
            0x18, 0x90, 0x00,
        ];
        let expected = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D \
                        E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        assert_eq!(
            unpacked(&packed, expected.len()).map(|bytes| String::from_utf8(bytes).unwrap()),
            Some(expected.to_owned())
        );
    }

    #[test]
    fn plain_chunks_stand_as_they_are_and_short_ones_count_as_whole() {
        let mut packed = vec![2, 0x30, b'a', b'b', b'c'];
        packed.extend([0x03, 0xB0, 0x02, b'x', 0xFC, 0x0F]);
        let out = unpacked(&packed, 3 * 4096).unwrap();
        assert_eq!(&out[..5], b"abc\0\0");
        assert!(out[4096..8192].iter().all(|byte| *byte == b'x'));
        assert!(out[8192..].iter().all(|byte| *byte == 0));
        assert_eq!(unpacked(&[], 8), Some(vec![0; 8]));
        assert_eq!(unpacked(&[0, 0, 9], 8), Some(vec![0; 8]));
    }

    #[test]
    fn what_reaches_outside_is_refused() {
        let cases: [&[u8]; 6] = [
            // Nothing stands before the first byte.
            &[0x02, 0xB0, 0x01, 0x00, 0x00],
            // Further back than there is.
            &[0x03, 0xB0, 0x02, b'x', 0x00, 0x10],
            // The chunk is longer than what follows.
            &[0x09, 0xB0, 0x00, b'x'],
            &[0x09, 0x30, b'x'],
            // Half a token.
            &[0x02, 0xB0, 0x02, b'x', 0x00],
            // Longer than a chunk: 4,096 and one more.
            &[0x05, 0xB0, 0x06, b'x', 0xFC, 0x0F, 0x00, 0x00],
        ];
        for packed in cases {
            assert_eq!(unpacked(packed, 4096), None, "{packed:x?}");
        }
    }
}
