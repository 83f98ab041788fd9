//! Mounts brought into a machine and taken away again.

use std::collections::BTreeSet;
use std::path::Path;

use computecore::{Control, FileModel, Guest};
use engine::{CloneVolume, DetachWhat, ErrorKind, GuestChannel, MountProgress};

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

/// The files that the machine may open, as a set.
fn open_files(stage: &Stage) -> BTreeSet<String> {
    stage.access().into_iter().collect()
}

fn key(path: &Path) -> String {
    spelled(path).to_lowercase()
}

#[test]
fn what_images_stand_on_is_opened_to_the_machine_as_long_as_one_of_them_is_attached() {
    for system in [Guest::Linux, Guest::Windows] {
        let stage = Stage::new(system);
        stage.mounts();
        let engine = &stage.engine;
        engine.take_snapshot("data@before", None).unwrap();
        let clone = CloneVolume {
            base: "data@before".to_owned(),
            name: "copy".to_owned(),
            ..CloneVolume::default()
        };
        engine.clone_volume(&clone).unwrap();
        let image = |name: &str| {
            let volume = engine.inspect_volume(name).unwrap();
            volume.image().unwrap().path.clone()
        };
        let data = engine.inspect_volume("data").unwrap();
        let base = data.layers.iter().find(|layer| !layer.is_head).unwrap();
        let base = base.file.clone();
        stage.add_file(&base, FileModel::default());
        for head in [image("data"), image("copy")] {
            stage.add_file(&head, FileModel::child_of(&spelled(&base)));
        }
        let mount =
            |name: &str, target: &str| format!("source={name},target={}", stage.target(target));
        stage.attach(&[mount("data", "/data")]).unwrap();
        let first = BTreeSet::from([key(&image("data")), key(&base)]);
        assert_eq!(open_files(&stage), first);
        stage.attach(&[mount("copy", "/copy")]).unwrap();
        let mut both = first.clone();
        both.insert(key(&image("copy")));
        assert_eq!(open_files(&stage), both);
        // A second mount of the same disk needs the same files.
        stage.attach(&[mount("data", "/again")]).unwrap();
        let detach = |target: &str| {
            let target = DetachWhat::Target(stage.target(target));
            assert_eq!(stage.detach(&target).unwrap().left, [""; 0]);
        };
        detach("/copy");
        assert_eq!(open_files(&stage), first);
        detach("/data");
        assert_eq!(open_files(&stage), first);
        detach("/again");
        stage.check_bare("detached");
    }
}

#[test]
fn a_machine_that_was_started_again_has_lost_its_mounts_and_is_cleaned() {
    for system in [Guest::Linux, Guest::Windows] {
        let stage = Stage::new(system);
        let mounts = stage.mounts();
        stage.attach(&mounts).unwrap();
        let states = || {
            let attachments = stage.engine.attachments(Some(NAME)).unwrap();
            let mounts = attachments.into_iter().flat_map(|it| it.mounts);
            mounts.map(|mount| mount.state).collect::<BTreeSet<_>>()
        };
        assert_eq!(states(), BTreeSet::from([MountProgress::There]));
        stage.restart();
        assert_eq!(states(), BTreeSet::from([MountProgress::Lost]));
        // The volume is free only when that was seen to.
        let error = stage.engine.remove_volume("data", true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        let detached = stage.detach(&DetachWhat::All).unwrap();
        assert_eq!(
            (detached.gone.len(), detached.left.len()),
            (mounts.len(), 0)
        );
        stage.check_bare("cleaned");

        stage.attach(&mounts).unwrap();
        stage.change(computecore::MachineModel::stop);
        assert_eq!(states(), BTreeSet::from([MountProgress::Lost]));
        let mut host = stage.report().host;
        host.machines.clear();
        stage.control(&Control::SetHost(host));
        assert_eq!(states(), BTreeSet::from([MountProgress::Lost]));
        let detached = stage.detach(&DetachWhat::All).unwrap();
        assert_eq!(
            (detached.gone.len(), detached.left.len()),
            (mounts.len(), 0),
            "{detached:?}"
        );
        assert_eq!(stage.access(), [""; 0]);
        assert!(stage.engine.attachments(None).unwrap().is_empty());
        stage.check_clean("a machine that is no more");
    }
}

#[test]
fn a_share_is_logged_in_at_with_the_password_of_a_file_or_of_a_volume() {
    let stage = Stage::new(Guest::Linux);
    stage.mounts();
    let file = stage.path("password");
    std::fs::write(&file, "from a file\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let share = "type=smb,source=//server/share";
    let from_file = format!(
        "{share},target=/file,username=CORP\\ann,password-file={}",
        file.display()
    );
    let of_volume = format!("{share},target=/kept,secret=share");
    stage.attach(&[from_file, of_volume]).unwrap();
    let mounts = stage.guest.mounts();
    assert_eq!(mounts["/file"].source, "CORP/ann:from a file@server/share");
    assert_eq!(mounts["/kept"].source, "/somebody:a secret@server/share");
    // Neither is written down anywhere.
    let machine = stage.path(&format!("store/machines/{NAME}"));
    for name in ["ledger.json", "machine.json"] {
        let text = std::fs::read_to_string(machine.join(name)).unwrap();
        assert!(
            !text.contains("from a file") && !text.contains("a secret"),
            "{text}"
        );
    }
    stage.detach(&DetachWhat::All).unwrap();
    stage.check_bare("detached");

    let other = format!("{share},target=/x,secret=share,username=nobody");
    let error = stage.attach(&[other]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:?}");
    let missing = format!("{share},target=/x,username=u,password-file=/no/such/file");
    stage.attach(&[missing]).unwrap_err();
    stage.check_bare("refused");
}
