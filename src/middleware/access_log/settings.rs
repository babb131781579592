//! What an `access_log` table may say.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{AccessLog, Format, Skipped};
use crate::build::{
    BuildContext, Kind, ParseContext, Problem, Section, Settings, SinkTarget, Span, keys,
};
use crate::exchange::{LogTemplate, Middleware};

/// Writes a line for each exchange.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "access_log",
    summary: "Writes a line for each exchange, also for those that were refused or broke",
    example: r#"
format = "json"                   # "common", "combined", or a template:
# format = "{client.ip} {request.method} {request.uri} {response.status} {response.why}"
output = "stdout"                 # "stderr", or the path of a file
skip_paths = ["/health/*"]        # of these nothing is logged
"#,
    keys: keys! {
        "format": "word or template" = r#""json""#,
            "`json`, `common`, `combined`, or a template that names variables";
        "output": "word or path" = r#""stdout""#, "`stdout`, `stderr`, or a file to append to";
        "skip_paths": "list of paths" = "[]",
            "paths of which nothing is logged; `/health/*` is all below `/health`";
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
    skip_paths: Vec<Spanned<String>>,
}

/// Read and right.
#[derive(Debug)]
struct AccessLogSettings {
    format: Format,
    output: Output,
    span: Span,
    skipped: Vec<Skipped>,
}

#[derive(Debug)]
enum Output {
    Stdout,
    Stderr,
    File(PathBuf),
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut report = |span: Span, message: String, hint: String| {
        cx.problems
            .push(Problem::error("E0002", span, message).hint(hint));
    };
    let mut format = Format::Json;
    if let Some(written) = &written.format {
        match parse_format(written.get_ref()) {
            Ok(parsed) => format = parsed,
            Err((message, hint)) => report(section.at(written.span()), message, hint),
        }
    }
    let (output, span) = match &written.output {
        None => (Output::Stdout, section.span()),
        Some(written) => {
            let span = section.at(written.span());
            let output = match written.get_ref().as_str() {
                "stdout" => Output::Stdout,
                "stderr" => Output::Stderr,
                path => {
                    // A word alone is a typing error rather than a file in who knows which folder.
                    if !path.contains(['/', '.']) {
                        report(
                            span.clone(),
                            format!("`{path}` is neither an output nor a path"),
                            "write \"stdout\", \"stderr\" or a path such as \"logs/access.log\""
                                .to_owned(),
                        );
                    }
                    Output::File(path.into())
                }
            };
            (output, span)
        }
    };
    let mut skipped = Vec::new();
    for written in &written.skip_paths {
        match parse_skipped(written.get_ref()) {
            Some(path) => skipped.push(path),
            None => report(
                section.at(written.span()),
                format!("`{}` is not a path to skip", written.get_ref()),
                "write a path, \"/health\", or all below one, \"/health/*\"".to_owned(),
            ),
        }
    }
    (cx.problems.len() == before).then(|| {
        Box::new(AccessLogSettings {
            format,
            output,
            span,
            skipped,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

fn parse_format(text: &str) -> Result<Format, (String, String)> {
    match text {
        "common" => Ok(Format::Common),
        "combined" => Ok(Format::Combined),
        "json" => Ok(Format::Json),
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

fn parse_skipped(text: &str) -> Option<Skipped> {
    let (path, below) = match text.strip_suffix("/*") {
        Some(path) => (path, true),
        None => (text, false),
    };
    let good = (path.starts_with('/') || (below && path.is_empty())) && !path.contains('*');
    good.then(|| Skipped {
        path: path.as_bytes().into(),
        below,
    })
}

impl Settings<Box<dyn Middleware>> for AccessLogSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let target = match &self.output {
            Output::Stdout => SinkTarget::Stdout,
            Output::Stderr => SinkTarget::Stderr,
            Output::File(path) => SinkTarget::File(cx.path(path)),
        };
        let sink = cx.sinks.open(&target).map_err(|error| {
            let message = match &target {
                SinkTarget::File(path) => format!("cannot open {}: {error}", path.display()),
                SinkTarget::Stdout | SinkTarget::Stderr => format!("cannot log: {error}"),
            };
            Box::new(Problem::error("E0201", self.span.clone(), message))
        })?;
        Ok(Box::new(AccessLog {
            format: self.format.clone(),
            sink,
            skipped: self.skipped.clone().into(),
        }))
    }
}
