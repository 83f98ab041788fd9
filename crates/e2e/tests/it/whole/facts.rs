//! What the script `ntfs_facts.py` tells of files, and what a folder of Linux tells.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::names::StoredNames;
use crate::tools;

/// What is known of each file, by its path.
pub(super) type Facts = BTreeMap<String, Value>;

/// The facts in a file.
pub(super) fn read(path: &Path) -> Facts {
    parse(&std::fs::read_to_string(path).unwrap())
}

fn parse(text: &str) -> Facts {
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value[0].as_str().unwrap().to_owned(), value)
        })
        .collect()
}

/// The facts of a volume that ntfs-3g has mounted, with streams as extended attributes and, in a second
/// folder, as Windows spells them.
pub(super) fn of_mount(folder: &Path, with_streams: &Path) -> Facts {
    of("python3".as_ref(), "mount", &[folder, with_streams])
}

/// The facts of a partition as `dissect.ntfs` reads it; `None` where that is absent.
pub(super) fn of_partition(partition: &Path) -> Option<Facts> {
    Some(of(&tools::dissect()?, "dissect", &[partition]))
}

fn of(python: &Path, mode: &str, places: &[&Path]) -> Facts {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ntfs_facts.py");
    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .arg(mode)
        .args(places)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{mode}: {error}");
    parse(&String::from_utf8(output.stdout).unwrap())
}

/// Lines that only one of two has, a few of them.
pub(super) fn differences(one: &Facts, other: &Facts) -> Vec<String> {
    let missing = |from: &Facts, side: &str, than: &Facts| -> Vec<String> {
        from.iter()
            .filter(|(path, fact)| than.get(*path) != Some(fact))
            .map(|(_, fact)| format!("{side} {fact}"))
            .take(20)
            .collect()
    };
    let mut lines = missing(one, "<", other);
    lines.extend(missing(other, ">", one));
    lines
}

/// What the host's file system knows of each path below a folder the volume must know too: size, names,
/// time of the last change and, where asked for, streams. And the volume has no more.
pub(super) fn compare_with_folder(
    folder: &Path,
    facts: &Facts,
    names: &StoredNames,
    with_streams: bool,
) {
    let streams = if with_streams {
        streams_of(folder)
    } else {
        BTreeMap::new()
    };
    let mut compared = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in at.read_dir().unwrap() {
            let source = entry.unwrap().path();
            let state = source.symlink_metadata().unwrap();
            let path = source.strip_prefix(folder).unwrap().to_str().unwrap();
            let fact = facts
                .get(&names.path(path))
                .unwrap_or_else(|| panic!("the volume lacks {path}"));
            compared += 1;
            let kind = match state.file_type() {
                kind if kind.is_dir() => "folder",
                kind if kind.is_symlink() => "link",
                _ => "file",
            };
            assert_eq!(fact[1], kind, "{fact}");
            assert_eq!(fact[6][1], ticks(&state), "{fact}");
            match kind {
                "folder" => open.push(source.clone()),
                "file" => assert_eq!(fact[2], state.len(), "{fact}"),
                _ => {}
            }
            assert!(kind == "folder" || fact[4] == state.nlink(), "{fact}");
            let expected = streams.get(&source).map_or(&[][..], Vec::as_slice);
            let found = fact[9].as_array().unwrap().iter();
            let found: Vec<String> = found.map(|stream| format!("{}", stream[0])).collect();
            assert_eq!(found, expected, "{fact}");
        }
    }
    assert_eq!(compared, facts.len());
}

/// The time of the last change, in ticks of Windows.
fn ticks(state: &std::fs::Metadata) -> u64 {
    let nanos = i128::from(state.mtime()) * 1_000_000_000 + i128::from(state.mtime_nsec());
    u64::try_from(nanos.div_euclid(100) + 116_444_736_000_000_000).unwrap()
}

/// The names of the attributes `user.*` below a folder, quoted and sorted, by path.
fn streams_of(folder: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let listed = tools::run(
        "getfattr",
        &[&"-R", &"-h", &"-P", &"--absolute-names", &folder],
    );
    let mut streams = BTreeMap::<PathBuf, Vec<String>>::new();
    let mut at = PathBuf::new();
    for line in listed.lines() {
        if let Some(path) = line.strip_prefix("# file: ") {
            at = PathBuf::from(path);
        } else if let Some(name) = line.strip_prefix("user.") {
            streams
                .entry(at.clone())
                .or_default()
                .push(format!("{name:?}"));
        }
    }
    for names in streams.values_mut() {
        names.sort_unstable();
    }
    streams
}
