//! What existing managers of disks and shares get wrong, one test a defect.

use std::cell::Cell;

use attach::carry_out::{AttachError, DetachError, Journal, Operator, Order, Selection};
use attach::fake::{Trouble, When, World};
use attach::ledger::{AttachmentId, Ledger, MountId, Worker};
use attach::{
    Credentials, DiskMount, Fault, FaultKind, Guest, GuestSystem, Hypervisor, MountRequest, Plan,
    Platform, Share, Slot, SmbSource, Target, Unmounting,
};

use crate::machines::{check_same, image, mount, operator, order, world};
use crate::requests::{V2_9, disk, platform};

fn linux() -> Platform {
    platform(Hypervisor::Qemu, GuestSystem::Linux)
}

fn at(text: &str) -> Selection {
    Selection::Target(Target::parse(text, GuestSystem::Linux).unwrap())
}

fn one(number: usize, target: &str, read_only: bool) -> Order {
    let request = mount(linux(), image(linux(), number), target, read_only);
    order(target, &[request])
}

/// a: a count of users is taken down before the disk is, and taken down again by who tries again.
#[test]
fn a_detachment_that_failed_is_tried_again_as_often_as_wanted() {
    for failing in ["unmount", "unplug-disk", "remove-disk", "stop-serving"] {
        let world = world(linux());
        let before = world.snapshot();
        operator(&world, "one").attach(&one(0, "/a", true)).unwrap();
        operator(&world, "two").attach(&one(0, "/b", true)).unwrap();
        operator(&world, "two").detach(&at("/b"), false).unwrap();
        for round in 0..3 {
            world.calm();
            let call = ["unmount", "unplug-disk", "remove-disk", "stop-serving"];
            let number = call.iter().position(|name| *name == failing).unwrap();
            // Of what was undone in the first round nothing is left to be done.
            let number = if round == 0 { number + 1 } else { 1 };
            let number = if failing == "remove-disk" && round > 0 {
                2
            } else {
                number
            };
            let failed = Trouble::FailBefore(FaultKind::Failed);
            world.trouble(When::Call(u64::try_from(number).unwrap()), failed);
            let detached = operator(&world, "one").detach(&at("/a"), false).unwrap();
            assert_eq!(
                detached.left.len(),
                1,
                "{failing} {round} {:?}",
                world.log()
            );
            // Nobody takes the target for free meanwhile, nor the disk once it is going.
            let mut orders = vec![one(1, "/a", true)];
            if failing != "unmount" {
                orders.push(one(0, "/c", true));
            }
            for order in orders {
                let refused = operator(&world, "three").attach(&order).unwrap_err();
                let told = refused.to_string();
                assert!(told.contains("being attached or detached"), "{told}");
            }
        }
        world.calm();
        let detached = operator(&world, "one").detach(&at("/a"), false).unwrap();
        assert!(detached.left.is_empty());
        check_same(&world.snapshot(), &before, &world, failing);
    }
}

/// b: one who waits for a disk that another attaches, and gives up, is counted for ever.
#[test]
fn one_who_gives_up_waiting_holds_nothing() {
    let world = world(linux());
    let before = world.snapshot();
    let id = begun_by_another(&world, &one(0, "/a", true));
    let looked = Cell::new(0);
    let is_cancelled = || {
        looked.set(looked.get() + 1);
        looked.get() > 2
    };
    let waiting = Operator {
        is_alive: &|_| true,
        is_cancelled: &is_cancelled,
        ..operator(&world, "two")
    };
    let error = waiting.attach(&one(0, "/b", true)).unwrap_err();
    assert!(matches!(error, AttachError::Plan(_)), "{error}");
    assert_eq!(looked.get(), 3, "it did not wait");
    let ledger = world.ledger();
    assert_eq!(ledger.attachments().len(), 1);
    assert!(
        ledger
            .entries()
            .iter()
            .all(|entry| entry.holders().count() == 1)
    );
    // The other one dies as well; nobody is left.
    operator(&world, "three").recover().unwrap();
    assert!(world.ledger().attachment(id).is_none());
    check_same(&world.snapshot(), &before, &world, "");
}

/// Somebody took an order into the ledger and is at work on it.
fn begun_by_another(world: &World, order: &Order) -> AttachmentId {
    let (requests, mounts): (Vec<MountRequest>, Vec<_>) = order.mounts.iter().cloned().unzip();
    let mut begun = None;
    world
        .change(&mut |ledger| {
            let plan = Plan::on(ledger, &requests).unwrap();
            let worker = Worker("another".to_owned());
            begun = Some(ledger.begin(&plan, "another", 0, &worker, &mounts).unwrap());
        })
        .unwrap();
    begun.unwrap()
}

