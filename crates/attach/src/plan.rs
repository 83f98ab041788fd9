//! The plan: what will be done for a list of mounts, in order, and how each step is undone, before
//! anything is done.
//!
//! A plan is data. It is made from the requests, from what the hypervisor and the guest can do, and from
//! what the machine has already; what a combination cannot do is refused by name here, so that nothing
//! is half done for it. Steps of one mount stand together, host before guest; a mount that lies in
//! another comes after it, whatever the order of the requests. Undoing goes backwards.

mod action;
mod document;
mod planner;
pub(crate) mod rules;

use crate::guest::{GuestSystem, Hypervisor, Platform};
use crate::ledger::{AttachmentId, EntryId, Ledger};
use crate::mount::MountRequest;
use crate::path::Target;
use crate::slots::{SlotError, SlotLayout};

pub(crate) use action::Layer;
pub use action::{Action, Share, ShareTransport};
pub use document::{PlanDocument, StepDocument};

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which request it is for, by its place in the list.
    pub request: usize,
    /// Other requests of the list that need it too.
    pub also_for: Vec<usize>,
    /// What is done.
    pub action: Action,
    /// What undoes it, in order. Each of these may be done again without harm.
    pub undo: Vec<Action>,
    /// Whether the action may be done again after an answer that never came.
    pub may_be_repeated: bool,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For which machine.
    pub platform: Platform,
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// What is there already and will be used too.
    pub held: Vec<Held>,
    /// Where each request appears, in the order of the requests.
    pub mounts: Vec<PlannedMount>,
    /// Which state of the ledger it was made from.
    pub(crate) revision: u64,
}

/// Something that the machine has, and a request that will use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The request, by its place in the list.
    pub request: usize,
    /// Its entry in the ledger.
    pub entry: EntryId,
}

/// Where a request appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMount {
    /// The place in the guest.
    pub target: Target,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// Why no plan can be made: which request, and what about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mount at {target} cannot be made: {reason}")]
pub struct PlanError {
    /// The place of the request in the list.
    pub request: usize,
    /// Its target.
    pub target: String,
    /// What is in the way.
    pub reason: PlanRefusal,
}

/// What is in the way of a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanRefusal {
    /// Another request has the same target.
    #[error("the mount {other} has the same target")]
    SameTarget {
        /// The place of the other request in the list, from 1, as people count.
        other: usize,
    },
    /// The target is in use.
    #[error("attachment {by} has a mount at {target}")]
    TargetTaken {
        /// The target as the other has it.
        target: String,
        /// Whose it is.
        by: AttachmentId,
    },
    /// A mount of another attachment lies in the target, and could not be seen any more.
    #[error("it would hide {target}, a mount of attachment {by}")]
    Hides {
        /// The target that lies in it.
        target: String,
        /// Whose it is.
        by: AttachmentId,
    },
    /// What it needs, or its target, is being attached or detached.
    #[error("{what} is being attached or detached by attachment {by}")]
    Moving {
        /// The path or target.
        what: String,
        /// Whose it is.
        by: AttachmentId,
    },
    /// The hypervisor or the guest cannot do it.
    #[error("there is {what} with {platform}{instead}")]
    Unsupported {
        /// What cannot be done.
        what: &'static str,
        /// Where.
        platform: String,
        /// What would do, with what leads to it; may be empty.
        instead: &'static str,
    },
    /// The source is spelled for another system.
    #[error("{path} is no path of a {host} host")]
    ForeignPath {
        /// The source.
        path: String,
        /// What the host is.
        host: &'static str,
    },
    /// A file cannot be shared by itself where it is.
    #[error("{path} is no file in a directory")]
    NoFile {
        /// The source.
        path: String,
    },
    /// The name of the share is taken or none.
    #[error("the share name {name:?} {reason}")]
    ShareName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The serial of a disk is none.
    #[error("the serial {serial:?} is not made of at most 36 letters, digits and hyphens")]
    Serial {
        /// The serial.
        serial: String,
    },
    /// The image of a temporary volume is another's.
    #[error("{path} is in use, and a temporary volume needs an image of its own")]
    ImageTaken {
        /// The image.
        path: String,
    },
    /// There is no place for its disk.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl PlanRefusal {
    /// Whether it passes by itself, once somebody who is at work is done.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Moving { .. } | Self::Slot(SlotError::Moving { .. })
        )
    }
}

impl Plan {
    /// Plans mounts for a machine that has nothing attached yet.
    ///
    /// # Errors
    /// [`PlanError`] names the first request that cannot be met.
    pub fn new(platform: Platform, requests: &[MountRequest]) -> Result<Self, PlanError> {
        Self::on(&Ledger::new(platform), requests)
    }

    /// Plans mounts for a machine that has what its ledger says.
    ///
    /// # Errors
    /// [`PlanError`] names the first request that cannot be met.
    pub fn on(ledger: &Ledger, requests: &[MountRequest]) -> Result<Self, PlanError> {
        planner::plan(ledger, requests)
    }

    /// All that undoes the plan, in order.
    pub fn undo(&self) -> Vec<Action> {
        let backwards = self.steps.iter().rev();
        backwards.flat_map(|step| step.undo.clone()).collect()
    }
}

impl Platform {
    /// Where disks can be.
    pub fn slot_layout(self) -> SlotLayout {
        match self.guest {
            GuestSystem::Linux => SlotLayout::HYPER_V,
            GuestSystem::Windows => SlotLayout::FIRST_CONTROLLER,
        }
    }

    /// How directories of the host come into the guest, if they do.
    pub(crate) fn transport(self) -> Option<ShareTransport> {
        match (self.hypervisor, self.guest) {
            (Hypervisor::Hcs(_), GuestSystem::Linux) => Some(ShareTransport::Plan9),
            (Hypervisor::Hcs(_), GuestSystem::Windows) => Some(ShareTransport::VirtualSmb),
            (Hypervisor::Qemu, GuestSystem::Linux) => Some(ShareTransport::VirtioFs),
            (Hypervisor::Qemu, GuestSystem::Windows) => None,
        }
    }
}
