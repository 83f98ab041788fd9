//! The log: a ring of entries, each the new content of some 4 KiB pages of metadata.
//!
//! ```text
//!   entry    layouts of one entry, decoded and encoded, no input or output
//!   replay   finds the active sequence of a dirty log and what it does to the file
//!   write    appends entries for a session and says when old ones may be overwritten
//! ```
//!
//! The log holds metadata alone, never what a guest wrote.

pub(super) mod entry;
pub(super) mod replay;
pub(super) mod write;

#[cfg(test)]
mod tests;
