//! Random histories of changes against a plain model of files and directories: what the volume
//! holds after each step, and after a crash at any write of it.
//!
//! `CVOL_CHANGE_HISTORIES` says how many histories are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use blockio::{
    ByteCount, ByteOffset, CrashPlan, CrashState, Disk, DiskCursor, MIB, MemoryDisk, MemoryStorage,
    SectorSize, SimStorage, SparseMemoryStorage, Storage,
};
use mkfs::change::{
    ChangeError, ChangeErrorKind, ChangeOptions, ChangeSet, PathNames, VolumeChange, recover,
};
use mkfs::fat32::Fat32Options;
use mkfs::ntfs::NtfsOptions;
use mkfs::tree::memory::MemoryTree;
use mkfs::{Attributes, NamePolicy, NodeId, NodeName, NtTime, SecurityDescriptor};

use super::ntfs_reader::Reader;
use super::random::Random;
use super::storage_disk::{Recorded, StorageDisk};

pub(super) fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(super) fn histories(at_desk: u64) -> u64 {
    let asked = std::env::var("CVOL_CHANGE_HISTORIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(at_desk)
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory { attributes: u32 },
    File { content: Vec<u8>, attributes: u32 },
}

pub(super) type Model = BTreeMap<String, Node>;

const ARCHIVE: u32 = 0x20;
const SETTABLE: u32 = 0x27;

/// A step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put {
        directory: String,
        name: String,
        content: Vec<u8>,
    },
    MakeDirectory(String),
    Remove(String),
    Rename(String, String),
    Attributes(String, u32, u32),
    Security(String, u8),
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Names that fill index blocks at different speeds.
fn name(random: &mut Random) -> String {
    let number = random.below(60);
    match random.below(4) {
        0 => format!("n{number}"),
        1 => format!("Some longer name, number {number}.extension"),
        2 => format!(
            "{}-{number}",
            "ä".repeat(usize::try_from(random.below(200)).unwrap() / 10 * 10)
        ),
        _ => format!("{number:03}-file.txt"),
    }
}

fn content(random: &mut Random) -> Vec<u8> {
    let length = match random.below(6) {
        0 => 0,
        1 => random.below(100),
        2 => 500 + random.below(400),
        3 => random.below(5000),
        4 => 4096 * random.below(4),
        _ => random.below(60_000),
    };
    random.bytes(usize::try_from(length).unwrap())
}

fn pick(model: &Model, random: &mut Random, wanted: impl Fn(&Node) -> bool) -> Option<String> {
    let paths: Vec<_> = model
        .iter()
        .filter(|(_, node)| wanted(node))
        .map(|(path, _)| path)
        .collect();
    (!paths.is_empty()).then(|| {
        let count = u64::try_from(paths.len()).unwrap();
        paths[usize::try_from(random.below(count)).unwrap()].clone()
    })
}

fn directory(model: &Model, random: &mut Random) -> String {
    let is_directory = |node: &Node| matches!(node, Node::Directory { .. });
    match random.below(3) {
        0 => String::new(),
        _ => pick(model, random, is_directory).unwrap_or_default(),
    }
}

pub(super) fn step(model: &Model, random: &mut Random) -> Step {
    let any = |random: &mut Random| pick(model, random, |_| true);
    match random.below(20) {
        0..9 => Step::Put {
            directory: directory(model, random),
            name: name(random),
            content: content(random),
        },
        9..12 => Step::MakeDirectory(join(&directory(model, random), &name(random))),
        12..15 => match any(random) {
            Some(path) => Step::Remove(path),
            None => step(model, random),
        },
        15..17 => match any(random) {
            Some(path) => Step::Rename(path, join(&directory(model, random), &name(random))),
            None => step(model, random),
        },
        17..19 => match any(random) {
            Some(path) => {
                let bits =
                    |random: &mut Random| u32::try_from(random.below(0x28)).unwrap() & SETTABLE;
                let set = bits(random);
                Step::Attributes(path, set, bits(random) & !set)
            }
            None => step(model, random),
        },
        _ => match any(random) {
            Some(path) => Step::Security(path, u8::try_from(random.below(12)).unwrap()),
            None => step(model, random),
        },
    }
}

