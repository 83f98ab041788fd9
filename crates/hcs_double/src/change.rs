//! What a request does to a machine, and why it is refused.

use attach::SchemaVersion;
use attach::hcs::{DocumentKind, HResult, validate};
use serde_json::{Value, json};

use crate::host::{DiskModel, Guest, HostModel, MachineModel, MachineState};

pub(crate) const FILE_NOT_FOUND: HResult = HResult(0x8007_0002);
pub(crate) const ACCESS_DENIED: HResult = HResult(0x8007_0005);
pub(crate) const SHARING_VIOLATION: HResult = HResult(0x8007_0020);
pub(crate) const NOT_SUPPORTED: HResult = HResult(0x8007_0032);
pub(crate) const INVALID_PARAMETER: HResult = HResult(0x8007_0057);
pub(crate) const ALREADY_EXISTS: HResult = HResult(0x8007_00B7);
pub(crate) const NOT_FOUND: HResult = HResult(0x8007_0490);
pub(crate) const INVALID_STATE: HResult = HResult(0x8037_0105);
pub(crate) const INVALID_JSON: HResult = HResult(0x8037_010D);
pub(crate) const SYSTEM_NOT_FOUND: HResult = HResult(0x8037_010E);
pub(crate) const ALREADY_STOPPED: HResult = HResult(0x8037_0110);

/// Bits of `Flags` that are known: read-only, metadata of Linux, case, identity, options, paths below,
/// one file, connections.
const PLAN9_FLAGS: i64 = 0x1 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100;
const RESTRICT_FILE_ACCESS: i64 = 0x80;
/// Logical units of a controller.
const LUNS: u32 = 64;

/// A refusal, with what is said of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: HResult,
    pub(crate) words: String,
}

pub(crate) fn refusal(code: HResult, words: impl Into<String>) -> Refusal {
    Refusal {
        code,
        words: words.into(),
    }
}

/// A refusal as a result document.
pub(crate) fn result_document(refusal: &Refusal) -> String {
    let error = i32::from_ne_bytes(refusal.code.0.to_ne_bytes());
    json!({
        "Error": error,
        "ErrorMessage": refusal.words,
        "ErrorEvents": [{"Message": refusal.words, "Provider": "double"}],
    })
    .to_string()
}

/// Does what a request says, or nothing.
pub(crate) fn modify(host: &mut HostModel, id: &str, request: &str) -> Result<(), Refusal> {
    let minor = host.newest_minor;
    let machine = host
        .machines
        .get(id)
        .ok_or_else(|| refusal(SYSTEM_NOT_FOUND, "no such system"))?;
    match machine.state {
        MachineState::Running => {}
        MachineState::Stopped => return Err(refusal(ALREADY_STOPPED, "the system has stopped")),
        _ => return Err(refusal(INVALID_STATE, "the system does not run")),
    }
    let document: Value = serde_json::from_str(request)
        .map_err(|error| refusal(INVALID_JSON, format!("no JSON: {error}")))?;
    let version = SchemaVersion { major: 2, minor };
    let problems = validate(&document, DocumentKind::Modify, version);
    if let Some(problem) = problems.first() {
        let words = format!("{}: {}", problem.path, problem.message);
        return Err(refusal(INVALID_JSON, words));
    }
    let mut changed = machine.clone();
    let resource = document["ResourcePath"].as_str().unwrap_or_default();
    let verb = document["RequestType"].as_str().unwrap_or("Add");
    let settings = &document["Settings"];
    let parts: Vec<&str> = resource.split('/').collect();
    match parts.as_slice() {
        [""] if document["GuestRequest"].is_object() => {}
        [
            "VirtualMachine",
            "Devices",
            "Scsi",
            controller,
            "Attachments",
            lun,
        ] => {
            disk(
                host,
                &mut changed,
                &format!("{controller}/{lun}"),
                verb,
                settings,
            )?;
        }
        ["VirtualMachine", "Devices", "Plan9", "Shares"] => {
            plan9(host, &mut changed, verb, settings)?;
        }
        ["VirtualMachine", "Devices", "VirtualSmb", "Shares"] => {
            smb(host, &mut changed, verb, settings)?;
        }
        _ => return Err(refusal(NOT_SUPPORTED, format!("no resource {resource}"))),
    }
    if document["GuestRequest"].is_object() {
        changed
            .guest_requests
            .push(document["GuestRequest"].to_string());
    }
    host.machines.insert(id.to_owned(), changed);
    Ok(())
}

fn text<'v>(settings: &'v Value, name: &str) -> &'v str {
    settings[name].as_str().unwrap_or_default()
}

