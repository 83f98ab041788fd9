//! An arbitrary option string is parsed.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volume::fuzz_spec(data));
