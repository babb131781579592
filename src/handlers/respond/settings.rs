//! What a `respond` table may say.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::{Content, Respond};
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, Span, keys};
use crate::exchange::{Escape, Template};
use crate::handlers::Handler;
use crate::http::{HeaderName, Headers, StatusCode, mime, name};

/// A response written in the configuration.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "respond",
    summary: "Answers with what is written here",
    example: r#"
status = 200
headers = { Cache-Control = "no-store", X-Client = "{client.ip}" }
json = { now = "{time.rfc3339}", id = "{request.id}" }
# text = "hello, {client.ip}"                            # or text instead of json
# html = "<h1>hello, {client.ip}</h1>"                   # or HTML
# file = "answer.csv"                                    # or what a file holds
# content_type = "application/problem+json"              # instead of the one that goes with it
"#,
    keys: keys! {
        "status": "status" = "200", "the status";
        "headers": "table of templates" = "{}",
            "fields by name; an array of templates gives a field more than once";
        "text": "template" = "(none)", "the content, as plain text";
        "html": "template" = "(none)", "the content, as HTML; values are escaped";
        "json": "value" = "(none)", "the content, as JSON; its strings are templates";
        "file": "path" = "(none)", "the content, read when the configuration is";
        "content_type": "string" = "(as the content asks for)", "another media type";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    #[serde(default)]
    text: Option<Spanned<Template>>,
    #[serde(default)]
    html: Option<Spanned<Template>>,
    #[serde(default)]
    json: Option<Spanned<toml::Value>>,
    #[serde(default)]
    file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    content_type: Option<Spanned<String>>,
}

/// Read and right.
#[derive(Debug)]
struct RespondSettings {
    status: StatusCode,
    content_type: Option<String>,
    fields: Vec<(HeaderName, Template)>,
    source: Source,
}

/// Where the content comes from.
#[derive(Debug)]
enum Source {
    None,
    Template(Template, Escape),
    File(PathBuf, Span),
}

/// How large a file may be: it is held in memory as long as the configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How deep JSON may be nested; deeper is hardly written by hand.
const JSON_DEPTH_MAX: usize = 32;

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let status = check.status(written.status.as_ref());
    let mut fields = Vec::new();
    for (name, value) in &written.headers {
        check.fields(name, value, &mut fields);
    }
    let content_type = written.content_type.as_ref().map(|written| {
        check.value(written.get_ref(), written.span());
        written.get_ref().clone()
    });
    let (default_type, source) = check.source(&written, status);
    (cx.problems.len() == before).then(|| {
        Box::new(RespondSettings {
            status,
            content_type: content_type.or_else(|| default_type.map(str::to_owned)),
            fields,
            source,
        }) as Box<dyn Settings<Handler>>
    })
}

type Range = std::ops::Range<usize>;

