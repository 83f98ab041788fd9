//! Black-box tests of the image formats: through the public doors alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod chain_crash;
mod chain_links;
mod chain_merge;
mod chain_resize;
mod compact;
mod convert;
mod corpus;
mod crash;
mod damage;
mod gates;
mod hostile;
mod images;
mod interrupted;
mod operations;
mod past;
mod qcow2;
mod random;
mod repair;
mod resize;
mod salvage;
mod tracked;
mod vhd;
mod vhdx;
mod vhdx_crash;
mod vhdx_hostile;
