//! What the codes of virtdisk.dll and of the system's volumes mean, beyond those that the Host Compute
//! Service has too.

use crate::hcs::{HResult, fault_of};
use crate::sides::{Fault, FaultKind};

/// Codes with what they say to people, and what kind of fault they are. Sources: winerror.h, and the pages
/// of the functions.
const KNOWN: &[(u32, FaultKind, &str)] = &[
    (
        0x8007_0078,
        FaultKind::Unsupported,
        "this Windows does not do that",
    ),
    (
        0x8007_0015,
        FaultKind::NotFound,
        "it is not ready: it is not attached",
    ),
    (
        0x8007_0020,
        FaultKind::Busy,
        "another program or machine has the image open, or it is attached already",
    ),
    (
        0x8007_0021,
        FaultKind::Busy,
        "another program has a part of it locked",
    ),
    (
        0x8007_0005,
        FaultKind::Denied,
        "this takes an administrator, or a file of it is open",
    ),
    (
        0x8007_0522,
        FaultKind::Denied,
        "this takes an administrator: the right to manage volumes is missing",
    ),
    // Nobody but cvol made the parameters: whoever gave the command can do nothing about them.
    (
        0x8007_0057,
        FaultKind::Failed,
        "this Windows does not take the request",
    ),
    (0x8007_0570, FaultKind::Nonsense, "the image is damaged"),
    (0x8007_0091, FaultKind::Busy, "the folder is not empty"),
    (0x8007_1126, FaultKind::NotFound, "nothing is mounted there"),
    (
        0x8007_007E,
        FaultKind::Unsupported,
        "a library of the system is missing",
    ),
    (
        0x8007_007F,
        FaultKind::Unsupported,
        "this Windows has no such function",
    ),
    (
        0x8007_0299,
        FaultKind::Unsupported,
        "a virtual disk on a network share cannot be attached here",
    ),
    (
        0x8007_026A,
        FaultKind::Unsupported,
        "the image is compressed",
    ),
    (
        0x8007_1772,
        FaultKind::Unsupported,
        "the image is encrypted",
    ),
    (0xC03A_0001, FaultKind::Nonsense, "the image has no footer"),
    (
        0xC03A_0002,
        FaultKind::Nonsense,
        "the footer of the image is damaged",
    ),
    (
        0xC03A_0003,
        FaultKind::Nonsense,
        "the footer of the image is damaged",
    ),
    (
        0xC03A_0004,
        FaultKind::Unsupported,
        "the format of the image is not known",
    ),
    (
        0xC03A_0005,
        FaultKind::Unsupported,
        "the version of the format is not known",
    ),
    (
        0xC03A_0006,
        FaultKind::Nonsense,
        "the header of the image is damaged",
    ),
    (
        0xC03A_0007,
        FaultKind::Unsupported,
        "the version of the format is not known",
    ),
    (
        0xC03A_0008,
        FaultKind::Nonsense,
        "the header of the image is damaged",
    ),
    (
        0xC03A_000A,
        FaultKind::Nonsense,
        "the block table of the image is damaged",
    ),
    (
        0xC03A_000B,
        FaultKind::Nonsense,
        "the blocks of the image have a size that none can have",
    ),
    (
        0xC03A_000C,
        FaultKind::Nonsense,
        "the bitmaps of the image are damaged",
    ),
    (
        0xC03A_000D,
        FaultKind::NotFound,
        "the parent of the image is missing",
    ),
    (
        0xC03A_000E,
        FaultKind::Nonsense,
        "the parent of the image is another one than it says",
    ),
    (
        0xC03A_000F,
        FaultKind::Nonsense,
        "the parent of the image was changed after it",
    ),
    (
        0xC03A_0012,
        FaultKind::Invalid,
        "no such image has this size",
    ),
    (
        0xC03A_0013,
        FaultKind::Nonsense,
        "the file of the image has a length that none can have",
    ),
    (
        0xC03A_0014,
        FaultKind::Unsupported,
        "this Windows has nothing that opens such images",
    ),
    (0xC03A_0015, FaultKind::NotFound, "it is no virtual disk"),
    (
        0xC03A_0016,
        FaultKind::Denied,
        "the parent of the image may not be opened",
    ),
    (
        0xC03A_0017,
        FaultKind::Nonsense,
        "the parent of the image has another size",
    ),
    (
        0xC03A_0018,
        FaultKind::Nonsense,
        "the image is among its own parents",
    ),
    (
        0xC03A_0019,
        FaultKind::Nonsense,
        "a parent of the image is damaged",
    ),
    (
        0xC03A_001A,
        FaultKind::Unsupported,
        "the image must not be sparse, compressed or encrypted",
    ),
    (
        0xC03A_001B,
        FaultKind::Unsupported,
        "that cannot be done with an image of this type",
    ),
    (
        0xC03A_001C,
        FaultKind::Busy,
        "that cannot be done with an image in this state",
    ),
    (
        0xC03A_001D,
        FaultKind::Unsupported,
        "the disk that holds the image has sectors that do not fit",
    ),
    (
        0xC03A_0025,
        FaultKind::Invalid,
        "what is on the disk does not fit into that size",
    ),
    (
        0xC03A_0027,
        FaultKind::Invalid,
        "the disk is as small as what is on it",
    ),
];

/// What a volume says when files of it are open, and everything else that is not allowed.
pub(super) const ACCESS_DENIED: HResult = HResult(0x8007_0005);

/// The fault that a code is.
pub(super) fn fault(what: &str, code: HResult) -> Fault {
    let normalised = code.normalised().0;
    match KNOWN.iter().find(|known| known.0 == normalised) {
        Some((_, kind, words)) => Fault::new(*kind, format!("cannot {what}: {words} ({code})")),
        None => fault_of(what, code, None),
    }
}

/// The same as an outcome.
pub(super) fn done(what: &str, code: HResult) -> Result<(), Fault> {
    match code.is_success() {
        true => Ok(()),
        false => Err(fault(what, code)),
    }
}

/// Whether a code says that there is nothing: no file, no volume, no mount point.
pub(super) fn is_absent(code: HResult) -> bool {
    matches!(
        code.normalised().0,
        // File, path, element not found; not ready; no mount point; no such device; no such drive.
        0x8007_0002
            | 0x8007_0003
            | 0x8007_0490
            | 0x8007_0015
            | 0x8007_1126
            | 0x8007_0037
            | 0x8007_000F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_whichever_way_they_are_spelled() {
        for (code, kind) in [
            (2, FaultKind::NotFound),
            (0x8007_0002, FaultKind::NotFound),
            (5, FaultKind::Denied),
            (32, FaultKind::Busy),
            (33, FaultKind::Busy),
            (1314, FaultKind::Denied),
            (1392, FaultKind::Nonsense),
            (87, FaultKind::Failed),
            (120, FaultKind::Unsupported),
            (127, FaultKind::Unsupported),
            (112, FaultKind::NoSpace),
            (0xC03A_0005, FaultKind::Unsupported),
            (0xC03A_000D, FaultKind::NotFound),
            (0xC03A_0014, FaultKind::Unsupported),
            (0xC03A_001C, FaultKind::Busy),
            (12345, FaultKind::Failed),
        ] {
            let fault = fault("attach it", HResult(code));
            assert_eq!(fault.kind(), kind, "{code}: {fault}");
            assert!(fault.to_string().contains("attach it"), "{fault}");
        }
        assert!(is_absent(HResult(2)) && is_absent(HResult(21)) && !is_absent(ACCESS_DENIED));
    }
}
