//! Mounts attached to machines, and taken away again.
//!
//! What has to be kept of an attachment stands in two places: in the ledger of the machine (what was or
//! may be done, and for whom) and among the claims of the store (who has a volume). The order of writes:
//!
//! ```text
//!   attach    claims ── ledger: the whole plan ── step, noted before and after ── ...
//!   detach    ledger: it leaves ── undoing, noted before and after ── ledger: gone ── claims released
//! ```
//!
//! So at every moment the claims are at least those that the ledger needs: nobody can change a volume
//! that may be in a machine. What a crash leaves too many of, the next command on the machine releases:
//! it has the lock of the machine, and so nobody else can be about to need them.

mod attachments;
mod claims;
mod doctor;
mod presence;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attach::carry_out::{Detached, Operator, Order, Progress, Selection, Stage};
use attach::ledger::{AttachmentId, NewMount, Worker};
use attach::{Fault, Hypervisor, MountRequest, Source, Target};
use volume::{ClaimMode, ClaimRequest};

use crate::Engine;
use crate::error::{Error, Result};
use crate::exports;
use crate::host_side::HostSide;
use crate::machine::{FileJournal, LOCK_PATIENCE, Machine, MachineFailure};
use crate::mounts::MountFailure;
use crate::passwords::read_password;
use crate::volumes::volume_name;
use crate::windows_paths::source_for_service;
use crate::wiring::Sides;

use presence::Presence;

pub use attachments::{AttachedMount, Attachment, MountProgress};

/// How long an agent may take to answer before anything is attached.
const GREETING_PATIENCE: Duration = Duration::from_secs(20);

/// Mounts to be attached.
#[derive(Clone, Debug)]
pub struct AttachMounts {
    /// To which machine.
    pub machine: String,
    /// Each in words, as `type=volume,source=data,target=/data,readonly`.
    pub mounts: Vec<String>,
    /// Who asks, in words; by itself the user of this process.
    pub owner: Option<String>,
}

/// What is to be detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetachWhat {
    /// All that the machine has.
    All,
    /// One attachment, by its number.
    Attachment(u64),
    /// What is mounted at a target.
    Target(String),
}

/// What came of detaching.
#[derive(Debug)]
pub struct DetachOutcome {
    /// The targets of which nothing is left.
    pub gone: Vec<String>,
    /// Those of which something is left, to be tried again.
    pub left: Vec<String>,
    /// What went wrong with them.
    pub faults: Vec<Error>,
    /// What the guest did not do, and was passed over by force.
    pub forced: Vec<String>,
}

/// Who is told what is done, and can end it.
pub struct Watch<'w> {
    /// Told of each step, in words.
    pub step: Box<dyn Fn(StepNews<'_>) + 'w>,
    /// Whether somebody wants it to end; then what was done is undone.
    pub is_cancelled: &'w dyn Fn() -> bool,
}

