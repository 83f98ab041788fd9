//! Random histories of a store with layers against a plain model of bytes: writes, discards,
//! snapshots, clones, restores, removals, merges, compacting, resizing, and processes that die in the middle of them.
//! `CVOL_LAYER_HISTORIES` says how many.
//!
//! A new operation on layers gets an arm in [`World::step`] and, if what is read changes by it, a line
//! in the model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};

use mkfs::change::ChangeOptions;
use mkfs::{NamePolicy, NtTime};

use super::*;
use crate::error::VolumeError;
use crate::layer::SnapshotState;
use crate::lifecycle::CloneRequest;
use crate::lifecycle::compact::CompactOptions;
use crate::lifecycle::resize::{NewSize, ResizeRequest};
use crate::spec::SpecOptions;

const FORMATS: [&str; 2] = [
    "size=3M,fs=none,format=vhdx,block=1M",
    "size=3M,fs=none,format=vhd",
];
/// Bytes of a disk, at least.
const SMALLEST: usize = 3 << 20;
const STEPS: u64 = 16;
const MOST_VOLUMES: usize = 4;
const MOST_SNAPSHOTS: usize = 4;

/// What a volume holds now and held when its snapshots were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Volume {
    bytes: Vec<u8>,
    snapshots: BTreeMap<String, Vec<u8>>,
}

type Model = BTreeMap<String, Volume>;
/// An operation on a store.
type Action = Box<dyn Fn(&Store) -> Result<()>>;

struct World {
    folder: TempDir,
    model: Model,
    made: usize,
    state: u64,
    done: BTreeMap<&'static str, usize>,
}

fn resize(store: &Store, volume: &str, length: usize) -> Result<()> {
    let request = ResizeRequest {
        size: NewSize::Exactly(ByteCount(u64::try_from(length).unwrap())),
        image_only: true,
        dry_run: false,
        options: ChangeOptions {
            now: NtTime::from(std::time::SystemTime::UNIX_EPOCH),
            name_policy: NamePolicy::Map,
        },
    };
    store
        .resize(&name(volume), request, &|_| ControlFlow::Continue(()))
        .map(drop)
}

/// A store on memory-backed storage where there is one: the test is about order, not about disks.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => TempDir::new_in(memory).unwrap(),
        false => TempDir::new().unwrap(),
    }
}

fn reference(volume: &str, snapshot: Option<&str>) -> VolumeRef {
    VolumeRef {
        volume: name(volume),
        snapshot: snapshot.map(|text| SnapshotName::parse(text).unwrap()),
    }
}

fn read_all(store: &Store, reference: &VolumeRef) -> Vec<u8> {
    let disk = store.open_disk(reference, Access::ReadOnly).unwrap();
    let mut bytes = vec![0; usize::try_from(disk.size().get()).unwrap()];
    disk.read_at(&mut bytes, ByteOffset(0)).unwrap();
    bytes
}

impl World {
    fn new(format: &str, seed: u64) -> Self {
        let mut world = Self {
            folder: scratch(),
            model: Model::new(),
            made: 0,
            state: seed,
            done: BTreeMap::new(),
        };
        let store = world.open();
        let wanted = CreateRequest::new(name("first"), VolumeSpec::parse(format).unwrap());
        store.create(&wanted, &ignore_progress).unwrap();
        let bytes = read_all(&store, &reference("first", None));
        let snapshots = BTreeMap::new();
        world
            .model
            .insert("first".to_owned(), Volume { bytes, snapshots });
        world
    }

    fn open(&self) -> Store {
        Store::open(self.folder.path()).unwrap()
    }

