//! The store as a black box with faults: what is listed is whole, what is not leaves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vdisk::Access;

use super::*;
use crate::faults::{self, Mode};
use crate::filter::Filter;
use crate::lifecycle::CreateRequest;
use crate::progress::ignore_progress;
use crate::spec::VolumeSpec;
use crate::state::VolumeState;
use crate::{VolumeErrorKind, VolumeName};

/// A small volume that every host makes in moments.
const SMALL: &str = "size=3M,fs=none,format=vhd";

fn name(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

fn request(text: &str) -> CreateRequest {
    CreateRequest::new(name(text), VolumeSpec::parse(SMALL).unwrap())
}

fn make(store: &Store, text: &str) -> VolumeRecord {
    store
        .create(&request(text), &ignore_progress)
        .unwrap()
        .record
}

fn listed(store: &Store) -> Vec<String> {
    let records = store.list(&Filter::default()).unwrap();
    records
        .iter()
        .map(|record| record.name.to_string())
        .collect()
}

/// No file but those of the listed volumes, no row but theirs, and every image opens.
fn assert_tidy(root: &Path, store: &Store) {
    let records = store.list(&Filter::default()).unwrap();
    let all = store.database().all().unwrap();
    assert_eq!(records, all, "unfinished rows");
    let ids: BTreeSet<String> = records.iter().map(|record| record.id.to_string()).collect();
    assert_eq!(ids.len(), records.len());
    let folders: BTreeSet<String> = entries(&root.join("volumes"));
    assert_eq!(folders, ids, "folders and rows differ");
    assert_eq!(entries(&root.join("locks")), BTreeSet::new());
    for record in &records {
        let expected = BTreeSet::from(["volume.json".to_owned(), "image.vhd".to_owned()]);
        let folder = root.join("volumes").join(record.id.to_string());
        assert_eq!(entries(&folder), expected);
        store.open_disk(&record.name, Access::ReadOnly).unwrap();
    }
}

fn entries(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_volume_is_made_found_opened_and_removed() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("new/store");
    let store = Store::open(&root).unwrap();
    let mut wanted = request("Data");
    wanted.labels.insert("app".to_owned(), "db".to_owned());
    let made = store.create(&wanted, &ignore_progress).unwrap().record;
    assert_eq!(made.state, VolumeState::Ready);
    assert_eq!(store.get(&name("dATA")).unwrap(), made);
    drop(store);
    let store = Store::open(&root).unwrap();
    assert!(store.notices().is_empty());
    assert_eq!(store.get(&made.name).unwrap(), made);
    assert_eq!(listed(&store), ["Data"]);
    let details = store.inspect(&name("data")).unwrap();
    assert!(details.image_path.is_file());
    assert_eq!(details.image.unwrap().virtual_size.get(), 3 * 1024 * 1024);
    assert_tidy(&root, &store);
    assert_eq!(store.remove(&name("data"), false).unwrap().id, made.id);
    assert_eq!(listed(&store), [""; 0]);
    assert_tidy(&root, &store);
    let error = store.remove(&name("data"), false).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::NotFound);
}

#[test]
fn a_name_that_differs_in_case_only_is_taken() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "data");
    let error = store
        .create(&request("DATA"), &ignore_progress)
        .unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "a volume named \"data\" exists");
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_volume_in_use_is_not_removed_and_not_opened_twice_for_writing() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "data");
    let disk = store.open_disk(&name("data"), Access::ReadWrite).unwrap();
    for force in [false, true] {
        let error = store.remove(&name("data"), force).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
    }
    let error = store
        .open_disk(&name("data"), Access::ReadWrite)
        .err()
        .unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::InUse);
    let details = store.inspect(&name("data")).unwrap();
    assert_eq!(details.image_use, crate::ImageUse::InUse);
    let outcome = store.prune(&Filter::default()).unwrap();
    assert_eq!((outcome.removed.len(), outcome.in_use.len()), (0, 1));
    disk.close().unwrap();
    let outcome = store.prune(&Filter::default()).unwrap();
    assert_eq!((outcome.removed.len(), outcome.in_use.len()), (1, 0));
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_prune_that_is_not_told_to_take_all_keeps_persistent_volumes() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "kept");
    let mut short = request("short");
    short.spec = VolumeSpec::parse(&format!("{SMALL},persistent=false")).unwrap();
    store.create(&short, &ignore_progress).unwrap();
    let outcome = store
        .prune(&Filter::default().not_persistent_only())
        .unwrap();
    assert_eq!(outcome.removed.len(), 1);
    assert_eq!(listed(&store), ["kept"]);
}

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

