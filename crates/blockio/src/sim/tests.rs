//! The simulator finds the ordering bugs of a toy that has them and passes the toy that has none.

use super::*;
use crate::error::IoErrorKind;
use crate::sparse::SparseMemoryStorage;
use crate::storage::{Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange};

/// What the toy gets wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The header may reach the disk before the value it points to.
    HeaderBeforeValue,
    /// `put` returns before the header is durable.
    EarlyAcknowledgement,
    /// A sync that failed is tried again, and its success believed.
    RetriedSync,
    /// The header is two sectors long and has no checksum over both.
    TornHeader,
    /// The new value overwrites the old one.
    InPlace,
}

const VALUE: usize = 1536;

/// A store of one value: two slots, and a header that names the slot in use.
struct Toy {
    storage: SimStorage,
    bug: Bug,
    sequence: u8,
}

fn slot(sequence: u8) -> ByteOffset {
    ByteOffset(4096 + u64::from(sequence % 2) * 4096)
}

impl Toy {
    fn new(bug: Bug) -> Self {
        let formatted = SparseMemoryStorage::from_bytes(&[0; 12288]);
        Self {
            storage: SimStorage::from_image(&formatted),
            bug,
            sequence: 0,
        }
    }

    fn sync(&self) -> bool {
        self.storage.sync().is_ok() || (self.bug == Bug::RetriedSync && self.storage.sync().is_ok())
    }

    /// Whether the value is stored durably.
    fn put(&mut self) -> bool {
        let next = self.sequence + 1;
        let place = if self.bug == Bug::InPlace {
            slot(0)
        } else {
            slot(next)
        };
        self.storage.write_at(&[next; VALUE], place).unwrap();
        if self.bug != Bug::HeaderBeforeValue && !self.sync() {
            return false;
        }
        let length = if self.bug == Bug::TornHeader {
            1024
        } else {
            512
        };
        self.storage
            .write_at(&vec![next; length], ByteOffset(0))
            .unwrap();
        if self.bug != Bug::EarlyAcknowledgement && !self.sync() {
            return false;
        }
        self.sequence = next;
        true
    }

    /// The value that is found after a crash, or what is wrong.
    fn recover(storage: &dyn Storage, bug: Bug) -> Result<u8, String> {
        let mut header = [0; 1024];
        storage.read_at(&mut header, ByteOffset(0)).unwrap();
        let sequence = header[0];
        if bug == Bug::TornHeader && header.iter().any(|byte| *byte != sequence) {
            return Err(String::from("torn header"));
        }
        let mut value = [0; VALUE];
        let place = if bug == Bug::InPlace {
            slot(0)
        } else {
            slot(sequence)
        };
        storage.read_at(&mut value, place).unwrap();
        if sequence != 0 && value.iter().any(|byte| *byte != sequence) {
            return Err(format!("header {sequence} before its value"));
        }
        Ok(sequence)
    }
}

/// Puts three values and returns the first crash state that breaks the promise.
fn find_crash(bug: Bug, plan: CrashPlan) -> Option<(History, CrashState, String)> {
    let mut toy = Toy::new(bug);
    let mut promises = vec![(HistoryPosition(0), 0)];
    if bug == Bug::RetriedSync {
        // The one after the header of the second put.
        toy.storage.inject(Fault::new(FaultTarget::Sync, 3));
    }
    for number in 1..=3 {
        if toy.put() {
            promises.push((toy.storage.mark(&format!("put {number}")), number));
        }
    }
    let history = toy.storage.history();
    for state in history.crash_states(plan) {
        let promised = promises
            .iter()
            .filter(|(position, _)| *position <= state.position())
            .map(|(_, number)| *number)
            .max()
            .unwrap();
        let wrong = match Toy::recover(&state.image(), bug) {
            Err(wrong) => wrong,
            Ok(found) if found < promised => format!("{found} found, {promised} promised"),
            Ok(_) => continue,
        };
        return Some((history, state, wrong));
    }
    None
}

#[test]
fn the_right_toy_passes_every_crash_state() {
    for seed in 0..8 {
        assert!(find_crash(Bug::None, CrashPlan::new(seed)).is_none());
        assert!(find_crash(Bug::None, CrashPlan::quick(seed)).is_none());
    }
}

