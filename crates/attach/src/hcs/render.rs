//! A plan as documents of the service: parts for a machine that is made, requests for one that runs.
//!
//! A container in a utility machine sees a mount in two hops: it is mounted in the machine, at a
//! staging path of hcsshim's kind, and that path is mapped into the container.

use serde::Serialize;
use serde_json::{Value, json};

use crate::guest::{GuestSystem, Hypervisor, SchemaVersion};
use crate::plan::{Action, Plan, Share, ShareTransport};
use crate::slots::Slot;

use super::schema::{
    Attachment, CONTROLLER_IDS, Devices, GuestRequest, MappedDirectory, MappedVirtualDisk,
    ModifySettingRequest, PLAN9_PORT, Plan9, Plan9Share, VMSMB_PREFIX, VirtualMachinePart,
    VirtualSmb, VirtualSmbOptions, VirtualSmbShare, plan9_flag,
};

/// Since when an attachment says how it is cached.
const CACHING_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 1 };
/// Since when compressed volumes of the host are a field.
const COMPRESSED_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 3 };
/// Since when sparse and encrypted files are.
const SPARSE_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 6 };

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
        let attachment = attachment(version, path, read_only);
        let resource_path = format!(
            "VirtualMachine/Devices/Scsi/{}/Attachments/{}",
            controller_id(slot),
            slot.lun
        );
        self.add.push(ModifySettingRequest {
            resource_path: resource_path.clone(),
            request_type: Some("Add"),
            settings: Some(json!(attachment)),
            guest_request: None,
        });
        self.remove.push(ModifySettingRequest {
            resource_path,
            request_type: Some("Remove"),
            settings: None,
            guest_request: None,
        });
        let controllers = &mut self.devices().scsi;
        let controller = controllers
            .entry(controller_id(slot).to_owned())
            .or_default();
        controller
            .attachments
            .insert(slot.lun.to_string(), attachment);
    }

    fn add_share(&mut self, version: SchemaVersion, share: &Share) {
        let allowed_files: Vec<String> = share
            .only_file
            .iter()
            .map(|_| share.windows_source())
            .collect();
        let (resource_path, settings, removal) = if share.transport == ShareTransport::Plan9 {
            let own = plan9_share(version, share, allowed_files);
            let mut removal = json!({"Name": own.name, "Port": own.port});
            if let Some(name) = &own.access_name {
                removal["AccessName"] = json!(name);
            }
            let settings = json!(own);
            let shares = &mut self
                .devices()
                .plan9
                .get_or_insert_with(Plan9::default)
                .shares;
            shares.push(own);
            ("VirtualMachine/Devices/Plan9/Shares", settings, removal)
        } else {
            let own = virtual_smb_share(version, share, allowed_files);
            let (removal, settings) = (json!({"Name": own.name}), json!(own));
            let smb = &mut self.devices().virtual_smb;
            smb.get_or_insert_with(VirtualSmb::default).shares.push(own);
            (
                "VirtualMachine/Devices/VirtualSmb/Shares",
                settings,
                removal,
            )
        };
        for (list, request_type, settings) in [
            (&mut self.add, "Add", settings),
            (&mut self.remove, "Remove", removal),
        ] {
            list.push(ModifySettingRequest {
                resource_path: resource_path.to_owned(),
                request_type: Some(request_type),
                settings: Some(settings),
                guest_request: None,
            });
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

fn controller_id(slot: Slot) -> &'static str {
    // Planned slots lie on the four controllers there are.
    CONTROLLER_IDS
        .get(usize::from(slot.controller))
        .copied()
        .unwrap_or_default()
}

/// An attachment with the fields that its version has: files of ours are never sparse, compressed or
/// encrypted by our doing, but a host may have made them so.
fn attachment(version: SchemaVersion, path: &str, read_only: bool) -> Attachment {
    Attachment {
        kind: "VirtualDisk",
        path: path.to_owned(),
        read_only,
        // Shared parents are cached, what is written never is.
        caching_mode: (version >= CACHING_SINCE).then_some("ReadOnlyCached"),
        support_compressed_volumes: (version >= COMPRESSED_SINCE).then_some(true),
        always_allow_sparse_files: (version >= SPARSE_SINCE).then_some(true),
        support_encrypted_files: (version >= SPARSE_SINCE).then_some(true),
    }
}

fn plan9_share(version: SchemaVersion, share: &Share, allowed_files: Vec<String>) -> Plan9Share {
    let mut flags = plan9_flag::LINUX_METADATA;
    if share.read_only {
        flags |= plan9_flag::READ_ONLY;
    }
    if !allowed_files.is_empty() {
        flags |= plan9_flag::RESTRICT_FILE_ACCESS;
    }
    Plan9Share {
        name: share.name.clone(),
        access_name: (version >= SchemaVersion::V2_1).then(|| share.name.clone()),
        path: share.path.to_string(),
        port: PLAN9_PORT,
        flags,
        allowed_files,
    }
}

fn virtual_smb_share(
    version: SchemaVersion,
    share: &Share,
    allowed_files: Vec<String>,
) -> VirtualSmbShare {
    let is_one_file = !allowed_files.is_empty();
    VirtualSmbShare {
        name: share.name.clone(),
        path: share.path.to_string(),
        allowed_files,
        options: VirtualSmbOptions {
            read_only: share.read_only,
            share_read: share.read_only,
            cache_io: share.read_only,
            pseudo_oplocks: share.read_only,
            // What can be written is not mapped: a file that is mapped cannot be removed.
            no_directmap: !share.read_only && version >= SchemaVersion::V2_1,
            restrict_file_access: is_one_file,
            single_file_mapping: is_one_file,
        },
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
