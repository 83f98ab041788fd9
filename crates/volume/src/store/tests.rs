//! The store as a black box with faults: what is listed is whole, what is not leaves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vdisk::Access;

use super::*;
use crate::faults::{self, Mode};
use crate::filter::Filter;
use crate::layer::{LayerRecord, SnapshotName, VolumeRef};
use crate::lifecycle::CreateRequest;
use crate::progress::ignore_progress;
use crate::spec::VolumeSpec;
use crate::state::VolumeState;
use crate::store::layers::LayerRows;
use crate::{VolumeErrorKind, VolumeName};

mod claims;
mod crashes;
mod damage;
mod histories;
mod layers;
#[cfg(unix)]
mod links;
mod merges;
mod places;

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
    assert_eq!(store.database().unfinished_layers().unwrap(), []);
    assert!(store.database().stale_volumes().unwrap().is_empty());
    for record in &records {
        let (layers, snapshots) = {
            let database = store.database();
            let layers = database.layers(record.id).unwrap();
            (layers, database.snapshots(record.id).unwrap())
        };
        let files = layers
            .iter()
            .map(|layer| layer.file_name(record.disk().unwrap().format()));
        let expected: BTreeSet<String> = files.chain(["volume.json".to_owned()]).collect();
        let folder = root.join("volumes").join(record.id.to_string());
        assert_eq!(entries(&folder), expected);
        let text = fs::read_to_string(folder.join("volume.json")).unwrap();
        let rescue = rescue::Rescue::from_text(&text).unwrap();
        assert_eq!(rescue.record, *record);
        let sorted = |mut layers: Vec<LayerRecord>| {
            layers.sort_by_key(|layer| layer.id);
            layers
        };
        assert_eq!(sorted(rescue.layers), sorted(layers));
        assert_eq!(rescue.snapshots, snapshots);
        for snapshot in snapshots {
            let read = VolumeRef {
                volume: record.name.clone(),
                snapshot: Some(snapshot.name),
            };
            store.open_disk(&read, Access::ReadOnly).unwrap();
        }
        store
            .open_disk(&record.name.clone().into(), Access::ReadOnly)
            .unwrap();
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
    assert!(details.image().unwrap().path.is_file());
    assert_eq!(
        details
            .image()
            .unwrap()
            .info
            .as_ref()
            .unwrap()
            .virtual_size
            .get(),
        3 * 1024 * 1024
    );
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
    let disk = store
        .open_disk(&name("data").into(), Access::ReadWrite)
        .unwrap();
    for force in [false, true] {
        let error = store.remove(&name("data"), force).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
    }
    let error = store
        .open_disk(&name("data").into(), Access::ReadWrite)
        .err()
        .unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::InUse);
    let details = store.inspect(&name("data")).unwrap();
    assert_eq!(details.image().unwrap().image_use, crate::ImageUse::InUse);
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
        wanted.from = Some(crate::FillFrom::Directory(source.clone()));
        wanted.reproducible = Some(epoch);
        let outcome = store.create(&wanted, &ignore_progress).unwrap();
        assert_eq!((outcome.report.files, outcome.report.directories), (2, 1));
        let bytes = fs::read(&store.inspect(&name("data")).unwrap().image().unwrap().path).unwrap();
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
