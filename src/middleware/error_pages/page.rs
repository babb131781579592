//! A page in up to three forms, and which of them a client gets.

use bytes::Bytes;

use crate::exchange::{Escape, Exchange, Outcome, Template};
use crate::http::Headers;
use crate::http::accept::media_quality;

/// A page, in at least one form.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) html: Option<Content>,
    pub(super) json: Option<Content>,
    pub(super) text: Option<Content>,
}

/// What a page says in one form.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Fixed(Bytes),
    Made(Template),
}

/// The form of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// In order of preference among those that a client wants equally: who says nothing is a
    /// program rather than a browser, and all other errors are JSON.
    const ALL: [Self; 3] = [Self::Json, Self::Html, Self::Text];

    const fn essence(self) -> &'static str {
        match self {
            Self::Html => "text/html",
            Self::Json => "application/json",
            Self::Text => "text/plain",
        }
    }

    /// How values stay values in it.
    const fn escape(self) -> Escape {
        match self {
            Self::Html => Escape::Html,
            Self::Json => Escape::Json,
            Self::Text => Escape::Plain,
        }
    }
}

impl Page {
    fn of(&self, form: Form) -> Option<&Content> {
        match form {
            Form::Html => self.html.as_ref(),
            Form::Json => self.json.as_ref(),
            Form::Text => self.text.as_ref(),
        }
    }

    /// Whether there is more than one form.
    pub(super) fn has_choice(&self) -> bool {
        let forms = Form::ALL.iter().filter(|form| self.of(**form).is_some());
        forms.count() > 1
    }

    /// The form a client would rather have; `None` if it wants none of those there are.
    pub(super) fn form_for(&self, headers: &Headers) -> Option<Form> {
        let mut best = None;
        let mut most = 0;
        for form in Form::ALL {
            let wanted = self
                .of(form)
                .map(|_| media_quality(headers, form.essence()));
            if let Some(quality) = wanted
                && quality > most
            {
                (best, most) = (Some(form), quality);
            }
        }
        best
    }

    /// What is sent.
    pub(super) fn content(&self, form: Form, x: &Exchange<'_>, outcome: &Outcome) -> Bytes {
        match self.of(form) {
            None => Bytes::new(),
            Some(Content::Fixed(bytes)) => bytes.clone(),
            Some(Content::Made(template)) => {
                let mut made = Vec::new();
                template.render_at(x, Some(outcome), form.escape(), &mut made);
                made.into()
            }
        }
    }

    /// What errors look like where the configuration says nothing of it.
    pub(super) fn built_in() -> Self {
        let made = |text: &str| {
            let template = text.parse::<crate::exchange::ResponseTemplate>().ok();
            template.map(|template| Content::Made(template.0))
        };
        Self {
            html: made(HTML),
            json: made(JSON),
            text: made(TEXT),
        }
    }
}

const HTML: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{response.status} {response.reason}</title>
<style>
body {{ font: 1.1em/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 32em; padding: 0 1em }}
p {{ color: GrayText }}
</style>
</head>
<body>
<h1>{response.status} {response.reason}</h1>
<p>{request.id}</p>
</body>
</html>
"#;

const JSON: &str =
    r#"{{"error":"{response.reason}","status":{response.status},"request_id":"{request.id}"}}"#;

const TEXT: &str = "{response.status} {response.reason}\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::name;

    #[test]
    fn the_built_in_page_has_every_form() {
        let page = Page::built_in();
        assert!(Form::ALL.iter().all(|form| page.of(*form).is_some()));
    }

    #[track_caller]
    fn check(page: &Page, accept: &str, expected: Option<Form>) {
        let mut headers = Headers::new();
        if !accept.is_empty() {
            headers.append(&name::ACCEPT, accept);
        }
        assert_eq!(page.form_for(&headers), expected, "{accept}");
    }

    #[test]
    fn clients_get_what_they_want_most() {
        let all = Page::built_in();
        check(&all, "", Some(Form::Json));
        check(&all, "*/*", Some(Form::Json));
        check(
            &all,
            "text/html,application/xhtml+xml,*/*;q=0.8",
            Some(Form::Html),
        );
        check(&all, "text/*", Some(Form::Html));
        check(&all, "text/plain, */*;q=0.1", Some(Form::Text));
        check(&all, "image/png", None);
        let html = Page {
            json: None,
            text: None,
            ..Page::built_in()
        };
        check(&html, "", Some(Form::Html));
        check(&html, "application/json", None);
        assert!(all.has_choice() && !html.has_choice());
    }
}
