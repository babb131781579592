//! What a table may say, and what is wrong with it.

use crate::middleware::cache::KIND;
use crate::middleware::tests::{build, problems};

#[test]
fn right_ones() {
    build(&KIND, "");
    build(&KIND, "size = '64KiB'");
    build(
        &KIND,
        "size = '4MiB'\nmax_entry = '1MiB'\npurge_from = ['::1', '10.0.0.0/8']",
    );
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| {
        let found = problems(&KIND, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    check("size = 64", "keeps next to nothing");
    check("max_entry = 0", "no response may be larger than 0");
    check("size = '4MiB'\nmax_entry = '2MiB'", "push all others out");
    check("size = 'big'", "size");
    check("purge_from = ['x']", "neither an address nor a network");
    check("stale_if_error = 60", "has no unit");
    check(
        "disk = { path = '/tmp', max_size = '3MiB' }",
        "nothing would be kept on disk",
    );
    check(
        "disk = { path = '/tmp', max_size = '1TiB' }",
        "too many files could be open",
    );
    check("ttl = '1s'", "unknown key `ttl`");
}