struct Check<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Check<'_, '_, '_> {
    fn report(&mut self, range: Range, message: impl Into<String>, hint: &str) {
        let span = self.section.at(range);
        let problem = Problem::error("E0002", span, message).hint(hint);
        self.cx.problems.push(problem);
    }

    fn status(&mut self, written: Option<&Spanned<StatusCode>>) -> StatusCode {
        let Some(written) = written else {
            return StatusCode::OK;
        };
        let status = *written.get_ref();
        if status.is_informational() {
            self.report(
                written.span(),
                format!("{status} is not the status of a final response"),
                "final responses have 200 and above",
            );
        }
        status
    }

    fn fields(
        &mut self,
        written: &Spanned<String>,
        value: &Spanned<toml::Value>,
        fields: &mut Vec<(HeaderName, Template)>,
    ) {
        let Some(name) = HeaderName::from_bytes(written.get_ref().as_bytes()) else {
            let message = format!("`{}` is not the name of a field", written.get_ref());
            self.report(
                written.span(),
                message,
                "names have letters, digits and `-`",
            );
            return;
        };
        if OWN_FIELDS.contains(&name) {
            self.report(
                written.span(),
                format!("`{}` is written by the server itself", name.as_str()),
                "leave it out",
            );
            return;
        }
        if name == name::CONTENT_TYPE {
            self.report(
                written.span(),
                "the type of the content has a key of its own",
                "write content_type = \"…\"",
            );
            return;
        }
        let values = match value.get_ref() {
            toml::Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for one in values {
            let toml::Value::String(text) = one else {
                self.report(
                    value.span(),
                    "must be a string or a list of strings",
                    "values stand in quotes",
                );
                return;
            };
            if let Some(template) = self.value(text, value.span()) {
                fields.push((name.clone(), template));
            }
        }
    }

    /// The value of a field.
    fn value(&mut self, text: &str, range: Range) -> Option<Template> {
        if let Some(control) = text.bytes().find(|&b| b.is_ascii_control() && b != b'\t') {
            self.report(
                range,
                format!("the value of a field cannot hold the byte {control:#04x}"),
                "a field is one line of text",
            );
            return None;
        }
        self.template(text, range)
    }

    fn template(&mut self, text: &str, range: Range) -> Option<Template> {
        match text.parse::<Template>() {
            Ok(template) => {
                self.captures(&template, range);
                Some(template)
            }
            Err(error) => {
                let words = error.to_string();
                let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                self.report(range, message, hint);
                None
            }
        }
    }

    fn captures(&mut self, template: &Template, range: Range) {
        let span = self.section.at(range);
        self.cx.captured(&span, &template.captures());
    }

    /// The content, and the type that goes with it.
    fn source(&mut self, written: &Written, status: StatusCode) -> (Option<&'static str>, Source) {
        let places = [
            written.text.as_ref().map(Spanned::span),
            written.html.as_ref().map(Spanned::span),
            written.json.as_ref().map(Spanned::span),
            written.file.as_ref().map(Spanned::span),
        ];
        let mut places = places.into_iter().flatten();
        let first = places.next();
        if let Some(second) = places.next() {
            self.report(
                second,
                "a response has one content",
                "keep one of `text`, `html`, `json` and `file`",
            );
        }
        // RFC 9110 §15.3.6: a 205 has a length, and that is zero.
        if let Some(place) = first
            && (status.forbids_content() || status.code() == 205)
        {
            self.report(
                place,
                format!("a response with the status {status} has no content"),
                "leave the content out, or answer with another status",
            );
        }
        if let Some(text) = &written.text {
            self.captures(text.get_ref(), text.span());
            let source = Source::Template(text.get_ref().clone(), Escape::Plain);
            (Some("text/plain; charset=utf-8"), source)
        } else if let Some(html) = &written.html {
            self.captures(html.get_ref(), html.span());
            let source = Source::Template(html.get_ref().clone(), Escape::Html);
            (Some("text/html; charset=utf-8"), source)
        } else if let Some(json) = &written.json {
            let mut template = Template::default();
            self.json(json.get_ref(), &json.span(), 0, &mut template);
            let source = Source::Template(template, Escape::Json);
            (Some("application/json"), source)
        } else if let Some(file) = &written.file {
            let name = file.get_ref().as_os_str().as_encoded_bytes();
            let content_type = match mime::content_type(name, "utf-8") {
                std::borrow::Cow::Borrowed(known) => Some(known),
                std::borrow::Cow::Owned(_) => None,
            };
            let span = self.section.at(file.span());
            (content_type, Source::File(file.get_ref().clone(), span))
        } else {
            (None, Source::None)
        }
    }

    /// Adds the JSON of a value. Its strings are templates.
    fn json(&mut self, value: &toml::Value, range: &Range, depth: usize, out: &mut Template) {
        if depth > JSON_DEPTH_MAX {
            self.report(
                range.clone(),
                format!("the JSON is nested more than {JSON_DEPTH_MAX} deep"),
                "put it into a file",
            );
            return;
        }
        match value {
            toml::Value::String(text) => {
                out.push_text(b"\"");
                if let Some(template) = self.template(text, range.clone()) {
                    out.push(template, Escape::Json);
                }
                out.push_text(b"\"");
            }
            toml::Value::Array(items) => {
                out.push_text(b"[");
                for (at, item) in items.iter().enumerate() {
                    out.push_text(if at == 0 { b"" } else { b"," });
                    self.json(item, range, depth + 1, out);
                }
                out.push_text(b"]");
            }
            toml::Value::Table(table) => {
                out.push_text(b"{");
                for (at, (key, item)) in table.iter().enumerate() {
                    out.push_text(if at == 0 { b"\"" } else { b",\"" });
                    out.push(Template::text(key.as_bytes()), Escape::Json);
                    out.push_text(b"\":");
                    self.json(item, range, depth + 1, out);
                }
                out.push_text(b"}");
            }
            toml::Value::Integer(number) => out.push_text(number.to_string().as_bytes()),
            toml::Value::Boolean(truth) => out.push_text(truth.to_string().as_bytes()),
            toml::Value::Datetime(time) => out.push_text(format!("\"{time}\"").as_bytes()),
            // JSON has no infinity and no NaN.
            toml::Value::Float(number) if !number.is_finite() => out.push_text(b"null"),
            toml::Value::Float(number) => {
                out.push_text(serde_json::Value::from(*number).to_string().as_bytes());
            }
        }
    }
}

/// What the encoder writes, and no handler.
const OWN_FIELDS: [HeaderName; 6] = [
    name::CONNECTION,
    name::CONTENT_LENGTH,
    name::DATE,
    name::KEEP_ALIVE,
    name::TRANSFER_ENCODING,
    name::UPGRADE,
];

impl Settings<Handler> for RespondSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let mut headers = Headers::new();
        let mut content_type = self.content_type.clone();
        let content = match &self.source {
            Source::None => Content::Fixed(Bytes::new()),
            Source::Template(template, escape) => match template.as_text() {
                Some(text) => Content::Fixed(Bytes::copy_from_slice(text)),
                None => Content::Template(template.clone(), *escape),
            },
            Source::File(path, span) => {
                let path = cx.path(path);
                if content_type.is_none() {
                    let name = path.as_os_str().as_encoded_bytes();
                    content_type = Some(mime::content_type(name, "utf-8").into_owned());
                }
                Content::Fixed(read(&path, span)?)
            }
        };
        if let Some(content_type) = &content_type {
            headers.append(&name::CONTENT_TYPE, content_type);
        }
        let mut fields = Vec::new();
        for (name, template) in &self.fields {
            match template.as_text() {
                Some(text) => headers.append(name, text),
                None => fields.push((name.clone(), template.clone())),
            }
        }
        Ok(Handler::Respond(Box::new(Respond {
            status: self.status,
            headers,
            fields: fields.into(),
            content,
        })))
    }
}

fn read(path: &std::path::Path, span: &Span) -> Result<Bytes, Box<Problem>> {
    let mut content = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content));
    if let Err(error) = read {
        let message = format!("cannot read {}: {error}", path.display());
        return Err(Box::new(Problem::error("E0201", span.clone(), message)));
    }
    if content.len() as u64 > FILE_BYTES_MAX {
        let message = format!("{} is larger than 16 MiB", path.display());
        let problem = Problem::error("E0201", span.clone(), message);
        return Err(Box::new(
            problem.hint("serve it with `static`, which does not hold it in memory"),
        ));
    }
    Ok(content.into())
}