#[test]
fn threads_that_make_and_remove_at_once_lose_nothing_and_double_nothing() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..3 {
                    // A store of its own each time, as a process would have.
                    let store = Store::open(root).unwrap();
                    make(&store, &format!("own-{thread}-{round}"));
                    match store.create(&request(&format!("shared-{round}")), &ignore_progress) {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), VolumeErrorKind::AlreadyExists),
                    }
                    assert!(listed(&store).contains(&format!("own-{thread}-{round}")));
                    if round == 1 {
                        store
                            .remove(&name(&format!("own-{thread}-0")), false)
                            .unwrap();
                    }
                }
            });
        }
    });
    let store = Store::open(root).unwrap();
    let mut expected: Vec<String> = (0..8)
        .flat_map(|thread| (1..3).map(move |round| format!("own-{thread}-{round}")))
        .chain((0..3).map(|round| format!("shared-{round}")))
        .collect();
    expected.sort();
    assert_eq!(listed(&store), expected);
    assert_tidy(root, &store);
}

#[test]
fn one_store_is_shared_by_threads() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || make(store, &format!("volume-{thread}")));
        }
    });
    assert_eq!(listed(&store).len(), 4);
    assert_tidy(folder.path(), &store);
}

#[test]
fn the_same_request_on_the_same_tree_makes_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("doc")).unwrap();
    fs::write(source.join("doc/readme.txt"), "hello").unwrap();
    fs::write(source.join("blob"), vec![7; 300_000]).unwrap();
    let build = |store: &str, epoch: u64, spec: &str| {
        let store = Store::open(&folder.path().join(store)).unwrap();
        let mut wanted = CreateRequest::new(name("data"), VolumeSpec::parse(spec).unwrap());
        wanted.from = Some(source.clone());
        wanted.reproducible = Some(epoch);
        let outcome = store.create(&wanted, &ignore_progress).unwrap();
        assert_eq!((outcome.report.files, outcome.report.directories), (2, 1));
        let bytes = fs::read(store.inspect(&name("data")).unwrap().image_path).unwrap();
        store.remove(&name("data"), false).unwrap();
        blake3::hash(&bytes)
    };
    for spec in ["size=64M", "size=64M,fs=fat32,format=vhd"] {
        let first = build("one", 1_600_000_000, spec);
        assert_eq!(build("two", 1_600_000_000, spec), first, "{spec}");
        assert_ne!(build("one", 1_600_000_002, spec), first, "{spec}");
    }
    let before = build("one", 1_600_000_000, "size=64M");
    fs::write(source.join("blob"), vec![8; 300_000]).unwrap();
    assert_ne!(build("one", 1_600_000_000, "size=64M"), before);
}

