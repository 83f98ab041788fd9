//! The body of the fuzz target for VHD: any bytes at all must be refused or served, never panic,
//! hang or take memory out of proportion.

use blockio::{ByteOffset, Disk, MIB, MemoryStorage};

use super::format::{FOOTER_LEN, HEADER_LEN, checksum};
use crate::bounds::to_index;
use crate::gate::DenyAll;
use crate::image::Access;

/// Requests made of a disk that opened.
const REQUESTS: u64 = 16;
/// Blocks larger than this are not allocated while fuzzing.
const MAX_BLOCK: u64 = 2 * MIB;

/// Does with `data` what a user could do with a file: describe, check, open, read and write.
///
/// It is done twice, the second time with right checksums, so that mutations reach beyond them.
pub fn fuzz_open(data: &[u8]) {
    exercise(data.to_vec());
    exercise(with_checksums(data.to_vec()));
}

fn exercise(data: Vec<u8>) {
    let storage = MemoryStorage::from_bytes(data.clone());
    let _ = super::info(&storage);
    let _ = super::check(&storage);
    if let Ok(disk) = super::open(Box::new(storage), Access::ReadOnly, &DenyAll) {
        walk(&*disk);
    }
    let storage = MemoryStorage::from_bytes(data);
    if let Ok(disk) = super::open(Box::new(storage), Access::ReadWrite, &DenyAll) {
        let block = disk.info().block_size.map_or(0, |size| size.get());
        if block <= MAX_BLOCK && disk.size().get() >= 512 {
            let last = ByteOffset(disk.size().get() - 512);
            let _ = disk.write_at(&[0x5a; 512], last);
            let _ = disk.flush();
            let mut back = [0; 512];
            let _ = disk.read_at(&mut back, last);
            let _ = disk.close();
        }
    }
}

/// Reads at the start of each run, and at the end of the disk.
fn walk(disk: &dyn Disk) {
    let size = disk.size();
    let mut at = ByteOffset(0);
    let mut buf = [0; 4096];
    for _ in 0..REQUESTS {
        let Some(rest) = blockio::ByteRange::between(at, ByteOffset(size.get())) else {
            return;
        };
        let Ok(status) = (!rest.is_empty())
            .then(|| disk.block_status(rest))
            .transpose()
        else {
            return;
        };
        let Some(status) = status else {
            break;
        };
        let _ = disk.read_at(&mut buf[..512], status.range.start());
        at = status.range.end();
    }
    let _ = disk.read_at(&mut buf[..512], ByteOffset(size.get().saturating_sub(512)));
}

/// Puts right the checksums of the footers and of the header the footer leads to.
fn with_checksums(mut data: Vec<u8>) -> Vec<u8> {
    let footer_len = to_index(FOOTER_LEN).unwrap_or(512);
    let header_len = to_index(HEADER_LEN).unwrap_or(1024);
    let Some(end) = data.len().checked_sub(footer_len) else {
        return data;
    };
    for at in [0, end] {
        fix(&mut data[at..at + footer_len], 64);
        let mut offset = [0; 8];
        offset.copy_from_slice(&data[at + 16..at + 24]);
        if let Some(header) = to_index(u64::from_be_bytes(offset))
            && let Some(header_end) = header.checked_add(header_len)
            && let Some(bytes) = data.get_mut(header..header_end)
        {
            fix(bytes, 36);
        }
    }
    // The header may have covered a footer.
    fix(&mut data[end..], 64);
    data
}

fn fix(bytes: &mut [u8], field: usize) {
    let Some(old) = bytes.get(field..field + 4) else {
        return;
    };
    let mut old_field = [0; 4];
    old_field.copy_from_slice(old);
    let sum = checksum(bytes, old_field);
    bytes[field..field + 4].copy_from_slice(&sum.to_be_bytes());
}
