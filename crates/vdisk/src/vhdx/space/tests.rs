//! The map of the file: who holds what, what is free, and what overlaps.

use super::{Claim, Run, Space, SpaceMap};

fn run(start: u64, length: u64) -> Run {
    Run { start, length }
}

fn map(used: &[Run]) -> SpaceMap {
    let mut map = SpaceMap::default();
    for run in used {
        assert!(map.mark_used(*run));
    }
    map
}

#[test]
fn space_that_is_used_cannot_be_marked_again_not_even_in_part() {
    let mut map = map(&[run(0, 4), run(10, 70)]);
    for taken in [run(3, 1), run(0, 1), run(60, 40), run(9, 2), run(79, 1)] {
        assert!(!map.mark_used(taken), "{taken:?}");
    }
    assert!(map.mark_used(run(4, 6)));
    assert!(map.mark_used(run(80, 1)));
}

#[test]
fn holes_between_used_space_are_found_in_order() {
    let mut map = map(&[run(0, 4), run(6, 1), run(70, 3)]);
    map.extend_to(130);
    let free: Vec<Run> = map.free_runs().collect();
    assert_eq!(free, [run(4, 2), run(7, 63), run(73, 57)]);
}

#[test]
fn fresh_space_is_zero_and_a_hole_found_at_open_is_not() {
    let space = Space::new(map(&[run(0, 4), run(6, 1)]));
    let first = space.claim(2);
    assert_eq!(
        first,
        Claim {
            run: run(4, 2),
            zero: false
        }
    );
    let second = space.claim(2);
    assert_eq!(
        second,
        Claim {
            run: run(7, 2),
            zero: true
        }
    );
    assert_eq!(space.end_bytes(), 9 << 20);
}

#[test]
fn released_space_is_dirty_and_punched_space_is_zero_only_after_a_sync() {
    let space = Space::new(map(&[run(0, 8)]));
    space.release(run(2, 1));
    assert_eq!(
        space.claim(1),
        Claim {
            run: run(2, 1),
            zero: false
        }
    );
    space.note_punched(run(5, 1));
    // Not handed out before the sync.
    assert_eq!(space.claim(1).run, run(8, 1));
    let punched = space.take_punched();
    space.punches_are_durable(&punched);
    assert_eq!(
        space.claim(1),
        Claim {
            run: run(5, 1),
            zero: true
        }
    );
    // Zero once: whoever had it may have written.
    space.release(run(5, 1));
    assert_eq!(
        space.claim(1),
        Claim {
            run: run(5, 1),
            zero: false
        }
    );
}

#[test]
fn a_block_takes_one_piece_and_small_holes_stay_for_others() {
    let space = Space::new(map(&[run(0, 2), run(3, 1), run(6, 1)]));
    assert_eq!(space.claim(4).run, run(7, 4));
    assert_eq!(space.claim(4).run, run(11, 4));
    assert_eq!(space.claim(2).run, run(4, 2));
    assert_eq!(space.claim(1).run, run(2, 1));
}

#[test]
fn the_end_in_use_leaves_free_space_at_the_tail_out() {
    let space = Space::new(map(&[run(0, 4), run(4, 100)]));
    space.release(run(60, 44));
    assert_eq!(space.used_end_bytes(), 60 << 20);
    assert_eq!(space.end_bytes(), 104 << 20);
}
