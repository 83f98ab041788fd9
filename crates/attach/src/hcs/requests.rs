//! Requests that change a machine that runs: what brings a disk or a share, and what takes it away.

use serde_json::{Value, json};

use crate::guest::SchemaVersion;
use crate::plan::{Share, ShareTransport};
use crate::slots::Slot;

use super::schema::{
    Attachment, CONTROLLER_IDS, ModifySettingRequest, PLAN9_PORT, Plan9Share, VirtualSmbOptions,
    VirtualSmbShare, plan9_flag,
};

/// Since when an attachment says how it is cached.
const CACHING_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 1 };
/// Since when compressed volumes of the host are a field.
const COMPRESSED_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 3 };
/// Since when sparse and encrypted files are.
const SPARSE_SINCE: SchemaVersion = SchemaVersion { major: 2, minor: 6 };

/// What brings something, and what takes it away.
pub(super) struct Change {
    pub(super) add: ModifySettingRequest,
    pub(super) remove: ModifySettingRequest,
}

fn request(
    path: &str,
    request_type: &'static str,
    settings: Option<Value>,
) -> ModifySettingRequest {
    ModifySettingRequest {
        resource_path: path.to_owned(),
        request_type: Some(request_type),
        settings,
        guest_request: None,
    }
}

pub(super) fn disk_change(
    version: SchemaVersion,
    slot: Slot,
    path: &str,
    read_only: bool,
) -> Change {
    let attachment = attachment(version, path, read_only);
    Change {
        add: request(&disk_resource(slot), "Add", Some(json!(attachment))),
        remove: disk_removal(slot),
    }
}

/// Taking a disk away asks for its place alone.
pub(super) fn disk_removal(slot: Slot) -> ModifySettingRequest {
    request(&disk_resource(slot), "Remove", None)
}

fn disk_resource(slot: Slot) -> String {
    let (controller, lun) = (controller_id(slot), slot.lun);
    format!("VirtualMachine/Devices/Scsi/{controller}/Attachments/{lun}")
}

pub(super) fn share_change(version: SchemaVersion, share: &Share) -> Change {
    let (resource, settings, removal) = if share.transport == ShareTransport::Plan9 {
        let own = plan9_share(version, share);
        let mut removal = json!({"Name": own.name, "Port": own.port});
        if let Some(name) = &own.access_name {
            removal["AccessName"] = json!(name);
        }
        ("VirtualMachine/Devices/Plan9/Shares", json!(own), removal)
    } else {
        let own = virtual_smb_share(version, share);
        let removal = json!({"Name": own.name});
        (
            "VirtualMachine/Devices/VirtualSmb/Shares",
            json!(own),
            removal,
        )
    };
    Change {
        add: request(resource, "Add", Some(settings)),
        remove: request(resource, "Remove", Some(removal)),
    }
}

pub(super) fn controller_id(slot: Slot) -> &'static str {
    // Planned slots lie on the four controllers there are.
    CONTROLLER_IDS
        .get(usize::from(slot.controller))
        .copied()
        .unwrap_or_default()
}

/// An attachment with the fields that its version has: files of ours are never sparse, compressed or
/// encrypted by our doing, but a host may have made them so.
pub(super) fn attachment(version: SchemaVersion, path: &str, read_only: bool) -> Attachment {
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

/// The one file that can be seen, with its whole path, if it is not all of the directory.
fn allowed_files(share: &Share) -> Vec<String> {
    let file = share.only_file.iter();
    file.map(|_| share.windows_source()).collect()
}

pub(super) fn plan9_share(version: SchemaVersion, share: &Share) -> Plan9Share {
    let allowed_files = allowed_files(share);
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

pub(super) fn virtual_smb_share(version: SchemaVersion, share: &Share) -> VirtualSmbShare {
    let allowed_files = allowed_files(share);
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
