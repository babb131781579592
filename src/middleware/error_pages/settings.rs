//! What an `error_pages` table may say.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::ErrorPages;
use super::page::{Content, Page};
use crate::build::{
    BuildContext, Kind, ParseContext, Problem, Section, Settings, Span, Statuses, keys,
};
use crate::exchange::{Middleware, ResponseTemplate};

/// Gives errors another content.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "error_pages",
    summary: "Gives errors a page: HTML, JSON or text, as the client would rather have it",
    example: r#"
intercept = true              # the errors of upstreams too, not only our own
built_in = true               # a plain page for statuses that have none here

[pages]                       # by status: 404, 5xx, 500-504; the closest one counts
# 404 = "404.html"            # an HTML file, as it is
5xx = { json = '{{"error":"{response.reason}","id":"{request.id}"}}', text = "sorry\n" }
401-403 = { html = "<h1>{response.status}</h1> ask for help, and say {request.id}" }
"#,
    keys: keys! {
        "pages": "table of pages" = "{}",
            "by status, `404`, `5xx` or `500-504`: the path of an HTML file, or a table";
        "pages.STATUS.html": "template" = "(none)", "the page as HTML; values are escaped";
        "pages.STATUS.json": "template" = "(none)", "the page as JSON; values are escaped";
        "pages.STATUS.text": "template" = "(none)", "the page as plain text";
        "pages.STATUS.html_file": "path" = "(none)",
            "an HTML file, as it is; read again when it changes";
        "pages.STATUS.json_file": "path" = "(none)", "a JSON file, as it is";
        "pages.STATUS.text_file": "path" = "(none)", "a text file, as it is";
        "built_in": "true or false" = "true",
            "whether statuses without a page get a plain one, in all three forms";
        "intercept": "true or false" = "false",
            "whether errors of an upstream get a page too; without it they come as they are";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    pages: BTreeMap<Spanned<String>, Spanned<WrittenPage>>,
    #[serde(default = "default_built_in")]
    built_in: bool,
    #[serde(default)]
    intercept: bool,
}

const fn default_built_in() -> bool {
    true
}

/// A path, or a table.
#[derive(Debug, Clone)]
struct WrittenPage(Forms);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Forms {
    html: Option<ResponseTemplate>,
    json: Option<ResponseTemplate>,
    text: Option<ResponseTemplate>,
    html_file: Option<PathBuf>,
    json_file: Option<PathBuf>,
    text_file: Option<PathBuf>,
}

/// Read and right, but for what is in files.
#[derive(Debug)]
struct ErrorPagesSettings {
    pages: Vec<(Statuses, Forms, Span)>,
    built_in: bool,
    intercept: bool,
}

/// Pages are held in memory; a page of that size is a site of its own.
const PAGE_BYTES_MAX: u64 = 1 << 20;

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, good) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let mut pages = Vec::new();
    for (key, page) in written.pages {
        let forms = &page.get_ref().0;
        for (name, template, file) in [
            ("html", &forms.html, &forms.html_file),
            ("json", &forms.json, &forms.json_file),
            ("text", &forms.text, &forms.text_file),
        ] {
            if template.is_some() && file.is_some() {
                let message = format!("`{name}` and `{name}_file` are the same page twice");
                cx.refuse(section, page.span(), message, "keep one of the two");
            }
        }
        // What it had may have been taken out as a mistake.
        if forms.is_empty() && good {
            let message = format!("the page for {} has no content", key.get_ref());
            let hint = "give it a file: \"404.html\", or a template: { text = \"sorry\" }";
            cx.refuse(section, page.span(), message, hint);
        }
        match key.get_ref().parse::<Statuses>() {
            Ok(statuses) if statuses.first() >= 400 => {
                let span = section.at(page.span());
                pages.push((statuses, page.into_inner().0, span));
            }
            Ok(statuses) => {
                let message = format!("{statuses} is not an error");
                cx.refuse(section, key.span(), message, "errors are 400 to 599");
            }
            Err(error) => {
                let words = error.to_string();
                let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                cx.refuse(section, key.span(), message, hint);
            }
        }
    }
    // Of two that cover a status the one that covers fewer says more.
    pages.sort_by_key(|(statuses, _, _)| (statuses.count(), statuses.first()));
    (cx.problems.len() == before).then(|| {
        Box::new(ErrorPagesSettings {
            pages,
            built_in: written.built_in,
            intercept: written.intercept,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for ErrorPagesSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let mut pages = Vec::new();
        for (statuses, forms, span) in &self.pages {
            let mut content = |template: &Option<ResponseTemplate>, file: &Option<PathBuf>| {
                Ok::<_, Box<Problem>>(match (template, file) {
                    (Some(template), _) => Some(match template.0.as_text() {
                        Some(text) => Content::Fixed(text.to_vec().into()),
                        None => Content::Made(template.0.clone()),
                    }),
                    (None, Some(file)) => {
                        Some(Content::Fixed(cx.read(file, PAGE_BYTES_MAX, span)?.into()))
                    }
                    (None, None) => None,
                })
            };
            let page = Page {
                html: content(&forms.html, &forms.html_file)?,
                json: content(&forms.json, &forms.json_file)?,
                text: content(&forms.text, &forms.text_file)?,
            };
            pages.push((*statuses, page));
        }
        if self.built_in {
            pages.push((Statuses::new(400, 599), Page::built_in()));
        }
        Ok(Box::new(ErrorPages {
            pages: pages.into(),
            intercept: self.intercept,
        }))
    }
}

impl Forms {
    const fn is_empty(&self) -> bool {
        self.html.is_none()
            && self.json.is_none()
            && self.text.is_none()
            && self.html_file.is_none()
            && self.json_file.is_none()
            && self.text_file.is_none()
    }
}

impl<'de> Deserialize<'de> for WrittenPage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = WrittenPage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of an HTML file, or a table")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<WrittenPage, E> {
                Ok(WrittenPage(Forms {
                    html_file: Some(PathBuf::from(path)),
                    ..Forms::default()
                }))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<WrittenPage, M::Error> {
                Forms::deserialize(MapAccessDeserializer::new(map)).map(WrittenPage)
            }
        }
        deserializer.deserialize_any(Read)
    }
}
