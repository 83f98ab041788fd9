//! What the codes of the Host Compute Service mean, and what to make of them.
//!
//! The same fault has several codes: `0x8037xxxx` from computecore.dll, `0xC037xxxx` from vmcompute.dll,
//! `0x8007xxxx` for codes of Windows itself, and these bare. They are brought to one form first.

use std::fmt;

use serde_json::Value;

use crate::sides::{Fault, FaultKind};

/// The longest result document that is looked into, in bytes.
const MAX_DOCUMENT: usize = 1 << 20;
/// The most that is said of one in a message, in characters.
const MAX_WORDS: usize = 600;

/// A code as a call of the service returns it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HResult(pub u32);

/// Codes with a name and what kind of fault they are.
const KNOWN: &[(u32, &str, FaultKind)] = &[
    (
        0x8037_0100,
        "HCS_E_TERMINATED_DURING_START",
        FaultKind::Gone,
    ),
    (0x8037_0101, "HCS_E_IMAGE_MISMATCH", FaultKind::Invalid),
    (
        0x8037_0102,
        "HCS_E_HYPERV_NOT_INSTALLED",
        FaultKind::Unsupported,
    ),
    (0x8037_0105, "HCS_E_INVALID_STATE", FaultKind::Failed),
    (0x8037_0106, "HCS_E_UNEXPECTED_EXIT", FaultKind::Gone),
    (0x8037_0107, "HCS_E_TERMINATED", FaultKind::Gone),
    (0x8037_0108, "HCS_E_CONNECT_FAILED", FaultKind::Failed),
    (
        0x8037_0109,
        "HCS_E_CONNECTION_TIMEOUT",
        FaultKind::Unanswered,
    ),
    (
        0x8037_010A,
        "HCS_E_CONNECTION_CLOSED",
        FaultKind::Unanswered,
    ),
    (0x8037_010B, "HCS_E_UNKNOWN_MESSAGE", FaultKind::Unsupported),
    (
        0x8037_010C,
        "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
        FaultKind::Unsupported,
    ),
    (0x8037_010D, "HCS_E_INVALID_JSON", FaultKind::Invalid),
    (0x8037_010E, "HCS_E_SYSTEM_NOT_FOUND", FaultKind::Gone),
    (
        0x8037_010F,
        "HCS_E_SYSTEM_ALREADY_EXISTS",
        FaultKind::AlreadyExists,
    ),
    (0x8037_0110, "HCS_E_SYSTEM_ALREADY_STOPPED", FaultKind::Gone),
    (0x8037_0111, "HCS_E_PROTOCOL_ERROR", FaultKind::Nonsense),
    (0x8037_0112, "HCS_E_INVALID_LAYER", FaultKind::Invalid),
    (
        0x8037_0113,
        "HCS_E_WINDOWS_INSIDER_REQUIRED",
        FaultKind::Unsupported,
    ),
    (
        0x8037_0114,
        "HCS_E_SERVICE_NOT_AVAILABLE",
        FaultKind::Unsupported,
    ),
    (
        0x8037_0115,
        "HCS_E_OPERATION_NOT_STARTED",
        FaultKind::Failed,
    ),
    (
        0x8037_0116,
        "HCS_E_OPERATION_ALREADY_STARTED",
        FaultKind::Failed,
    ),
    (
        0x8037_0117,
        "HCS_E_OPERATION_PENDING",
        FaultKind::Unanswered,
    ),
    (
        0x8037_0103,
        "HCS_E_OPERATION_PENDING",
        FaultKind::Unanswered,
    ),
    (
        0x8037_0118,
        "HCS_E_OPERATION_TIMEOUT",
        FaultKind::Unanswered,
    ),
    (
        0x8037_011A,
        "HCS_E_OPERATION_RESULT_ALLOCATION_FAILED",
        FaultKind::Nonsense,
    ),
    (0x8037_011B, "HCS_E_ACCESS_DENIED", FaultKind::Denied),
    (0x8037_011C, "HCS_E_GUEST_CRITICAL_ERROR", FaultKind::Gone),
    (
        0x8037_011E,
        "HCS_E_SERVICE_DISCONNECT",
        FaultKind::Unanswered,
    ),
    (
        0x8037_011F,
        "HCS_E_PROCESS_ALREADY_STOPPED",
        FaultKind::Gone,
    ),
    (0x8007_0002, "ERROR_FILE_NOT_FOUND", FaultKind::NotFound),
    (0x8007_0003, "ERROR_PATH_NOT_FOUND", FaultKind::NotFound),
    (0x8007_0005, "ERROR_ACCESS_DENIED", FaultKind::Denied),
    (0x8007_0006, "ERROR_INVALID_HANDLE", FaultKind::Failed),
    (0x8007_000D, "ERROR_INVALID_DATA", FaultKind::Invalid),
    (0x8007_0020, "ERROR_SHARING_VIOLATION", FaultKind::Busy),
    (0x8007_0021, "ERROR_LOCK_VIOLATION", FaultKind::Busy),
    (0x8007_0027, "ERROR_HANDLE_DISK_FULL", FaultKind::NoSpace),
    (0x8007_0032, "ERROR_NOT_SUPPORTED", FaultKind::Unsupported),
    (0x8007_0050, "ERROR_FILE_EXISTS", FaultKind::AlreadyExists),
    (0x8007_0057, "ERROR_INVALID_PARAMETER", FaultKind::Invalid),
    (0x8007_0070, "ERROR_DISK_FULL", FaultKind::NoSpace),
    (0x8007_00AA, "ERROR_BUSY", FaultKind::Busy),
    (
        0x8007_00B7,
        "ERROR_ALREADY_EXISTS",
        FaultKind::AlreadyExists,
    ),
    (0x8007_0102, "WAIT_TIMEOUT", FaultKind::Unanswered),
    (0x8007_0490, "ERROR_NOT_FOUND", FaultKind::NotFound),
    (0x8007_0522, "ERROR_PRIVILEGE_NOT_HELD", FaultKind::Denied),
    (0x8007_05B4, "ERROR_TIMEOUT", FaultKind::Unanswered),
    (0x8000_4001, "E_NOTIMPL", FaultKind::Unsupported),
    (
        0xC03A_000D,
        "ERROR_VHD_PARENT_VHD_NOT_FOUND",
        FaultKind::NotFound,
    ),
    (
        0xC03A_000E,
        "ERROR_VHD_CHILD_PARENT_ID_MISMATCH",
        FaultKind::Invalid,
    ),
    (
        0xC03A_0016,
        "ERROR_VHD_PARENT_VHD_ACCESS_DENIED",
        FaultKind::Denied,
    ),
    (
        0xC03A_001A,
        "ERROR_VIRTDISK_UNSUPPORTED_FILE",
        FaultKind::Unsupported,
    ),
];

