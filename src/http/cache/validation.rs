//! Asking the origin whether a stored response still holds (RFC 9111 §4.3).

use crate::http::conditional::Validators;
use crate::http::etag::ETag;
use crate::http::{HeaderName, Headers, date, name};

/// The preconditions that are for the origin alone (§4.3.2): who sends one is passed on.
pub const ORIGIN_CONDITIONS: [HeaderName; 2] = [name::IF_MATCH, name::IF_UNMODIFIED_SINCE];

/// What a response says of itself that can be compared.
pub fn validators(response: &Headers, now: u64) -> Validators<'_> {
    let modified = response.get(&name::LAST_MODIFIED);
    Validators {
        etag: response.get(&name::ETAG).and_then(ETag::parse),
        last_modified: modified.and_then(|value| date::parse(value, now)),
    }
}

/// Whether it can be asked about.
pub fn can_be_asked_about(stored: &Headers) -> bool {
    stored.contains(&name::ETAG) || stored.contains(&name::LAST_MODIFIED)
}

/// Puts the conditions in place under which the origin need not send a stored response again
/// (§4.3.1). The request's own have been taken
/// off: the cache answers them from what it has.
pub fn ask_about(stored: &Headers, request: &mut Headers) {
    if let Some(tag) = stored.get(&name::ETAG) {
        request.set(&name::IF_NONE_MATCH, tag);
    }
    if let Some(modified) = stored.get(&name::LAST_MODIFIED) {
        request.set(&name::IF_MODIFIED_SINCE, modified);
    }
}

/// Whether a 304 confirms this stored response (§4.3.3, §4.3.4): what it names must be what is
/// stored; if it names nothing, it means what was asked about.
pub fn confirms(not_modified: &Headers, stored: &Headers) -> bool {
    let tag = |headers| Headers::get(headers, &name::ETAG).and_then(ETag::parse);
    match (tag(not_modified), tag(stored)) {
        (Some(named), Some(own)) if named.weak || own.weak => named.weak_eq(&own),
        (Some(named), Some(own)) => named.strong_eq(&own),
        (Some(_), None) => false,
        (None, _) => match not_modified.get(&name::LAST_MODIFIED) {
            Some(named) => stored.get(&name::LAST_MODIFIED) == Some(named),
            None => true,
        },
    }
}

/// Whether the answer to HEAD tells of the same content as a stored response to GET (§4.3.5).
pub fn head_agrees(head: &Headers, length: Option<u64>, stored: &Headers, size: u64) -> bool {
    let same = |field: &HeaderName| {
        let told = head.get(field);
        told.is_none() || told == stored.get(field)
    };
    same(&name::ETAG) && same(&name::LAST_MODIFIED) && length.is_none_or(|told| told == size)
}

/// Takes the fields of a 304 (or of the answer to a HEAD) over into a stored response (§3.2,
/// §4.3.4): each replaces those of its name, but for those that tell of the stored bytes.
pub fn freshen(stored: &mut Headers, from: &Headers) {
    let mut seen: Vec<HeaderName> = Vec::new();
    for (field, value) in from.iter() {
        let Some(field) = HeaderName::from_bytes(field) else {
            continue;
        };
        if is_about_bytes(&field) {
            continue;
        }
        let again = seen.iter().any(|known| is(known, field.as_str()));
        if again {
            stored.append(&field, value);
        } else {
            stored.set(&field, value);
            seen.push(field);
        }
    }
    // What it was is counted by its age from now on.
    if !from.contains(&name::AGE) {
        stored.remove(&name::AGE);
    }
}

fn is_about_bytes(field: &HeaderName) -> bool {
    const KEPT: [&str; 7] = [
        "Content-Encoding",
        "Content-Length",
        "Content-MD5",
        "Content-Range",
        "Digest",
        "ETag",
        "Transfer-Encoding",
    ];
    KEPT.iter().any(|known| is(field, known))
}

fn is(field: &HeaderName, spelt: &str) -> bool {
    field.as_str().eq_ignore_ascii_case(spelt)
}
