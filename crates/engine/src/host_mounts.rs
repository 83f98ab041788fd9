//! Volumes mounted on this host itself, by Windows: at a drive letter or an empty folder.
//!
//! A mount is a claim, and nothing else is written down: its attachment is `host:` and the place. The claim
//! is taken before the disk is attached, and released after it is detached; what a crash leaves too much of
//! is taken away by the next `umount` of the place, or told by `doctor`. A start of the host ends all mounts
//! and leaves the claims.

use std::path::Path;
use std::sync::Arc;

use attach::virtdisk::{
    DiskPatience, HostDisks, HostMountOrder, HostTarget, HostTargetError, SystemFormat,
    format_image, information_of, load_host_disks, mount_on_host, unmount_from_host,
};
use attach::{Fault, FaultKind};
use vdisk::ImageFormat;
use volume::{
    Claim, ClaimMode, ClaimRequest, Claimant, FileSystemKind, FormatFault, StoreCure,
    SystemFormatter, Timestamp, VolumeErrorKind, VolumeRecord,
};

use crate::Engine;
use crate::doctor::Diagnosis;
use crate::error::{Error, ErrorKind, Result};
use crate::machine::of_fault;
use crate::volumes::volume_name;

/// What the attachment of a claim begins with that is a mount of this host. No machine is named so.
const HOST: &str = "host:";

/// A volume to be mounted on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountVolume {
    /// The volume.
    pub volume: String,
    /// A drive letter (`X:`) or an empty folder.
    pub target: String,
    /// Whether nothing on it can be written.
    pub read_only: bool,
}

/// A volume that is mounted on this host, or was when somebody last knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMount {
    /// The volume.
    pub volume: String,
    /// Where.
    pub target: String,
    /// Whether nothing on it can be written.
    pub read_only: bool,
    /// Since when.
    pub since: Timestamp,
    /// Whether its disk is attached; `None` where the system does not tell.
    pub is_attached: Option<bool>,
}

/// Why something about a mount of this host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostMountFailure {
    /// The target is none.
    #[error("no place to mount a volume")]
    Target(#[source] HostTargetError),
    /// Another volume is mounted there.
    #[error("volume \"{volume}\" is mounted at {target}")]
    Taken {
        /// The place.
        target: String,
        /// What has it.
        volume: String,
    },
    /// Windows attaches no such images.
    #[error(
        "Windows attaches VHDX and VHD images, and volume \"{volume}\" is kept in a {format} image"
    )]
    Format {
        /// The volume.
        volume: String,
        /// Its format.
        format: ImageFormat,
    },
    /// Nothing is mounted so.
    #[error("nothing of the store is mounted on this host as {what:?}")]
    Unknown {
        /// A target or a volume.
        what: String,
    },
    /// What is mounted is changed in another way.
    #[error("volume \"{volume}\" is mounted on this host at {target}: {reason}")]
    Mounted {
        /// The volume.
        volume: String,
        /// Where.
        target: String,
        /// What can be done.
        reason: &'static str,
    },
    /// The system said no.
    #[error("volume \"{volume}\"")]
    System {
        /// The volume.
        volume: String,
        /// What it said.
        source: Fault,
    },
    /// This system mounts nothing for cvol.
    #[error("this host mounts no volumes")]
    Absent(#[source] Fault),
}

impl HostMountFailure {
    /// The class of the failure.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Target(_) => ErrorKind::InvalidArgument,
            Self::Taken { .. } => ErrorKind::AlreadyExists,
            Self::Format { .. } => ErrorKind::Unsupported,
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::Mounted { .. } => ErrorKind::InUse,
            Self::System { source, .. } | Self::Absent(source) => of_fault(source),
        }
    }
}

/// Whether a claim is a mount of this host.
pub(crate) fn is_of_host(claim: &Claim) -> bool {
    claim.claimant.attachment.starts_with(HOST)
}

/// The place that a claim is for; `None` where it is none of this host.
pub(crate) fn target_of(claim: &Claim) -> Option<HostTarget> {
    HostTarget::parse(claim.claimant.attachment.strip_prefix(HOST)?).ok()
}

/// The same in words; empty where it is none.
pub(crate) fn told_target(claim: &Claim) -> String {
    target_of(claim).map_or_else(String::new, |target| target.to_string())
}

/// What the system said of a volume.
pub(crate) fn system(volume: &VolumeRecord) -> impl FnOnce(Fault) -> HostMountFailure {
    let volume = volume.name.to_string();
    |source| HostMountFailure::System { volume, source }
}

fn parse(target: &str) -> Result<HostTarget> {
    Ok(HostTarget::parse(target).map_err(HostMountFailure::Target)?)
}

