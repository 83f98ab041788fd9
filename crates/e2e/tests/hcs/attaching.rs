//! Mounts brought into a machine and taken away again.

use computecore::Guest;
use engine::{DetachWhat, ErrorKind, GuestChannel, MountProgress};

use crate::stage::{NAME, Stage, spelled};

#[test]
fn mounts_of_every_kind_come_to_a_machine_and_go_again() {
    for system in [Guest::Linux, Guest::Windows] {
        let stage = Stage::new(system);
        let mounts = stage.mounts();
        let attached = stage.attach(&mounts).unwrap();
        assert_eq!(attached.mounts.len(), mounts.len());
        assert_eq!(attached.guest_work, None);
        for mount in &attached.mounts {
            assert_eq!(mount.state, MountProgress::There, "{}", mount.target);
            // The service opens images itself.
            assert_eq!(mount.is_served, None, "{}", mount.target);
        }
        assert_eq!(stage.guest.mounts().len(), mounts.len());
        let machine = stage.machine();
        let is_windows = system == Guest::Windows;
        // Windows has temporary volumes on disks.
        let disks = if is_windows { 3 } else { 2 };
        assert_eq!((machine.disks.len(), stage.access().len()), (disks, disks));
        let image = spelled(&stage.path("image.vhdx"));
        let disk = machine.disks.values().find(|disk| disk.path == image);
        assert!(disk.unwrap().read_only);
        let shares = (machine.plan9.len(), machine.smb.len());
        assert_eq!(shares, if is_windows { (0, 2) } else { (2, 0) });

        // The volume is the machine's until it is detached, though no lock of ours is on its file.
        let error = stage.engine.remove_volume("data", true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);

        let target = DetachWhat::Target(stage.target("/data/ro"));
        assert_eq!(stage.detach(&target).unwrap().left, [""; 0]);
        let gone = stage.detach(&DetachWhat::All).unwrap();
        assert_eq!((gone.gone.len(), gone.left.len()), (mounts.len() - 1, 0));
        stage.check_bare("detached");
        assert_eq!(stage.detach(&DetachWhat::All).unwrap().gone, [""; 0]);
        stage.engine.forget_machine(NAME).unwrap();
    }
}

#[test]
fn whoever_mounts_in_the_guest_himself_is_told_what() {
    for system in [Guest::Linux, Guest::Windows] {
        let stage = Stage::bare(system);
        stage.make_known(GuestChannel::None);
        let mounts = stage.mounts();
        let attached = stage.attach(&mounts).unwrap();
        let work = attached.guest_work.unwrap();
        assert_eq!(work.steps.len(), mounts.len());
        let disk = work.steps.iter().find(|step| step.number == 1).unwrap();
        assert_eq!(disk.action, "mount-disk");
        assert_eq!(disk.details["target"], stage.target("/data").as_str());
        assert_eq!(disk.details["lun"], 0);
        let by_itself = work.script.mount.iter().map(|command| command.number);
        assert!(by_itself.clone().any(|number| number == 5));
        assert!(
            work.script
                .mount
                .iter()
                .any(|command| command.reads_credentials)
        );
        let told = serde_json::to_string(&work).unwrap();
        assert!(!told.contains("a secret"), "{told}");
        // Asked again, it is told again.
        let again = stage.engine.attachments(Some(NAME)).unwrap().remove(0);
        assert_eq!(again.guest_work.unwrap(), work);
        assert!(stage.guest.mounts().is_empty());
        stage.detach(&DetachWhat::All).unwrap();
        stage.check_bare("detached");
    }
}

#[test]
fn without_sockets_of_the_hypervisor_nothing_is_attached_and_that_is_said() {
    let stage = Stage::bare(Guest::Linux);
    stage.make_known(GuestChannel::HvSocket);
    let mounts = stage.mounts();
    let error = stage.attach(&mounts).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let told = format!("{error:?}");
    assert!(told.contains("sockets of Hyper-V"), "{told}");
    stage.check_bare("refused");
}
