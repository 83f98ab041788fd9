//! Passwords kept in a store: whole after any crash, with the right key alone, and nowhere in clear.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

#[cfg(unix)]
use super::key::KeySource;
use super::*;
use crate::error::{VolumeError, VolumeErrorKind};
use crate::faults::{self, Mode};
use crate::lifecycle::CreateRequest;
use crate::name::VolumeName;
use crate::progress::ignore_progress;
use crate::spec::VolumeSpec;
use crate::store::Store;

const SHARE: &str = "kind=smb,source=//srv/data,username=ann";
const CANARY: &str = "canary-77c1";

fn name(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

fn make(store: &Store, volume: &str, password: &str) {
    let spec = VolumeSpec::parse(SHARE).unwrap();
    let request = CreateRequest {
        password: Some(SecretString::from(password)),
        ..CreateRequest::new(name(volume), spec)
    };
    store.create(&request, &ignore_progress).unwrap();
}

fn read(store: &Store, volume: &str) -> String {
    let password = store.secret(&name(volume)).unwrap();
    password.expose_secret().to_owned()
}

fn secret_file(store: &Store, volume: &str) -> PathBuf {
    let id = store.get(&name(volume)).unwrap().id.to_string();
    store.root().join("volumes").join(id).join("secret")
}

/// Every file below a folder, with what it holds.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn a_password_is_kept_changed_and_gone_with_its_volume() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "one", CANARY);
    make(&store, "two", "other");
    assert_eq!(read(&store, "one"), CANARY);
    store
        .set_secret(&name("one"), &SecretString::from("changed"))
        .unwrap();
    assert_eq!(read(&store, "one"), "changed");
    assert_eq!(read(&store, "two"), "other");
    let file = secret_file(&store, "one");
    store.remove(&name("one"), false).unwrap();
    assert!(!file.exists());
    let error = store.secret(&name("one")).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::NotFound);
}

#[test]
fn no_file_of_the_store_and_no_word_about_it_has_the_password() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "one", CANARY);
    let spec = VolumeSpec::parse(SHARE).unwrap();
    let request = CreateRequest {
        password: Some(SecretString::from(CANARY)),
        ..CreateRequest::new(name("one"), spec)
    };
    let error = store.create(&request, &ignore_progress).unwrap_err();
    for said in [
        format!("{error} {error:?}"),
        format!("{request:?}"),
        format!("{:?}", store.inspect(&name("one")).unwrap()),
    ] {
        assert!(!said.contains(CANARY), "{said}");
    }
    for (path, bytes) in files(folder.path()) {
        let is_there = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!is_there, "{}", path.display());
    }
}

#[cfg(unix)]
#[test]
fn key_and_passwords_are_for_their_owner_alone_and_a_key_that_is_not_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "one", CANARY);
    let key = folder.path().join("secret.key");
    for file in [&key, &secret_file(&store, "one")] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = store.secret(&name("one")).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    assert!(error.to_string().contains("chmod 600"), "{error}");
    let given = folder.path().join("given");
    fs::write(&given, "pw\n").unwrap();
    fs::set_permissions(&given, fs::Permissions::from_mode(0o604)).unwrap();
    let error = password_of_file(&given).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    fs::set_permissions(&given, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(password_of_file(&given).unwrap().expose_secret(), "pw");
}

#[test]
fn changed_moved_and_missing_passwords_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "one", CANARY);
    make(&store, "two", "other");
    let (one, two) = (secret_file(&store, "one"), secret_file(&store, "two"));
    let sealed = fs::read(&one).unwrap();
    let check = |bytes: Option<&[u8]>, expected: fn(&SecretError) -> bool, kind| {
        match bytes {
            Some(bytes) => fs::write(&one, bytes).unwrap(),
            None => fs::remove_file(&one).unwrap(),
        }
        match store.secret(&name("one")) {
            Err(VolumeError::Secret(error)) => {
                assert!(expected(&error), "{error}");
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().contains("\"one\""), "{error}");
            }
            other => panic!("{other:?}"),
        }
    };
    let mut changed = sealed.clone();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    let is_damaged = |error: &SecretError| matches!(error, SecretError::Damaged(_));
    let damaged = VolumeErrorKind::Damaged;
    check(Some(&changed), is_damaged, damaged);
    check(Some(b""), is_damaged, damaged);
    check(Some(&[0; 100_000]), is_damaged, damaged);
    // That of another volume, whole.
    check(Some(&fs::read(&two).unwrap()), is_damaged, damaged);
    check(
        None,
        |error| matches!(error, SecretError::Missing(_)),
        VolumeErrorKind::NotFound,
    );
    fs::write(&one, &sealed).unwrap();
    assert_eq!(read(&store, "one"), CANARY);
    // A new key: what was sealed with the old one cannot be opened, and says so.
    fs::remove_file(folder.path().join("secret.key")).unwrap();
    make(&store, "three", "x");
    check(
        Some(&sealed),
        |error| matches!(error, SecretError::OtherKey(..)),
        damaged,
    );
    let findings = store.examine(false).unwrap();
    let classes: Vec<_> = findings
        .iter()
        .map(|finding| (finding.class.as_str(), finding.subject.as_str()))
        .collect();
    assert_eq!(classes, [("password", "one"), ("password", "two")]);
    store
        .set_secret(&name("one"), &SecretString::from("again"))
        .unwrap();
    assert_eq!(read(&store, "one"), "again");
}