fn disk(
    host: &HostModel,
    machine: &mut MachineModel,
    place: &str,
    verb: &str,
    settings: &Value,
) -> Result<(), Refusal> {
    let (controller, lun) = place.split_once('/').unwrap_or_default();
    let mut known = machine.controllers.iter();
    if !known.any(|id| id.eq_ignore_ascii_case(controller)) {
        return Err(refusal(NOT_FOUND, format!("no controller {controller}")));
    }
    if !lun.parse::<u32>().is_ok_and(|lun| lun < LUNS) {
        return Err(refusal(INVALID_PARAMETER, format!("no logical unit {lun}")));
    }
    let place = place.to_lowercase();
    match verb {
        "Remove" => match machine.disks.remove(&place) {
            Some(_) => Ok(()),
            None => Err(refusal(NOT_FOUND, format!("nothing at {place}"))),
        },
        "Add" => {
            let disk = DiskModel {
                path: text(settings, "Path").to_owned(),
                read_only: settings["ReadOnly"].as_bool().unwrap_or_default(),
            };
            if machine.disks.contains_key(&place) {
                return Err(refusal(ALREADY_EXISTS, format!("{place} is taken")));
            }
            check_file(host, machine, &disk)?;
            machine.disks.insert(place, disk);
            Ok(())
        }
        _ => Err(refusal(NOT_SUPPORTED, "a disk is added or removed")),
    }
}

fn check_file(host: &HostModel, machine: &MachineModel, disk: &DiskModel) -> Result<(), Refusal> {
    let path = disk.path.to_lowercase();
    if !host.has_file(&disk.path) {
        return Err(refusal(FILE_NOT_FOUND, format!("{path} is not there")));
    }
    if !machine.access.contains(&path) {
        return Err(refusal(ACCESS_DENIED, format!("no access to {path}")));
    }
    // Who writes it is alone with it, whichever machine he is.
    let mut others = host
        .machines
        .values()
        .flat_map(|other| other.disks.values());
    let is_same = |other: &&DiskModel| other.path.eq_ignore_ascii_case(&disk.path);
    match others.find(|other| is_same(other) && !(other.read_only && disk.read_only)) {
        Some(_) => Err(refusal(SHARING_VIOLATION, format!("{path} is in use"))),
        None => Ok(()),
    }
}

fn plan9(
    host: &HostModel,
    machine: &mut MachineModel,
    verb: &str,
    settings: &Value,
) -> Result<(), Refusal> {
    if machine.guest != Guest::Linux {
        return Err(refusal(NOT_SUPPORTED, "Plan 9 is for guests of Linux"));
    }
    let name = match text(settings, "AccessName") {
        "" => text(settings, "Name"),
        name => name,
    };
    let port = settings["Port"].as_u64().unwrap_or_default();
    if name.is_empty() || port == 0 {
        return Err(refusal(
            INVALID_PARAMETER,
            "a share without a name or a port",
        ));
    }
    let key = format!("{port}/{name}");
    if verb == "Remove" {
        return match machine.plan9.remove(&key) {
            Some(_) => Ok(()),
            None => Err(refusal(NOT_FOUND, format!("no share {key}"))),
        };
    }
    let flags = settings["Flags"].as_i64().unwrap_or_default();
    let has_files = settings["AllowedFiles"]
        .as_array()
        .is_some_and(|files| !files.is_empty());
    if flags & !PLAN9_FLAGS != 0 || (flags & RESTRICT_FILE_ACCESS != 0) != has_files {
        return Err(refusal(
            INVALID_PARAMETER,
            format!("flags {flags:#x} make no sense"),
        ));
    }
    let path = text(settings, "Path");
    if !host.has_file(path) {
        return Err(refusal(FILE_NOT_FOUND, format!("{path} is not there")));
    }
    if machine.plan9.contains_key(&key) {
        return Err(refusal(ALREADY_EXISTS, format!("a share {key} is there")));
    }
    machine.plan9.insert(key, path.to_owned());
    Ok(())
}

fn smb(
    host: &HostModel,
    machine: &mut MachineModel,
    verb: &str,
    settings: &Value,
) -> Result<(), Refusal> {
    if machine.guest != Guest::Windows {
        return Err(refusal(NOT_SUPPORTED, "VSMB is for guests of Windows"));
    }
    let name = text(settings, "Name").to_lowercase();
    if name.is_empty() {
        return Err(refusal(INVALID_PARAMETER, "a share without a name"));
    }
    if verb == "Remove" {
        return match machine.smb.remove(&name) {
            Some(_) => Ok(()),
            None => Err(refusal(NOT_FOUND, format!("no share {name}"))),
        };
    }
    let restricts = settings["Options"]["RestrictFileAccess"]
        .as_bool()
        .unwrap_or_default();
    let has_files = settings["AllowedFiles"]
        .as_array()
        .is_some_and(|files| !files.is_empty());
    let path = text(settings, "Path");
    match verb {
        _ if restricts != has_files => Err(refusal(
            INVALID_PARAMETER,
            "files that are allowed, and no restriction to them",
        )),
        "Update" if !machine.smb.contains_key(&name) || !restricts => Err(refusal(
            INVALID_PARAMETER,
            "only the files of a restricted share are updated",
        )),
        "Update" => Ok(()),
        _ if !host.has_file(path) => Err(refusal(FILE_NOT_FOUND, format!("{path} is not there"))),
        _ if machine.smb.contains_key(&name) => {
            Err(refusal(ALREADY_EXISTS, format!("a share {name} is there")))
        }
        _ => {
            machine.smb.insert(name, path.to_owned());
            Ok(())
        }
    }
}