/// c: unmounting a path that is not there unmounts the last one on the list.
#[test]
fn a_target_that_is_not_there_is_told_as_such_and_nothing_is_unmounted() {
    let world = world(linux());
    operator(&world, "one")
        .attach(&one(0, "/a", false))
        .unwrap();
    let before = world.snapshot();
    for target in ["/b", "/a/b", "/A"] {
        let error = operator(&world, "two")
            .detach(&at(target), true)
            .unwrap_err();
        assert!(matches!(error, DetachError::NoTarget(_)), "{error}");
    }
    check_same(&world.snapshot(), &before, &world, "");
}

/// d: detaching from a place where nothing is brings the manager down.
#[test]
fn what_is_not_there_is_told_as_such() {
    let world = world(linux());
    let nothing = Selection::Attachment(AttachmentId::new(7));
    let error = operator(&world, "one").detach(&nothing, false).unwrap_err();
    assert!(matches!(error, DetachError::NoAttachment(_)), "{error}");
    let id = operator(&world, "one")
        .attach(&one(0, "/a", false))
        .unwrap();
    let mut ledger = world.ledger();
    let entries: Vec<_> = ledger
        .entries()
        .iter()
        .map(attach::ledger::Entry::id)
        .collect();
    let mounts: std::collections::BTreeSet<MountId> = ledger.leaving();
    assert!(mounts.is_empty());
    operator(&world, "one")
        .detach(&Selection::All, false)
        .unwrap();
    ledger = world.ledger();
    for entry in entries {
        let worker = Worker("one".to_owned());
        assert!(ledger.start(entry, None).is_err());
        assert!(ledger.finish(entry).is_err());
        assert!(ledger.start_undo(entry, &worker).is_err());
        assert!(ledger.undone(entry).is_err());
        assert!(ledger.undo_failed(entry, "").is_err());
    }
    assert!(ledger.arrive(id).is_err());
    assert!(ledger.give_up(id).is_err());
    assert!(ledger.is_empty());
}

/// e: the same image for reading and for writing becomes two attachments, and the second fails in the
/// hypervisor with a sharing violation.
#[test]
fn an_image_that_is_read_is_not_written_by_another_however_it_is_spelled() {
    let platform = platform(V2_9, GuestSystem::Windows);
    let world = world(platform);
    let first = mount(platform, image(platform, 0), "/a", true);
    operator(&world, "one")
        .attach(&order("one", &[first]))
        .unwrap();
    let (calls, _) = world.counted();
    for spelling in ["C:\\v\\0.vhdx", "c:/V/0.VHDX", "C:\\V/0.Vhdx"] {
        let source = disk(spelling, attach::GuestFileSystem::Ntfs);
        let writing = mount(platform, source, "/b", false);
        let error = operator(&world, "two")
            .attach(&order("two", &[writing]))
            .unwrap_err();
        assert!(matches!(error, AttachError::Plan(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("attached already, but read-only"),
            "{error}"
        );
    }
    assert_eq!(world.counted().0, calls, "nothing was asked of anybody");
}

/// f: while the guest works on one mount, the whole machine is locked.
#[test]
fn while_the_guest_is_waited_for_others_attach_and_detach() {
    struct Slow<'w> {
        world: &'w World,
        others: Cell<u32>,
    }
    impl Guest for Slow<'_> {
        fn mount_disk(&self, mount: &DiskMount) -> Result<(), Fault> {
            // The guest takes its time: meanwhile somebody else comes and goes.
            let other = Operator {
                is_alive: &|_| true,
                ..operator(self.world, "other")
            };
            let id = other.attach(&one(5, "/other", false)).unwrap();
            other.detach(&Selection::Attachment(id), false).unwrap();
            other.recover().unwrap();
            self.others.set(self.others.get() + 1);
            self.world.mount_disk(mount)
        }
        fn unplug_disk(&self, slot: Slot) -> Result<(), Fault> {
            self.world.unplug_disk(slot)
        }
        fn mount_share(&self, share: &Share, target: &Target) -> Result<(), Fault> {
            self.world.mount_share(share, target)
        }
        fn mount_smb(
            &self,
            source: &SmbSource,
            credentials: Option<&Credentials>,
            target: &Target,
            read_only: bool,
        ) -> Result<(), Fault> {
            self.world.mount_smb(source, credentials, target, read_only)
        }
        fn mount_memory(&self, target: &Target, size: u64) -> Result<(), Fault> {
            self.world.mount_memory(target, size)
        }
        fn unmount(&self, target: &Target, how: Unmounting) -> Result<(), Fault> {
            self.world.unmount(target, how)
        }
    }
    let world = world(linux());
    let slow = Slow {
        world: &world,
        others: Cell::new(0),
    };
    let mut first = operator(&world, "first");
    first.guest = &slow;
    first.attach(&one(0, "/a", false)).unwrap();
    assert_eq!(slow.others.get(), 1);
    let targets: Vec<String> = world.snapshot().mounts.into_keys().collect();
    assert_eq!(targets, ["/a"]);
}

