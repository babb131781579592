//! For unit tests: rules and requests made by hand.

use std::sync::Arc;

use super::{Chain, PathPattern, Route, Rule};
use crate::handlers::Handler;
use crate::http::{Method, RequestHead, name};

/// A rule for a pattern (an expression if it starts with `^`), named after it.
#[track_caller]
pub(super) fn rule(pattern: &str) -> Rule {
    let path = if pattern.starts_with('^') {
        PathPattern::regex(pattern)
    } else {
        PathPattern::parse(pattern)
    };
    Rule {
        hosts: Vec::new(),
        path: path.unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        priority: 0,
        position: 0,
        route: Arc::new(Route {
            name: Arc::from(pattern),
            chain: Chain::default(),
            handler: Handler::NotFound,
            numbers: None,
        }),
    }
}

/// A request. An empty host is none.
#[track_caller]
pub(super) fn request(method: Method, host: &str, target: &str) -> RequestHead {
    let mut head = RequestHead {
        method,
        ..RequestHead::default()
    };
    head.target.parse(target.as_bytes()).unwrap();
    if !host.is_empty() {
        head.headers.append(&name::HOST, host);
    }
    head
}
