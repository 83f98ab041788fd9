//! Creates and removals that fail or die at any step, and what the next process makes of them.

use super::*;

#[test]
fn a_create_that_fails_at_any_step_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "other");
    let mut failures = 0;
    loop {
        faults::arm(Mode::Fail, failures);
        let result = store.create(&request("data"), &ignore_progress);
        if !faults::disarm() {
            result.unwrap();
            break;
        }
        assert_eq!(result.unwrap_err().kind(), VolumeErrorKind::NoSpace);
        assert_tidy(folder.path(), &store);
        assert_eq!(listed(&store), ["other"]);
        failures += 1;
    }
    assert!(failures >= 7, "{failures}");
    assert_eq!(listed(&store), ["data", "other"]);
}

#[test]
fn a_create_that_dies_at_any_step_is_undone_by_the_next_process() {
    let folder = TempDir::new().unwrap();
    make(&Store::open(folder.path()).unwrap(), "other");
    let mut deaths = 0;
    loop {
        let store = Store::open(folder.path()).unwrap();
        faults::arm(Mode::Die, deaths);
        let result = store.create(&request("data"), &ignore_progress);
        drop(store);
        if !faults::disarm() {
            result.unwrap();
            break;
        }
        result.unwrap_err();
        recover_dying_too(folder.path(), &["other"]);
        deaths += 1;
    }
    assert!(deaths >= 7, "{deaths}");
}

#[test]
fn a_removal_that_dies_at_any_step_is_completed_by_the_next_process() {
    let folder = TempDir::new().unwrap();
    make(&Store::open(folder.path()).unwrap(), "other");
    let mut deaths = 0;
    loop {
        let store = Store::open(folder.path()).unwrap();
        if store.get(&name("data")).is_err() {
            make(&store, "data");
        }
        faults::arm(Mode::Die, deaths);
        let result = store.remove(&name("data"), false);
        drop(store);
        if !faults::disarm() {
            result.unwrap();
            break;
        }
        result.unwrap_err();
        // The first step is before the row changes: then nothing happened at all.
        let whole: &[&str] = if deaths == 0 {
            &["data", "other"]
        } else {
            &["other"]
        };
        recover_dying_too(folder.path(), whole);
        deaths += 1;
    }
    assert!(deaths >= 4, "{deaths}");
}

/// Recovers, with the recovery dying at each of its steps too before one is let through.
fn recover_dying_too(root: &Path, expected: &[&str]) {
    for count in 0..2 {
        faults::arm(Mode::Die, count);
        drop(Store::open(root).unwrap());
        faults::disarm();
    }
    let store = Store::open(root).unwrap();
    assert_eq!(listed(&store), expected);
    assert_tidy(root, &store);
    let again = Store::open(root).unwrap();
    assert_tidy(root, &again);
}

#[test]
fn work_of_a_living_process_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut wanted = request("data");
    wanted.spec = VolumeSpec::parse("size=64M,fs=fat32,format=vhd").unwrap();
    let looked = std::cell::Cell::new(0);
    let outcome = store.create(&wanted, &|_| {
        // Another process opens the store in the middle of the create.
        let other = Store::open(folder.path()).unwrap();
        assert_eq!(
            other.get(&name("data")).unwrap().state,
            VolumeState::Creating
        );
        assert_eq!(listed(&other), [""; 0]);
        let error = other.remove(&name("data"), true).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
        let error = other
            .create(&request("data"), &ignore_progress)
            .unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::AlreadyExists);
        looked.set(looked.get() + 1);
        std::ops::ControlFlow::Continue(())
    });
    outcome.unwrap();
    assert!(looked.get() > 0);
    assert_eq!(listed(&store), ["data"]);
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_create_that_is_stopped_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let stop = |_| std::ops::ControlFlow::Break(());
    let error = store.create(&request("data"), &stop).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Interrupted);
    assert_tidy(folder.path(), &store);
}

#[test]
fn lock_files_that_nobody_holds_are_swept_and_lost_ones_are_no_obstacle() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let stray = folder
        .path()
        .join("locks")
        .join(uuid::Uuid::new_v4().to_string());
    fs::write(&stray, "").unwrap();
    faults::arm(Mode::Die, 3);
    store
        .create(&request("data"), &ignore_progress)
        .unwrap_err();
    faults::disarm();
    assert_eq!(entries(&folder.path().join("locks")).len(), 2);
    // As after a power loss: the row is durable, the entry of its lock was not.
    for entry in entries(&folder.path().join("locks")) {
        fs::remove_file(folder.path().join("locks").join(entry)).unwrap();
    }
    fs::write(&stray, "").unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(listed(&store), [""; 0]);
    assert_tidy(folder.path(), &store);
}
