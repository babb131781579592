//! Names that certificates are ordered for.

/// Why a name, in lower case, cannot be in a certificate of these challenges, and what to do.
pub(super) fn wrong_domain(name: &str) -> Option<(&'static str, &'static str)> {
    if name.starts_with("*.") {
        let hint = "wildcards need the challenge dns-01, which this server does not answer; name \
                    each host, or use a certificate of a file";
        return Some(("is a wildcard", hint));
    }
    if name
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok()
    {
        return Some(("is an address", "certificates are ordered for names"));
    }
    if !name.is_ascii() {
        let hint = "write it as DNS has it: xn--…";
        return Some(("has letters that DNS has not", hint));
    }
    let good = |label: &str| {
        let ends = label.starts_with('-') || label.ends_with('-');
        let letters = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !ends && letters && (1..=63).contains(&label.len())
    };
    if name.len() > 253 || !name.split('.').all(good) {
        return Some(("is no name of a host", "write it like \"example.com\""));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hosts() {
        for good in ["example.com", "a", "xn--bcher-kva.example", "1.example"] {
            assert_eq!(wrong_domain(good), None, "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "*.a",
            "a.*",
            "10.0.0.1",
            "[::1]",
            "bücher.example",
            "a/b",
            "../x",
            "a:1",
        ] {
            assert!(wrong_domain(bad).is_some(), "{bad}");
        }
        assert!(wrong_domain(&"a".repeat(64)).is_some());
        assert!(wrong_domain(&["a"; 200].join(".")).is_some());
    }
}
