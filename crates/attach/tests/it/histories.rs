//! Random histories of several attachments, with trouble anywhere, against a plain model: a list of
//! what is mounted where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use attach::carry_out::{AttachError, DetachError, Operator, Selection};
use attach::fake::{Trouble, When, World};
use attach::ledger::{AttachmentId, TransitionError};
use attach::{
    FaultKind, GuestSystem, Hypervisor, MountRequest, PlanRefusal, Platform, SlotError, Source,
    Target,
};
use proptest::prelude::*;

use crate::machines::{host, image, mount, operator, order, platforms, world};
use crate::requests::{directory, path, platform, smb};

#[derive(Clone, Debug)]
struct Wish {
    kind: u8,
    number: u8,
    target: u8,
    read_only: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Attach(Vec<Wish>),
    DetachTarget(u8),
    Detach(u8),
    DetachAll,
    Recover,
}

/// Some of them lie in others.
const TARGETS: [&str; 8] = ["/a", "/a/x", "/a/x/y", "/b", "/b/x", "/c", "/C", "/d"];

fn wish() -> impl Strategy<Value = Wish> {
    (0..5_u8, 0..3_u8, 0..8_u8, any::<bool>()).prop_map(|(kind, number, target, read_only)| Wish {
        kind,
        number,
        target,
        read_only,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(wish(), 1..4).prop_map(Step::Attach),
        3 => (0..8_u8).prop_map(Step::DetachTarget),
        2 => (0..12_u8).prop_map(Step::Detach),
        1 => Just(Step::DetachAll),
        1 => Just(Step::Recover),
    ]
}

fn trouble() -> impl Strategy<Value = Option<(When, Trouble)>> {
    let kinds = prop_oneof![
        Just(FaultKind::Failed),
        Just(FaultKind::Unanswered),
        Just(FaultKind::Busy),
        Just(FaultKind::Nonsense),
    ];
    let what = prop_oneof![
        kinds.clone().prop_map(Trouble::FailBefore),
        kinds.prop_map(Trouble::FailAfter),
        Just(Trouble::ManagerDiesBefore),
        Just(Trouble::ManagerDiesAfter),
        Just(Trouble::GuestFallsSilent),
    ];
    let when = prop_oneof![
        (1..30_u64).prop_map(When::Call),
        (1..30_u64).prop_map(When::CallsFrom),
        (1..80_u64).prop_map(When::Change),
    ];
    prop::option::of((when, what))
}

/// What the outside knows to be mounted: by target, whose, from what, how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    by: AttachmentId,
    source: String,
    read_only: bool,
    request: MountRequest,
}

struct Model {
    platform: Platform,
    mounts: BTreeMap<String, Known>,
}

impl Model {
    fn request(&self, wish: &Wish) -> (MountRequest, String) {
        let platform = self.platform;
        let number = usize::from(wish.number);
        let source = match wish.kind {
            0 => smb("//server/share"),
            1 => directory(&host(platform, "/srv/ro")),
            2 => Source::Directory {
                path: path(&host(platform, &format!("/srv/new/{number}/deep"))),
                create: true,
                share_name: None,
            },
            _ => image(platform, number),
        };
        let key = format!("{source:?}");
        let target = TARGETS[usize::from(wish.target)];
        (mount(platform, source, target, wish.read_only), key)
    }

    /// Why a list of mounts cannot be attached to what is there, if it cannot.
    fn refusal(&self, wanted: &[(MountRequest, String)]) -> bool {
        let lies_in = |inner: &Target, outer: &Target| {
            let (inner, outer) = (inner.to_string(), outer.to_string());
            inner.len() > outer.len()
                && inner.to_lowercase().starts_with(&outer.to_lowercase())
                && (self.platform.guest == GuestSystem::Windows || inner.starts_with(&outer))
        };
        let mut disks: BTreeMap<&str, bool> = BTreeMap::new();
        for known in self.mounts.values() {
            disks.insert(&known.source, known.read_only);
        }
        for (index, (request, source)) in wanted.iter().enumerate() {
            let same = |other: &Target| request.target.is_same_place(other);
            if wanted[..index].iter().any(|other| same(&other.0.target)) {
                return true;
            }
            for known in self.mounts.values() {
                let there = &known.request.target;
                if same(there) || lies_in(there, &request.target) {
                    return true;
                }
            }
            if matches!(request.source, Source::Disk(_))
                && *disks.entry(source).or_insert(request.read_only) != request.read_only
            {
                return true;
            }
        }
        false
    }

