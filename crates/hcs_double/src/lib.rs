//! A test double of computecore.dll: the part of the Host Compute Service that storage needs, as a model.
//!
//! It has the calling rules of the library and checks them (one operation for one call, nothing used
//! after it was closed, nothing closed that has not ended), holds every document against the table of
//! fields, and keeps what its machines have: disks at places, shares, the files that they may open. Any
//! call can be made to fail, to fail after its work, to take for ever, or to stop the machine.
//!
//! It is a double: what it accepts was read in Microsoft's documentation and sources and was never asked
//! of a real Windows. `docs/hcs.md` says what only that can prove.
//!
//! `host.rs` is what there is, `change.rs` what a request does to it, `double.rs` the calls with their
//! rules. `exports.rs` has them for programs of Windows; elsewhere the model is called directly.

#![deny(unsafe_code)]

mod change;
mod double;
#[cfg(windows)]
mod exports;
mod host;

pub use double::{Control, Double, Report, Trouble};
pub use host::{DiskModel, Guest, HostModel, MachineModel, MachineState};
