//! Calls of the service in their right sequences: open, begin, wait, close; and never close what has not
//! ended.
//!
//! An operation cannot be cancelled, and one that is abandoned brings the library down. So an operation
//! that did not end in time is left to a thread that waits for its end, with the system it works on kept
//! open until then; whether its work was done is not known.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::guest::SchemaVersion;
use crate::sides::{Fault, FaultKind};

use super::compute_core::{ComputeCore, CoreResult, OperationHandle, SystemHandle, WaitTime};
use super::result::{HResult, fault_of};

/// The most systems that are listed.
const MAX_SYSTEMS: usize = 100_000;

/// An open compute system.
pub struct HcsSystem {
    open: Arc<OpenSystem>,
    id: String,
}

/// Closes itself when the last operation on it has ended.
struct OpenSystem {
    core: Arc<dyn ComputeCore>,
    handle: SystemHandle,
}

impl Drop for OpenSystem {
    fn drop(&mut self) {
        self.core.close_compute_system(self.handle);
    }
}

/// How a system stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemState {
    /// It was made and does not run yet.
    Created,
    /// It runs.
    Running,
    /// It is paused, or was saved.
    Paused,
    /// It has ended.
    Stopped,
    /// Another word of the service.
    Other(String),
}

/// One of the systems of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemSummary {
    /// What it is opened by.
    pub id: String,
    /// Who made it, in his own words.
    pub owner: String,
    /// `VirtualMachine` or `Container`.
    pub kind: String,
    /// How it stands.
    pub state: SystemState,
}

/// What a system did with its storage since it started. There is nothing of this by disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStatistics {
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

impl HcsSystem {
    /// Opens a system by its identifier.
    ///
    /// # Errors
    /// `Gone` where there is none, `Denied`.
    pub fn open(core: &Arc<dyn ComputeCore>, id: &str) -> Result<Self, Fault> {
        let what = format!("open the compute system {id}");
        if id.is_empty() || id.contains('\0') {
            return Err(Fault::new(
                FaultKind::Invalid,
                format!("cannot {what}: no identifier"),
            ));
        }
        let handle = core.open_compute_system(id);
        let handle = handle.map_err(|code| fault_of(&what, code, None))?;
        let open = OpenSystem {
            core: Arc::clone(core),
            handle,
        };
        Ok(Self {
            open: Arc::new(open),
            id: id.to_owned(),
        })
    }

    /// What it was opened by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Changes the system by a request of JSON.
    ///
    /// # Errors
    /// As the service says; `Unanswered` after `patience`.
    pub fn modify(&self, what: &str, request: &str, patience: Duration) -> Result<(), Fault> {
        let changed = self.change(what, request, patience);
        changed.map_err(|unchanged| unchanged.fault)
    }

    /// As [`HcsSystem::modify`]; a request that did not end in time can be waited for further.
    pub(super) fn change(
        &self,
        what: &str,
        request: &str,
        patience: Duration,
    ) -> Result<(), Unchanged> {
        let open = &self.open;
        let begin = |operation| {
            open.core
                .modify_compute_system(open.handle, operation, request)
        };
        let modified = run(&open.core, Some(open), what, patience, begin);
        modified.map(drop).map_err(|mut failed| Unchanged {
            unended: failed.unended.take(),
            fault: self.judge(failed, patience),
        })
    }

    /// A machine that is not in a state for something may be no more.
    fn judge(&self, failed: Failed, patience: Duration) -> Fault {
        if failed.code.leaves_state_open() {
            let state = self.state(patience);
            let is_gone = match &state {
                Ok(state) => *state == SystemState::Stopped,
                Err(fault) => fault.kind() == FaultKind::Gone,
            };
            if is_gone {
                let what = format!("the machine {} has stopped", self.id);
                return Fault::new(FaultKind::Gone, what).because(failed.fault);
            }
        }
        failed.fault
    }

    /// How it stands.
    ///
    /// # Errors
    /// As the service says.
    pub fn state(&self, patience: Duration) -> Result<SystemState, Fault> {
        let properties = self.properties(&[], patience)?;
        if properties["Stopped"].as_bool() == Some(true) {
            return Ok(SystemState::Stopped);
        }
        Ok(state_of(&properties))
    }

    /// What the hypervisor knows it by; `None` where the service tells none.
    ///
    /// # Errors
    /// As the service says.
    pub fn runtime_id(&self, patience: Duration) -> Result<Option<String>, Fault> {
        let properties = self.properties(&[], patience)?;
        let told = properties["RuntimeId"].as_str();
        Ok(told.filter(|told| !told.is_empty()).map(str::to_owned))
    }

