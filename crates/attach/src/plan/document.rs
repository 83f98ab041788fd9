//! A plan as it is printed: one stable form for programs, and a sentence a step for people.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Action, Plan, Share, ShareTransport};
use crate::mount::GuestFileSystem;

/// A plan, as JSON tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanDocument {
    /// What runs the machine.
    pub hypervisor: String,
    /// What runs in it.
    pub guest: String,
    /// The steps in their order.
    pub steps: Vec<StepDocument>,
}

/// A step, as JSON tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepDocument {
    /// From 1.
    pub number: usize,
    /// Which request it is for, from 1.
    pub mount: usize,
    /// `make-directory`, `add-disk`, ...
    pub action: &'static str,
    /// What the action works on; the names depend on the action.
    pub details: Map<String, Value>,
    /// The step in words.
    pub text: String,
    /// What undoes it, in words and in order.
    pub undo: Vec<String>,
    /// Whether the action may be done again after an answer that never came.
    pub may_be_repeated: bool,
}

impl Plan {
    /// The plan as it is printed.
    pub fn document(&self) -> PlanDocument {
        let steps = self
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| StepDocument {
                number: index + 1,
                mount: step.request + 1,
                action: step.action.word(),
                details: step.action.details(),
                text: step.action.to_string(),
                undo: step.undo.iter().map(ToString::to_string).collect(),
                may_be_repeated: step.may_be_repeated,
            });
        PlanDocument {
            hypervisor: self.platform.hypervisor.to_string(),
            guest: self.platform.guest.to_string(),
            steps: steps.collect(),
        }
    }
}

impl Action {
    /// What it works on; the names depend on the action.
    pub(crate) fn details(&self) -> Map<String, Value> {
        match details(self) {
            Value::Object(details) => details,
            _ => Map::new(),
        }
    }

    /// The kind of action, in a word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::MakeDirectory(_) => "make-directory",
            Self::RemoveMadeDirectory(_) => "remove-made-directory",
            Self::MakeImage { .. } => "make-image",
            Self::RemoveImage(_) => "remove-image",
            Self::GrantAccess { .. } => "grant-access",
            Self::RevokeAccess(_) => "revoke-access",
            Self::ServeDisk { .. } => "serve-disk",
            Self::StopServing { .. } => "stop-serving",
            Self::AddDisk { .. } => "add-disk",
            Self::RemoveDisk { .. } => "remove-disk",
            Self::UnplugDisk { .. } => "unplug-disk",
            Self::AddShare(_) => "add-share",
            Self::RemoveShare(_) => "remove-share",
            Self::MountDisk { .. } => "mount-disk",
            Self::MountShare { .. } => "mount-share",
            Self::MountSmb { .. } => "mount-smb",
            Self::MountMemory { .. } => "mount-memory",
            Self::Unmount(_) => "unmount",
        }
    }
}

impl ShareTransport {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan9 => "plan9",
            Self::VirtualSmb => "vsmb",
            Self::VirtioFs => "virtiofs",
        }
    }
}

