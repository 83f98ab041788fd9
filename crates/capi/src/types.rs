//! What crosses the border by its layout: the structs, enumerations and constants of the header.
//!
//! Names are those of containerv's note and of C. A field that C writes is a plain integer here, also
//! where the header calls it an enumeration: any bit pattern may come, and is judged when it is read.

use std::ffi::{c_char, c_int, c_void};

/// What an `enum` of C is when somebody else wrote it.
pub(crate) type EnumValue = c_int;

/// In the header: `enum windows_volume_type`.
pub type windows_volume_type_value = EnumValue;
/// In the header: `enum containerv_guest`.
pub type containerv_guest_value = EnumValue;
/// In the header: `enum containerv_volume_log_level`.
pub type containerv_volume_log_level_value = EnumValue;

/// How a mount is made, as a set of bits. Left out where containerv.h stands before this header.
#[cfg(not(containerv_h))]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum containerv_mount_flags {
    /// A directory or file of the host.
    CV_MOUNT_BIND = 0x1,
    /// With what is mounted below it; a share always brings that.
    CV_MOUNT_RECURSIVE = 0x2,
    /// Nothing can be changed through it.
    CV_MOUNT_READONLY = 0x4,
    /// The directory of the host is made where it is missing.
    CV_MOUNT_CREATE = 0x100,
}

/// One mount. Define CONTAINERV_HAS_MOUNT before this header where containerv.h has this struct.
#[cfg(not(containerv_has_mount))]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_mount {
    /// A path of the host, `//server/share`, or the name of a volume; NULL for "tmpfs".
    pub what: *mut c_char,
    /// Where it appears in the guest: `/data`, `C:\data`, `D:`.
    pub r#where: *mut c_char,
    /// NULL (a bind mount, or a volume where `what` is no path), "bind", "volume", "vhd" or "vhdx" (an
    /// image whose file system is looked for), "ntfs", "refs", "fat32", "ext4" or "xfs" (an image that
    /// holds it, or is formatted so by the guest if it holds nothing), "smb" or "cifs", "tmpfs".
    pub fstype: *mut c_char,
    /// A set of CV_MOUNT_*.
    pub flags: u32,
}

/// What stands behind a volume.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum windows_volume_type {
    /// A disk image, named by its path.
    WINDOWS_VOLUME_VHD = 0,
    /// A directory or file of the host.
    WINDOWS_VOLUME_HOST_BIND = 1,
    /// A share of an SMB server.
    WINDOWS_VOLUME_SMB_SHARE = 2,
    /// A file system that is gone after the tear-down.
    WINDOWS_VOLUME_TMPFS = 3,
    /// A volume of the store, named by its name.
    WINDOWS_VOLUME_NAMED = 4,
}

/// A volume that a container is to have. All of it is read before the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_windows_volume {
    /// What stands behind it.
    pub r#type: windows_volume_type_value,
    /// A path of the host, an image, or `//server/share`; NULL for a named volume and for TMPFS.
    pub source_path: *mut c_char,
    /// Where it appears in the guest.
    pub target_path: *mut c_char,
    /// The name of a named volume; NULL for all others.
    pub volume_name: *mut c_char,
    /// The size of a volume or image that is made where it is missing, and of TMPFS, in units of
    /// 1,048,576 bytes; 0 where nothing is to be made (TMPFS: 64).
    pub size_mb: u64,
    /// 0, or anything else where nothing can be changed through it.
    pub read_only: c_int,
    /// "NTFS", "FAT32", ... in any case; NULL for NTFS where something is made.
    pub filesystem: *mut c_char,
}

/// What a `struct containerv_mount` cannot say.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_windows_mount_options {
    /// What stands behind it.
    pub r#type: windows_volume_type_value,
    /// As in `struct containerv_windows_volume`.
    pub size_mb: u64,
    /// As in `struct containerv_windows_volume`.
    pub filesystem: *mut c_char,
    /// What the share of a directory is called on its way into the guest; NULL to let it be chosen.
    pub share_name: *mut c_char,
    /// 0 where a volume that was made for the container is removed after it.
    pub persistent: c_int,
}

/// What is known of a volume. Texts are UTF-8, and belong to the library: they are given back with the
/// list that the struct is in, or by `containerv_volume_info_free`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_volume_info {
    /// Its name.
    pub name: *mut c_char,
    /// What it is known by for ever: 36 characters. Guests see it as the serial of the disk.
    pub id: *mut c_char,
    /// The file of its image, the directory or file of the host, or `//server/share`; NULL where it has
    /// none of these.
    pub path: *mut c_char,
    /// "ntfs", "fat32", "none", or what Windows made: "refs", "scratch"; NULL where it has no image.
    pub filesystem: *mut c_char,
    /// "vhdx", "vhd" or "raw"; NULL where it has no image.
    pub format: *mut c_char,
    /// "ready", or what is being done to it.
    pub state: *mut c_char,
    /// What it stands on, VOLUME@SNAPSHOT; NULL where it stands on nothing of another volume's.
    pub base: *mut c_char,
    /// What stands behind it.
    pub r#type: windows_volume_type,
    /// 0 where it goes away when it is tidied up.
    pub persistent: c_int,
    /// 1 where somebody uses it just now.
    pub in_use: c_int,
    /// Its size in units of 1,048,576 bytes, rounded up; 0 where it has none.
    pub size_mb: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What it takes on the host, in bytes; 0 where that cannot be found out.
    pub used_bytes: u64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_unix_ms: u64,
    /// Of the library.
    pub reserved: *mut c_void,
}

