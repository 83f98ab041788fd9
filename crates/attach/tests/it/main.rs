//! Plans, slots and documents, through the public doors alone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod attaching;
mod defects;
mod documents;
mod histories;
mod invalid;
mod ledgers;
mod machines;
mod plans;
mod qemu;
mod requests;
mod slots;
