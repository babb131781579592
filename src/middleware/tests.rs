//! The registry, and how tests build a middleware.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::build::key::wrong_keys;
use crate::build::{BuildContext, CarryOver, ParseContext, Problem, Section};
use crate::exchange::testing::TestRequest;
use crate::exchange::{Fetch, Fetcher, Flow, LocalBoxFuture, Response, Why, WorkerLocals};
use crate::http::{RequestHead, name};

/// The upstream `backend` of examples, which nobody can reach.
#[derive(Debug)]
struct Nobody;

impl Fetch for Nobody {
    fn fetch(
        &self,
        _: &WorkerLocals,
        _: RequestHead,
        _: Bytes,
        _: Duration,
    ) -> LocalBoxFuture<'static, Result<Response, Why>> {
        Box::pin(async { Err(Why::NoEndpoint) })
    }
}

/// Builds a middleware from the body of its table.
#[track_caller]
pub(super) fn build(kind: &Kind<Box<dyn Middleware>>, text: &str) -> Box<dyn Middleware> {
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, PathBuf::from("/"));
    build_in(kind, text, &mut cx)
}

/// The same, in a context.
#[track_caller]
pub(super) fn build_in(
    kind: &Kind<Box<dyn Middleware>>,
    text: &str,
    build: &mut BuildContext<'_>,
) -> Box<dyn Middleware> {
    let section = Section::from_text(text).unwrap();
    let names = [Arc::from("backend")];
    let mut cx = ParseContext {
        upstreams: &names,
        ..ParseContext::default()
    };
    build.provide("backend", Arc::new(Fetcher::new(Arc::new(Nobody))));
    let settings = (kind.parse)(&section, &mut cx);
    let settings = settings.unwrap_or_else(|| panic!("{}: {:#?}", kind.name, cx.problems));
    assert!(cx.problems.is_empty(), "{:?}", cx.problems);
    settings.build(build).unwrap()
}

/// What is wrong with the body of a table; every problem must have a hint.
#[track_caller]
pub(super) fn problems(kind: &Kind<Box<dyn Middleware>>, text: &str) -> Vec<String> {
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext::default();
    assert!((kind.parse)(&section, &mut cx).is_none(), "{text} is right");
    assert!(cx.problems.iter().all(|problem| problem.hint.is_some()));
    let problems = cx.problems.into_iter();
    problems.map(|problem| problem.message).collect()
}

/// The status of what a request is answered with, and where it is sent; `None` if it goes on.
#[track_caller]
pub(super) fn redirect(
    kind: &Kind<Box<dyn Middleware>>,
    settings: &str,
    request: &mut TestRequest,
) -> Option<(u16, String)> {
    match build(kind, settings).on_request(&mut request.exchange()) {
        Flow::Respond(response) => {
            let location = response.headers.get_str(&name::LOCATION);
            let location = location.unwrap_or_default().to_owned();
            Some((response.status.code(), location))
        }
        Flow::Continue => None,
        Flow::Wait(_) => panic!("it waits for nobody"),
    }
}

#[test]
fn kinds_are_sorted_unique_and_named_in_snake_case() {
    assert!(REGISTRY.is_sorted_by(|a, b| a.name < b.name));
    for kind in REGISTRY {
        let good = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(kind.name.chars().all(good), "{}", kind.name);
        assert!(!kind.summary.is_empty() && !kind.summary.contains('\n'));
    }
}

#[test]
fn the_reference_knows_every_key() {
    let wrong: Vec<String> = REGISTRY.iter().flat_map(wrong_keys).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_example_builds_and_so_do_the_defaults() {
    for kind in REGISTRY {
        build(kind, kind.example);
        // Without what must be said, that is said, and nothing else.
        let mut cx = ParseContext::default();
        if (kind.parse)(&Section::from_text("").unwrap(), &mut cx).is_some() {
            build(kind, "");
        } else {
            let missing = |problem: &Problem| problem.code == "E0004";
            assert!(cx.problems.iter().all(missing), "{:?}", cx.problems);
        }
    }
}
