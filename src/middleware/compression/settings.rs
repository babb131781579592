//! What a `compression` table may say.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Compression;
use super::coding::{Coding, Levels};
use super::results::Results;
use crate::build::{BuildContext, ByteSize, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::Middleware;

/// Compresses content.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "compression",
    summary: "Compresses content with zstd, brotli or gzip for clients that take it",
    example: r#"
codings = ["zstd", "br", "gzip"]              # what is preferred first; also "deflate"
level = 6                                     # of gzip: 1, the fastest, to 9, the smallest
brotli_level = 4                              # 1 to 6
zstd_level = 3                                # 1 to 9
min_size = "1KiB"                             # what is shorter is sent as it is
types = ["text/html", "application/json"]     # instead of the usual text types
keep = "16MiB"                                # results that are kept; "0B" for none
"#,
    keys: keys! {
        "codings": "list of codings" = r#"["zstd", "br", "gzip", "deflate"]"#,
            "what is offered; of what a client wants equally, what stands first is used";
        "level": "number" = "6", "of gzip and deflate: 1, the fastest, to 9, the smallest";
        "brotli_level": "number" = "4", "1 to 6; files that shall be smaller are compressed before";
        "zstd_level": "number" = "3", "1 to 9";
        "min_size": "size" = r#""1KiB""#, "content shorter than this is sent as it is";
        "types": "list of media types" = "(text, JSON, XML, SVG, scripts, fonts, wasm)",
            "what is compressed; instead of the usual types, not beside them";
        "keep": "size" = r#""16MiB""#,
            "how much of what was compressed is kept, of content that has a strong `ETag`";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    codings: Option<Spanned<Vec<Spanned<String>>>>,
    /// Where most of what can be saved is saved, at a third of the time of 9.
    #[serde(default)]
    level: Option<Spanned<i64>>,
    #[serde(default)]
    brotli_level: Option<Spanned<i64>>,
    #[serde(default)]
    zstd_level: Option<Spanned<i64>>,
    /// What is shorter fits a packet or two either way.
    #[serde(default = "default_min_size")]
    min_size: ByteSize,
    #[serde(default)]
    types: Option<Vec<Spanned<String>>>,
    /// The text of a site, compressed, many times over.
    #[serde(default = "default_keep")]
    keep: ByteSize,
}

const fn default_min_size() -> ByteSize {
    ByteSize(1024)
}

const fn default_keep() -> ByteSize {
    ByteSize(16 << 20)
}

/// As each project advises for content that is made while somebody waits.
const LEVELS: Levels = Levels {
    zlib: 6,
    brotli: 4,
    zstd: 3,
};

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
    codings: Vec<Coding>,
    levels: Levels,
    min_size: u64,
    types: Vec<Box<str>>,
    keep: u64,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let levels = Levels {
        zlib: check.level(written.level.as_ref(), LEVELS.zlib, 1..=9),
        // More takes ten times as long: see `Coding::is_slow`.
        brotli: check.level(written.brotli_level.as_ref(), LEVELS.brotli, 1..=6),
        zstd: check.level(written.zstd_level.as_ref(), LEVELS.zstd, 1..=9),
    };
    let codings = check.codings(written.codings.as_ref());
    let types = check.types(written.types.as_deref());
    (cx.problems.len() == before).then(|| {
        Box::new(CompressionSettings {
            codings,
            levels,
            min_size: written.min_size.0,
            types,
            keep: written.keep.0,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

struct Check<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Check<'_, '_, '_> {
    fn report(&mut self, range: std::ops::Range<usize>, message: String, hint: &str) {
        self.cx.refuse(self.section, range, message, hint);
    }

    fn level(
        &mut self,
        written: Option<&Spanned<i64>>,
        default: u8,
        levels: RangeInclusive<u8>,
    ) -> u8 {
        let Some(written) = written else {
            return default;
        };
        let level = u8::try_from(*written.get_ref());
        match level {
            Ok(level) if levels.contains(&level) => level,
            Ok(_) | Err(_) => {
                let (first, last) = (levels.start(), levels.end());
                self.report(
                    written.span(),
                    format!("there is no level {}", written.get_ref()),
                    &format!("levels are {first}, the fastest, to {last}, the smallest"),
                );
                default
            }
        }
    }

    fn codings(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<Coding> {
        let Some(written) = written else {
            return Coding::ALL.to_vec();
        };
        let mut codings = Vec::new();
        for name in written.get_ref() {
            match Coding::named(name.get_ref()) {
                None => self.report(
                    name.span(),
                    format!("there is no coding `{}`", name.get_ref()),
                    "the codings are \"zstd\", \"br\", \"gzip\" and \"deflate\"",
                ),
                Some(coding) if codings.contains(&coding) => self.report(
                    name.span(),
                    format!("`{}` is listed twice", name.get_ref()),
                    "name each coding once; what stands first is preferred",
                ),
                Some(coding) => codings.push(coding),
            }
        }
        if written.get_ref().is_empty() {
            self.report(
                written.span(),
                "nothing is compressed without a coding".to_owned(),
                "leave the middleware out of the chain where nothing shall be compressed",
            );
        }
        codings
    }

    fn types(&mut self, written: Option<&[Spanned<String>]>) -> Vec<Box<str>> {
        let Some(written) = written else {
            return TYPES.map(Box::from).to_vec();
        };
        let mut types = Vec::new();
        for media_type in written {
            let text = media_type.get_ref().to_ascii_lowercase();
            let good = |part: &str| {
                let is_word = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
                !part.is_empty() && part.bytes().all(is_word)
            };
            if text
                .split_once('/')
                .is_some_and(|(kind, rest)| good(kind) && good(rest))
            {
                types.push(text.into());
            } else {
                self.report(
                    media_type.span(),
                    format!("`{}` is not a media type", media_type.get_ref()),
                    "write each type in full and without parameters: \"text/html\"",
                );
            }
        }
        types
    }
}

impl Settings<Box<dyn Middleware>> for CompressionSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        // What is kept can be made again, so that another size simply begins anew.
        let name = format!("{} {}", cx.name, self.keep);
        let results = cx.carry_over.keep(&name, || Results::new(self.keep));
        let names = self.codings.iter().map(|coding| coding.name());
        Ok(Box::new(Compression {
            names: names.collect(),
            codings: self.codings.clone().into(),
            levels: self.levels,
            results: (self.keep > 0).then_some(results as Arc<Results>),
            min_size: self.min_size,
            types: self.types.clone().into(),
        }))
    }
}
