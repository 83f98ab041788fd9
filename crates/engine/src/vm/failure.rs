//! Why something about a machine that cvol starts failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use attach::Fault;

use crate::error::{ErrorKind, Subject, of_host};
use crate::machine::of_fault;

/// Why something about a machine that cvol starts failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmFailure {
    /// QEMU is not installed.
    #[error("QEMU is not installed: there is no {program}")]
    NoQemu {
        /// What was looked for.
        program: String,
    },
    /// This system cannot start machines.
    #[error("starting machines is not supported on this system")]
    NoHost,
    /// Something that a machine boots is not there.
    #[error("there is no {what}{}", at.as_ref().map_or(String::new(), |at| format!(" at {}", at.display())))]
    NoPiece {
        /// What.
        what: &'static str,
        /// Where it should be, if that is known.
        at: Option<PathBuf>,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The machine was not started by cvol.
    #[error("machine \"{name}\" was not started by cvol")]
    NotOurs {
        /// The machine.
        name: String,
    },
    /// It runs.
    #[error("machine \"{name}\" runs")]
    Running {
        /// The machine.
        name: String,
    },
    /// It does not run.
    #[error("machine \"{name}\" does not run any more")]
    NotRunning {
        /// The machine.
        name: String,
    },
    /// QEMU does not start.
    #[error("{} does not start", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// QEMU ended before the guest was there.
    #[error("QEMU ended while the machine booted ({status}){told}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of what it and the guest said.
        told: String,
    },
    /// The machine stopped before the guest was there.
    #[error("the machine stopped while it booted (QEMU calls it {state}){told}")]
    Stopped {
        /// QEMU's own word.
        state: String,
        /// The end of what QEMU and the guest said.
        told: String,
    },
    /// The agent did not answer in time.
    #[error("the guest did not answer within {} s{told}", limit.as_secs())]
    BootTimeout {
        /// How long was waited.
        limit: Duration,
        /// The end of what QEMU and the guest said.
        told: String,
    },
    /// Everything through which commands are given is in use.
    #[error("as many commands as can be run in machine \"{name}\" already")]
    Occupied {
        /// The machine.
        name: String,
    },
    /// The guest did not do it.
    #[error("the guest of machine \"{name}\"")]
    Guest {
        /// The machine.
        name: String,
        /// What it said.
        source: Fault,
    },
    /// A command was ended for a limit.
    #[error("the command was ended in the guest: {reason}")]
    Limit {
        /// Which.
        reason: String,
    },
    /// It cannot be ended.
    #[error("machine \"{name}\" does not end")]
    DoesNotEnd {
        /// The machine.
        name: String,
    },
}

impl VmFailure {
    /// The class of the failure.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoQemu { .. } | Self::NoHost | Self::NoPiece { .. } => ErrorKind::Unsupported,
            Self::Invalid(_) | Self::NotOurs { .. } => ErrorKind::InvalidArgument,
            Self::Running { .. } | Self::Occupied { .. } => ErrorKind::InUse,
            Self::NotRunning { .. } => ErrorKind::NotFound,
            Self::Start { source, .. } => of_host(source),
            Self::Guest { source, .. } => of_fault(source),
            _ => ErrorKind::Io,
        }
    }

    /// What it is about.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::NoQemu { .. } => Subject::Qemu,
            Self::NoPiece { .. } => Subject::GuestPieces,
            Self::Ended { .. } | Self::Stopped { .. } | Self::BootTimeout { .. } => Subject::Boot,
            Self::Guest { .. } | Self::Limit { .. } => Subject::GuestCommand,
            _ => Subject::Machine,
        }
    }
}
