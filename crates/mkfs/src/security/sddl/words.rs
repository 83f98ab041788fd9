//! The words of SDDL ([MS-DTYP] 2.5.1.1), each once, for reading and printing.

use crate::security::ace::{AceFlags, AceKind};
use crate::security::mask::AccessMask;

/// In which list an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Discretionary,
    System,
}

/// The kinds of entries that are read and printed.
pub(super) const KINDS: [(&str, AceKind, List); 7] = [
    ("A", AceKind::ALLOW, List::Discretionary),
    ("D", AceKind::DENY, List::Discretionary),
    ("AU", AceKind::AUDIT, List::System),
    ("AL", AceKind::ALARM, List::System),
    ("ML", AceKind::MANDATORY_LABEL, List::System),
    ("SP", AceKind::SCOPED_POLICY, List::System),
    ("TL", AceKind::TRUST_LABEL, List::System),
];

const OBJECT: &str = "an entry about types of objects, which files have none of";
const CONDITION: &str = "an entry with a condition";

/// The kinds of entries that exist and are refused, each with what it is.
pub(super) const REFUSED_KINDS: [(&str, u8, &str); 14] = [
    ("OA", 0x05, OBJECT),
    ("OD", 0x06, OBJECT),
    ("OU", 0x07, OBJECT),
    ("OL", 0x08, OBJECT),
    ("XA", 0x09, CONDITION),
    ("XD", 0x0A, CONDITION),
    ("ZA", 0x0B, CONDITION),
    ("ZD", 0x0C, CONDITION),
    ("XU", 0x0D, CONDITION),
    ("XL", 0x0E, CONDITION),
    ("ZU", 0x0F, CONDITION),
    ("ZL", 0x10, CONDITION),
    ("RA", 0x12, "an entry with attributes of the object"),
    ("FL", 0x15, "an entry that filters access by a condition"),
];

/// The flags of an entry, from the lowest bit up: the order in which they are printed. Between them
/// they name every bit.
pub(super) const FLAGS: [(&str, AceFlags); 8] = [
    ("OI", AceFlags::OBJECT_INHERIT),
    ("CI", AceFlags::CONTAINER_INHERIT),
    ("NP", AceFlags::NO_PROPAGATE),
    ("IO", AceFlags::INHERIT_ONLY),
    ("ID", AceFlags::INHERITED),
    ("CR", AceFlags(0x20)),
    ("SA", AceFlags(0x40)),
    ("FA", AceFlags(0x80)),
];

/// Names of whole sets of rights. A mask that equals one is printed by it, the first that fits.
pub(super) const SETS: [(&str, AccessMask); 8] = [
    ("FA", AccessMask::FILE_ALL),
    ("FR", AccessMask::FILE_READ),
    ("FW", AccessMask::FILE_WRITE),
    ("FX", AccessMask::FILE_EXECUTE),
    ("KA", AccessMask(0x000F_003F)),
    ("KR", AccessMask(0x0002_0019)),
    ("KW", AccessMask(0x0002_0006)),
    // Of keys, to execute is to read: it is printed as KR.
    ("KX", AccessMask(0x0002_0019)),
];

/// Names of single rights, from the lowest bit up: the order in which they are printed.
pub(super) const RIGHTS: [(&str, AccessMask); 17] = [
    ("CC", AccessMask(0x0001)),
    ("DC", AccessMask(0x0002)),
    ("LC", AccessMask(0x0004)),
    ("SW", AccessMask(0x0008)),
    ("RP", AccessMask(0x0010)),
    ("WP", AccessMask(0x0020)),
    ("DT", AccessMask(0x0040)),
    ("LO", AccessMask(0x0080)),
    ("CR", AccessMask(0x0100)),
    ("SD", AccessMask(0x0001_0000)),
    ("RC", AccessMask(0x0002_0000)),
    ("WD", AccessMask(0x0004_0000)),
    ("WO", AccessMask(0x0008_0000)),
    ("GA", AccessMask::GENERIC_ALL),
    ("GX", AccessMask::GENERIC_EXECUTE),
    ("GW", AccessMask::GENERIC_WRITE),
    ("GR", AccessMask::GENERIC_READ),
];

/// What a label forbids those below it: names for the rights of such entries.
pub(super) const LABEL_RIGHTS: [(&str, AccessMask); 3] = [
    ("NW", AccessMask(0x0001)),
    ("NR", AccessMask(0x0002)),
    ("NX", AccessMask(0x0004)),
];
