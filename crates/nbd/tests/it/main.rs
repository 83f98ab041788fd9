//! The server as a client sees it, over real sockets.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod client;
mod disk;
mod handshake;
mod history;
mod hostile;
mod requests;
mod stopping;
