//! What our things are called in a machine, so that they are known again by whoever comes later.

use crate::slots::Slot;

/// One name for the node and the device of a place: names of nodes have at most 31 characters, serials
/// more.
pub(super) fn disk(slot: Slot) -> String {
    format!("cvol-disk-{}-{}", slot.controller, slot.lun)
}

/// One name for the character device and the device of a share.
pub(super) fn share(name: &str) -> String {
    format!("cvol-share-{name}")
}

/// Where a device with a name is among all objects of the machine.
pub(super) fn device_path(name: &str) -> String {
    format!("/machine/peripheral/{name}")
}