impl HResult {
    /// All went well.
    pub const OK: Self = Self(0);
    /// The machine is not in a state for it: it may be stopped, or paused.
    pub const INVALID_STATE: Self = Self(0x8037_0105);
    /// The call did not end in time.
    pub const OPERATION_TIMEOUT: Self = Self(0x8037_0118);

    /// Whether it says that all went well.
    pub fn is_success(self) -> bool {
        self.0 < 0x8000_0000 && (self.0 == 0 || self.0 > 0xFFFF)
    }

    /// The one form of codes that say the same.
    #[must_use]
    pub fn normalised(self) -> Self {
        match self.0 {
            code @ 1..=0xFFFF => Self(0x8007_0000 | code),
            code if code & 0xFFFF_0000 == 0xC037_0000 => Self(code & 0xBFFF_FFFF),
            _ => self,
        }
    }

    /// What kind of fault it is.
    pub fn kind(self) -> FaultKind {
        self.known().map_or(FaultKind::Failed, |known| known.2)
    }

    /// Its name in Microsoft's headers, where it is one of those that are known here.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|known| known.1)
    }

    fn known(self) -> Option<&'static (u32, &'static str, FaultKind)> {
        let code = self.normalised().0;
        KNOWN.iter().find(|known| known.0 == code)
    }

    /// Whether only a look at the machine tells whether it is still there.
    pub(super) fn leaves_state_open(self) -> bool {
        matches!(self.normalised().0, 0x8037_0105 | 0x8037_010A)
    }
}

impl fmt::Display for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "0x{:08X} ({name})", self.0),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a call says beside its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultDocument {
    /// In words, as far as there are any.
    pub words: String,
}

impl ResultDocument {
    /// Reads a result document: `ErrorMessage`, and what its events say. What is none has no words.
    pub fn parse(text: &str) -> Self {
        let document: Value = match text.len() {
            0 => Value::Null,
            length if length > MAX_DOCUMENT => Value::Null,
            _ => serde_json::from_str(text).unwrap_or_default(),
        };
        let mut words: Vec<&str> = Vec::new();
        words.extend(document["ErrorMessage"].as_str());
        for event in document["ErrorEvents"].as_array().into_iter().flatten() {
            words.extend(event["Message"].as_str());
        }
        words.retain(|said| !said.trim().is_empty());
        words.dedup();
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let words = words.join("; ");
        Self {
            words: words.chars().map(plain).take(MAX_WORDS).collect(),
        }
    }
}

/// The fault that a code is, with what the service says to it.
pub fn fault_of(what: &str, code: HResult, document: Option<&str>) -> Fault {
    let said = document.map(ResultDocument::parse).unwrap_or_default();
    let mut message = format!("cannot {what}: {code}");
    if !said.words.is_empty() {
        message.push_str(": ");
        message.push_str(&said.words);
    }
    if let Some(advice) = advice(code) {
        message.push_str("; ");
        message.push_str(advice);
    }
    Fault::new(code.kind(), message)
}

/// What can be done about the codes that people meet.
fn advice(code: HResult) -> Option<&'static str> {
    match code.normalised().0 {
        0x8037_011B | 0x8007_0005 => Some(
            "the caller has to be one of Administrators or Hyper-V Administrators, and own the file",
        ),
        0x8037_0102 | 0x8037_0114 => {
            Some("the Windows feature Hyper-V or Containers has to be turned on")
        }
        0x8007_0020 => Some("another program or machine has the file open"),
        0xC03A_001A => Some("the file must not be sparse, compressed or encrypted"),
        0x8037_0105 => Some("the machine has to be running"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
