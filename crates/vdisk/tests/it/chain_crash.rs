//! Crashes of children: from every state that a power cut could leave, a child opens on its parent
//! without repair, holds every flushed byte, and shows in each sector what was written there or what
//! its parent has, never zeros out of nowhere and never bytes of another place or time. The parent
//! is never written.
//!
//! Each sector carries its own number and a version; the parent's are versions of their own.
//! A tenth of `CVOL_CRASH_STATES` says how many states are tried at least: each is a chain, read twice.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use blockio::{
    ByteOffset, CrashPlan, CrashState, Disk, Fault, FaultTarget, SimStorage, SparseMemoryStorage,
};
use vdisk::{Access, ImageError, ImageFormat, Provisioning};

use crate::chain::{Files, child_options};
use crate::images::{self, File, MIB, range};
use crate::past::{Past, fill};
use crate::random::Random;
use crate::tracked::{Tracked, few};

const SECTOR: u64 = 512;
const DISK: u64 = 3 * MIB;
const SECTORS: u64 = DISK / SECTOR;
/// The version of what the parent holds.
const PARENT: u64 = 0xfff_ffff;

struct Session {
    files: Files,
    parent: File,
    it: Tracked,
}

impl Deref for Session {
    type Target = Tracked;

    fn deref(&self) -> &Tracked {
        &self.it
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Tracked {
        &mut self.it
    }
}

/// What the parent holds: most is full, the rest is zero.
fn parents(sector: u64) -> u64 {
    match sector * SECTOR / MIB {
        2 => 0,
        _ => (sector << 32) + PARENT,
    }
}

impl Session {
    fn new(format: ImageFormat, seed: u64) -> Self {
        let parent = File::default();
        let disk = images::create(&parent, format, Provisioning::Dynamic, DISK);
        let bytes: Vec<u8> = (0..SECTORS)
            .flat_map(|sector| fill(parents(sector)))
            .collect();
        for (at, bytes) in (0..).zip(bytes.chunks(1 << 20)) {
            if bytes.iter().any(|byte| *byte != 0) {
                disk.write_at(bytes, ByteOffset(at * MIB)).unwrap();
            }
        }
        disk.close().unwrap();
        let mut files = Files::new(format, parent.clone());
        let storage = SimStorage::new();
        let child = files.grow(Arc::new(storage.clone()), &child_options(format));
        child.close().unwrap();
        let storage = SimStorage::from_image(&storage.image());
        Self::on(files, parent, storage, BTreeMap::new(), seed)
    }

    fn on(
        files: Files,
        parent: File,
        storage: SimStorage,
        past: BTreeMap<u64, Past>,
        seed: u64,
    ) -> Self {
        let disk = files.open_file(Arc::new(storage.clone()), Access::ReadWrite);
        let it = Tracked {
            disk: Some(disk.unwrap()),
            storage,
            past,
            version: seed % 10_000 * 1000 + 1,
            random: Random::new(seed),
        };
        Self { files, parent, it }
    }

    fn write(&mut self, sector: u64, count: u64) -> blockio::Result<()> {
        let bytes = self.next_version(sector, count, parents);
        let result = self.disk().write_at(&bytes, ByteOffset(sector * SECTOR));
        self.finish(sector, count, result)
    }

    fn clear(&mut self, sector: u64, count: u64, discard: bool) -> blockio::Result<()> {
        self.note(sector, (0..count).map(|_| 0), parents);
        let range = range(sector * SECTOR, count * SECTOR);
        let result = match discard {
            true => self.disk().discard(range),
            false => self.disk().write_zeroes(range),
        };
        self.finish(sector, count, result)
    }

    fn reopen(&mut self) {
        let storage = Arc::new(self.storage.clone());
        self.disk = Some(self.files.open_file(storage, Access::ReadWrite).unwrap());
    }

    fn step(&mut self) -> blockio::Result<()> {
        let block = MIB / SECTOR;
        let first = self.random.below(SECTORS / block) * block;
        let within = self.random.below(block - 8);
        let count = 1 + self.random.below(8);
        match self.random.below(100) {
            0..45 => self.write(first + within, count),
            // Whole blocks, and across the boundary of two.
            45..50 => self.write(first, block),
            50..58 => self.write(first + block - 2, 4.min(SECTORS - first - block + 2)),
            58..66 => self.clear(first, block, true),
            66..70 => self.clear(first, block, false),
            70..75 => self.clear(first + within, count, true),
            75..80 => self.clear(first + within, count, false),
            80..86 => self.compact(first + within, count * 200),
            _ => self.flush(),
        }
    }

    fn compact(&mut self, sector: u64, count: u64) -> blockio::Result<()> {
        let sectors = sector..(sector + count).min(SECTORS);
        let count = sectors.end - sectors.start;
        self.note(sector, (0..count).map(|_| 0), parents);
        let unused = [range(sector * SECTOR, count * SECTOR)];
        self.it.compact(sectors, &unused, |sector| sector * SECTOR)
    }

    fn verify(&self, state: &CrashState) -> BTreeMap<u64, Past> {
        let explain = || self.storage.history().explain(state.recipe());
        self.verify_image(state.image(), state.position().0)
            .unwrap_or_else(|problem| panic!("{state}: {problem}\n{}", explain()))
    }

