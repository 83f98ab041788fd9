//! The monitor of QEMU says arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| attach::qemu::qmp::fuzz_answers(data));
