//! Commands from any line, and what a backend gets of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::command(data));
