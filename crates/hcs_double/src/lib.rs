//! A test double of computecore.dll: the part of the Host Compute Service that storage needs, as a model.
//!
//! It has the calling rules of the library and checks them (one operation for one call, nothing used
//! after it was closed, nothing closed that has not ended), holds every document against the table of
//! fields, and keeps what its machines have: disks at places, shares, the files that they may open. Any
//! call can be made to fail, to fail after its work, to take time or for ever, to stop the machine or to
//! lose the service. With a broker, its machine is one of QEMU.
//!
//! It is a double: what it accepts was read in Microsoft's documentation and sources and was never asked
//! of a real Windows. `docs/hcs.md` says what only that can prove.
//!
//! ```text
//!   exports/       the functions of the library, for programs of Windows
//!     calls.rs       those that cvol makes      systems.rs   the others
//!       double.rs      how a call is begun, ends and is told of
//!         handles.rs     what is open             events.rs    who is told
//!         change.rs      what a request does      asked.rs     what is told of machines
//!           host.rs        what there is            files.rs     images, as the service sees them
//!           keep.rs        where it is kept         hardware.rs  a machine of QEMU behind it
//! ```

#![deny(unsafe_code)]

mod asked;
mod calls;
mod change;
mod codes;
mod control;
mod double;
mod events;
#[cfg(windows)]
mod exports;
mod files;
mod handles;
mod hardware;
mod host;
mod keep;
mod systems;
mod trouble;

pub use control::{Control, Report};
pub use double::{Double, Setting};
pub use events::{Event, EventKind, OperationCallback, SystemCallback};
pub use files::{Content, FileModel};
pub use handles::OperationKind;
pub use hardware::{Broker, BrokerAnswer, BrokerRequest, Hardware};
pub use host::{AccessList, DiskModel, Guest, HostModel, MachineModel, MachineState, SmbModel};
pub use systems::OperationFacts;
pub use trouble::{Answer, Trouble};
