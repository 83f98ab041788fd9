//! A small NTFS volume with arbitrary changes is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkfs::ntfs::fsck::fuzz_ntfs(data));
