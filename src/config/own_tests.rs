//! `[[test]]`: what a configuration expects of itself, and whether it is so.
//!
//! The routes are asked, the middleware is not: it may count, wait and write. So what is known is
//! which route answers, and what it answers if that depends on the request alone.

use std::cell::OnceCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::model::{Model, Place, Places};
use crate::build::{Problem, Span};
use crate::clock;
use crate::exchange::{BlockingPool, ConnectionInfo, Exchange, Params, Response, WorkerLocals};
use crate::generation::{Bind, Listener};
use crate::http::{HeaderName, RequestHead, StatusCode, name};
use crate::routing::{Found, Route};

/// A `[[test]]`, understood.
#[derive(Debug, Clone)]
pub struct OwnTest {
    /// What the file calls it, or what it asks for.
    pub name: Arc<str>,
    /// The listener that is asked, as an index.
    pub listener: usize,
    /// Whether the request comes encrypted.
    pub secure: bool,
    /// The request.
    pub request: RequestHead,
    /// What must answer it, and what.
    pub expected: Expected,
    /// What was written, to compare and to print.
    pub written: toml::Table,
    /// Where each of its keys stands.
    pub places: Places,
    /// Where it stands.
    pub place: Place,
}

/// What a test expects; `None` and empty for anything.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The route that answers, by name, or that none does.
    pub route: Option<(Answering, Span)>,
    /// The status.
    pub status: Option<(StatusCode, Span)>,
    /// Fields, by name, with one of their values.
    pub fields: Vec<(HeaderName, Vec<u8>, Span)>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answering {
    /// The route of this name.
    Route(Arc<str>),
    /// None: the path is unknown, or the method.
    Nobody,
}

impl PartialEq for OwnTest {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// Runs the tests of a model on what it was compiled to; a problem for each expectation that is
/// not met, or cannot be known.
pub(super) fn run(model: &Model, listeners: &[Listener]) -> Vec<Problem> {
    // Nothing that is asked here waits, so that nobody takes jobs from the pool.
    let (blocking, _) = BlockingPool::new(1);
    let locals = WorkerLocals::new(0, 1, blocking, Arc::default());
    let asked = model.own_tests.iter().filter_map(|test| {
        let listener = listeners.get(test.listener)?;
        Some(ask(test, model, listener, &locals))
    });
    asked.flatten().collect()
}

/// Asks the table of a listener, and compares.
fn ask(test: &OwnTest, model: &Model, listener: &Listener, locals: &WorkerLocals) -> Vec<Problem> {
    let mut request = test.request.clone();
    let connection = connection(test, listener);
    let mut params = Params::default();
    let found = listener.table.find(&request, &mut params);
    let mut x = Exchange::new(&mut request, &connection, locals, clock::now());
    x.params = params;
    let answer = Answer::new(found, &mut x);
    Comparison {
        test,
        model,
        answer: &answer,
    }
    .problems()
}

/// A client on this machine.
fn connection(test: &OwnTest, listener: &Listener) -> ConnectionInfo {
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    ConnectionInfo {
        id: 0,
        peer: client,
        local: match listener.bind {
            Bind::Tcp(address) => address,
            Bind::Unix { .. } | Bind::Systemd(_) => client,
        },
        listener: Arc::clone(&listener.name),
        secure: test.secure,
        announced: None,
        tls: OnceCell::new(),
    }
}

/// What the table came to.
struct Answer<'t> {
    route: Option<&'t Arc<Route>>,
    /// `None` if it depends on more than the request.
    response: Option<Response>,
}

impl<'t> Answer<'t> {
    fn new(found: Found<'t>, x: &mut Exchange<'t>) -> Self {
        let (route, response) = match found {
            Found::Route(route) => {
                x.route = &route.name;
                (Some(route), route.handler.foretell(x))
            }
            Found::Options(route, allow) => {
                let response = Response::new(StatusCode::NO_CONTENT).with(&name::ALLOW, allow);
                (Some(route), Some(response))
            }
            Found::MethodNotAllowed(allow) => {
                let response = Response::new(StatusCode::METHOD_NOT_ALLOWED);
                (None, Some(response.with(&name::ALLOW, allow)))
            }
            Found::NotFound => (None, Some(Response::new(StatusCode::NOT_FOUND))),
        };
        Self { route, response }
    }

