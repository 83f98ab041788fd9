//! The machine behind a monitor: what is asked of a QEMU that behaves, and what is made of one that
//! does not.

use attach::qemu::QemuVmOptions;
use attach::{DiskAttachment, FaultKind, HostPath, Machine, QemuVm, Share, ShareTransport, Slot};
use serde_json::{Value, json};

use super::fake::{FakeMonitor, Reply, fine, limits, not_found};

const SLOT: Slot = Slot {
    controller: 1,
    lun: 5,
};

fn disk(serial: &str) -> DiskAttachment {
    DiskAttachment {
        slot: SLOT,
        path: HostPath::parse("/v/a.vhdx").unwrap(),
        serial: serial.to_owned(),
        read_only: false,
    }
}

fn machine(monitor: &FakeMonitor) -> QemuVm {
    let mut options = QemuVmOptions::new(monitor.address.clone(), "/run/vm");
    options.limits = limits();
    options.unplug_patience = std::time::Duration::from_millis(300);
    QemuVm::new(options)
}

/// A QEMU of one place: whether its node and its device are there, and of which disk.
#[derive(Default)]
struct Model {
    node: bool,
    device: Option<String>,
}

impl Model {
    fn answer(&mut self, name: &str, arguments: &Value) -> Reply {
        match name {
            "blockdev-add" if self.node => {
                Reply::Error("GenericError", "Duplicate nodes with node-name='n'")
            }
            "blockdev-add" => {
                self.node = true;
                fine()
            }
            "blockdev-del" if !self.node => {
                Reply::Error("GenericError", "Failed to find node with node-name='n'")
            }
            "blockdev-del" if self.device.is_some() => {
                Reply::Error("GenericError", "Node 'n' is in use")
            }
            "blockdev-del" => {
                self.node = false;
                fine()
            }
            "device_add" if self.device.is_some() => {
                Reply::Error("GenericError", "lun already used by 'd-x'")
            }
            "device_add" => {
                self.device = Some(arguments["serial"].as_str().unwrap().to_owned());
                fine()
            }
            "device_del" if self.device.take().is_some() => fine(),
            "device_del" => not_found(),
            "qom-get" => match &self.device {
                Some(serial) => Reply::Return(json!(serial)),
                None => not_found(),
            },
            "query-named-block-nodes" => {
                Reply::Return(json!([{"node-name": "cvol-disk-1-5", "ro": false}]))
            }
            other => panic!("{other} was not to be asked"),
        }
    }
}

/// A machine over that model, in as many conversations as are needed.
fn modelled(mut model: Model) -> (FakeMonitor, QemuVm) {
    let monitor = FakeMonitor::answering(move |name, arguments| model.answer(name, arguments));
    let vm = machine(&monitor);
    (monitor, vm)
}

#[test]
fn a_disk_is_added_by_a_node_of_our_export_and_a_device_on_it() {
    let mut number = 0;
    let monitor = FakeMonitor::answering(move |name, arguments| {
        number += 1;
        match number {
            1 => {
                assert_eq!(name, "blockdev-add");
                let node = json!({
                    "driver": "nbd", "node-name": "cvol-disk-1-5", "export": "S-1",
                    "server": {"type": "unix", "path": "/run/vm/S-1.nbd"},
                    "reconnect-delay": 30, "discard": "unmap", "read-only": false,
                });
                assert_eq!(arguments, &node);
                fine()
            }
            2 => {
                assert_eq!(name, "device_add");
                let device = json!({
                    "driver": "scsi-hd", "id": "cvol-disk-1-5", "bus": "scsi1.0", "channel": 0,
                    "scsi-id": 0, "lun": 5, "drive": "cvol-disk-1-5", "serial": "S-1",
                    "device_id": "S-1",
                });
                assert_eq!(arguments, &device);
                fine()
            }
            _ => Reply::Return(json!("S-1")),
        }
    });
    machine(&monitor).add_disk(&disk("S-1")).unwrap();
    assert_eq!(monitor.heard(), ["blockdev-add", "device_add", "qom-get"]);
}

#[test]
fn adding_the_same_disk_again_is_fine_and_another_one_is_refused() {
    let (_monitor, vm) = modelled(Model::default());
    vm.add_disk(&disk("S-1")).unwrap();
    vm.add_disk(&disk("S-1")).unwrap();
    let fault = vm.add_disk(&disk("S-2")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::AlreadyExists, "{fault}");
    let read_only = DiskAttachment {
        read_only: true,
        ..disk("S-1")
    };
    let fault = vm.add_disk(&read_only).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::AlreadyExists, "{fault}");
}

#[test]
fn removing_a_disk_may_be_repeated_and_leaves_another_one_alone() {
    let (monitor, vm) = modelled(Model::default());
    vm.remove_disk(SLOT, "S-1").unwrap();
    vm.add_disk(&disk("S-2")).unwrap();
    vm.remove_disk(SLOT, "S-1").unwrap();
    assert!(!monitor.heard().contains(&"device_del".to_owned()));
    vm.remove_disk(SLOT, "S-2").unwrap();
    vm.remove_disk(SLOT, "S-2").unwrap();
    vm.add_disk(&disk("S-3")).unwrap();
}

