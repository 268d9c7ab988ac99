#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aeolus_pipeline::fuzzing::sums(data));
