//! Who is told of what: operations that ended, systems that exited, a service that is gone. Callers are
//! called in a thread of their own, with no lock of the double held, so that they may call it.

use std::sync::Arc;

use attach::hcs::{OperationHandle, SystemHandle};

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// A document about it.
    pub data: Option<String>,
    /// The operation that ended.
    pub operation: Option<OperationHandle>,
}

/// What can happen, with the numbers of `HCS_EVENT_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A system has ended.
    SystemExited,
    /// An operation has ended, and the system was asked to tell so.
    OperationCallback,
    /// The service is gone, and with it all that is open.
    ServiceDisconnect,
}

impl EventKind {
    /// As computedefs.h has it.
    pub fn number(self) -> i32 {
        match self {
            Self::SystemExited => 0x1,
            Self::OperationCallback => 0x0100_0000,
            Self::ServiceDisconnect => 0x0200_0000,
        }
    }
}

/// Who is called when an operation ends.
pub type OperationCallback = Arc<dyn Fn(OperationHandle) + Send + Sync>;
/// Who is called when something happens to a system.
pub type SystemCallback = Arc<dyn Fn(&Event) + Send + Sync>;

/// What an open system was asked to tell, and whom.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) tells_operations: bool,
    pub(crate) callback: SystemCallback,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a listener (operations: {})", self.tells_operations)
    }
}

/// A call that is owed to somebody.
pub(crate) enum Owed {
    Operation(OperationHandle, OperationCallback),
    System(SystemHandle, SystemCallback, Event),
}
