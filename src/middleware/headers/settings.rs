//! What a `headers` table may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{EditHeaders, Edits, Field, Removed, Value};
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, Statuses, keys};
use crate::exchange::template::TemplateError;
use crate::exchange::{Middleware, ResponseTemplate, Template};
use crate::http::{HeaderName, name};

/// Changes fields of requests and responses.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "headers",
    summary: "Changes headers of the request and of the response",
    example: r#"
status = [200, "3xx"]            # responses with these only; without it all

[request]                        # what the handler, and through it an upstream, sees
set = { X-Client = "{client.ip}" }
remove = ["X-Debug-*"]

[response]                       # what the client sees
set = { Cache-Control = "no-store", X-Upstream = "{upstream.endpoint}" }
append = { Link = ["</a.css>; rel=preload", "</b.js>; rel=preload"] }
default = { X-Robots-Tag = "noindex" }   # where the response has none
remove = ["X-Powered-By"]
"#,
    keys: keys! {
        "request": "table" = "{}",
            "fields of the request; in this order removed, given where missing, set, added";
        "request.remove": "list of header names" = "[]",
            "taken away; `X-Debug-*` is all that begin so";
        "request.default": "table of templates" = "{}", "given where the request has none";
        "request.set": "table of templates" = "{}",
            "in place of what there is; a value that comes out empty leaves none";
        "request.append": "table of templates" = "{}",
            "beside what there is; an array is a line for each value";
        "response": "table" = "{}", "the same for fields of the response";
        "response.remove": "list of header names" = "[]", "taken away";
        "response.default": "table of templates" = "{}", "given where the response has none";
        "response.set": "table of templates" = "{}",
            "in place of what there is; may name `{response.status}` and `{upstream.…}`";
        "response.append": "table of templates" = "{}", "beside what there is";
        "status": "list of statuses" = "[]",
            "which responses are changed: 404, \"5xx\", \"500-504\"; none listed is all";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    request: WrittenEdits,
    #[serde(default)]
    response: WrittenEdits,
    #[serde(default)]
    status: Vec<Statuses>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEdits {
    remove: Vec<Spanned<String>>,
    default: WrittenFields,
    set: WrittenFields,
    append: WrittenFields,
}

type WrittenFields = BTreeMap<Spanned<String>, Spanned<toml::Value>>;

/// Which fields an operator must leave alone, on either side: they say how the message is
/// framed and what becomes of the connection.
const FRAMING: [HeaderName; 7] = [
    name::CONNECTION,
    name::CONTENT_LENGTH,
    name::DATE,
    name::KEEP_ALIVE,
    name::TE,
    name::TRANSFER_ENCODING,
    name::UPGRADE,
];

/// Fields may have so many values in one table; a response with more is hardly meant.
const FIELDS_MAX: usize = 100;

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    // What can be read beside its mistakes may have others.
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let request = Reading {
        section,
        cx,
        template: |text| text.parse::<Template>(),
        is_request: true,
    }
    .edits(&written.request);
    let response = Reading {
        section,
        cx,
        template: |text| text.parse::<ResponseTemplate>().map(|template| template.0),
        is_request: false,
    }
    .edits(&written.response);
    (cx.problems.len() == before).then(|| {
        Box::new(EditHeaders {
            request,
            response,
            statuses: written.status.into(),
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for EditHeaders {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

type Range = std::ops::Range<usize>;

struct Reading<'r, 's, 'p> {
    section: &'r Section<'s>,
    cx: &'r mut ParseContext<'p>,
    template: fn(&str) -> Result<Template, TemplateError>,
    is_request: bool,
}

impl Reading<'_, '_, '_> {
    fn refuse(&mut self, at: Range, message: impl Into<String>, hint: impl Into<String>) {
        self.cx.refuse(self.section, at, message, hint);
    }

    fn edits(&mut self, written: &WrittenEdits) -> Edits {
        let remove = written.remove.iter();
        let remove = remove.filter_map(|name| self.removed(name)).collect();
        let default = self.fields(&written.default);
        let set = self.fields(&written.set);
        let append = self.fields(&written.append);
        for (name, at) in twice(&written.set, &written.default) {
            let message = format!("`{name}` is set, so that it has no use for a default");
            self.refuse(at, message, "keep it in one of `set` and `default`");
        }
        let all = default.iter().chain(&set).chain(&append);
        let mut values = all.flat_map(|field| &*field.values);
        let has_variables = values.any(|value| matches!(value, Value::Made(_)));
        Edits {
            remove,
            default,
            set,
            append,
            has_variables,
        }
    }

    fn removed(&mut self, written: &Spanned<String>) -> Option<Removed> {
        let text = written.get_ref();
        if let Some(prefix) = text.strip_suffix('*') {
            if HeaderName::from_bytes(prefix.as_bytes()).is_some() && prefix.len() > 1 {
                return Some(Removed::Prefix(prefix.into()));
            }
            self.refuse(
                written.span(),
                format!("`{text}` is not the start of a header name"),
                "name at least two letters before the `*`: \"X-Debug-*\"",
            );
            return None;
        }
        self.name(text, written.span()).map(Removed::Name)
    }

    fn name(&mut self, text: &str, at: Range) -> Option<HeaderName> {
        let Some(name) = HeaderName::from_bytes(text.as_bytes()) else {
            self.refuse(
                at,
                format!("`{text}` is not a header name"),
                "a header name holds letters, digits and any of !#$%&'*+-.^_`|~",
            );
            return None;
        };
        if FRAMING.contains(&name) {
            let message = format!("`{text}` is written by the server itself");
            self.refuse(at, message, "leave it out");
            return None;
        }
        if self.is_request && name == name::HOST {
            self.refuse(
                at,
                "`Host` has chosen the route already",
                "what an upstream is told is a matter of its route: proxy = { host = … }",
            );
            return None;
        }
        Some(name)
    }

    fn fields(&mut self, written: &WrittenFields) -> Box<[Field]> {
        let mut fields = Vec::new();
        for (key, value) in written.iter().take(FIELDS_MAX) {
            let values = match value.get_ref() {
                toml::Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            let name = self.name(key.get_ref(), key.span());
            let values = values.iter().take(FIELDS_MAX);
            let values = values.filter_map(|one| self.value(one, value.span()));
            let values: Box<[Value]> = values.collect();
            fields.extend(name.map(|name| Field { name, values }));
        }
        if let Some((key, _)) = written.iter().nth(FIELDS_MAX) {
            let message = format!("more than {FIELDS_MAX} headers at once");
            self.refuse(
                key.span(),
                message,
                "browsers and proxies take no more than that",
            );
        }
        fields.into()
    }

    fn value(&mut self, value: &toml::Value, at: Range) -> Option<Value> {
        let toml::Value::String(text) = value else {
            self.refuse(
                at,
                "a value of a header must be a string, or an array of them",
                "numbers stand in quotes too",
            );
            return None;
        };
        if text.is_empty() {
            self.refuse(
                at,
                "an empty value says nothing",
                "to take a header away name it in `remove`",
            );
            return None;
        }
        if let Some(control) = text.bytes().find(|&b| b.is_ascii_control() && b != b'\t') {
            self.refuse(
                at,
                format!("the value of a header cannot hold the byte {control:#04x}"),
                "a header is one line of text",
            );
            return None;
        }
        match (self.template)(text) {
            Ok(template) => {
                let span = self.section.at(at);
                self.cx.captured(&span, &template.captures());
                Some(match template.as_text() {
                    Some(text) => Value::Fixed(text.into()),
                    None => Value::Made(template),
                })
            }
            Err(error) => {
                let words = error.to_string();
                let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                self.refuse(at, message, hint);
                None
            }
        }
    }
}

/// The names that stand in both tables, in any spelling, and where the second one does.
fn twice(one: &WrittenFields, other: &WrittenFields) -> Vec<(String, Range)> {
    let there = |name: &str| {
        let mut names = one.keys();
        names.any(|known| known.get_ref().eq_ignore_ascii_case(name))
    };
    other
        .keys()
        .filter(|key| there(key.get_ref()))
        .map(|key| (key.get_ref().clone(), key.span()))
        .collect()
}
