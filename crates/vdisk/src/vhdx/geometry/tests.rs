//! Sizes and places that follow from the size of the disk, the block and the sector.

use blockio::{MIB, SectorSize, TIB};
use uuid::Uuid;

use super::{BlockIndex, EntryIndex, EntryRole, Geometry};
use crate::info::ParentInfo;
use crate::vhdx::metadata::Metadata;

fn geometry(disk: u64, block: u64, sector: SectorSize, parent: bool) -> Geometry {
    Geometry::new(&Metadata {
        has_stray_locator: false,
        block_size: block,
        leave_blocks_allocated: false,
        disk_size: disk,
        disk_id: Uuid::nil(),
        logical_sector: sector,
        physical_sector: SectorSize::B4096,
        parent: parent.then(ParentInfo::default),
    })
}

#[test]
fn a_bitmap_entry_follows_every_chunk_of_payload_entries() {
    let geometry = geometry(300 * 32 * MIB, 32 * MIB, SectorSize::B512, false);
    assert_eq!(geometry.chunk_ratio, 128);
    assert_eq!(geometry.blocks(), 300);
    assert_eq!(geometry.entries(), 302);
    assert_eq!(geometry.padded_entries(), 3 * 129);
    assert_eq!(geometry.entry_of(BlockIndex(127)), EntryIndex(127));
    assert_eq!(geometry.entry_of(BlockIndex(128)), EntryIndex(129));
    assert_eq!(geometry.bitmap_entry_of(BlockIndex(128)), EntryIndex(257));
    assert_eq!(geometry.role(EntryIndex(128)), Some(EntryRole::Bitmap(0)));
    for block in (0..300).map(BlockIndex) {
        let role = geometry.role(geometry.entry_of(block));
        assert_eq!(role, Some(EntryRole::Payload(block)));
    }
    assert_eq!(geometry.role(EntryIndex(3 * 129 - 2)), None);
}

#[test]
fn an_image_with_a_parent_needs_whole_chunks() {
    let geometry = geometry(4 * MIB, 2 * MIB, SectorSize::B512, true);
    assert_eq!(geometry.entries(), 2049);
}

#[test]
fn the_largest_disk_of_the_smallest_blocks_fits() {
    let small = geometry(64 * TIB, MIB, SectorSize::B512, false);
    assert_eq!(small.blocks(), 1 << 26);
    assert_eq!(small.table_pages(), (1 << 17) + 32);
    let large = geometry(64 * TIB, 256 * MIB, SectorSize::B4096, false);
    assert_eq!(large.chunk_ratio, 128);
}

#[test]
fn the_last_block_may_be_cut_short() {
    let geometry = geometry(5 * MIB + 512, 2 * MIB, SectorSize::B512, false);
    assert_eq!(geometry.block_bytes(BlockIndex(1)), 2 * MIB);
    assert_eq!(geometry.block_bytes(BlockIndex(2)), MIB + 512);
}