    /// Everything of the machine is what the mounts need, and nothing else.
    fn check(&self, world: &World) -> Result<(), TestCaseError> {
        let now = world.snapshot();
        let targets: BTreeSet<&String> = now.mounts.keys().collect();
        prop_assert_eq!(targets, self.mounts.keys().collect::<BTreeSet<_>>());
        let distinct = |is_kind: fn(&Source) -> bool| {
            let of_kind = self
                .mounts
                .values()
                .filter(|known| is_kind(&known.request.source));
            let keys: BTreeSet<_> = of_kind.map(|k| (k.source.clone(), k.read_only)).collect();
            keys.len()
        };
        let disks = distinct(|source| matches!(source, Source::Disk(_)));
        let opened = match self.platform.hypervisor {
            Hypervisor::Qemu => now.exports.len(),
            Hypervisor::Hcs(_) => now.access.len(),
        };
        prop_assert_eq!((now.disks.len(), opened), (disks, disks));
        // A directory is one share each for reading and writing, made or not.
        let paths: BTreeSet<_> = self
            .mounts
            .values()
            .filter_map(|known| match &known.request.source {
                Source::Directory { path, .. } => Some((path.key(), known.read_only)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(now.shares.len(), paths.len());
        for (path, _) in paths {
            prop_assert!(now.directories.contains(&path));
        }
        let ledger = world.ledger();
        prop_assert!(ledger.leaving().is_empty());
        prop_assert_eq!(ledger.mounts().count(), self.mounts.len());
        let damage = world.damage();
        prop_assert!(damage.is_empty(), "{:?}", damage);
        Ok(())
    }

    /// After a command and the next one's recovery: either nothing or all of it came to be.
    fn settle(&mut self, world: &World, id_or_none: Option<Vec<(MountRequest, String)>>) {
        let ledger = world.ledger();
        let there: BTreeMap<String, AttachmentId> = ledger
            .mounts()
            .map(|(attachment, mount)| (mount.target.to_string(), attachment.id))
            .collect();
        self.mounts
            .retain(|target, known| there.get(target) == Some(&known.by));
        for (request, source) in id_or_none.into_iter().flatten() {
            let target = request.target.to_string();
            if let Some(by) = there.get(&target)
                && !self.mounts.contains_key(&target)
            {
                let known = Known {
                    by: *by,
                    source,
                    read_only: request.read_only,
                    request,
                };
                self.mounts.insert(target, known);
            }
        }
    }
}

fn run(platform: Platform, steps: &[(Step, Option<(When, Trouble)>)]) -> Result<(), TestCaseError> {
    let world = world(platform);
    let bare = world.snapshot();
    let mut model = Model {
        platform,
        mounts: BTreeMap::new(),
    };
    for (step, trouble) in steps {
        world.calm();
        if let Some((when, trouble)) = trouble {
            world.trouble(*when, *trouble);
        }
        let before = model.mounts.clone();
        let worker = operator(&world, "worker");
        let mut wanted = None;
        match step {
            Step::Attach(wishes) => {
                let requests: Vec<_> = wishes.iter().map(|wish| model.request(wish)).collect();
                let plain: Vec<MountRequest> = requests.iter().map(|r| r.0.clone()).collect();
                let attached = worker.attach(&order("somebody", &plain));
                match &attached {
                    Err(AttachError::Plan(error)) => {
                        let passes =
                            matches!(error.reason, PlanRefusal::Slot(SlotError::Exhausted { .. }));
                        prop_assert!(!passes);
                        prop_assert!(model.refusal(&requests), "{error}");
                    }
                    Ok(_) | Err(AttachError::Step { .. }) => {
                        prop_assert!(!model.refusal(&requests), "{plain:?}");
                    }
                    Err(_) => {}
                }
                wanted = Some(requests);
                settle(&world)?;
                model.settle(&world, wanted.clone());
                let count = model.mounts.len();
                let came = before.len() + wishes.len();
                match attached {
                    Ok(_) => prop_assert_eq!(count, came),
                    // The last change of the ledger may have been kept, heard of or not.
                    Err(AttachError::Journal(_)) => {
                        prop_assert!(count == before.len() || count == came);
                    }
                    Err(_) => prop_assert_eq!(&model.mounts, &before),
                }
            }
            Step::DetachTarget(target) => {
                let target = Target::parse(TARGETS[usize::from(*target)], platform.guest).unwrap();
                let detached = worker.detach(&Selection::Target(target.clone()), false);
                let is_there = |known: &&Known| known.request.target.is_same_place(&target);
                let found = before.values().find(is_there);
                match detached {
                    Err(DetachError::NoTarget(_)) => prop_assert!(found.is_none()),
                    Err(DetachError::Refused(TransitionError::LiesIn { .. })) => {
                        prop_assert!(found.is_some());
                    }
                    Err(DetachError::Journal(_)) => {}
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    Ok(_) => {
                        prop_assert!(found.is_some());
                        settle(&world)?;
                        model.settle(&world, None);
                        prop_assert_eq!(model.mounts.len(), before.len() - 1);
                    }
                }
            }
            Step::Detach(number) => {
                let ids: BTreeSet<AttachmentId> = before.values().map(|known| known.by).collect();
                let id = ids.iter().nth(usize::from(*number));
                let id = id.copied().unwrap_or(AttachmentId::new(1_000_000));
                match worker.detach(&Selection::Attachment(id), false) {
                    Err(DetachError::NoAttachment(_)) => prop_assert!(!ids.contains(&id)),
                    Ok(_) => {
                        settle(&world)?;
                        model.settle(&world, None);
                        prop_assert!(model.mounts.values().all(|known| known.by != id));
                    }
                    Err(_) => {}
                }
            }
            Step::DetachAll => {
                if worker.detach(&Selection::All, false).is_ok() {
                    settle(&world)?;
                    prop_assert!(world.ledger().is_empty());
                }
            }
            Step::Recover => drop(worker.recover()),
        }
        settle(&world)?;
        model.settle(&world, wanted);
        model.check(&world)?;
    }
    world.calm();
    operator(&world, "last")
        .detach(&Selection::All, false)
        .unwrap();
    prop_assert_eq!(world.snapshot(), bare);
    prop_assert!(world.ledger().is_empty());
    Ok(())
}

/// The next command begins, and nothing is in its way.
fn settle(world: &World) -> Result<(), TestCaseError> {
    world.calm();
    let recovered = operator(world, "next").recover();
    let recovered = recovered.map_err(|fault| TestCaseError::fail(fault.to_string()))?;
    prop_assert!(recovered.left.is_empty(), "{recovered:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_history_leaks_or_takes_from_somebody_what_is_his(
        which in 0..3_usize,
        steps in prop::collection::vec((step(), trouble()), 1..25),
    ) {
        // The platforms that have all kinds of mounts.
        let [qemu, _, linux, windows] = platforms();
        run([qemu, linux, windows][which], &steps)?;
    }
}

#[test]
fn several_at_work_at_once_wait_for_each_other_and_leave_nothing() {
    let platform = platform(Hypervisor::Qemu, GuestSystem::Linux);
    let world = world(platform);
    let bare = world.snapshot();
    let attached = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4_usize {
            let (world, attached) = (&world, &attached);
            scope.spawn(move || {
                let name = format!("worker {worker}");
                for round in 0..40 {
                    // One disk for all, one for two of them, a directory for all.
                    let wanted = [
                        mount(platform, image(platform, 0), &format!("/{worker}/x"), true),
                        mount(
                            platform,
                            image(platform, 1 + worker % 2),
                            &format!("/{worker}/y"),
                            true,
                        ),
                        mount(
                            platform,
                            Source::Directory {
                                path: path("/srv/made/by/one"),
                                create: true,
                                share_name: None,
                            },
                            &format!("/{worker}/z"),
                            false,
                        ),
                    ];
                    let mut own = operator(world, &name);
                    own.is_alive = &|_| true;
                    own.pause = &|_| std::thread::yield_now();
                    own.patience.looks = 1_000_000;
                    own.recover().unwrap();
                    let id = own.attach(&order(&name, &wanted)).unwrap();
                    attached.fetch_add(1, Ordering::Relaxed);
                    if round % 3 == 0 {
                        let z = Target::parse(&format!("/{worker}/z"), platform.guest).unwrap();
                        own.detach(&Selection::Target(z), false).unwrap();
                    }
                    let gone = Operator { ..own.clone() }
                        .detach(&Selection::Attachment(id), false)
                        .unwrap();
                    assert!(gone.left.is_empty() && gone.faults.is_empty(), "{gone:?}");
                }
            });
        }
    });
    assert_eq!(attached.into_inner(), 160);
    assert_eq!(world.damage(), [""; 0]);
    assert_eq!(world.snapshot(), bare);
    assert!(world.ledger().is_empty());
}
