//! Crashes: from every state that a power cut could leave, an image opens without repair, holds
//! every flushed byte and shows no byte that was never written there.
//!
//! Each sector that is written carries its own number and a version, so that a byte from elsewhere
//! or from before is recognised. `CVOL_CRASH_ROUNDS` multiplies the number of histories.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use blockio::{ByteOffset, CrashPlan, CrashState, Disk, Fault, FaultTarget, SimStorage, Storage};
use vdisk::{Access, ImageDisk, ImageFormat, Provisioning};

use crate::images::{self, KIB, MIB, range};
use crate::interrupted::{Interrupted, Moment};
use crate::past::{Past, fill};
use crate::random::Random;
use crate::tracked::Tracked;

const SECTOR: u64 = 512;
const DISK: u64 = 24 * MIB;
const BLOCK: u64 = 512 * KIB;

/// An image on a simulated storage, with all that was asked of it.
struct Session(Tracked);

impl Deref for Session {
    type Target = Tracked;

    fn deref(&self) -> &Tracked {
        &self.0
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Tracked {
        &mut self.0
    }
}

impl Session {
    /// A new image, whole before the history begins.
    fn new(seed: u64) -> Self {
        let storage = SimStorage::new();
        let options = images::options(ImageFormat::Vhd, Provisioning::Dynamic, DISK);
        let disk = vdisk::create(Box::new(storage.clone()), ImageFormat::Vhd, &options).unwrap();
        disk.close().unwrap();
        Self::on(
            SimStorage::from_image(&storage.image()),
            BTreeMap::new(),
            seed,
        )
    }

    fn on(storage: SimStorage, past: BTreeMap<u64, Past>, seed: u64) -> Self {
        Self(Tracked {
            disk: Some(open(Box::new(storage.clone())).unwrap()),
            storage,
            past,
            version: seed % 1000 * 1000,
            random: Random::new(seed),
        })
    }

    fn step(&mut self) {
        let sector = match self.random.below(3) {
            // Near the boundary of two blocks, so that one write takes two of them.
            0 => (1 + self.random.below(DISK / BLOCK - 1)) * BLOCK / SECTOR - self.random.below(3),
            _ => self.random.below(DISK / SECTOR - 16),
        };
        let count = 1 + self.random.below(6);
        let bytes = range(sector * SECTOR, count * SECTOR);
        let done = match self.random.below(10) {
            0..6 => self.write(sector, count),
            6 => {
                self.note(sector, (0..count).map(|_| 0), |_| 0);
                self.disk().write_zeroes(bytes)
            }
            7 => {
                self.note(sector, (0..count).map(|_| 0), |_| 0);
                self.disk().discard(bytes)
            }
            8 if self.random.below(2) == 0 => {
                let sectors = sector..(sector + 8 * count).min(DISK / SECTOR);
                self.note_cleared(sectors.clone());
                let unused = [range(sector * SECTOR, (sectors.end - sector) * SECTOR)];
                self.compact(sectors, &unused, |sector| sector * SECTOR)
            }
            _ => self.flush(),
        };
        self.finish(sector, count, done).unwrap();
    }

    fn write(&mut self, sector: u64, count: u64) -> blockio::Result<()> {
        let bytes = self.next_version(sector, count, |_| 0);
        self.disk().write_at(&bytes, ByteOffset(sector * SECTOR))
    }

    fn reopen(&mut self) {
        self.close();
        self.disk = Some(open(Box::new(self.storage.clone())).unwrap());
    }

    /// Looks at a crash state; what is left is known afterwards, sector by sector.
    fn verify(&self, state: &CrashState) -> BTreeMap<u64, Past> {
        let position = state.position().0;
        let explain = || self.storage.history().explain(state.recipe());
        let image = Arc::new(state.image());
        let disk = open(Box::new(image.clone()))
            .unwrap_or_else(|error| panic!("{state}: {error}\n{}", explain()));
        let mut left = BTreeMap::new();
        let mut buf = vec![0; 512];
        for (sector, past) in &self.past {
            disk.read_at(&mut buf, ByteOffset(sector * SECTOR)).unwrap();
            let found = u64::from_le_bytes(buf[..8].try_into().unwrap());
            let allowed = buf == fill(found) && past.allows(position, found);
            assert!(
                allowed,
                "{state}: sector {sector} holds {found:#x}\n{}",
                explain()
            );
            left.insert(*sector, Past::settled(found));
        }
        self.no_strange_byte(&*disk, state);
        drop(disk);
        let mut end = [0; 512];
        let len = image.len().unwrap().get();
        image.read_at(&mut end, ByteOffset(len - SECTOR)).unwrap();
        let ours = end == [0; 512] || end.starts_with(b"conectix");
        assert!(
            ours,
            "{state}: the file ends in a guest's data\n{}",
            explain()
        );
        let report = vdisk::check(&image, Some(ImageFormat::Vhd)).unwrap();
        let torn_end = |rule: &str| rule == "VHD hard disk footer";
        let sound = report
            .findings()
            .iter()
            .all(|f| f.severity != vdisk::Severity::Error || torn_end(f.rule));
        assert!(sound, "{state}: {:?}\n{}", report.findings(), explain());
        left
    }