#[test]
fn each_ordering_bug_of_the_toy_is_found_and_can_be_replayed() {
    for (bug, message) in [
        (Bug::HeaderBeforeValue, "before its value"),
        (Bug::EarlyAcknowledgement, "promised"),
        (Bug::RetriedSync, "promised"),
        (Bug::TornHeader, "torn header"),
        (Bug::InPlace, "before its value"),
    ] {
        for plan in [CrashPlan::new(1), CrashPlan::quick(1)] {
            let (history, state, wrong) = find_crash(bug, plan).expect(message);
            assert!(wrong.contains(message), "{wrong}");
            let recipe: CrashRecipe = state.to_string().parse().unwrap();
            let again = history.replay(&recipe).unwrap();
            assert!(again.image().same_bytes(&state.image()));
            assert_eq!(Toy::recover(&again.storage(), bug).err(), {
                Toy::recover(&state.image(), bug).err()
            });
            assert!(history.explain(&recipe).contains("write"), "{recipe}");
        }
    }
}

fn write(storage: &SimStorage, byte: u8, start: u64, len: usize) {
    storage
        .write_at(&vec![byte; len], ByteOffset(start))
        .unwrap();
}

fn bytes(state: &CrashState) -> Vec<u8> {
    state.image().to_bytes().unwrap()
}

/// The first bytes of all sectors, of all states of a plan.
fn sectors_seen(storage: &SimStorage, plan: CrashPlan) -> std::collections::BTreeSet<Vec<u8>> {
    storage
        .history()
        .crash_states(plan)
        .map(|state| bytes(&state).into_iter().step_by(512).collect())
        .collect()
}

const WHOLE: CrashPlan = CrashPlan {
    seed: 0,
    exhaustive: 8,
    samples: 0,
    torn_samples: 0,
    tears: false,
    reorders: false,
};

#[test]
fn every_subset_of_the_pending_writes_is_tried() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(8 * 512)).unwrap();
    storage.sync().unwrap();
    for number in 0..8 {
        write(&storage, 1, number * 512, 512);
    }
    // 256 subsets, and the empty storage from before the first sync.
    assert_eq!(sectors_seen(&storage, WHOLE).len(), 257);
    // Each once only, but for the end, where all are tried again.
    let last = storage.position();
    let states: Vec<_> = storage.history().crash_states(WHOLE).collect();
    let (end, before): (Vec<_>, Vec<_>) = states.iter().partition(|state| state.position() == last);
    assert_eq!(end.len(), 256);
    // Nothing, set_len, sync (1 each), then 1, 2, ... 64 with each write but the last.
    assert_eq!(before.len(), 3 + 127);
}

#[test]
fn what_a_sync_made_durable_is_in_every_later_state() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 1024);
    storage.sync().unwrap();
    let durable = storage.position();
    write(&storage, 2, 512, 1024);
    for state in storage.history().crash_states(CrashPlan::new(3)) {
        if state.position() >= durable {
            assert_eq!(bytes(&state)[..512], [1; 512], "{state}");
        }
    }
}

#[test]
fn what_was_pending_when_a_sync_failed_stays_uncertain() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 512);
    storage.inject(Fault::new(FaultTarget::Sync, 0));
    storage.sync().unwrap_err();
    write(&storage, 2, 512, 512);
    storage.sync().unwrap();
    let end = storage.position();
    let at_end: Vec<_> = storage
        .history()
        .crash_states(CrashPlan::new(0))
        .filter(|state| state.position() == end)
        .map(|state| bytes(&state))
        .collect();
    assert!(at_end.iter().all(|bytes| bytes[512..] == [2; 512]));
    assert!(at_end.iter().any(|bytes| bytes[0] == 0));
    assert!(at_end.iter().any(|bytes| bytes[0] == 1));
    let history = storage.history();
    let lost: CrashRecipe = "@4 0".parse().unwrap();
    assert_eq!(history.replay(&lost).err(), Some(RecipeError::Durable(2)));
}

#[test]
fn an_uncertain_write_never_arrives_after_a_durable_one() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 512);
    storage.inject(Fault::new(FaultTarget::Sync, 0));
    storage.sync().unwrap_err();
    write(&storage, 2, 0, 512);
    storage.sync().unwrap();
    let durable = storage.position();
    write(&storage, 3, 0, 512);
    for state in storage.history().crash_states(CrashPlan::new(0)) {
        if state.position() >= durable {
            assert_ne!(bytes(&state)[0], 1, "{state}");
        }
    }
}