/// A step, as it is told.
#[derive(Clone, Copy, Debug)]
pub struct StepNews<'n> {
    /// What is done.
    pub action: &'n str,
    /// How it stands.
    pub stage: StepStage<'n>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StepStage<'n> {
    /// It begins.
    Begun,
    /// It failed, and is tried again.
    Again(&'n str),
    /// It is done.
    Done,
    /// It failed.
    Failed(&'n str),
}

impl Engine {
    /// Attaches mounts to a machine that runs: all of them, or nothing.
    ///
    /// # Errors
    /// `NotFound` (the machine, a volume, a directory), `InvalidArgument` (a mount), `Unsupported` (what
    /// the machine cannot do), `InUse` (a volume or target that somebody has, no place for a disk, or
    /// somebody is at work on the machine), `Interrupted`, `NoSpace`, `Io`.
    pub fn attach(&self, request: &AttachMounts, watch: &Watch<'_>) -> Result<Attachment> {
        let machine = self.machine(&request.machine)?;
        let lock = machine.lock("attaching", LOCK_PATIENCE)?;
        let journal = FileJournal::open(&machine, &lock)?;
        let sides = self.sides(&machine)?;
        let host = self.host_side(&machine)?;
        let operator = operator(&journal, &host, &sides);
        let told = tell(watch);
        let operator = Operator {
            observer: &told,
            is_cancelled: watch.is_cancelled,
            ..operator
        };
        self.settle(&machine, &operator, &journal, &host)?;
        let planned = self.planned(&machine, &request.mounts, &host)?;
        if let Some(agent) = &sides.greeted {
            // Where there is no way to the guest, what was done could not be undone in it either.
            let greeted = agent.hello(GREETING_PATIENCE);
            greeted.map_err(|fault| side(&machine, fault))?;
        }
        let id = journal.ledger()?.next_attachment();
        let claimant = claims::claimant(&machine, id);
        let wanted = claims::once_each(planned.iter().filter_map(|mount| mount.claim.clone()));
        // Before the ledger: what the machine may have is claimed at any moment.
        self.store()?.claim(&claimant, &wanted)?;
        let order = Order {
            owner: request.owner.clone().unwrap_or_else(user_name),
            since: now(),
            mounts: planned
                .into_iter()
                .map(|mount| (mount.request, mount.new))
                .collect(),
        };
        let attached = operator.attach(&order);
        let id = match attached {
            Ok(id) => id,
            Err(source) => {
                // What is left of it stays claimed.
                self.settle_claims(&machine, &journal.ledger()?)?;
                let name = machine.known.name.clone();
                return Err(MachineFailure::Attach { name, source }.into());
            }
        };
        let attachments =
            self.attachments_of(&machine, &journal.ledger()?, &Presence::default())?;
        let found = attachments.into_iter().find(|it| it.id == id.number());
        found.ok_or_else(|| vanished(&machine, id))
    }

    /// Detaches what is selected, as far as it can be; it can be tried again. With `force`, a guest that
    /// does not do its part is passed over, and what it had not written is lost.
    ///
    /// # Errors
    /// `NotFound` (the machine, the attachment, the target), `InUse` (another mount lies in it, somebody
    /// is at work), `InvalidArgument`, `Io`. What could not be undone is told in the outcome.
    pub fn detach(
        &self,
        machine: &str,
        what: &DetachWhat,
        force: bool,
        watch: &Watch<'_>,
    ) -> Result<DetachOutcome> {
        let machine = self.machine(machine)?;
        let lock = machine.lock("detaching", LOCK_PATIENCE)?;
        let journal = FileJournal::open(&machine, &lock)?;
        let sides = self.sides(&machine)?;
        let host = self.host_side(&machine)?;
        let told = tell(watch);
        let operator = Operator {
            observer: &told,
            ..operator(&journal, &host, &sides)
        };
        let what = match what {
            DetachWhat::All => Selection::All,
            DetachWhat::Attachment(number) => Selection::Attachment(AttachmentId::new(*number)),
            DetachWhat::Target(target) => Selection::Target(
                Target::parse(target, machine.known.platform.guest).map_err(MountFailure::Path)?,
            ),
        };
        let recovered = operator.recover().map_err(|fault| side(&machine, fault))?;
        let detached = match operator.detach(&what, force) {
            Ok(mut detached) => {
                detached.gone.extend(recovered.gone);
                Ok(detached)
            }
            // What dead processes left half done is gone by now, and that may have been all of it.
            Err(error) => match was_recovered(&what, recovered) {
                Some(recovered) => Ok(recovered),
                None => Err(error),
            },
        };
        let ledger = journal.ledger()?;
        // After the ledger: see the head of the module.
        self.settle_claims(&machine, &ledger)?;
        let name = machine.known.name.clone();
        let detached = detached.map_err(|source| MachineFailure::Detach { name, source })?;
        Ok(outcome(&machine, detached))
    }

    /// For the start of every command on a machine that is locked: what dead processes left half done
    /// is undone, claims are those that the ledger needs, and what has to be served is served.
    fn settle(
        &self,
        machine: &Machine,
        operator: &Operator<'_>,
        journal: &FileJournal<'_>,
        host: &HostSide<'_>,
    ) -> Result<()> {
        operator.recover().map_err(|fault| side(machine, fault))?;
        let ledger = journal.ledger()?;
        self.settle_claims(machine, &ledger)?;
        for wanted in exports::wanted(&ledger) {
            let exports = host.exports();
            let alive = exports.is_alive(&wanted.serial);
            if !alive.map_err(|fault| side(machine, fault))? {
                // One that cannot be served is told by `ps`, and is not in the way of other mounts.
                let _ = exports.start(&wanted);
            }
        }
        Ok(())
    }

    /// The host's side of a machine.
    fn host_side(&self, machine: &Machine) -> Result<HostSide<'_>> {
        Ok(HostSide::new(self, machine, &self.config().program()?))
    }

    /// The mounts as requests, each with the claim that it needs.
    fn planned(
        &self,
        machine: &Machine,
        mounts: &[String],
        host: &HostSide<'_>,
    ) -> Result<Vec<PlannedMount>> {
        let temporary = machine.temporary_folder();
        let mut planned: Vec<PlannedMount> = Vec::with_capacity(mounts.len());
        for mount in mounts {
            let guest = machine.known.platform.guest;
            let (mut request, words) = self.request(guest, mount, &temporary)?;
            if matches!(machine.known.platform.hypervisor, Hypervisor::Hcs(_)) {
                self.find_parents(&mut request.source, &words)?;
                request.source = source_for_service(request.source).map_err(MountFailure::Path)?;
            }
            if let (Source::Smb(share), Some(file)) = (&request.source, &words.password_file) {
                host.give_password(share, read_password(file)?);
            }
            let volume = match words.kind.as_str() {
                "volume" => Some(volume_name(&words.source)?),
                _ => None,
            };
            let reference = match &volume {
                Some(name) => Some(claims::reference(self.store()?.get(name)?.id)),
                None => None,
            };
            let mode = if request.read_only {
                ClaimMode::Reader
            } else {
                ClaimMode::Writer
            };
            planned.push(PlannedMount {
                claim: volume.map(|volume| ClaimRequest { volume, mode }),
                new: NewMount {
                    source: words.told(),
                    reference,
                },
                request,
            });
        }
        Ok(planned)
    }
}

/// A mount before it is attached.
struct PlannedMount {
    request: MountRequest,
    new: NewMount,
    claim: Option<ClaimRequest>,
}

/// An operator that is alone on its machine, since it has the lock: whoever else stands in the ledger is
/// dead.
fn operator<'o>(
    journal: &'o FileJournal<'_>,
    host: &'o HostSide<'_>,
    sides: &'o Sides,
) -> Operator<'o> {
    let worker = Worker(format!("process {}", std::process::id()));
    let operator = Operator::new(journal, host, &*sides.machine, &*sides.guest, worker);
    Operator {
        // The process number may be that of a dead one.
        is_alive: &|_| false,
        ..operator
    }
}

