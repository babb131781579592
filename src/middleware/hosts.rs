//! Hosts that a setting names: one, or all below one.

use toml::Spanned;

use super::location::is_authority;
use crate::build::{ParseContext, Section};
use crate::http::authority::split_port;

/// A host, or all hosts below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// `example.org`
    Exact(Box<str>),
    /// `.example.org`: every host below, at any depth.
    Below(Box<str>),
}

impl Host {
    /// Reads `example.org` or `*.example.org`; what is neither is reported.
    pub(super) fn read(
        written: &Spanned<String>,
        section: &Section<'_>,
        cx: &mut ParseContext<'_>,
    ) -> Option<Self> {
        let text = written.get_ref().as_str();
        let below = text.strip_prefix('*').filter(|tail| tail.starts_with('.'));
        let name = below.map_or(text, |tail| tail.trim_start_matches('.'));
        if !is_authority(name) || split_port(name).1.is_some() {
            let message = format!("`{text}` is not a host");
            let hint = "write it like \"example.org\", or \"*.example.org\" for all below it";
            cx.refuse(section, written.span(), message, hint);
            return None;
        }
        Some(match below {
            Some(tail) => Self::Below(tail.into()),
            None => Self::Exact(text.into()),
        })
    }

    /// Whether this host, without port, is one of them.
    pub(super) fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own.eq_ignore_ascii_case(host),
            Self::Below(tail) => {
                let start = host.len().checked_sub(tail.len());
                let end = start.and_then(|start| host.get(start..));
                start != Some(0) && end.is_some_and(|end| end.eq_ignore_ascii_case(tail))
            }
        }
    }
}
