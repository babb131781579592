//! The store and what is coming, without a daemon.

mod filling;
mod settings;
mod sharing;
mod storing;

use std::sync::Arc;

use super::entry::{Head, Origin, Stored};
use crate::exchange::Response;
use crate::exchange::testing::TestRequest;
use crate::http::cache::{Policy, RequestDirectives};
use crate::http::{HeaderName, StatusCode};

/// A response with these fields, one a line, to a GET with those.
#[track_caller]
fn stored(fields: &str, asked: &str, content: impl Into<bytes::Bytes>) -> Stored {
    let mut response = Response::new(StatusCode::OK);
    for line in fields.lines() {
        let (name, value) = line.split_once(": ").expect("a field line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        response.headers.append(&name, value);
    }
    let request = request(asked);
    let origin = Origin {
        request: &request.head,
        asked: &RequestDirectives::default(),
        authorized: false,
        route: "test",
        requested: crate::clock::unix_now().as_secs(),
        policy: Policy::default(),
    };
    let head = Head::read(&response, &origin).expect("it may be kept");
    Stored {
        head: Arc::new(head),
        content: content.into().into(),
    }
}

/// A GET with these fields.
fn request(fields: &str) -> TestRequest {
    let lines = fields.lines().filter_map(|line| line.split_once(": "));
    lines.fold(TestRequest::get("/"), |request, (name, value)| {
        request.header(name, value)
    })
}
