//! What a `cors` table may say.

use serde::Deserialize;
use toml::Spanned;

use super::origins::{OriginPattern, Origins};
use super::{Cors, Granted};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Regex, Section, Settings, keys,
};
use crate::exchange::Middleware;
use crate::http::{HeaderName, Method};

/// Tells browsers which pages of other origins may use what is here.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "cors",
    summary: "Lets pages of other origins use what is here",
    example: r#"
allow_origins = ["https://example.com", "https://*.example.com"]   # or ["*"], the default
allow_origin_regex = ['https://pr-[0-9]+\.example\.dev']           # of the whole origin
allow_methods = ["GET", "POST"]                                    # or ["*"]
allow_headers = ["Content-Type", "Authorization"]                  # or ["*"]
expose_headers = ["X-Request-ID"]
allow_credentials = true
max_age = "24h"
"#,
    keys: keys! {
        "allow_origins": "list of origins" = r#"["*"]"#,
            "whose pages may use what is here; `https://*.example.com` is every host below";
        "allow_origin_regex": "list of expressions" = "[]",
            "origins by regular expression, of the whole origin";
        "allow_methods": "list of methods"
            = r#"["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]"#,
            "what a preflight grants; `*` is whatever is asked for";
        "allow_headers": "list of header names"
            = r#"["Content-Type", "Authorization", "X-Requested-With"]"#,
            "request fields that a preflight grants; `*` is whatever is asked for";
        "expose_headers": "list of header names" = "[]", "response fields that pages may read";
        "allow_credentials": "true or false" = "false",
            "whether cookies and the like go along; needs origins that are listed";
        "max_age": "duration" = r#""24h""#,
            "how long a browser may remember the answer to a preflight";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    allow_origins: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    allow_origin_regex: Vec<Spanned<String>>,
    #[serde(default)]
    allow_methods: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    allow_headers: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    expose_headers: Vec<HeaderName>,
    #[serde(default)]
    allow_credentials: Option<Spanned<bool>>,
    /// A day, the longest that any browser keeps it.
    #[serde(default = "default_max_age")]
    max_age: HumanDuration,
}

const fn default_max_age() -> HumanDuration {
    HumanDuration::seconds(86_400)
}

/// What is granted where nothing is said: what interfaces over HTTP are made of.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const HEADERS: [&str; 3] = ["Content-Type", "Authorization", "X-Requested-With"];

/// Read and right.
#[derive(Debug)]
struct CorsSettings {
    origins: Origins,
    methods: Option<String>,
    headers: Option<String>,
    expose: String,
    credentials: bool,
    max_age: u64,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let credentials = written
        .allow_credentials
        .as_ref()
        .is_some_and(|credentials| *credentials.get_ref());
    let origins = check.origins(&written, credentials);
    let methods = check.list(written.allow_methods.as_deref(), &METHODS, |text| {
        let upper = text.to_ascii_uppercase();
        match Method::from_bytes(text.as_bytes()) {
            Some(Method::Extension(_)) if METHODS.contains(&upper.as_str()) => Err((
                format!("`{text}` is not a method: methods are written in capitals"),
                "write it like \"GET\"",
            )),
            Some(_) => Ok(()),
            None => Err((format!("`{text}` is not a method"), "write it like \"GET\"")),
        }
    });
    let headers = check.list(written.allow_headers.as_deref(), &HEADERS, |text| {
        let name = HeaderName::from_bytes(text.as_bytes());
        name.map(|_| ()).ok_or_else(|| {
            (
                format!("`{text}` is not the name of a field"),
                "names have letters, digits and `-`",
            )
        })
    });
    let expose: Vec<&str> = written
        .expose_headers
        .iter()
        .map(HeaderName::as_str)
        .collect();
    (cx.problems.len() == before).then(|| {
        Box::new(CorsSettings {
            origins,
            methods,
            headers,
            expose: expose.join(", "),
            credentials,
            max_age: written.max_age.0.as_secs(),
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

    fn origins(&mut self, written: &Written, credentials: bool) -> Origins {
        let mut expressions = Vec::new();
        for expression in &written.allow_origin_regex {
            // Part of an origin proves nothing: `https://example.com.evil.example`.
            let whole = format!("^(?:{})$", expression.get_ref());
            match whole.parse::<Regex>() {
                Ok(regex) => expressions.push(regex),
                Err(error) => {
                    let words = error.to_string();
                    let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                    self.report(expression.span(), message.to_owned(), hint);
                }
            }
        }
        let listed = written.allow_origins.as_ref();
        let mut patterns = Vec::new();
        let mut any = listed.is_none() && expressions.is_empty();
        for origin in listed.into_iter().flat_map(Spanned::get_ref) {
            if origin.get_ref() == "*" {
                any = true;
                continue;
            }
            match OriginPattern::parse(origin.get_ref()) {
                Ok(pattern) => patterns.push(pattern),
                Err((message, hint)) => self.report(origin.span(), message, hint),
            }
        }
        if any && credentials {
            let range = match (&written.allow_credentials, listed) {
                (_, Some(listed)) => listed.span(),
                (Some(credentials), None) => credentials.span(),
                (None, None) => self.section.span().range,
            };
            self.report(
                range,
                "every origin is allowed, and with credentials: every page could act as its \
                 visitor here"
                    .to_owned(),
                "list the origins in `allow_origins`, or leave `allow_credentials` out",
            );
        }
        if any {
            Origins::Any
        } else {
            Origins::Listed {
                patterns: patterns.into(),
                expressions: expressions.into(),
            }
        }
    }

    /// A list as a field holds it; `None` for `*`.
    fn list(
        &mut self,
        written: Option<&[Spanned<String>]>,
        default: &[&str],
        read: impl Fn(&str) -> Result<(), (String, &'static str)>,
    ) -> Option<String> {
        let Some(written) = written else {
            return Some(default.join(", "));
        };
        let mut list = Vec::new();
        for word in written {
            if word.get_ref() == "*" {
                return None;
            }
            match read(word.get_ref()) {
                Ok(()) => list.push(word.get_ref().as_str()),
                Err((message, hint)) => self.report(word.span(), message, hint),
            }
        }
        Some(list.join(", "))
    }
}

impl Settings<Box<dyn Middleware>> for CorsSettings {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let granted = |list: &Option<String>| match list {
            Some(list) => Granted::List(list.as_str().into()),
            None => Granted::Asked,
        };
        Ok(Box::new(Cors {
            origins: self.origins.clone(),
            methods: granted(&self.methods),
            headers: granted(&self.headers),
            expose: self.expose.as_str().into(),
            credentials: self.credentials,
            max_age: self.max_age.to_string().into(),
        }))
    }
}