/// The model after a step; `None` where the step is to be refused.
pub(super) fn after(model: &Model, step: &Step) -> Option<Model> {
    let mut next = model.clone();
    match step {
        Step::Put {
            directory,
            name,
            content,
        } => {
            let path = join(directory, name);
            let attributes = match model.get(&path) {
                Some(Node::Directory { .. }) => return None,
                _ => ARCHIVE,
            };
            next.insert(
                path,
                Node::File {
                    content: content.clone(),
                    attributes,
                },
            );
        }
        Step::MakeDirectory(path) => {
            if next
                .insert(path.clone(), Node::Directory { attributes: 0 })
                .is_some()
            {
                return None;
            }
        }
        Step::Remove(path) => {
            next.remove(path);
            next.retain(|other, _| !is_below(other, path));
        }
        Step::Rename(from, to) => {
            if (model.contains_key(to) && from != to)
                || from == parent(to)
                || is_below(parent(to), from)
            {
                return None;
            }
            let moved: Vec<_> = model
                .keys()
                .filter(|path| *path == from || is_below(path, from))
                .collect();
            for path in moved {
                let node = next.remove(path).unwrap();
                next.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Step::Attributes(path, set, clear) => match next.get_mut(path)? {
            Node::Directory { attributes } | Node::File { attributes, .. } => {
                *attributes = *attributes & !clear | set;
            }
        },
        Step::Security(..) => {}
    }
    Some(next)
}

/// A descriptor of its own for each number.
fn descriptor(number: u8) -> SecurityDescriptor {
    let mut bytes = vec![
        1, 0, 4, 0x80, 48, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0,
    ];
    bytes.extend([
        2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0, number, 0, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0,
        0,
    ]);
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
    SecurityDescriptor::from_bytes(&bytes).unwrap()
}

fn apply(volume: &mut VolumeChange<'_>, step: &Step) -> Result<(), ChangeError> {
    let path = |text: &str| PathNames::new(text).unwrap();
    match step {
        Step::Put {
            directory,
            name,
            content,
        } => {
            let mut tree = MemoryTree::new();
            tree.add_file(NodeId::ROOT, NodeName::from_text(name).unwrap(), content);
            volume.add_tree(&path(directory), &mut tree.source(), &go_on)?;
        }
        Step::MakeDirectory(at) => volume.make_directory(&path(at), false)?,
        Step::Remove(at) => {
            volume.remove(&path(at), true)?;
        }
        Step::Rename(from, to) => volume.rename(&path(from), &path(to), false)?,
        Step::Attributes(at, set, clear) => {
            let bits = Attributes::from_bits;
            volume.set_attributes(&path(at), bits(*set), bits(*clear))?;
        }
        Step::Security(at, number) => volume.set_security(&path(at), &descriptor(*number))?,
    }
    Ok(())
}

/// Which file system is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ntfs,
    Fat32,
}

/// What a reader of others finds on a volume, as a model.
fn read_back(kind: Kind, disk: &dyn Disk) -> Model {
    match kind {
        Kind::Ntfs => {
            let mut bytes = vec![0; usize::try_from(disk.size().get()).unwrap()];
            disk.read_at(&mut bytes, ByteOffset(0)).unwrap();
            read_ntfs(bytes)
        }
        Kind::Fat32 => {
            let volume =
                fatfs::FileSystem::new(DiskCursor::new(disk), fatfs::FsOptions::new()).unwrap();
            assert!(!volume.read_status_flags().unwrap().dirty());
            let free = volume.stats().unwrap().free_clusters();
            let mut model = Model::new();
            read_fat(&volume.root_dir(), "", &mut model);
            assert!(free > 0);
            model
        }
    }
}

fn read_fat(directory: &fatfs::Dir<'_, DiskCursor<&dyn Disk>>, above: &str, model: &mut Model) {
    for entry in directory.iter() {
        let entry = entry.unwrap();
        if entry.file_name() == "." || entry.file_name() == ".." {
            continue;
        }
        let path = join(above, &entry.file_name());
        let attributes = u32::from(entry.attributes().bits()) & SETTABLE;
        if entry.is_dir() {
            read_fat(&entry.to_dir(), &path, model);
            assert!(model.insert(path, Node::Directory { attributes }).is_none());
        } else {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry.to_file(), &mut content).unwrap();
            assert!(
                model
                    .insert(
                        path,
                        Node::File {
                            content,
                            attributes
                        }
                    )
                    .is_none()
            );
        }
    }
}

fn read_ntfs(bytes: Vec<u8>) -> Model {
    let mut reader = Reader::new(bytes);
    let found = reader.walk();
    let mut records = BTreeSet::new();
    let mut model = Model::new();
    for (path, entry) in found {
        assert!(
            records.insert(entry.record),
            "{path} has the record of another file"
        );
        let attributes = entry.attributes & SETTABLE;
        let node = if entry.is_directory {
            Node::Directory { attributes }
        } else {
            let length = usize::try_from(entry.size).unwrap();
            Node::File {
                content: reader.read(entry.record, 0, length),
                attributes,
            }
        };
        model.insert(path, node);
    }
    model
}

