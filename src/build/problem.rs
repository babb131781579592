//! A mistake in a configuration, at its place, with a way out.

use std::ops::Range;

/// A place in one of the files of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Which file, counted from 0 (the one named on the command line) in order of inclusion.
    pub file: usize,
    /// Which bytes of it.
    pub range: Range<usize>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The configuration cannot run.
    Error,
    /// It can, but is hardly what was meant.
    Warning,
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// A stable code: `E0102`. What it means is in `config/report.rs`.
    pub code: &'static str,
    /// Where; `None` if the mistake is nowhere in a file.
    pub span: Option<Span>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What stands at the caret; empty for none.
    pub label: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Other places that matter: "first defined here".
    pub notes: Vec<(Span, String)>,
}

impl Problem {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            span: Some(span),
            message: message.into(),
            label: String::new(),
            hint: None,
            notes: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// Whether the configuration can run all the same.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// An error that stands nowhere in a file.
    pub fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            span: None,
            ..Self::error(code, Span::default(), message)
        }
    }

    /// With words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a second place.
    #[must_use]
    pub fn note(mut self, span: Span, text: impl Into<String>) -> Self {
        self.notes.push((span, text.into()));
        self
    }
}
