//! A tar stream of arbitrary bytes is read as a tree.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| volume::tar_tree::fuzz_import(data));