/// Whether a volume holds the model, and nothing else.
pub(super) fn check(kind: Kind, disk: &dyn Disk, model: &Model, what: &dyn std::fmt::Debug) {
    let report = match kind {
        Kind::Ntfs => mkfs::ntfs::fsck::check(disk, &go_on).unwrap(),
        Kind::Fat32 => mkfs::fat32::fsck::check(disk, &go_on).unwrap(),
    };
    assert!(
        report.findings().is_empty(),
        "{:?} after {what:?}",
        report.findings()
    );
    let found = read_back(kind, disk);
    let names = |model: &Model| model.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(model), "after {what:?}");
    for (path, node) in model {
        assert!(found[path] == *node, "{path} after {what:?}");
    }
}

pub(super) fn options(seed: u64) -> ChangeOptions {
    let seconds = 1_800_000_000 + i64::try_from(seed).unwrap();
    ChangeOptions {
        now: NtTime::from_unix(seconds, 0),
        name_policy: NamePolicy::Map,
    }
}

pub(super) fn new_volume(kind: Kind, seed: u64) -> MemoryDisk {
    if kind == Kind::Fat32 {
        let disk = MemoryDisk::new(ByteCount(34 * MIB), SectorSize::B512).unwrap();
        let options = Fat32Options {
            label: String::new(),
            volume_id: 7,
            time: NtTime::from_unix(1_700_000_000, 0),
            name_policy: NamePolicy::Map,
            case_policy: mkfs::CasePolicy::Rename,
            cluster_size: Some(ByteCount(512)),
            hidden_sectors: 0,
        };
        mkfs::fat32::format(&disk, &options, None, &go_on).unwrap();
        return disk;
    }
    let (size, cluster) = match seed % 4 {
        0 => (2 * MIB, 512),
        1 => (2 * MIB, 1024),
        2 => (2 * MIB, 2048),
        _ => (3 * MIB, 4096),
    };
    let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
    let options = NtfsOptions {
        cluster_size: Some(ByteCount(cluster)),
        time: NtTime::from_unix(1_700_000_000, 0),
        ..NtfsOptions::default()
    };
    mkfs::ntfs::format(&disk, &options, None, &go_on).unwrap();
    disk
}

/// The change of a step, or why it is refused.
pub(super) fn changed(disk: &dyn Disk, step: &Step, seed: u64) -> Result<ChangeSet, ChangeError> {
    let mut volume = VolumeChange::open(disk, options(seed))?;
    apply(&mut volume, step)?;
    volume.finish()
}

pub(super) fn is_expected(kind: Kind, model: &Model, step: &Step, error: &ChangeError) -> bool {
    match error.kind() {
        // A small volume may be full at any step.
        ChangeErrorKind::NoSpace => kind == Kind::Ntfs,
        ChangeErrorKind::AlreadyExists | ChangeErrorKind::InvalidArgument => {
            after(model, step).is_none()
        }
        ChangeErrorKind::Unsupported => kind == Kind::Fat32 && matches!(step, Step::Security(..)),
        _ => false,
    }
}

/// Puts a volume where the tools of others can look at it.
fn dump(disk: &MemoryDisk, kind: Kind, seed: u64) {
    if let Some(folder) = std::env::var_os("CVOL_DUMP") {
        let path = std::path::Path::new(&folder).join(format!("history-{seed}.{kind:?}"));
        std::fs::write(path, disk.to_bytes()).unwrap();
    }
}

/// Histories are tried by as many threads as the machine runs at once.
fn try_histories(kind: Kind, count: u64) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                let first = u64::try_from(first).unwrap();
                (first..count)
                    .step_by(threads)
                    .for_each(|seed| try_history(kind, seed));
            });
        }
    });
}

fn try_history(kind: Kind, seed: u64) {
    let disk = new_volume(kind, seed);
    let mut random = Random::new(seed);
    let mut model = Model::new();
    for number in 0..24 {
        let step = step(&model, &mut random);
        match changed(&disk, &step, seed * 100 + number) {
            Ok(change) => {
                change.commit(&disk, &MemoryStorage::default()).unwrap();
                model = after(&model, &step)
                    .unwrap_or_else(|| panic!("history {seed}: {step:?} was not refused"));
            }
            Err(error) => {
                let is_expected = is_expected(kind, &model, &step, &error);
                assert!(is_expected, "history {seed}: {step:?}: {error}");
            }
        }
        check(kind, &disk, &model, &(seed, number, &step));
    }
    dump(&disk, kind, seed);
}

#[test]
fn a_random_history_on_ntfs_leaves_what_a_plain_model_holds_after_each_step() {
    try_histories(Kind::Ntfs, histories(40));
}

#[test]
fn a_random_history_on_fat32_leaves_what_a_plain_model_holds_after_each_step() {
    try_histories(Kind::Fat32, histories(200).div_ceil(20));
}

