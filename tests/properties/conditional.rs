//! The whole table of preconditions, against the prose of RFC 9110 §13.2.2.

use httpserverd::http::conditional::{Validators, Verdict, evaluate};
use httpserverd::http::etag::ETag;
use httpserverd::http::{Headers, Method, date, name};

const CHANGED: u64 = 1_000_000_000;
const NOW: u64 = 1_790_000_000;

/// Every way in which a request can say one of the four, and whether that holds.
type Choice<T> = [Option<(T, bool)>; 3];

const IF_MATCH: Choice<&str> = [None, Some(("\"a\"", true)), Some(("\"b\"", false))];
const IF_NONE_MATCH: Choice<&str> = [None, Some(("\"b\"", true)), Some(("W/\"a\"", false))];
const IF_UNMODIFIED: Choice<u64> = [None, Some((CHANGED, true)), Some((CHANGED - 1, false))];
const IF_MODIFIED: Choice<u64> = [None, Some((CHANGED - 1, true)), Some((CHANGED, false))];

fn oracle(reads: bool, [im, ius, inm, ims]: [Option<bool>; 4]) -> Verdict {
    match im {
        Some(false) => return Verdict::PreconditionFailed,
        None if ius == Some(false) => return Verdict::PreconditionFailed,
        _ => {}
    }
    match inm {
        Some(false) if reads => return Verdict::NotModified,
        Some(false) => return Verdict::PreconditionFailed,
        None if reads && ims == Some(false) => return Verdict::NotModified,
        _ => {}
    }
    Verdict::Proceed
}

#[test]
fn every_combination_of_the_four_preconditions() {
    let current = Validators {
        etag: ETag::parse(b"\"a\""),
        last_modified: Some(CHANGED),
    };
    let mut combinations = 0;
    for method in [Method::Get, Method::Head, Method::Put, Method::Delete] {
        for index in 0..81_usize {
            let im = IF_MATCH[index % 3];
            let ius = IF_UNMODIFIED[index / 3 % 3];
            let inm = IF_NONE_MATCH[index / 9 % 3];
            let ims = IF_MODIFIED[index / 27];
            let mut headers = Headers::new();
            if let Some((tag, _)) = im {
                headers.append(&name::IF_MATCH, tag);
            }
            if let Some((since, _)) = ius {
                headers.append(&name::IF_UNMODIFIED_SINCE, date::imf_fixdate(since));
            }
            if let Some((tag, _)) = inm {
                headers.append(&name::IF_NONE_MATCH, tag);
            }
            if let Some((since, _)) = ims {
                headers.append(&name::IF_MODIFIED_SINCE, date::imf_fixdate(since));
            }
            let reads = matches!(method, Method::Get | Method::Head);
            let holds = [
                im.map(|(_, holds)| holds),
                ius.map(|(_, holds)| holds),
                inm.map(|(_, holds)| holds),
                ims.map(|(_, holds)| holds),
            ];
            assert_eq!(
                evaluate(&method, &headers, &current, NOW),
                oracle(reads, holds),
                "{method} {headers:?}"
            );
            combinations += 1;
        }
    }
    assert_eq!(combinations, 4 * 81);
}
