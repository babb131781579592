//! `redirect`: sends the client elsewhere.

use serde::Deserialize;
use toml::Spanned;

use super::Handler;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Response, Template, Variable};
use crate::http::{StatusCode, name};

/// Sends the client elsewhere.
pub(super) const KIND: Kind<Handler> = Kind {
    name: "redirect",
    summary: "Sends the client elsewhere",
    example: r#"
to = "/new/{path.rest}"   # a path, or a whole URL: "https://{request.host}{request.uri}"
status = 308              # 301, 302 (the default), 303, 307 or 308
keep_query = true         # the query of the request goes along
"#,
    keys: keys! {
        "to": "template",
            "where: a path, or a whole URL whose host the client cannot choose";
        "status": "status" = "302", "301, 302, 303, 307 or 308";
        "keep_query": "true or false" = "true", "whether the query of the request goes along";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    to: Spanned<String>,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_keep_query")]
    keep_query: bool,
}

const fn default_keep_query() -> bool {
    true
}

/// Sends the client elsewhere.
#[derive(Debug, Clone)]
pub struct Redirect {
    status: StatusCode,
    to: Template,
    /// What stands behind the `#`; a query goes in front of it.
    fragment: Box<str>,
    keep_query: bool,
}

/// What a redirect may answer with (RFC 9110 §15.4).
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

impl Redirect {
    /// Answers, whatever is asked.
    pub(super) fn handle(&self, x: &Exchange<'_>) -> Response {
        let mut location = Vec::with_capacity(128);
        self.to.render_uri(x, &mut location);
        // What was captured must not make a path into `//host`, which browsers take for one.
        let slashes = location.iter().take_while(|&&byte| byte == b'/').count();
        if slashes > 1 {
            location.drain(1..slashes);
        }
        if self.keep_query
            && let Some(query) = x.request.target.query()
        {
            let has_query = location.contains(&b'?');
            location.push(if has_query { b'&' } else { b'?' });
            location.extend_from_slice(query.as_bytes());
        }
        location.extend_from_slice(self.fragment.as_bytes());
        Response::new(self.status).with(&name::LOCATION, location)
    }
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let status = written
        .status
        .as_ref()
        .map_or(StatusCode::FOUND, |status| *status.get_ref());
    if let Some(written) = &written.status
        && !STATUSES.contains(&status.code())
    {
        let span = section.at(written.span());
        let message = format!("{status} is not the status of a redirect");
        let problem = Problem::error("E0002", span, message);
        cx.problems.push(problem.hint(
            "301 and 308 are for good, 302 and 307 for now; 307 and 308 keep the method, \
             303 makes it GET",
        ));
    }
    let text = written.to.get_ref();
    let span = section.at(written.to.span());
    let report = |cx: &mut ParseContext<'_>, message: &str, hint: &str| {
        let problem = Problem::error("E0002", span.clone(), message);
        cx.problems.push(problem.hint(hint));
    };
    let (text, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
    if fragment.contains(['{', '}']) {
        report(
            cx,
            "a fragment cannot have variables",
            "the client keeps its own if there is none",
        );
    }
    let to = match encode(text).parse::<Template>() {
        Ok(to) => to,
        Err(error) => {
            let words = error.to_string();
            let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
            report(cx, message, hint);
            return None;
        }
    };
    cx.captured(&span, &to.captures());
    if let Err((message, hint)) = check_origin(text) {
        report(cx, message, hint);
    }
    // A query that the target names already would go along twice.
    let names_query = to
        .variables()
        .any(|variable| matches!(variable, Variable::RequestQuery | Variable::RequestUri));
    (cx.problems.len() == before).then(|| {
        Box::new(Redirect {
            status,
            to,
            fragment: encode(fragment).into(),
            keep_query: written.keep_query && !names_query,
        }) as Box<dyn Settings<Handler>>
    })
}

/// The client must not be able to choose where it, or who follows its link, is sent: a target
/// is a path, or names its origin up to the path.
fn check_origin(text: &str) -> Result<(), (&'static str, &'static str)> {
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok(());
    }
    let schemes = ["https://", "http://", "{request.scheme}://"];
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return Err((
            "`to` is neither a path nor a whole URL",
            "start it with `/`, `https://` or `{request.scheme}://`",
        ));
    };
    let (authority, _) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.strip_suffix("{request.uri}").unwrap_or(authority);
    let literal = authority.replacen("{request.host}", "", 1);
    if literal.contains(['{', '}']) {
        return Err((
            "the host of `to` would be chosen by the client",
            "write the host out; only `{request.host}` may stand in it",
        ));
    }
    if authority.is_empty() {
        return Err(("`to` has no host", "write it like \"https://example.com/\""));
    }
    Ok(())
}