#[test]
fn a_change_of_length_may_be_lost_while_later_writes_are_kept() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 4096);
    storage.sync().unwrap();
    storage.set_len(ByteCount(512)).unwrap();
    write(&storage, 2, 8192, 512);
    let lengths: std::collections::BTreeSet<_> = storage
        .history()
        .crash_states(WHOLE)
        .map(|state| {
            let bytes = bytes(&state);
            (bytes.len(), bytes.get(512).copied())
        })
        .collect();
    let expected = [
        (0, None),
        (512, None),
        (4096, Some(1)),
        (8704, Some(0)),
        (8704, Some(1)),
    ];
    assert_eq!(lengths, expected.into());
}

#[test]
fn writes_are_torn_at_sectors_of_the_disk() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(2048)).unwrap();
    storage.sync().unwrap();
    // From the middle of the first sector to the middle of the third.
    write(&storage, 1, 256, 1024);
    let plan = CrashPlan {
        tears: true,
        ..WHOLE
    };
    let seen: std::collections::BTreeSet<_> = storage
        .history()
        .crash_states(plan)
        .map(|state| bytes(&state))
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| {
            [
                bytes[255],
                bytes[256],
                bytes[512],
                bytes[1024],
                bytes[1279],
                bytes[1280],
            ]
        })
        .collect();
    for bits in 0..8_u8 {
        let [first, second, third] = [bits & 1, bits >> 1 & 1, bits >> 2];
        assert!(
            seen.contains(&[0, first, second, third, third, 0]),
            "{bits}"
        );
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn overlapping_writes_may_arrive_in_the_other_order() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(1536)).unwrap();
    storage.sync().unwrap();
    write(&storage, 1, 0, 1024);
    write(&storage, 2, 512, 1024);
    let plan = CrashPlan {
        reorders: true,
        ..WHOLE
    };
    assert!(sectors_seen(&storage, plan).contains(&vec![1, 1, 2]));
    assert!(!sectors_seen(&storage, WHOLE).contains(&vec![1, 1, 2]));
}

#[test]
fn a_lost_zeroing_shows_the_old_bytes_and_one_kept_early_is_cut_to_the_length() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 1024);
    storage.sync().unwrap();
    storage.set_len(ByteCount(4096)).unwrap();
    let range = ByteRange::new(ByteOffset(512), ByteCount(3584)).unwrap();
    storage.zero(range, ZeroMode::Punch).unwrap();
    let seen = sectors_seen(&storage, WHOLE);
    let mut grown = vec![1, 1];
    grown.resize(8, 0);
    assert!(seen.contains(&grown));
    assert!(seen.contains(&vec![1, 0]));
}

#[test]
fn the_same_seed_gives_the_same_states_and_another_seed_others() {
    let storage = SimStorage::new();
    for number in 0..20 {
        write(&storage, 7, number * 4096, 4096);
    }
    let list = |seed| -> Vec<String> {
        storage
            .history()
            .crash_states(CrashPlan::new(seed))
            .map(|state| state.to_string())
            .collect()
    };
    assert_eq!(list(5), list(5));
    assert_ne!(list(5), list(6));
}

#[test]
fn a_second_session_goes_on_from_a_crash_state_and_crashes_again() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 512);
    let kept = storage.history().replay(&"@1 0".parse().unwrap()).unwrap();
    let second = kept.storage();
    write(&second, 2, 512, 512);
    let seen = sectors_seen(&second, CrashPlan::new(0));
    assert_eq!(seen, [vec![1], vec![1, 2]].into());
}

#[test]
fn recipes_print_as_they_are_read() {
    for text in [
        "@0",
        "@12 3 5:odd 4",
        "@3 0:first1 1:last20 2:random77 2:even",
    ] {
        assert_eq!(text.parse::<CrashRecipe>().unwrap().to_string(), text);
    }
    for text in ["", "12", "@x", "@1 a", "@1 2:", "@1 2:first", "@1 2:never"] {
        assert!(text.parse::<CrashRecipe>().is_err(), "{text}");
    }
    let history = SimStorage::new().history();
    let recipe: CrashRecipe = "@1".parse().unwrap();
    assert_eq!(history.replay(&recipe).err(), Some(RecipeError::PastEnd(1)));
    let recipe: CrashRecipe = "@0 0".parse().unwrap();
    assert_eq!(
        history.replay(&recipe).err(),
        Some(RecipeError::NotPending(0))
    );
}

