//! Which fields the documents have, of what kind, and since which version: storage in full; of what
//! is none of our business, that it is there.
//!
//! Sources: the schema files of the SDKs for 1809, 1903, 2004, Server 2022 and Windows 11; fields marked
//! `undocumented` stand in none of them and are sent by hcsshim and WSL.

use crate::guest::SchemaVersion;

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from 0 that fits in so many bits.
    Unsigned(u32),
    /// A whole number that fits in 32 bits with its sign.
    Signed,
    /// A text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static Structure),
    /// A list of these.
    List(&'static Kind),
    /// An object whose keys are data.
    Map(Key, &'static Kind),
    /// Not looked into.
    Anything,
}

/// What a key of a map has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Any text.
    Name,
    /// A number below this.
    Below(u32),
}

/// An object.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    /// Fields of which at most one may be there.
    pub(super) exclusive: &'static [&'static str],
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) since: SchemaVersion,
    pub(super) required: bool,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    since(0, name, kind)
}

const fn since(minor: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        since: SchemaVersion { major: 2, minor },
        required: false,
    }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        since: SchemaVersion::V2_0,
        required: true,
    }
}

const fn structure(name: &'static str, fields: &'static [Field]) -> Structure {
    Structure {
        name,
        fields,
        exclusive: &[],
    }
}

use Kind::{Anything, Bool, List, Map, Object, Signed, Text, Unsigned, Word};

const TEXTS: Kind = List(&Text);

/// The document that a system is made from.
pub(super) static COMPUTE_SYSTEM: Structure = Structure {
    name: "ComputeSystem",
    fields: &[
        required("Owner", Text),
        required("SchemaVersion", Object(&VERSION)),
        field("HostingSystemId", Text),
        field("HostedSystem", Anything),
        field("Container", Object(&CONTAINER)),
        field("VirtualMachine", Object(&VIRTUAL_MACHINE)),
        field("ShouldTerminateOnLastHandleClosed", Bool),
    ],
    exclusive: &["VirtualMachine", "Container", "HostedSystem"],
};

static VERSION: Structure = structure(
    "Version",
    &[
        required("Major", Unsigned(32)),
        required("Minor", Unsigned(32)),
    ],
);

static VIRTUAL_MACHINE: Structure = structure(
    "VirtualMachine",
    &[
        since(4, "Version", Anything),
        field("StopOnReset", Bool),
        field("Chipset", Anything),
        field("ComputeTopology", Anything),
        field("Devices", Object(&DEVICES)),
        since(1, "GuestState", Anything),
        since(1, "RestoreState", Object(&RESTORE_STATE)),
        since(1, "RegistryChanges", Anything),
        since(1, "StorageQoS", Object(&QOS)),
        since(1, "DebugOptions", Anything),
        field("GuestConnection", Anything),
        since(4, "SecuritySettings", Anything),
        since(5, "HclEnabled", Bool),
    ],
);

static RESTORE_STATE: Structure = structure(
    "RestoreState",
    &[
        field("SaveStateFilePath", Text),
        field("TemplateSystemId", Text),
    ],
);

static QOS: Structure = structure(
    "StorageQoS",
    &[
        field("IopsMaximum", Unsigned(64)),
        field("BandwidthMaximum", Unsigned(64)),
    ],
);

static DEVICES: Structure = structure(
    "Devices",
    &[
        field("ComPorts", Anything),
        field("Scsi", Map(Key::Name, &Object(&SCSI))),
        field("VirtualPMem", Object(&VIRTUAL_PMEM)),
        field("NetworkAdapters", Anything),
        field("VideoMonitor", Anything),
        field("Keyboard", Anything),
        field("Mouse", Anything),
        field("HvSocket", Anything),
        field("EnhancedModeVideo", Anything),
        field("GuestCrashReporting", Anything),
        field("VirtualSmb", Object(&VIRTUAL_SMB)),
        field("Plan9", Object(&PLAN9)),
        field("Battery", Anything),
        since(1, "FlexibleIov", Anything),
        since(1, "SharedMemory", Anything),
        since(2, "VirtualPci", Anything),
    ],
);

