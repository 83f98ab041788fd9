//! Snapshots that are removed, and volumes that are freed of their base: what is merged with what, and
//! that nobody sees it, whenever it dies.

use super::layers::{FORMATS, byte_at, clone_request, make_of, snapshot, write};
use super::*;

fn remove_snapshot(store: &Store, volume: &str, text: &str) -> Result<crate::MergeOutcome> {
    store.remove_snapshot(&name(volume), &snapshot(text), &ignore_progress)
}

/// `data` with two snapshots and something of each in its own place; the middle one is the larger
/// with `large_middle`, so that its removal goes down, else the head is.
fn three_layers(store: &Store, spec: &str, large_middle: bool) {
    make_of(store, "data", spec);
    write(store, "data", 0, 1);
    store
        .take_snapshot(&name("data"), &snapshot("one"))
        .unwrap();
    write(store, "data", 1_100_000, 2);
    if large_middle {
        write(store, "data", 3_100_000, 2);
        write(store, "data", 4_200_000, 2);
    }
    store
        .take_snapshot(&name("data"), &snapshot("two"))
        .unwrap();
    write(store, "data", 2_100_000, 3);
    if !large_middle {
        write(store, "data", 3_100_000, 3);
        write(store, "data", 4_200_000, 3);
    }
}

fn seen(store: &Store, volume: &str) -> Vec<u8> {
    let places = [100, 1_101_000, 2_101_000, 3_101_000, 4_201_000];
    let bytes = places.into_iter().map(|at| byte_at(store, volume, at));
    bytes.collect()
}

#[test]
fn a_removed_snapshot_is_merged_up_or_down_and_nobody_sees_it() {
    for spec in FORMATS {
        for (large_middle, of_head, of_one) in [
            (true, [1, 2, 3, 2, 2], [1, 0, 0, 0, 0]),
            (false, [1, 2, 3, 3, 3], [1, 0, 0, 0, 0]),
        ] {
            let folder = TempDir::new().unwrap();
            let store = Store::open(folder.path()).unwrap();
            three_layers(&store, spec, large_middle);
            assert_eq!(seen(&store, "data"), of_head);
            let outcome = remove_snapshot(&store, "data", "two").unwrap();
            assert!(outcome.copied.get() > 0);
            assert_eq!(seen(&store, "data"), of_head, "{spec} {large_middle}");
            assert_eq!(seen(&store, "data@one"), of_one);
            assert_tidy(folder.path(), &store);
            write(&store, "data", 0, 9);
            assert_eq!(byte_at(&store, "data@one", 100), 1);
            remove_snapshot(&store, "data", "one").unwrap();
            assert_eq!(seen(&store, "data")[1..], of_head[1..]);
            assert_tidy(folder.path(), &store);
            let layers = store.layers(&name("data")).unwrap();
            assert_eq!((layers.len(), layers[0].parent.as_deref()), (1, None));
            let error = remove_snapshot(&store, "data", "one").unwrap_err();
            assert_eq!(error.kind(), VolumeErrorKind::NotFound);
        }
    }
}

#[test]
fn a_snapshot_below_another_is_merged_and_that_keeps_its_children() {
    for spec in FORMATS {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        three_layers(&store, spec, true);
        store
            .clone_volume(&clone_request("data@two", "copy"))
            .unwrap();
        let (of_head, of_two) = (seen(&store, "data"), seen(&store, "data@two"));
        let error = remove_snapshot(&store, "data", "two").unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
        assert_eq!(
            error.to_string(),
            r#""data@two" is what "copy", "data" stand on"#
        );
        remove_snapshot(&store, "data", "one").unwrap();
        for (volume, expected) in [("data", &of_head), ("data@two", &of_two), ("copy", &of_two)] {
            assert_eq!(&seen(&store, volume), expected, "{volume} of {spec}");
        }
        assert_tidy(folder.path(), &store);
        // Free of its base, the clone outlives it.
        store.flatten(&name("copy"), &ignore_progress).unwrap();
        assert_tidy(folder.path(), &store);
        assert_eq!(store.inspect(&name("copy")).unwrap().base, None);
        store.remove(&name("data"), false).unwrap();
        assert_eq!(seen(&store, "copy"), of_two);
        assert_tidy(folder.path(), &store);
    }
}

