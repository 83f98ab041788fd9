//! The ledger: a test a row of its tables, documents that are none, and how much a machine takes.

use std::collections::BTreeSet;

use attach::carry_out::{AttachError, Selection};
use attach::ledger::{
    AttachmentId, Entry, EntryId, EntryState, Ledger, LedgerError, MountId, MountState, NewMount,
    TransitionError, Worker, fuzz_document,
};
use attach::{GuestFileSystem, GuestSystem, Hypervisor, MountRequest, Plan, Platform};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::machines::{
    earlier_mounts, five_mounts, host, image, mount, operator, order, platforms, world,
};
use crate::requests::{V2_9, disk, path, platform};

fn linux() -> Platform {
    platform(Hypervisor::Qemu, GuestSystem::Linux)
}

fn worker() -> Worker {
    Worker("somebody".to_owned())
}

fn begin(ledger: &mut Ledger, requests: &[MountRequest]) -> AttachmentId {
    let plan = Plan::on(ledger, requests).unwrap();
    let new: Vec<NewMount> = requests
        .iter()
        .map(|request| NewMount {
            source: request.target.to_string(),
            reference: None,
        })
        .collect();
    ledger.begin(&plan, "me", 1, &worker(), &new).unwrap()
}

fn mounts(ledger: &Ledger, id: AttachmentId) -> BTreeSet<MountId> {
    let mounts = &ledger.attachment(id).unwrap().mounts;
    mounts.iter().map(|mount| mount.id).collect()
}

fn states(ledger: &Ledger) -> Vec<EntryState> {
    ledger.entries().iter().map(Entry::state).collect()
}

fn mount_state(ledger: &Ledger, id: AttachmentId) -> Option<MountState> {
    ledger
        .attachment(id)
        .map(|attachment| attachment.mounts[0].state)
}

/// A ledger with one disk, as far as its states were told.
struct Told {
    ledger: Ledger,
    id: AttachmentId,
    entries: Vec<EntryId>,
}

impl Told {
    /// An export, a disk and a mount of it: all planned.
    fn begun() -> Self {
        let mut ledger = Ledger::new(linux());
        let id = begin(
            &mut ledger,
            &[mount(linux(), image(linux(), 0), "/a", true)],
        );
        let entries = ledger.entries().iter().map(Entry::id).collect();
        Self {
            ledger,
            id,
            entries,
        }
    }

    fn done(mut self, count: usize) -> Self {
        for entry in &self.entries[..count] {
            self.ledger.start(*entry, None).unwrap();
            self.ledger.finish(*entry).unwrap();
        }
        self
    }

    fn there() -> Self {
        let mut told = Self::begun().done(3);
        told.ledger.arrive(told.id).unwrap();
        told
    }

    /// What is refused changes nothing.
    #[track_caller]
    fn check_refused<T: std::fmt::Debug>(
        &self,
        change: impl FnOnce(&mut Ledger) -> Result<T, TransitionError>,
    ) {
        let mut changed = self.ledger.clone();
        let refused = change(&mut changed);
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(changed, self.ledger);
    }
}

#[test]
fn none_begins_as_coming_and_planned() {
    let told = Told::begun();
    assert_eq!(mount_state(&told.ledger, told.id), Some(MountState::Coming));
    assert_eq!(states(&told.ledger), [EntryState::Planned; 3]);
    for entry in &told.entries {
        told.check_refused(|ledger| ledger.finish(*entry));
        told.check_refused(|ledger| ledger.start_undo(*entry, &worker()));
        told.check_refused(|ledger| ledger.undone(*entry));
        told.check_refused(|ledger| ledger.undo_failed(*entry, ""));
    }
    told.check_refused(|ledger| ledger.arrive(told.id));
    // Somebody is at work on it.
    let own = mounts(&told.ledger, told.id);
    told.check_refused(|ledger| ledger.leave(&own));
}

#[test]
fn a_plan_is_begun_only_on_what_it_was_made_from() {
    let mut ledger = Ledger::new(linux());
    let requests = [mount(linux(), image(linux(), 0), "/a", true)];
    let plan = Plan::on(&ledger, &requests).unwrap();
    let new = NewMount {
        source: String::new(),
        reference: None,
    };
    let none = ledger.begin(&plan, "me", 1, &worker(), &[]);
    assert!(matches!(none, Err(TransitionError::OtherMounts { .. })));
    let empty = Plan::on(&ledger, &[]).unwrap();
    let nothing = ledger.begin(&empty, "me", 1, &worker(), &[]);
    assert_eq!(nothing, Err(TransitionError::Nothing));
    ledger
        .begin(&plan, "me", 1, &worker(), std::slice::from_ref(&new))
        .unwrap();
    let again = ledger.begin(&plan, "me", 1, &worker(), &[new]);
    assert_eq!(again, Err(TransitionError::Outdated));
}

