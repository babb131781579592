//! What a `compression` table may say.

use serde::Deserialize;
use toml::Spanned;

use super::Compression;
use crate::build::{BuildContext, ByteSize, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::Middleware;

/// Compresses content.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "compression",
    summary: "Compresses content with gzip for clients that take it",
    example: r#"
level = 6                                     # 1, the fastest, to 9, the smallest
min_size = "1KiB"                             # what is shorter is sent as it is
types = ["text/html", "application/json"]     # instead of the usual text types
"#,
    keys: keys! {
        "level": "number" = "6", "1, the fastest, to 9, the smallest";
        "min_size": "size" = r#""1KiB""#, "content shorter than this is sent as it is";
        "types": "list of media types" = "(text, JSON, XML, SVG, scripts, fonts, wasm)",
            "what is compressed; instead of the usual types, not beside them";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where most of what can be saved is saved, at a third of the time of 9.
    #[serde(default)]
    level: Option<Spanned<i64>>,
    /// What is shorter fits a packet or two either way.
    #[serde(default = "default_min_size")]
    min_size: ByteSize,
    #[serde(default)]
    types: Option<Vec<Spanned<String>>>,
}

const fn default_min_size() -> ByteSize {
    ByteSize(1024)
}

const LEVEL: u8 = 6;

/// What is text, and not compressed by itself already.
const TYPES: [&str; 21] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/rss+xml",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/markdown",
    "text/plain",
    "text/xml",
];

/// Read and right.
#[derive(Debug)]
struct CompressionSettings {
    level: u8,
    min_size: u64,
    types: Vec<Box<str>>,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut report = |range, message: String, hint: &str| {
        let problem = Problem::error("E0002", section.at(range), message);
        cx.problems.push(problem.hint(hint));
    };
    let mut level = LEVEL;
    if let Some(written) = &written.level {
        match u8::try_from(*written.get_ref()) {
            Ok(good @ 1..=9) => level = good,
            Ok(_) | Err(_) => report(
                written.span(),
                format!("there is no level {}", written.get_ref()),
                "levels are 1, the fastest, to 9, the smallest",
            ),
        }
    }
    let mut types: Vec<Box<str>> = TYPES.map(Box::from).to_vec();
    if let Some(written) = &written.types {
        types.clear();
        for media_type in written {
            let text = media_type.get_ref().to_ascii_lowercase();
            let is_type = text.split_once('/').is_some_and(|(kind, rest)| {
                let good = |part: &str| {
                    !part.is_empty()
                        && part
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
                };
                good(kind) && good(rest)
            });
            if is_type {
                types.push(text.into());
            } else {
                report(
                    media_type.span(),
                    format!("`{}` is not a media type", media_type.get_ref()),
                    "write each type in full and without parameters: \"text/html\"",
                );
            }
        }
    }
    (cx.problems.len() == before).then(|| {
        Box::new(CompressionSettings {
            level,
            min_size: written.min_size.0,
            types,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for CompressionSettings {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(Compression {
            level: self.level,
            min_size: self.min_size,
            types: self.types.clone().into(),
        }))
    }
}
