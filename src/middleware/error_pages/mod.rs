//! `error_pages`: what an error looks like, in the form that the client would rather have. Status
//! and fields such as `Retry-After`, `Allow` and `WWW-Authenticate` stay as they are.

mod page;
mod settings;

pub(super) use settings::KIND;

use page::{Form, Page};

use crate::build::Statuses;
use crate::exchange::{Exchange, Middleware, Outcome, Response};
use crate::http::{HeaderName, name};

/// Gives errors another content.
#[derive(Debug)]
struct ErrorPages {
    /// Those that say most of a status first.
    pages: Box<[(Statuses, Page)]>,
    /// Whether the errors of an upstream are given one too.
    intercept: bool,
}

/// What speaks of the content that is replaced, and would be wrong of another one.
const OF_CONTENT: [HeaderName; 9] = [
    name::ACCEPT_RANGES,
    name::CONTENT_DISPOSITION,
    name::CONTENT_ENCODING,
    name::CONTENT_LANGUAGE,
    name::CONTENT_LENGTH,
    name::CONTENT_LOCATION,
    name::CONTENT_TYPE,
    name::ETAG,
    name::LAST_MODIFIED,
];

impl Middleware for ErrorPages {
    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if response.status.code() < 400 || !self.concerns(x, response) {
            return;
        }
        let covers = |(statuses, _): &&(Statuses, Page)| statuses.contains(response.status);
        let Some((_, page)) = self.pages.iter().find(covers) else {
            return;
        };
        let Some(form) = page.form_for(&x.request.headers) else {
            return;
        };
        let content = page.content(form, x, &Outcome::so_far(x, response));
        let headers = &mut response.headers;
        for name in &OF_CONTENT {
            headers.remove(name);
        }
        headers.append(&name::CONTENT_TYPE, form.media_type());
        if page.has_choice() {
            headers.add_member(&name::VARY, "Accept");
        }
        x.facts_mut().error_page = true;
        response.body = content.into();
        response.head_length = None;
    }
}

impl ErrorPages {
    /// Errors of our own have a reason or no content. What a handler was told to say, and what
    /// an upstream says, was meant; the latter may be replaced all the same. What stands further
    /// in has the first word.
    fn concerns(&self, x: &Exchange<'_>, response: &Response) -> bool {
        if x.facts.as_ref().is_some_and(|facts| facts.error_page) {
            return false;
        }
        let code = response.status.code();
        let upstreams = x.upstream.as_ref().and_then(|trail| trail.status) == Some(code);
        if response.why.is_none() && upstreams {
            return self.intercept;
        }
        response.why.is_some() || response.body.length() == Some(0)
    }
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests;
