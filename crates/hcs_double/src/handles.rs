//! What is open, by handles that are never used twice, and the rules that were broken about them.

use std::collections::{BTreeMap, BTreeSet};

use attach::hcs::{CoreResult, HResult, OperationHandle, SystemHandle};

use crate::codes::{INVALID_HANDLE, SERVICE_DISCONNECT};
use crate::events::{Listener, OperationCallback};

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was begun in it.
    #[default]
    Unused,
    /// Its work is to be done.
    Running,
    /// Its work is done or given up, and it does not end until it is let go.
    Hangs(CoreResult),
    /// It ended.
    Ended(CoreResult),
}

/// What an operation is for, with the numbers of `HCS_OPERATION_TYPE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperationKind {
    /// Nothing yet.
    #[default]
    None,
    /// Listing systems.
    Enumerate,
    /// Making one.
    Create,
    /// Starting one.
    Start,
    /// Asking one to end.
    Shutdown,
    /// Pausing one.
    Pause,
    /// Letting it go on.
    Resume,
    /// Saving its state.
    Save,
    /// Ending one.
    Terminate,
    /// Changing one.
    Modify,
    /// Asking for its properties.
    GetProperties,
}

impl OperationKind {
    /// As computedefs.h has it.
    pub fn number(self) -> i32 {
        match self {
            Self::None => -1,
            Self::Enumerate => 0,
            Self::Create => 1,
            Self::Start => 2,
            Self::Shutdown => 3,
            Self::Pause => 4,
            Self::Resume => 5,
            Self::Save => 6,
            Self::Terminate => 7,
            Self::Modify => 8,
            Self::GetProperties => 9,
        }
    }
}

#[derive(Default)]
pub(crate) struct Operation {
    pub(crate) kind: OperationKind,
    pub(crate) id: Option<u64>,
    pub(crate) system: Option<usize>,
    pub(crate) stage: Stage,
    pub(crate) callback: Option<OperationCallback>,
    /// Whether its end was told.
    pub(crate) is_told: bool,
    /// What the caller keeps with it; only a number here.
    pub(crate) context: usize,
}

impl Operation {
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Hangs(_))
    }
}

pub(crate) struct System {
    pub(crate) id: String,
    pub(crate) listener: Option<Listener>,
    /// The service went away under it.
    pub(crate) is_cut_off: bool,
}

pub(crate) struct Handles {
    next: usize,
    pub(crate) systems: BTreeMap<usize, System>,
    pub(crate) operations: BTreeMap<usize, Operation>,
    closed: BTreeSet<usize>,
    pub(crate) misuse: Vec<String>,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            // Whoever takes a count for a handle is found out.
            next: 0x4853_0010,
            systems: BTreeMap::new(),
            operations: BTreeMap::new(),
            closed: BTreeSet::new(),
            misuse: Vec::new(),
        }
    }

    fn take(&mut self) -> usize {
        let handle = self.next;
        self.next += 0x10;
        handle
    }

    pub(crate) fn misused(&mut self, what: impl Into<String>) -> HResult {
        self.misuse.push(what.into());
        INVALID_HANDLE
    }

    pub(crate) fn add_operation(&mut self) -> OperationHandle {
        let handle = self.take();
        self.operations.insert(handle, Operation::default());
        OperationHandle(handle)
    }

    pub(crate) fn add_system(&mut self, id: &str) -> SystemHandle {
        let handle = self.take();
        let system = System {
            id: id.to_owned(),
            listener: None,
            is_cut_off: false,
        };
        self.systems.insert(handle, system);
        SystemHandle(handle)
    }

    /// What is wrong with a handle that is not in its table.
    fn wrong(&self, handle: usize, what: &str) -> &'static str {
        if handle == 0 {
            "is none"
        } else if self.closed.contains(&handle) {
            "was closed before"
        } else if what == "operation" && self.systems.contains_key(&handle) {
            "is a system"
        } else if what == "system" && self.operations.contains_key(&handle) {
            "is an operation"
        } else {
            "was never given out"
        }
    }

    /// An open operation, for a call.
    pub(crate) fn operation(
        &mut self,
        handle: OperationHandle,
        call: &str,
    ) -> Result<&mut Operation, HResult> {
        if !self.operations.contains_key(&handle.0) {
            let wrong = self.wrong(handle.0, "operation");
            return Err(self.misused(format!("{call}: operation {:#x} {wrong}", handle.0)));
        }
        self.operations.get_mut(&handle.0).ok_or(INVALID_HANDLE)
    }

    /// An open system, for a call.
    pub(crate) fn system(
        &mut self,
        handle: SystemHandle,
        call: &str,
    ) -> Result<&mut System, HResult> {
        if !self.systems.contains_key(&handle.0) {
            let wrong = self.wrong(handle.0, "system");
            return Err(self.misused(format!("{call}: system {:#x} {wrong}", handle.0)));
        }
        match self.systems.get_mut(&handle.0) {
            Some(system) if system.is_cut_off => Err(SERVICE_DISCONNECT),
            Some(system) => Ok(system),
            None => Err(INVALID_HANDLE),
        }
    }

    pub(crate) fn close_operation(&mut self, handle: OperationHandle) {
        match self.operations.remove(&handle.0) {
            Some(closed) => {
                self.closed.insert(handle.0);
                if closed.is_under_way() {
                    self.misused(format!(
                        "operation {:#x} was closed before it ended",
                        handle.0
                    ));
                }
            }
            None => {
                let wrong = self.wrong(handle.0, "operation");
                self.misused(format!("close of operation {:#x}, which {wrong}", handle.0));
            }
        }
    }

    /// The identifier of the system whose last handle this was.
    pub(crate) fn close_system(&mut self, handle: SystemHandle) -> Option<String> {
        let Some(closed) = self.systems.remove(&handle.0) else {
            let wrong = self.wrong(handle.0, "system");
            self.misused(format!("close of system {:#x}, which {wrong}", handle.0));
            return None;
        };
        self.closed.insert(handle.0);
        let is_on_it =
            |operation: &Operation| operation.is_under_way() && operation.system == Some(handle.0);
        if self.operations.values().any(is_on_it) {
            self.misused(format!(
                "system {:#x} was closed under an operation",
                handle.0
            ));
        }
        let mut others = self.systems.values();
        let is_last = !others.any(|other| other.id == closed.id);
        is_last.then_some(closed.id)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.systems.len() + self.operations.len()
    }

    /// What is open, in words.
    pub(crate) fn open_in_words(&self) -> Vec<String> {
        let systems = self.systems.iter();
        let systems = systems.map(|(handle, system)| format!("system {handle:#x} {}", system.id));
        let operations = self.operations.iter();
        let operations = operations
            .map(|(handle, operation)| format!("operation {handle:#x} {:?}", operation.kind));
        systems.chain(operations).collect()
    }
}
