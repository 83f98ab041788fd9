//! The agent in a guest, as the host talks to it: requests over a channel of bytes, each answered in
//! time or a fault.
//!
//! ```text
//!   Guest (trait) ──> GuestClient ── one request at a time ──> Talk ── frames ──> Channel
//!                        │                                      │
//!                     checks.rs: no answer is believed       token, number, version
//!                     that can be checked                    of this conversation
//! ```
//!
//! A conversation is opened by a `hello` under a token of its own. After a request without an answer
//! it is over: the next request opens another, under which late answers are told apart and dropped. A
//! guest that answers garbage, floods, stalls in mid-answer or never answers costs a bounded time and
//! the memory of one frame.

mod channel;
mod checks;
mod requests;
mod talk;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guest_proto::{Answer, MountedThing, Request, Run, Stream, Usage, Welcome};

use crate::mount::SmbSource;
use crate::path::Target;
use crate::plan::Share;
use crate::sides::{Credentials, DiskMount, Fault, FaultKind, Guest, Unmounting};
use crate::slots::Slot;

pub use channel::{Channel, PipeChannel};
pub use guest_proto::{
    GuestKind as GuestAgentSystem, MountedThing as GuestMount, Run as GuestCommand,
    Stream as OutputStream, Usage as GuestUsage, Welcome as GuestWelcome,
};

use talk::Talk;

/// How many pages of mounts are asked for at most.
const MAX_PAGES: usize = 128;

/// How long the guest is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a hello: no work is behind it.
    pub hello: Duration,
    /// For what is looked up.
    pub lookup: Duration,
    /// For the device of a disk or a share to come up in the guest, before it is mounted.
    pub disk: Duration,
    /// For mounting, formatting, unmounting, writing out.
    pub work: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(20),
            lookup: Duration::from_secs(20),
            disk: Duration::from_secs(30),
            work: Duration::from_secs(90),
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandEnd {
    /// Its exit code; `None` where it was killed.
    pub code: Option<i32>,
    /// What killed it, as the guest numbers that.
    pub signal: Option<i32>,
    /// Which limit it was killed for.
    pub limit: Option<String>,
}

/// The agent of one guest.
pub struct GuestClient {
    talk: Mutex<Talk>,
    patience: Patience,
    encrypts_smb: bool,
    is_alive: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl GuestClient {
    /// The guest at the other end of a channel. Nothing is said to it yet.
    pub fn new(channel: impl Channel + 'static) -> Self {
        Self {
            talk: Mutex::new(Talk::new(Box::new(channel))),
            patience: Patience::default(),
            encrypts_smb: true,
            is_alive: None,
        }
    }

    /// Waits longer or shorter.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Says how to find out whether the machine still runs. Where the channel ends and it does not,
    /// faults are [`FaultKind::Gone`]; without this they are [`FaultKind::Unanswered`], since the end
    /// of a channel alone proves nothing.
    #[must_use]
    pub fn with_liveness(mut self, is_alive: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.is_alive = Some(Box::new(is_alive));
        self
    }

    /// Mounts SMB shares also where the server does not encrypt.
    #[must_use]
    pub fn without_smb_encryption(mut self) -> Self {
        self.encrypts_smb = false;
        self
    }

    /// Opens a conversation and says who answers; `limit` is how long a guest that still boots is
    /// waited for.
    ///
    /// # Errors
    /// A [`Fault`]: `Unanswered` where there is no agent, `Unsupported` where it speaks no version
    /// that is spoken here.
    pub fn hello(&self, limit: Duration) -> Result<Welcome, Fault> {
        let mut talk = self.lock();
        talk.greet(limit).map_err(|fault| self.judged(fault))
    }

    /// Runs a command and hands its output over as it comes; `output` may end it by breaking.
    ///
    /// # Errors
    /// A [`Fault`]; `NotFound` where there is no such program.
    pub fn run(
        &self,
        run: &Run,
        output: &mut dyn FnMut(Stream, &[u8]) -> ControlFlow<()>,
    ) -> Result<CommandEnd, Fault> {
        let limit =
            Duration::from_secs(run.limit_seconds.into()).saturating_add(self.patience.lookup);
        let mut talk = self.ready()?;
        let ended = talk.run(run, limit, output);
        ended.map_err(|fault| self.judged(fault))
    }

    /// Has the guest write out all that it holds.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn sync(&self) -> Result<(), Fault> {
        self.done(&Request::Sync, self.patience.work)
    }

    /// Has the file system at a target written out and its writers wait. The guest lets them go by
    /// itself after `thaw_after`.
    ///
    /// # Errors
    /// A [`Fault`]; `Unsupported` where the file system cannot be frozen.
    pub fn freeze(&self, target: &Target, thaw_after: Duration) -> Result<(), Fault> {
        let thaw_after_seconds = u32::try_from(thaw_after.as_secs().max(1)).unwrap_or(u32::MAX);
        let target = target.to_string();
        let request = Request::Freeze {
            target,
            thaw_after_seconds,
        };
        self.done(&request, self.patience.work)
    }

