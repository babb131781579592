//! What an `access_log` table may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::format::Format;
use super::json::{Field, Shape, TAKEN};
use super::listed::Listed;
use super::output::Output;
use super::redact::{HEADERS, Redaction};
use super::{AccessLog, Sample};
use crate::build::context::nearest;
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Percent, Problem, Rotation, Section, Settings,
    keys,
};
use crate::exchange::{Escape, LogTemplate, Middleware, Template};
use crate::http::HeaderName;
use crate::middleware::paths::Paths;

/// Writes a line for each exchange.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "access_log",
    summary: "Writes a line for each exchange, also for those that were refused or broke",
    example: r#"
format = "json"                   # "common", "combined", or a template:
# format = "{client.ip} {request.method} {request.uri} {response.status} {response.why}"
output = "stdout"                 # "stderr", or the path of a file
# rotation = { size = "100MB", keep = 7 } # of a file; or "daily", "hourly"
skip_paths = ["/health/*"]        # of these nothing is logged
omit = ["listener", "generation"] # without these fields
# fields = ["time", "uri", "status"] # or only these
add = { service = "shop", tenant = "{header.x-tenant}" }
request_headers = ["X-Tenant"]    # or ["*"]
response_headers = ["Content-Type"]
redact_headers = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"]
redact_query = ["token"]          # wherever a URI is logged
redact_cookies = ["session"]
sample = "10%"                    # of what goes well and fast; every line says so
errors_from = 400                 # from this status on all are logged, and all that broke off
slow = "1s"                       # and all that took longer
"#,
    keys: keys! {
        "format": "word or template" = r#""json""#,
            "`json`, `common`, `combined`, or a template that names variables";
        "output": "word or path" = r#""stdout""#, "`stdout`, `stderr`, or a file to append to";
        "rotation": "word or table" = r#""never""#,
            "of a file: `daily`, `hourly`, `never`, `{ when = \"daily\", keep = 14 }` or \
             `{ size = \"100MB\", keep = 7 }`";
        "skip_paths": "list of paths" = "[]",
            "paths of which nothing is logged; `/health/*` is all below `/health`";
        "fields": "list of fields" = "(all)", "the only fields of a line in JSON";
        "omit": "list of fields" = "[]", "fields that a line in JSON does not have";
        "add": "table of templates" = "{}", "fields of one's own for a line in JSON, by name";
        "request_headers": "list of header names" = "[]",
            "fields of the request for a line in JSON; `*` is all of them";
        "response_headers": "list of header names" = "[]",
            "fields of the response for a line in JSON; `*` is all of them";
        "redact_headers": "list of header names"
            = r#"["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"]"#,
            "fields whose values are never logged";
        "redact_query": "list of names" = "[]",
            "parameters whose values are never logged, wherever a URI is";
        "redact_cookies": "list of names" = "[]", "cookies whose values are never logged";
        "sample": "percentage" = "(all)",
            "how many exchanges are logged of those that go well and fast";
        "errors_from": "status" = "(400)",
            "with `sample`: from this status on every exchange is logged, and all that broke off";
        "slow": "duration" = "(none)",
            "with `sample`: every exchange that takes longer is logged";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    format: Option<Spanned<String>>,
    #[serde(default)]
    output: Option<Spanned<String>>,
    #[serde(default)]
    rotation: Option<Spanned<Rotation>>,
    #[serde(default)]
    skip_paths: Vec<Spanned<String>>,
    #[serde(default)]
    fields: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    omit: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    add: Option<Spanned<BTreeMap<Spanned<String>, LogTemplate>>>,
    #[serde(default)]
    request_headers: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    response_headers: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default = "default_redact_headers")]
    redact_headers: Vec<HeaderName>,
    #[serde(default)]
    redact_query: Vec<Box<str>>,
    #[serde(default)]
    redact_cookies: Vec<Box<str>>,
    #[serde(default)]
    sample: Option<Percent>,
    #[serde(default)]
    errors_from: Option<Spanned<u16>>,
    #[serde(default)]
    slow: Option<Spanned<HumanDuration>>,
}

