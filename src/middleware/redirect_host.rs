//! `redirect_host`: a site has one name; who comes by another one is sent there.

use serde::Deserialize;
use toml::Spanned;

use super::hosts::Host;
use super::location;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware};
use crate::http::StatusCode;
use crate::http::authority::split_port;

/// Sends to the one name of a site.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "redirect_host",
    summary: "Sends to the one name of a site: with www, without it, or another one",
    example: r#"
to = "www.example.com"                       # with a port, if it has one
from = ["example.com", "*.example.org"]      # hosts that are sent there; without it all others
# www = "remove"                             # instead of `to`: "remove", or "add"
status = 308                                 # 301, 302, 307 or 308
"#,
    keys: keys! {
        "to": "host" = "(none)", "the one name, with a port if it has one";
        "from": "list of hosts" = "(every other)",
            "hosts that are sent there: `example.org`, `*.example.org` for all below it";
        "www": "word" = r#""remove""#,
            "without `to`: `remove` sends www.example.com to example.com, `add` the other way; \
             the port stays";
        "status": "status" = "308", "301 and 308 are for good, 302 and 307 for now";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    to: Option<Spanned<String>>,
    #[serde(default)]
    from: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    www: Option<Spanned<Www>>,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Www {
    Remove,
    Add,
}

/// Sends to the one name of a site.
#[derive(Debug, Clone)]
struct RedirectHost {
    policy: HostPolicy,
    /// Which hosts; `None` for all.
    from: Option<Box<[Host]>>,
    status: StatusCode,
}

#[derive(Debug, Clone)]
enum HostPolicy {
    To(Box<str>),
    Www(Www),
}

const WWW: &[u8] = b"www.";

impl Middleware for RedirectHost {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let authority = x.request.authority();
        let (host, port) = split_port(authority);
        let concerned = match &self.from {
            Some(from) => from.iter().any(|known| known.covers(host)),
            None => true,
        };
        if !concerned || !location::is_authority(host) {
            return Flow::Continue;
        }
        let has_www =
            host.len() > WWW.len() && host.as_bytes()[..WWW.len()].eq_ignore_ascii_case(WWW);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let next = match &self.policy {
            HostPolicy::To(to) => {
                let same_host = split_port(to).0.eq_ignore_ascii_case(host);
                if same_host {
                    return Flow::Continue;
                }
                to.to_string()
            }
            HostPolicy::Www(Www::Remove) if has_www => {
                let bare = host.get(WWW.len()..).unwrap_or_default();
                [bare, &port].concat()
            }
            HostPolicy::Www(Www::Add) if !has_www && is_domain(host) => {
                ["www.", host, &port].concat()
            }
            HostPolicy::Www(_) => return Flow::Continue,
        };
        Flow::Respond(location::elsewhere(x, self.status, x.scheme(), &next))
    }
}

/// Whether www could stand before it: neither an address nor a bare name like localhost.
fn is_domain(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let is_name = last.is_some_and(|label| label.bytes().any(|b| b.is_ascii_alphabetic()));
    host.contains('.') && !host.starts_with('[') && is_name
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = location::status(written.status.as_ref(), section, cx);
    if let Some(to) = &written.to
        && !location::is_authority(to.get_ref())
    {
        let message = format!("`{}` is not a host", to.get_ref());
        let hint = "write it like \"www.example.com\" or \"example.com:8443\"";
        cx.refuse(section, to.span(), message, hint);
    }
    if let (Some(www), Some(_)) = (&written.www, &written.to) {
        let message = "`www` says nothing beside `to`";
        cx.refuse(section, www.span(), message, "keep one of the two");
    }
    let from = written.from.as_ref().map(|from| {
        let hosts = from.iter();
        hosts
            .filter_map(|host| Host::read(host, section, cx))
            .collect()
    });
    (cx.problems.len() == before).then(|| {
        let www = written.www.map_or(Www::Remove, Spanned::into_inner);
        Box::new(RedirectHost {
            policy: match written.to {
                Some(to) => HostPolicy::To(to.into_inner().into()),
                None => HostPolicy::Www(www),
            },
            from,
            status,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for RedirectHost {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::http::name;
    use crate::middleware::tests::{build, problems, redirect};

    /// Where a host is sent; nothing if it is right.
    #[track_caller]
    fn check(settings: &str, host: &str, expected: &str) {
        let mut request = TestRequest::get("/a?b").header("Host", host);
        let sent = redirect(&KIND, settings, &mut request);
        let expected = (!expected.is_empty()).then(|| (308, expected.to_owned()));
        assert_eq!(sent, expected, "{host}");
    }

    #[test]
    fn with_www_or_without() {
        check("", "www.a.com", "http://a.com/a?b");
        check("", "WWW.a.com:8080", "http://a.com:8080/a?b");
        check("", "a.com", "");
        check("", "www.", "");
        let add = "www = 'add'";
        check(add, "a.com:80", "http://www.a.com:80/a?b");
        for right in ["www.a.com", "localhost", "127.0.0.1", "[::1]:80", ""] {
            check(add, right, "");
        }
        check("www = 'add'\nfrom = ['b.com']", "a.com", "");
        check(
            "www = 'add'\nfrom = ['a.com']",
            "a.com",
            "http://www.a.com/a?b",
        );
    }

    #[test]
    fn to_one_name() {
        let to = "to = 'www.a.com:81'";
        check(to, "b.com", "http://www.a.com:81/a?b");
        check(to, "WWW.A.com", "");
        check(to, "www.a.com:81", "");
        let from = "to = 'a.com'\nfrom = ['old.com', '*.a.com']";
        check(from, "Old.com:80", "http://a.com/a?b");
        check(from, "x.y.a.com", "http://a.com/a?b");
        for other in ["a.com", ".a.com", "xa.com", "new.com"] {
            check(from, other, "");
        }
    }

    #[test]
    fn the_scheme_stays() {
        let mut request = TestRequest::get("/").header("Host", "www.a.com");
        request.connection.secure = true;
        let flow = build(&KIND, "").on_request(&mut request.exchange());
        let Flow::Respond(response) = flow else {
            panic!("{flow:?}");
        };
        let location = response.headers.get_str(&name::LOCATION);
        assert_eq!(location, Some("https://a.com/"));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("to = 'https://a.com'", "`https://a.com` is not a host");
        check("to = ''", "`` is not a host");
        check("www = 'keep'", "`www`");
        check(
            "to = 'a.com'\nwww = 'add'",
            "`www` says nothing beside `to`",
        );
        check("from = ['a.com:80']", "`a.com:80` is not a host");
        check("from = ['*a.com']", "`*a.com` is not a host");
        check("status = 404", "404 is not the status");
    }
}
