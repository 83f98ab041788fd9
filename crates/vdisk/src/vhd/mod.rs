//! VHD images: fixed, dynamic and differencing ones.
//!
//! ```text
//!   create   open   check            what callers ask for
//!        \     |     /
//!   fixed    dynamic    layer        an open disk; fixed ones are flat; one in a chain
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
mod child;
mod compact;
mod create;
mod dynamic;
mod fixed;
mod footer;
mod format;
mod fuzz;
mod geometry;
mod layer;
mod locator;
mod names;
mod open;
mod relink;
mod repair;
mod resize;
mod salvage;
mod space;
mod sparse;

pub(crate) use check::check;
pub(crate) use create::{create, create_child};
pub use fuzz::fuzz_open;
pub(crate) use layer::{link_facts, open_layer};
pub(crate) use open::{info, open, open_taker};
pub(crate) use relink::relink;
pub(crate) use repair::repair;
pub(crate) use resize::{refuse_size, resize_fixed, undo_growth_of_fixed};
pub(crate) use salvage::{open_salvaged, salvage};
