//! Access control: who may do what with a file or directory ([MS-DTYP] 2.4).
//!
//! ```text
//!   text   sddl/parse, sddl/print      O:BAG:SYD:(A;OICI;FA;;;BA)
//!            |                         presets: texts with a name
//!   model  Parts: Sid, Acl, Ace, AccessMask
//!            |         \
//!   bytes  SecurityDescriptor   inherit    what a new entry gets from its directory
//!                                   |
//!                               rules, tree    the descriptors of a whole tree
//! ```
//!
//! Invariants: a [`SecurityDescriptor`] is bounded and whole, whatever bytes it was made of; what is
//! printed reads back as the same descriptor; bytes are laid out as NTFS of Windows lays them out
//! (head, system list, discretionary list, owner, group), so that equal descriptors are equal bytes.

mod ace;
mod acl;
mod alias;
mod descriptor;
mod inherit;
mod mask;
mod path_rules;
mod presets;
mod rules;
mod sddl;
mod sid;
mod tree;

pub use ace::{Ace, AceBody, AceFlags, AceKind};
pub use acl::{Acl, ListPart};
pub use descriptor::{Control, DescriptorError, MAX_DESCRIPTOR_BYTES, Parts, SecurityDescriptor};
pub use inherit::{Creator, assign, inherit, windows_root};
pub use mask::AccessMask;
pub(crate) use path_rules::{PathProgress, PathRules};
pub use presets::Preset;
pub use rules::{AccessRules, RuleError};
pub use sddl::{MAX_SDDL_BYTES, SddlError, SddlErrorKind, fuzz_sddl};
pub use sid::{Sid, SidError};
pub use tree::AccessTree;
