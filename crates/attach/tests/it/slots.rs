//! The book-keeping of disks against what existing managers get wrong.

use std::collections::BTreeMap;

use attach::{Released, Reservation, Slot, SlotError, SlotLayout, Slots};
use proptest::prelude::*;

fn slots() -> Slots {
    Slots::new(SlotLayout::HYPER_V)
}

#[test]
fn a_detachment_that_failed_is_tried_again_as_often_as_wanted() {
    let mut slots = slots();
    let (held, slot) = slots.reserve("a", false).unwrap();
    slots.attached(slot).unwrap();
    for _ in 0..3 {
        assert_eq!(slots.release(held), Released::Detach(slot));
    }
    // Nobody gets the disk or its place meanwhile.
    assert!(matches!(
        slots.reserve("a", false),
        Err(SlotError::Leaving { .. })
    ));
    assert_ne!(slots.reserve("b", false).unwrap().1, slot);
    slots.detached(slot).unwrap();
    assert_eq!(slots.release(held), Released::Nothing);
    assert_eq!(slots.reserve("a", true).unwrap().1, slot);
}

#[test]
fn one_who_gives_up_before_it_is_attached_leaves_nothing() {
    let mut slots = slots();
    let (first, slot) = slots.reserve("a", false).unwrap();
    let (second, same) = slots.reserve("a", false).unwrap();
    assert_eq!(slot, same);
    assert_eq!(slots.release(second), Released::Nothing);
    assert!(slots.must_attach(slot));
    assert_eq!(slots.release(first), Released::Nothing);
    assert_eq!(slots.disks().count(), 0);
    assert_eq!(slots.release(first), Released::Nothing);
}

#[test]
fn two_who_wait_for_an_attachment_that_fails_both_get_away() {
    let mut slots = slots();
    let (first, slot) = slots.reserve("a", false).unwrap();
    let (second, _) = slots.reserve("a", false).unwrap();
    // The machine refused the disk: both release, in whatever order.
    assert_eq!(slots.release(first), Released::Nothing);
    assert_eq!(slots.release(second), Released::Nothing);
    assert!(matches!(
        slots.attached(slot),
        Err(SlotError::NoSuchDisk { .. })
    ));
    assert_eq!(slots.disks().count(), 0);
}

#[test]
fn places_that_are_empty_are_told_as_such() {
    let mut slots = slots();
    let nowhere = Slot {
        controller: 3,
        lun: 63,
    };
    assert!(matches!(
        slots.detached(nowhere),
        Err(SlotError::NoSuchDisk { .. })
    ));
    assert!(matches!(
        slots.attached(nowhere),
        Err(SlotError::NoSuchDisk { .. })
    ));
    let (_, slot) = slots.reserve("a", false).unwrap();
    // Reserved is not leaving: who was not told to detach cannot have done it.
    assert!(matches!(
        slots.detached(slot),
        Err(SlotError::NoSuchDisk { .. })
    ));
}

#[test]
fn the_same_disk_for_reading_and_for_writing_is_a_conflict_in_words() {
    let mut slots = slots();
    slots.reserve("a", true).unwrap();
    let error = slots.reserve("a", false).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u8, bool),
    Attach(u8),
    Release(u8),
    Detach(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..9_u8, any::<bool>()).prop_map(|(disk, read_only)| Step::Reserve(disk, read_only)),
        3 => any::<u8>().prop_map(Step::Attach),
        4 => any::<u8>().prop_map(Step::Release),
        2 => any::<u8>().prop_map(Step::Detach),
    ]
}

/// What the outside knows: which disks the machine has, and who holds what.
#[derive(Default)]
struct Machine {
    attached: BTreeMap<Slot, String>,
    held: Vec<(Reservation, Slot, String)>,
    told_to_detach: Vec<Slot>,
}

proptest! {
    #[test]
    fn no_history_leaks_a_place_or_takes_a_disk_from_somebody(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let layout = SlotLayout { controllers: 2, luns: 3 };
        let mut slots = Slots::new(layout);
        let mut machine = Machine::default();
        for step in steps {
            match step {
                Step::Reserve(disk, read_only) => {
                    let key = disk.to_string();
                    match slots.reserve(&key, read_only) {
                        Ok((reservation, slot)) => {
                            machine.held.push((reservation, slot, key));
                        }
                        Err(SlotError::Exhausted { .. }) => prop_assert_eq!(slots.disks().count(), 6),
                        Err(SlotError::OtherAccess { .. } | SlotError::Leaving { .. }) => {}
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                }
                Step::Attach(which) if !machine.held.is_empty() => {
                    let (_, slot, key) = &machine.held[usize::from(which) % machine.held.len()];
                    if slots.must_attach(*slot) {
                        prop_assert!(!machine.attached.contains_key(slot), "a place is taken");
                        prop_assert!(!machine.attached.values().any(|other| other == key));
                        machine.attached.insert(*slot, key.clone());
                        slots.attached(*slot).unwrap();
                    }
                }
                Step::Release(which) if !machine.held.is_empty() => {
                    let at = usize::from(which) % machine.held.len();
                    let (reservation, slot, key) = machine.held[at].clone();
                    match slots.release(reservation) {
                        Released::Nothing => {
                            machine.held.remove(at);
                        }
                        Released::Detach(place) => {
                            prop_assert_eq!(place, slot);
                            prop_assert_eq!(machine.attached.get(&slot), Some(&key));
                            let others = machine.held.iter().filter(|other| other.1 == slot).count();
                            prop_assert_eq!(others, 1, "somebody else holds it");
                            if !machine.told_to_detach.contains(&slot) {
                                machine.told_to_detach.push(slot);
                            }
                        }
                    }
                }
                Step::Detach(which) if !machine.told_to_detach.is_empty() => {
                    let at = usize::from(which) % machine.told_to_detach.len();
                    let slot = machine.told_to_detach.remove(at);
                    machine.attached.remove(&slot);
                    slots.detached(slot).unwrap();
                    machine.held.retain(|other| other.1 != slot);
                }
                _ => {}
            }
        }
        // Everybody goes: nothing is left.
        for (reservation, _, _) in machine.held.clone() {
            if let Released::Detach(slot) = slots.release(reservation) {
                slots.detached(slot).unwrap();
            }
        }
        prop_assert_eq!(slots.disks().count(), 0);
    }
}