/// What proves who someone is. It has no place in a file that many read.
fn default_redact_headers() -> Vec<HeaderName> {
    HEADERS.to_vec()
}

/// Below this a status is no error (RFC 9110 §15).
const ERRORS_FROM: u16 = 400;

/// Read and right.
#[derive(Debug)]
struct AccessLogSettings {
    format: Format,
    output: Output,
    skipped: Paths,
    redaction: Redaction,
    sample: Option<Sample>,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let format = check.format(&written);
    let output = match Output::parse(section, written.output.as_ref(), written.rotation.as_ref()) {
        Ok(output) => Some(output),
        Err(problem) => {
            check.cx.problems.push(*problem);
            None
        }
    };
    let skipped = Paths::read(&written.skip_paths, section, check.cx);
    let sample = check.sample(&written);
    let good = cx.problems.len() == before;
    let settings = AccessLogSettings {
        format: format?,
        output: output?,
        skipped,
        redaction: Redaction {
            headers: written.redact_headers.into(),
            query: written.redact_query.into(),
            cookies: written.redact_cookies.into(),
        },
        sample,
    };
    good.then(|| Box::new(settings) as Box<dyn Settings<Box<dyn Middleware>>>)
}

struct Check<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Check<'_, '_, '_> {
    fn report(
        &mut self,
        range: std::ops::Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.cx.refuse(self.section, range, message, hint);
    }

    fn format(&mut self, written: &Written) -> Option<Format> {
        let format = match &written.format {
            None => Format::Json(Box::new(Shape::all())),
            Some(text) => match parse_format(text.get_ref()) {
                Ok(format) => format,
                Err((message, hint)) => {
                    self.report(text.span(), message, hint);
                    return None;
                }
            },
        };
        match format {
            Format::Json(_) => Some(Format::Json(Box::new(self.shape(written)))),
            format => {
                let places = [
                    ("fields", written.fields.as_ref().map(Spanned::span)),
                    ("omit", written.omit.as_ref().map(Spanned::span)),
                    ("add", written.add.as_ref().map(Spanned::span)),
                    (
                        "request_headers",
                        written.request_headers.as_ref().map(Spanned::span),
                    ),
                    (
                        "response_headers",
                        written.response_headers.as_ref().map(Spanned::span),
                    ),
                ];
                for (key, place) in places {
                    if let Some(place) = place {
                        let message = format!("`{key}` is about fields, which only JSON has");
                        let hint = "write `format = \"json\"`, or name what you want in a template";
                        self.report(place, message, hint);
                    }
                }
                Some(format)
            }
        }
    }

    fn shape(&mut self, written: &Written) -> Shape {
        let mut shape = if written.fields.is_some() {
            Shape::none()
        } else {
            Shape::all()
        };
        if let (Some(_), Some(omit)) = (&written.fields, &written.omit) {
            self.report(
                omit.span(),
                "`fields` names all there shall be, so there is nothing to omit",
                "write one of `fields` and `omit`",
            );
        }
        for (list, added) in [(&written.fields, true), (&written.omit, false)] {
            for name in list.iter().flat_map(Spanned::get_ref) {
                match self.field(name) {
                    Some(field) if added => shape.add(field),
                    Some(field) => shape.remove(field),
                    None => {}
                }
            }
        }
        shape.own = self.own(written);
        shape.request_headers = self.listed(written.request_headers.as_ref());
        shape.response_headers = self.listed(written.response_headers.as_ref());
        shape
    }

    fn field(&mut self, name: &Spanned<String>) -> Option<Field> {
        let wanted = name.get_ref().as_str();
        let found = Field::ALL.iter().find(|(known, _)| *known == wanted);
        if found.is_none() {
            let known = || Field::ALL.iter().map(|(known, _)| *known);
            let hint = match nearest(wanted, known()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
            };
            self.report(name.span(), format!("no line has a field `{wanted}`"), hint);
        }
        found.map(|(_, field)| *field)
    }

    fn own(&mut self, written: &Written) -> Box<[(Box<[u8]>, LogTemplate)]> {
        let mut own = Vec::new();
        for (name, template) in written.add.iter().flat_map(Spanned::get_ref) {
            let text = name.get_ref().as_str();
            let mut known = Field::ALL.iter().map(|(known, _)| *known).chain(TAKEN);
            if text.is_empty() || known.any(|known| known == text) {
                self.report(
                    name.span(),
                    format!("a field of one's own cannot be called `{text}`"),
                    "give it a name that the log does not use itself",
                );
                continue;
            }
            let mut escaped = Template::default();
            escaped.push(template.0.clone(), Escape::Json);
            own.push((Shape::prefix(text), LogTemplate(escaped)));
        }
        own.into()
    }

    fn listed(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Listed {
        let mut names = Vec::new();
        for name in written.into_iter().flat_map(Spanned::get_ref) {
            if name.get_ref() == "*" {
                return Listed::All;
            }
            match HeaderName::from_bytes(name.get_ref().as_bytes()) {
                Some(name) => names.push(name),
                None => self.report(
                    name.span(),
                    format!("`{}` cannot be the name of a field", name.get_ref()),
                    "names have letters, digits and `-`; \"*\" is every field",
                ),
            }
        }
        if names.is_empty() {
            Listed::None
        } else {
            Listed::Named(names.into())
        }
    }

    fn sample(&mut self, written: &Written) -> Option<Sample> {
        let Some(part) = written.sample else {
            for (key, place) in [
                (
                    "errors_from",
                    written.errors_from.as_ref().map(Spanned::span),
                ),
                ("slow", written.slow.as_ref().map(Spanned::span)),
            ] {
                if let Some(place) = place {
                    let message = format!("`{key}` says nothing without `sample`");
                    let hint = "without it every exchange is logged: take it out, or say which \
                                part of the others to log: `sample = \"10%\"`";
                    self.report(place, message, hint);
                }
            }
            return None;
        };
        let errors_from = match &written.errors_from {
            None => ERRORS_FROM,
            Some(status) => {
                if !(ERRORS_FROM..=599).contains(status.get_ref()) {
                    self.report(
                        status.span(),
                        format!("{} is not the status of an error", status.get_ref()),
                        "errors have a status from 400 to 599",
                    );
                }
                *status.get_ref()
            }
        };
        Some(Sample {
            part,
            errors_from,
            slow: written.slow.as_ref().map(|slow| slow.get_ref().0),
            mark: format!(",\"sample\":\"{part}\"").into_bytes().into(),
        })
    }
}

fn parse_format(text: &str) -> Result<Format, (String, String)> {
    match text {
        "common" => Ok(Format::Common),
        "combined" => Ok(Format::Combined),
        "json" => Ok(Format::Json(Box::new(Shape::all()))),
        template if template.contains('{') => match template.parse::<LogTemplate>() {
            Ok(_) if template.contains(['\n', '\r']) => Err((
                "a line of the log cannot hold a line break".to_owned(),
                "leave it out; each line is ended by one anyway".to_owned(),
            )),
            Ok(template) => Ok(Format::Template(template)),
            Err(error) => {
                let words = error.to_string();
                let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                Err((message.to_owned(), hint.to_owned()))
            }
        },
        other => Err((
            format!("there is no format `{other}`"),
            "there are \"json\", \"common\" and \"combined\"; a template names variables in \
             braces: \"{client.ip} {request.uri} {response.status}\""
                .to_owned(),
        )),
    }
}

impl Settings<Box<dyn Middleware>> for AccessLogSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(AccessLog {
            format: self.format.clone(),
            sink: self.output.open(cx)?,
            skipped: self.skipped.clone(),
            redaction: self.redaction.clone(),
            sample: self.sample.clone(),
        }))
    }
}
