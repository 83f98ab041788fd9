//! The agent in a virtual machine: does there what the host asks for, and tells what came of it.
//!
//! ```text
//!   place.rs          where the host is heard: ports of virtio, sockets, the standard streams
//!     │ a thread each
//!   conversation.rs   frames to requests, hello at once, the rest in threads of their own
//!     │
//!   System (trait)    linux/ or windows/: disks, mounts, shares, usage
//!   command.rs        runs commands, the same on both
//! ```
//!
//! The host is trusted, and still bounded: it may have died in the middle of anything, and what it
//! asked for before may come up late. Every request may come again; what is done already is answered
//! as done. What the agent mounts it keeps book of, so that it unmounts and removes nothing else.

#![deny(unsafe_code)]

mod agent;
mod arguments;
mod book;
mod command;
mod conversation;
mod frozen;
#[cfg(target_os = "linux")]
mod linux;
mod place;
mod refused;
mod system;
#[cfg(windows)]
mod windows;

pub use agent::Agent;
pub use arguments::{Arguments, USAGE, UsageError};
pub use conversation::{Ending, hold};
pub use place::{Place, serve};
pub use system::System;

#[cfg(target_os = "linux")]
pub use linux::{Linux, be_init};
#[cfg(windows)]
pub use windows::Windows;
