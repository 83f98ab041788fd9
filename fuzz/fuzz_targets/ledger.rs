//! The ledger of a machine has arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| assert!(attach::ledger::fuzz_document(data)));