#[test]
fn planned_becomes_doing_when_it_is_started_and_done_when_it_is_finished() {
    let mut told = Told::begun();
    for (at, entry) in told.entries.clone().into_iter().enumerate() {
        assert_eq!(told.ledger.next_step(told.id).map(Entry::id), Some(entry));
        told.ledger.start(entry, None).unwrap();
        assert_eq!(states(&told.ledger)[at], EntryState::Doing);
        told.check_refused(|ledger| ledger.start(entry, None));
        told.ledger.finish(entry).unwrap();
        assert_eq!(states(&told.ledger)[at], EntryState::Done);
        told.check_refused(|ledger| ledger.finish(entry));
        told.check_refused(|ledger| ledger.start_undo(entry, &worker()));
    }
    assert!(told.ledger.next_step(told.id).is_none());
}

#[test]
fn coming_becomes_there_when_all_is_done() {
    for done in 0..3 {
        let told = Told::begun().done(done);
        told.check_refused(|ledger| ledger.arrive(told.id));
    }
    let told = Told::there();
    assert_eq!(mount_state(&told.ledger, told.id), Some(MountState::There));
    assert_eq!(told.ledger.attachment(told.id).unwrap().worker, None);
    told.check_refused(|ledger| ledger.arrive(told.id));
}

#[test]
fn coming_leaves_when_it_is_given_up_and_what_was_planned_is_none() {
    for done in 0..3 {
        let mut told = Told::begun().done(done);
        told.ledger.give_up(told.id).unwrap();
        assert_eq!(states(&told.ledger), vec![EntryState::Done; done]);
        let leaves = (done > 0).then_some(MountState::Leaving);
        assert_eq!(mount_state(&told.ledger, told.id), leaves);
    }
    // What was being done may have been.
    let mut told = Told::begun();
    told.ledger.start(told.entries[0], None).unwrap();
    told.ledger.give_up(told.id).unwrap();
    assert_eq!(states(&told.ledger), [EntryState::Doing]);
    told.ledger.start_undo(told.entries[0], &worker()).unwrap();
    told.ledger.undone(told.entries[0]).unwrap();
    assert!(told.ledger.is_empty());
}

#[test]
fn there_becomes_leaving_and_none_as_its_entries_are_undone_backwards() {
    let mut told = Told::there();
    let own = mounts(&told.ledger, told.id);
    told.ledger.leave(&own).unwrap();
    assert_eq!(
        mount_state(&told.ledger, told.id),
        Some(MountState::Leaving)
    );
    told.ledger.leave(&own).unwrap();
    let entries = told.entries.clone();
    for at in (0..3).rev() {
        for under in &entries[..at] {
            told.check_refused(|ledger| ledger.start_undo(*under, &worker()));
        }
        let entry = entries[at];
        told.ledger.start_undo(entry, &worker()).unwrap();
        assert_eq!(states(&told.ledger)[at], EntryState::Undoing);
        told.check_refused(|ledger| ledger.start(entry, None));
        told.check_refused(|ledger| ledger.finish(entry));
        // It fails, and is tried again.
        told.ledger.undo_failed(entry, "no").unwrap();
        assert_eq!(told.ledger.entry(entry).unwrap().fault(), Some("no"));
        told.ledger.start_undo(entry, &worker()).unwrap();
        told.ledger.undone(entry).unwrap();
        told.check_refused(|ledger| ledger.undone(entry));
    }
    assert!(told.ledger.is_empty());
    assert!(told.ledger.leave(&own).is_err());
}

#[test]
fn the_last_holder_alone_stays_until_a_thing_is_undone() {
    let mut told = Told::there();
    let second = begin(
        &mut told.ledger,
        &[mount(linux(), image(linux(), 0), "/b", true)],
    );
    // One disk, two mounts of it.
    assert_eq!(told.ledger.entries().len(), 4);
    let (first, second) = (mounts(&told.ledger, told.id), mounts(&told.ledger, second));
    let mount_of_second = told.ledger.entries()[3].id();
    told.ledger.start(mount_of_second, None).unwrap();
    told.ledger.finish(mount_of_second).unwrap();
    told.ledger.leave(&first).unwrap();
    let own = |ledger: &Ledger, at: usize| ledger.entries()[at].holders().count();
    // While it is mounted it stays on the disk, since the disk must not go before.
    assert_eq!(own(&told.ledger, 1), 2);
    told.ledger.start_undo(told.entries[2], &worker()).unwrap();
    told.ledger.undone(told.entries[2]).unwrap();
    assert_eq!((own(&told.ledger, 0), own(&told.ledger, 1)), (1, 1));
    assert!(
        told.ledger.entries()[0]
            .holders()
            .all(|holder| second.contains(&holder))
    );
    assert!(told.ledger.attachment(told.id).is_none());
    told.check_refused(|ledger| ledger.start_undo(told.entries[1], &worker()));
}

