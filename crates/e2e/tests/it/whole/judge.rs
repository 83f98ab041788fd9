//! One tree through everything that says yes or no of a volume.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::crate_walk;
use super::facts::{self, Facts};
use super::names::StoredNames;
use crate::command::Cvol;
use crate::ntfs::{Mount, TOOLS, differences, explained, partition, validate};
use crate::tools;

/// Every time of the trees lies before it, so that none is cut off.
const EPOCH: &str = "253402300800";

/// Who reads a volume.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// ntfs-3g, `dissect.ntfs` and the crate `ntfs`.
    All,
    /// `dissect.ntfs` takes minutes for a large tree.
    ButDissect,
}

/// What a volume is made of.
pub(super) struct Tree {
    /// The volume's name.
    pub(super) name: &'static str,
    pub(super) size: &'static str,
    /// A folder or an archive.
    pub(super) from: PathBuf,
    /// More arguments of `cvol create`.
    pub(super) arguments: Vec<&'static str>,
    /// A folder that the volume must equal.
    pub(super) folder: Option<PathBuf>,
    /// Facts that the volume must have.
    pub(super) expected: Facts,
    pub(super) readers: Readers,
}

impl Tree {
    pub(super) fn new(name: &'static str, from: PathBuf) -> Self {
        Self {
            name,
            size: "20G",
            from,
            arguments: Vec::new(),
            folder: None,
            expected: Facts::new(),
            readers: Readers::All,
        }
    }

    /// Makes the volume; returns what the command listed.
    pub(super) fn build(&self, cvol: &Cvol) -> String {
        let mut command = cvol.command(&["create", self.name, "--size", self.size, "--from"]);
        command.arg(&self.from).args(&self.arguments);
        let output = command.env("SOURCE_DATE_EPOCH", EPOCH).output().unwrap();
        let listed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {listed}", self.name);
        listed
    }
}

/// The judges, all here.
pub(super) struct Judged(());

impl Judged {
    /// `None` where a judge is absent (a failure in CI).
    pub(super) fn begin() -> Option<Self> {
        let more = ["getfattr", "setfattr", "python3", "cmp"];
        (tools::needs(&TOOLS) && tools::needs(&more)).then_some(Self(()))
    }

    /// Puts a tree through everything.
    pub(super) fn tree(&self, tree: &Tree) {
        let started = Instant::now();
        let step = |what: &str| {
            println!(
                "{:>6.1} s {}: {what}",
                started.elapsed().as_secs_f64(),
                tree.name
            );
        };
        let (cvol, other) = (Cvol::new(), Cvol::new());
        let listed = tree.build(&cvol);
        step("built");
        tree.build(&other);
        let (image, again) = (cvol.image(tree.name), other.image(tree.name));
        tools::run("cmp", &[&image, &again]);
        drop(other);
        step("built again, byte for byte the same");
        tools::run("qemu-img", &[&"check", &image]);
        let partition = partition(&cvol, tree.name);
        validate(&partition);
        step("validated");
        let found = crate_walk::count(&partition);
        step(&format!("{found} names found by the crate ntfs"));
        let seen = read(tree, &partition, &listed);
        step(&format!("{} names read through ntfs-3g", seen.len()));
        assert_eq!(found, seen.len());
        if tree.readers == Readers::All
            && let Some(dissected) = facts::of_partition(&partition)
        {
            assert_eq!(facts::differences(&seen, &dissected), [""; 0]);
            step("the same read by dissect.ntfs");
        }
        comes_back(&cvol, tree);
        step("exported, imported and exported the same");
    }
}

/// Reads the volume through ntfs-3g: it must be the source.
fn read(tree: &Tree, partition: &Path, listed: &str) -> Facts {
    let mount = Mount::with(partition, "ro,streams_interface=xattr");
    let with_streams = Mount::with(partition, "ro,streams_interface=windows");
    let seen = facts::of_mount(mount.path(), with_streams.path());
    drop(with_streams);
    for (path, fact) in &tree.expected {
        assert_eq!(seen.get(path), Some(fact), "expected {fact}");
    }
    if let Some(folder) = &tree.folder {
        let streams = tree.arguments.contains(&"--xattr-streams");
        let names = StoredNames::listed(listed);
        facts::compare_with_folder(folder, &seen, &names, streams);
        let unexplained: Vec<String> = differences(folder, mount.path())
            .into_iter()
            .filter(|line| !explained(line, folder, mount.path(), listed))
            .collect();
        assert_eq!(unexplained, [""; 0], "cvol listed: {listed}");
    }
    seen
}

/// What was exported makes a volume that is exported the same.
fn comes_back(cvol: &Cvol, tree: &Tree) {
    let export = |volume: &str, file: &str| {
        let path = cvol.work().join(file);
        cvol.ok(&["export", volume, "-o", path.to_str().unwrap()]);
        path
    };
    let first = export(tree.name, "first.tar");
    let from = first.to_str().unwrap();
    cvol.ok(&["create", "back", "--size", tree.size, "--from", from]);
    let second = export("back", "second.tar");
    tools::run("cmp", &[&first, &second]);
    assert!(fs::metadata(&first).unwrap().len() > 10_240);
}