#[test]
fn what_a_crash_left_between_the_two_steps_is_made_anew() {
    let (monitor, vm) = modelled(Model {
        node: true,
        device: None,
    });
    vm.add_disk(&disk("S-1")).unwrap();
    let removed = monitor
        .heard()
        .iter()
        .filter(|name| *name == "blockdev-del")
        .count();
    assert_eq!(removed, 1);

    let (_monitor, vm) = modelled(Model {
        node: true,
        device: None,
    });
    vm.remove_disk(SLOT, "S-1").unwrap();
    vm.add_disk(&disk("S-1")).unwrap();
}

#[test]
fn a_refused_device_leaves_no_node() {
    for (text, kind) in [
        ("lun already used by 'd-x'", FaultKind::AlreadyExists),
        ("Bus 'scsi1.0' not found", FaultKind::Unsupported),
        ("out of beans", FaultKind::Failed),
    ] {
        let monitor = FakeMonitor::answering(move |name, _| match name {
            "device_add" => Reply::Error("GenericError", text),
            _ => fine(),
        });
        let fault = machine(&monitor).add_disk(&disk("S-1")).unwrap_err();
        assert_eq!(fault.kind(), kind, "{fault}");
        assert_eq!(monitor.heard().last().unwrap(), "blockdev-del", "{text}");
    }
}

#[test]
fn a_qemu_that_says_done_and_did_nothing_is_found_out() {
    let monitor = FakeMonitor::answering(|name, _| match name {
        "qom-get" => not_found(),
        _ => fine(),
    });
    let fault = machine(&monitor).add_disk(&disk("S-1")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Nonsense, "{fault}");

    // It says that the device is gone, by its answer and by the event, and keeps it.
    let monitor = FakeMonitor::answering(|name, _| match name {
        "qom-get" => Reply::Return(json!("S-1")),
        "device_del" => Reply::Say(
            "{\"return\": {}, \"id\": $ID}\n\
             {\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"cvol-disk-1-5\"}}\n"
                .to_owned(),
        ),
        _ => panic!("{name}: the device is not gone"),
    });
    let fault = machine(&monitor).remove_disk(SLOT, "S-1").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Busy, "{fault}");
}

#[test]
fn a_qemu_that_never_tells_of_the_device_is_looked_at() {
    let mut asked = 0;
    let monitor = FakeMonitor::answering(move |name, _| match name {
        "qom-get" => {
            asked += 1;
            if asked < 3 {
                Reply::Return(json!("S-1"))
            } else {
                not_found()
            }
        }
        _ => fine(),
    });
    machine(&monitor).remove_disk(SLOT, "S-1").unwrap();
}

#[test]
fn a_qemu_that_breaks_off_is_asked_again_once_and_a_dead_one_is_gone() {
    // The first conversation ends when the device is added; it was added all the same.
    let first = |name: &str, _: &Value| match name {
        "device_add" => Reply::Close,
        _ => fine(),
    };
    let mut model = Model {
        node: true,
        device: Some("S-1".to_owned()),
    };
    let monitor = FakeMonitor::start(vec![
        Box::new(first),
        Box::new(move |name, arguments| model.answer(name, arguments)),
    ]);
    machine(&monitor).add_disk(&disk("S-1")).unwrap();

    let monitor = FakeMonitor::start(vec![Box::new(first)]);
    let vm = machine(&monitor);
    let fault = vm.add_disk(&disk("S-1")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    let fault = vm.remove_disk(SLOT, "S-1").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    vm.quit().unwrap();
}

#[test]
fn garbage_and_answers_to_others_are_nonsense_and_nothing_is_undone_for_them() {
    for words in ["garbage\n", "{\"return\": {}, \"id\": 12345}\n"] {
        let monitor = FakeMonitor::answering(move |name, _| match name {
            "device_add" => Reply::Say(words.to_owned()),
            _ => fine(),
        });
        let fault = machine(&monitor).add_disk(&disk("S-1")).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Nonsense, "{fault}");
        assert_eq!(monitor.heard(), ["blockdev-add", "device_add"]);
    }
}

#[test]
fn a_slow_qemu_leaves_it_open_whether_the_disk_was_added() {
    let monitor = FakeMonitor::answering(|name, _| match name {
        "device_add" => Reply::Nothing,
        _ => fine(),
    });
    let mut options = QemuVmOptions::new(monitor.address.clone(), "/run/vm");
    options.limits.timeout = std::time::Duration::from_secs(2);
    let fault = QemuVm::new(options).add_disk(&disk("S-1")).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unanswered, "{fault}");
    assert_eq!(monitor.heard(), ["blockdev-add", "device_add"]);
}

#[test]
fn a_controller_that_was_not_named_is_no_place() {
    let monitor = FakeMonitor::answering(|_, _| fine());
    let mut outside = disk("S-1");
    outside.slot.controller = 4;
    let fault = machine(&monitor).add_disk(&outside).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Invalid, "{fault}");
}

#[test]
fn shares_of_other_hypervisors_are_refused() {
    let monitor = FakeMonitor::answering(|_, _| fine());
    for transport in [ShareTransport::Plan9, ShareTransport::VirtualSmb] {
        let share = Share {
            name: "0".to_owned(),
            transport,
            path: HostPath::parse("/srv").unwrap(),
            only_file: None,
            read_only: false,
        };
        let fault = machine(&monitor).add_share(&share).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    }
}
