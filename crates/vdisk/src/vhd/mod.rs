//! VHD images: fixed and dynamic ones are created, read and written; differencing ones are
//! described and refused.
//!
//! ```text
//!   create   open   check            what callers ask for
//!        \     |     /
//!   fixed    dynamic                 an open disk; fixed ones are flat
//!              |   \
//!              bat  space            which block is where; where the next one goes, crash-safe
//!               \   /
//!   footer   sparse   locator        what the structures mean
//!         \    |     /
//!   geometry  format                 what stands in the file
//! ```
//! After "Virtual Hard Disk Image Format Specification", version 1.0, and what Windows writes.

mod bat;
mod check;
mod create;
mod dynamic;
mod fixed;
mod footer;
mod format;
mod fuzz;
mod geometry;
mod locator;
mod open;
mod space;
mod sparse;

pub(crate) use check::check;
pub(crate) use create::create;
pub use fuzz::fuzz_open;
pub(crate) use open::{info, open};
