//! A response as handlers make it: not yet encoded.

use bytes::Bytes;

use super::{Body, Escape, Exchange, Why};
use crate::http::{Headers, StatusCode, name};

/// Status, fields and content. `Date`, `Server`, `Connection` and the framing fields are the
/// encoder's and are not set by handlers (a proxied `Date` or `Server` is kept).
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: Headers,
    /// The content. For HEAD the handler gives what GET would send; the writer leaves it out.
    pub body: Body,
    /// Why this is an error, for the log.
    pub why: Option<Why>,
    /// The connection is closed behind this response.
    pub close: bool,
    /// For a response to HEAD whose length an upstream told but whose body is not here.
    pub head_length: Option<u64>,
}

impl Response {
    /// An empty response.
    pub const fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Headers::new(),
            body: Body::Empty,
            why: None,
            close: false,
            head_length: None,
        }
    }

    /// `text/plain; charset=utf-8`.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", text)
    }

    /// `application/json`.
    pub fn json(status: StatusCode, json: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json", json)
    }

    /// Content of this type.
    pub fn typed(status: StatusCode, content_type: &str, content: impl Into<Bytes>) -> Self {
        let mut response = Self::new(status);
        response.headers.append(&name::CONTENT_TYPE, content_type);
        response.body = Body::from(content.into());
        response
    }

    /// `{"error": "…"}`, the phrase of the status as text; and the reason for the log.
    pub fn error(status: StatusCode, why: Why) -> Self {
        let mut response = Self::error_text(status, status.reason());
        response.why = Some(why);
        response
    }

    /// `{"error": "…"}` with this text.
    pub fn error_text(status: StatusCode, text: &str) -> Self {
        let mut json = Vec::with_capacity(64);
        json.extend_from_slice(b"{\"error\":\"");
        Escape::Json.write(text.as_bytes(), &mut json);
        json.extend_from_slice(b"\"}");
        Self::json(status, json)
    }

    /// 413: the content of the request is longer than it may be.
    pub fn body_too_large() -> Self {
        let reason = "the content is larger than this server takes";
        let mut response = Self::error_text(StatusCode::CONTENT_TOO_LARGE, reason).closing();
        response.why = Some(Why::BodyTooLarge);
        response
    }

    /// The exchange was not over in time: 504 if an upstream was asked, 503 if not.
    pub fn timed_out(x: &Exchange<'_>) -> Self {
        let status = match x.upstream {
            Some(_) => StatusCode::GATEWAY_TIMEOUT,
            None => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::error(status, Why::ExchangeTimeout)
    }

    /// Closes the connection behind this response.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// With this field set.
    #[must_use]
    pub fn with(mut self, name: &crate::http::HeaderName, value: impl AsRef<[u8]>) -> Self {
        self.headers.set(name, value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_stays_a_json_string() {
        let response = Response::error_text(StatusCode::NOT_FOUND, "no \"such\" \\");
        let Body::Bytes(content) = response.body else {
            panic!("no content");
        };
        assert_eq!(content, r#"{"error":"no \"such\" \\"}"#);
        let response = Response::error(StatusCode::NOT_FOUND, Why::RouteNone);
        let Body::Bytes(content) = response.body else {
            panic!("no content");
        };
        assert_eq!(content, r#"{"error":"Not Found"}"#);
    }
}