    fn verify_image(
        &self,
        image: SparseMemoryStorage,
        position: usize,
    ) -> Result<BTreeMap<u64, Past>, String> {
        let image = Arc::new(image);
        let text = |error: ImageError| error.to_string();
        let reader = self.files.open_file(image.clone(), Access::ReadOnly);
        let seen = images::read_all(&*reader.map_err(text)?);
        let disk = self.files.open_file(image.clone(), Access::ReadWrite);
        let disk = disk.map_err(text)?;
        let bytes = images::read_all(&*disk);
        if seen != bytes {
            return Err("a reader sees something else than a writer".to_owned());
        }
        drop(disk);
        let report = vdisk::check(&image, None).map_err(text)?;
        // Growing a VHD may leave its end torn, and then its start counts.
        let torn = |rule| rule == "VHD hard disk footer";
        let findings = report.findings().iter();
        let mut errors = findings.filter(|f| f.severity == vdisk::Severity::Error);
        if !errors.all(|finding| torn(finding.rule)) {
            return Err(format!("check finds {:?}", report.findings()));
        }
        let mut left = BTreeMap::new();
        for (sector, bytes) in (0..).zip(bytes.chunks(512)) {
            let found = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            if bytes != fill(found) {
                return Err(format!("sector {sector} is torn"));
            }
            let allowed = match self.past.get(&sector) {
                Some(past) => past.allows(position, found),
                None => found == parents(sector),
            };
            if !allowed {
                return Err(format!("sector {sector} holds {found:#x}"));
            }
            if self.past.contains_key(&sector) {
                left.insert(sector, Past::settled(found));
            }
        }
        Ok(left)
    }

    fn second(&self, state: &CrashState, left: BTreeMap<u64, Past>, seed: u64) -> Self {
        let (files, parent) = (self.files.clone(), self.parent.clone());
        Self::on(files, parent, state.storage(), left, seed)
    }
}

fn wanted_states(default: usize) -> usize {
    let asked = std::env::var("CVOL_CRASH_STATES");
    asked.map_or(default, |text| text.parse::<usize>().unwrap() / 10)
}

/// Runs a random history and tries its crash states; every so-manieth is where another session
/// begins, which crashes again. Returns how many states were tried.
fn explore(mut session: Session, steps: usize, plan: CrashPlan, again: Option<usize>) -> usize {
    let before = (*session.parent).clone();
    for step in 0..steps {
        session.step().unwrap();
        match step * 5 / steps {
            2 if (step * 5).is_multiple_of(steps) => {
                session.close();
                session.reopen();
            }
            3 if (step * 5).is_multiple_of(steps) => {
                session.flush().unwrap();
                drop(session.disk.take());
                session.reopen();
            }
            _ => {}
        }
    }
    session.close();
    let mut states = 0;
    for state in session.storage.history().crash_states(plan) {
        let left = session.verify(&state);
        states += 1;
        if let Some(every) = again
            && states % every == 0
        {
            let seed = plan.seed * 7919 + u64::try_from(states).unwrap();
            let second = session.second(&state, left, seed);
            states += explore(second, 6, few(seed), None);
        }
    }
    assert!(session.parent.same_bytes(&before), "the parent was written");
    states
}

fn check(format: ImageFormat) {
    let (mut states, mut seed) = (0, 1);
    while states < wanted_states(300) {
        let session = Session::new(format, seed);
        states += match seed % 3 {
            0 => explore(session, 4, CrashPlan::quick(seed), None),
            _ => explore(session, 10, few(seed), Some(150)),
        };
        seed += 1;
    }
    println!("{states} crash states of children in {format}");
}

#[test]
fn a_vhdx_child_survives_a_crash_anywhere_and_a_second_one_after_it() {
    check(ImageFormat::Vhdx);
}

#[test]
fn a_vhd_child_survives_a_crash_anywhere_and_a_second_one_after_it() {
    check(ImageFormat::Vhd);
}

/// A first sector of a block, more of it, all of it, and none of it, with a flush after each.
#[test]
fn every_step_of_a_blocks_life_survives_every_subset_of_its_writes() {
    let block = MIB / SECTOR;
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let mut session = Session::new(format, 77);
        session.write(5, 3).unwrap();
        session.flush().unwrap();
        session.write(100, 2).unwrap();
        session.write(6, 1).unwrap();
        session.flush().unwrap();
        session.write(0, block).unwrap();
        session.write(block + 9, 1).unwrap();
        session.flush().unwrap();
        session.clear(0, block, true).unwrap();
        session.flush().unwrap();
        session.write(3, 2).unwrap();
        session.close();
        let mut states = 0;
        for state in session.storage.history().crash_states(CrashPlan::quick(7)) {
            session.verify(&state);
            states += 1;
        }
        assert!(states > 100, "{format} {states}");
    }
}

#[test]
fn a_failing_or_full_host_is_reported_and_costs_nothing_that_was_flushed() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let mut failures = 0;
        for (target, full) in [
            (FaultTarget::Write, false),
            (FaultTarget::Sync, false),
            (FaultTarget::Zero, false),
            (FaultTarget::Change, true),
        ] {
            for nth in 0..4 {
                let mut session = Session::new(format, 300 + nth);
                (0..6).for_each(|_| session.step().unwrap());
                session.flush().unwrap();
                let mut fault = Fault::new(target, nth).after_bytes(512);
                if full {
                    fault = fault.no_space().sticky();
                }
                session.storage.inject(fault);
                failures += (0..15).filter(|_| session.step().is_err()).count().min(1);
                session.storage.clear_faults();
                let plan = few(nth);
                for state in session.storage.history().crash_states(plan).step_by(9) {
                    session.verify(&state);
                }
            }
        }
        assert!(failures > 6, "{format} {failures}");
    }
}
