//! cvol with machines of the Host Compute Service: the whole engine against the double of the service, and
//! an agent that plays the guest, on Linux and under Wine.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod attaching;
mod faults;
mod guest;
mod stage;