    /// SplitMix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let count = u64::try_from(of.len()).unwrap();
        (count > 0).then(|| of[usize::try_from(self.below(count)).unwrap()].clone())
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{}", self.made)
    }

    fn any_snapshot(&mut self) -> Option<(String, String)> {
        let all: Vec<(String, String)> = self
            .model
            .iter()
            .flat_map(|(volume, it)| it.snapshots.keys().map(|s| (volume.clone(), s.clone())))
            .collect();
        self.any(&all)
    }

    /// Writes, zeros and discards on a volume; the process then ends or is killed.
    fn write(&mut self, volume: &str) {
        let store = self.open();
        let disk = store
            .open_disk(&name(volume).into(), Access::ReadWrite)
            .unwrap();
        let mut bytes = self.model[volume].bytes.clone();
        let sectors = disk.size().get() / 512;
        for _ in 0..1 + self.below(3) {
            let sector = self.below(sectors);
            let most = [9, 3000][usize::try_from(self.below(2)).unwrap()];
            let count = (1 + self.below(most)).min(sectors - sector);
            let range = ByteRange::new(ByteOffset(sector * 512), ByteCount(count * 512)).unwrap();
            let from = usize::try_from(sector * 512).unwrap();
            let held = &mut bytes[from..from + usize::try_from(count * 512).unwrap()];
            match self.below(5) {
                0 => {
                    disk.discard(range).unwrap();
                    held.fill(0);
                }
                1 => {
                    disk.write_zeroes(range).unwrap();
                    held.fill(0);
                }
                _ => {
                    held.fill(u8::try_from(self.below(255)).unwrap() + 1);
                    disk.write_at(held, range.start()).unwrap();
                }
            }
        }
        match self.below(3) {
            0 => {
                disk.flush().unwrap();
                drop(disk);
            }
            _ => disk.close().unwrap(),
        }
        self.model.get_mut(volume).unwrap().bytes = bytes;
    }

    /// One operation, which may die; the model follows what came of it.
    fn step(&mut self) {
        let volumes: Vec<String> = self.model.keys().cloned().collect();
        let volume = self.any(&volumes).unwrap();
        let mut after = self.model.clone();
        let choice = self.below(20);
        let snapshot = self.any_snapshot();
        let of_volume = self.model[&volume].clone();
        let (what, action): (&'static str, Action) = match (choice, snapshot) {
            (0..4, _) => return self.write(&volume),
            (4..7, _) if of_volume.snapshots.len() < MOST_SNAPSHOTS => {
                let fresh = self.fresh("s");
                let it = after.get_mut(&volume).unwrap();
                it.snapshots.insert(fresh.clone(), of_volume.bytes);
                let snapshot = SnapshotName::parse(&fresh).unwrap();
                let take =
                    move |store: &Store| store.take_snapshot(&name(&volume), &snapshot).map(drop);
                ("snapshot", Box::new(take))
            }
            (7..9, Some((base, snapshot))) if volumes.len() < MOST_VOLUMES => {
                let fresh = self.fresh("clone");
                let it = Volume {
                    bytes: self.model[&base].snapshots[&snapshot].clone(),
                    snapshots: BTreeMap::new(),
                };
                after.insert(fresh.clone(), it);
                let request = CloneRequest {
                    name: name(&fresh),
                    base: reference(&base, Some(&snapshot)),
                    options: SpecOptions::default(),
                    labels: crate::Labels::default(),
                    reproducible: None,
                };
                (
                    "clone",
                    Box::new(move |store: &Store| store.clone_volume(&request).map(drop)),
                )
            }
            (9..11, Some((volume, text))) => {
                let it = after.get_mut(&volume).unwrap();
                it.bytes = it.snapshots[&text].clone();
                let snapshot = SnapshotName::parse(&text).unwrap();
                let restore = move |store: &Store| {
                    store.restore_snapshot(&name(&volume), &snapshot).map(drop)
                };
                ("restore", Box::new(restore))
            }
            (11..14, Some((volume, text))) => {
                after.get_mut(&volume).unwrap().snapshots.remove(&text);
                let snapshot = SnapshotName::parse(&text).unwrap();
                let remove = move |store: &Store| {
                    store
                        .remove_snapshot(&name(&volume), &snapshot, &ignore_progress)
                        .map(drop)
                };
                ("merge", Box::new(remove))
            }
            (14, _) => {
                let flatten =
                    move |store: &Store| store.flatten(&name(&volume), &ignore_progress).map(drop);
                ("flatten", Box::new(flatten))
            }
            (15, _) if volumes.len() > 1 => {
                after.remove(&volume);
                let remove = move |store: &Store| store.remove(&name(&volume), false).map(drop);
                ("remove", Box::new(remove))
            }
            (16..18, _) => {
                // The disks hold no file system whose clusters could move.
                let compact_options = CompactOptions {
                    dry_run: false,
                    scan_zeros: false,
                    pack: None,
                };
                let compact = move |store: &Store| {
                    store
                        .compact(&name(&volume), compact_options, &|_, _| {
                            ControlFlow::Continue(())
                        })
                        .map(drop)
                };
                ("compact", Box::new(compact))
            }
            (18..20, _) => {
                let bytes = &mut after.get_mut(&volume).unwrap().bytes;
                let length = self.another_length(bytes);
                bytes.resize(length, 0);
                (
                    "resize",
                    Box::new(move |store: &Store| resize(store, &volume, length)),
                )
            }
            _ => return,
        };
        self.carry_out(what, &*action, after);
    }

    /// A length for a disk that holds `bytes`: larger, or shorter by zeros alone.
    fn another_length(&mut self, bytes: &[u8]) -> usize {
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        // No volume has less than it began with.
        let spare = zeros.min(bytes.len().saturating_sub(SMALLEST));
        let sectors = u64::try_from(spare / 512).unwrap();
        let by = |sectors: u64| usize::try_from(sectors).unwrap() * 512;
        if sectors > 0 && self.below(2) == 0 {
            bytes.len() - by(1 + self.below(sectors))
        } else {
            bytes.len() + by(1 + self.below(3000))
        }
    }

    fn carry_out(
        &mut self,
        what: &'static str,
        action: &dyn Fn(&Store) -> Result<()>,
        after: Model,
    ) {
        let store = self.open();
        let dies = self.below(3) == 0;
        if dies {
            faults::arm(Mode::Die, usize::try_from(self.below(9)).unwrap());
        }
        let result = action(&store);
        let died = dies && faults::disarm();
        drop(store);
        match result {
            Ok(()) => self.model = after.clone(),
            // Clones, or several layers, stand on it.
            Err(VolumeError::HasDependents { .. }) => return,
            // What it stands on is larger than it was to become.
            Err(VolumeError::Image { source, .. })
                if what == "resize" && source.kind() == vdisk::ImageErrorKind::InvalidOption =>
            {
                return;
            }
            Err(error) => assert!(died, "{what}: {error:?}"),
        }
        *self.done.entry(what).or_default() += 1;
        let seen = self.observe();
        if seen != self.model {
            assert!(died, "{what} did something else");
            assert!(
                seen == after,
                "{what} that died left neither the old nor the new state"
            );
            self.model = after;
        }
    }

    /// What is in the store; a snapshot whose removal began is not.
    fn observe(&self) -> Model {
        let store = self.open();
        let mut seen = Model::new();
        for volume in listed(&store) {
            let mut it = Volume {
                bytes: read_all(&store, &reference(&volume, None)),
                snapshots: BTreeMap::new(),
            };
            for snapshot in store.snapshots(&name(&volume)).unwrap() {
                if snapshot.state == SnapshotState::Ready {
                    let text = snapshot.name.to_string();
                    let bytes = read_all(&store, &reference(&volume, Some(&text)));
                    it.snapshots.insert(text, bytes);
                }
            }
            seen.insert(volume, it);
        }
        seen
    }

    /// Completes removals that began, and looks whether the files are those of the rows.
    fn finish(&self) {
        let store = self.open();
        for volume in listed(&store) {
            for snapshot in store.snapshots(&name(&volume)).unwrap() {
                if snapshot.state == SnapshotState::Removing {
                    store
                        .remove_snapshot(&name(&volume), &snapshot.name, &ignore_progress)
                        .unwrap();
                }
            }
        }
        assert_tidy(self.folder.path(), &store);
        drop(store);
        assert!(
            self.observe() == self.model,
            "completing a removal changed what is read"
        );
        // And from the files alone the same store is made again.
        fs::remove_file(self.folder.path().join("state.db")).unwrap();
        assert_tidy(self.folder.path(), &self.open());
        assert!(
            self.observe() == self.model,
            "a rebuilt store holds something else"
        );
    }
}

#[test]
fn a_store_with_layers_holds_what_a_model_of_bytes_holds() {
    let asked = std::env::var("CVOL_LAYER_HISTORIES");
    let histories: u64 = asked.map_or(24, |text| text.parse().unwrap());
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..histories {
        let format = FORMATS[usize::try_from(seed % 2).unwrap()];
        let mut world = World::new(format, seed);
        world.write("first");
        for _ in 0..STEPS {
            world.step();
        }
        assert!(world.observe() == world.model, "history {seed}");
        world.finish();
        for (what, count) in world.done {
            *done.entry(what).or_default() += count;
        }
    }
    println!("{histories} histories: {done:?}");
    assert_eq!(done.len(), 8, "{done:?}");
}
