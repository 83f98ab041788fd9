//! `$Bitmap`: a bit for each cluster, written only where bits are set.

use super::narrow::{to_usize, wide};
use super::stream::{StreamBuilder, Volume};
use crate::error::MkfsError;

const CHUNK: u64 = 64 * 1024;

/// Bytes of a bitmap of so many bits: whole words of 64.
pub(super) const fn size(bits: u64) -> u64 {
    bits.div_ceil(64) * 8
}

/// Writes the bitmap of the clusters in use into `stream`, whose own clusters are taken already.
/// Bits past the last cluster are set.
pub(super) fn write(
    stream: &mut StreamBuilder,
    volume: &mut Volume<'_>,
    clusters: u64,
) -> Result<(), MkfsError> {
    let used = volume.space.used();
    let bits = size(clusters) * 8;
    let ranges = [used[0], used[1], used[2], (clusters, bits)];
    let mut buffer = Vec::new();
    let mut start = 0;
    while start < bits {
        let end = (start + CHUNK * 8).min(bits);
        let within = |(first, last): &(u64, u64)| (*first).max(start)..(*last).min(end);
        let here = ranges.iter().map(within).filter(|range| !range.is_empty());
        if here.clone().next().is_none() {
            stream.skip(volume, (end - start) / 8)?;
        } else {
            buffer.clear();
            buffer.resize(to_usize((end - start) / 8, "a bitmap")?, 0);
            for range in here {
                set(&mut buffer, range.start - start, range.end - start)?;
            }
            stream.append(volume, &buffer)?;
        }
        start = end;
    }
    Ok(())
}

/// Sets the bits from `first` up to, not including, `end`.
pub(super) fn set(bytes: &mut [u8], first: u64, end: u64) -> Result<(), MkfsError> {
    let mut bit = first;
    while bit < end {
        let byte = to_usize(bit / 8, "a bitmap")?;
        if bit.is_multiple_of(8) && end - bit >= 8 {
            let last = to_usize(end / 8, "a bitmap")?;
            bytes[byte..last].fill(0xFF);
            bit = wide(last) * 8;
        } else {
            bytes[byte] |= 1 << (bit % 8);
            bit += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_set_to_the_bit() {
        for (first, end) in [(0, 0), (0, 1), (3, 7), (3, 21), (8, 16), (7, 32), (0, 32)] {
            let mut bytes = [0; 4];
            set(&mut bytes, first, end).unwrap();
            let expected = (0..32).fold(0_u32, |word, bit| {
                word | u32::from(bit >= first && bit < end) << bit
            });
            assert_eq!(u32::from_le_bytes(bytes), expected, "{first}..{end}");
        }
    }

    #[test]
    fn sizes_are_whole_words() {
        assert_eq!([size(0), size(1), size(64), size(751)], [0, 8, 8, 96]);
    }
}
