//! `attach::qemu` with a real QEMU, without a guest.

mod machine;
mod shares;

use attach::qemu::qmp::{Qmp, QmpLimits};
use attach::{DiskAttachment, FaultKind, Machine as _, QemuVm};
use serde_json::{Value, json};

use self::machine::{Bare, disk, serve};
use crate::tools;

fn has_qemu() -> bool {
    tools::needs(&["qemu-system-x86_64"])
}

/// The identifiers of the devices that were added.
fn devices(bare: &Bare) -> Vec<String> {
    let mut qmp = Qmp::connect(&bare.options().qmp, QmpLimits::default()).unwrap();
    let list = qmp.execute("qom-list", json!({"path": "/machine/peripheral"}));
    let mut names: Vec<String> = list
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["name"].as_str())
        .filter(|name| name.starts_with("cvol-"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

fn nodes(bare: &Bare) -> Vec<Value> {
    let mut qmp = Qmp::connect(&bare.options().qmp, QmpLimits::default()).unwrap();
    let nodes = qmp.execute("query-named-block-nodes", json!({"flat": true}));
    nodes.unwrap().as_array().unwrap().clone()
}

#[test]
fn qemu_greets_and_answers_and_refuses_in_the_words_we_know() {
    if !has_qemu() {
        return;
    }
    let bare = Bare::start(0, false);
    let mut qmp = Qmp::connect(&bare.options().qmp, QmpLimits::default()).unwrap();
    assert!(qmp.greeting().version >= (5, 0, 0), "{:?}", qmp.greeting());
    let status = qmp.execute("query-status", json!({})).unwrap();
    assert_eq!(status["status"], "prelaunch");
    for (command, arguments, kind) in [
        ("no-such-command", json!({}), FaultKind::Unsupported),
        ("device_del", json!({"id": "x"}), FaultKind::NotFound),
        (
            "blockdev-del",
            json!({"node-name": "x"}),
            FaultKind::NotFound,
        ),
        ("chardev-remove", json!({"id": "x"}), FaultKind::NotFound),
        ("qom-list", json!({"path": "/x"}), FaultKind::NotFound),
        ("device_add", json!({"driver": "x"}), FaultKind::Unsupported),
        ("query-status", json!({"x": 1}), FaultKind::Failed),
    ] {
        let error = qmp.execute(command, arguments).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    // The monitor talks to one at a time.
    let limits = QmpLimits {
        timeout: std::time::Duration::from_millis(300),
        ..QmpLimits::default()
    };
    let error = Qmp::connect(&bare.options().qmp, limits).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Busy, "{error}");
    drop(qmp);
    Qmp::connect(&bare.options().qmp, QmpLimits::default()).unwrap();
}

#[test]
fn sixty_four_disks_come_and_go_and_nothing_is_left() {
    if !has_qemu() {
        return;
    }
    let bare = Bare::start(0, false);
    let vm = bare.vm();
    let disks: Vec<DiskAttachment> = (0..64)
        .map(|number| {
            let serial = format!("DISK-0123456789abcdef0123456789-{number:04}");
            serve(bare.folder(), &serial);
            disk(number / 16, number % 16, &serial)
        })
        .collect();
    for disk in &disks {
        vm.add_disk(disk).unwrap();
    }
    // Again, as after an answer that never came.
    for disk in &disks {
        vm.add_disk(disk).unwrap();
    }
    vm.hang_up();
    assert_eq!(devices(&bare).len(), 64);
    for _ in 0..2 {
        for disk in &disks {
            vm.remove_disk(disk.slot, &disk.serial).unwrap();
        }
    }
    vm.hang_up();
    assert!(devices(&bare).is_empty());
    assert!(nodes(&bare).is_empty());
}

#[test]
fn a_place_is_one_disks_and_a_refusal_leaves_nothing() {
    if !has_qemu() {
        return;
    }
    let bare = Bare::start(0, false);
    let vm = bare.vm();
    for serial in ["A", "B"] {
        serve(bare.folder(), serial);
    }
    let kind = |disk: &DiskAttachment| vm.add_disk(disk).unwrap_err().kind();
    vm.add_disk(&disk(0, 0, "A")).unwrap();
    assert_eq!(kind(&disk(0, 0, "B")), FaultKind::AlreadyExists);
    let read_only = DiskAttachment {
        read_only: true,
        ..disk(0, 0, "A")
    };
    assert_eq!(kind(&read_only), FaultKind::AlreadyExists);
    // Nobody serves it.
    assert_eq!(kind(&disk(0, 1, "C")), FaultKind::NotFound);
    vm.remove_disk(disk(0, 0, "B").slot, "B").unwrap();
    vm.hang_up();
    assert_eq!(devices(&bare), ["cvol-disk-0-0"]);

    // Another program has the place.
    let mut qmp = Qmp::connect(&bare.options().qmp, QmpLimits::default()).unwrap();
    qmp.execute(
        "blockdev-add",
        json!({"driver": "null-co", "node-name": "other", "size": 65536}),
    )
    .unwrap();
    let other = json!({"driver": "scsi-hd", "id": "other", "bus": "scsi1.0", "channel": 0,
                       "scsi-id": 0, "lun": 3, "drive": "other"});
    qmp.execute("device_add", other).unwrap();
    drop(qmp);
    assert_eq!(kind(&disk(1, 3, "B")), FaultKind::AlreadyExists);
    vm.hang_up();
    assert_eq!(devices(&bare), ["cvol-disk-0-0"]);
    assert!(
        !nodes(&bare)
            .iter()
            .any(|node| node["node-name"] == "cvol-disk-1-3")
    );
    // What we did not add is not ours to remove.
    vm.remove_disk(disk(1, 3, "B").slot, "B").unwrap();
    vm.remove_disk(disk(0, 0, "A").slot, "A").unwrap();
    vm.hang_up();
    assert!(devices(&bare).is_empty());
}

#[test]
fn a_machine_without_the_controller_says_what_it_takes() {
    if !has_qemu() {
        return;
    }
    let bare = Bare::start(0, false);
    serve(bare.folder(), "A");
    let mut options = bare.options();
    options.controllers = vec!["disks".to_owned()];
    let vm = QemuVm::new(options);
    let fault = vm.add_disk(&disk(0, 0, "A")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    assert!(
        fault.to_string().contains("virtio-scsi-pci,id=disks"),
        "{fault}"
    );
    vm.hang_up();
    assert!(nodes(&bare).is_empty());
}

#[test]
fn a_killed_qemu_is_gone_and_another_in_its_place_has_nothing() {
    if !has_qemu() {
        return;
    }
    let mut bare = Bare::start(0, false);
    let vm = bare.vm();
    serve(bare.folder(), "A");
    vm.add_disk(&disk(0, 0, "A")).unwrap();
    bare.kill();
    let fault = vm.remove_disk(disk(0, 0, "A").slot, "A").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    let fault = vm.add_disk(&disk(0, 1, "A")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    vm.quit().unwrap();
    bare.restart();
    vm.remove_disk(disk(0, 0, "A").slot, "A").unwrap();
    vm.add_disk(&disk(0, 0, "A")).unwrap();
    // Between two calls of one conversation.
    bare.restart();
    vm.add_disk(&disk(0, 0, "A")).unwrap();
    vm.quit().unwrap();
    vm.quit().unwrap();
}
