//! QEMU, the second hypervisor: a machine that runs, over QMP, and arguments for one that is yet to be
//! started.
//!
//! ```text
//!   arguments   a plan, for a machine that is started with everything attached
//!   machine     a machine that runs, behind `attach::Machine`
//!     disks       blockdev-add of our export, device_add, and back
//!     shares      a virtiofs daemon, a character device, a PCI device, and back
//!     daemon      the daemon: a process that outlives its starter
//!   qmp         what is said to the monitor of QEMU, over any stream
//! ```

mod arguments;
#[cfg(target_os = "linux")]
mod daemon;
mod disks;
mod machine;
mod names;
pub mod qmp;
mod shares;

pub use arguments::{QemuMachine, qemu_arguments};
pub use machine::{QemuVm, QemuVmOptions};
