//! The client of the Host Compute Service against the double: its model in this process, and on Windows
//! the library that is built from it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod client;
#[cfg(windows)]
mod loaded;
mod machine;
#[cfg(not(windows))]
mod model;
mod stage;
