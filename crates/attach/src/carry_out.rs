//! Carries plans out, and takes away again what was attached, so that a machine is as before or as
//! after whatever fails and whoever dies.
//!
//! ```text
//!   Operator ── Journal: the ledger of the machine, changed in transactions
//!      │
//!      └── Host, Machine, Guest: called with no lock held, between two changes of the ledger
//! ```
//!
//! The use of it:
//!
//! 1. [`Operator::recover`] at the start of every command: what dead workers left half done is undone.
//! 2. [`Operator::attach`]: plans on the ledger, writes the whole plan down, then does step after step,
//!    noting each before and after. Where one fails, all of the attachment is undone backwards; what
//!    cannot be undone stays in the ledger and is tried again by the next `recover` or `detach`.
//! 3. [`Operator::detach`]: one target, one attachment or all, as far as the order allows, going on
//!    where something fails. It may be called again at any time.
//!
//! Several workers may be at work on one machine. Each has a [`Worker`] word that others can tell the
//! life of; what one is attaching or detaching, another waits for or leaves alone.
//!
//! Which fault leads to what:
//!
//! | fault | doing a step | undoing one |
//! |---|---|---|
//! | `Unanswered`, `Nonsense`, `Busy` | again, a bounded number of times; a step that may not be repeated is undone before | again, a bounded number of times |
//! | `NotFound` | it fails | it was undone |
//! | `Gone` from machine or guest | it fails | it was undone, with the machine |
//! | any other | it fails | it stays in the ledger |
//!
//! A journal that fails is treated as the death of the worker would be: nothing more is done, and the
//! next command recovers.

mod call;
mod detach;
mod step;
mod undo;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ledger::{AttachmentId, Ledger, Mount, MountId, NewMount, TransitionError, Worker};
use crate::mount::MountRequest;
use crate::plan::{Action, Plan, PlanError};
use crate::sides::{Fault, FaultKind, Guest, Host, Machine};

pub use detach::{DetachError, Detached, Selection};

/// Keeps the ledger of one machine.
pub trait Journal {
    /// Reads the newest ledger, lets `change` work on it, and makes it durable before it returns; nobody
    /// else changes it meanwhile. `change` is called once, and calls no side. A ledger that is as before
    /// (its [revision](Ledger::revision) tells) need not be written.
    ///
    /// # Errors
    /// A [`Fault`]: then it is not known whether the change was kept.
    fn change(&self, change: &mut dyn FnMut(&mut Ledger)) -> Result<(), Fault>;
}

/// Whoever carries out, with all that he needs for it.
#[derive(Clone)]
pub struct Operator<'a> {
    /// The ledger of the machine.
    pub journal: &'a dyn Journal,
    /// The host.
    pub host: &'a dyn Host,
    /// The hypervisor.
    pub machine: &'a dyn Machine,
    /// The guest.
    pub guest: &'a dyn Guest,
    /// The word by which others know whether this one lives.
    pub worker: Worker,
    /// Whether another worker lives.
    pub is_alive: &'a dyn Fn(&Worker) -> bool,
    /// Whether somebody wants an attachment to end; asked before each step.
    pub is_cancelled: &'a dyn Fn() -> bool,
    /// Told of each step.
    pub observer: &'a dyn Fn(&Progress<'_>),
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// How long things are tried.
    pub patience: Patience,
}

/// How long things are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often a call is made at most.
    pub tries: u32,
    /// How long it is waited before it is made again.
    pub between: Duration,
    /// How often it is looked at most whether another worker is done, with the same time between.
    pub looks: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 3,
            between: Duration::from_millis(200),
            looks: 150,
        }
    }
}

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who asks, in words.
    pub owner: String,
    /// Now, in seconds since 1970.
    pub since: u64,
    /// The mounts, and what is written down of each.
    pub mounts: Vec<(MountRequest, NewMount)>,
}

