//! The `containerv_*` functions: cvol for programs in C and C++.
//!
//! ```text
//!   include/containerv_volume.h     generated from here by cbindgen; tests/it/header.rs holds them equal
//!
//!   volumes  layers  image          one function a verb: read the arguments, call, hand out
//!   options  plan    session        what a container is to have, planned and carried out
//!   settings                        version, errors, log, progress, the store of those without a handle
//!        |
//!   border                          every call passes here: no panic goes out, errors are kept
//!   text  out  memory  handles      what comes in, what goes out, what is still out
//!   types                           layouts
//!        |
//!   manager                         engines for many threads
//! ```
//!
//! Invariants: no function unwinds into C; a handle is a number that is looked up and never an address
//! that is followed; memory that was handed out is known until it is given back, and given back once.

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![allow(
    unsafe_code,
    reason = "what C hands in is an address; each use says why it may be followed"
)]
#![allow(
    non_camel_case_types,
    reason = "the names of the header are those of containerv"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract of all functions is one: pointers are NULL or what the header says"
)]

mod border;
mod errno;
mod failure;
mod handles;
pub mod image;
pub mod layers;
mod log;
mod manager;
mod memory;
pub mod options;
mod out;
pub mod plan;
mod request;
pub mod session;
pub mod settings;
mod text;
pub mod types;
pub mod volumes;
