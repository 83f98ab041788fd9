//! The C interface as others see it: its header, and programs in C and C++ that use the library.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod documented;
mod header;
mod programs;
#[allow(dead_code, reason = "what is shared is not all needed here")]
#[path = "../../../e2e/tests/it/tools.rs"]
mod tools;
