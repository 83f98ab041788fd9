//! An NTFS volume at rest, read structure by structure, with suspicion.
//!
//! ```text
//!   security                     descriptors by number
//!     |
//!   index, node, collation       directories and view indexes: walked, and looked up in
//!     |
//!   file, list                   a base record with its extension records
//!     |
//!   volume, stream, runs         records by number, values by position (compressed ones unpacked)
//!     |
//!   record, attribute, fixup     one record, and what stands in it
//!     |
//!   geometry                     the boot sector
//! ```
//!
//! Invariant: whatever the bytes, the answer is a structure or a [`ParseError`]. Memory grows with
//! the bytes read, never with a size that the volume claims; every loop ends by a bound named here.

mod attribute;
mod bits;
mod collation;
mod compressed;
mod error;
mod file;
mod fixup;
mod geometry;
mod index;
mod list;
mod name;
mod node;
mod record;
mod runs;
mod security;
mod stream;
mod value;
mod volume;

pub use attribute::{AttributeView, BodyView, NonResidentView, kind};
pub use bits::count_ones_from;
pub use collation::{Collation, compare_names};
pub use compressed::{ReadVolume, unpack_lznt1};
pub use error::{ParseError, Structure};
pub use file::File;
pub use fixup::{FixupProblem, unprotect};
pub use geometry::VolumeGeometry;
pub use index::{Index, VisitEntry};
pub use list::{ListEntry, list_entries};
pub use name::{FileNameView, StandardInformationView};
pub use node::{Child, Entries, EntryView, IndexBlock, Node, OwnedEntry, RootView};
pub use record::{Attributes, Record, RecordView};
pub use runs::{RunProblem, Runs};
pub use security::{SecurityEntry, SecurityStore, descriptor_hash};
pub use stream::{Extent, StreamMap};
pub use value::Value;
pub use volume::{NtfsVolume, VolumeState};

pub use super::attribute::FileReference;
pub use super::runs::{Lcn, Run};
pub use super::upcase::Upcase;

/// Largest file record that is accepted, in bytes; Windows has 1 or 4 KiB.
pub const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// Largest index block that is accepted, in bytes; Windows has 4 KiB.
pub const MAX_INDEX_BLOCK_BYTES: u64 = 64 * 1024;
/// Largest attribute list, in bytes: the limit of Windows.
pub const MAX_ATTRIBUTE_LIST_BYTES: u64 = 256 * 1024;
/// Levels of an index that are entered.
pub const MAX_INDEX_DEPTH: usize = 32;
/// Largest security descriptor in `$Secure`, in bytes: an entry crosses no block of 256 KiB.
pub const MAX_DESCRIPTOR_BYTES: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