#[test]
fn a_change_of_the_key_that_dies_at_any_step_loses_no_password() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for volume in ["one", "two", "three"] {
        make(&store, volume, volume);
    }
    drop(store);
    for mode in [Mode::Die, Mode::Fail] {
        let mut steps = 0;
        loop {
            let store = Store::open(folder.path()).unwrap();
            faults::arm(mode, steps);
            let result = store.rotate_secrets();
            let is_done = !faults::disarm();
            drop(store);
            let store = Store::open(folder.path()).unwrap();
            for volume in ["one", "two", "three"] {
                assert_eq!(read(&store, volume), volume);
            }
            if is_done {
                assert_eq!(result.unwrap().sealed.len(), 3);
                break;
            }
            steps += 1;
        }
        assert!(steps >= 5, "{steps}");
        let key = fs::read_to_string(folder.path().join("secret.key")).unwrap();
        let keys = key.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(keys, 1, "old keys stay");
    }
}

#[test]
fn what_cannot_be_sealed_anew_keeps_its_old_key() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "good", CANARY);
    make(&store, "bad", "x");
    let bad = secret_file(&store, "bad");
    let sealed = fs::read(&bad).unwrap();
    let mut changed = sealed.clone();
    changed[60] ^= 1;
    fs::write(&bad, changed).unwrap();
    let outcome = store.rotate_secrets().unwrap();
    assert_eq!(outcome.sealed, ["good"]);
    assert_eq!(outcome.left.len(), 1);
    fs::write(&bad, sealed).unwrap();
    assert_eq!(read(&store, "bad"), "x");
    assert_eq!(read(&store, "good"), CANARY);
    assert_eq!(store.rotate_secrets().unwrap().sealed.len(), 2);
}

#[cfg(unix)]
#[test]
fn a_key_outside_the_store_seals_with_its_first_line_and_opens_with_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("store");
    let file = folder.path().join("keys");
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let source = KeySource::File(file.clone());
    let open = || Store::open(&root).unwrap().with_key_source(source.clone());
    let error = {
        let spec = VolumeSpec::parse(SHARE).unwrap();
        let request = CreateRequest {
            password: Some(SecretString::from(CANARY)),
            ..CreateRequest::new(name("one"), spec)
        };
        open().create(&request, &ignore_progress).unwrap_err()
    };
    assert_eq!(error.kind(), VolumeErrorKind::Damaged, "{error}");
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    write(&old);
    make(&open(), "one", CANARY);
    assert!(!root.join("secret.key").exists());
    write(&format!("{new}\n{old}\n"));
    assert_eq!(read(&open(), "one"), CANARY);
    assert_eq!(open().rotate_secrets().unwrap().sealed, ["one"]);
    write(&new);
    assert_eq!(read(&open(), "one"), CANARY);
    write(&old);
    assert!(open().secret(&name("one")).is_err());
    for text in ["", "# nothing\n", "zz", &new[1..]] {
        write(text);
        let error = open().secret(&name("one")).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument, "{error}");
        assert!(!error.to_string().contains("222"), "{error}");
    }
}

#[test]
fn many_at_once_keep_passwords_while_the_key_changes() {
    let folder = TempDir::new().unwrap();
    Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let root = folder.path();
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                for round in 0..6 {
                    let volume = format!("v{worker}-{round}");
                    make(&store, &volume, &volume);
                    assert_eq!(read(&store, &volume), volume);
                    if worker == 0 {
                        store.rotate_secrets().unwrap();
                    }
                }
            });
        }
    });
    let store = Store::open(folder.path()).unwrap();
    for worker in 0..4 {
        for round in 0..6 {
            let volume = format!("v{worker}-{round}");
            assert_eq!(read(&store, &volume), volume);
        }
    }
}

#[test]
fn a_password_is_one_line_of_text() {
    for (bytes, expected) in [
        (&b"pw"[..], "pw"),
        (b"pw\n", "pw"),
        (b"pw\r\n", "pw"),
        (b" p w ", " p w "),
        ("p\u{e4}\u{1f600}".as_bytes(), "p\u{e4}\u{1f600}"),
    ] {
        assert_eq!(password(bytes).unwrap().expose_secret(), expected);
    }
    for bytes in [
        &b""[..],
        b"\n",
        b"\r\n",
        b"a\nb",
        b"a\n\n",
        b"a\0b",
        b"\xff",
        &[b'x'; 1025],
    ] {
        let error = password(bytes).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    }
}