#[test]
fn a_lost_database_is_rebuilt_from_the_rescue_records() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let store = Store::open(root).unwrap();
    let mut wanted = request("one");
    wanted.labels.insert("app".to_owned(), "db".to_owned());
    let one = store.create(&wanted, &ignore_progress).unwrap().record;
    let two = make(&store, "two");
    let torn = make(&store, "torn");
    drop(store);
    fs::remove_file(root.join("state.db")).unwrap();
    fs::write(root.join("state.db-wal"), "left over").unwrap();
    let record = root
        .join("volumes")
        .join(torn.id.to_string())
        .join("volume.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("torn", "born")).unwrap();
    fs::create_dir(
        root.join("volumes")
            .join(format!("{}.removed", uuid::Uuid::new_v4())),
    )
    .unwrap();
    let store = Store::open(root).unwrap();
    assert_eq!(store.list(&Filter::default()).unwrap(), [one, two]);
    let [Notice::Rebuilt(report)] = store.notices() else {
        panic!("{:?}", store.notices());
    };
    assert_eq!(report.restored, ["one", "two"]);
    assert_eq!(report.left.len(), 1);
    assert!(report.left[0].1.contains("digest"), "{report:?}");
    assert_eq!(entries(&root.join("volumes")).len(), 3);
    drop(store);
    assert!(Store::open(root).unwrap().notices().is_empty());
}

#[test]
fn a_damaged_database_is_an_error_until_it_is_rebuilt() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    make(&Store::open(root).unwrap(), "data");
    fs::write(
        root.join("state.db"),
        "this is no database at all".repeat(400),
    )
    .unwrap();
    let error = Store::open(root).err().unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::Damaged, "{error}");
    let report = Store::rebuild(root).unwrap();
    assert_eq!(report.restored, ["data"]);
    let store = Store::open(root).unwrap();
    assert_eq!(listed(&store), ["data"]);
    assert_tidy(root, &store);
    assert!(
        entries(root)
            .iter()
            .any(|name| name.starts_with("state.db.set-aside-"))
    );
}

#[test]
fn a_store_of_a_newer_version_is_not_touched() {
    let folder = TempDir::new().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Store::open(folder.path()).err().unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::Unsupported);
}

#[test]
fn a_folder_with_other_things_in_it_does_not_become_a_store() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("thesis.doc"), "years of work").unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    assert_eq!(entries(folder.path()).len(), 1);
}

#[test]
fn a_volume_whose_folder_is_not_its_own_is_removed_by_force_only() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let store = Store::open(root).unwrap();
    let [one, two] =
        ["one", "two"].map(|text| root.join("volumes").join(make(&store, text).id.to_string()));
    fs::copy(two.join("volume.json"), one.join("volume.json")).unwrap();
    let error = store.remove(&name("one"), false).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Damaged);
    fs::remove_file(two.join("image.vhd")).unwrap();
    let error = store.remove(&name("two"), false).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Damaged);
    let details = store.inspect(&name("two")).unwrap();
    assert_eq!(details.image_use, crate::ImageUse::Missing);
    for text in ["one", "two"] {
        store.remove(&name(text), true).unwrap();
    }
    assert_tidy(root, &store);
}

