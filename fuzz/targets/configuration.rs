#![no_main]

use libfuzzer_sys::fuzz_target;

// The first byte chooses the language.
fuzz_target!(|data: &[u8]| match data {
    [b'T', text @ ..] => evenkeel_fuzz::configuration::hold("lb.toml", text),
    text => evenkeel_fuzz::configuration::hold("lb.cfg", text),
});
