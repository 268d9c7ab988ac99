#![no_main]

libfuzzer_sys::fuzz_target!(
    init: aeolus_infer::fuzzing::watch_templates(),
    |data: &[u8]| aeolus_infer::fuzzing::template(data)
);
