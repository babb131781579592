//! What those kinds have in common that refuse with a status of the operator's choice.

use serde::Deserialize;
use toml::Spanned;

use crate::build::{ParseContext, Section};
use crate::http::StatusCode;

/// What becomes of requests that do not say what is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Empty {
    /// They come in.
    #[default]
    Allow,
    /// They are refused.
    Deny,
}

/// The status that was written, or this one, of a refusal that holds for now: 429 or 503.
pub(super) fn passing_status(
    written: Option<&Spanned<StatusCode>>,
    default: StatusCode,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> StatusCode {
    let Some(written) = written else {
        return default;
    };
    let status = *written.get_ref();
    if !matches!(status.code(), 429 | 503) {
        let message = format!(
            "{} does not tell a client to come back later",
            status.code()
        );
        cx.refuse(section, written.span(), message, "write 429 or 503");
    }
    status
}

/// The status that was written, or this one.
pub(super) fn status(
    written: Option<&Spanned<StatusCode>>,
    default: StatusCode,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> StatusCode {
    let Some(written) = written else {
        return default;
    };
    let status = *written.get_ref();
    if !(400..=599).contains(&status.code()) {
        cx.refuse(
            section,
            written.span(),
            format!("{status} is not the status of a refusal"),
            "400 to 499 say that the client is wrong, 500 to 599 that the server is",
        );
    }
    status
}
