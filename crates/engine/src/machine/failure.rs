//! Why something about a machine failed.

use std::error::Error as StdError;
use std::path::PathBuf;

use attach::carry_out::{AttachError, DetachError, StepFault};
use attach::ledger::{LedgerError, TransitionError};
use attach::{Fault, FaultKind, PlanError, PlanRefusal};
use volume::{NameError, VolumeError};

use crate::error::{ErrorKind, of_volume};

/// Why something about a machine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineFailure {
    /// Its name is none.
    #[error("{name:?} is no name for a machine")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// No machine of this name is known.
    #[error("no machine is named \"{name}\"")]
    Unknown {
        /// The name.
        name: String,
    },
    /// There is one of this name.
    #[error("a machine named \"{name}\" is known")]
    Known {
        /// The name.
        name: String,
    },
    /// Something is attached to it.
    #[error("machine \"{name}\" has mounts attached")]
    HasAttachments {
        /// The machine.
        name: String,
    },
    /// Somebody else changes something about it, and does not end.
    #[error("somebody is at work on machine \"{name}\" ({who})")]
    AtWork {
        /// The machine.
        name: String,
        /// Who, in his own words.
        who: String,
    },
    /// Sockets cannot be made so deep.
    #[error("the path {} is too long for sockets", path.display())]
    LongPath {
        /// The folder of the machine.
        path: PathBuf,
    },
    /// What is kept of it makes no sense.
    #[error("the description of machine \"{name}\" is damaged: {reason}")]
    Damaged {
        /// The machine.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The ledger of it makes no sense.
    #[error("the ledger of machine \"{name}\"")]
    Ledger {
        /// The machine.
        name: String,
        /// What is wrong.
        source: LedgerError,
    },
    /// Mounts could not be attached.
    #[error("nothing was attached to machine \"{name}\"")]
    Attach {
        /// The machine.
        name: String,
        /// Why not.
        source: AttachError,
    },
    /// Mounts could not be detached.
    #[error("machine \"{name}\"")]
    Detach {
        /// The machine.
        name: String,
        /// Why not.
        source: DetachError,
    },
    /// Something could not be undone.
    #[error("machine \"{name}\"")]
    Step {
        /// The machine.
        name: String,
        /// What, and why.
        source: StepFault,
    },
    /// A side of an attachment failed.
    #[error("machine \"{name}\"")]
    Side {
        /// The machine.
        name: String,
        /// What it said.
        source: Fault,
    },
    /// The Host Compute Service said no.
    #[error("the Host Compute Service")]
    Service {
        /// What it said.
        source: Fault,
    },
    /// Nobody wants a disk to be served to it.
    #[error("machine \"{name}\" is to be served no disk {serial}")]
    NotServed {
        /// The machine.
        name: String,
        /// What the disk is known by.
        serial: String,
    },
    /// A disk cannot be served.
    #[error("the server of disk {serial} gave up with exit code {code}")]
    ServerFailed {
        /// What the disk is known by.
        serial: String,
        /// Its exit code.
        code: i32,
    },
}

impl MachineFailure {
    /// The class of the failure.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. } => ErrorKind::InvalidArgument,
            Self::Unknown { .. } | Self::NotServed { .. } => ErrorKind::NotFound,
            Self::ServerFailed { .. } => ErrorKind::Io,
            Self::Known { .. } => ErrorKind::AlreadyExists,
            Self::HasAttachments { .. } | Self::AtWork { .. } => ErrorKind::InUse,
            Self::LongPath { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Ledger { source, .. } => match source {
                LedgerError::Version { .. } => ErrorKind::Unsupported,
                _ => ErrorKind::Damaged,
            },
            Self::Attach { source, .. } => of_attaching(source),
            Self::Detach { source, .. } => of_detaching(source),
            Self::Step { source, .. } => of_step(source),
            Self::Side { source, .. } | Self::Service { source } => of_fault(source),
        }
    }
}

fn of_attaching(error: &AttachError) -> ErrorKind {
    match error {
        AttachError::Plan(error) => of_plan(error),
        AttachError::Begin(TransitionError::Nothing) => ErrorKind::InvalidArgument,
        AttachError::Begin(_) => ErrorKind::InUse,
        AttachError::Step { step, .. } => of_step(step),
        AttachError::Cancelled { .. } => ErrorKind::Interrupted,
        AttachError::Journal(fault) => of_fault(fault),
        _ => ErrorKind::Io,
    }
}

fn of_detaching(error: &DetachError) -> ErrorKind {
    match error {
        DetachError::NoAttachment(_) | DetachError::NoTarget(_) => ErrorKind::NotFound,
        DetachError::Refused(_) => ErrorKind::InUse,
        DetachError::Journal(fault) => of_fault(fault),
        _ => ErrorKind::Io,
    }
}

/// The class of a plan that cannot be made.
pub(crate) fn of_plan(error: &PlanError) -> ErrorKind {
    match &error.reason {
        PlanRefusal::Unsupported { .. } => ErrorKind::Unsupported,
        PlanRefusal::Slot(_)
        | PlanRefusal::TargetTaken { .. }
        | PlanRefusal::Hides { .. }
        | PlanRefusal::Moving { .. }
        | PlanRefusal::ImageTaken { .. } => ErrorKind::InUse,
        _ => ErrorKind::InvalidArgument,
    }
}

pub(crate) fn of_step(step: &StepFault) -> ErrorKind {
    of_fault(&step.fault)
}

/// The class of what a side said; that of the store, where the store said it first.
pub(crate) fn of_fault(fault: &Fault) -> ErrorKind {
    let mut source = fault.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<VolumeError>() {
            return of_volume(error.kind());
        }
        if let Some(error) = error.downcast_ref::<crate::Error>() {
            return error.kind();
        }
        source = error.source();
    }
    match fault.kind() {
        FaultKind::Invalid => ErrorKind::InvalidArgument,
        FaultKind::NotFound | FaultKind::Gone => ErrorKind::NotFound,
        FaultKind::AlreadyExists => ErrorKind::AlreadyExists,
        FaultKind::Busy => ErrorKind::InUse,
        FaultKind::Unsupported => ErrorKind::Unsupported,
        FaultKind::NoSpace => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    }
}