/// What the recovery undid already of what was to be detached.
fn was_recovered(what: &Selection, recovered: Detached) -> Option<Detached> {
    let is_meant = recovered.gone.iter().any(|(id, mount)| match what {
        Selection::All => true,
        Selection::Attachment(wanted) => wanted == id,
        Selection::Target(target) => mount.target.is_same_place(target),
    });
    is_meant.then_some(recovered)
}

fn outcome(machine: &Machine, detached: Detached) -> DetachOutcome {
    let targets = |mounts: &[attach::carry_out::OwnedMount]| {
        let targets = mounts.iter().map(|(_, mount)| mount.target.to_string());
        targets.collect::<Vec<_>>()
    };
    let name = &machine.known.name;
    DetachOutcome {
        gone: targets(&detached.gone),
        left: targets(&detached.left),
        faults: detached
            .faults
            .into_iter()
            .map(|source| {
                let name = name.clone();
                MachineFailure::Step { name, source }.into()
            })
            .collect(),
        forced: detached
            .forced
            .iter()
            .map(|step| step.action.to_string())
            .collect(),
    }
}

fn tell<'w>(watch: &'w Watch<'w>) -> impl Fn(&Progress<'_>) + 'w {
    |progress: &Progress<'_>| {
        let action = progress.action.to_string();
        let told = |stage| {
            (watch.step)(StepNews {
                action: &action,
                stage,
            });
        };
        match progress.stage {
            Stage::Begun => told(StepStage::Begun),
            Stage::Again(fault) => told(StepStage::Again(&fault.to_string())),
            Stage::Done => told(StepStage::Done),
            Stage::Failed(fault) => told(StepStage::Failed(&fault.to_string())),
        }
    }
}

fn side(machine: &Machine, source: Fault) -> Error {
    let name = machine.known.name.clone();
    MachineFailure::Side { name, source }.into()
}

fn vanished(machine: &Machine, id: AttachmentId) -> Error {
    let what = format!("attachment {id} is not in the ledger that it was written into");
    side(machine, Fault::new(attach::FaultKind::Failed, what))
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Whose process this is.
fn user_name() -> String {
    crate::config::user_name().unwrap_or_else(|| "somebody".to_owned())
}
