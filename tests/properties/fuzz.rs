//! The fuzz bodies on a stable compiler: the bytes of the wire cases, changed at random.
//!
//! `FUZZ_ITERATIONS` says how often, `SEED` replays a run.

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use httpserverd::http::fuzz;

use crate::support::script;

type Body = fn(&[u8]);

const BODIES: [(&str, Body); 5] = [
    ("h1_head", fuzz::h1_head),
    ("h1_response", fuzz::h1_response),
    ("chunked", fuzz::chunked),
    ("target", fuzz::target),
    ("proxy_header", fuzz::proxy_header),
];

/// A few seconds without optimisation.
const ITERATIONS: u64 = 40_000;

/// A change longer than this finds nothing that a shorter one does not.
const LENGTH_MAX: usize = 2048;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

/// What the cases send; of each also what stands behind its head, and its target.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/cases");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut corpus = vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.0 404 \r\nServer: a\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\r\nGET".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.80 0 65535\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\x02\x01\xc0\0\x02\x50\x13\x88\0\x50\x02\0\x02ab"
            .to_vec(),
    ];
    for file in files {
        for case in script::parse(&fs::read_to_string(file).unwrap()) {
            let sent = case.sent;
            if let Some(end) = sent.windows(4).position(|four| four == b"\r\n\r\n") {
                corpus.push(sent[end + 4..].to_vec());
            }
            corpus.extend(sent.split(|&byte| byte == b' ').nth(1).map(<[u8]>::to_vec));
            corpus.push(sent);
        }
    }
    corpus
}

fn change(seed: &[u8], corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const TOKENS: [&[u8]; 14] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b" ",
        b"\t",
        b"%",
        b"%2e",
        b"..",
        b"/",
        b"chunked",
        b"0\r\n\r\n",
        b"\xff",
    ];
    let mut bytes = seed[..seed.len().min(LENGTH_MAX)].to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[3],
            1 if at < bytes.len() => drop(
                bytes.drain(
                    at..(at + 1 + random.below(8))
                        .min(seed.len().max(at + 1))
                        .min(bytes.len()),
                ),
            ),
            2 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.extend_from_slice(&other[..other.len().min(256)]);
            }
            3 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
        }
    }
    bytes
}

#[test]
fn fuzz_bodies_hold_for_changed_wire_cases() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (iterations, seed) = (
        number("FUZZ_ITERATIONS", ITERATIONS),
        number("SEED", 0x5eed_cafe),
    );
    let corpus = corpus();
    assert!(corpus.len() > 300, "the corpus is there");
    let mut random = Random(seed | 1);
    for iteration in 0..iterations {
        let from = &corpus[random.below(corpus.len())];
        let bytes = change(from, &corpus, &mut random);
        for (name, body) in BODIES {
            let ran = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
            let input = bytes.escape_ascii();
            assert!(
                ran.is_ok(),
                "{name}, SEED={seed}, iteration {iteration}: \"{input}\""
            );
        }
    }
}
