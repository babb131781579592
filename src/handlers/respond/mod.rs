//! `respond`: a response written in the configuration.

mod settings;

use bytes::Bytes;

use crate::exchange::{Body, Escape, Exchange, Response, Template};
use crate::http::{HeaderName, Headers, StatusCode};

pub(super) use settings::KIND;

/// Content up to this size is copied for each response: that costs less than two workers that
/// count up and down on the same cache line.
const COPIED_BYTES_MAX: usize = 1024;

/// A response written in the configuration.
#[derive(Debug)]
pub struct Respond {
    status: StatusCode,
    /// The fields that are the same for every request.
    headers: Headers,
    /// Those that are not.
    fields: Box<[(HeaderName, Template)]>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Fixed(Bytes),
    Template(Template, Escape),
}

impl Respond {
    /// Answers, whatever is asked.
    pub(super) fn handle(&self, x: &Exchange<'_>) -> Response {
        let mut response = Response::new(self.status);
        response.headers = self.headers.clone();
        for (name, template) in &self.fields {
            let mut value = Vec::new();
            template.render(x, Escape::Field, &mut value);
            response.headers.append(name, value);
        }
        response.body = match &self.content {
            Content::Fixed(bytes) if bytes.is_empty() => Body::Empty,
            Content::Fixed(bytes) if bytes.len() <= COPIED_BYTES_MAX => {
                Body::Bytes(Bytes::copy_from_slice(bytes))
            }
            Content::Fixed(bytes) => Body::Bytes(bytes.clone()),
            Content::Template(template, escape) => {
                let mut content = Vec::new();
                template.render(x, *escape, &mut content);
                Body::from(Bytes::from(content))
            }
        };
        response
    }
}

#[cfg(test)]
mod tests;
