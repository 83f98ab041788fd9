//! cvol assembled: one object with an operation for each thing a front end can ask for.
//!
//! ```text
//!   cli   (daemon, capi)          front ends import this crate alone
//!     |
//!   Engine                        wiring.rs: what is put together
//!     |-- volumes.rs              create, list, inspect, remove, prune
//!     |-- change.rs               cp into, rm, mkdir, mv, attrib, acl, label of a disk at rest
//!     |-- place.rs, copy_out.rs   ls, cat, tree, cp: looking into a disk at rest
//!     |-- access.rs               acl: who may do what in a disk at rest; files of rules
//!     |-- export.rs               export: such a disk as a tar archive
//!     |-- image.rs, convert.rs    info, check, convert: image files and the images of volumes
//!     |-- make_image.rs           an image with a file system that no store knows
//!     |-- repair.rs, salvage.rs   check --repair, salvage: damaged images
//!     |-- map.rs                  map: which image of a chain holds what
//!     |-- doctor.rs               doctor: the whole store, rows, files, images
//!     |-- fsck.rs                 fsck: the file systems in them
//!     |-- diff.rs                 diff: where two disks differ
//!     |-- mounts.rs               mounts in words, planned and told to other tools
//!     |-- host_paths.rs           which paths of the host may be mounted
//!     |-- passwords.rs            secret: passwords of volumes of SMB servers
//!     |-- smb/                    discover: servers that let somebody in, and their shares
//!     |-- serve.rs                serve: a disk for other programs, over NBD
//!     |-- machine.rs              machines that are known: their folders, ledgers, locks
//!     |-- session.rs              attach, detach, ps: mounts in machines that run
//!     |-- exports.rs              disks of a machine, served by processes that outlive a command
//!     |-- vm.rs                   vm run, exec, stop: machines of QEMU that cvol starts
//!     |-- hcs.rs                  hcs ls, hcs show: the systems of the Host Compute Service
//!     |-- host_mounts.rs          mount, umount, mounts: volumes on this host itself, by Windows
//!     |-- host_work.rs            such volumes resized and compacted by Windows
//!     |-- vm_access.rs            hcs grant, hcs revoke: lists of files that machines open
//!     |-- layers.rs               snapshot, clone: volumes that share what they hold
//!     |-- compact.rs                compact: what nobody uses gives its space back
//!     |-- resize.rs                 resize: an image with the partition and file system in it
//!     |-- child.rs, parents.rs    differencing images, and which files may be their parents
//!     |-- merge.rs                merge, rebase, flatten: their chains made shorter
//!     |
//!   volume    nbd    vdisk    blockio
//! ```
//!
//! Errors carry a [`ErrorKind`], from which front ends map exit codes and status codes, and a
//! [`Subject`], from which they choose their advice. Plain types of the crates below are passed on
//! here where they are fit for front ends as they are.

#![forbid(unsafe_code)]

mod access;
mod agent_channel;
mod change;
mod child;
mod compact;
mod config;
mod convert;
mod copy_out;
mod diff;
mod disk_parents;
mod doctor;
mod error;
mod export;
mod exports;
mod fsck;
mod hcs;
mod host_mounts;
mod host_paths;
mod host_side;
mod host_work;
mod image;
mod layers;
mod machine;
mod make_image;
mod map;
mod merge;
mod mount_words;
mod mounts;
mod parents;
mod passwords;
mod place;
mod progress;
mod repair;
mod resize;
mod salvage;
mod seed;
mod serve;
mod session;
mod smb;
mod target;
mod vm;
mod vm_access;
mod volumes;
mod windows_paths;
mod wiring;

