#![no_main]

use libfuzzer_sys::fuzz_target;

// The first byte says whether the answer has a body, and in which pieces it comes.
fuzz_target!(|data: &[u8]| if let [how, bytes @ ..] = data {
    evenkeel_fuzz::answer::hold(bytes, how & 1 == 0, usize::from(how >> 1));
});