fn details(action: &Action) -> Value {
    match action {
        Action::MakeDirectory(path)
        | Action::RemoveMadeDirectory(path)
        | Action::RemoveImage(path)
        | Action::RevokeAccess(path) => json!({"path": path.as_str()}),
        Action::MakeImage { path, size } => json!({"path": path.as_str(), "size": size}),
        Action::GrantAccess { path, write } => json!({"path": path.as_str(), "write": write}),
        Action::ServeDisk {
            path,
            serial,
            read_only,
        } => json!({"path": path.as_str(), "export": serial, "read_only": read_only}),
        Action::StopServing { serial } => json!({"export": serial}),
        Action::AddDisk {
            slot,
            path,
            serial,
            read_only,
        } => json!({
            "controller": slot.controller, "lun": slot.lun, "path": path.as_str(),
            "serial": serial, "read_only": read_only,
        }),
        Action::RemoveDisk { slot, serial } => {
            json!({"controller": slot.controller, "lun": slot.lun, "serial": serial})
        }
        Action::UnplugDisk { slot } => json!({"controller": slot.controller, "lun": slot.lun}),
        Action::AddShare(share) | Action::RemoveShare(share) => share_details(share),
        Action::MountDisk {
            slot,
            serial,
            target,
            file_system,
            format,
            read_only,
        } => json!({
            "controller": slot.controller, "lun": slot.lun, "serial": serial,
            "target": target.to_string(), "file_system": file_system.map(GuestFileSystem::name),
            "format": format, "read_only": read_only,
        }),
        Action::MountShare { share, target } => json!({
            "share": share.name, "transport": share.transport.name(), "file": share.only_file,
            "target": target.to_string(), "read_only": share.read_only,
        }),
        Action::MountSmb {
            source,
            target,
            read_only,
        } => json!({
            "source": source.unc(), "user": source.user, "target": target.to_string(),
            "read_only": read_only,
        }),
        Action::MountMemory { target, size } => {
            json!({"target": target.to_string(), "size": size})
        }
        Action::Unmount(target) => json!({"target": target.to_string()}),
    }
}

fn share_details(share: &Share) -> Value {
    json!({
        "share": share.name, "transport": share.transport.name(), "path": share.path.as_str(),
        "file": share.only_file, "read_only": share.read_only,
    })
}

fn how(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MakeDirectory(path) => write!(f, "make the directory {path} if it is missing"),
            Self::RemoveMadeDirectory(path) => {
                write!(f, "remove the directory {path} if it was made and is empty")
            }
            Self::MakeImage { path, size } => {
                write!(f, "make an image of {size} bytes at {path}")
            }
            Self::RemoveImage(path) => write!(f, "remove the image {path}"),
            Self::GrantAccess { path, write } => {
                let what = if *write { "read and write" } else { "read" };
                write!(f, "let the machine {what} {path}")
            }
            Self::RevokeAccess(path) => write!(f, "take the machine's access to {path} back"),
            Self::ServeDisk {
                path,
                serial,
                read_only,
            } => write!(f, "serve {path} as {serial}{}", how(*read_only)),
            Self::StopServing { serial } => write!(f, "stop serving {serial}"),
            Self::AddDisk {
                slot,
                path,
                read_only,
                ..
            } => write!(f, "attach {path} at {slot}{}", how(*read_only)),
            Self::RemoveDisk { slot, .. } => write!(f, "detach the disk at {slot}"),
            Self::UnplugDisk { slot } => {
                write!(f, "have the guest let go of the disk at {slot}")
            }
            Self::AddShare(share) => {
                let file = share.only_file.as_deref();
                let file = file.map_or_else(String::new, |file| format!(" (only {file})"));
                let (path, name, transport) = (&share.path, &share.name, share.transport.name());
                let how = how(share.read_only);
                write!(f, "share {path}{file} as {name} over {transport}{how}")
            }
            Self::RemoveShare(share) => {
                write!(f, "end the {} share {}", share.transport.name(), share.name)
            }
            Self::MountDisk {
                slot,
                target,
                format,
                read_only,
                ..
            } => {
                let format = if *format {
                    ", formatted if it is empty"
                } else {
                    ""
                };
                write!(
                    f,
                    "mount the disk at {slot} at {target}{}{format}",
                    how(*read_only)
                )
            }
            Self::MountShare { share, target } => {
                write!(
                    f,
                    "mount the share {} at {target}{}",
                    share.name,
                    how(share.read_only)
                )
            }
            Self::MountSmb {
                source,
                target,
                read_only,
            } => write!(f, "mount {} at {target}{}", source.unc(), how(*read_only)),
            Self::MountMemory { target, size } => {
                write!(f, "mount {size} bytes of memory at {target}")
            }
            Self::Unmount(target) => write!(f, "unmount {target}"),
        }
    }
}
