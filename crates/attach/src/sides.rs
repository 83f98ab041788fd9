//! The three sides of an attachment: the host, the machine (its hypervisor) and the guest in it, as
//! whoever carries a plan out needs them. Each action of a plan is one call here.
//!
//! Every call that undoes something may be made again, and finds nothing to do where it was done
//! before: then it returns as if it had done it. A call that gives up waiting says
//! [`FaultKind::Unanswered`]: whether its work was done is not known. Nothing that a guest says is
//! believed where the host can look itself.

use std::error::Error;
use std::fmt;

use secrecy::SecretString;

use crate::mount::{GuestFileSystem, SmbSource};
use crate::path::{HostPath, Target};
use crate::plan::Share;
use crate::slots::Slot;

/// What is done on the host, beside its hypervisor, for one machine: what another machine needs of the
/// same image or directory is counted apart.
pub trait Host {
    /// How many directories are missing on the way to this one, itself among them: 0 where it is there.
    /// It is noted before they are made, so that they can be removed again however the making ends.
    ///
    /// # Errors
    /// A [`Fault`].
    fn missing_directories(&self, path: &HostPath) -> Result<u32, Fault>;

    /// Makes a directory, with those above it, where it is missing.
    ///
    /// # Errors
    /// A [`Fault`].
    fn make_directory(&self, path: &HostPath) -> Result<(), Fault>;

    /// Removes a directory and those above it, `count` of them, up to the first that something is in.
    ///
    /// # Errors
    /// A [`Fault`]. One that is not empty or not there is none.
    fn remove_made_directories(&self, path: &HostPath, count: u32) -> Result<(), Fault>;

    /// Makes the image of a temporary volume, formatted, of `size` bytes.
    ///
    /// # Errors
    /// A [`Fault`].
    fn make_image(&self, path: &HostPath, size: u64) -> Result<(), Fault>;

    /// Removes it.
    ///
    /// # Errors
    /// A [`Fault`].
    fn remove_image(&self, path: &HostPath) -> Result<(), Fault>;

    /// Serves a disk over NBD under the name `serial`, by a process that outlives this one. Served
    /// already, it stays so.
    ///
    /// # Errors
    /// A [`Fault`].
    fn serve_disk(&self, path: &HostPath, serial: &str, read_only: bool) -> Result<(), Fault>;

    /// Ends that, once all that was written is durable.
    ///
    /// # Errors
    /// A [`Fault`].
    fn stop_serving(&self, serial: &str) -> Result<(), Fault>;

    /// Who logs in at an SMB server, and with what; `None` where nobody was ever told.
    ///
    /// # Errors
    /// A [`Fault`].
    fn credentials(&self, source: &SmbSource) -> Result<Option<Credentials>, Fault>;
}

/// What the hypervisor does with a machine. Where that is no more, what undoes something puts away what
/// was kept for it on the host, and says [`FaultKind::Gone`].
pub trait Machine {
    /// Lets the machine open a file.
    ///
    /// # Errors
    /// A [`Fault`].
    fn grant_access(&self, path: &HostPath, write: bool) -> Result<(), Fault>;

    /// Takes that back, from a machine that is no more as well: it stands with the file.
    ///
    /// # Errors
    /// A [`Fault`].
    fn revoke_access(&self, path: &HostPath) -> Result<(), Fault>;

    /// Gives the machine a disk. The same disk there already is no fault.
    ///
    /// # Errors
    /// A [`Fault`]; `AlreadyExists` where another disk is at the place.
    fn add_disk(&self, disk: &DiskAttachment) -> Result<(), Fault>;

    /// Takes it away; returns when it is gone.
    ///
    /// # Errors
    /// A [`Fault`].
    fn remove_disk(&self, slot: Slot, serial: &str) -> Result<(), Fault>;

    /// Whether a disk is where it was added; `None` where the hypervisor does not tell.
    ///
    /// # Errors
    /// A [`Fault`]; `Gone` where the machine is no more.
    fn has_disk(&self, _slot: Slot, _serial: &str) -> Result<Option<bool>, Fault> {
        Ok(None)
    }

    /// Offers a directory to the guest. The same share there already is no fault.
    ///
    /// # Errors
    /// A [`Fault`].
    fn add_share(&self, share: &Share) -> Result<(), Fault>;

    /// Ends that; returns when it is gone.
    ///
    /// # Errors
    /// A [`Fault`].
    fn remove_share(&self, share: &Share) -> Result<(), Fault>;
}

/// What the guest does. Mounting again what is mounted so already is no fault; a target with another
/// mount is `AlreadyExists`.
pub trait Guest {
    /// Lets go of a disk that will be taken away.
    ///
    /// # Errors
    /// A [`Fault`].
    fn unplug_disk(&self, slot: Slot) -> Result<(), Fault>;

    /// Waits for a disk and mounts its file system.
    ///
    /// # Errors
    /// A [`Fault`].
    fn mount_disk(&self, mount: &DiskMount) -> Result<(), Fault>;

    /// Mounts a share of the host.
    ///
    /// # Errors
    /// A [`Fault`].
    fn mount_share(&self, share: &Share, target: &Target) -> Result<(), Fault>;

    /// Mounts a share of an SMB server.
    ///
    /// # Errors
    /// A [`Fault`]; `Denied` where the server does not let them in.
    fn mount_smb(
        &self,
        source: &SmbSource,
        credentials: Option<&Credentials>,
        target: &Target,
        read_only: bool,
    ) -> Result<(), Fault>;

    /// Mounts memory that holds `size` bytes at most.
    ///
    /// # Errors
    /// A [`Fault`].
    fn mount_memory(&self, target: &Target, size: u64) -> Result<(), Fault>;

    /// Unmounts, once all that was written is with the host.
    ///
    /// # Errors
    /// A [`Fault`]; `Busy` where something in the guest has files of it open and nothing is forced.
    fn unmount(&self, target: &Target, how: Unmounting) -> Result<(), Fault>;
}

/// How a mount ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unmounting {
    /// Only when nobody uses it.
    Clean,
    /// Even under who uses it: the target is free afterwards, and who has files of it open gets errors.
    Forced,
}

/// Who logs in at an SMB server.
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The domain or workgroup, where there is one.
    pub domain: Option<String>,
    /// The password.
    pub password: SecretString,
}

/// A disk as a machine is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskAttachment {
    /// Where.
    pub slot: Slot,
    /// The image.
    pub path: HostPath,
    /// What the guest knows the disk by, and the export is called.
    pub serial: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// A mount of the file system of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskMount {
    /// Where the disk is.
    pub slot: Slot,
    /// What the guest knows it by.
    pub serial: String,
    /// Where it appears.
    pub target: Target,
    /// What is on it, where that is known.
    pub file_system: Option<GuestFileSystem>,
    /// Whether it is formatted when it holds nothing at all.
    pub format: bool,
    /// Whether it is mounted for reading only.
    pub read_only: bool,
}

/// What kind of fault it is, which decides what is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// What was asked for makes no sense to that side.
    Invalid,
    /// What it needs is not there.
    NotFound,
    /// Something else is there.
    AlreadyExists,
    /// It is in use; later it may not be.
    Busy,
    /// It is not allowed, or a login failed.
    Denied,
    /// That side cannot do it.
    Unsupported,
    /// The machine is no more, and with it all that it held.
    Gone,
    /// No answer came in time: it may or may not have been done.
    Unanswered,
    /// An answer came that cannot be true or cannot be read.
    Nonsense,
    /// No space is left.
    NoSpace,
    /// It was tried and failed.
    Failed,
}

/// Why a call was not met.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of this kind, in words.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }

    /// The same with what led to it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
