//! Claims: one machine that writes or many that read, across crashes and processes; and no verb that
//! changes a volume gets past one.

use crate::lifecycle::compact::CompactOptions;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use mkfs::change::ChangeOptions;
use mkfs::{NamePolicy, NtTime};
use vdisk::RepairOptions;

use super::*;
use crate::claim::{ClaimMode, ClaimRequest, Claimant};
use crate::labels::Labels;
use crate::lifecycle::CloneRequest;
use crate::lifecycle::resize::{NewSize, ResizeRequest};
use crate::spec::SpecOptions;
use ClaimMode::{Reader, Writer};

fn claimant(attachment: &str, holder: &str) -> Claimant {
    Claimant {
        attachment: attachment.to_owned(),
        holder: holder.to_owned(),
        owner: format!("virtual machine {holder}"),
    }
}

fn wanted(volume: &str, mode: ClaimMode) -> ClaimRequest {
    ClaimRequest {
        volume: name(volume),
        mode,
    }
}

fn options() -> ChangeOptions {
    ChangeOptions {
        now: NtTime::from(std::time::SystemTime::UNIX_EPOCH),
        name_policy: NamePolicy::Map,
    }
}

fn snapshot(text: &str) -> SnapshotName {
    SnapshotName::parse(text).unwrap()
}

/// A store with the volume `data`, which has a snapshot `s`.
fn layered() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    make(&store, "data");
    store.take_snapshot(&name("data"), &snapshot("s")).unwrap();
    (folder, store)
}

#[test]
fn a_store_of_the_second_version_takes_claims_when_it_is_opened() {
    let folder = TempDir::new().unwrap();
    make(&Store::open(folder.path()).unwrap(), "data");
    let database = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    database
        .execute_batch("DROP TABLE claim; PRAGMA user_version = 2;")
        .unwrap();
    drop(database);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(listed(&store), ["data"]);
    assert_eq!(store.claims().unwrap(), []);
    store
        .claim(&claimant("a", "web"), &[wanted("data", Writer)])
        .unwrap();
    assert_eq!(store.claims().unwrap().len(), 1);
}

#[test]
fn a_claim_is_there_after_the_store_was_closed_and_gone_when_released() {
    let (folder, store) = layered();
    let made = store
        .claim(&claimant("a", "web"), &[wanted("data", Writer)])
        .unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.claims().unwrap(), made);
    assert_eq!(store.inspect(&name("data")).unwrap().claims, made);
    // Taken again after a crash, it keeps its time.
    let again = store
        .claim(&claimant("a", "web"), &[wanted("data", Writer)])
        .unwrap();
    assert_eq!(again, made);
    assert_eq!(store.release_claims("other", None).unwrap(), 0);
    assert_eq!(store.release_claims("a", Some(made[0].volume)).unwrap(), 1);
    assert_eq!(store.release_claims("a", None).unwrap(), 0);
    assert_eq!(store.claims().unwrap(), []);
    store.remove(&name("data"), false).unwrap();
}

#[test]
fn claims_are_taken_all_or_none() {
    let (_folder, store) = layered();
    make(&store, "other");
    store
        .claim(&claimant("a", "web"), &[wanted("other", Writer)])
        .unwrap();
    let both = [wanted("data", Writer), wanted("other", Reader)];
    let error = store.claim(&claimant("b", "db"), &both).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InUse);
    assert_eq!(store.claims().unwrap().len(), 1);
    let missing = [wanted("data", Writer), wanted("none", Reader)];
    let error = store.claim(&claimant("b", "db"), &missing).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::NotFound);
    assert_eq!(store.claims().unwrap().len(), 1);
}

