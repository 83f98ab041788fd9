//! What a request does to a machine, and why it is refused.

mod disks;
mod shares;

use attach::SchemaVersion;
use attach::hcs::{DocumentKind, validate};
use serde_json::Value;

use crate::codes::{
    ALREADY_STOPPED, GUEST_CRITICAL_ERROR, INVALID_JSON, INVALID_STATE, NOT_SUPPORTED, Refusal,
    SYSTEM_NOT_FOUND, refusal,
};
use crate::hardware::Hardware;
use crate::host::{HostModel, MachineModel, MachineState};

/// Takes a document that is right for its version.
pub(crate) fn document(text: &str, kind: DocumentKind, minor: u32) -> Result<Value, Refusal> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| refusal(INVALID_JSON, format!("no JSON: {error}")))?;
    let version = SchemaVersion { major: 2, minor };
    match validate(&document, kind, version).first() {
        None => Ok(document),
        Some(problem) => {
            let words = format!("{}: {}", problem.path, problem.message);
            Err(refusal(INVALID_JSON, words))
        }
    }
}

/// A machine that runs.
pub(crate) fn running<'h>(host: &'h HostModel, id: &str) -> Result<&'h MachineModel, Refusal> {
    let machine = host.machines.get(id);
    let machine = machine.ok_or_else(|| refusal(SYSTEM_NOT_FOUND, "no such system"))?;
    match machine.state {
        MachineState::Running => Ok(machine),
        MachineState::Stopped => Err(refusal(ALREADY_STOPPED, "the system has stopped")),
        _ => Err(refusal(INVALID_STATE, "the system does not run")),
    }
}

/// Does what a request says, or nothing.
pub(crate) fn modify(
    host: &mut HostModel,
    hardware: &dyn Hardware,
    id: &str,
    request: &str,
) -> Result<(), Refusal> {
    let mut changed = running(host, id)?.clone();
    let document = document(request, DocumentKind::Modify, host.newest_minor)?;
    let resource = document["ResourcePath"].as_str().unwrap_or_default();
    let verb = document["RequestType"].as_str().unwrap_or("Add");
    let settings = &document["Settings"];
    let parts: Vec<&str> = resource.split('/').collect();
    let change = Change {
        host,
        id,
        verb,
        settings,
    };
    let guest = document["GuestRequest"].as_object();
    // The guest lets go of what is taken away before it is, and finds what was added afterwards.
    if verb == "Remove" {
        ask_guest(&mut changed, &document)?;
    }
    let mut device = None;
    match parts.as_slice() {
        [""] if guest.is_some() => {}
        [
            "VirtualMachine",
            "Devices",
            "Scsi",
            controller,
            "Attachments",
            lun,
        ] => device = change.disk(&mut changed, controller, lun)?,
        ["VirtualMachine", "Devices", "Plan9", "Shares"] => change.plan9(&mut changed)?,
        ["VirtualMachine", "Devices", "VirtualSmb", "Shares"] => change.smb(&mut changed)?,
        // Not of storage by volumes: the double says so, whatever the service would do.
        _ => {
            let words = format!("the double has no model of {resource}");
            return Err(refusal(NOT_SUPPORTED, words));
        }
    }
    if verb != "Remove" {
        ask_guest(&mut changed, &document)?;
    }
    if let Some(device) = &device {
        crate::hardware::ask(hardware, device)?;
    }
    host.machines.insert(id.to_owned(), changed);
    Ok(())
}

/// What is to be changed.
struct Change<'c> {
    host: &'c HostModel,
    id: &'c str,
    verb: &'c str,
    settings: &'c Value,
}

/// Puts the disks and shares that a machine is made with into it.
pub(crate) fn furnish(
    host: &HostModel,
    id: &str,
    machine: &mut MachineModel,
    devices: &Value,
) -> Result<(), Refusal> {
    let change = |settings| Change {
        host,
        id,
        verb: "Add",
        settings,
    };
    for (controller, settings) in devices["Scsi"].as_object().into_iter().flatten() {
        for (lun, settings) in settings["Attachments"].as_object().into_iter().flatten() {
            // The machine is made of it when it starts.
            change(settings).disk(machine, controller, lun)?;
        }
    }
    for settings in devices["Plan9"]["Shares"].as_array().into_iter().flatten() {
        change(settings).plan9(machine)?;
    }
    let shares = devices["VirtualSmb"]["Shares"].as_array();
    for settings in shares.into_iter().flatten() {
        change(settings).smb(machine)?;
    }
    Ok(())
}

fn ask_guest(machine: &mut MachineModel, document: &Value) -> Result<(), Refusal> {
    let request = &document["GuestRequest"];
    if !request.is_object() {
        return Ok(());
    }
    let kind = request["ResourceType"].as_str().unwrap_or_default();
    if machine.guest_refuses.contains(kind) {
        let words = format!("the guest refuses {kind}");
        return Err(refusal(GUEST_CRITICAL_ERROR, words));
    }
    machine.guest_requests.push(request.to_string());
    Ok(())
}

fn text<'v>(settings: &'v Value, name: &str) -> &'v str {
    settings[name].as_str().unwrap_or_default()
}

fn flag(settings: &Value, name: &str) -> bool {
    settings[name].as_bool().unwrap_or_default()
}

fn has_items(settings: &Value, name: &str) -> bool {
    let items = settings[name].as_array();
    items.is_some_and(|items| !items.is_empty())
}
