//! Arbitrary bytes are read as a security descriptor, and as the text of one.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkfs::security::fuzz_sddl(data));
