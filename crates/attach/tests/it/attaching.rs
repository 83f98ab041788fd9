//! Whatever fails, whoever dies, at whichever call: the machine is as before or as after, and tearing
//! down leaves nothing.

use attach::carry_out::{AttachError, Detached, Selection};
use attach::fake::{Snapshot, Trouble, When, World};
use attach::{FaultKind, Platform, Target};

use crate::machines::{check_same, earlier_mounts, five_mounts, operator, order, platforms, world};

const TROUBLES: [Trouble; 14] = [
    Trouble::FailBefore(FaultKind::Failed),
    Trouble::FailAfter(FaultKind::Failed),
    Trouble::FailBefore(FaultKind::Unanswered),
    Trouble::FailAfter(FaultKind::Unanswered),
    Trouble::FailBefore(FaultKind::Nonsense),
    Trouble::FailAfter(FaultKind::Nonsense),
    Trouble::FailBefore(FaultKind::Busy),
    Trouble::FailBefore(FaultKind::AlreadyExists),
    Trouble::FailAfter(FaultKind::NotFound),
    Trouble::MachineDiesBefore,
    Trouble::MachineDiesAfter,
    Trouble::ManagerDiesBefore,
    Trouble::ManagerDiesAfter,
    Trouble::GuestFallsSilent,
];

/// A machine with an earlier attachment, and how it is with none, with that, and with both.
struct Scene {
    platform: Platform,
    bare: Snapshot,
    before: Snapshot,
    after: Snapshot,
    calls: u64,
    changes: u64,
}

impl Scene {
    fn new(platform: Platform) -> Self {
        let bare = world(platform).snapshot();
        let world = Self::stage(platform);
        let before = world.snapshot();
        operator(&world, "probe")
            .attach(&order("new", &five_mounts(platform)))
            .unwrap();
        let (calls, changes) = world.counted();
        Self {
            platform,
            bare,
            before,
            after: world.snapshot(),
            calls,
            changes,
        }
    }

    fn stage(platform: Platform) -> World {
        let world = world(platform);
        operator(&world, "earlier")
            .attach(&order("earlier", &earlier_mounts(platform)))
            .unwrap();
        world.calm();
        world
    }

    /// The next command: it recovers, and finds what is as it was before.
    #[track_caller]
    fn check_as_before(&self, world: &World, context: &str) {
        world.calm();
        let recovered = operator(world, "next").recover().unwrap();
        assert!(recovered.faults.is_empty(), "{context}: {recovered:?}");
        let now = world.snapshot();
        if self.is_machine_dead(world) {
            assert_eq!(now.exports, self.before.exports, "{context}");
            assert_eq!(now.access, self.before.access, "{context}");
            assert_eq!(now.files, self.before.files, "{context}");
            assert_eq!(now.directories, self.before.directories, "{context}");
            assert_eq!(world.damage(), [""; 0], "{context}");
        } else {
            check_same(&now, &self.before, world, context);
        }
        let ledger = world.ledger();
        let owners: Vec<&str> = ledger
            .attachments()
            .iter()
            .map(|a| a.owner.as_str())
            .collect();
        assert_eq!(owners, ["earlier"], "{context}");
        self.check_tear_down(world, context);
    }

    fn is_machine_dead(&self, world: &World) -> bool {
        world.snapshot().mounts.is_empty() && !self.before.mounts.is_empty()
    }

    #[track_caller]
    fn check_tear_down(&self, world: &World, context: &str) {
        let detached = operator(world, "last")
            .detach(&Selection::All, false)
            .unwrap();
        assert!(detached.left.is_empty(), "{context}: {detached:?}");
        assert!(world.ledger().is_empty(), "{context}");
        check_same(&world.snapshot(), &self.bare, world, context);
        // Again, and there is nothing to do.
        let again = operator(world, "last")
            .detach(&Selection::All, false)
            .unwrap();
        assert!(
            again.gone.is_empty() && again.faults.is_empty(),
            "{context}"
        );
    }
}

#[test]
fn five_mounts_come_and_go_on_every_platform() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        let world = Scene::stage(platform);
        let id = operator(&world, "one")
            .attach(&order("new", &five_mounts(platform)))
            .unwrap();
        check_same(&world.snapshot(), &scene.after, &world, "attached");
        assert_eq!(scene.after.mounts.len(), 7);
        assert!(world.ledger().attachment(id).unwrap().is_there());
        let detached = operator(&world, "two")
            .detach(&Selection::Attachment(id), false)
            .unwrap();
        assert_eq!(detached.gone.len(), 5, "{detached:?}");
        check_same(&world.snapshot(), &scene.before, &world, "detached");
        scene.check_tear_down(&world, "all");
    }
}

