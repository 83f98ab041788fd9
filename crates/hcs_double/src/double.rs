//! The calls of the double, with their rules: what a handle is good for, when an operation ends, and what
//! shall go wrong.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use attach::hcs::{ComputeCore, CoreResult, HResult, OperationHandle, SystemHandle, WaitTime};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{
    ACCESS_DENIED, ALREADY_STOPPED, FILE_NOT_FOUND, NOT_FOUND, Refusal, SYSTEM_NOT_FOUND, modify,
    refusal, result_document,
};
use crate::host::{HostModel, MachineState};

const INVALID_HANDLE: HResult = HResult(0x8007_0006);
const OPERATION_NOT_STARTED: HResult = HResult(0x8037_0115);
const OPERATION_ALREADY_STARTED: HResult = HResult(0x8037_0116);

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Trouble {
    /// It is refused with this code, and nothing was done.
    Fail(u32),
    /// It is told to have failed with this code, although it was done.
    FailAfter(u32),
    /// It is done, and does not end until the operations are let go.
    Hang,
    /// It does not end until the operations are let go, and is not done.
    HangUndone,
    /// The machine stops before.
    Stop,
}

/// The library, its host and what is open.
#[derive(Debug)]
pub struct Double {
    state: Mutex<State>,
    /// Told when an operation may have ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    host: HostModel,
    next: usize,
    systems: BTreeMap<usize, String>,
    operations: BTreeMap<usize, Operation>,
    calls: u64,
    troubles: BTreeMap<u64, Trouble>,
    misuse: Vec<String>,
}

#[derive(Debug, Default)]
struct Operation {
    system: Option<usize>,
    result: Option<CoreResult>,
    hangs: bool,
}

