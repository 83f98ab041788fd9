//! A plan as documents of the service: parts for a machine that is made, requests for one that runs.
//!
//! A container in a utility machine sees a mount in two hops: it is mounted in the machine, at a
//! staging path of hcsshim's kind, and that path is mapped into the container.

use serde::Serialize;
use serde_json::{Value, json};

use crate::guest::{GuestSystem, Hypervisor, SchemaVersion};
use crate::plan::{Action, Plan, Share, ShareTransport};
use crate::slots::Slot;

use super::requests::{
    attachment, controller_id, disk_change, plan9_share, share_change, virtual_smb_share,
};
use super::schema::{
    Devices, GuestRequest, MappedDirectory, MappedVirtualDisk, ModifySettingRequest, PLAN9_PORT,
    Plan9, VMSMB_PREFIX, VirtualMachinePart, VirtualSmb,
};

/// What a plan is in the words of the service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HcsDocuments {
    /// The version that all of it is for.
    pub schema_version: Value,
    /// For the document that a machine is made from.
    pub virtual_machine: VirtualMachinePart,
    /// For the document that a container in it is made from.
    pub container: ContainerPart,
    /// Files that the machine has to be granted access to before, and whether it writes them.
    pub access: Vec<AccessGrant>,
    /// The same as requests to a machine that runs, in their order.
    pub add: Vec<ModifySettingRequest>,
    /// What takes all of it away again, in order.
    pub remove: Vec<ModifySettingRequest>,
}

/// `Container`, of storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerPart {
    /// What appears where.
    pub mapped_directories: Vec<MappedDirectory>,
}

/// A call of `HcsGrantVmAccess` that is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessGrant {
    /// The file.
    pub path: String,
    /// Whether the machine writes it.
    pub write: bool,
}

/// Why a plan has no form for a use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be told in {form}")]
pub struct RenderError {
    /// What the plan has.
    pub what: String,
    /// In which form.
    pub form: &'static str,
}

fn no_form(action: &Action, form: &'static str) -> RenderError {
    RenderError {
        what: format!("to {action}"),
        form,
    }
}

/// The documents of the second schema for a plan.
///
/// # Errors
/// Where the plan is for another hypervisor, or mounts what the agent of hcsshim cannot: SMB shares
/// of other machines, memory.
pub fn render(plan: &Plan) -> Result<HcsDocuments, RenderError> {
    const FORM: &str = "documents of HCS";
    let Hypervisor::Hcs(version) = plan.platform.hypervisor else {
        return Err(RenderError {
            what: format!("a plan for {}", plan.platform.hypervisor),
            form: FORM,
        });
    };
    let mut documents = HcsDocuments {
        schema_version: json!({"Major": version.major, "Minor": version.minor}),
        virtual_machine: VirtualMachinePart::default(),
        container: ContainerPart::default(),
        access: Vec::new(),
        add: Vec::new(),
        remove: Vec::new(),
    };
    let guest = plan.platform.guest;
    for step in &plan.steps {
        match &step.action {
            Action::GrantAccess { path, write } => documents.access.push(AccessGrant {
                path: path.to_string(),
                write: *write,
            }),
            Action::AddDisk {
                slot,
                path,
                read_only,
                ..
            } => documents.add_disk(version, *slot, path.as_str(), *read_only),
            Action::AddShare(share) => documents.add_share(version, share),
            Action::MountDisk { .. } | Action::MountShare { .. } => {
                documents.add_mount(guest, &step.action);
            }
            // Directories and images of the host are made by whoever carries the plan out.
            Action::MakeDirectory(_) | Action::MakeImage { .. } => {}
            action => return Err(no_form(action, FORM)),
        }
    }
    // Undone backwards: the guest lets go before the host takes away.
    documents.remove.reverse();
    Ok(documents)
}

/// `MappedDirectories` and `MappedVirtualDisks` for a document of the first schema, which knows only
/// what appears where.
///
/// # Errors
/// As for [`render`].
pub fn render_first_schema(plan: &Plan) -> Result<Value, RenderError> {
    const FORM: &str = "a document of HCS schema 1";
    let mut directories = Vec::new();
    let mut disks = Vec::new();
    let mut images = std::collections::BTreeMap::new();
    for step in &plan.steps {
        match &step.action {
            Action::AddDisk { slot, path, .. } => {
                images.insert(*slot, path.to_string());
            }
            Action::MountDisk {
                slot,
                target,
                read_only,
                ..
            } => disks.push(MappedVirtualDisk {
                host_path: images.get(slot).cloned().unwrap_or_default(),
                container_path: target.to_string(),
                read_only: *read_only,
            }),
            Action::MountShare { share, target } => {
                directories.push(MappedDirectory {
                    host_path: share.windows_source(),
                    container_path: target.to_string(),
                    read_only: share.read_only,
                });
            }
            Action::MakeDirectory(_)
            | Action::MakeImage { .. }
            | Action::GrantAccess { .. }
            | Action::AddShare(_) => {}
            action => return Err(no_form(action, FORM)),
        }
    }
    Ok(json!({"MappedDirectories": directories, "MappedVirtualDisks": disks}))
}

