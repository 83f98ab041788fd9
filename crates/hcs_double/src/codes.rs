//! Codes of the service and of virtual disks, and refusals with words to them.

use attach::hcs::HResult;
use serde_json::json;

pub(crate) const GIVEN_UP: HResult = HResult(0x8000_4004);
pub(crate) const FILE_NOT_FOUND: HResult = HResult(0x8007_0002);
pub(crate) const ACCESS_DENIED: HResult = HResult(0x8007_0005);
pub(crate) const INVALID_HANDLE: HResult = HResult(0x8007_0006);
pub(crate) const OUT_OF_MEMORY: HResult = HResult(0x8007_000E);
pub(crate) const SHARING_VIOLATION: HResult = HResult(0x8007_0020);
pub(crate) const NOT_SUPPORTED: HResult = HResult(0x8007_0032);
pub(crate) const INVALID_PARAMETER: HResult = HResult(0x8007_0057);
pub(crate) const ALREADY_EXISTS: HResult = HResult(0x8007_00B7);
pub(crate) const NOT_FOUND: HResult = HResult(0x8007_0490);
/// A list of access that cannot be made: it has at most 64 KiB.
pub(crate) const INVALID_ACL: HResult = HResult(0x8007_0538);
pub(crate) const FILE_CORRUPT: HResult = HResult(0x8007_0570);
pub(crate) const INVALID_STATE: HResult = HResult(0x8037_0105);
pub(crate) const UNSUPPORTED_VERSION: HResult = HResult(0x8037_010C);
pub(crate) const INVALID_JSON: HResult = HResult(0x8037_010D);
pub(crate) const SYSTEM_NOT_FOUND: HResult = HResult(0x8037_010E);
pub(crate) const SYSTEM_EXISTS: HResult = HResult(0x8037_010F);
pub(crate) const ALREADY_STOPPED: HResult = HResult(0x8037_0110);
pub(crate) const OPERATION_NOT_STARTED: HResult = HResult(0x8037_0115);
pub(crate) const OPERATION_ALREADY_STARTED: HResult = HResult(0x8037_0116);
pub(crate) const OPERATION_PENDING: HResult = HResult(0x8037_0117);
pub(crate) const CALLBACK_ALREADY_SET: HResult = HResult(0x8037_0119);
pub(crate) const GUEST_CRITICAL_ERROR: HResult = HResult(0x8037_011C);
pub(crate) const SERVICE_DISCONNECT: HResult = HResult(0x8037_011E);
pub(crate) const PARENT_NOT_FOUND: HResult = HResult(0xC03A_000D);
pub(crate) const PARENT_ID_MISMATCH: HResult = HResult(0xC03A_000E);
pub(crate) const PARENT_ACCESS_DENIED: HResult = HResult(0xC03A_0016);
pub(crate) const VHD_CYCLE: HResult = HResult(0xC03A_0018);
/// A file that is sparse, compressed or encrypted, and was not allowed to be.
pub(crate) const UNSUPPORTED_FILE: HResult = HResult(0xC03A_001A);

/// A refusal, with what is said of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: HResult,
    pub(crate) words: String,
}

pub(crate) fn refusal(code: HResult, words: impl Into<String>) -> Refusal {
    Refusal {
        code,
        words: words.into(),
    }
}

impl Refusal {
    /// As a result document.
    pub(crate) fn document(&self) -> String {
        let error = i32::from_ne_bytes(self.code.0.to_ne_bytes());
        json!({
            "Error": error,
            "ErrorMessage": self.words,
            "ErrorEvents": [{"Message": self.words, "Provider": "double"}],
        })
        .to_string()
    }
}
