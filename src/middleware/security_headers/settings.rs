//! What a `security_headers` table may say.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

use super::SecurityHeaders;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::Middleware;
use crate::http::{HeaderName, name};

/// Tells browsers to protect who visits.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "security_headers",
    summary: "Tells browsers to protect who visits: a preset, each part of which can be another",
    example: r#"
hsts = "max-age=63072000; includeSubDomains"     # over https only; false sends none
content_type_options = "nosniff"
frame_options = "DENY"
referrer_policy = "strict-origin-when-cross-origin"
permissions_policy = "camera=(), geolocation=(self)"
content_security_policy = "default-src 'self'; img-src *"
# content_security_policy_report_only = "default-src 'self'; report-to csp"
cross_origin_opener_policy = false               # any part can be turned off
# cross_origin_resource_policy = "same-site"
remove = ["X-Powered-By", "X-AspNet-Version"]    # what tells what runs behind
overwrite = false                                # what the handler sends itself is kept
"#,
    keys: keys! {
        "hsts": "string or false" = r#""max-age=31536000""#,
            "`Strict-Transport-Security`, over https only; subdomains may be someone else's";
        "content_type_options": "string or false" = r#""nosniff""#, "`X-Content-Type-Options`";
        "frame_options": "string or false" = r#""SAMEORIGIN""#,
            "`X-Frame-Options`: who may show this in a frame";
        "referrer_policy": "string or false" = r#""strict-origin-when-cross-origin""#,
            "`Referrer-Policy`: what other sites learn of where a visitor came from";
        "permissions_policy": "string or false"
            = r#""camera=(), microphone=(), geolocation=(), payment=(), usb=()""#,
            "`Permissions-Policy`: what pages may not ask for";
        "content_security_policy": "string or false"
            = r#""base-uri 'self'; object-src 'none'; frame-ancestors 'self'""#,
            "`Content-Security-Policy`; the default breaks no page that is not broken into";
        "content_security_policy_report_only": "string or false" = "false",
            "`Content-Security-Policy-Report-Only`: to try one out";
        "cross_origin_opener_policy": "string or false" = r#""same-origin-allow-popups""#,
            "`Cross-Origin-Opener-Policy`";
        "cross_origin_resource_policy": "string or false" = "false",
            "`Cross-Origin-Resource-Policy`; off, because other sites may show your images";
        "remove": "list of header names" = r#"["X-Powered-By"]"#,
            "taken from the response: they tell what runs behind";
        "overwrite": "true or false" = "false",
            "whether these replace what the handler sends itself";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    hsts: Option<Spanned<Part>>,
    #[serde(default)]
    content_type_options: Option<Spanned<Part>>,
    #[serde(default)]
    frame_options: Option<Spanned<Part>>,
    #[serde(default)]
    referrer_policy: Option<Spanned<Part>>,
    #[serde(default)]
    permissions_policy: Option<Spanned<Part>>,
    #[serde(default)]
    content_security_policy: Option<Spanned<Part>>,
    #[serde(default)]
    content_security_policy_report_only: Option<Spanned<Part>>,
    #[serde(default)]
    cross_origin_opener_policy: Option<Spanned<Part>>,
    #[serde(default)]
    cross_origin_resource_policy: Option<Spanned<Part>>,
    #[serde(default)]
    remove: Option<Vec<HeaderName>>,
    #[serde(default)]
    overwrite: bool,
}

/// The value of a part; `None` for no such header.
#[derive(Debug, Clone)]
struct Part(Option<String>);

/// A year: what browsers ask for before they take a site for one that means it.
const HSTS: &str = "max-age=31536000";
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";
/// Forbids what only an attacker adds to a page: a base elsewhere, plug-ins, foreign frames.
const CONTENT: &str = "base-uri 'self'; object-src 'none'; frame-ancestors 'self'";

