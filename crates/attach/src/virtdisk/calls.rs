//! What is called of virtdisk.dll, of the system's volumes, and of computestorage.dll, call by call and with
//! their rules, so that what is built on it can be tried on any system.

use crate::hcs::HResult;
use crate::sides::Fault;

/// An open image. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskHandle(pub usize);

/// Work on an image that was begun. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkHandle(pub usize);

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenDisk {
    /// To ask what it says of itself; also while it is attached.
    Information,
    /// To attach it for reading only.
    ReadOnly,
    /// To attach it, to detach it, or to work on it.
    ReadWrite,
    /// To merge it into so many of its parents: these are opened for writing too.
    WithParents(u32),
}

/// How an image is attached. None is given a letter by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachDisk {
    /// Whether nothing on it can be written.
    pub read_only: bool,
    /// Whether it stays attached when its handle is closed.
    pub outlives_handle: bool,
}

/// What an image says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskInformation {
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// Bytes that its file takes.
    pub physical_size: u64,
    /// Bytes of a block, 0 for a fixed image.
    pub block_size: u32,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Its format, as the system numbers it: 2 for VHD, 3 for VHDX.
    pub device: u32,
    /// Its parent, where it has one.
    pub parent: Option<String>,
    /// Whether it is attached: to this host, or to a machine.
    pub is_loaded: bool,
    /// How fragmented its file is, in percent, where the system tells.
    pub fragmentation: Option<u32>,
}

/// What the system does to an image, for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskWork {
    /// Makes a detached image larger. Its children are worth nothing afterwards.
    Expand {
        /// Bytes of the disk.
        size: u64,
    },
    /// Gives a VHDX another size, attached or not.
    Resize {
        /// Bytes of the disk.
        size: u64,
    },
    /// Gives back what is not used: of a detached image what is zero, of one that is attached for reading
    /// what its file system does not use too.
    Compact,
    /// Writes what it holds into its parents, so many of them.
    Merge {
        /// Parents.
        depth: u32,
    },
}

/// How work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkProgress {
    /// So much is done, of so much; in units of the system's own.
    Running(u64, u64),
    /// It has ended with this code.
    Ended(HResult),
}

/// How the system formats a disk, the first on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDisk {
    /// Its number.
    pub disk: u32,
    /// The file system, in the system's word: `ReFS`.
    pub file_system: &'static str,
    /// The label.
    pub label: String,
}

/// The calls. Codes are those of Windows, bare or as HRESULT.
pub trait HostDisks: Send + Sync {
    /// Opens an image. Who may hold it open beside is the system's matter.
    ///
    /// # Errors
    /// The code.
    fn open(&self, image: &str, how: OpenDisk) -> Result<DiskHandle, HResult>;

    /// Closes one. What is attached and does not outlive its handle is detached.
    fn close(&self, disk: DiskHandle);

    /// Attaches an open image.
    fn attach(&self, disk: DiskHandle, how: AttachDisk) -> HResult;

    /// Detaches one, whoever attached it.
    fn detach(&self, disk: DiskHandle) -> HResult;

    /// Where an attached disk is: `\\.\PhysicalDrive3`.
    ///
    /// # Errors
    /// The code.
    fn physical_path(&self, disk: DiskHandle) -> Result<String, HResult>;

    /// What an image says of itself.
    ///
    /// # Errors
    /// The code.
    fn information(&self, disk: DiskHandle) -> Result<DiskInformation, HResult>;

    /// Begins work. It has to be ended by [`HostDisks::end`], before its disk is closed.
    ///
    /// # Errors
    /// The code.
    fn begin(&self, disk: DiskHandle, work: DiskWork) -> Result<WorkHandle, HResult>;

    /// How work stands.
    fn progress(&self, disk: DiskHandle, work: WorkHandle) -> WorkProgress;

    /// Asks that work be given up; it ends by itself then.
    fn cancel(&self, disk: DiskHandle, work: WorkHandle);

    /// Puts away what was kept for work. Where that has not ended it is waited for: the system writes into
    /// what was kept.
    fn end(&self, disk: DiskHandle, work: WorkHandle);

    /// All volumes, as `\\?\Volume{GUID}\`.
    ///
    /// # Errors
    /// The code.
    fn volumes(&self) -> Result<Vec<String>, HResult>;

    /// The numbers of the disks that a volume lies on; none for a volume without any, as a CD.
    ///
    /// # Errors
    /// The code.
    fn disks_of_volume(&self, volume: &str) -> Result<Vec<u32>, HResult>;

    /// The volume that is mounted at a place that ends with a backslash.
    ///
    /// # Errors
    /// The code.
    fn volume_at(&self, place: &str) -> Result<String, HResult>;

    /// Mounts a volume at a letter or an empty folder.
    fn set_mount_point(&self, place: &str, volume: &str) -> HResult;

    /// Ends that.
    fn delete_mount_point(&self, place: &str) -> HResult;

    /// Writes out what is kept of a volume and dismounts it, if nobody has a file of it open.
    fn dismount(&self, volume: &str) -> HResult;

    /// Formats an attached disk as the writable layer of a container (`HcsFormatWritableLayerVhd`).
    fn format_layer(&self, disk: DiskHandle) -> HResult;

    /// Partitions and formats a blank attached disk by the Storage Management API.
    ///
    /// # Errors
    /// What went wrong, in its words.
    fn format_disk(&self, format: &FormatDisk) -> Result<(), Fault>;
}
