//! Writing any bytes in whole sectors: what a write lacks of its first and last sector is brought
//! from what is there.

use crate::bounds::{buffer_len, to_index};

/// Writes `buf` at `start`, both in any bytes, in whole sectors of `sector` bytes: `read` brings
/// what a sector holds now, `write` gets whole sectors.
///
/// # Errors
/// What `read` and `write` return.
pub(crate) fn write_whole_sectors(
    buf: &[u8],
    start: u64,
    sector: u64,
    read: &dyn Fn(&mut [u8], u64) -> blockio::Result<()>,
    write: &dyn Fn(&[u8], u64) -> blockio::Result<()>,
) -> blockio::Result<()> {
    let (mut at, mut rest) = (start, buf);
    while !rest.is_empty() {
        let skew = at % sector;
        let whole = buffer_len(rest) / sector * sector;
        if skew == 0 && whole > 0 {
            let (part, after) = rest.split_at(to_index(whole).unwrap_or(0).min(rest.len()));
            write(part, at)?;
            (at, rest) = (at.saturating_add(whole), after);
            continue;
        }
        let length = (sector - skew).min(buffer_len(rest));
        let (part, after) = rest.split_at(to_index(length).unwrap_or(0).min(rest.len()));
        let mut whole = vec![0; to_index(sector).unwrap_or(0)];
        read(&mut whole, at - skew)?;
        let places = whole.iter_mut().skip(to_index(skew).unwrap_or(0));
        for (place, byte) in places.zip(part) {
            *place = *byte;
        }
        write(&whole, at - skew)?;
        (at, rest) = (at.saturating_add(length), after);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_write_is_of_whole_sectors_and_leaves_the_rest_as_it_was() {
        for (start, length) in [
            (0, 1),
            (511, 2),
            (512, 512),
            (100, 300),
            (3, 2000),
            (513, 1023),
        ] {
            let bytes = RefCell::new(vec![7; 4096]);
            let read = |buf: &mut [u8], at: u64| {
                let at = usize::try_from(at).unwrap();
                buf.copy_from_slice(&bytes.borrow()[at..at + buf.len()]);
                Ok(())
            };
            let write = |buf: &[u8], at: u64| {
                let at = usize::try_from(at).unwrap();
                assert!(at.is_multiple_of(512) && buf.len().is_multiple_of(512));
                bytes.borrow_mut()[at..at + buf.len()].copy_from_slice(buf);
                Ok(())
            };
            let at = u64::try_from(start).unwrap();
            write_whole_sectors(&vec![9; length], at, 512, &read, &write).unwrap();
            let mut expected = vec![7; 4096];
            expected[start..start + length].fill(9);
            assert!(*bytes.borrow() == expected, "{start} {length}");
        }
    }
}
