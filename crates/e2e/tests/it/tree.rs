//! Trees of files for the builders, made by this script and never kept.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::random::Random;
use crate::tools;

fn set_time(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let file = File::open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
        .unwrap();
}

/// A few files and folders that every file system holds.
pub(crate) fn small(root: &Path) {
    fs::create_dir_all(root.join("docs/deep/deeper")).unwrap();
    fs::write(root.join("hello.txt"), "hello, volume\n").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(
        root.join("docs/Ünïcödé – name with spaces.md"),
        "x".repeat(5000),
    )
    .unwrap();
    fs::write(
        root.join("docs/deep/deeper/random.bin"),
        Random(5).bytes(1_234_567),
    )
    .unwrap();
    for number in 0..200 {
        fs::write(
            root.join(format!("docs/file number {number}.txt")),
            format!("{number}"),
        )
        .unwrap();
    }
    set_time(&root.join("hello.txt"), 1_600_000_000, 123_456_700);
}

/// Changes one byte of a file; its size and times stay.
pub(crate) fn change_one_byte_keeping_time(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(b"J", 0).unwrap();
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

/// Sizes at which a file changes its form on NTFS.
const SIZES: [usize; 13] = [
    0, 1, 500, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537, 3_000_001,
];
/// Where content moves out of the record.
const RESIDENT: std::ops::RangeInclusive<usize> = 699..=720;

/// The tree of corner cases that NTFS holds as it is.
pub(crate) fn corner_cases(root: &Path) {
    sizes_and_names(root);
    sparse(root);
    links(root);
    times(root);
    let mut deep = root.join("deep");
    for level in 0..200 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "bottom").unwrap();
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..5000 {
        fs::write(many.join(format!("entry-{number:07}")), "").unwrap();
    }
}

fn sizes_and_names(root: &Path) {
    let sizes = root.join("sizes");
    fs::create_dir_all(&sizes).unwrap();
    let mut random = Random(11);
    for size in SIZES.into_iter().chain(RESIDENT) {
        fs::write(sizes.join(format!("{size}")), random.bytes(size)).unwrap();
    }
    let names = root.join("names");
    fs::create_dir_all(names.join("empty folder")).unwrap();
    let long: String = "n".repeat(255);
    // 85 characters of three bytes: the longest name a Linux host can hold here.
    let wide: String = "界".repeat(85);
    let surrogates: String = "😀".repeat(60);
    for name in [
        "a",
        "12345678.123",
        "CON",
        "aux.txt",
        "e\u{301}",
        "שלום",
        "مرحبا",
        "ΑΒΓ",
        // Pairs of one letter to Unicode, of two to the table of NTFS.
        "µ",
        "Μ",
        "ſ",
        "S",
        "ϐ",
        "Β",
        "$MFT",
        "name with  two spaces",
        "ends~1",
        &long,
        &wide,
        &surrogates,
    ] {
        fs::write(names.join(name), name).unwrap();
    }
}

fn sparse(root: &Path) {
    let mut random = Random(12);
    let islands = File::create(root.join("islands.sparse")).unwrap();
    islands.set_len(5 << 30).unwrap();
    for at in [0, (1 << 30) + 12_345, (5 << 30) - 70_000] {
        islands.write_all_at(&random.bytes(70_000), at).unwrap();
    }
    File::create(root.join("hole.sparse"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let comb = File::create(root.join("comb.sparse")).unwrap();
    comb.set_len(2000 * 131_072).unwrap();
    for tooth in 0..2000 {
        comb.write_all_at(&random.bytes(4096), tooth * 131_072)
            .unwrap();
    }
}

fn links(root: &Path) {
    let links = root.join("links");
    fs::create_dir_all(links.join("folder")).unwrap();
    fs::write(links.join("folder/file"), "file").unwrap();
    for (target, name) in [
        ("folder/file", "relative"),
        ("/etc/hostname", "absolute"),
        ("nowhere/at/all", "dangling"),
        ("itself", "itself"),
        ("folder", "to folder"),
        ("../links/folder/../folder/file", "through parent"),
        ("./folder/./file", "through dots"),
        ("name with spaces and ünïcödé", "unicode"),
    ] {
        symlink(target, links.join(name)).unwrap();
    }
    fs::write(links.join("of many names"), "x".repeat(5000)).unwrap();
    for number in 0..299 {
        let name = links.join(format!("folder/one name of many, number {number}"));
        fs::hard_link(links.join("of many names"), name).unwrap();
    }
}

/// Names that NTFS cannot hold as they are: builders rename them and say so.
pub(crate) fn names_by_policy(root: &Path) {
    let names = root.join("by policy");
    fs::create_dir_all(&names).unwrap();
    for name in [
        "less<",
        "greater>",
        "colon:",
        "quote\"",
        "backslash\\",
        "bar|",
        "question?",
        "star*",
        "bell\u{7}",
        "tab\t",
        "unit\u{1f}",
        "trailing dot.",
        "trailing space ",
        "case",
        "CASE",
        "Case",
        "... ",
    ] {
        fs::write(names.join(name), name).unwrap();
    }
    let folder = names.join("folder: with < children");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("child?"), "child").unwrap();
}

/// Streams of a file and of a folder, as extended attributes.
pub(crate) fn streams(root: &Path) {
    let folder = root.join("streams");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("file"), "data".repeat(200)).unwrap();
    for number in 0..12 {
        let value = "s".repeat(number * 20);
        for path in [folder.join("file"), folder.clone()] {
            let name = format!("user.stream {number}");
            tools::run("setfattr", &[&"-n", &name, &"-v", &value, &path]);
        }
    }
}

fn times(root: &Path) {
    let times = root.join("times");
    fs::create_dir_all(&times).unwrap();
    for (name, seconds, nanos) in [
        ("1970", 0, 0),
        ("2001", 1_000_000_000, 999_999_900),
        ("2038", 2_147_483_648, 100),
        ("2106", 4_294_967_296, 500),
    ] {
        fs::write(times.join(name), name).unwrap();
        set_time(&times.join(name), seconds, nanos);
    }
}
