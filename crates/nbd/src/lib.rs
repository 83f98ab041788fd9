//! Disks of cvol over the wire: a server of the NBD protocol, fixed newstyle, for any
//! [`blockio::Disk`].
//!
//! ```text
//!   client ── socket ── Server        listens, counts, stops           server.rs, endpoint.rs
//!                         │ a thread a client
//!                      handshake      options, until an export is chosen
//!                         │
//!                      connection     threads that take requests in turn
//!                       │   │   │
//!                incoming answer reply   bytes to requests, what they do, bytes back
//!                           │
//!                         Disk
//! ```
//!
//! What is spoken: structured replies, `base:allocation`, trim, write-zeroes, flush and forced unit
//! access, several connections to one export, requests of 32 MiB at most at any byte. What is not:
//! TLS (so nobody but this machine is served), extended headers, resizing.
//!
//! Memory is bounded for each connection: four threads with requests below 1 MiB each, one of them
//! with a larger one.
//!
//! Source: the NBD protocol, `doc/proto.md` of the reference implementation.

#![forbid(unsafe_code)]

mod answer;
mod connection;
mod endpoint;
mod export;
mod format;
mod handshake;
mod incoming;
mod replay;
mod reply;
mod scratch;
mod server;
mod stream;
#[cfg(unix)]
mod unix_socket;

pub use endpoint::{BindError, Endpoint};
pub use export::{Export, ExportError};
pub use replay::fuzz_session;
pub use server::{ServeError, Server, ServerEvent, ServerOptions, StopHandle};
