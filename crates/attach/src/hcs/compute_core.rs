//! The part of computecore.dll that is used, call by call and with its rules, so that what is built on it
//! can be tried against a double of it on any system.

use std::time::Duration;

use super::result::HResult;

/// An open compute system. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SystemHandle(pub usize);

/// An operation: one call and its result. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationHandle(pub usize);

/// How long an operation is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTime {
    /// So long.
    For(Duration),
    /// Until it ends.
    Forever,
}

/// A code, with the result document where there is one.
pub type CoreResult = (HResult, Option<String>);

/// The calls. Their names are those of the library without `Hcs`; each has its rules there.
pub trait ComputeCore: Send + Sync {
    /// A new operation, for one call; `None` where memory is out.
    fn create_operation(&self) -> Option<OperationHandle>;

    /// Closes one. One that has not ended goes on without anybody hearing of it.
    fn close_operation(&self, operation: OperationHandle);

    /// Waits for the call of an operation: its code and document, or that it did not end in time.
    fn wait_for_operation_result(&self, operation: OperationHandle, wait: WaitTime) -> CoreResult;

    /// Opens a compute system with all access, which is the only one there is.
    ///
    /// # Errors
    /// The code.
    fn open_compute_system(&self, id: &str) -> Result<SystemHandle, HResult>;

    /// Closes one.
    fn close_compute_system(&self, system: SystemHandle);

    /// Begins to change one, by a request.
    fn modify_compute_system(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        request: &str,
    ) -> HResult;

    /// Begins to ask for properties of one.
    fn get_compute_system_properties(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        query: &str,
    ) -> HResult;

    /// Begins to list all.
    fn enumerate_compute_systems(&self, operation: OperationHandle, query: &str) -> HResult;

    /// Asks for properties of the service.
    fn get_service_properties(&self, query: &str) -> CoreResult;

    /// Whether there are the two calls below. Hosts that are older than the rest of the library have none:
    /// there the list of the file is changed instead.
    fn has_access_calls(&self) -> bool {
        true
    }

    /// Lets a machine open a file.
    fn grant_vm_access(&self, id: &str, path: &str) -> HResult;

    /// Takes that back.
    fn revoke_vm_access(&self, id: &str, path: &str) -> HResult;
}