static SCSI: Structure = structure(
    "Scsi",
    &[
        field("Attachments", Map(Key::Below(256), &Object(&ATTACHMENT))),
        since(2, "DisableInterruptBatching", Bool),
    ],
);

/// The settings of a disk on a controller.
pub(super) static ATTACHMENT: Structure = structure(
    "Attachment",
    &[
        field(
            "Type",
            Word(&["VirtualDisk", "Iso", "PassThru", "ExtensibleVirtualDisk"]),
        ),
        field("Path", Text),
        // undocumented
        field("IgnoreFlushes", Bool),
        since(
            1,
            "CachingMode",
            Word(&["Uncached", "Cached", "ReadOnlyCached"]),
        ),
        // undocumented
        field("NoWriteHardening", Bool),
        // undocumented
        field("DisableExpansionOptimization", Bool),
        // undocumented
        field("IgnoreRelativeLocator", Bool),
        // undocumented
        field("CaptureIoAttributionContext", Bool),
        field("ReadOnly", Bool),
        since(3, "SupportCompressedVolumes", Bool),
        since(6, "SupportEncryptedFiles", Bool),
        since(6, "AlwaysAllowSparseFiles", Bool),
        // undocumented
        field("ExtensibleVirtualDiskType", Text),
    ],
);

static VIRTUAL_PMEM: Structure = structure(
    "VirtualPMemController",
    &[
        field(
            "Devices",
            Map(Key::Below(128), &Object(&VIRTUAL_PMEM_DEVICE)),
        ),
        field("MaximumCount", Unsigned(8)),
        field("MaximumSizeBytes", Unsigned(64)),
        field("Backing", Word(&["Virtual", "Physical"])),
    ],
);

/// The settings of a disk that the guest sees as memory.
pub(super) static VIRTUAL_PMEM_DEVICE: Structure = structure(
    "VirtualPMemDevice",
    &[
        field("HostPath", Text),
        field("ReadOnly", Bool),
        field("ImageFormat", Word(&["Vhdx", "Vhd1"])),
        field("SizeBytes", Unsigned(64)),
        field("Mappings", Map(Key::Name, &Object(&VIRTUAL_PMEM_MAPPING))),
    ],
);

/// The settings of one of several disks in one device.
pub(super) static VIRTUAL_PMEM_MAPPING: Structure = structure(
    "VirtualPMemMapping",
    &[
        field("HostPath", Text),
        field("ImageFormat", Word(&["Vhdx", "Vhd1"])),
    ],
);

static PLAN9: Structure = structure("Plan9", &[field("Shares", List(&Object(&PLAN9_SHARE)))]);

/// The settings of a share for guests of Linux.
pub(super) static PLAN9_SHARE: Structure = structure(
    "Plan9Share",
    &[
        field("Name", Text),
        since(1, "AccessName", Text),
        field("Path", Text),
        field("Port", Unsigned(32)),
        // undocumented
        field("Flags", Signed),
        since(2, "AllowedFiles", TEXTS),
        // undocumented
        field("ReadOnlyFilePath", Text),
        // undocumented
        field("UseShareRootIdentity", Bool),
    ],
);

static VIRTUAL_SMB: Structure = structure(
    "VirtualSmb",
    &[
        field("Shares", List(&Object(&VIRTUAL_SMB_SHARE))),
        field("DirectFileMappingInMB", Unsigned(64)),
    ],
);

/// The settings of a share for guests of Windows.
pub(super) static VIRTUAL_SMB_SHARE: Structure = structure(
    "VirtualSmbShare",
    &[
        field("Name", Text),
        field("Path", Text),
        field("AllowedFiles", TEXTS),
        field("Options", Object(&VIRTUAL_SMB_OPTIONS)),
    ],
);

