//! One stored response, and how it answers.

use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::exchange::{Body, Response};
use crate::http::cache::freshness::{current_age, initial_age, lifetime};
use crate::http::cache::reuse::Candidate;
use crate::http::cache::storing::{Asked, may_store};
use crate::http::cache::{
    Lifetime, Policy, Refusal, RequestDirectives, ResponseDirectives, validation, vary,
};
use crate::http::conditional::{self, Validators, Verdict};
use crate::http::etag::ETag;
use crate::http::{HeaderName, Headers, RequestHead, StatusCode, date, name};

use super::content::Content;
use super::ranges;

/// What an entry costs beside its bytes: the structures around them, and the allocator's. Rounded
/// up.
const OVERHEAD: u64 = 1024;

/// What is told beside what is stored: `Age` and `Cache-Status`, and room for their usual lines.
const TOLD_FIELDS: usize = 2;
const TOLD_BYTES: usize = 96;

/// What is known of a response once its head is here.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// What is sent to clients, but for `Age` and `Cache-Status`.
    pub(super) headers: Headers,
    /// The route that made it. Two routes may answer one URL, told apart by other fields.
    route: Box<str>,
    vary: Box<[HeaderName]>,
    /// What the request said in the fields of `vary`.
    selected: Box<[u8]>,
    directives: ResponseDirectives,
    lifetime: Lifetime,
    initial_age: u64,
    /// When it came, on the clock that is never set.
    received: Instant,
    last_modified: Option<u64>,
    tags: Box<[Box<[u8]>]>,
}

/// A response, whole.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: Arc<Head>,
    pub(super) content: Content,
}

/// What a response answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The request, as the client sent it.
    pub(super) request: &'a RequestHead,
    /// What it asks of caches.
    pub(super) asked: &'a RequestDirectives,
    /// Whether the answer may be for one client alone.
    pub(super) authorized: bool,
    /// The route that answers.
    pub(super) route: &'a str,
    /// When it was passed on, in seconds since 1970.
    pub(super) requested: u64,
    /// What the operator decided.
    pub(super) policy: Policy,
}

impl Head {
    /// Reads the head of a response that has just come.
    ///
    /// # Errors
    /// It may not be kept.
    pub(super) fn read(response: &Response, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let headers = &response.headers;
        let directives = ResponseDirectives::read(headers);
        let received = clock::unix_now().as_secs();
        let lifetime = lifetime(
            response.status,
            headers,
            &directives,
            received,
            origin.policy,
        );
        let asked = Asked {
            method: &origin.request.method,
            authorized: origin.authorized,
            directives: origin.asked,
        };
        may_store(&asked, response.status, headers, &directives, lifetime)?;
        let fields = vary::fields(headers).ok_or(Refusal::VaryAny)?;
        let mut selected = Vec::new();
        vary::select(&fields, &origin.request.headers, &mut selected);
        let validators = validation::validators(headers, received);
        Ok(Self {
            status: response.status,
            last_modified: validators.last_modified,
            initial_age: initial_age(headers, origin.requested, received),
            tags: owned_tags(headers),
            headers: lasting(headers, received),
            route: origin.route.into(),
            vary: fields.into(),
            selected: selected.into(),
            directives,
            lifetime,
            received: clock::now(),
        })
    }

    /// The same response after a 304 has told of it anew.
    fn freshened(&self, from: &Headers, requested: u64, policy: Policy) -> Self {
        let mut headers = self.headers.clone();
        validation::freshen(&mut headers, from);
        let received = clock::unix_now().as_secs();
        if !from.contains(&name::DATE) {
            headers.set(&name::DATE, date::imf_fixdate(received));
        }
        let directives = ResponseDirectives::read(&headers);
        Self {
            status: self.status,
            route: self.route.clone(),
            vary: self.vary.clone(),
            selected: self.selected.clone(),
            lifetime: lifetime(self.status, &headers, &directives, received, policy),
            initial_age: initial_age(&headers, requested, received),
            last_modified: validation::validators(&headers, received).last_modified,
            tags: if from.contains(&name::CACHE_TAG) || from.contains(&name::SURROGATE_KEY) {
                owned_tags(from)
            } else {
                self.tags.clone()
            },
            headers: lasting(&headers, received),
            directives,
            received: clock::now(),
        }
    }

    /// Whether it answers this request, as far as `Vary` and the route say.
    pub(super) fn fits(&self, request: &RequestHead, route: &str) -> bool {
        if *self.route != *route {
            return false;
        }
        if self.vary.is_empty() {
            return true;
        }
        let mut selected = Vec::with_capacity(self.selected.len());
        vary::select(&self.vary, &request.headers, &mut selected);
        *selected == *self.selected
    }