#[test]
fn a_row_that_contradicts_itself_is_damage_not_garbage() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    make(&Store::open(root).unwrap(), "data");
    let connection = rusqlite::Connection::open(root.join("state.db")).unwrap();
    let change = "UPDATE volume SET record = replace(record, 'size=3M', 'size=9M')";
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    drop(connection);
    let store = Store::open(root).unwrap();
    let error = store.list(&Filter::default()).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Damaged);
    assert!(error.to_string().contains("data"), "{error}");
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn everything_is_for_its_owner_alone() {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("store");
        let store = Store::open(&root).unwrap();
        let record = make(&store, "data");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let volume = root.join("volumes").join(record.id.to_string());
        for path in [
            root.clone(),
            root.join("volumes"),
            root.join("locks"),
            volume.clone(),
        ] {
            assert_eq!(mode(&path), 0o700, "{path:?}");
        }
        for path in ["state.db", "state.db-wal", "state.db-shm"] {
            assert_eq!(mode(&root.join(path)), 0o600, "{path}");
        }
        assert_eq!(mode(&volume.join("image.vhd")), 0o600);
        assert_eq!(mode(&volume.join("volume.json")), 0o600);
    }

    #[test]
    fn links_planted_in_a_store_are_never_followed() {
        let folder = TempDir::new().unwrap();
        let outside = TempDir::new().unwrap();
        let root = folder.path();
        let store = Store::open(root).unwrap();
        let records = ["one", "two", "three", "four"].map(|text| make(&store, text));
        let volume = |index: usize| root.join("volumes").join(records[index].id.to_string());
        // The folder of one is elsewhere, with everything that belongs into it.
        let elsewhere = outside.path().join("one");
        fs::rename(volume(0), &elsewhere).unwrap();
        symlink(&elsewhere, volume(0)).unwrap();
        // The image of two is elsewhere.
        let image = outside.path().join("image.vhd");
        fs::rename(volume(1).join("image.vhd"), &image).unwrap();
        symlink(&image, volume(1).join("image.vhd")).unwrap();
        // The rescue record of three is elsewhere.
        let rescue = outside.path().join("volume.json");
        fs::rename(volume(2).join("volume.json"), &rescue).unwrap();
        symlink(&rescue, volume(2).join("volume.json")).unwrap();
        // Four has links in its folder, to a folder and to a file.
        symlink(outside.path(), volume(3).join("folder")).unwrap();
        symlink(&image, volume(3).join("file")).unwrap();

        let before = sentinel(outside.path());
        for text in ["one", "two"] {
            for access in [Access::ReadOnly, Access::ReadWrite] {
                let error = store.open_disk(&name(text), access).err().unwrap();
                assert_eq!(error.kind(), VolumeErrorKind::Damaged, "{text}: {error}");
            }
        }
        for text in ["one", "two", "three"] {
            assert!(store.remove(&name(text), false).is_err(), "{text}");
        }
        store.remove(&name("four"), false).unwrap();
        for text in ["one", "two", "three"] {
            store.remove(&name(text), true).unwrap();
        }
        assert_tidy(root, &store);
        assert_eq!(sentinel(outside.path()), before);
    }

    #[test]
    fn a_store_whose_own_files_are_links_is_refused() {
        for target in ["state.db", "volumes", "locks"] {
            let folder = TempDir::new().unwrap();
            let outside = TempDir::new().unwrap();
            drop(Store::open(folder.path()).unwrap());
            let moved = outside.path().join(target);
            fs::rename(folder.path().join(target), &moved).unwrap();
            symlink(&moved, folder.path().join(target)).unwrap();
            let before = sentinel(outside.path());
            assert!(Store::open(folder.path()).is_err(), "{target}");
            assert_eq!(sentinel(outside.path()), before, "{target}");
        }
    }

    #[test]
    fn a_folder_swapped_for_a_link_all_the_time_lets_nothing_out() {
        let folder = TempDir::new().unwrap();
        let outside = TempDir::new().unwrap();
        let root = folder.path();
        let store = Store::open(root).unwrap();
        let record = make(&store, "data");
        let real = root.join("volumes").join(record.id.to_string());
        let parked = root.join("volumes").join("parked");
        let bait = outside.path().join("bait");
        fs::create_dir(&bait).unwrap();
        fs::write(bait.join("volume.json"), "secret").unwrap();
        fs::write(bait.join("image.vhd"), "secret").unwrap();
        let before = sentinel(outside.path());
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = fs::rename(&real, &parked);
                    let _ = symlink(&bait, &real);
                    let _ = fs::remove_file(&real);
                    let _ = fs::rename(&parked, &real);
                }
            });
            for _ in 0..2000 {
                if let Ok(disk) = store.open_disk(&name("data"), Access::ReadOnly) {
                    assert_eq!(disk.size().get(), 3 * 1024 * 1024);
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(sentinel(outside.path()), before);
    }

    /// Every path below a folder with its content.
    fn sentinel(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    waiting.push(path.clone());
                }
                let content = fs::read(&path).unwrap_or_default();
                found.push((path.display().to_string(), content));
            }
        }
        found.sort();
        found
    }
}