const FRAME_OPTIONS: &[&str] = &["DENY", "SAMEORIGIN"];
const REFERRER_POLICIES: &[&str] = &[
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];
const OPENER_POLICIES: &[&str] = &[
    "noopener-allow-popups",
    "same-origin",
    "same-origin-allow-popups",
    "unsafe-none",
];
const RESOURCE_POLICIES: &[&str] = &["cross-origin", "same-origin", "same-site"];

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let mut reading = Reading { section, cx };
    let hsts = reading.part(written.hsts.as_ref(), Some(HSTS), hsts);
    let parts = reading.parts(&written);
    let remove = written.remove.unwrap_or_else(|| vec![name::X_POWERED_BY]);
    (cx.problems.len() == before).then(|| {
        Box::new(SecurityHeaders {
            hsts,
            parts,
            remove: remove.into(),
            overwrite: written.overwrite,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for SecurityHeaders {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

/// Why a value is none, and the way out.
type Mistake = (String, String);

type Check = fn(&str) -> Result<(), Mistake>;

/// A header, what was written for it, its default, and what its value must be.
type Row<'w> = (
    HeaderName,
    &'w Option<Spanned<Part>>,
    Option<&'static str>,
    Check,
);

struct Reading<'r, 's, 'p> {
    section: &'r Section<'s>,
    cx: &'r mut ParseContext<'p>,
}

impl Reading<'_, '_, '_> {
    /// All that are sent whatever the scheme.
    fn parts(&mut self, w: &Written) -> Box<[(HeaderName, Box<str>)]> {
        let all: [Row<'_>; 8] = [
            (
                name::X_CONTENT_TYPE_OPTIONS,
                &w.content_type_options,
                Some("nosniff"),
                |text| one_of(text, &["nosniff"]),
            ),
            (
                name::X_FRAME_OPTIONS,
                &w.frame_options,
                Some("SAMEORIGIN"),
                |text| one_of(text, FRAME_OPTIONS),
            ),
            (
                name::REFERRER_POLICY,
                &w.referrer_policy,
                Some("strict-origin-when-cross-origin"),
                referrer,
            ),
            (
                name::PERMISSIONS_POLICY,
                &w.permissions_policy,
                Some(PERMISSIONS),
                |_| Ok(()),
            ),
            (
                name::CONTENT_SECURITY_POLICY,
                &w.content_security_policy,
                Some(CONTENT),
                csp,
            ),
            (
                name::CONTENT_SECURITY_POLICY_REPORT_ONLY,
                &w.content_security_policy_report_only,
                None,
                csp,
            ),
            (
                name::CROSS_ORIGIN_OPENER_POLICY,
                &w.cross_origin_opener_policy,
                Some("same-origin-allow-popups"),
                |text| one_of(text, OPENER_POLICIES),
            ),
            (
                name::CROSS_ORIGIN_RESOURCE_POLICY,
                &w.cross_origin_resource_policy,
                None,
                |text| one_of(text, RESOURCE_POLICIES),
            ),
        ];
        let values = all
            .into_iter()
            .filter_map(|(name, written, default, check)| {
                let value = self.part(written.as_ref(), default, check)?;
                Some((name, value))
            });
        values.collect()
    }

    fn part(
        &mut self,
        written: Option<&Spanned<Part>>,
        default: Option<&str>,
        check: Check,
    ) -> Option<Box<str>> {
        let Some(written) = written else {
            return default.map(Box::from);
        };
        let text = written.get_ref().0.as_deref()?;
        if let Err((message, hint)) = check(text) {
            self.cx.refuse(self.section, written.span(), message, hint);
        }
        Some(text.into())
    }
}

fn one_of(text: &str, words: &[&str]) -> Result<(), Mistake> {
    if words.contains(&text) {
        return Ok(());
    }
    Err((
        format!("browsers know no `{text}` here"),
        format!("they know {}", words.join(", ")),
    ))
}

/// A list is good: of several policies a browser takes the last one it knows.
fn referrer(text: &str) -> Result<(), Mistake> {
    text.split(',')
        .try_for_each(|policy| one_of(policy.trim(), REFERRER_POLICIES))
}

/// RFC 6797 §6.1, and what the preload list of browsers asks for.
fn hsts(text: &str) -> Result<(), Mistake> {
    let directives = text.split(';').map(str::trim);
    let directives: Vec<String> = directives.map(str::to_ascii_lowercase).collect();
    let has = |name: &str| directives.iter().any(|directive| directive == name);
    let age = directives
        .iter()
        .find_map(|directive| directive.strip_prefix("max-age="));
    let age = age.and_then(|age| age.trim_matches('"').parse::<u64>().ok());
    let Some(age) = age else {
        return Err((
            "`Strict-Transport-Security` without a max-age does nothing".to_owned(),
            "write it like \"max-age=31536000\", in seconds".to_owned(),
        ));
    };
    if has("preload") && (!has("includesubdomains") || age < 31_536_000) {
        return Err((
            "browsers preload only what holds for a year and for all subdomains".to_owned(),
            "write \"max-age=31536000; includeSubDomains; preload\"".to_owned(),
        ));
    }
    Ok(())
}

/// Directives are separated by semicolons; a colon or a comma there is a common slip.
fn csp(text: &str) -> Result<(), Mistake> {
    let mut directives = text.split(';').map(str::trim).filter(|one| !one.is_empty());
    let bad = directives.find(|directive| {
        let name = directive.split(' ').next().unwrap_or_default();
        !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    });
    match bad {
        None => Ok(()),
        Some(bad) => Err((
            format!("`{bad}` is no directive of a content security policy"),
            "write it like \"default-src 'self'; img-src *\"".to_owned(),
        )),
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Part;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Part, E> {
                let visible = |byte: u8| matches!(byte, b' '..=b'~');
                if text.trim().is_empty() || !text.bytes().all(visible) {
                    return Err(E::custom(
                        "a header holds visible ASCII and cannot be empty\n\
                         write false for no such header",
                    ));
                }
                Ok(Part(Some(text.trim().to_owned())))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<Part, E> {
                if truth {
                    return Err(E::custom("true says nothing\nleave it out for the default"));
                }
                Ok(Part(None))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