    /// Its figures about storage.
    ///
    /// # Errors
    /// As the service says; `Nonsense` where it says nothing of them.
    pub fn storage_statistics(&self, patience: Duration) -> Result<StorageStatistics, Fault> {
        let properties = self.properties(&["Statistics"], patience)?;
        let storage = &properties["Statistics"]["Storage"];
        if !properties["Statistics"].is_object() {
            return Err(Fault::new(
                FaultKind::Nonsense,
                "the service tells no statistics",
            ));
        }
        // A figure of zero is left out.
        let figure = |name: &str| storage[name].as_u64().unwrap_or_default();
        Ok(StorageStatistics {
            reads: figure("ReadCountNormalized"),
            read_bytes: figure("ReadSizeBytes"),
            writes: figure("WriteCountNormalized"),
            written_bytes: figure("WriteSizeBytes"),
        })
    }

    fn properties(&self, kinds: &[&str], patience: Duration) -> Result<Value, Fault> {
        let open = &self.open;
        let what = format!("ask for properties of {}", self.id);
        let query = serde_json::json!({"PropertyTypes": kinds}).to_string();
        let begin = |operation| {
            open.core
                .get_compute_system_properties(open.handle, operation, &query)
        };
        let told = run(&open.core, Some(open), &what, patience, begin);
        let told = told.map_err(|failed| failed.fault)?;
        let properties = read(&what, told.as_deref())?;
        match properties.is_object() {
            true => Ok(properties),
            false => Err(nonsense(&what)),
        }
    }
}

/// The systems that there are.
///
/// # Errors
/// As the service says.
pub fn list_systems(
    core: &Arc<dyn ComputeCore>,
    patience: Duration,
) -> Result<Vec<SystemSummary>, Fault> {
    const WHAT: &str = "list compute systems";
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    #[derive(Default)]
    struct Entry {
        id: String,
        owner: String,
        system_type: String,
    }
    let begin = |operation| core.enumerate_compute_systems(operation, "{}");
    let told = run(core, None, WHAT, patience, begin).map_err(|failed| failed.fault)?;
    let document = read(WHAT, told.as_deref())?;
    let entries = document.as_array().ok_or_else(|| nonsense(WHAT))?;
    let mut systems = Vec::new();
    for value in entries.iter().take(MAX_SYSTEMS) {
        let entry = Entry::deserialize(value).map_err(|error| nonsense(WHAT).because(error))?;
        systems.push(SystemSummary {
            id: entry.id,
            owner: entry.owner,
            kind: entry.system_type,
            state: state_of(value),
        });
    }
    Ok(systems)
}