    /// Lets the writers go. `false`: they had been let go before, so that what was copied meanwhile
    /// may be of several moments.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn thaw(&self, target: &Target) -> Result<bool, Fault> {
        let target = target.to_string();
        match self.done(&Request::Thaw { target }, self.patience.work) {
            Ok(()) => Ok(true),
            Err(fault) if fault.kind() == FaultKind::NotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// How full the file system at a target is.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn usage(&self, target: &Target) -> Result<Usage, Fault> {
        let target = target.to_string();
        let answer = self.ask(&Request::Usage { target }, self.patience.lookup)?;
        checks::usage(answer)
    }

    /// What was mounted by way of the agent and still is, in the order of the targets.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn mounts(&self) -> Result<Vec<MountedThing>, Fault> {
        let mut all: Vec<MountedThing> = Vec::new();
        for _ in 0..MAX_PAGES {
            let after = all.last().map(|mount| mount.target.clone());
            let answer = self.ask(&Request::ListMounts { after }, self.patience.lookup)?;
            if !checks::page(answer, &mut all)? {
                return Ok(all);
            }
        }
        Err(checks::nonsense("a list of mounts without an end"))
    }

    /// Has everything written out and the machine ended. That it ended is for the machine to say.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn power_off(&self) -> Result<(), Fault> {
        self.done(&Request::PowerOff, self.patience.work)
    }

    /// Mounts a disk that is waited for this long in the guest.
    ///
    /// # Errors
    /// A [`Fault`]; `NotFound` where it did not come.
    pub fn mount_disk_within(&self, mount: &DiskMount, wait: Duration) -> Result<(), Fault> {
        self.mount(&requests::mount_disk(mount, wait), wait)
    }

    /// Mounts a share whose device is waited for this long in the guest.
    ///
    /// # Errors
    /// A [`Fault`]; `NotFound` where it did not come.
    pub fn mount_share_within(
        &self,
        share: &Share,
        target: &Target,
        wait: Duration,
    ) -> Result<(), Fault> {
        self.mount(&requests::mount_share(share, target, wait), wait)
    }

    fn ask(&self, request: &Request, limit: Duration) -> Result<Answer, Fault> {
        let mut talk = self.ready()?;
        let mut answer = talk.ask(request, limit);
        if matches!(&answer, Ok(answer) if checks::is_stranger(answer)) {
            // An agent that began anew has not done it, and knows no conversation of ours.
            let greeted = talk.greet(self.patience.hello);
            greeted.map_err(|fault| self.judged(fault))?;
            answer = talk.ask(request, limit);
        }
        answer.map_err(|fault| self.judged(fault))
    }

    fn done(&self, request: &Request, limit: Duration) -> Result<(), Fault> {
        checks::done(self.ask(request, limit)?)
    }

    fn mount(&self, request: &Request, wait: Duration) -> Result<(), Fault> {
        let answer = self.ask(request, self.patience.work.saturating_add(wait))?;
        checks::mounted(request, answer)
    }

    /// The channel, with a conversation open on it.
    fn ready(&self) -> Result<MutexGuard<'_, Talk>, Fault> {
        let mut talk = self.lock();
        if !talk.is_open() {
            let greeted = talk.greet(self.patience.hello);
            greeted.map_err(|fault| self.judged(fault))?;
        }
        Ok(talk)
    }

    fn lock(&self) -> MutexGuard<'_, Talk> {
        // Whoever panicked with it left a conversation that the next request begins anew.
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault, as what is known of the machine makes it.
    fn judged(&self, fault: talk::TalkFault) -> Fault {
        let is_gone = fault.channel_ended && self.is_alive.as_ref().is_some_and(|alive| !alive());
        if is_gone {
            return Fault::new(FaultKind::Gone, "the machine has ended").because(fault.fault);
        }
        fault.fault
    }
}

impl Guest for GuestClient {
    fn unplug_disk(&self, slot: Slot) -> Result<(), Fault> {
        self.done(&requests::unplug(slot), self.patience.work)
    }

    fn mount_disk(&self, mount: &DiskMount) -> Result<(), Fault> {
        self.mount_disk_within(mount, self.patience.disk)
    }

    fn mount_share(&self, share: &Share, target: &Target) -> Result<(), Fault> {
        self.mount_share_within(share, target, self.patience.disk)
    }

    fn mount_smb(
        &self,
        source: &SmbSource,
        credentials: Option<&Credentials>,
        target: &Target,
        read_only: bool,
    ) -> Result<(), Fault> {
        let request =
            requests::mount_smb(source, credentials, target, read_only, self.encrypts_smb)?;
        self.mount(&request, Duration::ZERO)
    }

    fn mount_memory(&self, target: &Target, size: u64) -> Result<(), Fault> {
        self.mount(&requests::mount_memory(target, size), Duration::ZERO)
    }

    fn unmount(&self, target: &Target, how: Unmounting) -> Result<(), Fault> {
        let request = requests::unmount(target, how == Unmounting::Forced);
        self.done(&request, self.patience.work)
    }
}

/// Whether an error of a channel says that nothing came in time.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}
