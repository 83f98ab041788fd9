//! Snapshots, clones and what removes them: each does what it says, or nothing, whenever it dies.

use blockio::{ByteOffset, Disk};

use super::*;
use crate::error::VolumeError;
use crate::lifecycle::CloneRequest;
use crate::spec::SpecOptions;

/// VHDX, since VHD has no log and no data identity; both go through the same code here.
pub(super) const FORMATS: [&str; 2] = [
    "size=5M,fs=none,format=vhdx,block=1M",
    "size=5M,fs=none,format=vhd",
];

pub(super) fn make_of(store: &Store, text: &str, spec: &str) -> VolumeRecord {
    let wanted = CreateRequest::new(name(text), VolumeSpec::parse(spec).unwrap());
    store.create(&wanted, &ignore_progress).unwrap().record
}

pub(super) fn snapshot(text: &str) -> SnapshotName {
    SnapshotName::parse(text).unwrap()
}

pub(super) fn clone_request(base: &str, text: &str) -> CloneRequest {
    CloneRequest {
        name: name(text),
        base: VolumeRef::parse(base).unwrap(),
        options: SpecOptions::default(),
        labels: crate::Labels::default(),
        reproducible: None,
    }
}

pub(super) fn write(store: &Store, volume: &str, offset: u64, byte: u8) {
    let disk = store
        .open_disk(&name(volume).into(), Access::ReadWrite)
        .unwrap();
    disk.write_at(&[byte; 3000], ByteOffset(offset)).unwrap();
    disk.close().unwrap();
}

pub(super) fn byte_at(store: &Store, volume: &str, offset: u64) -> u8 {
    let disk = store
        .open_disk(&VolumeRef::parse(volume).unwrap(), Access::ReadOnly)
        .unwrap();
    let mut byte = [0];
    disk.read_at(&mut byte, ByteOffset(offset)).unwrap();
    byte[0]
}

#[test]
fn a_snapshot_keeps_what_was_and_a_restore_brings_it_back() {
    for spec in FORMATS {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        make_of(&store, "data", spec);
        write(&store, "data", 1000, 1);
        store
            .take_snapshot(&name("data"), &snapshot("one"))
            .unwrap();
        write(&store, "data", 1000, 2);
        store
            .take_snapshot(&name("DATA"), &snapshot("two"))
            .unwrap();
        write(&store, "data", 1_000_000, 3);
        let seen = |volume: &str| {
            let store = Store::open(folder.path()).unwrap();
            (
                byte_at(&store, volume, 1500),
                byte_at(&store, volume, 1_001_000),
            )
        };
        assert_eq!(seen("data@one"), (1, 0));
        assert_eq!(seen("data@two"), (2, 0));
        assert_eq!(seen("data"), (2, 3));
        assert_tidy(folder.path(), &store);
        store
            .restore_snapshot(&name("data"), &snapshot("ONE"))
            .unwrap();
        assert_eq!(seen("data"), (1, 0));
        assert_eq!(seen("data@two"), (2, 0));
        assert_tidy(folder.path(), &store);
        write(&store, "data", 1_000_000, 4);
        assert_eq!(seen("data"), (1, 4));
        assert_eq!(seen("data@one"), (1, 0));
        let names: Vec<_> = store.snapshots(&name("data")).unwrap();
        let names: Vec<_> = names.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        store.remove(&name("data"), false).unwrap();
        assert_tidy(folder.path(), &store);
    }
}

#[test]
fn a_clone_shares_its_base_and_keeps_it() {
    for spec in FORMATS {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        make_of(&store, "base", spec);
        write(&store, "base", 0, 7);
        let first = store.clone_volume(&clone_request("base", "one")).unwrap();
        assert!(first.took_snapshot);
        let second = store.clone_volume(&clone_request("base", "two")).unwrap();
        assert!(!second.took_snapshot, "the base was not written since");
        assert_eq!(first.base, second.base);
        assert_eq!(first.base, "base@base-1");
        write(&store, "one", 0, 8);
        write(&store, "base", 0, 9);
        let third = store.clone_volume(&clone_request("base", "three")).unwrap();
        assert!(third.took_snapshot);
        for (volume, byte) in [("one", 8), ("two", 7), ("three", 9), ("base", 9)] {
            assert_eq!(byte_at(&store, volume, 100), byte, "{volume}");
        }
        let error = store.remove(&name("base"), false).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
        assert_eq!(
            error.to_string(),
            r#""base" is what "one", "three", "two" stand on"#
        );
        // Rebuilt from the files alone, it is the same.
        let before = store.list(&Filter::default()).unwrap();
        drop(store);
        fs::remove_file(folder.path().join("state.db")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.list(&Filter::default()).unwrap(), before);
        assert_tidy(folder.path(), &store);
        for (volume, byte) in [("one", 8), ("two", 7), ("three", 9), ("base", 9)] {
            assert_eq!(byte_at(&store, volume, 100), byte, "{volume}");
        }
        for volume in ["one", "two", "three", "base"] {
            store.remove(&name(volume), false).unwrap();
        }
        assert_tidy(folder.path(), &store);
    }
}

