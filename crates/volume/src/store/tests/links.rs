//! Links planted in the store by somebody else: none is followed.

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
            let error = store.open_disk(&name(text).into(), access).err().unwrap();
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

// A pipe in the place of an image held `inspect` in the open for good; only a kill ended it.
#[test]
fn pipes_planted_in_a_store_hold_nobody_up() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let store = Store::open(root).unwrap();
    let record = make(&store, "one");
    let volume = root.join("volumes").join(record.id.to_string());
    for file in ["image.vhd", "volume.json"] {
        fs::remove_file(volume.join(file)).unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&volume.join(file), mode).unwrap();
    }
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert!(store.open_disk(&name("one").into(), access).is_err());
    }
    // What cannot be read of it is left out; the record itself comes from the database.
    let _ = store.inspect(&name("one"));
    assert!(store.remove(&name("one"), false).is_err());
    store.remove(&name("one"), true).unwrap();
    assert_tidy(root, &store);
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
            if let Ok(disk) = store.open_disk(&name("data").into(), Access::ReadOnly) {
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
