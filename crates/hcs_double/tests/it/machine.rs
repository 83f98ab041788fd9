//! Plans carried out on a machine of the double: its documents are taken, its faults rolled back.

use std::time::Duration;

use attach::carry_out::{AttachError, Operator, Order, Patience, Selection};
use attach::fake::World;
use attach::hcs::HcsMachine;
use attach::ledger::{NewMount, Worker};
use attach::{
    DiskSource, GuestFileSystem, GuestSystem, HostPath, Hypervisor, MountRequest, Platform,
    SchemaVersion, Source, Target,
};
use computecore::{Control, DiskModel, Guest, MachineModel, Trouble};

use crate::stage::{ID, Stage};

mod older;

const VERSION: SchemaVersion = SchemaVersion { major: 2, minor: 7 };

/// A machine of the double, and a host and a guest in memory that know the same disks and shares.
struct Scene {
    stage: Stage,
    machine: HcsMachine,
    world: World,
    platform: Platform,
}

/// What is done to the machine of the double is done to that in memory as well, so that the guest in it
/// finds what was attached.
struct Both<'s>(&'s Scene);

impl attach::Machine for Both<'_> {
    fn grant_access(&self, path: &HostPath, write: bool) -> Result<(), attach::Fault> {
        self.0.machine.grant_access(path, write)?;
        self.0.world.grant_access(path, write)
    }
    fn revoke_access(&self, path: &HostPath) -> Result<(), attach::Fault> {
        self.0.machine.revoke_access(path)?;
        self.0.world.revoke_access(path)
    }
    fn add_disk(&self, disk: &attach::DiskAttachment) -> Result<(), attach::Fault> {
        self.0.machine.add_disk(disk)?;
        self.0.world.add_disk(disk)
    }
    fn remove_disk(&self, slot: attach::Slot, serial: &str) -> Result<(), attach::Fault> {
        self.0.machine.remove_disk(slot, serial)?;
        self.0.world.remove_disk(slot, serial)
    }
    fn add_share(&self, share: &attach::Share) -> Result<(), attach::Fault> {
        self.0.machine.add_share(share)?;
        self.0.world.add_share(share)
    }
    fn remove_share(&self, share: &attach::Share) -> Result<(), attach::Fault> {
        self.0.machine.remove_share(share)?;
        self.0.world.remove_share(share)
    }
}

impl Scene {
    fn new(guest: Guest) -> Self {
        let stage = Stage::new(guest);
        let machine = HcsMachine::new(stage.core.clone(), ID, VERSION);
        Self::on(stage, machine, guest)
    }

    fn on(stage: Stage, machine: HcsMachine, guest: Guest) -> Self {
        let system = match guest {
            Guest::Linux => GuestSystem::Linux,
            Guest::Windows => GuestSystem::Windows,
        };
        let platform = Platform {
            hypervisor: Hypervisor::Hcs(VERSION),
            guest: system,
        };
        let machine = machine.with_patience(Duration::from_secs(1));
        let world = World::new(platform);
        world.add_directory(&path("C:\\srv\\ro"));
        for number in 0..3 {
            world.add_file(&path(&format!("C:\\v\\{number}.vhdx")));
        }
        Self {
            stage,
            machine,
            world,
            platform,
        }
    }

    fn order(&self) -> Order {
        let disk = |number: usize| {
            Source::Disk(DiskSource {
                path: path(&format!("C:\\v\\{number}.vhdx")),
                parents: Vec::new(),
                file_system: Some(GuestFileSystem::Ntfs),
                format_on_first_use: false,
                serial: format!("disk-{number}"),
            })
        };
        let directory = Source::Directory {
            path: path("C:\\srv\\ro"),
            create: false,
            share_name: None,
        };
        let mounts = [
            (disk(0), "/data", false),
            (disk(1), "/more", true),
            (directory, "/data/ro", true),
        ];
        let mounts = mounts.into_iter().map(|(source, target, read_only)| {
            let request = MountRequest {
                source,
                target: Target::parse(target, self.platform.guest).unwrap(),
                read_only,
            };
            let new = NewMount {
                source: target.to_owned(),
                reference: None,
            };
            (request, new)
        });
        Order {
            owner: "a test".to_owned(),
            since: 0,
            mounts: mounts.collect(),
        }
    }