impl HcsDocuments {
    fn devices(&mut self) -> &mut Devices {
        &mut self.virtual_machine.devices
    }

    fn add_disk(&mut self, version: SchemaVersion, slot: Slot, path: &str, read_only: bool) {
        let change = disk_change(version, slot, path, read_only);
        self.add.push(change.add);
        self.remove.push(change.remove);
        let controllers = &mut self.devices().scsi;
        let controller = controllers
            .entry(controller_id(slot).to_owned())
            .or_default();
        controller
            .attachments
            .insert(slot.lun.to_string(), attachment(version, path, read_only));
    }

    fn add_share(&mut self, version: SchemaVersion, share: &Share) {
        let change = share_change(version, share);
        self.add.push(change.add);
        self.remove.push(change.remove);
        if share.transport == ShareTransport::Plan9 {
            let plan9 = self.devices().plan9.get_or_insert_with(Plan9::default);
            plan9.shares.push(plan9_share(version, share));
        } else {
            let smb = &mut self.devices().virtual_smb;
            let smb = smb.get_or_insert_with(VirtualSmb::default);
            smb.shares.push(virtual_smb_share(version, share));
        }
    }

    /// Mounts in the machine, at a staging path, and maps that into the container.
    fn add_mount(&mut self, guest: GuestSystem, action: &Action) {
        match action {
            Action::MountDisk {
                slot,
                target,
                read_only,
                file_system,
                format,
                ..
            } => {
                let staging = staging_of_disk(guest, *slot);
                self.map(&staging, &target.to_string(), *read_only);
                let mount = match guest {
                    GuestSystem::Windows => windows_disk(&staging, *slot),
                    GuestSystem::Linux => {
                        let mut mount = linux_disk(&staging, *slot, *read_only);
                        if let Some(file_system) = file_system {
                            mount["Filesystem"] = json!(file_system.name());
                        }
                        mount["EnsureFilesystem"] = json!(format);
                        mount
                    }
                };
                self.ask_guest(true, "MappedVirtualDisk", mount);
                if guest == GuestSystem::Linux {
                    let device = json!({"Controller": slot.controller, "Lun": slot.lun});
                    self.ask_guest(false, "SCSIDevice", device);
                }
                let unmount = match guest {
                    GuestSystem::Windows => windows_disk(&staging, *slot),
                    GuestSystem::Linux => linux_disk(&staging, *slot, *read_only),
                };
                self.ask_guest(false, "MappedVirtualDisk", unmount);
            }
            Action::MountShare { share, target } => {
                let staging = staging_of_share(guest, share);
                self.map(&staging, &target.to_string(), share.read_only);
                if guest == GuestSystem::Linux {
                    let mount = json!({
                        "MountPath": staging_folder(share), "Port": PLAN9_PORT,
                        "ShareName": share.name, "ReadOnly": share.read_only,
                    });
                    self.ask_guest(true, "MappedDirectory", mount.clone());
                    self.ask_guest(false, "MappedDirectory", mount);
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, host_path: &str, container_path: &str, read_only: bool) {
        self.container.mapped_directories.push(MappedDirectory {
            host_path: host_path.to_owned(),
            container_path: container_path.to_owned(),
            read_only,
        });
    }

    fn ask_guest(&mut self, add: bool, resource_type: &'static str, settings: Value) {
        let (list, request_type) = if add {
            (&mut self.add, "Add")
        } else {
            (&mut self.remove, "Remove")
        };
        list.push(ModifySettingRequest {
            resource_path: String::new(),
            request_type: None,
            settings: None,
            guest_request: Some(GuestRequest {
                resource_type,
                request_type,
                settings,
            }),
        });
    }
}

fn staging_of_disk(guest: GuestSystem, slot: Slot) -> String {
    let Slot { controller, lun } = slot;
    match guest {
        GuestSystem::Linux => format!("/run/mounts/scsi/{controller}_{lun}_0"),
        GuestSystem::Windows => format!("C:\\mounts\\scsi\\{controller}_{lun}_0"),
    }
}

fn staging_folder(share: &Share) -> String {
    format!("/run/mounts/plan9/{}", share.name)
}

fn staging_of_share(guest: GuestSystem, share: &Share) -> String {
    let (folder, separator) = match guest {
        GuestSystem::Linux => (staging_folder(share), '/'),
        GuestSystem::Windows => (format!("{VMSMB_PREFIX}{}", share.name), '\\'),
    };
    match &share.only_file {
        Some(file) => format!("{folder}{separator}{file}"),
        None => folder,
    }
}

/// What hcsshim's agent for Windows takes; unit 0 is told by leaving it out.
fn windows_disk(staging: &str, slot: Slot) -> Value {
    let mut settings = json!({"ContainerPath": staging});
    if slot.lun != 0 {
        settings["Lun"] = json!(slot.lun);
    }
    settings
}

/// What hcsshim's agent for Linux takes.
fn linux_disk(staging: &str, slot: Slot, read_only: bool) -> Value {
    json!({
        "MountPath": staging, "Controller": slot.controller, "Lun": slot.lun, "Partition": 1,
        "ReadOnly": read_only,
    })
}