impl Engine {
    /// What attaches images to this host.
    ///
    /// # Errors
    /// `Unsupported`, with what to do instead.
    pub(crate) fn host_disks(&self) -> Result<Arc<dyn HostDisks>> {
        match self.config().host_disks() {
            Some(disks) => Ok(Arc::clone(disks)),
            None => Ok(load_host_disks().map_err(HostMountFailure::Absent)?),
        }
    }

    /// Mounts a volume on this host, and claims it: both or neither.
    ///
    /// # Errors
    /// `Unsupported` (not on Windows; the format of the image), `NotFound`, `InvalidArgument` (the name, the
    /// target), `InUse` (somebody has the volume), `AlreadyExists` (something is mounted there), `Io`.
    pub fn mount_volume(&self, request: &MountVolume) -> Result<HostMount> {
        let disks = self.host_disks()?;
        let target = parse(&request.target)?;
        let name = volume_name(&request.volume)?;
        let store = self.store()?;
        let record = store.get(&name)?;
        let format = record.disk()?.format();
        if !matches!(format, ImageFormat::Vhdx | ImageFormat::Vhd) {
            let volume = record.name.to_string();
            return Err(HostMountFailure::Format { volume, format }.into());
        }
        for claim in store.claims()?.iter().filter(|claim| is_of_host(claim)) {
            let is_there = target_of(claim).is_some_and(|other| other.key() == target.key());
            if is_there || claim.volume == record.id {
                let volume = self.name_of(claim)?;
                let target = told_target(claim);
                return Err(HostMountFailure::Taken { target, volume }.into());
            }
        }
        let attachment = format!("{HOST}{target}");
        let claimant = Claimant {
            holder: attachment.clone(),
            owner: format!("this host at {target}"),
            attachment,
        };
        let wanted = ClaimRequest {
            volume: name,
            mode: match request.read_only {
                true => ClaimMode::Reader,
                false => ClaimMode::Writer,
            },
        };
        // Before the disk: what is attached is claimed at any moment.
        let claims = store.claim(&claimant, &[wanted])?;
        let image = self.image_of(&record)?;
        let order = HostMountOrder {
            image: &image,
            target: &target,
            read_only: request.read_only,
        };
        if let Err(fault) = mount_on_host(&*disks, order, DiskPatience::default()) {
            // What could not be taken back stays claimed, for `umount` and `doctor`. One that is attached
            // for somebody else is not ours.
            let is_anothers = matches!(fault.kind(), FaultKind::Busy | FaultKind::AlreadyExists);
            let is_left =
                !is_anothers && information_of(&*disks, &image).is_ok_and(|found| found.is_loaded);
            if !is_left {
                store.release_claims(&claimant.attachment, Some(record.id))?;
            }
            return Err(system(&record)(fault).into());
        }
        let since = claims.first().map_or_else(Timestamp::default, Claim::since);
        Ok(HostMount {
            volume: record.name.to_string(),
            target: target.to_string(),
            read_only: request.read_only,
            since,
            is_attached: Some(true),
        })
    }

    /// Ends a mount of this host, named by its target or its volume. May be done again after a failure; a
    /// disk that is not attached any more is no failure. With `force`, files that are open are none either.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (files of it are open), `Unsupported`, `Io`.
    pub fn unmount_volume(&self, what: &str, force: bool) -> Result<HostMount> {
        let disks = self.host_disks()?;
        let store = self.store()?;
        let wanted = HostTarget::parse(what).ok();
        for claim in store.claims()?.iter().filter(|claim| is_of_host(claim)) {
            let Some(target) = target_of(claim) else {
                continue;
            };
            let Some(record) = store.volume_by_id(claim.volume)? else {
                continue;
            };
            let is_it = match &wanted {
                Some(wanted) => wanted.key() == target.key(),
                None => record.name.as_str().eq_ignore_ascii_case(what),
            };
            if !is_it {
                continue;
            }
            self.end_mount(&*disks, claim, &record, &target, force)?;
            return Ok(HostMount {
                volume: record.name.to_string(),
                target: target.to_string(),
                read_only: claim.mode == ClaimMode::Reader,
                since: claim.since(),
                is_attached: Some(false),
            });
        }
        let what = what.to_owned();
        Err(HostMountFailure::Unknown { what }.into())
    }

    /// What of the store is mounted on this host.
    ///
    /// # Errors
    /// `Damaged`, `InUse`, `Io`.
    pub fn host_mounts(&self) -> Result<Vec<HostMount>> {
        let store = self.store()?;
        let claims = store.claims()?;
        // Only where there is something to ask about.
        let mut disks = None;
        let mut mounts = Vec::new();
        for claim in claims.iter().filter(|claim| is_of_host(claim)) {
            let disks = disks.get_or_insert_with(|| self.host_disks().ok());
            let is_attached = self.is_attached(disks.as_deref(), claim)?;
            mounts.push(HostMount {
                volume: self.name_of(claim)?,
                target: told_target(claim),
                read_only: claim.mode == ClaimMode::Reader,
                since: claim.since(),
                is_attached,
            });
        }
        Ok(mounts)
    }

