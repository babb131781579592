//! What a `static` table may say.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::resolve::{Attempt, Site};
use super::{Handler, StaticFiles};
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, Span, keys};
use crate::sys::beneath::{Root, Symlinks};

/// Files of a directory.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "static",
    summary: "Serves the files of a directory",
    example: r#"
root = "."
strip_prefix = "/docs"                # taken from the path before a file is looked for
index = ["index.html"]                # what answers for a directory
try = ["{path}", "{path}.html"]       # what answers for a path: the first there is
fallback = "/index.html"              # what answers if nothing else does
listing = false                       # directories without an index are listed
cache_control = "public, max-age=3600"
dotfiles = false                      # names that start with a dot do not exist
symlinks = "within"                   # followed if they stay in the root; "deny", "follow"
precompressed = ["br", "zst", "gz"]   # siblings sent to who accepts them
etag = true
charset = "utf-8"                     # of text; "" for none
"#,
    keys: keys! {
        "root": "path", "the folder; nothing outside of it is ever served";
        "strip_prefix": "path" = "(nothing)", "taken from the path before a file is looked for";
        "index": "list of names" = r#"["index.html"]"#, "what answers for a folder";
        "try": "list of templates" = r#"["{path}"]"#,
            "what answers for a path: the first that is there";
        "fallback": "path" = "(none: 404)",
            "the file within the root that answers if nothing else does";
        "listing": "true or false" = "false",
            "whether folders without an index are listed, as HTML or JSON";
        "cache_control": "string" = "(no such header)", "the `Cache-Control` of every file";
        "dotfiles": "true or false" = "false", "whether names that begin with a dot exist";
        "symlinks": "word" = r#""within""#,
            "`within` follows links that stay in the root, `deny` none, `follow` all";
        "precompressed": "list of codings" = "[]",
            "`br`, `zst`, `gz`: siblings with these endings, no older than the file, go to who \
             accepts them";
        "etag": "true or false" = "true", "whether files have an `ETag`";
        "charset": "string" = r#""utf-8""#, "the charset of text; an empty one is none";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: Spanned<PathBuf>,
    #[serde(default)]
    strip_prefix: Option<Spanned<String>>,
    #[serde(default = "default_index")]
    index: Vec<Spanned<String>>,
    #[serde(default, rename = "try")]
    attempts: Vec<Spanned<String>>,
    #[serde(default)]
    fallback: Option<Spanned<String>>,
    #[serde(default)]
    listing: bool,
    #[serde(default)]
    cache_control: Option<Spanned<String>>,
    #[serde(default)]
    dotfiles: bool,
    #[serde(default)]
    symlinks: SymlinkPolicy,
    #[serde(default)]
    precompressed: Vec<Coding>,
    #[serde(default = "default_etag")]
    etag: bool,
    #[serde(default)]
    charset: Option<Spanned<String>>,
}

fn default_index() -> Vec<Spanned<String>> {
    vec![Spanned::new(0..0, String::from("index.html"))]
}

const fn default_etag() -> bool {
    true
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SymlinkPolicy {
    Deny,
    #[default]
    Within,
    Follow,
}

/// A content coding that siblings may have, by their extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Coding {
    #[serde(rename = "br")]
    Brotli,
    #[serde(rename = "zst")]
    Zstandard,
    #[serde(rename = "gz")]
    Gzip,
}

impl Coding {
    /// What stands behind the last dot of the sibling.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zst",
            Self::Gzip => "gz",
        }
    }

    /// As `Content-Encoding` calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// How files are sent.
#[derive(Debug, Clone)]
pub(super) struct Presentation {
    pub(super) cache_control: Option<Box<str>>,
    pub(super) charset: Box<str>,
    pub(super) etag: bool,
    /// In the operator's order of preference.
    pub(super) precompressed: Vec<Coding>,
}

/// Read and right.
#[derive(Debug)]
struct StaticSettings {
    root: PathBuf,
    root_span: Span,
    strip_prefix: Box<str>,
    site: Site,
    presentation: Presentation,
    symlinks: Symlinks,
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let mut check = Check {
        section,
        cx,
        good: true,
    };
    let strip_prefix = check.strip_prefix(written.strip_prefix);
    let index = check.all(written.index, "a file name without a slash", |name| {
        !name.is_empty() && !name.contains('/')
    });
    let attempts = check.all(
        written.attempts,
        "a path that starts with \"/\" or \"{path}\"",
        |path| path.starts_with('/') || path.starts_with("{path}"),
    );
    let fallback = check.one(
        written.fallback,
        "a path of a file that starts with \"/\"",
        |path| path.starts_with('/') && !path.ends_with('/'),
    );
    let cache_control = check.one(written.cache_control, "a field value", |value| {
        !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    });
    let charset = check.one(written.charset, "the name of a charset", |name| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte))
    });
    if !check.good {
        return None;
    }
    let attempts = match attempts.as_slice() {
        [] => vec![Attempt::new("{path}")],
        written => written.iter().map(|text| Attempt::new(text)).collect(),
    };
    Some(Box::new(StaticSettings {
        root_span: section.at(written.root.span()),
        root: written.root.into_inner(),
        strip_prefix,
        site: Site {
            index,
            attempts,
            fallback,
            listing: written.listing,
            dotfiles: written.dotfiles,
        },
        presentation: Presentation {
            cache_control,
            charset: charset.unwrap_or_else(|| Box::from("utf-8")),
            etag: written.etag,
            precompressed: written.precompressed,
        },
        symlinks: match written.symlinks {
            SymlinkPolicy::Deny => Symlinks::Deny,
            SymlinkPolicy::Within => Symlinks::Within,
            SymlinkPolicy::Follow => Symlinks::Follow,
        },
    }))
}

/// Looks at values that serde found no fault with.
struct Check<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
    good: bool,
}

impl Check<'_, '_, '_> {
    fn one(
        &mut self,
        value: Option<Spanned<String>>,
        wanted: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Option<Box<str>> {
        let value = value?;
        if !is_good(value.get_ref()) {
            let span = self.section.at(value.span());
            let message = format!("{:?} is not {wanted}", value.get_ref());
            self.cx
                .problems
                .push(Problem::error("E0002", span, message));
            self.good = false;
        }
        Some(value.into_inner().into())
    }

    fn all(
        &mut self,
        values: Vec<Spanned<String>>,
        wanted: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Vec<Box<str>> {
        let values = values.into_iter();
        values
            .filter_map(|value| self.one(Some(value), wanted, &is_good))
            .collect()
    }

    /// Without the slash at its end, so that it ends where a segment does.
    fn strip_prefix(&mut self, value: Option<Spanned<String>>) -> Box<str> {
        let prefix = self.one(value, "a path that starts with \"/\"", |prefix| {
            prefix.starts_with('/')
        });
        prefix.as_deref().unwrap_or("").trim_end_matches('/').into()
    }
}

impl Settings<Handler> for StaticSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let path = cx.path(&self.root);
        let root = Root::open(&path, self.symlinks).map_err(|error| {
            let message = format!("cannot open the root {}: {error}", path.display());
            let problem = Problem::error("E0201", self.root_span.clone(), message);
            Box::new(problem.hint("`root` must be a directory that this process may search"))
        })?;
        Ok(Handler::Static(Box::new(StaticFiles::new(
            Arc::new(root),
            self.strip_prefix.as_bytes().into(),
            self.site.clone(),
            self.presentation.clone(),
        ))))
    }
}