/// One step, as it is told to an observer.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// What is done.
    pub action: &'p Action,
    /// How it stands.
    pub stage: Stage<'p>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'p> {
    /// It begins.
    Begun,
    /// It is tried again after this.
    Again(&'p Fault),
    /// It is done.
    Done,
    /// It failed.
    Failed(&'p Fault),
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct StepFault {
    /// What was to be done.
    pub action: Box<Action>,
    /// Why it was not.
    #[source]
    pub fault: Fault,
}

/// Why nothing was attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// It cannot be planned; nothing was done.
    #[error(transparent)]
    Plan(#[from] Box<PlanError>),
    /// It cannot be begun; nothing was done.
    #[error(transparent)]
    Begin(#[from] TransitionError),
    /// A step failed, and all that was done before was undone, but for what is told.
    #[error("a step failed{}", left_in_words(.undoing))]
    Step {
        /// The step.
        #[source]
        step: Box<StepFault>,
        /// What could not be undone. It stays in the ledger.
        undoing: Vec<StepFault>,
    },
    /// Somebody wanted it to end, and all that was done was undone, but for what is told.
    #[error("attaching was cancelled{}", left_in_words(.undoing))]
    Cancelled {
        /// What could not be undone. It stays in the ledger.
        undoing: Vec<StepFault>,
    },
    /// The ledger could not be kept. What was done so far is undone by the next command.
    #[error("the ledger of the machine cannot be kept")]
    Journal(#[source] Fault),
}

fn left_in_words(undoing: &[StepFault]) -> String {
    match undoing.len() {
        0 => String::new(),
        count => format!(" (and {count} steps could not be undone yet)"),
    }
}

/// Why steps end before the last.
enum Stop {
    Step(Box<StepFault>),
    Cancelled,
    Journal(Fault),
}

impl<'a> Operator<'a> {
    /// An operator alone on its machine, with the usual patience, who tells nobody.
    pub fn new(
        journal: &'a dyn Journal,
        host: &'a dyn Host,
        machine: &'a dyn Machine,
        guest: &'a dyn Guest,
        worker: Worker,
    ) -> Self {
        Self {
            journal,
            host,
            machine,
            guest,
            worker,
            is_alive: &|_| false,
            is_cancelled: &|| false,
            observer: &|_| {},
            pause: &std::thread::sleep,
            patience: Patience::default(),
        }
    }

    /// Attaches all of an order, or nothing.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(&self, order: &Order) -> Result<AttachmentId, AttachError> {
        let id = self.begin(order)?;
        let Err(stop) = self.steps(id) else {
            return Ok(id);
        };
        if let Stop::Journal(fault) = stop {
            return Err(AttachError::Journal(fault));
        }
        let undoing = self.roll_back(id).map_err(AttachError::Journal)?;
        Err(match stop {
            Stop::Step(step) => AttachError::Step { step, undoing },
            _ => AttachError::Cancelled { undoing },
        })
    }

    /// Plans on the ledger and writes the plan into it. Where somebody who lives is at work on what is
    /// needed, he is waited for.
    fn begin(&self, order: &Order) -> Result<AttachmentId, AttachError> {
        let (requests, mounts): (Vec<MountRequest>, Vec<NewMount>) =
            order.mounts.iter().cloned().unzip();
        let mut looks = self.patience.looks;
        loop {
            let begun = self.change(|ledger| -> Result<_, (AttachError, bool)> {
                let plan = Plan::on(ledger, &requests).map_err(|error| {
                    let passes = error.reason.is_passing() && self.somebody_works(ledger);
                    (Box::new(error).into(), passes)
                })?;
                let begun = ledger.begin(&plan, &order.owner, order.since, &self.worker, &mounts);
                begun.map_err(|error| (error.into(), false))
            });
            match begun.map_err(AttachError::Journal)? {
                Ok(id) => return Ok(id),
                Err((error, passes)) => {
                    if !passes || looks == 0 || (self.is_cancelled)() {
                        return Err(error);
                    }
                }
            }
            looks -= 1;
            (self.pause)(self.patience.between);
        }
    }

    fn somebody_works(&self, ledger: &Ledger) -> bool {
        ledger.workers().any(|worker| self.lives(worker))
    }

    fn lives(&self, worker: &Worker) -> bool {
        *worker == self.worker || (self.is_alive)(worker)
    }

    /// Does all steps. That one is done and the next begins is one change of the ledger, which takes
    /// longer to keep than some of the steps.
    fn steps(&self, id: AttachmentId) -> Result<(), Stop> {
        let mut done = None;
        loop {
            if (self.is_cancelled)() {
                return Err(Stop::Cancelled);
            }
            let next = self.write_down(|ledger| {
                if let Some(entry) = done {
                    ledger.finish(entry)?;
                }
                let next = ledger.next_step(id);
                let next = next.map(|entry| (entry.id(), entry.action().clone()));
                match &next {
                    None => ledger.arrive(id)?,
                    // How many are missing is found out first.
                    Some((_, Action::MakeDirectory(_))) => {}
                    Some((entry, _)) => ledger.start(*entry, None)?,
                }
                Ok(next)
            })?;
            let Some((entry, action)) = next else {
                return Ok(());
            };
            self.step(entry, &action)?;
            done = Some(entry);
        }
    }

    /// A change that the state of the ledger always allows, since nobody else works on what is coming.
    fn write_down<T>(
        &self,
        change: impl FnMut(&mut Ledger) -> Result<T, TransitionError>,
    ) -> Result<T, Stop> {
        let changed = self.change(change).map_err(Stop::Journal)?;
        changed.map_err(|error| {
            let what = "somebody else changed what is being attached";
            Stop::Journal(Fault::new(FaultKind::Failed, what).because(error))
        })
    }

    fn roll_back(&self, id: AttachmentId) -> Result<Vec<StepFault>, Fault> {
        let mounts = self.change(|ledger| {
            let mounts = ledger.attachment(id).map(|attachment| {
                let mounts: BTreeSet<MountId> = attachment.mounts.iter().map(|m| m.id).collect();
                mounts
            });
            // Where it is gone, there is nothing to give up.
            let _ = ledger.give_up(id);
            mounts.unwrap_or_default()
        })?;
        Ok(self.sweep(&mounts, false)?.faults)
    }

    /// Changes the ledger, and brings out what the change comes to.
    fn change<T>(&self, mut change: impl FnMut(&mut Ledger) -> T) -> Result<T, Fault> {
        let mut outcome = None;
        self.journal
            .change(&mut |ledger| outcome = Some(change(ledger)))?;
        outcome.ok_or_else(|| Fault::new(FaultKind::Failed, "the ledger was not opened"))
    }

    fn tell(&self, action: &Action, stage: Stage<'_>) {
        (self.observer)(&Progress { action, stage });
    }
}

/// A mount and whose it is.
pub type OwnedMount = (AttachmentId, Mount);