    fn is(&self, expected: &Answering) -> bool {
        match (self.route, expected) {
            (Some(route), Answering::Route(name)) => route.name == *name,
            (None, Answering::Nobody) => true,
            (Some(_), Answering::Nobody) | (None, Answering::Route(_)) => false,
        }
    }

    /// Who answers, in words.
    fn who(&self) -> String {
        match (self.route, &self.response) {
            (Some(route), _) => format!("the route `{}` answers", route.name),
            (None, Some(response)) if response.status == StatusCode::METHOD_NOT_ALLOWED => {
                "no route takes the method: 405".to_owned()
            }
            (None, _) => "no route answers: 404".to_owned(),
        }
    }
}

/// What was expected beside what is.
struct Comparison<'a> {
    test: &'a OwnTest,
    model: &'a Model,
    answer: &'a Answer<'a>,
}

impl Comparison<'_> {
    fn problems(&self) -> Vec<Problem> {
        let expected = &self.test.expected;
        if let Some((route, at)) = &expected.route
            && !self.answer.is(route)
        {
            // What another one answers says nothing about the one that was meant.
            return vec![self.answered_by_another(route, at)];
        }
        let status = expected.status.iter();
        let status = status.filter_map(|(status, at)| self.status(*status, at));
        let fields = expected.fields.iter();
        let fields = fields.filter_map(|(name, value, at)| self.field(name, value, at));
        status.chain(fields).collect()
    }

    fn answered_by_another(&self, expected: &Answering, at: &Span) -> Problem {
        let who = self.answer.who();
        match expected {
            Answering::Route(name) => {
                let problem = self.fails(at, &format!("{who}, and not `{name}`"));
                let problem = problem.label("another answers");
                match self.place(name) {
                    Some(place) => problem.note(place, "this was to answer"),
                    None => problem,
                }
            }
            Answering::Nobody => self.fails(at, &who).label("nobody was to answer"),
        }
    }

    fn status(&self, expected: StatusCode, at: &Span) -> Option<Problem> {
        let Some(response) = &self.answer.response else {
            return Some(self.cannot_be_known("the status", at));
        };
        (response.status != expected).then(|| {
            let message = match self.answer.route {
                Some(_) => format!("{} {}", self.answer.who(), response.status),
                None => self.answer.who(),
            };
            let problem = self.fails(at, &format!("{message}, and not {expected}"));
            problem.label("another status")
        })
    }

    fn field(&self, expected: &HeaderName, value: &[u8], at: &Span) -> Option<Problem> {
        let shown = expected.as_str();
        let Some(response) = &self.answer.response else {
            return Some(self.cannot_be_known(&format!("`{shown}`"), at));
        };
        if response.headers.get_all(expected).any(|has| has == value) {
            return None;
        }
        let has = response.headers.get_all(expected);
        let has: Vec<_> = has.map(|has| has.escape_ascii().to_string()).collect();
        let what = match has.as_slice() {
            [] => format!("{}, without `{shown}`", self.answer.who()),
            has => format!(
                "{}, and `{shown}` is `{}`",
                self.answer.who(),
                has.join("`, `")
            ),
        };
        Some(self.fails(at, &what).label("another value"))
    }

    fn fails(&self, at: &Span, what: &str) -> Problem {
        let message = format!("the test `{}` fails: {what}", self.test.name);
        let problem = Problem::error("E0601", at.clone(), message);
        match self.answer.route.and_then(|route| self.place(&route.name)) {
            Some(place) => problem.note(place, "this answers"),
            None => problem,
        }
    }

    fn cannot_be_known(&self, what: &str, at: &Span) -> Problem {
        let route = self.answer.route.map_or("", |route| &route.name);
        let model = self.model.routes.iter();
        let mut model = model.filter(|known| &*known.name == route);
        let kind = model.next().map_or("", |known| known.handler.kind.name);
        let name = &self.test.name;
        let message = format!("the test `{name}` expects what only a request can tell: {what}");
        Problem::error("E0602", at.clone(), message)
            .label(format!("the route `{route}` answers, with `{kind}`"))
            .hint(format!(
                "expect the route alone: expect = {{ route = \"{route}\" }}"
            ))
    }

    /// Where a route stands.
    fn place(&self, name: &str) -> Option<Span> {
        let mut routes = self.model.routes.iter();
        let route = routes.find(|route| &*route.name == name)?;
        Some(route.place.0.clone())
    }
}
