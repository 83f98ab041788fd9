//! What of the documents we write: the structures of storage, with the service's own names.
//!
//! Field order is that of the reference; what is not set is left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The identifiers of the four controllers, as hcsshim derives them: a name that is no GUID would be
/// hashed, and a guest of Linux finds controllers by this identifier alone.
pub const CONTROLLER_IDS: [&str; 4] = [
    "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
    "0110f83b-de10-5172-a266-78bca56bf50a",
    "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
    "305891a9-b251-5dfe-91a2-c25d9212275b",
];

/// The port of Plan 9 shares that guests of hcsshim connect to.
pub const PLAN9_PORT: u32 = 564;

/// Where guests of Windows find shares of the hypervisor; the name of the share follows.
pub const VMSMB_PREFIX: &str = r"\\?\VMSMB\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\";

/// Bits of [`Plan9Share::flags`], which no published schema tells.
pub mod plan9_flag {
    /// Nothing can be changed.
    pub const READ_ONLY: i32 = 0x1;
    /// Owners and modes of Linux are kept in extended attributes.
    pub const LINUX_METADATA: i32 = 0x4;
    /// Only the files of `AllowedFiles` can be seen.
    pub const RESTRICT_FILE_ACCESS: i32 = 0x80;
}

/// A document or a part of one about a virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualMachinePart {
    /// The devices.
    pub devices: Devices,
}

/// `VirtualMachine.Devices`, of storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Devices {
    /// Controllers by their identifier.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scsi: BTreeMap<String, Scsi>,
    /// Shares for guests of Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan9: Option<Plan9>,
    /// Shares for guests of Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_smb: Option<VirtualSmb>,
}

/// A controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scsi {
    /// Disks by their logical unit, as text.
    pub attachments: BTreeMap<String, Attachment>,
}

/// A disk on a controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attachment {
    /// `VirtualDisk`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The image.
    pub path: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// `ReadOnlyCached` where read-only files are worth caching. Since 2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caching_mode: Option<&'static str>,
    /// Whether the file may be compressed by the host. Since 2.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_compressed_volumes: Option<bool>,
    /// Whether the file may be sparse. Since 2.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_allow_sparse_files: Option<bool>,
    /// Whether the file may be encrypted by the host. Since 2.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_encrypted_files: Option<bool>,
}

/// `Devices.Plan9`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan9 {
    /// The shares.
    pub shares: Vec<Plan9Share>,
}

/// A share for guests of Linux. It has no field for read-only: that is a flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan9Share {
    /// Its name.
    pub name: String,
    /// What the guest asks for. Since 2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_name: Option<String>,
    /// The directory.
    pub path: String,
    /// Where the guest connects.
    pub port: u32,
    /// See [`plan9_flag`].
    pub flags: i32,
    /// The files that can be seen, with their whole path. Since 2.2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_files: Vec<String>,
}

/// `Devices.VirtualSmb`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualSmb {
    /// The shares.
    pub shares: Vec<VirtualSmbShare>,
}

/// A share for guests of Windows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualSmbShare {
    /// Its name.
    pub name: String,
    /// The directory.
    pub path: String,
    /// The files that can be seen, with their whole path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_files: Vec<String>,
    /// How it behaves.
    #[serde(skip_serializing_if = "VirtualSmbOptions::is_empty")]
    pub options: VirtualSmbOptions,
}

/// How a share for guests of Windows behaves; what is not set is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualSmbOptions {
    /// Nothing can be changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Others may read the files meanwhile.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub share_read: bool,
    /// The host caches.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cache_io: bool,
    /// Files are not mapped into the machine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_directmap: bool,
    /// Only `AllowedFiles` can be seen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restrict_file_access: bool,
    /// Locks for caching are granted without asking the host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pseudo_oplocks: bool,
    /// The directory cannot be listed, and nothing renamed or deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub single_file_mapping: bool,
}

impl VirtualSmbOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `Container.MappedDirectories`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MappedDirectory {
    /// Where it is in the machine that hosts the container.
    pub host_path: String,
    /// Where it appears in the container.
    pub container_path: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// `MappedVirtualDisks` of a document of the first schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MappedVirtualDisk {
    /// The image.
    pub host_path: String,
    /// Where it appears in the container.
    pub container_path: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// A change of a machine that runs: `HcsModifyComputeSystem`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySettingRequest {
    /// What is changed; nothing where the guest alone is asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_path: String,
    /// `Add`, `Remove` or `Update`; nothing where the guest alone is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_type: Option<&'static str>,
    /// Depends on the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// What the guest is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_request: Option<GuestRequest>,
}

/// What the agent of hcsshim in the guest is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GuestRequest {
    /// `MappedVirtualDisk`, `MappedDirectory` or `SCSIDevice`.
    pub resource_type: &'static str,
    /// `Add` or `Remove`.
    pub request_type: &'static str,
    /// Depends on the resource and the guest.
    pub settings: Value,
}
