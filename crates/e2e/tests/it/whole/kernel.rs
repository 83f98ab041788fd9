//! The kernel's driver `ntfs3`, in a guest: what it sees of each tree must be what the host sees of the
//! source.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::judge::{Judged, Tree};
use super::names::StoredNames;
use crate::command::Cvol;
use crate::guest::{DESCRIBE, Guest, Pieces};
use crate::ntfs::{Mount, partition};

/// A boot and all trees take less than a tenth of it on an idle machine.
const LIMIT: Duration = Duration::from_secs(1200);

/// What starts the part of a report that tells of one tree.
const HEADING: &str = "=== ";

/// Lines of a report by the tree that they tell of.
fn parts(report: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut parts = BTreeMap::<String, BTreeSet<String>>::new();
    let mut at = String::new();
    for line in report.lines() {
        match line.strip_prefix(HEADING) {
            Some(name) => {
                name.clone_into(&mut at);
                parts.insert(at.clone(), BTreeSet::new());
            }
            None => {
                parts.entry(at.clone()).or_default().insert(line.to_owned());
            }
        }
    }
    parts
}

/// What is told of a tree, with links apart: `ntfs3` knows links of Windows alone, and spells the absolute
/// ones in its own way. Those of the Linux subsystem, which carry any text, are empty files to it.
#[derive(Default)]
struct Told {
    /// Lines of folders and files.
    lines: BTreeSet<String>,
    /// Where links lead, as far as that is told.
    links: BTreeMap<String, Option<String>>,
}

impl Told {
    /// Takes lines apart; what lies at one of `links` is one.
    fn of(lines: &BTreeSet<String>, links: &BTreeSet<String>) -> Self {
        let mut told = Self::default();
        for line in lines {
            if let Some(path) = line.strip_prefix(LINK) {
                told.links.entry(path.to_owned()).or_default();
                continue;
            }
            if let Some((path, target)) = link_of(line) {
                told.links.insert(path, Some(target));
                continue;
            }
            let path = line.split_once(" ./").map_or("", |(_, path)| path);
            let is_empty = line.starts_with("file 0 ") || line.starts_with(EMPTY);
            if is_empty && links.contains(path) {
                told.links.entry(path.to_owned()).or_default();
            } else {
                told.lines.insert(line.clone());
            }
        }
        told
    }
}

/// What a line begins with that tells that a path is a link.
const LINK: &str = "islink ./";
/// The digest of nothing.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e ";

/// The path of a link and its target.
fn link_of(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("link './")?.strip_suffix('\'')?;
    let (path, target) = rest.split_once("' -> '")?;
    Some((path.to_owned(), target.to_owned()))
}

#[test]
fn the_driver_of_a_kernel_sees_every_tree_as_its_source_is() {
    let (Some(_judges), Some(pieces)) = (Judged::begin(), Pieces::find()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let trees: Vec<Tree> = vec![
        super::corner_cases(folder.path()),
        super::kernel_sources(folder.path()),
        super::base_layer(folder.path()),
        super::archive(folder.path(), "windows_corners", &[]),
        super::usr_share(),
    ];
    let mut guest = Guest::new(&pieces);
    let mut job = String::from(DESCRIBE);
    job.push_str("modprobe virtio_blk; modprobe nls_utf8; modprobe ntfs3\n");
    let mut made = Vec::new();
    for (number, tree) in trees.iter().enumerate() {
        let cvol = Cvol::new();
        let listed = tree.build(&cvol);
        let disk = guest.attach_read_only(&cvol.image(tree.name), "vhdx");
        writeln!(
            job,
            "echo '{HEADING}{number}'\n\
             mount -t ntfs3 -o ro,iocharset=utf8 /dev/{disk}1 /mnt && describe /mnt && umount /mnt"
        )
        .unwrap();
        made.push((cvol, listed));
    }
    job.push_str("dmesg | grep -i 'ntfs3' > /dev/console; true\n");
    let seen = parts(&guest.run(&job, LIMIT));
    let mut links = 0;
    for (number, (tree, cvol)) in trees.iter().zip(&made).enumerate() {
        let seen = &seen[&number.to_string()];
        let compared = match &tree.folder {
            Some(folder) => {
                let names = StoredNames::listed(&cvol.1);
                let expected = describe_here(&pieces, folder);
                let stored = expected.iter().map(|line| match line.split_once("./") {
                    Some((before, path)) => format!("{before}./{}", names.path(path)),
                    None => line.clone(),
                });
                compare(&stored.collect(), seen)
            }
            None => {
                let partition = partition(&cvol.0, tree.name);
                let mount = Mount::with(&partition, "ro,streams_interface=none");
                compare(&describe_here(&pieces, mount.path()), seen)
            }
        };
        println!(
            "{}: {} lines, {compared} links with their targets",
            tree.from.display(),
            seen.len()
        );
        links += compared;
    }
    assert!(links > 5, "the targets of {links} links alone were seen");
}

fn describe_here(pieces: &Pieces, folder: &Path) -> BTreeSet<String> {
    let script = format!("{DESCRIBE}describe \"$1\"");
    let text = pieces.run_here(&script, &[folder]);
    text.lines().map(str::to_owned).collect()
}

/// Every line of one is a line of the other. Returns of how many links the target was the same: it is
/// where `ntfs3` tells one and the host tells it of a path within the tree.
fn compare(expected: &BTreeSet<String>, seen: &BTreeSet<String>) -> usize {
    let links: BTreeSet<String> = expected
        .iter()
        .filter_map(|line| line.strip_prefix(LINK).map(str::to_owned))
        .collect();
    let (expected, seen) = (Told::of(expected, &links), Told::of(seen, &links));
    let missing: Vec<&String> = expected.lines.difference(&seen.lines).take(20).collect();
    let more: Vec<&String> = seen.lines.difference(&expected.lines).take(20).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "ntfs3 does not see {missing:#?}\nand sees {more:#?}"
    );
    let found: BTreeSet<&String> = seen.links.keys().collect();
    assert_eq!(found, links.iter().collect());
    let mut same = 0;
    for (path, target) in &seen.links {
        let (Some(target), Some(expected)) = (target, &expected.links[path]) else {
            continue;
        };
        let is_outside = |text: &str| text.starts_with('/') || text.starts_with("unsupported");
        if !is_outside(expected) {
            assert_eq!(target, expected, "{path}");
            same += 1;
        }
    }
    same
}
