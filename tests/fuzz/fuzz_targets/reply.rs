//! Replies from any bytes, and what a client gets of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::reply(data));
