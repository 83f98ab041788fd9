//! Databases that are lost, damaged or of another version, and folders that are not ours.

use super::*;

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

/// Overwrites the database of `root` with what is none, as a failing disk might.
fn spoil(root: &Path) {
    let garbage = "this is no database at all".repeat(400);
    fs::write(root.join("state.db"), garbage).unwrap();
}

#[test]
fn a_damaged_database_is_set_aside_and_rebuilt_with_a_notice() {
    // A damaged database ended every command with an error, and no verb could mend it.
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    make(&Store::open(root).unwrap(), "data");
    spoil(root);
    let store = Store::open(root).unwrap();
    let [Notice::Rebuilt(report)] = store.notices() else {
        panic!("{:?}", store.notices());
    };
    assert_eq!(report.restored, ["data"]);
    let aside = report.set_aside.clone().unwrap();
    let kept = fs::read(root.join(&aside)).unwrap();
    assert!(kept.starts_with(b"this is no database"), "{aside}");
    assert_eq!(listed(&store), ["data"]);
    assert_tidy(root, &store);
    drop(store);
    assert!(Store::open(root).unwrap().notices().is_empty());
}

#[test]
fn a_damaged_database_is_left_alone_while_somebody_works() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    make(&Store::open(root).unwrap(), "data");
    spoil(root);
    let lock = fs::File::create(root.join("locks").join(uuid::Uuid::new_v4().to_string())).unwrap();
    lock.lock().unwrap();
    let error = Store::open(root).err().unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::InUse, "{error}");
    assert!(
        fs::read(root.join("state.db"))
            .unwrap()
            .starts_with(b"this")
    );
}

#[test]
fn a_rebuild_that_is_asked_for_keeps_the_old_database() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    make(&Store::open(root).unwrap(), "data");
    let report = Store::rebuild(root).unwrap();
    assert_eq!(report.restored, ["data"]);
    assert!(root.join(report.set_aside.unwrap()).is_file());
    assert_eq!(listed(&Store::open(root).unwrap()), ["data"]);
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
    assert_eq!(details.image().unwrap().image_use, crate::ImageUse::Missing);
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
