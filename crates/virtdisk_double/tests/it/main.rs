//! The calls of Windows for disks of the host, against the double as the library that it is built as.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[cfg(windows)]
mod loaded;