#[test]
fn trouble_at_any_call_of_an_attachment_leaves_the_machine_as_before_or_as_after() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        for trouble in TROUBLES {
            for call in 1..=scene.calls {
                for when in moments(call, trouble) {
                    let context = format!("{platform:?}, {trouble:?} at {when:?}");
                    let world = Scene::stage(platform);
                    world.trouble(when, trouble);
                    attach_under_trouble(&scene, &world, &context);
                }
            }
        }
    }
}

/// A call, and it and all later ones of its name where that makes a difference.
fn moments(call: u64, trouble: Trouble) -> Vec<When> {
    match trouble {
        Trouble::FailBefore(_) | Trouble::FailAfter(_) => {
            vec![When::Call(call), When::CallsFrom(call)]
        }
        _ => vec![When::Call(call)],
    }
}

#[track_caller]
fn attach_under_trouble(scene: &Scene, world: &World, context: &str) {
    let attached = operator(world, "victim").attach(&order("new", &five_mounts(scene.platform)));
    match attached {
        Ok(id) => {
            if !scene.is_machine_dead(world) {
                check_same(&world.snapshot(), &scene.after, world, context);
            }
            world.calm();
            let detached = operator(world, "next").detach(&Selection::Attachment(id), false);
            assert!(detached.unwrap().left.is_empty(), "{context}");
        }
        Err(AttachError::Step { undoing, .. }) if undoing.is_empty() => {
            // All that it did is undone already.
            if !scene.is_machine_dead(world) {
                check_same(&world.snapshot(), &scene.before, world, context);
            }
        }
        Err(AttachError::Step { .. }) => {
            // What could not be undone is in the ledger, with why.
            let ledger = world.ledger();
            assert!(!ledger.leaving().is_empty(), "{context}");
            assert!(
                ledger.entries().iter().any(|e| e.fault().is_some()),
                "{context}"
            );
        }
        Err(AttachError::Journal(_)) => {}
        Err(other) => panic!("{context}: {other}"),
    }
    scene.check_as_before(world, context);
}

#[test]
fn a_manager_killed_at_any_change_of_the_ledger_leaves_what_the_next_one_puts_right() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        for change in 1..=scene.changes {
            for trouble in [
                Trouble::ManagerDiesBefore,
                Trouble::ManagerDiesAfter,
                Trouble::FailBefore(FaultKind::NoSpace),
                Trouble::FailAfter(FaultKind::NoSpace),
                Trouble::MachineDiesAfter,
                Trouble::GuestFallsSilent,
            ] {
                let context = format!("{platform:?}, {trouble:?} at change {change}");
                let world = Scene::stage(platform);
                world.trouble(When::Change(change), trouble);
                let last = change == scene.changes;
                let is_kept =
                    !matches!(trouble, Trouble::ManagerDiesBefore | Trouble::FailBefore(_));
                if last && is_kept {
                    // Whether the manager hears of it or not, all is there.
                    let attached =
                        operator(&world, "victim").attach(&order("new", &five_mounts(platform)));
                    drop(attached);
                    world.calm();
                    let recovered = operator(&world, "next").recover().unwrap();
                    assert!(recovered.gone.is_empty(), "{context}");
                    scene.check_tear_down(&world, &context);
                } else {
                    attach_under_trouble(&scene, &world, &context);
                }
            }
        }
    }
}

#[test]
fn trouble_at_any_call_or_change_of_a_tear_down_is_made_good_by_the_next_one() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        let stage = || {
            let world = Scene::stage(platform);
            let id = operator(&world, "one")
                .attach(&order("new", &five_mounts(platform)))
                .unwrap();
            world.calm();
            (world, Selection::Attachment(id))
        };
        let (undisturbed, selection) = stage();
        operator(&undisturbed, "two")
            .detach(&selection, false)
            .unwrap();
        let (calls, changes) = undisturbed.counted();
        for trouble in TROUBLES {
            let calls = (1..=calls).flat_map(|call| moments(call, trouble));
            for when in calls.chain((1..=changes).map(When::Change)) {
                let context = format!("{platform:?}, {trouble:?} at {when:?} of a detachment");
                let (world, selection) = stage();
                world.trouble(when, trouble);
                let detached = operator(&world, "victim").detach(&selection, false);
                if let Ok(Detached { gone, left, .. }) = &detached {
                    assert_eq!(gone.len() + left.len(), 5, "{context}");
                }
                world.calm();
                // A manager that died before it wrote anything down never began.
                if world.ledger().attachments().len() == 2 && world.ledger().leaving().is_empty() {
                    operator(&world, "next").detach(&selection, false).unwrap();
                }
                scene.check_as_before(&world, &context);
            }
        }
    }
}

