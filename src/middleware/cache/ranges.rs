//! Parts of stored content (RFC 9111 §3.4 the other way round: from a whole, its parts).

use std::hash::{BuildHasher, RandomState};

use super::content::Content;
use crate::exchange::{Body, Part, Response};
use crate::http::conditional::Validators;
use crate::http::range::{self, Boundary, ByteRange, Selection};
use crate::http::{Headers, RequestHead, StatusCode, name};

/// The part of this content that a request asks for, or the 416; `None` if all of it.
pub(super) fn part(
    request: &RequestHead,
    validators: &Validators<'_>,
    content: &Content,
    headers: &Headers,
    now: u64,
) -> Option<Response> {
    let complete = content.length();
    let (method, fields) = (&request.method, &request.headers);
    Some(
        match range::select(method, fields, validators, complete, now) {
            Selection::Whole => return None,
            Selection::Single(range) => {
                let mut response = Response::new(StatusCode::PARTIAL_CONTENT);
                response.headers = headers.clone();
                let content_range = range.content_range(complete);
                response.headers.set(&name::CONTENT_RANGE, content_range);
                response.body = match content.part(range) {
                    Part::Bytes(bytes) => Body::from(bytes),
                    Part::File(slice) => Body::File(slice),
                };
                response
            }
            Selection::Multi(ranges) => multi(&ranges, content, headers),
            Selection::Unsatisfiable => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let unsatisfied = range::unsatisfied(complete);
                Response::error_text(status, status.reason())
                    .with(&name::CONTENT_RANGE, unsatisfied)
            }
        },
    )
}

fn multi(ranges: &[ByteRange], content: &Content, headers: &Headers) -> Response {
    // Keyed with what no client knows, so that no content can hold it on purpose.
    let random = RandomState::new();
    let number = u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1));
    let boundary = Boundary::new(number);
    let complete = content.length();
    let content_type = headers.get(&name::CONTENT_TYPE).unwrap_or_default();
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for &range in ranges {
        let head = boundary.part_head(content_type, range, complete);
        parts.push(Part::Bytes(head.into()));
        parts.push(content.part(range));
    }
    parts.push(Part::Bytes(boundary.end().into()));
    let mut response = Response::new(StatusCode::PARTIAL_CONTENT);
    response.headers = headers.clone();
    response
        .headers
        .set(&name::CONTENT_TYPE, boundary.content_type());
    response.body = Body::Parts(parts);
    response
}
