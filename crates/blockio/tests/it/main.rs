//! Every storage and every disk behaves as the plain bytes that it stands for.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the functions marked as tests for tests"
)]

mod cursor;
mod disk;
mod random;
mod storage;
