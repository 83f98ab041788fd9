//! Crashes of VHDX images: from every state that a power cut could leave, an image opens for
//! writing without repair, holds every flushed byte, and shows no byte that was never written there
//! or that was overwritten before the last flush.
//!
//! Each sector that is written carries its own number and a version, so that bytes from elsewhere
//! or from before are recognised. `CVOL_CRASH_STATES` says how many states are tried at least; the
//! number that was is printed.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use blockio::{
    ByteOffset, CrashPlan, CrashState, Disk, Fault, FaultTarget, SimStorage, SparseMemoryStorage,
    Storage,
};
use vdisk::{Access, ImageDisk, ImageFormat, ImageKind, Provisioning};

use crate::images::{self, MIB, range};
use crate::past::{Past, fill};
use crate::random::Random;
use crate::tracked::{Tracked, few};

mod faults;

const SECTOR: u64 = 512;
/// Bytes that are written to, in blocks that lie `spread` blocks apart on the disk.
const DISK: u64 = 12 * MIB;
const BLOCK: u64 = MIB;
const SECTORS_PER_BLOCK: u64 = BLOCK / SECTOR;

/// An image on a simulated storage, with all that was asked of it.
struct Session {
    it: Tracked,
    /// With 200, the entries of the blocks stand in five pages of the table; with 1, in one.
    spread: u64,
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

fn open(
    storage: &(impl Storage + Clone + 'static),
) -> Result<Box<dyn ImageDisk>, vdisk::ImageError> {
    let storage = Box::new(storage.clone());
    vdisk::open(storage, Some(ImageFormat::Vhdx), Access::ReadWrite)
}

impl Session {
    /// A new image, whole and durable before the history begins.
    fn new(provisioning: Provisioning, seed: u64) -> Self {
        Self::with_spread(provisioning, seed, 1)
    }

    fn with_spread(provisioning: Provisioning, seed: u64, spread: u64) -> Self {
        let storage = SimStorage::new();
        let options = images::options(ImageFormat::Vhdx, provisioning, spread * DISK);
        let disk = vdisk::create(Box::new(storage.clone()), ImageFormat::Vhdx, &options).unwrap();
        disk.close().unwrap();
        let storage = SimStorage::from_image(&storage.image());
        Self::on(storage, BTreeMap::new(), seed, spread)
    }

    fn on(storage: SimStorage, past: BTreeMap<u64, Past>, seed: u64, spread: u64) -> Self {
        let it = Tracked {
            disk: Some(open(&storage).unwrap()),
            storage,
            past,
            // Versions of different sessions differ.
            version: seed % 1_000_000 * 1000,
            random: Random::new(seed),
        };
        Self { it, spread }
    }

    /// Where sectors are on the disk: start and length in bytes, block by block.
    fn places(&self, sector: u64, count: u64) -> Vec<(u64, u64)> {
        let (mut at, end) = (sector, sector + count);
        let mut places = Vec::new();
        while at < end {
            let within = at % SECTORS_PER_BLOCK;
            let length = (end - at).min(match self.spread {
                1 => u64::MAX,
                _ => SECTORS_PER_BLOCK - within,
            });
            let block = at / SECTORS_PER_BLOCK * self.spread;
            places.push((block * BLOCK + within * SECTOR, length * SECTOR));
            at += length;
        }
        places
    }

    fn is_dynamic(&self) -> bool {
        self.disk().info().kind == ImageKind::Dynamic
    }

    fn write(&mut self, sector: u64, count: u64) -> blockio::Result<()> {
        let bytes = self.next_version(sector, count, |_| 0);
        let mut rest = &bytes[..];
        let places = self.places(sector, count);
        let result = places.into_iter().try_for_each(|(at, length)| {
            let (part, after) = rest.split_at(usize::try_from(length).unwrap());
            rest = after;
            self.disk().write_at(part, ByteOffset(at))
        });
        self.finish(sector, count, result)
    }

    /// Discards a range. Only sectors that hold something need to be followed: the others are
    /// zeros before and after.
    fn clear(&mut self, sector: u64, count: u64, discard: bool) -> blockio::Result<()> {
        self.note_cleared(sector..sector + count);
        let places = self.places(sector, count);
        let result = places
            .into_iter()
            .try_for_each(|(at, length)| match discard {
                true => self.disk().discard(range(at, length)),
                false => self.disk().write_zeroes(range(at, length)),
            });
        self.finish(sector, count, result)
    }

    fn reopen(&mut self) {
        self.disk = Some(open(&self.storage).unwrap());
    }

    fn step(&mut self) -> blockio::Result<()> {
        // Half of the blocks are used much, so that space is given back and taken again.
        let block = match self.random.below(3) {
            0 => self.random.below(DISK / BLOCK),
            _ => self.random.below(5),
        };
        let first = block * SECTORS_PER_BLOCK;
        let within = self.random.below(SECTORS_PER_BLOCK - 8);
        let count = 1 + self.random.below(8);
        match self.random.below(100) {
            0..40 => self.write(first + within, count),
            // Across the boundary of two blocks.
            40..50 => self.write(
                first + SECTORS_PER_BLOCK - 2,
                4.min(DISK / SECTOR - first - SECTORS_PER_BLOCK + 2),
            ),
            50..62 => self.clear(first, SECTORS_PER_BLOCK, true),
            62..66 => self.clear(first, SECTORS_PER_BLOCK, false),
            66..70 => {
                let blocks = (1 + self.random.below(4)).min(DISK / BLOCK - block);
                self.clear(first, blocks * SECTORS_PER_BLOCK, true)
            }
            70..74 => self.clear(first + within, count, true),
            74..76 => self.clear(first + within, count, false),
            76..80 if self.is_dynamic() => self.compact(first + within, count * 300),
            _ => self.flush(),
        }
    }

    fn compact(&mut self, sector: u64, count: u64) -> blockio::Result<()> {
        let sectors = sector..(sector + count).min(DISK / SECTOR);
        self.note_cleared(sectors.clone());
        let places = self.places(sector, sectors.end - sector).into_iter();
        let unused: Vec<_> = places.map(|(at, length)| range(at, length)).collect();
        let spread = self.spread;
        self.it.compact(sectors, &unused, |sector| {
            let (block, within) = (sector / SECTORS_PER_BLOCK, sector % SECTORS_PER_BLOCK);
            block * spread * BLOCK + within * SECTOR
        })
    }

    /// Looks at a crash state; what is left is known afterwards, sector by sector.
    fn verify(&self, state: &CrashState) -> BTreeMap<u64, Past> {
        let explain = || self.storage.history().explain(state.recipe());
        self.verify_image(&state.image(), state.position().0)
            .unwrap_or_else(|problem| panic!("{state}: {problem}\n{}", explain()))
    }

    fn verify_image(
        &self,
        image: &SparseMemoryStorage,
        position: usize,
    ) -> Result<BTreeMap<u64, Past>, String> {
        let report = vdisk::check(image, Some(ImageFormat::Vhdx)).map_err(|e| e.to_string())?;
        if !report.is_sound() {
            return Err(format!("check finds {:?}", report.findings()));
        }
        let image = std::sync::Arc::new(image.clone());
        // A reader that looks through the log sees what the replay makes.
        let reader = vdisk::open(Box::new(image.clone()), None, Access::ReadOnly);
        let reader = reader.map_err(|error| format!("open for reading: {error}"))?;
        let seen = self.contents(&*reader)?;
        drop(reader);
        let disk = open(&image).map_err(|error| format!("open for writing: {error}"))?;
        let left = self.contents(&*disk)?;
        if seen != left {
            return Err("a reader sees something else than a writer".to_owned());
        }
        for (sector, past) in &self.past {
            let found = left.get(sector).copied().unwrap_or(0);
            if !past.allows(position, found) {
                return Err(format!("sector {sector} holds {found:#x}"));
            }
        }
        if let Some(sector) = left.keys().find(|sector| !self.past.contains_key(sector)) {
            return Err(format!("sector {sector} was never written and holds data"));
        }
        let report = vdisk::check(&image, None).map_err(|e| e.to_string())?;
        if !report.is_sound() || report.dirty_log {
            return Err(format!("after replay, check finds {:?}", report.findings()));
        }
        let all = self.past.keys().map(|sector| {
            let found = left.get(sector).copied().unwrap_or(0);
            (*sector, Past::settled(found))
        });
        Ok(all.collect())
    }

    /// The tags of all sectors that are not zero.
    fn contents(&self, disk: &dyn Disk) -> Result<BTreeMap<u64, u64>, String> {
        let mut tags = BTreeMap::new();
        let (mut at, size) = (0, disk.size().get());
        while at < size {
            let status = disk.block_status(range(at, size - at));
            let status = status.map_err(|error| format!("status: {error}"))?;
            let end = status.range.end().get();
            if !status.kind.reads_zero() {
                let mut bytes = vec![0; usize::try_from(end - at).unwrap()];
                disk.read_at(&mut bytes, ByteOffset(at))
                    .map_err(|error| format!("read: {error}"))?;
                for (place, bytes) in (at / SECTOR..).zip(bytes.chunks(512)) {
                    let tag = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                    if bytes != fill(tag) {
                        return Err(format!("sector {place} of the disk is torn"));
                    }
                    let (block, within) = (place / SECTORS_PER_BLOCK, place % SECTORS_PER_BLOCK);
                    if tag != 0 && !block.is_multiple_of(self.spread) {
                        return Err(format!("sector {place} of the disk holds {tag:#x}"));
                    }
                    if tag != 0 {
                        let sector = block / self.spread * SECTORS_PER_BLOCK + within;
                        tags.insert(sector, tag);
                    }
                }
            }
            at = end;
        }
        Ok(tags)
    }
}

/// How many states are tried at least.
fn wanted_states(default: usize) -> usize {
    std::env::var("CVOL_CRASH_STATES").map_or(default, |text| text.parse().unwrap())
}

/// Runs a random history and tries its crash states; every so-manieth is where another session
/// begins, which crashes again. Returns how many states were tried.
fn explore(mut session: Session, steps: usize, plan: CrashPlan, again: Option<usize>) -> usize {
    for step in 0..steps {
        session.step().unwrap();
        match (step * 5 / steps, (step * 5).is_multiple_of(steps)) {
            // Closed and opened, and left without closing and opened.
            (2, true) => {
                session.close();
                session.reopen();
            }
            (3, true) => {
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
            let second = Session::on(state.storage(), left, seed, session.spread);
            states += explore(second, 10, few(seed), None);
        }
    }
    states
}

#[test]
fn a_dynamic_image_survives_a_crash_anywhere_and_a_second_one_after_it() {
    let (mut states, mut seed) = (0, 1);
    while states < wanted_states(6000) || seed < 5 {
        let spread = if seed % 2 == 0 { 200 } else { 1 };
        let session = Session::with_spread(Provisioning::Dynamic, seed, spread);
        states += match seed % 4 {
            0 => explore(session, 8, CrashPlan::new(seed), None),
            _ => explore(session, 24, CrashPlan::quick(seed), Some(211)),
        };
        seed += 1;
    }
    println!("{states} crash states of dynamic images");
}

#[test]
fn the_tail_moves_past_an_entry_only_when_its_page_is_durable_in_its_place() {
    // Each flush changes another page of the table, so that no entry repeats the one before it.
    let mut session = Session::with_spread(Provisioning::Dynamic, 10, 1000);
    for block in 0..5 {
        session.write(block * SECTORS_PER_BLOCK, 1).unwrap();
        session.flush().unwrap();
    }
    session.close();
    assert!(check_all(&session) > 100);
}

#[test]
fn the_log_survives_a_crash_when_it_wraps_around() {
    let mut session = Session::new(Provisioning::Dynamic, 8);
    let mut before_the_end = session.storage.position();
    // Each round leaves an entry of 8 KiB; the ring holds 127 of them and a half.
    for round in 0..135 {
        if round == 122 {
            before_the_end = session.storage.position();
        }
        let block = round % 6;
        match round % 12 {
            0..6 => session.write(block * SECTORS_PER_BLOCK, 1).unwrap(),
            _ => {
                let first = block * SECTORS_PER_BLOCK;
                session.clear(first, SECTORS_PER_BLOCK, true).unwrap();
            }
        }
        session.flush().unwrap();
    }
    let mut states = 0;
    for state in session.storage.history().crash_states(few(8)) {
        if state.position() >= before_the_end {
            session.verify(&state);
            states += 1;
        }
    }
    assert!(states > 200, "{states}");
}

#[test]
fn a_fixed_image_survives_a_crash_anywhere() {
    let (mut states, mut seed) = (0, 1);
    while states < wanted_states(1000) / 10 {
        let session = Session::new(Provisioning::Fixed, seed);
        states += explore(session, 12, few(seed), Some(97));
        seed += 1;
    }
    println!("{states} crash states of fixed images");
}

#[test]
fn a_crash_while_an_image_is_created_leaves_an_image_or_none() {
    let storage = SimStorage::new();
    let options = images::options(ImageFormat::Vhdx, Provisioning::Fixed, DISK);
    let disk = vdisk::create(Box::new(storage.clone()), ImageFormat::Vhdx, &options).unwrap();
    let created = storage.mark("created").0;
    disk.close().unwrap();
    for state in storage.history().crash_states(CrashPlan::new(5)) {
        let opened = open(&std::sync::Arc::new(state.image()));
        if state.position().0 >= created {
            opened.unwrap();
        } else if let Ok(disk) = opened {
            let mut bytes = vec![1; 4096];
            disk.read_at(&mut bytes, ByteOffset(DISK - 4096)).unwrap();
            assert_eq!(bytes, vec![0; 4096], "{state}");
        }
    }
}

/// All crash states of what a scenario did after `Session::new` or an earlier crash.
fn check_all(session: &Session) -> usize {
    let mut states = 0;
    for state in session.storage.history().crash_states(CrashPlan::new(9)) {
        session.verify(&state);
        states += 1;
    }
    states
}

#[test]
fn scenario_a_growth_that_is_lost_while_its_log_entry_is_not() {
    // The entry reaches the disk, the longer file does not: replay makes the file long enough.
    let mut session = Session::new(Provisioning::Dynamic, 1);
    for block in 0..6 {
        session.write(block * SECTORS_PER_BLOCK + 3, 2).unwrap();
        session.flush().unwrap();
    }
    session.write(9 * SECTORS_PER_BLOCK, 1).unwrap();
    session.close();
    assert!(check_all(&session) > 100);
}

#[test]
fn scenario_b_no_table_page_is_in_place_before_its_log_entry_is_durable() {
    // Many entries of one page change between two flushes, then the flush is cut short.
    let mut session = Session::new(Provisioning::Dynamic, 2);
    for block in [3, 1, 7] {
        session.write(block * SECTORS_PER_BLOCK, 1).unwrap();
    }
    session.flush().unwrap();
    session
        .clear(SECTORS_PER_BLOCK, SECTORS_PER_BLOCK, true)
        .unwrap();
    session.write(11 * SECTORS_PER_BLOCK, 1).unwrap();
    session.flush().unwrap();
    assert!(check_all(&session) > 100);
}

#[test]
fn scenario_c_an_overwritten_block_is_the_old_or_the_new_and_never_neither() {
    let mut session = Session::new(Provisioning::Dynamic, 3);
    session.write(5, 8).unwrap();
    session.flush().unwrap();
    // Overwritten in place, and given up and written anew between two flushes.
    session.write(5, 8).unwrap();
    session.flush().unwrap();
    session.clear(0, SECTORS_PER_BLOCK, true).unwrap();
    session.write(5, 8).unwrap();
    session.flush().unwrap();
    session.close();
    assert!(check_all(&session) > 100);
}

#[test]
fn scenario_d_blocks_of_a_crashed_session_are_not_seen_by_the_next() {
    let mut first = Session::new(Provisioning::Dynamic, 4);
    first.write(7, 4).unwrap();
    first.flush().unwrap();
    // Written, never flushed: their space lies behind everything that is in use.
    for block in 1..6 {
        first.write(block * SECTORS_PER_BLOCK, 8).unwrap();
    }
    // All of it reached the file, but no entry leads there.
    let crashed = first.storage.image();
    let position = first.storage.position().0;
    let left = first.verify_image(&crashed, position).unwrap();
    assert!(left.values().filter(|past| past.versions[0].1 != 0).count() == 4);
    let mut second = Session::on(SimStorage::from_image(&crashed), left, 40, 1);
    for block in [8, 9, 10] {
        second.write(block * SECTORS_PER_BLOCK + 9, 1).unwrap();
    }
    second.flush().unwrap();
    second.close();
    assert!(check_all(&second) > 50);
}

#[test]
fn scenario_e_space_is_reused_only_when_nothing_durable_points_to_it() {
    let mut session = Session::new(Provisioning::Dynamic, 5);
    for block in 0..4 {
        session.write(block * SECTORS_PER_BLOCK, 8).unwrap();
    }
    session.flush().unwrap();
    for round in 0..4 {
        let old = round * SECTORS_PER_BLOCK;
        session.clear(old, SECTORS_PER_BLOCK, true).unwrap();
        session.write((5 + round) * SECTORS_PER_BLOCK, 2).unwrap();
        session.flush().unwrap();
        session.flush().unwrap();
    }
    let allocated = session.disk().info().allocated.get();
    assert_eq!(allocated, 4 * BLOCK);
    session.close();
    // Not by growing for ever either: four blocks and at most two in quarantine.
    assert!(session.storage.len().unwrap().get() <= (4 + 6) * MIB);
    assert!(check_all(&session) > 100);
}