/// g: after the guest failed to mount, the disk can never be detached.
#[test]
fn a_disk_that_was_never_mounted_can_be_detached() {
    let world = world(linux());
    let before = world.snapshot();
    // The third call is the mounting, the fourth its undoing.
    world.trouble(When::Call(3), Trouble::FailBefore(FaultKind::Failed));
    world.trouble(When::Call(4), Trouble::FailBefore(FaultKind::Failed));
    let error = operator(&world, "one")
        .attach(&one(0, "/a", false))
        .unwrap_err();
    let AttachError::Step { undoing, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(undoing.len(), 1, "{error}");
    assert_eq!(world.snapshot().disks.len(), 1);
    operator(&world, "two").recover().unwrap();
    check_same(&world.snapshot(), &before, &world, "");
    operator(&world, "two")
        .attach(&one(0, "/a", false))
        .unwrap();
    let first = Slot {
        controller: 0,
        lun: 0,
    };
    assert!(
        world.snapshot().disks.contains_key(&first),
        "its place is used again"
    );
}

/// h: a place that was reserved and never used is never free again.
#[test]
fn a_place_that_was_only_planned_for_is_free_when_the_planner_is_gone() {
    let world = world(linux());
    begun_by_another(&world, &one(0, "/a", false));
    assert_eq!(world.ledger().slots().disks().count(), 1);
    let recovered = operator(&world, "two").recover().unwrap();
    assert_eq!(recovered.gone.len(), 1);
    assert_eq!(world.counted().0, 0, "nothing was done, and nothing undone");
    assert!(world.ledger().is_empty());
    assert_eq!(world.ledger().slots().disks().count(), 0);
}

/// i: two need a disk, attaching it fails, and the second to give up falls over what the first left.
#[test]
fn of_two_who_need_a_disk_that_fails_both_get_away() {
    let world = world(linux());
    let before = world.snapshot();
    world.trouble(When::CallsFrom(2), Trouble::FailBefore(FaultKind::Failed));
    let both = [
        mount(linux(), image(linux(), 0), "/a", true),
        mount(linux(), image(linux(), 0), "/b", true),
    ];
    let error = operator(&world, "one")
        .attach(&order("one", &both))
        .unwrap_err();
    assert!(matches!(error, AttachError::Step { .. }), "{error}");
    check_same(&world.snapshot(), &before, &world, "in one order");
    // And one who waits for the other's, which fails: he attaches it himself.
    world.calm();
    let id = begun_by_another(&world, &one(0, "/a", true));
    let pause = |_| {
        let failing = |ledger: &mut Ledger| drop(ledger.give_up(id));
        world.change(&mut { failing }).unwrap();
    };
    let second = Operator {
        is_alive: &|_| true,
        pause: &pause,
        ..operator(&world, "two")
    };
    second.attach(&one(0, "/b", true)).unwrap();
    assert_eq!(world.snapshot().mounts.len(), 1);
    operator(&world, "three")
        .detach(&Selection::All, false)
        .unwrap();
    check_same(&world.snapshot(), &before, &world, "one after the other");
}

/// j: two mounts that differ in what they mount are taken for one.
#[test]
fn two_mounts_of_one_disk_are_two_and_end_one_by_one() {
    let world = world(linux());
    let both = [
        mount(linux(), image(linux(), 0), "/a", true),
        mount(linux(), image(linux(), 0), "/b", true),
    ];
    operator(&world, "one")
        .attach(&order("one", &both))
        .unwrap();
    operator(&world, "two").attach(&one(0, "/c", true)).unwrap();
    assert_eq!(
        (world.snapshot().mounts.len(), world.snapshot().disks.len()),
        (3, 1)
    );
    for (target, left) in [("/b", 2), ("/c", 1)] {
        operator(&world, "three")
            .detach(&at(target), false)
            .unwrap();
        let now = world.snapshot();
        assert_eq!((now.mounts.len(), now.disks.len()), (left, 1), "{target}");
    }
    operator(&world, "three").detach(&at("/a"), false).unwrap();
    assert!(world.snapshot().disks.is_empty() && world.ledger().is_empty());
    assert_eq!(world.damage(), [""; 0]);
}