static VIRTUAL_SMB_OPTIONS: Structure = structure(
    "VirtualSmbShareOptions",
    &[
        since(1, "ReadOnly", Bool),
        since(1, "ShareRead", Bool),
        since(1, "CacheIo", Bool),
        since(1, "NoOplocks", Bool),
        since(1, "TakeBackupPrivilege", Bool),
        since(1, "UseShareRootIdentity", Bool),
        since(1, "NoDirectmap", Bool),
        since(1, "NoLocks", Bool),
        since(1, "NoDirnotify", Bool),
        since(1, "VmSharedMemory", Bool),
        since(1, "RestrictFileAccess", Bool),
        since(1, "ForceLevelIIOplocks", Bool),
        since(1, "ReparseBaseLayer", Bool),
        since(1, "PseudoOplocks", Bool),
        since(1, "NonCacheIo", Bool),
        since(1, "PseudoDirnotify", Bool),
        since(1, "SingleFileMapping", Bool),
        since(3, "SupportCloudFiles", Bool),
        since(4, "FilterEncryptionAttributes", Bool),
    ],
);

static CONTAINER: Structure = structure(
    "Container",
    &[
        field("GuestOs", Anything),
        field("Storage", Object(&STORAGE)),
        field("MappedDirectories", List(&Object(&MAPPED_DIRECTORY))),
        field("MappedPipes", List(&Object(&MAPPED_PIPE))),
        field("Memory", Anything),
        field("Processor", Anything),
        field("Networking", Anything),
        field("HvSocket", Anything),
        field("ContainerCredentialGuard", Anything),
        field("RegistryChanges", Anything),
        since(2, "AssignedDevices", Anything),
        since(4, "AdditionalDeviceNamespace", Anything),
    ],
);

static STORAGE: Structure = structure(
    "Storage",
    &[
        field("Layers", List(&Object(&LAYER))),
        field("Path", Text),
        field("QoS", Object(&QOS)),
    ],
);

static LAYER: Structure = structure(
    "Layer",
    &[
        field("Id", Text),
        field("Path", Text),
        field("PathType", Word(&["AbsolutePath", "VirtualSmbShareName"])),
        field(
            "Cache",
            Word(&[
                "Unspecified",
                "Disabled",
                "Enabled",
                "Private",
                "PrivateAllowSharing",
            ]),
        ),
    ],
);

/// The settings of a directory in a container.
pub(super) static MAPPED_DIRECTORY: Structure = structure(
    "MappedDirectory",
    &[
        field("HostPath", Text),
        field(
            "HostPathType",
            Word(&["AbsolutePath", "VirtualSmbShareName"]),
        ),
        field("ContainerPath", Text),
        field("ReadOnly", Bool),
        since(3, "SupportCloudFiles", Bool),
    ],
);

/// The settings of a pipe in a container.
pub(super) static MAPPED_PIPE: Structure = structure(
    "MappedPipe",
    &[
        field("ContainerPipeName", Text),
        field("HostPath", Text),
        field(
            "HostPathType",
            Word(&["AbsolutePath", "VirtualSmbPipeName"]),
        ),
    ],
);

/// A change of a system that runs; what `Settings` has to be follows from the path.
pub(super) static MODIFY_REQUEST: Structure = structure(
    "ModifySettingRequest",
    &[
        field("ResourcePath", Text),
        field("RequestType", Word(&["Add", "Remove", "Update"])),
        field("Settings", Anything),
        field("GuestRequest", Object(&GUEST_REQUEST)),
    ],
);

static GUEST_REQUEST: Structure = structure(
    "GuestRequest",
    &[
        required("ResourceType", Text),
        required("RequestType", Word(&["Add", "Remove", "Update", "PreAdd"])),
        field("Settings", Anything),
    ],
);
