//! Entries of the block allocation table: what they mean, and where a block may lie.

use blockio::MIB;

use super::{BatEntry, BlockState, lies_in_file};

#[test]
fn an_entry_reads_back_as_it_was_written() {
    for state in [0, 1, 2, 3, 6, 7] {
        for mebibytes in [0, 1, (1 << 44) - 1] {
            let raw = mebibytes << 20 | state;
            let entry = BatEntry::decode(raw).unwrap();
            assert_eq!(entry.encode(), raw);
            assert_eq!(entry.offset, mebibytes << 20);
            assert_eq!(entry.place().is_some(), state >= 6);
        }
    }
    assert_eq!(BatEntry::ZERO.encode(), 2);
    assert_eq!(BatEntry::present(5 * MIB).state, BlockState::FullyPresent);
}

#[test]
fn unknown_states_and_reserved_bits_are_no_entry() {
    for raw in [4, 5, 1 << 3, 1 << 19 | 6, 0x000f_fff8] {
        assert_eq!(BatEntry::decode(raw), None, "{raw:#x}");
    }
}

#[test]
fn no_block_lies_in_the_header_section_or_past_the_end() {
    assert!(lies_in_file(MIB, MIB, 2 * MIB));
    assert!(!lies_in_file(0, MIB, 2 * MIB));
    assert!(!lies_in_file(MIB, MIB + 1, 2 * MIB));
    assert!(!lies_in_file(u64::MAX - 5, MIB, u64::MAX));
}
