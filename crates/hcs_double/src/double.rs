//! The double: its host, what is open, and how a call is begun, ends, and is told of.
//!
//! One lock guards all. The host is worked on under it, and under the lock of its file where it is shared;
//! callers are called, and operations slept for, without it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use attach::hcs::{CoreResult, HResult, OperationHandle, SystemHandle};
use serde_json::json;

use crate::codes::{
    CALLBACK_ALREADY_SET, GIVEN_UP, OPERATION_ALREADY_STARTED, Refusal, SERVICE_DISCONNECT, refusal,
};
use crate::events::{Event, EventKind, Owed};
use crate::handles::{Handles, OperationKind, Stage};
use crate::hardware::{Hardware, NoHardware};
use crate::host::{HostModel, MachineState};
use crate::keep::Keep;
use crate::trouble::Trouble;

/// The library, its host and what is open.
pub struct Double {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told when an operation may have ended, or a system.
    pub(crate) ended: Condvar,
    pub(crate) hardware: Box<dyn Hardware>,
    log: Option<PathBuf>,
    longest_wait: Duration,
}

pub(crate) struct State {
    pub(crate) keep: Keep,
    pub(crate) handles: Handles,
    pub(crate) calls: u64,
    begun: u64,
    pub(crate) troubles: BTreeMap<u64, Trouble>,
    pub(crate) delay: Duration,
    pub(crate) journal: Vec<String>,
}

/// How a double is set up.
#[derive(Default)]
pub struct Setting {
    /// The host, where it is in memory.
    pub host: HostModel,
    /// The file that the host is kept in instead.
    pub shared_host: Option<PathBuf>,
    /// Where machines are really changed.
    pub hardware: Option<Box<dyn Hardware>>,
    /// What goes wrong, by the number of the call, counted from 1.
    pub troubles: BTreeMap<u64, Trouble>,
    /// How long every operation takes.
    pub delay: Duration,
    /// The longest that an operation is waited for, where whoever waits sets an end: `None` for his own.
    pub longest_wait: Option<Duration>,
    /// A file for a line a call, and what was broken and left open at the end.
    pub log: Option<PathBuf>,
}

/// What an operation does.
pub(crate) type Work =
    Box<dyn FnOnce(&mut HostModel, &dyn Hardware, &str) -> Result<Option<String>, Refusal> + Send>;

/// A call that begins an operation.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kind: OperationKind,
    pub(crate) system: Option<SystemHandle>,
    pub(crate) operation: OperationHandle,
    /// More about it, for the journal.
    pub(crate) detail: String,
}

impl Double {
    /// A library on this host, with nothing open.
    pub fn new(host: HostModel) -> Self {
        Self::with(Setting {
            host,
            ..Setting::default()
        })
    }