#[test]
fn what_another_mount_lies_in_is_not_taken_from_under_it() {
    let mut told = Told::there();
    let inner = begin(
        &mut told.ledger,
        &[mount(linux(), image(linux(), 1), "/a/b", true)],
    );
    let own = mounts(&told.ledger, told.id);
    let error = told.ledger.clone().leave(&own).unwrap_err();
    assert!(matches!(error, TransitionError::LiesIn { .. }), "{error}");
    assert!(error.to_string().contains("detach it first"), "{error}");
    // A mount that would hide another is refused as well.
    let over = [mount(linux(), image(linux(), 2), "/a", true)];
    assert!(Plan::on(&told.ledger, &over).is_err());
    told.ledger.give_up(inner).unwrap();
    assert!(told.ledger.leave(&own).is_ok());
}

#[test]
fn the_dead_are_buried_and_the_living_left_alone() {
    let mut told = Told::begun().done(1);
    assert!(!told.ledger.bury(&|_| true));
    assert_eq!(mount_state(&told.ledger, told.id), Some(MountState::Coming));
    assert!(told.ledger.bury(&|_| false));
    assert_eq!(
        mount_state(&told.ledger, told.id),
        Some(MountState::Leaving)
    );
    assert!(!told.ledger.bury(&|_| false));
    // One who dies while he undoes.
    told.ledger.start_undo(told.entries[0], &worker()).unwrap();
    assert_eq!(told.ledger.workers().count(), 1);
    assert!(told.ledger.bury(&|_| false));
    assert_eq!(told.ledger.workers().count(), 0);
    told.ledger.start_undo(told.entries[0], &worker()).unwrap();
}

#[test]
fn as_many_disks_as_there_are_places_are_attached_and_one_more_is_refused() {
    for (hypervisor, guest, count) in [
        (Hypervisor::Qemu, GuestSystem::Linux, 256),
        (V2_9, GuestSystem::Windows, 64),
    ] {
        let platform = platform(hypervisor, guest);
        let world = world(platform);
        let bare = world.snapshot();
        let request = |number: usize| {
            let file = host(platform, &format!("/v/many/{number}.vhdx"));
            world.add_file(&path(&file));
            let target = format!("/m/{number}");
            mount(platform, disk(&file, GuestFileSystem::Ntfs), &target, false)
        };
        let requests: Vec<MountRequest> = (0..count).map(request).collect();
        // In orders of 32, as one machine gets them from several containers.
        for (number, part) in requests.chunks(32).enumerate() {
            let order = order(&number.to_string(), part);
            operator(&world, "one").attach(&order).unwrap();
        }
        assert_eq!(world.snapshot().disks.len(), count);
        let calls = world.counted();
        let error = operator(&world, "one")
            .attach(&order("one more", &[request(count)]))
            .unwrap_err();
        assert!(matches!(error, AttachError::Plan(_)), "{error}");
        assert!(
            error.to_string().contains(&format!("all {count} places")),
            "{error}"
        );
        assert_eq!(world.counted().0, calls.0);
        // One goes, and its place is used again.
        let first = Selection::Target(requests[7].target.clone());
        operator(&world, "one").detach(&first, false).unwrap();
        operator(&world, "one")
            .attach(&order("one more", &[request(count)]))
            .unwrap();
        operator(&world, "one")
            .detach(&Selection::All, false)
            .unwrap();
        let now = world.snapshot();
        assert!(now.disks.is_empty() && now.mounts.is_empty() && now.exports.is_empty());
        assert_eq!((now.access, now.shares), (bare.access, bare.shares));
        assert_eq!(world.damage(), [""; 0]);
    }
}

/// A ledger with all that there is, in all states.
fn full(platform: Platform) -> Ledger {
    let world = world(platform);
    let operator = operator(&world, "one");
    operator
        .attach(&order("earlier", &earlier_mounts(platform)))
        .unwrap();
    operator
        .attach(&order("new", &five_mounts(platform)))
        .unwrap();
    let mut ledger = world.ledger();
    let later = [mount(platform, image(platform, 5), "/later", false)];
    let id = begin(&mut ledger, &later);
    let next = ledger.next_step(id).unwrap().id();
    ledger.start(next, None).unwrap();
    let (_, leaving) = ledger.mounts().next().unwrap();
    let leaving = BTreeSet::from([leaving.id]);
    ledger.leave(&leaving).unwrap();
    ledger
}