#[test]
fn a_raw_image_has_no_layers() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make_of(&store, "data", "size=5M,fs=none,format=raw");
    let errors: [VolumeError; 2] = [
        store
            .take_snapshot(&name("data"), &snapshot("s"))
            .unwrap_err(),
        store
            .clone_volume(&clone_request("data", "copy"))
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), VolumeErrorKind::Unsupported);
        assert!(error.to_string().contains("raw"), "{error}");
    }
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_name_is_given_to_one_snapshot_and_a_used_volume_gets_none() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make_of(&store, "data", FORMATS[0]);
    store.take_snapshot(&name("data"), &snapshot("s")).unwrap();
    let error = store
        .take_snapshot(&name("data"), &snapshot("S"))
        .unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::AlreadyExists);
    let error = store
        .restore_snapshot(&name("data"), &snapshot("other"))
        .unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::NotFound);
    let disk = store
        .open_disk(&name("data").into(), Access::ReadWrite)
        .unwrap();
    let error = store
        .take_snapshot(&name("data"), &snapshot("t"))
        .unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InUse);
    let error = store
        .restore_snapshot(&name("data"), &snapshot("s"))
        .unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InUse);
    drop(disk);
    let error = store
        .open_disk(&VolumeRef::parse("data@s").unwrap(), Access::ReadWrite)
        .err()
        .unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_store_of_the_first_version_gets_its_layers_when_it_is_opened() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let made = make(&store, "data");
    drop(store);
    let database = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    database
        .execute_batch(
            "DROP TABLE layer; DROP TABLE snapshot; DROP TABLE claim; DROP INDEX volume_stale;
             ALTER TABLE volume DROP COLUMN head; ALTER TABLE volume DROP COLUMN stale;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(database);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.list(&Filter::default()).unwrap(), [made]);
    store.take_snapshot(&name("data"), &snapshot("s")).unwrap();
    assert_tidy(folder.path(), &store);
}

#[test]
fn an_image_that_names_a_parent_outside_the_store_is_refused_by_that_name() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let secret = make_of(&store, "secret", FORMATS[0]);
    let parent = folder
        .path()
        .join("volumes")
        .join(secret.id.to_string())
        .join("image.vhdx");
    for named in [r"..\..\..\secret.vhdx", r"C:\secret.vhdx", r".\image.vhdx"] {
        let victim = make_of(&store, "victim", FORMATS[0]);
        let image = store.inspect(&name("victim")).unwrap();
        let image = image.image().unwrap().path.clone();
        fs::remove_file(&image).unwrap();
        let opened = vdisk::OpenedParent {
            storage: Box::new(
                blockio::FileStorage::open(&parent, blockio::FileAccess::ReadOnly).unwrap(),
            ),
            name: "secret".to_owned(),
            gate: Box::new(vdisk::DenyAll),
        };
        let options = vdisk::ChildOptions {
            size: None,
            block_size: None,
            names: vdisk::ParentNames {
                relative: Some(named.to_owned()),
                volume: None,
                absolute: None,
            },
            ids: vdisk::IdSource::Random,
            unix_time: 0,
        };
        let storage = blockio::FileStorage::create_new(&image).unwrap();
        let child = vdisk::create_child(
            Box::new(storage),
            vdisk::ImageFormat::Vhdx,
            &options,
            opened,
        );
        child.unwrap().close().unwrap();
        let error = store
            .open_disk(&name("victim").into(), Access::ReadOnly)
            .err()
            .unwrap();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&format!("{named:?}")), "{source}");
        assert_eq!(victim.name, name("victim"));
        store.remove(&name("victim"), false).unwrap();
    }
}

/// What a store with volume `data` and its snapshot `one` is, whatever state the volume is in.
fn assert_whole(root: &Path, expected: &[&[&str]]) -> Vec<String> {
    let store = Store::open(root).unwrap();
    assert_tidy(root, &store);
    let mut names = Vec::new();
    for volume in listed(&store) {
        names.push(volume.clone());
        for snapshot in store.snapshots(&name(&volume)).unwrap() {
            names.push(format!("{volume}@{}", snapshot.name));
        }
    }
    assert!(
        expected.iter().any(|expected| *expected == names),
        "{names:?} is none of {expected:?}"
    );
    names
}

