//! Weights are read as written, and the best coding on offer is the best.

use httpserverd::http::accept::{best_coding, coding_quality, media_quality};
use httpserverd::http::{Headers, name};
use proptest::prelude::*;

const CODINGS: [&str; 5] = ["br", "zstd", "gzip", "identity", "*"];
const OFFERED: [&str; 3] = ["br", "zstd", "gzip"];

fn accept_encoding(value: &str) -> Headers {
    let mut headers = Headers::new();
    headers.append(&name::ACCEPT_ENCODING, value);
    headers
}

/// What the field says of a coding, straight from the sentences of RFC 9110 §12.5.3.
fn oracle(named: &[(usize, u16)], coding: &str) -> u16 {
    let of = |wanted| {
        let member = named.iter().find(|(index, _)| CODINGS[*index] == wanted);
        member.map(|(_, quality)| *quality)
    };
    match (of(coding), of("*")) {
        (Some(quality), _) | (None, Some(quality)) => quality,
        (None, None) => u16::from(coding == "identity"),
    }
}

proptest! {
    #[test]
    fn codings_are_weighed_as_written_and_the_best_is_chosen(
        named in prop::collection::hash_map(0..CODINGS.len(), 0..=1000_u16, 0..5),
        space in "[ \t]{0,2}",
    ) {
        let named: Vec<_> = named.into_iter().collect();
        let members: Vec<_> = named
            .iter()
            .map(|(index, quality)| {
                let (whole, rest) = (quality / 1000, quality % 1000);
                format!("{}{space};{space}q={whole}.{rest:03}", CODINGS[*index])
            })
            .collect();
        let headers = accept_encoding(&members.join(","));
        for coding in &CODINGS[..4] {
            prop_assert_eq!(coding_quality(&headers, coding), oracle(&named, coding));
        }
        let most = OFFERED.iter().map(|coding| oracle(&named, coding)).max().unwrap_or(0);
        let identity = oracle(&named, "identity");
        match best_coding(&headers, &OFFERED) {
            Some(best) => {
                prop_assert_eq!(oracle(&named, best), most);
                prop_assert!(most > 0 && most >= identity);
            }
            None => prop_assert!(most == 0 || most < identity),
        }
    }

    #[test]
    fn no_value_is_weighed_above_one(value in "[a-z*/;q=0-9., \t\"]{0,60}|\\PC{0,40}") {
        let headers = accept_encoding(&value);
        prop_assert!(coding_quality(&headers, "gzip") <= 1000);
        let mut headers = Headers::new();
        headers.append(&name::ACCEPT, &value);
        prop_assert!(media_quality(&headers, "text/html") <= 1000);
    }
}
