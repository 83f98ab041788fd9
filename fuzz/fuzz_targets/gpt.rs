//! The partition table of a disk of arbitrary bytes is read.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkfs::gpt::fuzz_gpt(data));
