//! Arbitrary bytes come over the channel between a host and the agent in a guest.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    guest_proto::fuzz_channel(data);
});
