//! Volumes in use: what has to happen so that sources appear at their targets in a virtual machine.
//!
//! ```text
//!   MountRequest ──┬──> Plan ──┬──> hcs::render, render_first_schema
//!   ledger::Ledger ┘           ├──> oci_mounts
//!       ^                      ├──> qemu_arguments, guest_script
//!       │                      ├──> PlanDocument
//!       └── carry_out::Operator <──┘
//!               └──> Host, Machine, Guest
//! ```
//!
//! A plan touches no host, no machine and no guest: it is data, and so is every form of it. `sides` says
//! what carrying it out takes of those three; `qemu` does that with machines of QEMU. Nothing here knows
//! a volume by its name: whoever asks says which image a volume is.

#![deny(unsafe_code)]

pub mod carry_out;
pub mod fake;
mod guest;
mod guest_client;
pub mod hcs;
pub mod ledger;
mod mount;
mod oci;
mod path;
mod plan;
pub mod qemu;
mod script;
mod sides;
mod slots;
mod unattended_guest;
pub mod virtdisk;
pub mod vm_access;
mod wide_text;

pub use guest::{GuestSystem, Hypervisor, Platform, SchemaVersion, UnknownWord};
pub use guest_client::{
    Channel, CommandEnd, GuestAgentSystem, GuestClient, GuestCommand, GuestMount, GuestUsage,
    GuestWelcome, OutputStream, Patience, PipeChannel,
};
pub use mount::{DiskSource, GuestFileSystem, MountRequest, SmbSource, Source, mount_flag};
pub use oci::{OciMount, oci_mounts};
pub use path::{HostPath, PathError, Target};
pub use plan::{
    Action, Held, Plan, PlanDocument, PlanError, PlanRefusal, PlannedMount, Share, ShareTransport,
    Step, StepDocument,
};
pub use qemu::{QemuMachine, QemuVm, QemuVmOptions, qemu_arguments};
pub use script::{GuestScript, GuestStep, GuestWork, ScriptCommand, guest_script, guest_work};
pub use sides::{
    Credentials, DiskAttachment, DiskMount, Fault, FaultKind, Guest, Host, Machine, Unmounting,
};
pub use slots::{Place, PlacedDisk, Slot, SlotError, SlotLayout, Slots};
pub use unattended_guest::UnattendedGuest;
pub use wide_text::{text_of_units, wide_text};
