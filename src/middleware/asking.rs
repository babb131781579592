//! What those kinds have in common that ask an upstream something of their own.

use std::sync::Arc;

use toml::Spanned;

use crate::build::{BuildContext, ParseContext, Problem, Section, Span};
use crate::exchange::Fetcher;
use crate::http::{RequestHead, name};

/// A GET of this path, at this host if one is named; what is no path is reported. `like` is one.
pub(super) fn question(
    path: &Spanned<String>,
    host: Option<&str>,
    like: &str,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<RequestHead> {
    let text = path.get_ref();
    let mut question = RequestHead::default();
    if !text.starts_with('/') || question.target.parse(text.as_bytes()).is_err() {
        let message = format!("`{text}` is not a path");
        let hint = format!("write it like \"{like}\"");
        cx.refuse(section, path.span(), message, hint);
        return None;
    }
    if let Some(host) = host {
        question.headers.set(&name::HOST, host);
    }
    Some(question)
}

/// Who asks this upstream. `span` is where it is named.
///
/// # Errors
/// It could not be made.
pub(super) fn fetcher(
    upstream: &str,
    span: &Span,
    cx: &BuildContext<'_>,
) -> Result<Arc<Fetcher>, Box<Problem>> {
    cx.provided::<Fetcher>(upstream).ok_or_else(|| {
        let message = format!("the upstream `{upstream}` could not be made");
        Box::new(Problem::error("E0202", span.clone(), message))
    })
}