pub use access::Access;
pub use attach::hcs::{
    StorageStatistics as HcsStorageStatistics, SystemState as HcsSystemState,
    SystemSummary as HcsSystemSummary,
};
pub use attach::{GuestStep, GuestWork, ScriptCommand};
pub use blockio::{ByteCount, ByteOffset, ByteRange, SectorSize};
pub use change::{CopiedIn, CopyIn};
pub use child::CreateChild;
pub use compact::{CompactImage, CompactedImage, CompactedPart};
pub use config::Config;
pub use convert::{ConvertImage, ConvertedImage};
pub use copy_out::{CopiedOut, CopyOut};
pub use diff::{ChangedEntry, Differences, EntryChange};
pub use doctor::{Diagnosis, ExamineStore, Symptom};
pub use error::{Error, ErrorKind, Result, Subject};
pub use export::{ExportTarget, ExportVolume, ExportedVolume};
pub use fsck::{CheckedVolume, CheckedVolumes};
pub use hcs::HcsSystemDetails;
pub use host_mounts::{HostMount, HostMountFailure, MountVolume};
pub use image::{ChainLink, CheckedImage, ImageDescription, ImageReference};
pub use layers::CloneVolume;
pub use machine::{
    GuestChannel, GuestChannelError, KnownMachine, MachineEndpoints, MachineFailure,
};
pub use map::{ImageMap, MapLayer};
pub use merge::{MergeImage, MergedImage, RebaseImage};
pub use mount_words::WordError;
pub use mounts::{
    DocumentKind, Guest, Hypervisor, MachinePlatform, MountFailure, PlanDocument, Problem,
    QemuMachine, RenderForm, SchemaVersion, StepDocument,
};
pub use passwords::password_of_stdin;
pub use place::{Entry, EntryDetails, EntryKind, Place, TreeStep};
pub use progress::{Progress, ProgressFn};
pub use repair::RepairImage;
pub use resize::{ResizeImage, ResizedImage, ResizedPartition};
pub use salvage::{SalvageImage, SalvagedImage, known_sizes};
pub use secrecy::SecretString;
pub use secrecy::zeroize::Zeroizing;
pub use serve::{ServeEndpoint, ServeFailure, ServeImage, ServeStop, ServedImage, ServerEvent};
pub use session::{
    AttachMounts, AttachedMount, Attachment, DetachOutcome, DetachWhat, MountProgress, StepNews,
    StepStage, Watch,
};
pub use smb::{ListShares, NEARBY_LIMIT, NearbyServer, ServerShare, ShareKind, SmbFailure};
pub use target::write_picture;
pub use vdisk::{
    CheckReport, Finding, Fix, Holder, ImageFormat, ImageInfo, ImageKind, LostRange, MapRun,
    ParentInfo, ParentPath, Provisioning, RepairPlan, SalvageOptions, SalvageReport, Severity,
    remedy,
};
pub use vm::{Accelerator, CommandEnd, OutputStream, Poll, StartVm, StartedVm, VmFailure, VmState};
pub use vm_access::MachineAccess;
pub use volume::export::ExportReport;
pub use volume::secret::{
    KeySource, RotateOutcome, SecretError, SecretState, password_of_file, password_of_keyring,
    password_of_reader, same as same_password, unreadable as unreadable_password,
};
pub use volume::tar_tree::Compression;
pub use volume::{
    Attributes, Backing, BackingDetails, BuildReport, CasePolicy, Claim, ClaimMode, CloneOutcome,
    CreateOutcome, DiskSpec, DosNames, FileSystemKind, FindingSeverity, HostSource, ImageDetails,
    ImageUse, Kinship, LayerDetails, LayerState, MergeOutcome, NamePolicy, NewSize, Notice,
    PartitionLayout, PruneOutcome, RebuildReport, Removed, RepairedImage, SnapshotRecord,
    SnapshotState, StoreCure, TarInput, Timestamp, VolumeDetails, VolumeFinding, VolumeKind,
    VolumeRecord, VolumeReport, VolumeSpec, VolumeState, format_size, parse_size,
};
pub use volumes::{CreateVolume, SourceFormat, VolumeSource};
pub use wiring::Engine;
