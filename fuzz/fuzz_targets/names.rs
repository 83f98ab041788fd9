//! An arbitrary name of a volume is parsed.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volume::fuzz_name(data));