/// A snapshot of a volume. Texts belong to the list that it is in.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_volume_snapshot {
    /// Its name, without that of the volume.
    pub name: *mut c_char,
    /// When it was taken, in milliseconds since 1970-01-01 UTC.
    pub created_unix_ms: u64,
    /// What its layer takes on the host, in bytes; 0 where that cannot be found out.
    pub used_bytes: u64,
}

/// A machine that runs, and how it is reached: by the Host Compute Service, by the sockets of QEMU, or,
/// where the store knows it already (`cvol vm run`), by its name alone.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct containerv_machine {
    /// What the store and the command call it: letters, digits, `.`, `_` and `-`. NULL for hcs_system_id.
    pub name: *mut c_char,
    /// The name of the compute system; NULL for a machine of QEMU.
    pub hcs_system_id: *mut c_char,
    /// The version of its documents, "2.0" to "2.9"; NULL for the newest that the service takes.
    pub hcs_schema: *mut c_char,
    /// The socket of the monitor (QMP) of a machine of QEMU; else NULL.
    pub qmp_socket: *mut c_char,
    /// The socket at whose other end the agent in the guest is. For hcs_system_id the way to it: "hvsocket"
    /// or NULL (a socket of the hypervisor), "tcp:127.0.0.1:PORT" (a tunnel), or "none", where the program
    /// mounts in the guest itself, as `containerv_volume_attachments` tells it under `guest_work`.
    pub agent_socket: *mut c_char,
    /// What runs in it.
    pub guest: containerv_guest_value,
}

/// What runs in the machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum containerv_guest {
    /// Linux.
    CV_GUEST_LINUX = 0,
    /// Windows.
    CV_GUEST_WINDOWS = 1,
}

/// The class of the last error of a thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum containerv_volume_code {
    /// The last call did what it should.
    CV_VOLUME_OK = 0,
    /// An argument makes no sense (EINVAL).
    CV_VOLUME_INVALID_ARGUMENT = 1,
    /// The volume, file or directory is not there (ENOENT).
    CV_VOLUME_NOT_FOUND = 2,
    /// It is there already (EEXIST).
    CV_VOLUME_ALREADY_EXISTS = 3,
    /// Somebody uses it (EBUSY).
    CV_VOLUME_IN_USE = 4,
    /// Its bytes contradict its format (EBADMSG).
    CV_VOLUME_DAMAGED = 5,
    /// It cannot be done here, or not at all (ENOTSUP).
    CV_VOLUME_UNSUPPORTED = 6,
    /// The host or the volume has no room left (ENOSPC).
    CV_VOLUME_NO_SPACE = 7,
    /// A callback asked to stop (ECANCELED).
    CV_VOLUME_INTERRUPTED = 8,
    /// The host, the machine or the guest failed (EIO).
    CV_VOLUME_IO = 9,
    /// The handle is closed, or never was one (EBADF).
    CV_VOLUME_BAD_HANDLE = 10,
    /// A fault of the library itself (ENOTRECOVERABLE); please report it.
    CV_VOLUME_INTERNAL = 11,
    /// A server does not let the user in (EACCES).
    CV_VOLUME_DENIED = 12,
}

/// How much a log callback is told: what it is given, and all that stands above it here.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum containerv_volume_log_level {
    /// Calls that failed.
    CV_LOG_ERROR = 1,
    /// What somebody should look at: a store that was mended, work that stays to be undone.
    CV_LOG_WARNING = 2,
    /// What was changed.
    CV_LOG_INFO = 3,
    /// Every call.
    CV_LOG_DEBUG = 4,
}

/// Options of a container, as far as they are about volumes. Never looked into: containerv's own struct
/// of this name can be used too, see `containerv_volume_options_adopt`.
pub struct containerv_options {
    _opaque: [u8; 0],
}

/// A store of volumes that is open.
pub struct containerv_volume_manager {
    _opaque: [u8; 0],
}

/// Is told what happens; `message` is UTF-8 and valid during the call. It may call any function of this
/// header except `containerv_volume_set_log`; what these do is not logged. It must return: no `longjmp`,
/// no exception.
pub type containerv_volume_log_fn =
    Option<unsafe extern "C" fn(level: c_int, message: *const c_char, user: *mut c_void)>;

/// Is told how far an operation is, in bytes; `total` is 0 where it is not known. Anything but 0 stops
/// the operation, and what is half done is undone. The same rules hold as for a log callback.
pub type containerv_volume_progress_fn =
    Option<unsafe extern "C" fn(done: u64, total: u64, user: *mut c_void) -> c_int>;

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<containerv_mount>() == 32);
    assert!(size_of::<containerv_windows_volume>() == 56);
    assert!(size_of::<containerv_windows_mount_options>() == 40);
    assert!(size_of::<containerv_volume_info>() == 112);
    assert!(size_of::<containerv_volume_snapshot>() == 24);
    assert!(size_of::<containerv_machine>() == 48);
};