    /// Whether the two answer the same requests.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let fields = |head: &Self| -> Vec<String> {
            let lower = |field: &HeaderName| field.as_str().to_ascii_lowercase();
            head.vary.iter().map(lower).collect()
        };
        self.route == other.route
            && self.selected == other.selected
            && fields(self) == fields(other)
    }

    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            age: self.age(),
            lifetime: self.lifetime.seconds,
            directives: self.directives,
        }
    }

    /// How long it is still fresh, in seconds; below 0 if it is stale.
    pub(super) fn ttl(&self) -> i64 {
        let signed = |seconds| i64::try_from(seconds).unwrap_or(i64::MAX);
        signed(self.lifetime.seconds).saturating_sub(signed(self.age()))
    }

    fn age(&self) -> u64 {
        let resident = clock::now().saturating_duration_since(self.received);
        current_age(self.initial_age, resident.as_secs())
    }

    pub(super) fn has_tag(&self, wanted: &[u8]) -> bool {
        self.tags.iter().any(|tag| **tag == *wanted)
    }

    fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.headers.get(&name::ETAG).and_then(ETag::parse),
            last_modified: self.last_modified,
        }
    }

    /// Answers a GET or HEAD: the client's conditions first (RFC 9111 §4.3.2). The content is
    /// `body`, of which a part is sent if the request asks for one and `content` has it whole.
    fn respond(&self, request: &RequestHead, body: Body, content: Option<&Content>) -> Response {
        if self.status == StatusCode::OK {
            let now = clock::unix_now().as_secs();
            let (method, headers) = (&request.method, &request.headers);
            let validators = self.validators();
            let verdict = conditional::evaluate(method, headers, &validators, now);
            if verdict == Verdict::NotModified {
                return self.not_modified();
            }
            if let Some(content) = content
                && headers.contains(&name::RANGE)
                && let Some(part) = ranges::part(request, &validators, content, &self.headers, now)
            {
                return self.aged(part);
            }
        }
        let mut response = Response::new(self.status);
        response.headers = self.headers.clone_with_room(TOLD_FIELDS, TOLD_BYTES);
        response.body = body;
        self.aged(response)
    }

    /// What the client has is what is stored (RFC 9110 §15.4.5).
    fn not_modified(&self) -> Response {
        let mut response = Response::new(StatusCode::NOT_MODIFIED);
        response.headers = self.headers.clone();
        let has_tag = self.headers.contains(&name::ETAG);
        response.headers.retain(|field, _| {
            let is = |known: &HeaderName| field.eq_ignore_ascii_case(known.as_str().as_bytes());
            let about_content = field
                .get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"Content-"));
            let validator = is(&name::LAST_MODIFIED) && has_tag;
            !validator && (!about_content || is(&name::CONTENT_LOCATION))
        });
        self.aged(response)
    }

    fn aged(&self, mut response: Response) -> Response {
        let mut number = itoa::Buffer::new();
        let age = number.format(self.age());
        response.headers.append(&name::AGE, age);
        response
    }

    /// Answers with what is still coming.
    pub(super) fn respond_with(&self, request: &RequestHead, body: Body) -> Response {
        self.respond(request, body, None)
    }
}

impl Stored {
    /// Answers with what is here.
    pub(super) fn answer(&self, request: &RequestHead) -> Response {
        self.head
            .respond(request, self.content.body(), Some(&self.content))
    }

    /// The same content under the fields of a 304.
    pub(super) fn freshened(&self, from: &Headers, requested: u64, policy: Policy) -> Self {
        Self {
            head: Arc::new(self.head.freshened(from, requested, policy)),
            content: self.content.clone(),
        }
    }
}

impl Head {
    /// How many bytes it takes in memory, more or less.
    pub(super) fn weight(&self) -> u64 {
        let fields = self.headers.iter();
        let fields: usize = fields
            .map(|(name, value)| name.len() + value.len() + 24)
            .sum();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 16).sum();
        let bytes = fields + tags + self.selected.len() + self.route.len();
        OVERHEAD.saturating_add(bytes as u64)
    }
}

/// The fields that are kept: without those that are about this one passage, and those that are
/// for caches alone. With a date, which every stored response has (RFC 9110 §6.6.1).
fn lasting(headers: &Headers, received: u64) -> Headers {
    const PASSING: [HeaderName; 4] = [
        name::AGE,
        name::CACHE_STATUS,
        name::CACHE_TAG,
        name::SURROGATE_KEY,
    ];
    // Written anew, not edited: so every hit sends the lines as they stand, in one piece.
    let mut lasting = Headers::new();
    for (field, value) in headers.iter() {
        let is = |name: &HeaderName| field.eq_ignore_ascii_case(name.as_str().as_bytes());
        if !PASSING.iter().any(is) {
            lasting.append_parsed(field, value);
        }
    }
    if !lasting.contains(&name::DATE) {
        lasting.append(&name::DATE, date::imf_fixdate(received));
    }
    lasting
}

/// The tags that a response has, or that a request to purge names: `Cache-Tag: a, b` and
/// `Surrogate-Key: a b`.
pub(super) fn tags(headers: &Headers) -> impl Iterator<Item = &[u8]> {
    let listed = headers.list(&name::CACHE_TAG);
    let keys = headers.get_all(&name::SURROGATE_KEY);
    let keys = keys.flat_map(|line| line.split(|byte| *byte == b' '));
    listed.chain(keys).filter(|tag| !tag.is_empty())
}

fn owned_tags(headers: &Headers) -> Box<[Box<[u8]>]> {
    tags(headers).map(Box::from).collect()
}