/// The newest version of documents that the service takes and this program knows.
///
/// # Errors
/// As the service says; `Unsupported` where they have none in common.
pub fn newest_schema(core: &dyn ComputeCore) -> Result<SchemaVersion, Fault> {
    const WHAT: &str = "ask for the versions of documents";
    let (code, told) = core.get_service_properties(r#"{"PropertyTypes":["Basic"]}"#);
    if !code.is_success() {
        return Err(fault_of(WHAT, code, told.as_deref()));
    }
    let document = read(WHAT, told.as_deref())?;
    if !document.is_object() {
        return Err(nonsense(WHAT));
    }
    let versions = document["Properties"][0]["SupportedSchemaVersions"].as_array();
    let version = |value: &Value| {
        let number = |name: &str| value[name].as_u64().and_then(|n| u32::try_from(n).ok());
        Some(SchemaVersion {
            major: number("Major")?,
            minor: number("Minor")?,
        })
    };
    let versions = versions.into_iter().flatten().filter_map(version);
    // A later one of the second family takes all that the newest known here has.
    let second = versions.filter(|version| version.major == 2);
    let newest = second.map(|version| version.min(SchemaVersion::V2_9)).max();
    newest.ok_or_else(|| {
        let what = "the service takes no documents of schema 2";
        Fault::new(FaultKind::Unsupported, what)
    })
}

fn state_of(properties: &Value) -> SystemState {
    match properties["State"].as_str().unwrap_or_default() {
        "Created" => SystemState::Created,
        "Running" => SystemState::Running,
        "Paused" | "SavedAsTemplate" => SystemState::Paused,
        "Stopped" => SystemState::Stopped,
        other => SystemState::Other(other.chars().take(100).collect()),
    }
}

fn nonsense(what: &str) -> Fault {
    let what = format!("cannot {what}: the service answers what makes no sense");
    Fault::new(FaultKind::Nonsense, what)
}

fn read(what: &str, told: Option<&str>) -> Result<Value, Fault> {
    const MAX_LENGTH: usize = 64 << 20;
    let told = told.filter(|told| told.len() <= MAX_LENGTH);
    let told = told.ok_or_else(|| nonsense(what))?;
    serde_json::from_str(told).map_err(|error| nonsense(what).because(error))
}

/// A change that was not made, or is not known to be.
pub(super) struct Unchanged {
    pub(super) fault: Fault,
    /// The operation, where it is under way.
    pub(super) unended: Option<Operation>,
}

/// A call that was not met.
struct Failed {
    code: HResult,
    fault: Fault,
    unended: Option<Operation>,
}

impl Failed {
    fn new(what: &str, code: HResult, document: Option<&str>) -> Self {
        Self {
            code,
            fault: fault_of(what, code, document),
            unended: None,
        }
    }
}

/// Begins a call in an operation of its own and waits for it.
fn run(
    core: &Arc<dyn ComputeCore>,
    system: Option<&Arc<OpenSystem>>,
    what: &str,
    patience: Duration,
    begin: impl FnOnce(OperationHandle) -> HResult,
) -> Result<Option<String>, Failed> {
    let Some(handle) = core.create_operation() else {
        return Err(Failed {
            code: HResult(0x8007_000E),
            fault: Fault::new(FaultKind::Failed, format!("cannot {what}: out of memory")),
            unended: None,
        });
    };
    let mut operation = Operation {
        core: Arc::clone(core),
        system: system.cloned(),
        handle,
        is_under_way: false,
        is_answered: false,
    };
    let begun = begin(handle);
    if !begun.is_success() {
        return Err(Failed::new(what, begun, None));
    }
    let (code, document) = operation.wait(patience);
    if code.is_success() {
        return Ok(document);
    }
    let mut failed = Failed::new(what, code, document.as_deref());
    failed.unended = operation.may_come().then_some(operation);
    Err(failed)
}

/// An operation with what it works on, which stays open as long as it does.
pub(super) struct Operation {
    core: Arc<dyn ComputeCore>,
    system: Option<Arc<OpenSystem>>,
    handle: OperationHandle,
    /// As far as its code tells: one that ended so itself is taken for it, and not closed too early.
    is_under_way: bool,
    /// Whether there was a document, which one that is waited for has not.
    is_answered: bool,
}

impl Operation {
    /// Waits for its end, so long.
    fn wait(&mut self, patience: Duration) -> CoreResult {
        let wait = WaitTime::For(patience);
        let told = self.core.wait_for_operation_result(self.handle, wait);
        self.is_under_way = told.0.normalised() == HResult::OPERATION_TIMEOUT;
        self.is_answered = told.1.is_some();
        told
    }

    /// Whether its work may be done yet.
    fn may_come(&self) -> bool {
        self.is_under_way && !self.is_answered
    }

    /// Whether it has ended, however, after it was waited for so long.
    pub(super) fn ends_within(&mut self, patience: Duration) -> bool {
        self.wait(patience);
        !self.may_come()
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let end = End {
            core: Arc::clone(&self.core),
            system: self.system.take(),
            handle: self.handle,
        };
        if self.is_under_way {
            end.leave_to_its_end();
        } else {
            end.close();
        }
    }
}

/// The end of an operation: it is closed, and after it the system, where this was the last use of it.
struct End {
    core: Arc<dyn ComputeCore>,
    system: Option<Arc<OpenSystem>>,
    handle: OperationHandle,
}

impl End {
    fn close(self) {
        self.core.close_operation(self.handle);
        drop(self.system);
    }

    /// Waits for it in a thread of its own, and closes then.
    fn leave_to_its_end(self) {
        // Where no thread can be had, nothing is closed: that costs memory, closing costs the process.
        let waiting = std::mem::ManuallyDrop::new(self);
        let builder = thread::Builder::new().name("hcs-operation".to_owned());
        let started = builder.spawn(move || {
            let end = std::mem::ManuallyDrop::into_inner(waiting);
            end.core
                .wait_for_operation_result(end.handle, WaitTime::Forever);
            end.close();
        });
        drop(started);
    }
}