/// Encodes what cannot stand in a URI, and leaves what is encoded already.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '|') {
            encoded.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                encoded.push('%');
                encoded.extend([byte >> 4, byte & 15].iter().filter_map(|&digit| {
                    char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase())
                }));
            }
        }
    }
    encoded
}

impl Settings<Handler> for Redirect {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        Ok(Handler::Redirect(Box::new(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::build::CarryOver;
    use crate::exchange::testing::TestRequest;

    #[track_caller]
    fn check(text: &str, target: &str, expected: &str) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext::default();
        let settings = (KIND.parse)(&section, &mut cx);
        let settings = settings.unwrap_or_else(|| panic!("{:#?}", cx.problems));
        let mut carry_over = CarryOver::default();
        let handler = settings.build(&mut BuildContext::new(&mut carry_over, "/".into()));
        let Ok(Handler::Redirect(redirect)) = handler else {
            panic!("{handler:?}");
        };
        let mut request = TestRequest::get(target).header("Host", "example.com:81");
        let mut x = request.exchange();
        x.params.push("rest", b"/evil.example/\r\nX: y/..");
        let response = redirect.handle(&x);
        assert_eq!(response.headers.get_str(&name::LOCATION), Some(expected));
        assert!(response.status.is_redirection());
    }

    #[test]
    fn targets() {
        check("to = '/new'", "/old", "/new");
        check("to = '/new'", "/old?a=b", "/new?a=b");
        check("to = '/new?c'", "/old?a=b", "/new?c&a=b");
        check("to = '/new#x'", "/old?a=b", "/new?a=b#x");
        check("to = '/new'\nkeep_query = false", "/old?a=b", "/new");
        check("to = '/é \"'\nstatus = 301", "/", "/%C3%A9%20%22");
        check("to = '/100%25'", "/", "/100%25");
        check(
            "to = 'https://{request.host}{request.uri}'",
            "/old?a=b",
            "https://example.com/old?a=b",
        );
        check(
            "to = '{request.scheme}://www.example.com/x'",
            "/old?a",
            "http://www.example.com/x?a",
        );
        check("to = '/x?{request.query}'", "/old?a", "/x?a");
    }

    #[test]
    fn values_stay_values() {
        check("to = '/{path.rest}'", "/", "/evil.example/%0D%0AX:%20y/..");
        check("to = '/{query.u}'", "/?u=//e.x/&", "/e.x/?u=//e.x/&");
        check(
            "to = '/{query.u}'\nkeep_query = false",
            "/?u=%5C%5Ce.x",
            "/%5C%5Ce.x",
        );
        check(
            "to = '/?u={query.u}'\nkeep_query = false",
            "/?u=a%26b%3Dc%23",
            "/?u=a%26b%3Dc%23",
        );
    }

    #[track_caller]
    fn check_problem(text: &str, expected: &str) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext {
            captures: Some(vec![Arc::from("rest")]),
            ..ParseContext::default()
        };
        assert!((KIND.parse)(&section, &mut cx).is_none());
        let found: Vec<_> = cx
            .problems
            .iter()
            .map(|problem| &*problem.message)
            .collect();
        assert_eq!(found, [expected]);
        assert!(cx.problems.iter().all(|problem| problem.hint.is_some()));
    }

    #[test]
    fn mistakes() {
        check_problem(
            "to = '/'\nstatus = 304",
            "304 is not the status of a redirect",
        );
        check_problem("to = 'new'", "`to` is neither a path nor a whole URL");
        check_problem("to = '//e.x/'", "`to` is neither a path nor a whole URL");
        check_problem("to = '{query.u}'", "`to` is neither a path nor a whole URL");
        check_problem(
            "to = 'https://{query.u}/'",
            "the host of `to` would be chosen by the client",
        );
        check_problem(
            "to = 'https://example.com{path.rest}'",
            "the host of `to` would be chosen by the client",
        );
        check_problem("to = 'https:///x'", "`to` has no host");
        check_problem("to = '/{path.x}'", "the path of the route captures no `x`");
        check_problem("to = '/{nope}'", "there is no variable `{nope}`");
        check_problem("to = '/#{path.rest}'", "a fragment cannot have variables");
    }
}
