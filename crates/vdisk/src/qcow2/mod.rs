//! qcow2, the format of QEMU: read whole (compressed clusters too), written as new images.
//!
//! ```text
//!   create          open   info   check        doors of this module
//!      |              \     |     /
//!   writer            reader                    a new image; an image that is there
//!      |                 |   \
//!      |                 |   compressed         one cluster unpacked
//!      +------ header ---+--- table             decoding: bytes in, checked values out
//!                 |
//!              format                           what stands in the file
//! ```
//! After "Qcow2 Image File Format" (`docs/interop/qcow2` of QEMU), called qcow2 in the rules that
//! errors name. An image that exists is not written: whoever wants that converts it.
//!
//! Not read, and refused by name: encryption, an external data file, subclusters (extended L2
//! entries), features that are not known. Internal snapshots are passed over: the disk is the current
//! one. A dirty image is read: what its dirty bit puts in doubt are the counts of references, which
//! nothing here believes.

mod backing;
mod check;
mod compressed;
mod format;
mod fuzz;
mod header;
mod reader;
mod table;
mod writer;

pub(crate) use check::check;
pub use fuzz::fuzz_open;
pub(crate) use reader::{info, open};
pub(crate) use writer::create;
