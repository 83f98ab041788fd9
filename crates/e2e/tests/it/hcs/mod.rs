//! `cvol.exe` under Wine and the Host Compute Service: its library is the double, and the machine behind
//! it one of QEMU, in which a real kernel mounts what was attached.
//!
//! `cargo xtask windows --hcs` runs these, and says where `cvol.exe` and Wine are. Elsewhere there is
//! neither, and they are skipped by name.

mod attaching;
mod broker;
mod detaching;
mod listing;
mod served;
mod stage;
mod troubles;
