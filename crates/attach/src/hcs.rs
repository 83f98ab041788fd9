//! The documents of the Host Compute Service, made and checked on any system.
//!
//! `compute_core.rs` is the part of computecore.dll that is used, `library.rs` loads it where there is one,
//! `system.rs` has the sequences of calls, `result.rs` what their codes mean, `machine.rs` the machine that
//! plans are carried out on, `hvsocket.rs` the way to agents in guests. Of these only the loaded library
//! and the sockets are of Windows; the rest is tried anywhere.
//!
//! `schema.rs` is what we write, `fields.rs` which fields there are and since when, `validate.rs` holds
//! a document against that, `render.rs` turns a plan into documents. The service refuses a whole
//! document for one field that it does not know, and says little about which.
//!
//! Sources: Microsoft's HCS schema reference and the schema files of five SDKs; the fields that these
//! leave out, from the documents that hcsshim and WSL send.

mod compute_core;
mod fields;
mod hvsocket;
mod library;
mod machine;
mod render;
mod requests;
mod result;
pub mod schema;
mod system;
mod validate;

pub use compute_core::{ComputeCore, CoreResult, OperationHandle, SystemHandle, WaitTime};
pub use hvsocket::connect_to_guest;
pub use library::{load_compute_core, load_compute_core_from};
pub use machine::HcsMachine;
pub use render::{
    AccessGrant, ContainerPart, HcsDocuments, RenderError, render, render_first_schema,
};
pub use result::{HResult, ResultDocument, fault_of};
pub use system::{
    HcsSystem, StorageStatistics, SystemState, SystemSummary, list_systems, newest_schema,
};
pub use validate::{DocumentKind, Problem, validate};
