//! What an answer says of places, told in the client's terms: `Location`, and the path and domain
//! of cookies, where the route has moved prefixes or hosts.

use serde::Deserialize;
use toml::Spanned;

use super::forwarded::asked_for;
use super::host::told_host;
use super::settings::Rewriting;
use crate::build::{ParseContext, Problem, Section};
use crate::exchange::Exchange;
use crate::http::authority::is_host;
use crate::http::{Headers, name};

/// Tells the fields of an answer in the client's terms. `endpoint` is the authority of the
/// endpoint that gave it.
pub(super) fn translate(
    headers: &mut Headers,
    x: &Exchange<'_>,
    rewriting: &Rewriting,
    endpoint: &str,
) {
    let answers = &rewriting.answers;
    let places = answers.locations == Places::Rewrite
        && (headers.contains(&name::LOCATION) || headers.contains(&name::CONTENT_LOCATION));
    let cookies = headers.contains(&name::SET_COOKIE)
        && (answers.cookie_paths == Places::Rewrite || answers.cookie_domain != Domain::Keep);
    if !places && !cookies {
        return;
    }
    let (scheme, authority) = asked_for(x);
    let moved = Moved {
        strip: &rewriting.strip_prefix,
        add: &rewriting.add_prefix,
        told: told_host(rewriting, x.request).unwrap_or(endpoint.as_bytes()),
        scheme,
        authority,
    };
    if places && !moved.is_nothing() {
        for field in [&name::LOCATION, &name::CONTENT_LOCATION] {
            if let Some(place) = headers.get(field).and_then(|value| moved.location(value)) {
                headers.set(field, place);
            }
        }
    }
    if cookies {
        let (paths, domain) = (answers.cookie_paths, &answers.cookie_domain);
        let said = headers.get_all(&name::SET_COOKIE);
        let told: Vec<_> = said
            .map(|cookie| (cookie.to_vec(), moved.cookie(cookie, paths, domain)))
            .collect();
        if told.iter().any(|(_, moved)| moved.is_some()) {
            headers.remove(&name::SET_COOKIE);
            for (cookie, moved) in told {
                headers.append(&name::SET_COOKIE, moved.unwrap_or(cookie));
            }
        }
    }
}

/// Whether places are told in the client's terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Places {
    /// As the client sees them.
    #[default]
    Rewrite,
    /// As the upstream says.
    Keep,
}

/// How the client sees the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved<'a> {
    /// What was taken from the path of the request, and the client puts before paths.
    pub(super) strip: &'a str,
    /// What was put before it, and the client does not know of.
    pub(super) add: &'a str,
    /// The authority the upstream was told.
    pub(super) told: &'a [u8],
    /// The scheme the client used.
    pub(super) scheme: &'a [u8],
    /// The authority the client used.
    pub(super) authority: &'a [u8],
}