#[test]
fn nothing_changes_a_volume_that_is_claimed_and_readers_keep_readers() {
    type Verb = Box<dyn Fn(&Store) -> Result<()>>;
    let resize = ResizeRequest {
        size: NewSize::More(blockio::ByteCount(1 << 20)),
        image_only: true,
        dry_run: false,
        options: options(),
    };
    let verbs: Vec<(&str, Verb)> = vec![
        ("rm", Box::new(|s| s.remove(&name("data"), false).map(drop))),
        (
            "rm --force",
            Box::new(|s| s.remove(&name("data"), true).map(drop)),
        ),
        (
            "cp into",
            Box::new(|s| s.change(&name("data"), options(), &mut |_| Ok(()))),
        ),
        (
            "serve",
            Box::new(|s| s.open_for_writing(&name("data")).map(drop)),
        ),
        (
            "open",
            Box::new(|s| {
                s.open_disk(&name("data").into(), Access::ReadWrite)
                    .map(drop)
            }),
        ),
        (
            "resize",
            Box::new(move |s| {
                s.resize(&name("data"), resize, &|_| {
                    std::ops::ControlFlow::Continue(())
                })
                .map(drop)
            }),
        ),
        (
            "compact",
            Box::new(|s| {
                let options = CompactOptions {
                    dry_run: false,
                    scan_zeros: false,
                    pack: None,
                };
                s.compact(&name("data"), options, &|_, _| {
                    std::ops::ControlFlow::Continue(())
                })
                .map(drop)
            }),
        ),
        (
            "repair",
            Box::new(|s| {
                s.repair_image(&name("data"), RepairOptions { accept_loss: false })
                    .map(drop)
            }),
        ),
        (
            "snapshot",
            Box::new(|s| s.take_snapshot(&name("data"), &snapshot("t")).map(drop)),
        ),
        (
            "restore",
            Box::new(|s| s.restore_snapshot(&name("data"), &snapshot("s")).map(drop)),
        ),
        (
            "merge",
            Box::new(|s| {
                s.remove_snapshot(&name("data"), &snapshot("s"), &ignore_progress)
                    .map(drop)
            }),
        ),
    ];
    let (folder, store) = layered();
    for mode in [Reader, Writer] {
        store
            .claim(&claimant("a", "web"), &[wanted("data", mode)])
            .unwrap();
        for (verb, act) in &verbs {
            let error = act(&store).expect_err(verb);
            assert_eq!(error.kind(), VolumeErrorKind::InUse, "{verb}: {error}");
            let message = error.to_string();
            assert!(message.contains("virtual machine web"), "{verb}: {message}");
            assert!(message.contains("attachment a"), "{verb}: {message}");
        }
        // What is read is as it is at rest: so not what somebody writes.
        let read = store.open_disk(&name("data").into(), Access::ReadOnly);
        assert_eq!(read.is_ok(), mode == Reader);
        drop(read);
        let frozen = VolumeRef {
            volume: name("data"),
            snapshot: Some(snapshot("s")),
        };
        store.open_disk(&frozen, Access::ReadOnly).unwrap();
        let pruned = store.prune(&Filter::default()).unwrap();
        assert_eq!((pruned.removed.len(), pruned.in_use.len()), (0, 1));
        store.release_claims("a", None).unwrap();
    }
    for (verb, act) in verbs
        .iter()
        .filter(|(verb, _)| ["open", "snapshot"].contains(verb))
    {
        act(&store).expect(verb);
    }
    assert_tidy(folder.path(), &store);
}

#[test]
fn a_clone_of_what_a_machine_writes_is_made_of_a_snapshot_alone() {
    let (_folder, store) = layered();
    store
        .claim(&claimant("a", "web"), &[wanted("data", Writer)])
        .unwrap();
    let of = |text: &str| CloneRequest {
        name: name("copy"),
        base: VolumeRef::parse(text).unwrap(),
        options: SpecOptions::default(),
        labels: Labels::new(),
        reproducible: None,
    };
    let error = store.clone_volume(&of("data")).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InUse, "{error}");
    store.clone_volume(&of("data@s")).unwrap();
}

