//! The calls that cvol does not make: systems are made, started and ended, somebody listens, and the
//! group of all machines may read a file.

use std::time::{Duration, Instant};

use attach::hcs::{CoreResult, DocumentKind, HResult, OperationHandle, SystemHandle, WaitTime};
use serde_json::Value;

use crate::change::{document, furnish};
use crate::codes::{
    ALREADY_STOPPED, FILE_NOT_FOUND, INVALID_ACL, INVALID_JSON, INVALID_STATE, NOT_SUPPORTED,
    OPERATION_ALREADY_STARTED, Refusal, SYSTEM_EXISTS, SYSTEM_NOT_FOUND, UNSUPPORTED_VERSION,
    refusal,
};
use crate::double::{Call, Double, exit_document};
use crate::events::{Listener, OperationCallback, SystemCallback};
use crate::handles::{OperationKind, Stage};
use crate::hardware::{BrokerRequest, Hardware, ask};
use crate::host::{Guest, HostModel, MachineModel, MachineState};

impl Double {
    /// `HcsCreateComputeSystem`: the system is open at once, and there when the operation ended.
    ///
    /// # Errors
    /// The code, where the operation is none.
    pub fn create_compute_system(
        &self,
        id: &str,
        configuration: &str,
        operation: OperationHandle,
    ) -> Result<SystemHandle, HResult> {
        let system = self.state().handles.add_system(id);
        let configuration = configuration.to_owned();
        let call = Call {
            name: "HcsCreateComputeSystem",
            kind: OperationKind::Create,
            system: Some(system),
            operation,
            detail: id.to_owned(),
        };
        let work = move |host: &mut HostModel, _: &dyn Hardware, id: &str| {
            let machine = made(host, id, &configuration)?;
            host.machines.insert(id.to_owned(), machine);
            Ok(None)
        };
        let code = self.begin(call, Box::new(work));
        if code.is_success() {
            return Ok(system);
        }
        self.state().handles.close_system(system);
        Err(code)
    }

    /// `HcsStartComputeSystem` and its like: one state becomes another.
    pub fn change_state(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        kind: OperationKind,
        options: &str,
    ) -> HResult {
        let name = match kind {
            OperationKind::Start => "HcsStartComputeSystem",
            OperationKind::Shutdown => "HcsShutDownComputeSystem",
            OperationKind::Pause => "HcsPauseComputeSystem",
            OperationKind::Resume => "HcsResumeComputeSystem",
            OperationKind::Save => "HcsSaveComputeSystem",
            _ => "HcsTerminateComputeSystem",
        };
        let options = options.to_owned();
        let call = Call {
            name,
            kind,
            system: Some(system),
            operation,
            detail: options.clone(),
        };
        let work = move |host: &mut HostModel, hardware: &dyn Hardware, id: &str| {
            become_another(host, hardware, id, kind, &options).map(|()| None)
        };
        self.begin(call, Box::new(work))
    }

