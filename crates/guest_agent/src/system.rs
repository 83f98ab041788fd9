//! What the agent does to the system that it runs in.

use guest_proto::{
    GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing, Refusal,
    Unmount, UnplugDisk, Usage,
};

/// One system. Every call may come again, and calls come from several threads; no two at a time are
/// about one target.
pub trait System: Send + Sync {
    /// What it is.
    fn kind(&self) -> GuestKind;

    /// Its kernel, in words.
    fn kernel(&self) -> String;

    /// Waits for a disk and mounts what is on it.
    ///
    /// # Errors
    /// A [`Refusal`], as from all of these.
    fn mount_disk(&self, mount: &MountDisk) -> Result<Mounted, Refusal>;

    /// Mounts a directory of the host.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn mount_share(&self, mount: &MountShare) -> Result<Mounted, Refusal>;

    /// Mounts a share of an SMB server.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn mount_smb(&self, mount: &MountSmb) -> Result<Mounted, Refusal>;

    /// Mounts memory.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn mount_memory(&self, mount: &MountMemory) -> Result<Mounted, Refusal>;

    /// Unmounts; what is not mounted is.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal>;

    /// Lets go of a disk; one that is not there was let go of.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn unplug_disk(&self, unplug: &UnplugDisk) -> Result<(), Refusal>;

    /// What was mounted by these and still is, in the order of the targets.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal>;

    /// Writes out what any file system holds.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn sync(&self) -> Result<(), Refusal>;

    /// Writes out what the file system at a target holds and has its writers wait.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn freeze(&self, target: &str) -> Result<(), Refusal>;

    /// Ends that.
    ///
    /// # Errors
    /// `NotFound` where it was ended before.
    fn thaw(&self, target: &str) -> Result<(), Refusal>;

    /// How full the file system at a target is.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn usage(&self, target: &str) -> Result<Usage, Refusal>;

    /// Writes all out and ends the machine; returns before it has ended.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn power_off(&self) -> Result<(), Refusal>;
}
