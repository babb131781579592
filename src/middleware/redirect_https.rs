//! `redirect_https`: who comes by http is sent to the same place by https.

use serde::Deserialize;
use toml::Spanned;

use super::location;
use super::paths::Paths;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware};
use crate::http::StatusCode;

/// Sends http to https.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "redirect_https",
    summary: "Sends who comes by http to the same place by https",
    example: r#"
status = 308                                  # 301, 302, 307 or 308
port = 8443                                   # where https is; 443 is not written
host = "www.example.com"                      # instead of the host that was asked for
except = ["/.well-known/acme-challenge/*"]    # paths that stay on http
"#,
    keys: keys! {
        "status": "status" = "308", "301 and 308 are for good, 302 and 307 for now";
        "port": "number" = "443", "where https is";
        "host": "host" = "(the one asked for)", "where https is";
        "except": "list of paths" = r#"["/.well-known/acme-challenge/*"]"#,
            "paths that stay on http";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_port")]
    port: std::num::NonZeroU16,
    #[serde(default)]
    host: Option<Spanned<String>>,
    #[serde(default)]
    except: Option<Vec<Spanned<String>>>,
}

/// RFC 9110 §4.2.2.
const HTTPS_PORT: std::num::NonZeroU16 = std::num::NonZeroU16::new(443).expect("not zero");

/// Who hands out certificates asks by http (RFC 8555 §8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/*";

const fn default_port() -> std::num::NonZeroU16 {
    HTTPS_PORT
}

/// Sends http to https.
#[derive(Debug, Clone)]
struct RedirectHttps {
    status: StatusCode,
    /// `:8443`, or nothing.
    port: Box<str>,
    host: Option<Box<str>>,
    except: Paths,
}

impl Middleware for RedirectHttps {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if x.is_secure() || self.except.contain(x.request.target.path()) {
            return Flow::Continue;
        }
        let host = self.host.as_deref().unwrap_or_else(|| x.request.host());
        if !location::is_authority(host) {
            return location::no_host(x);
        }
        let authority = [host, &self.port].concat();
        Flow::Respond(location::elsewhere(x, self.status, "https", &authority))
    }
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = location::status(written.status.as_ref(), section, cx);
    if let Some(host) = &written.host {
        let text = host.get_ref();
        let (name, port) = crate::http::authority::split_port(text);
        if !location::is_authority(name) || port.is_some() {
            let message = format!("`{text}` is not a host");
            let hint = "write it like \"example.com\"; the port has a key of its own";
            cx.refuse(section, host.span(), message, hint);
        }
    }
    let challenges = || vec![Spanned::new(0..0, CHALLENGES.to_owned())];
    let except = written.except.unwrap_or_else(challenges);
    let except = Paths::read(&except, section, cx);
    (cx.problems.len() == before).then(|| {
        Box::new(RedirectHttps {
            status,
            port: match written.port {
                HTTPS_PORT => Box::default(),
                port => format!(":{port}").into(),
            },
            host: written.host.map(|host| host.into_inner().into()),
            except,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for RedirectHttps {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::middleware::tests::{build, problems, redirect};

    /// Status and location, or nothing if the request goes on.
    fn sent(settings: &str, request: &mut TestRequest) -> String {
        let sent = redirect(&KIND, settings, request);
        sent.map_or_else(String::new, |(status, location)| {
            format!("{status} {location}")
        })
    }

    #[track_caller]
    fn check(settings: &str, target: &str, host: &str, expected: &str) {
        let mut request = TestRequest::get(target).header("Host", host);
        assert_eq!(sent(settings, &mut request), expected);
    }

    #[test]
    fn http_is_sent_to_https() {
        check("", "/a%20b?c", "a.com", "308 https://a.com/a%20b?c");
        check("", "//a/./b", "a.com:8080", "308 https://a.com/a/b");
        check("port = 8443", "/", "[::1]:80", "308 https://[::1]:8443/");
        check(
            "host = 'b.com'\nstatus = 301",
            "/",
            "a.com",
            "301 https://b.com/",
        );
        check("", "http://c.com/x", "a.com", "308 https://c.com/x");
    }

    #[test]
    fn some_stay() {
        check("", "/.well-known/acme-challenge/x", "a.com", "");
        check("except = ['/x']", "/x", "a.com", "");
        check(
            "except = []",
            "/.well-known/acme-challenge/",
            "a",
            "308 \
            https://a/.well-known/acme-challenge/",
        );
        let mut request = TestRequest::get("/").header("Host", "a.com");
        request.connection.secure = true;
        assert_eq!(sent("", &mut request), "");
    }

    #[test]
    fn without_a_host_there_is_nowhere_to_send() {
        let mut request = TestRequest::get("/");
        assert_eq!(sent("", &mut request), "400 ");
        assert_eq!(sent("host = 'a'", &mut request), "308 https://a/");
    }

    #[test]
    fn what_was_refused_before_any_route_stays_refused() {
        let mut request = TestRequest::get("/").header("Host", "a/b");
        let mut x = request.exchange();
        x.route = "";
        assert!(matches!(
            build(&KIND, "").on_request(&mut x),
            Flow::Continue
        ));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("status = 303", "303 is not the status");
        check("host = 'a:1'", "`a:1` is not a host");
        check("host = 'a/b'", "`a/b` is not a host");
        check("except = ['x']", "`x` is not a path");
    }
}
