//! The rules of the model by themselves: what it takes, and with which code it refuses.

mod broker;
mod disks;
mod lives;
mod shared;
mod shares;

use attach::hcs::{ComputeCore, CoreResult, HResult, OperationHandle, SystemHandle, WaitTime};
use computecore::{Double, FileModel, Guest, HostModel, MachineModel, OperationKind};
use serde_json::{Value, json};

const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const OTHER: &str = "1f0e0d0c-0b0a-4908-8706-050403020100";
const CONTROLLER: &str = attach::hcs::schema::CONTROLLER_IDS[0];

/// A double with an open machine on it.
struct Open {
    double: Double,
    system: SystemHandle,
}

/// A host with files and two machines of one kind.
fn host(guest: Guest, files: &[(&str, FileModel)]) -> HostModel {
    let files = files.iter();
    HostModel {
        files: Some(
            files
                .map(|(name, file)| ((*name).to_owned(), file.clone()))
                .collect(),
        ),
        machines: [ID, OTHER]
            .map(|id| (id.to_owned(), MachineModel::running(guest)))
            .into(),
        ..HostModel::default()
    }
}

impl Open {
    fn new(host: HostModel) -> Self {
        Self::on(Double::new(host))
    }

    fn on(double: Double) -> Self {
        let system = double.open_compute_system(ID).unwrap();
        Self { double, system }
    }

    /// Runs an operation to its end.
    fn run(&self, begin: impl FnOnce(OperationHandle) -> HResult) -> CoreResult {
        run(&self.double, begin)
    }

    fn modify(&self, request: &Value) -> u32 {
        let request = request.to_string();
        let told = self.run(|operation| {
            self.double
                .modify_compute_system(self.system, operation, &request)
        });
        told.0.0
    }

    fn change(&self, kind: OperationKind, options: &str) -> u32 {
        let told = self.run(|operation| {
            self.double
                .change_state(self.system, operation, kind, options)
        });
        told.0.0
    }
}

fn run(double: &Double, begin: impl FnOnce(OperationHandle) -> HResult) -> CoreResult {
    let operation = double.create_operation().unwrap();
    let begun = begin(operation);
    let told = if begun.is_success() {
        double.wait_for_operation_result(operation, WaitTime::Forever)
    } else {
        (begun, None)
    };
    double.close_operation(operation);
    told
}

/// A request about a disk at a place of the first controller.
fn at(lun: &str, verb: &str, settings: &Value) -> Value {
    let path = format!("VirtualMachine/Devices/Scsi/{CONTROLLER}/Attachments/{lun}");
    let mut request = json!({"ResourcePath": path, "RequestType": verb});
    if !settings.is_null() {
        request["Settings"] = settings.clone();
    }
    request
}

fn disk(path: &str, read_only: bool) -> Value {
    json!({"Type": "VirtualDisk", "Path": path, "ReadOnly": read_only})
}
