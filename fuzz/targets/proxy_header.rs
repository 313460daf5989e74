#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    evenkeel_proxy::bench::hold_header(data);
});
