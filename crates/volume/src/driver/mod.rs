//! What differs between the kinds of volumes while they rest: what is made in the folder of a volume, what
//! must be there, who keeps it from being removed, what is told of it.
//!
//! ```text
//!   lifecycle, doctor          one code for all kinds
//!         |
//!      Driver                  this seam
//!    /   |   |   \
//! local bind smb tmpfs         an image │ a path of the host │ a share │ memory
//! ```
//!
//! One suite of tests (`conformance`) holds all of them to the same rules.

mod bind;
#[cfg(test)]
mod conformance;
mod local;
mod smb;
mod tmpfs;

use blockio::FileStorage;
use cap_std::fs::Dir;

use crate::error::{Result, VolumeError};
use crate::lifecycle::fill::Filled;
use crate::lifecycle::{BackingDetails, CreateRequest};
use crate::progress::OnProgress;
use crate::record::VolumeRecord;
use crate::secret::KeyLock;
use crate::spec::kind::VolumeKind;
use crate::store::Store;

/// A kind of volume.
pub(crate) trait Driver: Sync {
    /// Refuses what could never be made, before anything is.
    fn check(&self, request: &CreateRequest) -> Result<()>;

    /// Makes the files of a volume in its new folder, durable; undone by removing the folder.
    fn make(&self, making: &Making<'_>) -> Result<Filled>;

    /// Locks that nobody who uses the files of the volume lets one have. With `force`, damage is no
    /// hindrance.
    fn lock(&self, store: &Store, record: &VolumeRecord, force: bool) -> Result<Vec<FileStorage>>;

    /// Bytes that the volume takes on this host; `None` where a file is missing.
    fn used_bytes(&self, store: &Store, record: &VolumeRecord) -> Result<Option<u64>>;

    /// What there is of it on this host right now. Looking never waits and never changes a byte.
    fn look(&self, store: &Store, record: &VolumeRecord) -> Result<BackingDetails>;

    /// The files that belong in its folder beside the rescue record.
    fn files(&self, store: &Store, record: &VolumeRecord) -> Result<Vec<KnownFile>>;
}

/// A volume that is being made.
pub(crate) struct Making<'a> {
    pub(crate) store: &'a Store,
    pub(crate) record: &'a VolumeRecord,
    pub(crate) request: &'a CreateRequest,
    pub(crate) folder: &'a Dir,
    pub(crate) progress: OnProgress<'a>,
    /// The key of passwords, of a volume that has one.
    pub(crate) key: Option<&'a KeyLock>,
}

/// A file that belongs in the folder of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownFile {
    pub(crate) name: String,
    /// What can be done where it is missing.
    pub(crate) advice: &'static str,
}

/// The driver of a kind.
pub(crate) fn of(kind: VolumeKind) -> &'static dyn Driver {
    match kind {
        VolumeKind::Vhd => &local::Local,
        VolumeKind::HostBind => &bind::Bind,
        VolumeKind::SmbShare => &smb::Smb,
        VolumeKind::Tmpfs => &tmpfs::Tmpfs,
    }
}

/// Refuses what only an image can have.
fn refuse_content(request: &CreateRequest) -> Result<()> {
    if request.from.is_some() || !request.access_rules.is_empty() {
        return Err(VolumeError::NoImage {
            name: request.name.as_str().to_owned(),
            kind: request.spec.kind(),
        });
    }
    Ok(())
}

/// Refuses a password for what has none.
fn refuse_password(request: &CreateRequest) -> Result<()> {
    match request.password {
        None => Ok(()),
        Some(_) => {
            let name = request.name.as_str().to_owned();
            Err(crate::secret::SecretError::NoneHere(name).into())
        }
    }
}