    /// A library that is set up so.
    pub fn with(setting: Setting) -> Self {
        let keep = match setting.shared_host {
            Some(file) => Keep::Shared(file),
            None => Keep::Memory(setting.host),
        };
        let state = State {
            troubles: setting.troubles,
            delay: setting.delay,
            ..State::new(keep)
        };
        let shared = Shared {
            state: Mutex::new(state),
            ended: Condvar::new(),
            hardware: setting.hardware.unwrap_or_else(|| Box::new(NoHardware)),
            log: setting.log,
            longest_wait: setting.longest_wait.unwrap_or(Duration::MAX),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Begins an operation; what comes of it is told to whoever waits.
    pub(crate) fn begin(&self, call: Call, work: Work) -> HResult {
        let mut state = self.state();
        let (id, tells) = match call.system {
            None => (String::new(), false),
            Some(system) => match state.handles.system(system, call.name) {
                Err(code) => return code,
                Ok(system) => {
                    let listener = system.listener.as_ref();
                    let tells = listener.is_some_and(|listener| listener.tells_operations);
                    (system.id.clone(), tells)
                }
            },
        };
        let number = state.begun;
        let operation = match state.handles.operation(call.operation, call.name) {
            Err(code) => return code,
            Ok(operation) => operation,
        };
        if operation.stage != Stage::Unused {
            let handle = call.operation.0;
            let what = format!("{}: operation {handle:#x} was used before", call.name);
            state.handles.misused(what);
            return OPERATION_ALREADY_STARTED;
        }
        if operation.callback.is_some() && tells {
            return CALLBACK_ALREADY_SET;
        }
        operation.kind = call.kind;
        operation.id = Some(number);
        operation.system = call.system.map(|system| system.0);
        operation.stage = Stage::Running;
        state.begun += 1;
        let trouble = state.next_trouble(&format!("{} {}", call.name, call.detail));
        let delay = match trouble {
            Some(Trouble::Late(milliseconds)) => Duration::from_millis(milliseconds),
            _ => state.delay,
        };
        if delay.is_zero() {
            let owed = self.shared.perform(&mut state, &call, &id, trouble, work);
            drop(state);
            self.shared.ended.notify_all();
            deliver(&self.shared, owed);
            return HResult::OK;
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let later = move || {
            thread::sleep(delay);
            let mut state = shared.state();
            let owed = shared.perform(&mut state, &call, &id, trouble, work);
            drop(state);
            shared.ended.notify_all();
            pay(&shared, owed);
        };
        match thread::Builder::new().spawn(later) {
            Ok(_) => HResult::OK,
            Err(_) => crate::codes::OUT_OF_MEMORY,
        }
    }

    /// A call that answers at once, about this machine, if any, with a code alone.
    pub(crate) fn answer(
        &self,
        id: &str,
        what: &str,
        work: impl FnOnce(&mut HostModel) -> Result<(), Refusal>,
    ) -> HResult {
        self.tell(id, what, |host| work(host).map(|()| None)).0
    }

    /// A call that answers at once, with a document where it was met.
    pub(crate) fn tell(
        &self,
        id: &str,
        what: &str,
        work: impl FnOnce(&mut HostModel) -> Result<Option<String>, Refusal>,
    ) -> CoreResult {
        let mut state = self.state();
        // What answers at once is not waited for.
        let trouble = state.next_trouble(what).filter(|trouble| {
            !matches!(
                trouble,
                Trouble::Hang | Trouble::HangUndone | Trouble::Late(_)
            )
        });
        let work = |host: &mut HostModel, _: &dyn Hardware, _: &str| work(host);
        let (told, owed) = self.shared.work(&mut state, id, trouble, work);
        self.shared.log_line(what, told.0);
        drop(state);
        self.shared.ended.notify_all();
        deliver(&self.shared, owed);
        told
    }

    /// Writes to the log what was broken and what is open, as when the library is unloaded. Where the
    /// lock is held by a thread that is no more, nothing is written.
    pub fn close_log(&self) {
        if let Ok(state) = self.shared.state.try_lock() {
            for rule in &state.handles.misuse {
                self.shared.log_text(&format!("broken: {rule}"));
            }
            for open in state.handles.open_in_words() {
                self.shared.log_text(&format!("open: {open}"));
            }
        }
    }
}

impl Shared {
    /// How long somebody waits who said so long.
    pub(crate) fn wait(&self, time: Duration) -> Duration {
        time.min(self.longest_wait)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_line(&self, what: &str, code: HResult) {
        self.log_text(&format!("call: {what} -> {:#010x}", code.0));
    }

    fn log_text(&self, line: &str) {
        let Some(log) = &self.log else { return };
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log);
        // A log that cannot be written is missed by whoever reads it.
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }

    /// Does the work of an operation and ends it; who is owed a call for that.
    fn perform(
        &self,
        state: &mut State,
        call: &Call,
        id: &str,
        trouble: Option<Trouble>,
        work: Work,
    ) -> Vec<Owed> {
        let (result, mut owed) = self.work(state, id, trouble, work);
        self.log_line(&format!("{} {}", call.name, call.detail), result.0);
        let hangs = matches!(trouble, Some(Trouble::Hang | Trouble::HangUndone));
        if let Some(operation) = state.handles.operations.get_mut(&call.operation.0)
            && operation.stage == Stage::Running
        {
            operation.stage = if hangs {
                Stage::Hangs(result)
            } else {
                Stage::Ended(result)
            };
        }
        owed.extend(state.owed_for_operation(call.operation));
        owed
    }

    /// Does the work of a call on the host: what it comes to, and who is owed a call for what else
    /// happened.
    fn work(
        &self,
        state: &mut State,
        id: &str,
        trouble: Option<Trouble>,
        work: impl FnOnce(&mut HostModel, &dyn Hardware, &str) -> Result<Option<String>, Refusal>,
    ) -> (CoreResult, Vec<Owed>) {
        let mut owed = Vec::new();
        if trouble == Some(Trouble::Disconnect) {
            owed.extend(state.disconnect());
        }
        let hardware = &*self.hardware;
        let (outcome, exited) = state.keep.with(|host| {
            let before = states(host);
            let outcome = attempt(host, hardware, id, trouble, work);
            (outcome, exited(&before, host))
        });
        owed.extend(state.owed_for_exits(&exited));
        let told = match (trouble, outcome) {
            (Some(Trouble::Answer(code, answer)), Ok(_)) => (HResult(code), answer.text()),
            (_, Ok(document)) => (HResult::OK, document),
            (_, Err(refusal)) => (refusal.code, Some(refusal.document())),
        };
        (told, owed)
    }
}

/// Does the work, or what goes wrong instead.
fn attempt(
    host: &mut HostModel,
    hardware: &dyn Hardware,
    id: &str,
    trouble: Option<Trouble>,
    work: impl FnOnce(&mut HostModel, &dyn Hardware, &str) -> Result<Option<String>, Refusal>,
) -> Result<Option<String>, Refusal> {
    let end = |machine: &str| {
        let machine = machine.to_owned();
        hardware.ask(&crate::hardware::BrokerRequest::End { machine });
    };
    match trouble {
        Some(Trouble::Fail(code)) => Err(refusal(HResult(code), "made to fail")),
        Some(Trouble::FailAfter(code)) => {
            let _ = work(host, hardware, id);
            Err(refusal(HResult(code), "made to fail afterwards"))
        }
        Some(Trouble::HangUndone) => Err(refusal(GIVEN_UP, "given up")),
        Some(Trouble::Disconnect) => Err(refusal(SERVICE_DISCONNECT, "the service went away")),
        Some(Trouble::Stop) => {
            if let Some(machine) = host.machines.get_mut(id) {
                machine.stop();
                end(id);
            }
            work(host, hardware, id)
        }
        Some(Trouble::Vanish) => {
            if host.machines.remove(id).is_some() {
                end(id);
            }
            work(host, hardware, id)
        }
        // Not done, and told by whoever called.
        Some(Trouble::Answer(code, _)) if !HResult(code).is_success() => Ok(None),
        Some(Trouble::Answer(..)) => work(host, hardware, id),
        Some(Trouble::Hang | Trouble::Late(_)) | None => work(host, hardware, id),
    }
}

fn states(host: &HostModel) -> BTreeMap<String, MachineState> {
    let machines = host.machines.iter();
    machines
        .map(|(id, machine)| (id.clone(), machine.state))
        .collect()
}

/// The machines that have ended since.
pub(crate) fn exited(before: &BTreeMap<String, MachineState>, host: &HostModel) -> Vec<String> {
    let is_over = |id: &String| {
        let machine = host.machines.get(id);
        machine.is_none_or(|machine| machine.state == MachineState::Stopped)
    };
    let lived = before
        .iter()
        .filter(|(_, state)| **state != MachineState::Stopped);
    lived.map(|(id, _)| id.clone()).filter(is_over).collect()
}

/// How a system ended, as a document.
pub(crate) fn exit_document() -> String {
    json!({"Status": 0, "ExitType": "GracefulExit"}).to_string()
}

impl State {
    pub(crate) fn new(keep: Keep) -> Self {
        Self {
            keep,
            handles: Handles::new(),
            calls: 0,
            begun: 0,
            troubles: BTreeMap::new(),
            delay: Duration::ZERO,
            journal: Vec::new(),
        }
    }

    fn next_trouble(&mut self, what: &str) -> Option<Trouble> {
        self.calls += 1;
        self.journal.push(what.trim_end().to_owned());
        self.troubles.remove(&self.calls)
    }

    /// Changes the host by itself; who is told of it.
    pub(crate) fn change_host(&mut self, host: HostModel) -> Vec<Owed> {
        let exited = self.keep.with(|kept| {
            let before = states(kept);
            *kept = host;
            exited(&before, kept)
        });
        self.owed_for_exits(&exited)
    }

    /// The service goes away: operations end so, and open systems are good for nothing but closing.
    pub(crate) fn disconnect(&mut self) -> Vec<Owed> {
        let mut owed = Vec::new();
        for (handle, system) in &mut self.handles.systems {
            system.is_cut_off = true;
            if let Some(listener) = &system.listener {
                let event = Event {
                    kind: EventKind::ServiceDisconnect,
                    data: None,
                    operation: None,
                };
                let callback = Arc::clone(&listener.callback);
                owed.push(Owed::System(SystemHandle(*handle), callback, event));
            }
        }
        let mut ended = Vec::new();
        for (handle, operation) in &mut self.handles.operations {
            if operation.is_under_way() {
                let refused = refusal(SERVICE_DISCONNECT, "the service went away");
                operation.stage = Stage::Ended((refused.code, Some(refused.document())));
                ended.push(OperationHandle(*handle));
            }
        }
        // The one that is under way now is told of when its work was given up.
        owed.extend(
            ended
                .into_iter()
                .flat_map(|operation| self.owed_for_operation(operation)),
        );
        owed
    }

    /// Who is told that an operation ended, if it did; nobody twice.
    pub(crate) fn owed_for_operation(&mut self, handle: OperationHandle) -> Option<Owed> {
        let operation = self.handles.operations.get_mut(&handle.0)?;
        if !matches!(operation.stage, Stage::Ended(_)) || operation.is_told {
            return None;
        }
        operation.is_told = true;
        if let Some(callback) = &operation.callback {
            return Some(Owed::Operation(handle, Arc::clone(callback)));
        }
        let system = operation.system?;
        let listener = self.handles.systems.get(&system)?.listener.as_ref()?;
        let event = Event {
            kind: EventKind::OperationCallback,
            data: None,
            operation: Some(handle),
        };
        let callback = Arc::clone(&listener.callback);
        listener
            .tells_operations
            .then(|| Owed::System(SystemHandle(system), callback, event))
    }

    fn owed_for_exits(&self, exited: &[String]) -> Vec<Owed> {
        let mut owed = Vec::new();
        for (handle, system) in &self.handles.systems {
            if let Some(listener) = &system.listener
                && exited.contains(&system.id)
            {
                let event = Event {
                    kind: EventKind::SystemExited,
                    data: Some(exit_document()),
                    operation: None,
                };
                let callback = Arc::clone(&listener.callback);
                owed.push(Owed::System(SystemHandle(*handle), callback, event));
            }
        }
        owed
    }
}

/// Calls who is owed a call, in a thread of its own.
pub(crate) fn deliver(shared: &Arc<Shared>, owed: Vec<Owed>) {
    if owed.is_empty() {
        return;
    }
    let shared = Arc::clone(shared);
    // Where there is no thread to be had, nobody hears of anything, as in the real library.
    drop(thread::Builder::new().spawn(move || pay(&shared, owed)));
}

/// Calls them in this thread, which no caller of the double is in. What was closed hears of nothing.
fn pay(shared: &Shared, owed: Vec<Owed>) {
    for owed in owed {
        match owed {
            Owed::Operation(handle, callback) => {
                let is_open = shared.state().handles.operations.contains_key(&handle.0);
                if is_open {
                    callback(handle);
                }
            }
            Owed::System(handle, callback, event) => {
                let is_open = shared.state().handles.systems.contains_key(&handle.0);
                if is_open {
                    callback(&event);
                }
            }
        }
    }
}