#[test]
fn a_fault_hits_the_nth_operation_once_or_for_ever() {
    let storage = SimStorage::new();
    storage.inject(Fault::new(FaultTarget::Write, 1));
    write(&storage, 1, 0, 512);
    storage.sync().unwrap();
    let error = storage.write_at(&[2; 512], ByteOffset(0)).unwrap_err();
    assert_eq!(error.kind(), IoErrorKind::Host);
    write(&storage, 3, 0, 512);
    assert_eq!(storage.image().to_bytes().unwrap(), [3; 512]);

    storage.inject(Fault::new(FaultTarget::Change, 1).no_space().sticky());
    storage.sync().unwrap();
    for _ in 0..3 {
        let error = storage.set_len(ByteCount(0)).unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::NoSpace);
        assert_eq!(storage.sync().unwrap_err().kind(), IoErrorKind::NoSpace);
    }
    storage.read_at(&mut [0; 512], ByteOffset(0)).unwrap();
    storage.clear_faults();
    storage.set_len(ByteCount(0)).unwrap();
    let counts = storage.counts();
    assert_eq!((counts.writes, counts.syncs, counts.set_lens), (3, 5, 4));
    assert_eq!(counts.of(FaultTarget::Any), 13);
}

#[test]
fn a_short_write_is_done_in_part_before_it_fails() {
    let storage = SimStorage::new();
    write(&storage, 1, 0, 1024);
    storage.inject(Fault::new(FaultTarget::Write, 0).after_bytes(512));
    storage.write_at(&[2; 1024], ByteOffset(0)).unwrap_err();
    let mut expected = vec![2; 512];
    expected.resize(1024, 1);
    assert_eq!(storage.image().to_bytes().unwrap(), expected);

    storage.inject(Fault::new(FaultTarget::Read, 0).after_bytes(512));
    let mut buf = [9; 1024];
    storage.read_at(&mut buf, ByteOffset(0)).unwrap_err();
    assert_eq!((buf[511], buf[512]), (2, 9));
}

#[test]
fn a_full_storage_takes_what_fits_and_then_has_no_space() {
    let storage = SimStorage::new();
    storage.set_capacity(Some(ByteCount(8192)));
    storage.set_len(ByteCount(1 << 40)).unwrap();
    let error = storage.write_at(&[1; 16384], ByteOffset(2048)).unwrap_err();
    assert_eq!(error.kind(), IoErrorKind::NoSpace);
    let mut byte = [9];
    storage.read_at(&mut byte, ByteOffset(8191)).unwrap();
    assert_eq!(byte, [1]);
    storage.read_at(&mut byte, ByteOffset(8192)).unwrap();
    assert_eq!(byte, [0]);
    write(&storage, 2, 0, 8192);
    let range = ByteRange::new(ByteOffset(0), ByteCount(4096)).unwrap();
    storage.zero(range, ZeroMode::Punch).unwrap();
    write(&storage, 3, 1 << 30, 4096);
}

#[test]
fn an_image_of_many_mebibytes_yields_states_in_no_time() {
    let storage = SimStorage::new();
    for number in 0..8 {
        write(&storage, 1, number << 20, 1 << 20);
    }
    storage.set_len(ByteCount(64 << 40)).unwrap();
    storage.sync().unwrap();
    for number in 0..40 {
        write(&storage, 2, number * 200_000, 4096);
        if number % 5 == 4 {
            storage.sync().unwrap();
        }
    }
    let start = std::time::Instant::now();
    let mut count = 0;
    for state in storage.history().crash_states(CrashPlan::new(0)) {
        assert!(state.image().len().unwrap() <= ByteCount(64 << 40));
        count += 1;
    }
    // Some 500 times what it takes; a copy of the 8 MiB for each state would take far longer.
    assert!(start.elapsed().as_secs() < 10, "{count} states");
    assert!(count > 500);
}