#[test]
fn a_guest_that_never_answers_can_be_left_behind_by_force() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        let world = Scene::stage(platform);
        operator(&world, "one")
            .attach(&order("new", &five_mounts(platform)))
            .unwrap();
        world.silence_guest();
        let kept = operator(&world, "two")
            .detach(&Selection::All, false)
            .unwrap();
        assert!(kept.gone.is_empty() && !kept.left.is_empty(), "{kept:?}");
        assert_eq!(world.snapshot().disks, scene.after.disks);
        world.allow_loss();
        let forced = operator(&world, "three")
            .detach(&Selection::All, true)
            .unwrap();
        assert!(
            forced.left.is_empty() && !forced.forced.is_empty(),
            "{forced:?}"
        );
        assert!(world.ledger().is_empty());
        let mut now = world.snapshot();
        assert!(now.disks.is_empty() && now.shares.is_empty() && now.exports.is_empty());
        now.mounts.clear();
        assert_eq!(now, scene.bare);
    }
}

#[test]
fn who_uses_a_mount_keeps_it_and_what_is_under_it_and_nothing_else() {
    for platform in platforms() {
        let world = Scene::stage(platform);
        let id = operator(&world, "one")
            .attach(&order("new", &five_mounts(platform)))
            .unwrap();
        let inner = Target::parse("/data/inner", platform.guest).unwrap();
        world.keep_busy(&inner);
        let detached = operator(&world, "two")
            .detach(&Selection::Attachment(id), false)
            .unwrap();
        let left: Vec<String> = detached
            .left
            .iter()
            .map(|m| m.1.target.to_string())
            .collect();
        let outer = Target::parse("/data", platform.guest).unwrap();
        assert_eq!(left, [inner.to_string(), outer.to_string()]);
        assert_eq!(detached.gone.len(), 3);
        assert_eq!(detached.faults[0].fault.kind(), FaultKind::Busy);
        // Forced, it goes as well.
        let forced = operator(&world, "three")
            .detach(&Selection::Attachment(id), true)
            .unwrap();
        assert!(
            forced.left.is_empty() && forced.forced.len() == 1,
            "{forced:?}"
        );
        assert_eq!(world.damage(), [""; 0]);
    }
}

#[test]
fn one_who_cancels_gets_the_machine_as_it_was() {
    for platform in platforms() {
        let scene = Scene::new(platform);
        for after in 0..20 {
            let world = Scene::stage(platform);
            let asked = std::cell::Cell::new(0);
            let is_cancelled = || {
                asked.set(asked.get() + 1);
                asked.get() > after
            };
            let mut operator = operator(&world, "one");
            operator.is_cancelled = &is_cancelled;
            match operator.attach(&order("new", &five_mounts(platform))) {
                Ok(_) => break,
                Err(AttachError::Cancelled { undoing }) => assert!(undoing.is_empty()),
                Err(other) => panic!("{other}"),
            }
            check_same(&world.snapshot(), &scene.before, &world, "cancelled");
        }
    }
}

#[test]
fn what_may_not_be_done_twice_is_undone_before_it_is_done_again() {
    const UNDONE_BY: [(&str, &str); 4] = [
        ("make-image", "remove-image"),
        ("serve-disk", "stop-serving"),
        ("add-disk", "remove-disk"),
        ("add-share", "remove-share"),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for platform in platforms() {
        let scene = Scene::new(platform);
        for call in 1..=scene.calls {
            for trouble in [
                Trouble::FailAfter(FaultKind::Unanswered),
                Trouble::FailBefore(FaultKind::Nonsense),
            ] {
                let world = Scene::stage(platform);
                world.trouble(When::Call(call), trouble);
                let context = format!("{platform:?}, {trouble:?} at {call}");
                operator(&world, "one")
                    .attach(&order("new", &five_mounts(platform)))
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                check_same(&world.snapshot(), &scene.after, &world, &context);
                let log = world.log();
                for (done, undone) in UNDONE_BY {
                    let count = |line: &String| log.iter().filter(|other| *other == line).count();
                    let twice = |line: &&String| line.starts_with(done) && count(line) > 1;
                    let Some(line) = log.iter().find(twice) else {
                        continue;
                    };
                    let first = log.iter().position(|other| other == line).unwrap();
                    let last = log.iter().rposition(|other| other == line).unwrap();
                    let mut between = log[first..last].iter();
                    assert!(
                        between.any(|other| other.starts_with(undone)),
                        "{context} {log:?}"
                    );
                    seen.insert(done);
                }
            }
        }
    }
    assert_eq!(seen.len(), UNDONE_BY.len(), "{seen:?}");
}
