//! `request_id`: a name for each exchange, to find it in every log it leaves a line in.

use std::time::Duration;

use serde::Deserialize;

use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::clock;
use crate::exchange::{Exchange, Flow, Middleware, Random, Response};
use crate::http::{HeaderName, name};

/// A name for each exchange.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "request_id",
    summary: "Names each exchange, to the upstream, the client and the log",
    example: r#"
header = "X-Request-ID"
trust = true              # what a trusted proxy sends in this field is kept
"#,
    keys: keys! {
        "header": "header name" = r#""X-Request-ID""#,
            "the field that carries the id: in, to the upstream, and out to the client";
        "trust": "true or false" = "true",
            "whether an id that a trusted proxy sends is kept; what others send never is";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestId {
    #[serde(default = "default_header")]
    header: HeaderName,
    #[serde(default = "default_trust")]
    trust: bool,
}

const fn default_header() -> HeaderName {
    name::X_REQUEST_ID
}

const fn default_trust() -> bool {
    true
}

/// The longest id that is kept: twice what any known tracer writes.
const ID_BYTES_MAX: usize = 128;

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let settings: RequestId = cx.settings(section)?;
    Some(Box::new(settings))
}

impl Settings<Box<dyn Middleware>> for RequestId {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

impl Middleware for RequestId {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if x.request_id.is_none() {
            let inbound = x.request.headers.get_str(&self.header);
            let kept = inbound.filter(|id| self.trust && x.trusted_peer && is_id(id));
            x.request_id = Some(match kept {
                Some(id) => id.into(),
                None => next(&x.locals.keep(), clock::unix_now()),
            });
        }
        if let Some(id) = &x.request_id {
            // The upstream is told by the field.
            x.request.headers.set(&self.header, id.as_bytes());
        }
        Flow::Continue
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Some(id) = &x.request_id {
            response.headers.set(&self.header, id.as_bytes());
        }
    }
}

/// Letters, digits and what tracers separate with; nothing that any log must escape.
fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(&byte))
}

/// A UUID of version 7 (RFC 9562 §5.7): sorted by time, random for the rest.
fn next(random: &Random, unix: Duration) -> Box<str> {
    let mut bytes = [0; 10];
    let [high, low] = [random.next(), random.next()].map(u64::to_le_bytes);
    for (byte, from) in bytes.iter_mut().zip(high.into_iter().chain(low)) {
        *byte = from;
    }
    let millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    Box::from(&*id.hyphenated().encode_lower(&mut text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::http::StatusCode;

    fn build(text: &str) -> Box<dyn Middleware> {
        super::super::tests::build(&KIND, text)
    }

    /// The id in the exchange; it must stand in the request and the response too.
    #[track_caller]
    fn id_of(settings: &str, request: &mut TestRequest, trusted: bool, header: &str) -> String {
        let request_id = build(settings);
        let mut x = request.exchange();
        x.trusted_peer = trusted;
        assert!(matches!(request_id.on_request(&mut x), Flow::Continue));
        let mut response = Response::new(StatusCode::OK);
        request_id.on_response(&mut x, &mut response);
        let id = x.request_id.as_deref().unwrap().to_owned();
        let header = HeaderName::from_bytes(header.as_bytes()).unwrap();
        for headers in [&response.headers, &x.request.headers] {
            let found: Vec<_> = headers.get_all(&header).collect();
            assert_eq!(found, [id.as_bytes()]);
        }
        id
    }

    fn with_id(id: &str) -> TestRequest {
        TestRequest::get("/").header("x-request-id", id)
    }

    #[test]
    fn ids_are_version_7_and_differ() {
        let ids = Random::default();
        let now = Duration::from_millis(0x0123_4567_89AB);
        let mut all: Vec<_> = (0..1000).map(|_| next(&ids, now)).collect();
        all.push(next(&Random::default(), now));
        for id in &all {
            let id = uuid::Uuid::parse_str(id).unwrap();
            assert_eq!(id.get_version_num(), 7);
            assert!(id.to_string().starts_with("01234567-89ab-7"));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1001);
    }

    #[test]
    fn inbound_ids_are_kept_from_trusted_peers_only() {
        let header = "X-Request-ID";
        assert_eq!(
            id_of("", &mut with_id("a-1_B.c:d"), true, header),
            "a-1_B.c:d"
        );
        assert_eq!(id_of("", &mut with_id("a-1"), false, header).len(), 36);
        assert_eq!(
            id_of("trust = false", &mut with_id("a"), true, header).len(),
            36
        );
        for bad in ["", "a b", "a\"", "é", "a;b", &"x".repeat(129)] {
            assert_eq!(
                id_of("", &mut with_id(bad), true, header).len(),
                36,
                "{bad}"
            );
        }
        let longest = "x".repeat(128);
        assert_eq!(id_of("", &mut with_id(&longest), true, header), longest);
    }

    #[test]
    fn the_field_can_have_another_name() {
        let mut request = TestRequest::get("/").header("X-Trace", "t-1");
        assert_eq!(
            id_of("header = 'X-Trace'", &mut request, true, "x-trace"),
            "t-1"
        );
    }

    #[test]
    fn an_exchange_has_one_id() {
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let (outer, inner) = (build(""), build("header = 'X-Trace'"));
        outer.on_request(&mut x);
        let id = x.request_id.clone();
        inner.on_request(&mut x);
        assert_eq!(x.request_id, id);
    }
}