#[test]
fn a_snapshot_that_nobody_stands_on_is_dropped() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    three_layers(&store, FORMATS[0], true);
    store
        .restore_snapshot(&name("data"), &snapshot("one"))
        .unwrap();
    let error = remove_snapshot(&store, "data", "one").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""data@one" is what "data", "data@two" stand on"#
    );
    let outcome = remove_snapshot(&store, "data", "two").unwrap();
    assert_eq!(outcome.copied.get(), 0);
    remove_snapshot(&store, "data", "one").unwrap();
    assert_eq!(seen(&store, "data"), [1, 0, 0, 0, 0]);
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_merge_that_is_stopped_can_be_taken_up_again() {
    for large_middle in [true, false] {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        three_layers(&store, FORMATS[0], large_middle);
        let before = seen(&store, "data");
        let stop = |_| std::ops::ControlFlow::Break(());
        let error = store
            .remove_snapshot(&name("data"), &snapshot("two"), &stop)
            .unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::Interrupted);
        assert_tidy_but_condemned(&store);
        assert_eq!(seen(&store, "data"), before);
        remove_snapshot(&store, "data", "two").unwrap();
        assert_eq!(seen(&store, "data"), before);
        assert_tidy(folder.path(), &store);
    }
}

/// Nothing is unfinished; a snapshot that is being removed cannot be opened, and is said to be.
fn assert_tidy_but_condemned(store: &Store) {
    assert_eq!(store.database().unfinished_layers().unwrap(), []);
    for snapshot in store.snapshots(&name("data")).unwrap() {
        let reference = VolumeRef {
            volume: name("data"),
            snapshot: Some(snapshot.name),
        };
        let opened = store.open_disk(&reference, Access::ReadOnly);
        match snapshot.state {
            crate::SnapshotState::Ready => drop(opened.unwrap()),
            crate::SnapshotState::Removing => {
                assert_eq!(opened.err().unwrap().kind(), VolumeErrorKind::InUse);
            }
        }
    }
}

#[test]
fn a_removal_that_dies_at_any_step_changes_nothing_that_is_read() {
    for (large_middle, removed) in [(true, "two"), (false, "two"), (true, "one")] {
        let expected = [
            1,
            2,
            3,
            3 - u8::from(large_middle),
            3 - u8::from(large_middle),
        ];
        for mode in [Mode::Die, Mode::Fail] {
            let mut steps = 0;
            loop {
                let folder = TempDir::new().unwrap();
                let store = Store::open(folder.path()).unwrap();
                three_layers(&store, FORMATS[0], large_middle);
                faults::arm(mode, steps);
                let result = remove_snapshot(&store, "data", removed);
                drop(store);
                if !faults::disarm() {
                    result.unwrap();
                    break;
                }
                for count in 0..2 {
                    faults::arm(Mode::Die, count);
                    drop(Store::open(folder.path()));
                    faults::disarm();
                }
                let store = Store::open(folder.path()).unwrap();
                assert_tidy_but_condemned(&store);
                assert_eq!(seen(&store, "data"), expected, "{mode:?} at {steps}");
                // Whatever stands there, the next call does it.
                match remove_snapshot(&store, "data", removed) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), VolumeErrorKind::NotFound),
                }
                assert_eq!(seen(&store, "data"), expected, "{mode:?} at {steps}");
                assert_tidy(folder.path(), &store);
                steps += 1;
            }
            assert!(steps >= 5, "{steps}");
        }
    }
}

#[test]
fn restores_and_clones_have_the_size_of_the_snapshot() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make_of(&store, "data", FORMATS[0]);
    write(&store, "data", 0, 1);
    store
        .take_snapshot(&name("data"), &snapshot("small"))
        .unwrap();
    let request = crate::ResizeRequest {
        size: crate::NewSize::Exactly(blockio::ByteCount(8 << 20)),
        image_only: true,
        dry_run: false,
        options: crate::ChangeOptions {
            now: mkfs::NtTime::from(std::time::SystemTime::now()),
            name_policy: mkfs::NamePolicy::Map,
        },
    };
    let go_on = |_| std::ops::ControlFlow::Continue(());
    store.resize(&name("data"), request, &go_on).unwrap();
    write(&store, "data", 7 << 20, 2);
    store
        .take_snapshot(&name("data"), &snapshot("large"))
        .unwrap();
    let size = |volume: &str| store.get(&name(volume)).unwrap().spec.size().unwrap().get() >> 20;
    store
        .clone_volume(&clone_request("data@small", "copy"))
        .unwrap();
    assert_eq!((size("data"), size("copy")), (8, 5));
    store
        .restore_snapshot(&name("data"), &snapshot("small"))
        .unwrap();
    assert_eq!(size("data"), 5);
    assert_tidy(folder.path(), &store);
    store
        .restore_snapshot(&name("data"), &snapshot("large"))
        .unwrap();
    assert_eq!(
        (size("data"), byte_at(&store, "data", (7 << 20) + 9)),
        (8, 2)
    );
    // The smaller one below goes into the larger one above.
    store.remove(&name("copy"), false).unwrap();
    remove_snapshot(&store, "data", "small").unwrap();
    remove_snapshot(&store, "data", "large").unwrap();
    assert_eq!(
        (size("data"), byte_at(&store, "data", (7 << 20) + 9)),
        (8, 2)
    );
    assert_eq!(byte_at(&store, "data", 9), 1);
    assert_tidy(folder.path(), &store);
}
