//! A plan as arguments of QEMU, for a machine that is started with everything attached.
//!
//! Every disk comes from an NBD export of ours (`ServeDisk` in the plan): QEMU opens differencing VHD
//! as if they were dynamic, and differencing VHDX not at all.

use serde_json::{Value, json};

use crate::guest::Hypervisor;
use crate::hcs::RenderError;
use crate::plan::{Action, Plan, Share};
use crate::slots::Slot;

use super::names;

/// How long QEMU waits for an export that was restarted, in seconds.
const RECONNECT_SECONDS: u32 = 30;

/// What the arguments have to know of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuMachine {
    /// The folder of the sockets that it connects to: exports are at `SERIAL.nbd` in it, virtiofs
    /// daemons at `NAME.virtiofs`.
    pub sockets: String,
    /// Its memory in bytes, as its own arguments say.
    pub memory: u64,
}

/// Arguments to add to those that the machine has, one word each.
///
/// # Errors
/// Where the plan is for another hypervisor.
pub fn qemu_arguments(plan: &Plan, machine: &QemuMachine) -> Result<Vec<String>, RenderError> {
    if plan.platform.hypervisor != Hypervisor::Qemu {
        return Err(RenderError {
            what: format!("a plan for {}", plan.platform.hypervisor),
            form: "arguments of QEMU",
        });
    }
    let mut arguments = Vec::new();
    let mut controllers: Vec<u8> = Vec::new();
    let mut has_shares = false;
    for step in &plan.steps {
        match &step.action {
            Action::AddDisk {
                slot,
                serial,
                read_only,
                ..
            } => {
                if !controllers.contains(&slot.controller) {
                    controllers.push(slot.controller);
                    let controller = format!("virtio-scsi-pci,id=scsi{}", slot.controller);
                    arguments.extend(["-device".to_owned(), controller]);
                }
                arguments.extend(disk(machine, *slot, serial, *read_only));
            }
            Action::AddShare(share) => {
                if !has_shares {
                    has_shares = true;
                    // The daemon reads and writes the memory of the guest, which has to be shared.
                    let memory = machine.memory;
                    arguments.extend([
                        "-object".to_owned(),
                        format!("memory-backend-memfd,id=cvol-memory,size={memory},share=on"),
                        "-machine".to_owned(),
                        "memory-backend=cvol-memory".to_owned(),
                    ]);
                }
                arguments.extend(virtiofs(machine, share));
            }
            // The rest is done on the host or in the guest.
            _ => {}
        }
    }
    Ok(arguments)
}

fn disk(machine: &QemuMachine, slot: Slot, serial: &str, read_only: bool) -> [String; 4] {
    let node = disk_node(&machine.sockets, slot, serial, read_only);
    let device = disk_device(&format!("scsi{}", slot.controller), slot, serial);
    [
        "-blockdev".to_owned(),
        node.to_string(),
        "-device".to_owned(),
        device.to_string(),
    ]
}

/// A node for the export of a disk, as `-blockdev` and `blockdev-add` take it.
pub(super) fn disk_node(sockets: &str, slot: Slot, serial: &str, read_only: bool) -> Value {
    json!({
        "driver": "nbd",
        "node-name": names::disk(slot),
        "server": {"type": "unix", "path": format!("{sockets}/{serial}.nbd")},
        "export": serial,
        "reconnect-delay": RECONNECT_SECONDS,
        "discard": "unmap",
        "read-only": read_only,
    })
}

/// The disk on that node, as `-device` and `device_add` take it.
pub(super) fn disk_device(controller: &str, slot: Slot, serial: &str) -> Value {
    json!({
        "driver": "scsi-hd",
        "id": names::disk(slot),
        "bus": format!("{controller}.0"),
        "channel": 0,
        "scsi-id": 0,
        "lun": slot.lun,
        "drive": names::disk(slot),
        "serial": serial,
        "device_id": serial,
    })
}

fn virtiofs(machine: &QemuMachine, share: &Share) -> [String; 4] {
    let name = names::share(&share.name);
    // A comma ends a value of an option, and is doubled to mean itself.
    let folder = machine.sockets.replace(',', ",,");
    [
        "-chardev".to_owned(),
        format!("socket,id={name},path={folder}/{}.virtiofs", share.name),
        "-device".to_owned(),
        format!(
            "vhost-user-fs-pci,id={name},chardev={name},tag={}",
            share.name
        ),
    ]
}