#[test]
fn the_machine_that_claimed_a_volume_opens_it_as_it_claimed_it_and_no_other_does() {
    let (_folder, store) = layered();
    let data = name("data");
    let open = |access, machine| store.open_for_machine(&data, access, machine).map(drop);
    assert_eq!(
        open(Access::ReadOnly, "web").unwrap_err().kind(),
        VolumeErrorKind::InUse
    );
    store
        .claim(&claimant("a", "web"), &[wanted("data", Reader)])
        .unwrap();
    open(Access::ReadOnly, "web").unwrap();
    open(Access::ReadWrite, "web").unwrap_err();
    open(Access::ReadOnly, "db").unwrap_err();
    store.release_claims("a", None).unwrap();
    store
        .claim(&claimant("a", "web"), &[wanted("data", Writer)])
        .unwrap();
    open(Access::ReadWrite, "web").unwrap();
    open(Access::ReadWrite, "db").unwrap_err();
}

#[test]
fn who_is_in_the_middle_of_a_change_keeps_claims_away_and_a_reader_does_not() {
    let (_folder, store) = layered();
    let open = store.open_for_writing(&name("data")).unwrap();
    for mode in [Reader, Writer] {
        let error = store
            .claim(&claimant("a", "web"), &[wanted("data", mode)])
            .unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse);
    }
    drop(open);
    let read = store
        .open_disk(&name("data").into(), Access::ReadOnly)
        .unwrap();
    store
        .claim(&claimant("a", "web"), &[wanted("data", Reader)])
        .unwrap();
    drop(read);
}

#[test]
fn of_many_that_race_for_a_claim_one_writes_or_all_read() {
    const RACERS: usize = 6;
    let folder = TempDir::new().unwrap();
    make(&Store::open(folder.path()).unwrap(), "data");
    for round in 0..12 {
        let (start, writers, readers) = (
            Barrier::new(RACERS),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for racer in 0..RACERS {
                let (start, writers, readers) = (&start, &writers, &readers);
                let root = folder.path();
                scope.spawn(move || {
                    // Each with a handle of its own, as a process has.
                    let store = Store::open(root).unwrap();
                    let machine = format!("vm{racer}");
                    let mode = if (racer + round) % 3 == 0 {
                        Reader
                    } else {
                        Writer
                    };
                    start.wait();
                    match store.claim(&claimant(&machine, &machine), &[wanted("data", mode)]) {
                        Ok(_) if mode == Writer => writers.fetch_add(1, Ordering::SeqCst),
                        Ok(_) => readers.fetch_add(1, Ordering::SeqCst),
                        Err(error) => {
                            assert_eq!(error.kind(), VolumeErrorKind::InUse, "{error}");
                            0
                        }
                    };
                });
            }
        });
        let (writers, readers) = (writers.into_inner(), readers.into_inner());
        assert!(writers <= 1, "round {round}: {writers} writers");
        assert!(writers == 0 || readers == 0, "round {round}");
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.claims().unwrap().len(), writers + readers);
        for claim in store.claims().unwrap() {
            store
                .release_claims(&claim.claimant.attachment, None)
                .unwrap();
        }
    }
}

#[test]
fn a_claim_that_dies_is_taken_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    make(&Store::open(folder.path()).unwrap(), "data");
    let mut deaths = 0;
    loop {
        let store = Store::open(folder.path()).unwrap();
        faults::arm(Mode::Die, deaths);
        let result = store.claim(&claimant("a", "web"), &[wanted("data", Writer)]);
        drop(store);
        if !faults::disarm() {
            result.unwrap();
            break;
        }
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.claims().unwrap(), []);
        deaths += 1;
    }
    assert!(deaths >= 1);
    let store = Store::open(folder.path()).unwrap();
    let claim = store.claims().unwrap().remove(0);
    // A database that was lost forgets claims; who knows of them writes them down again.
    drop(store);
    fs::remove_file(folder.path().join("state.db")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.claims().unwrap(), []);
    assert!(store.restore_claim(&claim).unwrap());
    assert!(store.restore_claim(&claim).unwrap());
    assert_eq!(store.claims().unwrap(), std::slice::from_ref(&claim));
    let other = crate::claim::Claim {
        claimant: claimant("b", "db"),
        ..claim
    };
    assert!(!store.restore_claim(&other).unwrap());
}
