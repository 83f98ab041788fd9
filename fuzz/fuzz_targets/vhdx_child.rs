//! A good VHDX child on a good parent is changed in places, its checksums put right, and used.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vdisk::vhdx::fuzz_child(data));
