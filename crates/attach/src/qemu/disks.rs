//! Disks of a machine that runs: a node for our export, and a SCSI disk on it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::arguments::{disk_device, disk_node};
use super::machine::{Monitor, QemuVmOptions, Trouble, property, remove_device};
use super::names;
use crate::sides::{DiskAttachment, FaultKind};
use crate::slots::Slot;

/// Adds a disk. The same one there already is fine.
pub(super) fn add(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    disk: &DiskAttachment,
) -> Result<(), Trouble> {
    let slot = disk.slot;
    let name = names::disk(slot);
    let controller = controller(options, slot)?;
    let sockets = options.sockets.to_str().ok_or_else(|| {
        let folder = options.sockets.display();
        Trouble::new(FaultKind::Invalid, format!("{folder} is not UTF-8"))
    })?;
    let node = disk_node(sockets, slot, &disk.serial, disk.read_only);
    // Mostly nothing is there, so it is looked only where this says that something is.
    if let Err(error) = monitor.execute("blockdev-add", node.clone()) {
        if error.kind() != FaultKind::AlreadyExists {
            let what = format!("the machine cannot open the export {}", disk.serial);
            return Err(Trouble::from(error).while_doing(what));
        }
        match found(monitor, &name)? {
            Some(found) if found.serial == disk.serial && found.read_only == disk.read_only => {
                return Ok(());
            }
            Some(_) => return Err(another(slot)),
            // Left by somebody who died between the two steps.
            None => remove_node(monitor, options, &name)?,
        }
        monitor.execute("blockdev-add", node).map_err(|error| {
            let what = format!("the machine cannot open the export {}", disk.serial);
            Trouble::from(error).while_doing(what)
        })?;
    }
    let device = disk_device(controller, slot, &disk.serial);
    if let Err(error) = monitor.execute("device_add", device) {
        let trouble = Trouble::from(error);
        if trouble.leaves_open() {
            return Err(trouble);
        }
        remove_node(monitor, options, &name)?;
        return Err(match trouble.kind() {
            FaultKind::AlreadyExists => another(slot),
            FaultKind::NotFound => Trouble::new(
                FaultKind::Unsupported,
                format!(
                    "the machine has no controller {controller}: start it with \
                     `-device virtio-scsi-pci,id={controller}`"
                ),
            ),
            _ => trouble.while_doing(format!("the machine does not take a disk at {slot}")),
        });
    }
    match property(monitor, &names::device_path(&name), "serial")? {
        Some(serial) if serial.as_str() == Some(&disk.serial) => Ok(()),
        _ => Err(Trouble::new(
            FaultKind::Nonsense,
            format!("QEMU says that it added a disk at {slot}, but it is not there"),
        )),
    }
}

/// Removes a disk. Where it is not, nothing is done, even if another one is there.
pub(super) fn remove(
    monitor: &mut Monitor,
    options: &QemuVmOptions,
    slot: Slot,
    serial: &str,
) -> Result<(), Trouble> {
    let name = names::disk(slot);
    let there = property(monitor, &names::device_path(&name), "serial")?;
    if let Some(there) = there {
        if there.as_str() != Some(serial) {
            return Ok(());
        }
        remove_device(monitor, options, &name)?;
    }
    remove_node(monitor, options, &name)
}

/// Whether a disk is where it was added.
pub(super) fn is_there(monitor: &mut Monitor, slot: Slot, serial: &str) -> Result<bool, Trouble> {
    let device = names::device_path(&names::disk(slot));
    let there = property(monitor, &device, "serial")?;
    Ok(there.is_some_and(|there| there.as_str() == Some(serial)))
}

/// What is at a place.
struct Found {
    serial: String,
    read_only: bool,
}

fn found(monitor: &mut Monitor, name: &str) -> Result<Option<Found>, Trouble> {
    let Some(serial) = property(monitor, &names::device_path(name), "serial")? else {
        return Ok(None);
    };
    let nodes = monitor.execute("query-named-block-nodes", json!({"flat": true}))?;
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |node: &&Value| node.get("node-name").and_then(Value::as_str) == Some(name);
    let node = nodes.iter().find(is_it);
    let read_only = node
        .and_then(|node| node.get("ro"))
        .and_then(Value::as_bool);
    match (serial.as_str(), read_only) {
        (Some(serial), Some(read_only)) => Ok(Some(Found {
            serial: serial.to_owned(),
            read_only,
        })),
        _ => Err(Trouble::new(
            FaultKind::Nonsense,
            format!("QEMU does not say what {name} is"),
        )),
    }
}

fn another(slot: Slot) -> Trouble {
    let what = format!("another disk is at {slot} of the machine");
    Trouble::new(FaultKind::AlreadyExists, what)
}

fn controller(options: &QemuVmOptions, slot: Slot) -> Result<&str, Trouble> {
    let name = options.controllers.get(usize::from(slot.controller));
    name.map(String::as_str).ok_or_else(|| {
        let count = options.controllers.len();
        let what = format!("the machine has {count} controllers, and no place {slot}");
        Trouble::new(FaultKind::Invalid, what)
    })
}

/// Removes a node. It stays in use for a moment after its device is gone.
fn remove_node(monitor: &mut Monitor, options: &QemuVmOptions, name: &str) -> Result<(), Trouble> {
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + options.unplug_patience;
    loop {
        let removed = monitor.execute("blockdev-del", json!({"node-name": name}));
        match removed {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.kind() == FaultKind::Busy && Instant::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                let what = format!("the machine does not give up the node {name}");
                return Err(Trouble::from(error).while_doing(what));
            }
        }
    }
}