/// Lets `action` die at each of its steps, and recovery at its first ones too; what is then in the
/// store must be one of `expected`.
fn dying(expected: &[&[&str]], prepare: impl Fn(&Store), action: impl Fn(&Store) -> Result<()>) {
    for mode in [Mode::Die, Mode::Fail] {
        let mut steps = 0;
        loop {
            let folder = TempDir::new().unwrap();
            let store = Store::open(folder.path()).unwrap();
            prepare(&store);
            faults::arm(mode, steps);
            let result = action(&store);
            drop(store);
            if !faults::disarm() {
                result.unwrap();
                break;
            }
            if mode == Mode::Die {
                for count in 0..2 {
                    faults::arm(Mode::Die, count);
                    drop(Store::open(folder.path()));
                    faults::disarm();
                }
            }
            assert_whole(folder.path(), expected);
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(byte_at(&store, "data", 100), 1, "{mode:?} at {steps}");
            steps += 1;
        }
        assert!(steps >= 4, "{steps}");
    }
}

fn one_volume(store: &Store) {
    make_of(store, "data", FORMATS[0]);
    write(store, "data", 0, 1);
}

#[test]
fn a_snapshot_that_dies_at_any_step_is_there_or_not() {
    dying(&[&["data"], &["data", "data@one"]], one_volume, |store| {
        store
            .take_snapshot(&name("data"), &snapshot("one"))
            .map(|_| ())
    });
}

#[test]
fn a_restore_that_dies_at_any_step_has_happened_or_not() {
    let prepare = |store: &Store| {
        one_volume(store);
        store
            .take_snapshot(&name("data"), &snapshot("one"))
            .unwrap();
        write(store, "data", 2_000_000, 2);
    };
    dying(&[&["data", "data@one"]], prepare, |store| {
        store
            .restore_snapshot(&name("data"), &snapshot("one"))
            .map(|_| ())
    });
}

#[test]
fn a_clone_that_dies_at_any_step_is_there_or_not() {
    let prepare = |store: &Store| {
        one_volume(store);
        store
            .take_snapshot(&name("data"), &snapshot("one"))
            .unwrap();
    };
    let expected: &[&[&str]] = &[&["data", "data@one"], &["copy", "data", "data@one"]];
    dying(expected, prepare, |store| {
        store
            .clone_volume(&clone_request("data@one", "copy"))
            .map(|_| ())
    });
}

#[test]
fn a_prune_takes_clones_before_what_they_stand_on() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make_of(&store, "base", FORMATS[0]);
    for (base, clone) in [("base", "clone"), ("clone", "deep"), ("deep", "a1")] {
        store.clone_volume(&clone_request(base, clone)).unwrap();
        write(&store, clone, 0, 1);
    }
    let disk = store
        .open_disk(&name("a1").into(), Access::ReadOnly)
        .unwrap();
    let outcome = store.prune(&Filter::default()).unwrap();
    assert_eq!((outcome.removed.len(), outcome.in_use.len()), (0, 4));
    drop(disk);
    let outcome = store.prune(&Filter::default()).unwrap();
    assert_eq!((outcome.removed.len(), outcome.in_use.len()), (4, 0));
    assert_tidy(folder.path(), &store);
}

/// `CVOL_CLONES` says how many: a thousand take half a minute.
#[test]
fn a_hundred_clones_stand_on_one_snapshot() {
    let asked = std::env::var("CVOL_CLONES");
    let count: usize = asked.map_or(100, |text| text.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make_of(&store, "base", FORMATS[0]);
    write(&store, "base", 0, 5);
    for number in 0..count {
        let made = store.clone_volume(&clone_request("base", &format!("clone-{number}")));
        assert_eq!(made.unwrap().base, "base@base-1");
    }
    write(&store, "clone-7", 0, 6);
    let kinship = store.kinship().unwrap();
    assert_eq!((kinship.bases.len(), kinship.snapshots.len()), (count, 1));
    assert_eq!(
        (
            byte_at(&store, "clone-7", 9),
            byte_at(&store, "clone-99", 9)
        ),
        (6, 5)
    );
    let error = store.remove(&name("base"), false).unwrap_err();
    let others = format!("{} more stand on", count - 5);
    assert!(error.to_string().contains(&others), "{error}");
    assert_tidy(folder.path(), &store);
}
