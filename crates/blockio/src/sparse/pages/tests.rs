//! Pages are mapped where bytes were written, given back where they were zeroed, and shared.

use super::*;

const KIB: u64 = 1024;

fn byte(pages: &PageMap, offset: u64) -> u8 {
    let mut byte = [0xEE];
    pages.read(offset, &mut byte);
    byte[0]
}

#[test]
fn a_byte_in_the_middle_of_64_tib_maps_one_page() {
    let mut pages = PageMap::default();
    pages.set_len(64 << 40);
    pages.write((40 << 40) + 5, &[7]);
    assert_eq!(pages.allocated(), PAGE_BYTES);
    assert_eq!(byte(&pages, (40 << 40) + 5), 7);
    assert_eq!(byte(&pages, (40 << 40) + 4), 0);
    let range = ByteRange::new(ByteOffset(3), ByteCount((64 << 40) - 3)).unwrap();
    let hole = pages.extent(range);
    assert_eq!(hole.kind, ExtentKind::Hole);
    assert_eq!(hole.range.end(), ByteOffset(40 << 40));
    let rest = ByteRange::between(hole.range.end(), range.end()).unwrap();
    let data = pages.extent(rest);
    assert_eq!(data.kind, ExtentKind::Data);
    assert_eq!(data.range.len(), ByteCount(PAGE_BYTES));
    pages.zero(0, 64 << 40);
    assert_eq!((pages.allocated(), pages.len()), (0, 64 << 40));
}

#[test]
fn a_cut_and_a_new_growth_show_zeros() {
    let mut pages = PageMap::default();
    pages.write(0, &[1; 10_000]);
    pages.set_len(5000);
    pages.set_len(10_000);
    assert_eq!((byte(&pages, 4999), byte(&pages, 5000)), (1, 0));
    assert_eq!(byte(&pages, 9000), 0);
    assert_eq!(pages.allocated(), 8 * KIB);
    pages.set_len(0);
    assert_eq!(pages.allocated(), 0);
}

#[test]
fn a_copy_keeps_its_bytes_when_the_original_changes() {
    let mut pages = PageMap::default();
    pages.write(0, &[1; 8192]);
    let copy = pages.clone();
    assert!(copy.same_bytes(&pages));
    pages.write(4096, &[2]);
    assert!(!copy.same_bytes(&pages) && !pages.same_bytes(&copy));
    assert_eq!((byte(&copy, 4096), byte(&pages, 4096)), (1, 2));
    pages.zero(0, 4096);
    assert_eq!((byte(&copy, 0), byte(&pages, 0)), (1, 0));
}

#[test]
fn mapped_zeros_and_a_hole_are_the_same_bytes() {
    let mut hole = PageMap::default();
    hole.set_len(8192);
    let mut mapped = PageMap::default();
    mapped.write(0, &[0; 8192]);
    assert!(hole.same_bytes(&mapped) && mapped.same_bytes(&hole));
    mapped.set_len(8193);
    assert!(!hole.same_bytes(&mapped));
}

#[test]
fn whole_pages_are_given_back_and_parts_are_cleared() {
    let mut pages = PageMap::default();
    // Across a border of chunks.
    let start = CHUNK_PAGES * PAGE_BYTES - 8 * KIB;
    pages.write(start, &[1; 16 * 1024]);
    pages.zero(start + 100, start + 16 * KIB - 100);
    assert_eq!(pages.allocated(), 8 * KIB);
    assert_eq!(
        (byte(&pages, start + 99), byte(&pages, start + 100)),
        (1, 0)
    );
    let end = start + 16 * KIB;
    assert_eq!((byte(&pages, end - 101), byte(&pages, end - 100)), (0, 1));
    pages.put_page(0, Arc::new([3; PAGE]));
    pages.put_page(0, Arc::new([4; PAGE]));
    assert_eq!(pages.allocated(), 12 * KIB);
    assert_eq!(byte(&pages, 4095), 4);
}