    /// `HcsWaitForComputeSystemExit`. Another program may end the system, where the host is shared.
    pub fn wait_for_exit(&self, system: SystemHandle, wait: WaitTime) -> CoreResult {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let deadline = match wait {
            WaitTime::For(time) => Instant::now().checked_add(time),
            WaitTime::Forever => None,
        };
        let mut state = self.state();
        loop {
            let id = match state.handles.system(system, "HcsWaitForComputeSystemExit") {
                Ok(system) => system.id.clone(),
                Err(code) => return (code, None),
            };
            let is_over = state.keep.with(|host| {
                let machine = host.machines.get(&id);
                machine.is_none_or(|machine| machine.state == MachineState::Stopped)
            });
            if is_over {
                return (HResult::OK, Some(exit_document()));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return (HResult::OPERATION_TIMEOUT, None);
            }
            let waited = self.shared.ended.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// `HcsSetComputeSystemCallback`; `None` ends it.
    pub fn set_system_callback(
        &self,
        system: SystemHandle,
        tells_operations: bool,
        callback: Option<SystemCallback>,
    ) -> HResult {
        let mut state = self.state();
        match state.handles.system(system, "HcsSetComputeSystemCallback") {
            Err(code) => code,
            Ok(system) => {
                system.listener = callback.map(|callback| Listener {
                    tells_operations,
                    callback,
                });
                HResult::OK
            }
        }
    }

    /// `HcsSetOperationCallback`, before the operation is used.
    pub fn set_operation_callback(
        &self,
        operation: OperationHandle,
        callback: Option<OperationCallback>,
    ) -> HResult {
        let mut state = self.state();
        match state
            .handles
            .operation(operation, "HcsSetOperationCallback")
        {
            Err(code) => code,
            Ok(found) if found.stage != Stage::Unused => OPERATION_ALREADY_STARTED,
            Ok(found) => {
                found.callback = callback;
                HResult::OK
            }
        }
    }

    /// `HcsSetOperationContext`: what a caller keeps with an operation.
    pub fn set_operation_context(&self, operation: OperationHandle, context: usize) -> HResult {
        let mut state = self.state();
        match state.handles.operation(operation, "HcsSetOperationContext") {
            Err(code) => code,
            Ok(found) => {
                found.context = context;
                HResult::OK
            }
        }
    }

    /// What is known of an operation: its context, type, number and system; `None` where it is not open.
    pub fn operation_facts(&self, operation: OperationHandle) -> Option<OperationFacts> {
        let mut state = self.state();
        let found = state.handles.operation(operation, "a question").ok()?;
        Some(OperationFacts {
            context: found.context,
            kind: found.kind,
            id: found.id,
            system: found.system.map(SystemHandle),
        })
    }

    /// `HcsGrantVmGroupAccess`: all machines may read a file.
    pub fn grant_group_access(&self, path: &str) -> HResult {
        self.answer("", &format!("HcsGrantVmGroupAccess {path}"), |host| {
            check_is_there(host, path)?;
            let limit = host.access_limit;
            let list = host.access.entry(path.to_lowercase()).or_default();
            if !list.group && list.machines.len() >= limit {
                return Err(refusal(INVALID_ACL, "the list of who may open it is full"));
            }
            list.group = true;
            Ok(())
        })
    }

    /// `HcsRevokeVmGroupAccess`.
    pub fn revoke_group_access(&self, path: &str) -> HResult {
        self.answer("", &format!("HcsRevokeVmGroupAccess {path}"), |host| {
            check_is_there(host, path)?;
            let key = path.to_lowercase();
            if let Some(list) = host.access.get_mut(&key) {
                list.group = false;
                if list.machines.is_empty() {
                    host.access.remove(&key);
                }
            }
            Ok(())
        })
    }

    /// `HcsCreateEmptyGuestStateFile` and `HcsCreateEmptyRuntimeStateFile`. The double makes a file that
    /// is empty indeed.
    pub fn create_state_file(&self, path: &str) -> HResult {
        self.answer(
            "",
            &format!("HcsCreateEmptyStateFile {path}"),
            |host| match &mut host.files {
                Some(files) => {
                    let file = crate::files::FileModel {
                        content: crate::files::Content::Other,
                        ..crate::files::FileModel::default()
                    };
                    files.insert(path.to_owned(), file);
                    Ok(())
                }
                None => match std::fs::File::create(path) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(refusal(FILE_NOT_FOUND, error.to_string())),
                },
            },
        )
    }
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationFacts {
    /// What the caller keeps with it.
    pub context: usize,
    /// What it is for.
    pub kind: OperationKind,
    /// Its number, once it was begun.
    pub id: Option<u64>,
    /// The system it works on.
    pub system: Option<SystemHandle>,
}

fn check_is_there(host: &HostModel, path: &str) -> Result<(), Refusal> {
    match host.has_file(path) {
        true => Ok(()),
        false => Err(refusal(FILE_NOT_FOUND, format!("{path} is not there"))),
    }
}

/// The machine that a document describes.
fn made(host: &HostModel, id: &str, configuration: &str) -> Result<MachineModel, Refusal> {
    if host.machines.contains_key(id) {
        return Err(refusal(SYSTEM_EXISTS, format!("a system {id} is there")));
    }
    let version: Value = serde_json::from_str(configuration)
        .map_err(|error| refusal(INVALID_JSON, format!("no JSON: {error}")))?;
    let version = &version["SchemaVersion"];
    let minor = version["Minor"]
        .as_u64()
        .and_then(|it| u32::try_from(it).ok());
    let minor = minor.filter(|minor| *minor <= host.newest_minor);
    let (Some(minor), Some(2)) = (minor, version["Major"].as_u64()) else {
        return Err(refusal(UNSUPPORTED_VERSION, format!("no schema {version}")));
    };
    let document = document(configuration, DocumentKind::ComputeSystem, minor)?;
    let machine = &document["VirtualMachine"];
    if !machine.is_object() {
        let words = "the double has no model of systems but virtual machines";
        return Err(refusal(NOT_SUPPORTED, words));
    }
    let devices = &machine["Devices"];
    // What a machine boots is not said otherwise: a kernel given by the host is that of Linux.
    let is_linux =
        machine["Chipset"]["LinuxKernelDirect"].is_object() || devices["Plan9"].is_object();
    let guest = match is_linux {
        true => Guest::Linux,
        false => Guest::Windows,
    };
    let controllers = devices["Scsi"].as_object().into_iter().flatten();
    let mut made = MachineModel {
        state: MachineState::Created,
        owner: document["Owner"].as_str().unwrap_or_default().to_owned(),
        controllers: controllers.map(|(name, _)| name.clone()).collect(),
        is_made: true,
        ends_with_handle: document["ShouldTerminateOnLastHandleClosed"] == true,
        ..MachineModel::running(guest)
    };
    furnish(host, id, &mut made, devices)?;
    Ok(made)
}

fn become_another(
    host: &mut HostModel,
    hardware: &dyn Hardware,
    id: &str,
    kind: OperationKind,
    options: &str,
) -> Result<(), Refusal> {
    use MachineState::{Created, Paused, Running, Stopped};
    let options: Value = match options {
        "" => Value::Null,
        text => serde_json::from_str(text)
            .map_err(|error| refusal(INVALID_JSON, format!("no JSON: {error}")))?,
    };
    let machine = host.machines.get_mut(id);
    let machine = machine.ok_or_else(|| refusal(SYSTEM_NOT_FOUND, "no such system"))?;
    let next = match (kind, machine.state) {
        (_, Stopped) => return Err(refusal(ALREADY_STOPPED, "the system has stopped")),
        (OperationKind::Start, Created) | (OperationKind::Resume, Paused) => Running,
        (OperationKind::Pause, Running) => Paused,
        (OperationKind::Save, Paused) => {
            check_saving(machine, &options)?;
            Paused
        }
        (OperationKind::Shutdown, Running) | (OperationKind::Terminate, _) => Stopped,
        (kind, state) => {
            let words = format!("{kind:?} of a system that is {state:?}");
            return Err(refusal(INVALID_STATE, words));
        }
    };
    if kind == OperationKind::Start {
        for (place, disk) in &machine.disks {
            ask(hardware, &attachment(id, machine, place, disk))?;
        }
    }
    match next {
        Stopped => {
            machine.stop();
            let machine = id.to_owned();
            ask(hardware, &BrokerRequest::End { machine })
        }
        next => {
            machine.state = next;
            Ok(())
        }
    }
}

fn attachment(
    id: &str,
    machine: &MachineModel,
    place: &str,
    disk: &crate::host::DiskModel,
) -> BrokerRequest {
    let (controller, lun) = place.split_once('/').unwrap_or_default();
    let mut known = machine.controllers.iter();
    let index = known.position(|known| known.eq_ignore_ascii_case(controller));
    BrokerRequest::AddDisk {
        machine: id.to_owned(),
        controller: index
            .and_then(|it| u8::try_from(it).ok())
            .unwrap_or_default(),
        lun: lun.parse().unwrap_or_default(),
        path: disk.path.clone(),
        read_only: disk.read_only,
    }
}

/// Where to, and that nothing is there that cannot be saved.
fn check_saving(machine: &MachineModel, options: &Value) -> Result<(), Refusal> {
    let has_path = options["SaveStateFilePath"].is_string();
    match options["SaveType"].as_str() {
        Some("ToFile") if has_path => {}
        Some("AsTemplate") => {}
        _ => {
            let words = "$.SaveType: is ToFile, with SaveStateFilePath, or AsTemplate";
            return Err(refusal(INVALID_JSON, words));
        }
    }
    if machine.plan9.is_empty() {
        return Ok(());
    }
    let words = "a system with shares of Plan 9 cannot be saved";
    Err(refusal(NOT_SUPPORTED, words))
}