/// The states of two storages at each moment of their common order.
pub(super) struct Crashes {
    pub(super) order: Vec<(usize, usize)>,
    pub(super) disk: BTreeMap<usize, Vec<CrashState>>,
    pub(super) journal: BTreeMap<usize, Vec<CrashState>>,
}

pub(super) fn by_position(storage: &SimStorage, seed: u64) -> BTreeMap<usize, Vec<CrashState>> {
    let mut states: BTreeMap<usize, Vec<CrashState>> = BTreeMap::new();
    for state in storage.history().crash_states(CrashPlan::quick(seed)) {
        states.entry(state.position().0).or_default().push(state);
    }
    states
}

impl Crashes {
    /// Some pairs of states for each moment, every state of either storage at least once.
    pub(super) fn pairs(&self) -> Vec<(&CrashState, &CrashState)> {
        let mut pairs = Vec::new();
        for (disk, journal) in self.order.iter().collect::<BTreeSet<_>>() {
            let (Some(disks), Some(journals)) = (self.disk.get(disk), self.journal.get(journal))
            else {
                continue;
            };
            for at in 0..disks.len().max(journals.len()) {
                pairs.push((&disks[at % disks.len()], &journals[at * 7 % journals.len()]));
            }
        }
        pairs
    }
}

/// Commits the change that `make` makes on simulated storages and returns what crashes could leave, and
/// the end.
pub(super) fn crashes(
    before: &SparseMemoryStorage,
    seed: u64,
    make: &dyn Fn(&dyn Disk) -> Result<ChangeSet, ChangeError>,
) -> Result<(Crashes, SparseMemoryStorage), ChangeError> {
    let order = Arc::new(Mutex::new(vec![(0, 0)]));
    let storage = SimStorage::from_image(before);
    let log = SimStorage::new();
    let recorded = |own: &SimStorage, is_first| Recorded {
        own: own.clone(),
        order: Arc::clone(&order),
        is_first,
    };
    let disk = StorageDisk(recorded(&storage, true));
    let journal = recorded(&log, false);
    make(&disk)?.commit(&disk, &journal)?;
    let order = order.lock().unwrap().clone();
    let crashes = Crashes {
        order,
        disk: by_position(&storage, seed),
        journal: by_position(&log, seed),
    };
    Ok((crashes, storage.image()))
}

/// Recovers from a crash and returns what the disk holds then.
pub(super) fn recovered(disk: &CrashState, journal: &CrashState) -> SparseMemoryStorage {
    let (disk, journal) = (StorageDisk(disk.storage()), journal.storage());
    recover(&disk, &journal).unwrap();
    assert_eq!(journal.len().unwrap(), ByteCount(0));
    disk.0.image()
}

fn try_crashes(kind: Kind, count: u64) {
    let mut crash_count = 0_u64;
    for seed in 0..count {
        let mut random = Random::new(seed ^ 0x5EED);
        let mut model = Model::new();
        let mut image = SparseMemoryStorage::default();
        image
            .write_at(&new_volume(kind, seed).to_bytes(), ByteOffset(0))
            .unwrap();
        for number in 0..8 {
            let step = step(&model, &mut random);
            let id = seed * 100 + number;
            let made = crashes(&image, id, &|disk| changed(disk, &step, id));
            let (crashes, end) = match made {
                Ok(outcome) => outcome,
                Err(error) => {
                    let is_expected = is_expected(kind, &model, &step, &error);
                    assert!(is_expected, "history {seed}: {step:?}: {error}");
                    continue;
                }
            };
            let next = after(&model, &step).unwrap();
            let end_disk = StorageDisk(SimStorage::from_image(&end));
            check(kind, &end_disk, &next, &(seed, number, &step));
            // Most crashes leave the same bytes as others; each is looked at once.
            let mut known = vec![end.clone()];
            for (disk, journal) in crashes.pairs() {
                crash_count += 1;
                let found = recovered(disk, journal);
                if known.iter().any(|known| known.same_bytes(&found)) {
                    continue;
                }
                let what = (seed, number, &step, disk.to_string(), journal.to_string());
                // Not the new state: then it is the old one, but for data in free clusters.
                check(
                    kind,
                    &StorageDisk(SimStorage::from_image(&found)),
                    &model,
                    &what,
                );
                known.push(found);
            }
            (image, model) = (end, next);
        }
    }
    assert!(crash_count > 0);
    eprintln!("{crash_count} crashes");
}

#[test]
fn a_crash_at_any_write_to_ntfs_leaves_the_model_before_the_step_or_after_it() {
    try_crashes(Kind::Ntfs, histories(400).div_ceil(50));
}

#[test]
fn a_crash_at_any_write_to_fat32_leaves_the_model_before_the_step_or_after_it() {
    try_crashes(Kind::Fat32, histories(400).div_ceil(100));
}