impl Moved<'_> {
    /// Whether nothing was moved.
    pub(super) fn is_nothing(&self) -> bool {
        self.strip.is_empty()
            && self.add.is_empty()
            && self.told.eq_ignore_ascii_case(self.authority)
    }

    /// A URI reference in the client's terms; `None` if that is as it is. What leads elsewhere,
    /// or is relative to where the client is, stays.
    pub(super) fn location(&self, value: &[u8]) -> Option<Vec<u8>> {
        if value.starts_with(b"/") && !value.starts_with(b"//") {
            return self.path(value);
        }
        let (scheme, rest) = match value.iter().position(|&byte| byte == b'/') {
            Some(0) => (&b""[..], value.strip_prefix(b"//")?),
            slash => {
                let (scheme, rest) = value.split_at(slash?);
                let known =
                    scheme.eq_ignore_ascii_case(b"http:") || scheme.eq_ignore_ascii_case(b"https:");
                (scheme, rest.strip_prefix(b"//").filter(|_| known)?)
            }
        };
        let end = rest.iter().position(|byte| b"/?#".contains(byte));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        if !authority.eq_ignore_ascii_case(self.told) {
            return None;
        }
        let mapped = self.path(path);
        let same = self.told.eq_ignore_ascii_case(self.authority) || self.authority.is_empty();
        if same && mapped.is_none() {
            return None;
        }
        let mut out = Vec::with_capacity(value.len() + self.strip.len() + self.authority.len());
        if same {
            out.extend_from_slice(scheme);
            out.extend_from_slice(b"//");
            out.extend_from_slice(authority);
        } else {
            if !scheme.is_empty() {
                out.extend_from_slice(self.scheme);
                out.push(b':');
            }
            out.extend_from_slice(b"//");
            out.extend_from_slice(self.authority);
        }
        out.extend_from_slice(mapped.as_deref().unwrap_or(path));
        Some(out)
    }

    /// A path, and what stands behind it, in the client's terms.
    fn path(&self, path: &[u8]) -> Option<Vec<u8>> {
        if self.strip.is_empty() && self.add.is_empty() {
            return None;
        }
        let rest = path.strip_prefix(self.add.as_bytes())?;
        if !matches!(rest.first(), None | Some(b'/' | b'?' | b'#')) {
            return None;
        }
        let mut out = self.strip.as_bytes().to_vec();
        out.extend_from_slice(rest);
        if !out.starts_with(b"/") {
            out.insert(0, b'/');
        }
        Some(out)
    }

    /// A `Set-Cookie` in the client's terms; `None` if that is as it is.
    pub(super) fn cookie(&self, value: &[u8], paths: Places, domain: &Domain) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(value.len() + self.strip.len());
        let mut changed = false;
        for (index, part) in value.split(|&byte| byte == b';').enumerate() {
            let trimmed = part.trim_ascii();
            let attribute = |name: &[u8]| {
                let (own, rest) = trimmed.split_at_checked(name.len())?;
                let rest = rest.trim_ascii_start().strip_prefix(b"=")?;
                own.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
            };
            // The first is the cookie itself, whatever it is called.
            let is_attribute = index > 0;
            if is_attribute
                && paths == Places::Rewrite
                && let Some(path) = attribute(b"path").and_then(|path| self.cookie_path(path))
            {
                out.extend_from_slice(b"; Path=");
                out.extend_from_slice(&path);
                changed = true;
            } else if is_attribute && *domain != Domain::Keep && attribute(b"domain").is_some() {
                if let Domain::Name(name) = domain {
                    out.extend_from_slice(b"; Domain=");
                    out.extend_from_slice(name.as_bytes());
                }
                changed = true;
            } else {
                if is_attribute {
                    out.push(b';');
                }
                out.extend_from_slice(part);
            }
        }
        changed.then_some(out)
    }

    fn cookie_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut mapped = self.path(path)?;
        // `/api/` would not be sent with a request for `/api` (RFC 6265 §5.1.4).
        if path == b"/" && mapped.len() > 1 && mapped.ends_with(b"/") {
            mapped.pop();
        }
        Some(mapped)
    }
}

/// What becomes of the domain of cookies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Domain {
    /// It stays.
    #[default]
    Keep,
    /// It goes: the cookie is for the host the client asked alone.
    Remove,
    /// It is this.
    Name(Box<str>),
}

/// What becomes of the domain of cookies.
pub(super) fn domain(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
    value: Option<Spanned<String>>,
) -> Domain {
    let Some(value) = value else {
        return Domain::default();
    };
    match value.get_ref().as_str() {
        "keep" => Domain::Keep,
        "remove" => Domain::Remove,
        name if is_domain(name) => Domain::Name(name.into()),
        other => {
            let message = format!("{other:?} is not a domain");
            let problem = Problem::error("E0002", section.at(value.span()), message);
            cx.problems
                .push(problem.hint("\"keep\", \"remove\", or a name like \"example.com\""));
            Domain::default()
        }
    }
}

