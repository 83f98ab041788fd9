//! What storage does not need: it can be imported, and says that it is not implemented. Arguments are not
//! looked at; on this processor the caller takes them back.

use super::{Handle, NOT_IMPLEMENTED, code};

/// Functions that are there to be imported.
macro_rules! absent {
    ($($name:ident),* $(,)?) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: not implemented.")]
            #[unsafe(no_mangle)]
            pub extern "system" fn $name() -> i32 {
                code(NOT_IMPLEMENTED)
            }
        )*
    };
}

absent!(
    HcsCrashComputeSystem,
    HcsCreateComputeSystemInNamespace,
    HcsCreateProcess,
    HcsEnumerateComputeSystemsInNamespace,
    HcsEnumerateVmWorkerProcesses,
    HcsFindVmWorkerProcesses,
    HcsGetProcessInfo,
    HcsGetProcessProperties,
    HcsGetProcessorCompatibilityFromSavedState,
    HcsGetWorkerProcessJob,
    HcsModifyProcess,
    HcsModifyServiceSettings,
    HcsOpenComputeSystemInNamespace,
    HcsOpenProcess,
    HcsSetProcessCallback,
    HcsSignalProcess,
    HcsStartVmWorkerProcess,
    HcsSubmitWerReport,
    HcsTerminateProcess,
    HcsWaitForProcessExit,
);

/// `HcsCloseProcess`: there are none to close.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCloseProcess(_handle: Handle) {}
