//! What a fuzzer does with the bytes of a qcow2 image.

use blockio::{ByteOffset, ByteRange, MemoryStorage};

use crate::gate::DenyAll;
use crate::image::{Access, ImageFormat};

/// Opens, describes, checks and reads an image of these bytes; nothing of it may panic, hang or take
/// memory without bound.
pub fn fuzz_open(bytes: &[u8]) {
    let storage = || MemoryStorage::from_bytes(bytes.to_vec());
    let _ = super::info(&storage());
    let _ = super::check(&storage());
    let opened = super::open(Box::new(storage()), Access::ReadOnly, &DenyAll);
    let Ok(disk) = opened else {
        return;
    };
    let size = disk.size().get();
    let mut at = 0;
    for _ in 0..64 {
        let rest = ByteRange::between(ByteOffset(at), ByteOffset(size));
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            break;
        };
        let Ok(status) = disk.block_status(rest) else {
            break;
        };
        let mut buf = [0; 512];
        let _ = disk.read_at(&mut buf, ByteOffset(at));
        at = status.range.end().get();
    }
    assert_eq!(disk.info().format, ImageFormat::Qcow2);
}