/// A dot at least, so that a misspelt `remove` is none.
fn is_domain(name: &str) -> bool {
    name.contains('.') && is_host(name.as_bytes()) && !name.contains([':', '[', ';', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVED: Moved<'static> = Moved {
        strip: "/api",
        add: "/v1",
        told: b"app:9000",
        scheme: b"https",
        authority: b"site.example",
    };

    #[track_caller]
    fn check(moved: Moved<'_>, value: &str, expected: Option<&str>) {
        let found = moved.location(value.as_bytes());
        let found = found.map(|found| String::from_utf8(found).unwrap());
        assert_eq!(found.as_deref(), expected, "{value}");
    }

    #[test]
    fn places_of_the_upstream_become_those_of_the_client() {
        check(MOVED, "/v1/x?y#z", Some("/api/x?y#z"));
        check(MOVED, "/v1", Some("/api"));
        check(MOVED, "/v1?q", Some("/api?q"));
        check(MOVED, "/v10/x", None);
        check(MOVED, "/other", None);
        check(MOVED, "x/y", None);
        check(MOVED, "", None);
        check(MOVED, "?q", None);
        check(
            MOVED,
            "http://app:9000/v1/x",
            Some("https://site.example/api/x"),
        );
        check(MOVED, "HTTP://APP:9000", Some("https://site.example"));
        check(
            MOVED,
            "http://app:9000/other",
            Some("https://site.example/other"),
        );
        check(MOVED, "//app:9000/v1/", Some("//site.example/api/"));
        check(MOVED, "https://elsewhere/v1/x", None);
        check(MOVED, "ftp://app:9000/v1/x", None);
        check(MOVED, "mailto:a/b", None);
        let preserved = Moved {
            told: b"site.example",
            ..MOVED
        };
        check(
            preserved,
            "http://site.example/v1/x",
            Some("http://site.example/api/x"),
        );
        check(preserved, "http://site.example/x", None);
        let stripped = Moved { add: "", ..MOVED };
        check(stripped, "/", Some("/api/"));
        check(stripped, "/x", Some("/api/x"));
        let added = Moved { strip: "", ..MOVED };
        check(added, "/v1/x", Some("/x"));
        check(added, "/v1", Some("/"));
        check(added, "/v1?q", Some("/?q"));
        let unmoved = Moved {
            strip: "",
            add: "",
            ..MOVED
        };
        check(unmoved, "/x", None);
        check(unmoved, "http://app:9000/x", Some("https://site.example/x"));
    }

    #[test]
    fn cookies_keep_everything_but_path_and_domain() {
        let check = |moved: Moved<'_>, domain: Domain, value: &str, expected: Option<&str>| {
            let found = moved.cookie(value.as_bytes(), Places::Rewrite, &domain);
            let found = found.map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), expected, "{value}");
        };
        let keep = || Domain::Keep;
        check(
            MOVED,
            keep(),
            "a=b; Path=/v1/x; Secure",
            Some("a=b; Path=/api/x; Secure"),
        );
        check(
            MOVED,
            keep(),
            "path=/v1; PATH = /v1",
            Some("path=/v1; Path=/api"),
        );
        check(MOVED, keep(), "a=b; Path=/", None);
        check(MOVED, keep(), "a=b;HttpOnly", None);
        let stripped = Moved { add: "", ..MOVED };
        check(stripped, keep(), "a=b; path=/", Some("a=b; Path=/api"));
        check(stripped, keep(), "a=b; path=/x/", Some("a=b; Path=/api/x/"));
        check(MOVED, Domain::Remove, "a=b; Domain=app; x", Some("a=b; x"));
        let name = || Domain::Name("site.example".into());
        check(
            MOVED,
            name(),
            "a=b; domain=app",
            Some("a=b; Domain=site.example"),
        );
        check(MOVED, name(), "a=b", None);
        check(MOVED, keep(), "a=b; domain=app", None);
    }
}
