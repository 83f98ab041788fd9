//! Where a store may be: deep down, and not on a server.

use super::*;

/// A folder whose path has more characters than Windows takes without being asked for long ones.
fn deep(folder: &Path) -> std::path::PathBuf {
    let deep = (0..5).fold(folder.to_owned(), |at, _| at.join("long".repeat(15)));
    fs::create_dir_all(&deep).unwrap();
    assert!(deep.as_os_str().len() > 300);
    deep
}

#[test]
fn a_database_works_at_a_path_past_260_characters() {
    let folder = TempDir::new().unwrap();
    let deep = deep(&fs::canonicalize(folder.path()).unwrap());
    // As a store has it: without the prefix under which Windows has no limit.
    let deep = crate::plain_path(deep);
    fs::write(deep.join(DATABASE), "").unwrap();
    let mut database = Database::open(&deep).unwrap();
    database.initialise(&[]).unwrap();
    drop(database);
    let database = Database::open(&deep).unwrap();
    assert_eq!(database.version().unwrap(), SCHEMA_VERSION);
    assert_eq!(database.claims().unwrap(), []);
}

/// Wine does not tell the path of a folder that is open when it has more than 260 characters, and
/// opening beneath a folder needs that on Windows: `examples/windows/checklist.ps1` has the whole store.
#[cfg(unix)]
#[test]
fn a_store_works_at_a_path_past_260_characters() {
    let folder = TempDir::new().unwrap();
    let root = deep(folder.path()).join("store");
    let store = Store::open(&root).unwrap();
    make(&store, "data");
    assert_tidy(&root, &store);
    store.remove(&name("data"), false).unwrap();
}

#[cfg(windows)]
#[test]
fn a_store_on_a_server_is_refused_before_anything_is_made_there() {
    for root in [
        r"\\nas\data\store",
        "//nas/data/store",
        r"\\?\UNC\nas\data\store",
    ] {
        let error = Store::open(Path::new(root)).err().unwrap();
        assert_eq!(error.kind(), VolumeErrorKind::Unsupported, "{root}");
        assert!(error.to_string().contains("server nas"), "{error}");
    }
}

#[cfg(windows)]
#[test]
fn a_new_store_is_open_to_nobody_else() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("a/store")).unwrap();
    assert_eq!(store.notices(), []);
}
