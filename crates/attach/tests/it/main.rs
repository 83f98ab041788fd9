//! Plans, slots and documents, through the public doors alone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod attaching;
mod documents;
mod invalid;
mod machines;
mod plans;
mod qemu;
mod requests;
mod slots;
