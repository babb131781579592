//! The body is in the library, where a stable driver calls it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| httpserverd::http::fuzz::proxy_header(data));