    /// Sectors that nobody wrote are zero.
    fn no_strange_byte(&self, disk: &dyn Disk, state: &CrashState) {
        let mut at = 0;
        while at < DISK {
            let status = disk.block_status(range(at, DISK - at)).unwrap();
            let end = status.range.end().get();
            if !status.kind.reads_zero() {
                let mut bytes = vec![0; usize::try_from(end - at).unwrap()];
                disk.read_at(&mut bytes, ByteOffset(at)).unwrap();
                for (sector, bytes) in (at / SECTOR..).zip(bytes.chunks(512)) {
                    let zero = bytes.iter().all(|b| *b == 0);
                    assert!(
                        zero || self.past.contains_key(&sector),
                        "{state}: sector {sector}"
                    );
                }
            }
            at = end;
        }
    }
}

fn open(storage: Box<dyn Storage>) -> Result<Box<dyn ImageDisk>, vdisk::ImageError> {
    vdisk::open(storage, Some(ImageFormat::Vhd), Access::ReadWrite)
}

fn rounds() -> u64 {
    let rounds = std::env::var("CVOL_CRASH_ROUNDS");
    rounds.map_or(1, |text| text.parse().unwrap())
}

/// Runs a history and tries its crash states; every so-manieth is the start of another history.
/// Returns how many states were tried.
fn explore(mut session: Session, steps: usize, plan: CrashPlan, again: Option<usize>) -> usize {
    for step in 0..steps {
        session.step();
        if step == steps / 2 {
            session.reopen();
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
            let seed = plan.seed + u64::try_from(states).unwrap();
            let second = Session::on(state.storage(), left, seed);
            let mut plan = plan;
            (plan.exhaustive, plan.samples, plan.torn_samples) = (1, 1, 1);
            states += explore(second, 6, plan, None);
        }
    }
    states
}

#[test]
fn a_dynamic_vhd_survives_a_crash_anywhere_and_a_second_one_after_it() {
    let mut states = 0;
    for seed in 0..2 * rounds() {
        states += explore(Session::new(seed), 30, CrashPlan::quick(seed), Some(100));
    }
    println!("{states} crash states");
    assert!(states > 1000);
}

#[test]
fn a_short_history_survives_every_subset_of_its_writes() {
    let mut states = 0;
    for seed in 100..100 + 8 * rounds() {
        states += explore(Session::new(seed), 8, CrashPlan::new(seed), None);
    }
    println!("{states} crash states");
    assert!(states > 500);
}

#[test]
fn a_block_allocated_while_a_flush_runs_is_not_published_by_it() {
    // A first session leaves bytes of 0xee behind that no table entry leads to.
    let storage = SimStorage::new();
    let options = images::options(ImageFormat::Vhd, Provisioning::Dynamic, DISK);
    let disk = vdisk::create(Box::new(storage.clone()), ImageFormat::Vhd, &options).unwrap();
    disk.write_at(&[0xee; 3 << 20], ByteOffset(0)).unwrap();
    drop(disk);
    let storage = SimStorage::from_image(&storage.image());
    let file = Arc::new(Interrupted::new(storage.clone(), Moment::Sync));
    let disk: Arc<dyn ImageDisk> = open(Box::new(file.clone())).unwrap().into();
    // Two blocks of one table sector, both laid over those bytes; the second while the first is
    // being published.
    disk.write_at(&[1; 512], ByteOffset(5 * BLOCK)).unwrap();
    let other = disk.clone();
    file.then(move || other.write_at(&[2; 512], ByteOffset(6 * BLOCK)).unwrap());
    disk.flush().unwrap();
    for state in storage.history().crash_states(CrashPlan::new(1)) {
        let disk = open(Box::new(state.storage())).unwrap();
        let bytes = images::read_all(&*disk);
        assert!(
            bytes.iter().all(|b| *b <= 2),
            "{state}: bytes of the first session"
        );
    }
}

/// A host that fails at any operation is reported, and costs nothing that was flushed.
fn fault_at(target: FaultTarget, nth: u64, no_space: bool) -> bool {
    let mut session = Session::new(nth);
    for _ in 0..6 {
        session.step();
    }
    session.flush().unwrap();
    let mut fault = Fault::new(target, nth).after_bytes(512);
    if no_space {
        fault = fault.no_space().sticky();
    }
    session.storage.inject(fault);
    let mut failed = false;
    for number in 0..12 {
        let sector = number * 2 * BLOCK / SECTOR + 7;
        let written = session.write(sector, 1);
        failed |= session.finish(sector, 1, written).is_err();
        match session.disk().flush() {
            Ok(()) if !failed => session.promise(),
            Ok(()) => {}
            Err(_) => failed = true,
        }
    }
    for state in session
        .storage
        .history()
        .crash_states(CrashPlan::quick(nth))
    {
        session.verify(&state);
    }
    failed
}

#[test]
fn a_failing_host_costs_nothing_that_was_flushed() {
    for target in [FaultTarget::Write, FaultTarget::Sync, FaultTarget::Zero] {
        let hits = (0..5).filter(|nth| fault_at(target, *nth, false)).count();
        assert!(target == FaultTarget::Zero || hits > 0, "{target:?}");
    }
    for nth in 0..6 {
        assert!(fault_at(FaultTarget::Change, nth, true));
    }
}