#[test]
fn a_ledger_comes_back_from_its_document_as_it_was() {
    for platform in platforms() {
        let ledger = full(platform);
        let text = ledger.to_json().unwrap();
        assert_eq!(Ledger::from_json(&text).unwrap(), ledger);
        assert!(!String::from_utf8(text).unwrap().contains("password"));
    }
}

fn changed(ledger: &Ledger, pointer: &str, value: Value) -> Result<Ledger, LedgerError> {
    let mut document: Value = serde_json::from_slice(&ledger.to_json().unwrap()).unwrap();
    if value == json!("remove") {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(name).unwrap();
    } else if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        parent
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value);
    }
    Ledger::from_json(document.to_string().as_bytes())
}

#[test]
fn documents_that_say_what_cannot_be_are_refused_with_a_word() {
    let ledger = full(linux());
    let long = "x".repeat(50_000);
    for (pointer, value) in [
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/version", json!("remove")),
        ("/hypervisor", json!("xen")),
        ("/hypervisor", json!({"hcs": "2.1"})),
        ("/guest", json!("plan9")),
        ("/guest", json!("windows")),
        ("/next", json!(3)),
        ("/next", json!(-1)),
        ("/more", json!(1)),
        ("/attachments", json!([])),
        ("/entries", json!([])),
        ("/entries/0/more", json!(1)),
        ("/entries/0/id", json!(0)),
        ("/entries/0/id", json!(99)),
        ("/entries/0/id", json!(u64::MAX)),
        ("/entries/0/state", json!("planned")),
        ("/entries/0/state", json!("asleep")),
        ("/entries/0/holders", json!([])),
        ("/entries/0/holders", json!([77])),
        ("/entries/0/missing", json!(1)),
        ("/entries/0/worker", json!("x")),
        ("/entries/0/action", json!({"do": "format-everything"})),
        ("/entries/0/action", json!({"do": "unknown"})),
        ("/entries/0/action/path", json!("relative")),
        ("/entries/0/action/path", json!("C:\\windows")),
        ("/entries/0/action/path", json!("/a/../b")),
        ("/entries/0/action/name", json!("a,rw")),
        ("/entries/0/action/name", json!("other")),
        ("/entries/0/action/transport", json!("vsmb")),
        ("/entries/0/action/only_file", json!("../x")),
        ("/entries/1/action/target", json!("/elsewhere")),
        ("/entries/1/action/target", json!("//earlier/shared")),
        ("/entries/3/action/lun", json!(64)),
        ("/entries/3/action/lun", json!(256)),
        ("/entries/3/action/lun", json!(1)),
        ("/entries/3/action/controller", json!(4)),
        ("/entries/3/action/serial", json!("a b")),
        ("/entries/3/action/serial", json!("other")),
        ("/attachments/0/id", json!(2)),
        ("/attachments/0/owner", json!(long)),
        ("/attachments/0/worker", json!("x")),
        ("/attachments/0/mounts", json!([])),
        ("/attachments/1/mounts/0/state", json!("coming")),
        ("/attachments/1/mounts/0/target", json!("/data")),
        ("/attachments/1/mounts/0/target", json!("/earlier/shared")),
        ("/attachments/2/worker", json!("remove")),
        ("/attachments/2/mounts/0/state", json!("there")),
    ] {
        let read = changed(&ledger, pointer, value.clone());
        let error = read.map(drop).expect_err(&format!("{pointer} = {value}"));
        let told = error.to_string();
        assert!(told.starts_with("the ledger"), "{told}");
    }
    for text in ["", "{}", "null", "[]", "{\"version\": 1}", "\u{0}"] {
        assert!(Ledger::from_json(text.as_bytes()).is_err(), "{text:?}");
    }
    let error = changed(&ledger, "/version", json!(7)).unwrap_err();
    assert!(error.to_string().contains("version 7"), "{error}");
    let endless = vec![b' '; 17 << 20];
    assert!(matches!(
        Ledger::from_json(&endless),
        Err(LedgerError::Length { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_bytes_a_document_has_what_is_read_can_be_torn_down(
        which in 0..4_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let ledger = full(platforms()[which]);
        let mut text = ledger.to_json().unwrap();
        for (place, byte) in flips {
            let at = place.index(text.len());
            text[at] = byte;
        }
        prop_assert!(fuzz_document(&text));
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_leaves_nothing_either() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/ledger");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            fuzz_document(&std::fs::read(&path).unwrap()),
            "{}",
            path.display()
        );
        count += 1;
    }
    assert!(count >= 4);
}