    /// Claims of this host whose disks are not attached any more, for `doctor`. With `mend` they are
    /// released, and what is left of their mount points is removed.
    pub(crate) fn examine_host_mounts(&self, mend: bool, diagnosis: &mut Diagnosis) -> Result<()> {
        let store = self.store()?;
        // Only where there is something to ask about.
        let mut disks = None;
        for claim in store.claims()?.iter().filter(|claim| is_of_host(claim)) {
            let disks = disks.get_or_insert_with(|| self.host_disks().ok());
            if self.is_attached(disks.as_deref(), claim)? != Some(false) {
                continue;
            }
            let record = store.volume_by_id(claim.volume)?;
            let message = format!("{claim}, and its disk is not attached");
            let cure = match (mend, &*disks, &record, target_of(claim)) {
                (false, ..) => StoreCure::Mendable,
                (true, Some(disks), Some(record), Some(target)) => {
                    match self.end_mount(&**disks, claim, record, &target, false) {
                        Ok(()) => StoreCure::Mended,
                        Err(_) => StoreCure::ByHand,
                    }
                }
                _ => StoreCure::ByHand,
            };
            diagnosis.add("claim", &self.name_of(claim)?, message, cure);
        }
        Ok(())
    }

    /// The mount of a volume on this host, where there is one.
    pub(crate) fn host_claim(&self, volume: &str) -> Result<Option<(VolumeRecord, Claim)>> {
        let store = self.store()?;
        // That there is none is said by whoever wants to change it.
        let Ok(record) = store.get(&volume_name(volume)?) else {
            return Ok(None);
        };
        let claims = store.claims_on(record.id)?;
        let claim = claims.into_iter().find(is_of_host);
        Ok(claim.map(|claim| (record, claim)))
    }

    /// What formats images as only Windows does; `None` where there is none.
    pub(crate) fn system_formatter(&self) -> Option<SystemFormatter> {
        let disks = self.host_disks().ok()?;
        Some(SystemFormatter::new(move |image, file_system, label| {
            let format = match file_system {
                FileSystemKind::ScratchLayer => SystemFormat::ScratchLayer,
                _ => SystemFormat::Refs {
                    label: label.to_owned(),
                },
            };
            format_image(&*disks, &text_of(image), &format).map_err(|fault| {
                let kind = match fault.kind() {
                    FaultKind::Unsupported => VolumeErrorKind::Unsupported,
                    FaultKind::Busy => VolumeErrorKind::InUse,
                    FaultKind::NoSpace => VolumeErrorKind::NoSpace,
                    FaultKind::Invalid => VolumeErrorKind::InvalidArgument,
                    _ => VolumeErrorKind::Io,
                };
                FormatFault::new(kind, fault)
            })
        }))
    }

    /// The disk first, the claim last: what is attached is claimed at any moment.
    fn end_mount(
        &self,
        disks: &dyn HostDisks,
        claim: &Claim,
        record: &VolumeRecord,
        target: &HostTarget,
        force: bool,
    ) -> Result<()> {
        let image = self.image_of(record)?;
        unmount_from_host(disks, &image, target, force).map_err(system(record))?;
        let attachment = &claim.claimant.attachment;
        self.store()?
            .release_claims(attachment, Some(claim.volume))?;
        Ok(())
    }

    fn is_attached(&self, disks: Option<&dyn HostDisks>, claim: &Claim) -> Result<Option<bool>> {
        let record = self.store()?.volume_by_id(claim.volume)?;
        let (Some(disks), Some(record)) = (disks, record) else {
            return Ok(None);
        };
        let found = information_of(disks, &self.image_of(&record)?);
        Ok(found.ok().map(|found| found.is_loaded))
    }

    /// The path of what a volume reads and writes, as Windows takes it.
    pub(crate) fn image_of(&self, record: &VolumeRecord) -> Result<String> {
        let details = self.store()?.inspect(&record.name)?;
        match details.image() {
            Some(image) => Ok(text_of(&image.path)),
            None => Err(Error::Unsupported {
                feature: "mounting a volume without an image".to_owned(),
            }),
        }
    }

    fn name_of(&self, claim: &Claim) -> Result<String> {
        let record = self.store()?.volume_by_id(claim.volume)?;
        Ok(record.map_or_else(|| claim.volume.to_string(), |it| it.name.to_string()))
    }
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "host_mounts_tests.rs"]
mod tests;
