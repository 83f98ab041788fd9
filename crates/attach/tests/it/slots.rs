//! The places of disks, as planning sees them.

use attach::{PlacedDisk, Slot, SlotError, SlotLayout, Slots};

fn slots() -> Slots {
    Slots::new(SlotLayout::HYPER_V)
}

fn placed(name: &str, is_settled: bool) -> PlacedDisk {
    PlacedDisk {
        key: name.to_owned(),
        serial: name.to_owned(),
        read_only: false,
        is_settled,
    }
}

#[test]
fn a_disk_has_one_place_and_keeps_the_serial_it_came_with() {
    let mut slots = slots();
    let first = slots.place("a", "one", true).unwrap();
    let again = slots.place("a", "two", true).unwrap();
    assert!(first.is_new && !again.is_new);
    assert_eq!((first.slot, "one"), (again.slot, again.serial.as_str()));
    assert_eq!(slots.disks().count(), 1);
}

#[test]
fn the_same_disk_for_reading_and_for_writing_is_a_conflict_in_words() {
    let mut slots = slots();
    slots.place("a", "a", true).unwrap();
    let error = slots.place("a", "a", false).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn a_disk_that_comes_or_goes_is_nobodys_and_its_place_is_taken() {
    let mut slots = slots();
    let first = Slot {
        controller: 0,
        lun: 0,
    };
    slots.occupy(first, placed("a", false)).unwrap();
    let error = slots.place("a", "a", false).unwrap_err();
    assert!(matches!(error, SlotError::Moving { .. }), "{error}");
    assert_ne!(slots.place("b", "b", false).unwrap().slot, first);
}

#[test]
fn no_place_serial_or_disk_is_given_twice() {
    let mut slots = slots();
    let at = |controller, lun| Slot { controller, lun };
    slots.occupy(at(3, 63), placed("a", true)).unwrap();
    for slot in [at(3, 63), at(4, 0), at(0, 64)] {
        let error = slots.occupy(slot, placed("b", true)).unwrap_err();
        assert!(matches!(error, SlotError::NoPlace { .. }), "{error}");
    }
    let error = slots.place("other", "a", false).unwrap_err();
    assert!(matches!(error, SlotError::SerialTaken { .. }), "{error}");
    assert!(slots.occupy(at(0, 0), placed("a", true)).is_err());
}
