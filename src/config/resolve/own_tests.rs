//! `[[test]]`: what is asked, and what is expected.

use toml::Spanned;

use super::Resolver;
use super::instances::places;
use super::listeners::Listeners;
use crate::build::context::nearest;
use crate::build::{Problem, Section, Span};
use crate::config::file::File;
use crate::config::model::{Listener, Place, Route};
use crate::config::own_tests::{Answering, Expected, OwnTest};
use crate::config::written::{self, Fields};
use crate::http::target::{Form, Target, TargetError};
use crate::http::{HeaderName, Headers, Method, RequestHead, name};

/// Fields of a request, and of what answers it.
type Named = Vec<(HeaderName, Vec<u8>, Span)>;

impl Resolver<'_, '_> {
    /// All tests that have no mistakes.
    pub(super) fn own_tests(
        &mut self,
        file: &File<'_>,
        listeners: &Listeners,
        routes: &[Route],
    ) -> Vec<OwnTest> {
        // The name of a route with mistakes may be right.
        let routes = (routes.len() == file.routes.len()).then_some(routes);
        let tests = file.tests.iter();
        tests
            .filter_map(|section| self.own_test(section, listeners, routes))
            .collect()
    }

    fn own_test(
        &mut self,
        section: &Section<'_>,
        listeners: &Listeners,
        routes: Option<&[Route]>,
    ) -> Option<OwnTest> {
        let written: written::OwnTest = self.cx.settings(section)?;
        let request = &written.request;
        let asked = self.asked(section, request.get_ref(), section.at(request.span()));
        let fields = self.named_fields(section, &request.get_ref().headers);
        let listener = match &request.get_ref().listener {
            Some(name) => {
                let without = "without `listener` the first that suits is asked";
                self.listener_named(name, section, listeners, without)
                    .map(Some)
            }
            None => Some(None),
        };
        let expected = self.expected(section, &written.expect, routes);
        let ((secure, mut head), expected) = asked.zip(expected)?;
        for (name, value, _) in fields? {
            head.headers.append(&name, value);
        }
        let listener = match listener? {
            Some(listener) => listener,
            None => first_suited(&listeners.good, secure)?,
        };
        let encrypted = listeners.good.get(listener)?.tls.is_some();
        let name = match written.name {
            Some(name) => name,
            None => made_name(&head, request.get_ref().url.as_ref()),
        };
        Some(OwnTest {
            name: name.into(),
            listener,
            secure: secure.unwrap_or(encrypted),
            request: head,
            expected,
            written: section.written(&self.cx.unquoted),
            places: places(section),
            place: Place(section.span()),
        })
    }

    /// What is asked for, and whether it is by https, where that is said.
    fn asked(
        &mut self,
        section: &Section<'_>,
        written: &written::TestRequest,
        at: Span,
    ) -> Option<(Option<bool>, RequestHead)> {
        let method = written.method.clone().unwrap_or(Method::Get);
        let (secure, host, target) = match (&written.url, &written.host, &written.path) {
            (Some(url), None, None) => {
                let target = self.target(section, "url", url, Form::Absolute)?;
                let authority = target.authority().unwrap_or_default().to_owned();
                let secure = target
                    .scheme()
                    .map(|scheme| scheme.eq_ignore_ascii_case("https"));
                (secure, Some(authority), relative(&target))
            }
            (Some(_), Some(other), _) | (Some(_), None, Some(other)) => {
                let at = section.at(other.span());
                let problem = Problem::error("E0002", at, "`url` names the host and the path");
                self.report(problem.hint("write `url` alone, or `host` and `path` without it"));
                return None;
            }
            (None, host, Some(path)) => {
                let host = match host {
                    Some(host) => Some(self.authority(section, host)?),
                    None => None,
                };
                (
                    None,
                    host,
                    self.target(section, "path", path, Form::Origin)?,
                )
            }
            (None, _, None) => {
                self.report(
                    Problem::error("E0004", at, "`request` needs `url`")
                        .label("`url` is missing")
                        .hint(
                            "write it like url = \"https://example.com/path\", or name the `path`",
                        ),
                );
                return None;
            }
        };
        let mut headers = Headers::new();
        if let Some(host) = host {
            headers.append(&name::HOST, host);
        }
        let head = RequestHead {
            method,
            target,
            headers,
            ..RequestHead::default()
        };
        Some((secure, head))
    }