    fn with_operator<T>(&self, work: impl FnOnce(&Operator<'_>) -> T) -> T {
        let both = Both(self);
        let world = &self.world;
        let worker = Worker("somebody".to_owned());
        work(&Operator {
            pause: &|_: Duration| {},
            patience: Patience {
                tries: 2,
                between: Duration::ZERO,
                looks: 2,
            },
            ..Operator::new(world, world, &both, world, worker)
        })
    }

    #[track_caller]
    fn check_bare(&self, context: &str) {
        let expected = MachineModel::running(self.stage.machine().guest);
        assert_eq!(self.stage.machine(), expected, "{context}");
        assert_eq!(self.stage.report().host.access, [].into(), "{context}");
        assert!(self.world.ledger().is_empty(), "{context}");
        assert_eq!(self.world.damage(), [""; 0], "{context}");
        self.stage.check_clean();
    }
}

fn path(text: &str) -> HostPath {
    HostPath::parse(text).unwrap()
}

#[test]
fn disks_and_shares_come_to_a_machine_and_go_again() {
    for guest in [Guest::Linux, Guest::Windows] {
        let scene = Scene::new(guest);
        scene.with_operator(|operator| operator.attach(&scene.order()).unwrap());
        let machine = scene.stage.machine();
        let first = format!("{}/0", attach::hcs::schema::CONTROLLER_IDS[0]);
        assert_eq!(machine.disks.len(), 2);
        assert_eq!(machine.disks[&first].path, "C:\\v\\0.vhdx");
        assert_eq!(scene.stage.report().host.files_open_to(ID).len(), 2);
        let shares: Vec<String> = match guest {
            Guest::Linux => machine.plan9.into_values().collect(),
            Guest::Windows => machine.smb.into_values().map(|share| share.path).collect(),
        };
        assert_eq!(shares, ["C:\\srv\\ro"]);
        let detached =
            scene.with_operator(|operator| operator.detach(&Selection::All, false).unwrap());
        assert!(detached.left.is_empty(), "{detached:?}");
        scene.check_bare("detached");
    }
}

#[test]
fn every_call_failing_in_turn_is_rolled_back_and_nothing_is_left() {
    for guest in [Guest::Linux, Guest::Windows] {
        let calls = {
            let scene = Scene::new(guest);
            scene.with_operator(|operator| operator.attach(&scene.order()).unwrap());
            scene.stage.report().calls
        };
        assert!(calls >= 8, "{calls}");
        for call in 1..=calls {
            for trouble in [
                Trouble::Fail(0x8037_010B),
                Trouble::Fail(0x8007_0020),
                Trouble::FailAfter(0x8000_FFFF),
                Trouble::FailAfter(0x8037_0118),
                Trouble::Hang,
                Trouble::HangUndone,
            ] {
                let context = format!("{guest:?} {trouble:?} at {call}");
                let scene = Scene::new(guest);
                scene.stage.trouble(call, trouble);
                let attached = scene.with_operator(|operator| operator.attach(&scene.order()));
                scene.stage.control(&Control::LetGo);
                if let Err(error) = &attached {
                    assert!(
                        matches!(error, AttachError::Step { .. }),
                        "{context}: {error}"
                    );
                    scene.with_operator(|operator| operator.recover().unwrap());
                } else {
                    let all = Selection::All;
                    scene.with_operator(|operator| operator.detach(&all, false).unwrap());
                }
                scene.check_bare(&context);
            }
        }
    }
}

#[test]
fn a_machine_that_stops_takes_what_it_had_and_leaves_no_access_behind() {
    let scene = Scene::new(Guest::Linux);
    scene.with_operator(|operator| operator.attach(&scene.order()).unwrap());
    scene.stage.change(MachineModel::stop);
    scene.world.kill_machine();
    let detached = scene.with_operator(|operator| operator.detach(&Selection::All, false).unwrap());
    assert!(detached.left.is_empty(), "{detached:?}");
    assert!(scene.stage.report().host.access.is_empty());
    assert!(scene.world.ledger().is_empty());
    scene.stage.check_clean();
}

#[test]
fn a_disk_that_another_machine_writes_is_refused_by_the_service_in_words() {
    let scene = Scene::new(Guest::Linux);
    let mut host = scene.stage.report().host;
    let mut other = MachineModel::running(Guest::Windows);
    let disk = DiskModel {
        path: "c:\\V\\0.vhdx".to_owned(),
        read_only: false,
        parents: Vec::new(),
    };
    other.disks.insert("a/0".to_owned(), disk);
    host.machines.insert("other".to_owned(), other);
    scene.stage.control(&Control::SetHost(host));
    let error = scene
        .with_operator(|operator| operator.attach(&scene.order()))
        .unwrap_err();
    let AttachError::Step { step, undoing } = &error else {
        panic!("{error}");
    };
    assert!(undoing.is_empty(), "{undoing:?}");
    let told = step.fault.to_string();
    assert!(told.contains("ERROR_SHARING_VIOLATION"), "{told}");
    assert!(told.contains("is in use by a disk on"), "{told}");
    scene.check_bare("refused");
}
