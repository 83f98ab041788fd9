//! The calls that cvol makes, with their rules.

use attach::hcs::{ComputeCore, CoreResult, HResult, OperationHandle, SystemHandle, WaitTime};
use serde_json::Value;
use std::sync::PoisonError;

use crate::asked;
use crate::change::modify;
use crate::codes::{
    FILE_NOT_FOUND, INVALID_ACL, OPERATION_NOT_STARTED, OPERATION_PENDING, SYSTEM_NOT_FOUND,
    refusal,
};
use crate::double::{Call, Double, State};
use crate::handles::{OperationKind, Stage};
use crate::hardware::BrokerRequest;
use crate::host::MachineState;

/// What a request is about, for the journal.
fn in_short(request: &str) -> String {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = word(&request["ResourcePath"]);
    let guest = &request["GuestRequest"];
    match guest["ResourceType"].as_str() {
        Some(kind) if resource.is_empty() => {
            format!("guest {} {kind}", word(&guest["RequestType"]))
        }
        _ => format!("{} {resource}", word(&request["RequestType"])),
    }
}

impl ComputeCore for Double {
    fn create_operation(&self) -> Option<OperationHandle> {
        Some(self.state().handles.add_operation())
    }

    fn close_operation(&self, operation: OperationHandle) {
        self.state().handles.close_operation(operation);
    }

    fn wait_for_operation_result(&self, operation: OperationHandle, wait: WaitTime) -> CoreResult {
        let goes_on = |state: &mut State| {
            let found = state.handles.operations.get(&operation.0);
            found.is_some_and(crate::handles::Operation::is_under_way)
        };
        let ended = &self.shared.ended;
        let state = self.state();
        let state = match wait {
            WaitTime::Forever => ended
                .wait_while(state, goes_on)
                .unwrap_or_else(PoisonError::into_inner),
            WaitTime::For(time) => {
                ended
                    .wait_timeout_while(state, self.shared.wait(time), goes_on)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        drop(state);
        match self.operation_result(operation) {
            (OPERATION_PENDING, _) => (HResult::OPERATION_TIMEOUT, None),
            told => told,
        }
    }

    fn open_compute_system(&self, id: &str) -> Result<SystemHandle, HResult> {
        let code = self.answer(id, &format!("HcsOpenComputeSystem {id}"), |host| match host
            .machines
            .contains_key(id)
        {
            true => Ok(()),
            false => Err(refusal(SYSTEM_NOT_FOUND, "no such system")),
        });
        if !code.is_success() {
            return Err(code);
        }
        Ok(self.state().handles.add_system(id))
    }

    fn close_compute_system(&self, system: SystemHandle) {
        let mut state = self.state();
        let Some(id) = state.handles.close_system(system) else {
            return;
        };
        let hardware = &*self.shared.hardware;
        state.keep.with(|host| {
            let Some(machine) = host.machines.get_mut(&id) else {
                return;
            };
            if machine.ends_with_handle && machine.state != MachineState::Stopped {
                machine.stop();
                let machine = id.clone();
                hardware.ask(&BrokerRequest::End { machine });
            }
            let machine = host.machines.get(&id);
            if machine.is_some_and(|it| it.is_made && it.state == MachineState::Stopped) {
                host.machines.remove(&id);
            }
        });
        drop(state);
        self.shared.ended.notify_all();
    }

    fn modify_compute_system(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        request: &str,
    ) -> HResult {
        let request = request.to_owned();
        let call = Call {
            name: "HcsModifyComputeSystem",
            kind: OperationKind::Modify,
            system: Some(system),
            operation,
            detail: in_short(&request),
        };
        let work = move |host: &mut _, hardware: &dyn crate::hardware::Hardware, id: &str| {
            modify(host, hardware, id, &request).map(|()| None)
        };
        self.begin(call, Box::new(work))
    }

    fn get_compute_system_properties(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        query: &str,
    ) -> HResult {
        let query = query.to_owned();
        let call = Call {
            name: "HcsGetComputeSystemProperties",
            kind: OperationKind::GetProperties,
            system: Some(system),
            operation,
            detail: query.clone(),
        };
        let work = move |host: &mut _, _: &dyn crate::hardware::Hardware, id: &str| {
            asked::properties(host, id, &query)
        };
        self.begin(call, Box::new(work))
    }

    fn enumerate_compute_systems(&self, operation: OperationHandle, query: &str) -> HResult {
        let query = query.to_owned();
        let call = Call {
            name: "HcsEnumerateComputeSystems",
            kind: OperationKind::Enumerate,
            system: None,
            operation,
            detail: query.clone(),
        };
        let work = move |host: &mut crate::host::HostModel,
                         _: &dyn crate::hardware::Hardware,
                         _: &str| asked::list(host, &query);
        self.begin(call, Box::new(work))
    }

    fn get_service_properties(&self, query: &str) -> CoreResult {
        self.tell("", &format!("HcsGetServiceProperties {query}"), |host| {
            asked::service(host, query).map(Some)
        })
    }

    /// The list of who may open a file is that of the file: the machine may be yet to be made.
    fn grant_vm_access(&self, id: &str, path: &str) -> HResult {
        self.answer(id, &format!("HcsGrantVmAccess {id} {path}"), |host| {
            if !host.has_file(path) {
                return Err(refusal(FILE_NOT_FOUND, format!("{path} is not there")));
            }
            let limit = host.access_limit;
            let list = host.access.entry(path.to_lowercase()).or_default();
            list.machines.insert(id.to_owned());
            if list.machines.len() + usize::from(list.group) > limit {
                list.machines.remove(id);
                let words = "the list of who may open the file is full: revoke what is granted";
                return Err(refusal(INVALID_ACL, words));
            }
            Ok(())
        })
    }

    fn revoke_vm_access(&self, id: &str, path: &str) -> HResult {
        self.answer(id, &format!("HcsRevokeVmAccess {id} {path}"), |host| {
            if !host.has_file(path) {
                return Err(refusal(FILE_NOT_FOUND, format!("{path} is not there")));
            }
            let key = path.to_lowercase();
            if let Some(list) = host.access.get_mut(&key) {
                list.machines.remove(id);
                if list.machines.is_empty() && !list.group {
                    host.access.remove(&key);
                }
            }
            Ok(())
        })
    }
}

impl Double {
    /// `HcsGetOperationResult`: what came of an operation, or that it goes on.
    pub fn operation_result(&self, operation: OperationHandle) -> CoreResult {
        let mut state = self.state();
        let stage = match state.handles.operation(operation, "a result") {
            Ok(found) => found.stage.clone(),
            Err(code) => return (code, None),
        };
        match stage {
            Stage::Unused => {
                let handle = operation.0;
                let what = format!("a result of operation {handle:#x}, which was not begun");
                state.handles.misused(what);
                (OPERATION_NOT_STARTED, None)
            }
            Stage::Running | Stage::Hangs(_) => (OPERATION_PENDING, None),
            Stage::Ended(result) => result,
        }
    }
}