    /// A target of this form.
    fn target(
        &mut self,
        section: &Section<'_>,
        key: &str,
        written: &Spanned<String>,
        form: Form,
    ) -> Option<Target> {
        let mut target = Target::default();
        let parsed = target.parse(written.get_ref().as_bytes());
        let (message, hint) = match parsed {
            Ok(()) if target.form() == form => return Some(target),
            Ok(()) | Err(TargetError::Form) if form == Form::Absolute => (
                "is no URL with scheme and host",
                "write it like \"https://example.com/path?query\"",
            ),
            Ok(()) | Err(TargetError::Form) => (
                "is no path",
                "write it like \"/path?query\", and `host` beside it",
            ),
            Err(TargetError::Byte) => (
                "holds what a client cannot send",
                "encode it: a blank is %20; leave the fragment (#…) out",
            ),
            Err(TargetError::PercentEncoding) => (
                "holds a `%` without two hexadecimal digits",
                "a `%` itself is %25",
            ),
            Err(TargetError::AboveRoot) => (
                "leads above the root",
                "the server answers that with 400, before any route",
            ),
            Err(TargetError::Authority) => (
                "names a host that is none",
                "write it like \"https://example.com/path\"",
            ),
        };
        let at = section.at(written.span());
        let problem = Problem::error("E0002", at, format!("`{key}` {message}"));
        self.report(problem.hint(hint));
        None
    }

    /// A host, with or without a port.
    fn authority(&mut self, section: &Section<'_>, written: &Spanned<String>) -> Option<String> {
        let host = written.get_ref();
        let mut target = Target::default();
        let parsed = target.parse(format!("http://{host}/").as_bytes());
        if parsed.is_ok() && target.authority() == Some(host) {
            return Some(host.clone());
        }
        let at = section.at(written.span());
        let problem = Problem::error("E0405", at, format!("`{}` is no host", host.escape_debug()));
        self.report(problem.hint("a request is for one host: \"example.com\""));
        None
    }

    fn expected(
        &mut self,
        section: &Section<'_>,
        written: &Spanned<written::Expect>,
        routes: Option<&[Route]>,
    ) -> Option<Expected> {
        let at = section.at(written.span());
        let written = written.get_ref();
        let route = match &written.route {
            None => Some(None),
            Some(route) => self.answering(section, route, routes).map(Some),
        };
        let status = written.status.as_ref();
        let status = status.map(|status| (*status.get_ref(), section.at(status.span())));
        let fields = self.named_fields(section, &written.headers);
        let (route, mut fields) = route.zip(fields)?;
        if let Some(location) = &written.location {
            let value = location.get_ref().clone().into_bytes();
            fields.push((name::LOCATION, value, section.at(location.span())));
        }
        if route.is_none() && status.is_none() && fields.is_empty() {
            self.report(
                Problem::error("E0004", at, "`expect` expects nothing")
                    .hint("name the route: expect = { route = \"…\" }, or false for none"),
            );
            return None;
        }
        Some(Expected {
            route,
            status,
            fields,
        })
    }

    fn answering(
        &mut self,
        section: &Section<'_>,
        written: &Spanned<written::ExpectedRoute>,
        routes: Option<&[Route]>,
    ) -> Option<(Answering, Span)> {
        let at = section.at(written.span());
        let Some(name) = &written.get_ref().0 else {
            return Some((Answering::Nobody, at));
        };
        let names = || routes.unwrap_or_default().iter().map(|route| &*route.name);
        if routes.is_some() && !names().any(|known| known == name) {
            let message = format!("there is no route `{name}`");
            let problem = Problem::error("E0112", at, message).label("not known");
            self.report(match nearest(name, names()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(
                    "a route is called by its `name`, or else by its host and path; `httpserverd \
                     routes` prints them",
                ),
            });
            return None;
        }
        Some((Answering::Route(name.as_str().into()), at))
    }

    fn named_fields(&mut self, section: &Section<'_>, written: &Fields) -> Option<Named> {
        let fields = written.iter().filter_map(|(name, value)| {
            let at = section.at(name.span());
            if !self.header_name(name.get_ref(), at.clone()) {
                return None;
            }
            let name = HeaderName::from_bytes(name.get_ref().as_bytes())?;
            if name == name::HOST {
                let problem = Problem::error("E0002", at, "`Host` is named by `url` or `host`");
                self.report(problem.hint("leave it out here"));
                return None;
            }
            let at = section.at(value.span());
            Some((name, value.get_ref().clone().into_bytes(), at))
        });
        let fields: Named = fields.collect();
        (fields.len() == written.len()).then_some(fields)
    }
}

/// The first listener that is encrypted as the request is, or else the first.
fn first_suited(listeners: &[Listener], secure: Option<bool>) -> Option<usize> {
    let suited = |secure: bool| {
        let mut listeners = listeners.iter();
        listeners.position(|listener| listener.tls.is_some() == secure)
    };
    let first = (!listeners.is_empty()).then_some(0);
    secure.and_then(suited).or(first)
}

/// What a client sends that asks for a URL.
fn relative(url: &Target) -> Target {
    let path = match url.raw_path() {
        "" => "/",
        path => path,
    };
    let query = url.query();
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut target = Target::default();
    // It was read before, as a part of the URL.
    target.parse(text.as_bytes()).unwrap_or_default();
    target
}

/// What is asked for.
fn made_name(head: &RequestHead, url: Option<&Spanned<String>>) -> String {
    let method = head.method.as_str();
    match url {
        Some(url) => format!("{method} {}", url.get_ref()),
        None => format!("{method} {}{}", head.authority(), head.target.raw()),
    }
}