impl Double {
    /// A library on this host, with nothing open.
    pub fn new(host: HostModel) -> Self {
        Self {
            state: Mutex::new(State::new(host)),
            ended: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(host: HostModel) -> Self {
        Self {
            host,
            // Whoever takes a count for a handle is found out.
            next: 0x4853_0010,
            systems: BTreeMap::new(),
            operations: BTreeMap::new(),
            calls: 0,
            troubles: BTreeMap::new(),
            misuse: Vec::new(),
        }
    }

    fn take_handle(&mut self) -> usize {
        let handle = self.next;
        self.next += 0x10;
        handle
    }

    fn next_trouble(&mut self) -> Option<Trouble> {
        self.calls += 1;
        self.troubles.remove(&self.calls)
    }

    fn misused(&mut self, what: impl Into<String>) -> HResult {
        self.misuse.push(what.into());
        INVALID_HANDLE
    }

    /// Does the work of an operation; what comes of it is told to whoever waits.
    fn begin(
        &mut self,
        system: Option<SystemHandle>,
        operation: OperationHandle,
        work: impl FnOnce(&mut HostModel, &str) -> Result<Option<String>, Refusal>,
    ) -> HResult {
        let id = match system {
            None => String::new(),
            Some(system) => match self.systems.get(&system.0) {
                Some(id) => id.clone(),
                None => return self.misused(format!("{system:?} is not open")),
            },
        };
        let Some(found) = self.operations.get(&operation.0) else {
            return self.misused(format!("{operation:?} is not open"));
        };
        if found.result.is_some() {
            self.misused(format!("{operation:?} was used before"));
            return OPERATION_ALREADY_STARTED;
        }
        let trouble = self.next_trouble();
        let outcome = match trouble {
            Some(Trouble::Fail(code)) => Err(refusal(HResult(code), "made to fail")),
            Some(Trouble::FailAfter(code)) => {
                let _ = work(&mut self.host, &id);
                Err(refusal(HResult(code), "made to fail afterwards"))
            }
            Some(Trouble::HangUndone) => Err(refusal(HResult(0x8000_4004), "given up")),
            Some(Trouble::Stop) => {
                if let Some(machine) = self.host.machines.get_mut(&id) {
                    machine.stop();
                }
                work(&mut self.host, &id)
            }
            Some(Trouble::Hang) | None => work(&mut self.host, &id),
        };
        let result = match outcome {
            Ok(document) => (HResult::OK, document),
            Err(refusal) => (refusal.code, Some(result_document(&refusal))),
        };
        if let Some(found) = self.operations.get_mut(&operation.0) {
            found.system = system.map(|system| system.0);
            found.result = Some(result);
            found.hangs = matches!(trouble, Some(Trouble::Hang | Trouble::HangUndone));
        }
        HResult::OK
    }

    /// A call that answers at once.
    fn answer(&mut self, work: impl FnOnce(&mut HostModel) -> HResult) -> HResult {
        match self.next_trouble() {
            Some(Trouble::Fail(code)) => HResult(code),
            Some(Trouble::FailAfter(code)) => {
                let _ = work(&mut self.host);
                HResult(code)
            }
            _ => work(&mut self.host),
        }
    }
}

fn properties(host: &HostModel, id: &str, query: &str) -> Result<Option<String>, Refusal> {
    let machine = host.machines.get(id);
    let machine = machine.ok_or_else(|| refusal(SYSTEM_NOT_FOUND, "no such system"))?;
    let mut told = json!({
        "Id": id, "SystemType": "VirtualMachine", "Owner": machine.owner,
        "State": format!("{:?}", machine.state),
    });
    if machine.state == MachineState::Stopped {
        told["Stopped"] = json!(true);
    }
    if query.contains("\"Statistics\"") {
        // A figure of zero is left out, as the service does.
        let disks = machine.disks.len();
        told["Statistics"] = json!({"Storage": {
            "ReadCountNormalized": disks + 1, "ReadSizeBytes": (disks + 1) * 8192,
        }});
    }
    Ok(Some(told.to_string()))
}

fn list(host: &HostModel) -> Option<String> {
    let systems = host.machines.iter().map(|(id, machine)| {
        json!({
            "Id": id, "SystemType": "VirtualMachine", "Owner": machine.owner,
            "State": format!("{:?}", machine.state), "RuntimeOsType": format!("{:?}", machine.guest),
        })
    });
    Some(json!(systems.collect::<Vec<_>>()).to_string())
}

impl ComputeCore for Double {
    fn create_operation(&self) -> Option<OperationHandle> {
        let mut state = self.state();
        let handle = state.take_handle();
        state.operations.insert(handle, Operation::default());
        Some(OperationHandle(handle))
    }

    fn close_operation(&self, operation: OperationHandle) {
        let mut state = self.state();
        match state.operations.remove(&operation.0) {
            Some(closed) if closed.hangs => {
                state.misused(format!("{operation:?} was closed before it ended"));
            }
            Some(_) => {}
            None => {
                state.misused(format!("{operation:?} was closed and is not open"));
            }
        }
    }

    fn wait_for_operation_result(&self, operation: OperationHandle, wait: WaitTime) -> CoreResult {
        let hangs = |state: &mut State| {
            state
                .operations
                .get(&operation.0)
                .is_some_and(|found| found.hangs)
        };
        let state = self.state();
        let mut state = match wait {
            WaitTime::Forever => self
                .ended
                .wait_while(state, hangs)
                .unwrap_or_else(PoisonError::into_inner),
            WaitTime::For(time) => {
                self.ended
                    .wait_timeout_while(state, time, hangs)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        match state.operations.get(&operation.0) {
            None => (
                state.misused(format!("{operation:?} is waited for and not open")),
                None,
            ),
            Some(found) if found.hangs => (HResult::OPERATION_TIMEOUT, None),
            Some(Operation { result: None, .. }) => {
                state.misused(format!("{operation:?} is waited for and was not begun"));
                (OPERATION_NOT_STARTED, None)
            }
            Some(Operation {
                result: Some(result),
                ..
            }) => result.clone(),
        }
    }

    fn open_compute_system(&self, id: &str) -> Result<SystemHandle, HResult> {
        let mut state = self.state();
        let told = state.answer(|host| match host.machines.get(id) {
            None => SYSTEM_NOT_FOUND,
            Some(_) => HResult::OK,
        });
        if !told.is_success() {
            return Err(told);
        }
        let handle = state.take_handle();
        state.systems.insert(handle, id.to_owned());
        Ok(SystemHandle(handle))
    }

    fn close_compute_system(&self, system: SystemHandle) {
        let mut state = self.state();
        if state.systems.remove(&system.0).is_none() {
            state.misused(format!("{system:?} was closed and is not open"));
        }
        let mut operations = state.operations.values();
        if operations.any(|operation| operation.hangs && operation.system == Some(system.0)) {
            state.misused(format!("{system:?} was closed under an operation"));
        }
    }

    fn modify_compute_system(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        request: &str,
    ) -> HResult {
        self.state().begin(Some(system), operation, |host, id| {
            modify(host, id, request).map(|()| None)
        })
    }

    fn get_compute_system_properties(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        query: &str,
    ) -> HResult {
        self.state().begin(Some(system), operation, |host, id| {
            properties(host, id, query)
        })
    }

    fn enumerate_compute_systems(&self, operation: OperationHandle, _query: &str) -> HResult {
        self.state()
            .begin(None, operation, |host, _| Ok(list(host)))
    }

    fn get_service_properties(&self, query: &str) -> CoreResult {
        let mut state = self.state();
        let told = state.answer(|_| HResult::OK);
        if !told.is_success() {
            return (told, None);
        }
        if !query.contains("\"Basic\"") {
            return (NOT_FOUND, None);
        }
        let versions = [(1, 0), (2, 0), (2, state.host.newest_minor)];
        let versions = versions.map(|(major, minor)| json!({"Major": major, "Minor": minor}));
        let document = json!({"Properties": [{"SupportedSchemaVersions": versions}]});
        (HResult::OK, Some(document.to_string()))
    }

    fn grant_vm_access(&self, id: &str, path: &str) -> HResult {
        self.state().answer(|host| {
            if !host.has_file(path) {
                return FILE_NOT_FOUND;
            }
            match host.machines.get_mut(id) {
                None => SYSTEM_NOT_FOUND,
                Some(machine) if machine.state == MachineState::Stopped => ALREADY_STOPPED,
                Some(machine) => {
                    machine.access.insert(path.to_lowercase());
                    HResult::OK
                }
            }
        })
    }

    fn revoke_vm_access(&self, id: &str, path: &str) -> HResult {
        self.state().answer(|host| {
            let Some(machine) = host.machines.get_mut(id) else {
                return ACCESS_DENIED;
            };
            machine.access.remove(&path.to_lowercase());
            HResult::OK
        })
    }
}

/// What tests ask of a double, in another program's library as well: a request of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub enum Control {
    /// Begin anew on this host: nothing is open, nothing goes wrong, nothing was called.
    Reset(HostModel),
    /// Put this host in the place of the other.
    SetHost(HostModel),
    /// Have a call from now on, counted from 1, go wrong.
    Trouble(u64, Trouble),
    /// Let the operations that hang come to their end.
    LetGo,
    /// Nothing but a report.
    Report,
}

/// How a double stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The host.
    pub host: HostModel,
    /// How many calls there were.
    pub calls: u64,
    /// Rules that were broken, in words.
    pub misuse: Vec<String>,
    /// How many systems and operations are open.
    pub open: usize,
}

impl Double {
    /// Does what a request of [`Control`] asks, and reports.
    ///
    /// # Errors
    /// Where the request is none.
    pub fn control(&self, request: &str) -> Result<String, serde_json::Error> {
        match serde_json::from_str(request)? {
            Control::Reset(host) => {
                *self.state() = State::new(host);
                self.ended.notify_all();
            }
            Control::SetHost(host) => self.state().host = host,
            Control::Trouble(call, trouble) => {
                let mut state = self.state();
                let call = state.calls + call;
                state.troubles.insert(call, trouble);
            }
            Control::LetGo => {
                for operation in self.state().operations.values_mut() {
                    operation.hangs = false;
                }
                self.ended.notify_all();
            }
            Control::Report => {}
        }
        let state = self.state();
        serde_json::to_string(&Report {
            host: state.host.clone(),
            calls: state.calls,
            misuse: state.misuse.clone(),
            open: state.systems.len() + state.operations.len(),
        })
    }
}
