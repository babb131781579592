//! What an `api_key` table may say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{ApiKey, ApiKeys, challenge};
use crate::build::{
    BuildContext, Kind, ParseContext, Probe, Problem, Secret, Section, Settings, Span, keys,
};
use crate::exchange::Middleware;
use crate::http::HeaderName;
use crate::middleware::credentials::Tally;
use crate::middleware::current::Current;
use crate::middleware::enforce::{Policy, default_enforce};
use crate::middleware::watched::Watched;

/// Asks for a key.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "api_key",
    summary: "Asks for a key that stands in a field, a cookie or the query",
    example: r#"
keys = { ci = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }
# keys_file = "/etc/httpserverd/api_keys"   # lines of ci:sha256:…, read again when it changes
header = "X-API-Key"              # or false
cookie = "api_key"                # where there is no such field
query = "api_key"                 # nor such a cookie; no log shows it
strip = true                      # upstreams do not see the key
user_header = "X-Client"          # they are told its name instead
realm = "api"
enforce = true
"#,
    keys: keys! {
        "keys": "secret keys by name" = "{}",
            "keys of 16 bytes at least, or `sha256:` and the hexadecimal hash of one";
        "keys_file": "path" = "(none)",
            "a file of lines such as `ci:sha256:…`, read again when it changes";
        "header": "header name or false" = r#""X-API-Key""#, "the field that holds the key";
        "cookie": "string" = "(none)", "a cookie that may hold the key";
        "query": "string" = "(none)", "a parameter of the query that may hold the key";
        "strip": "true or false" = "false",
            "whether the field is taken away before the request goes on";
        "user_header": "header name" = "(none)",
            "a field that tells upstreams the key's name; what a client sends under it is taken \
             away";
        "realm": "string" = r#""restricted""#, "what `WWW-Authenticate` calls this";
        "enforce": "true or false" = "true",
            "`false` lets everyone through, and counts and logs whom it would have refused";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    keys: BTreeMap<Box<str>, Secret>,
    #[serde(default)]
    keys_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    header: Option<Spanned<toml::Value>>,
    #[serde(default)]
    cookie: Option<Box<str>>,
    #[serde(default)]
    query: Option<Box<str>>,
    #[serde(default)]
    strip: bool,
    #[serde(default)]
    user_header: Option<HeaderName>,
    #[serde(default = "default_realm")]
    realm: Box<str>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

fn default_realm() -> Box<str> {
    "restricted".into()
}

/// What most programs send a key in.
const HEADER: &[u8] = b"X-API-Key";

/// Read and right.
#[derive(Debug)]
struct ApiKeySettings {
    keys: ApiKeys,
    file: Option<(PathBuf, Span)>,
    header: Option<HeaderName>,
    cookie: Option<Box<str>>,
    query: Option<Arc<str>>,
    strip: bool,
    user_header: Option<HeaderName>,
    realm: Box<str>,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut report = |span: Span, code, message: String, hint: &str| {
        let problem = Problem::error(code, span, message);
        cx.problems.push(problem.hint(hint));
    };
    let mut keys = ApiKeys::default();
    for (name, key) in &written.keys {
        if let Err(problem) = keys.add(name, key.expose()) {
            // Never the place of a key: the line would be shown.
            let message = format!("key `{}`: {problem}", name.escape_default());
            report(section.span(), "E0002", message, HOW);
        }
    }
    if written.keys.is_empty() && written.keys_file.is_none() {
        let message = format!("{} needs `keys` or `keys_file`", section.name());
        let hint = "without keys nobody could ever get in: keys = { NAME = \"sha256:…\" }";
        report(section.span(), "E0004", message, hint);
    }
    let header = match &written.header {
        None => HeaderName::from_bytes(HEADER),
        Some(header) => match header.get_ref() {
            toml::Value::Boolean(false) => None,
            toml::Value::String(text) if HeaderName::from_bytes(text.as_bytes()).is_some() => {
                HeaderName::from_bytes(text.as_bytes())
            }
            _ => {
                let message = "`header` is a name, or false".to_owned();
                let hint = "write it like \"X-API-Key\"";
                report(section.at(header.span()), "E0002", message, hint);
                HeaderName::from_bytes(HEADER)
            }
        },
    };
    if header.is_none() && written.cookie.is_none() && written.query.is_none() {
        let message = "there is no place where a key could stand".to_owned();
        let hint = "write `header`, `cookie` or `query`";
        report(section.span(), "E0002", message, hint);
    }
    let file = written.keys_file;
    (cx.problems.len() == before).then(|| {
        Box::new(ApiKeySettings {
            keys,
            file: file.map(|file| (file.get_ref().clone(), section.at(file.span()))),
            header,
            cookie: written.cookie,
            query: written.query.map(Arc::from),
            strip: written.strip,
            user_header: written.user_header,
            realm: written.realm,
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

const HOW: &str = "`openssl rand -hex 32` makes a key; `printf %s KEY | sha256sum` its hash";

impl Settings<Box<dyn Middleware>> for ApiKeySettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let mut keys = self.keys.clone();
        if let Some((path, span)) = &self.file {
            let text = cx.secret_file(path, span)?;
            keys.add_lines(&text).map_err(|problem| {
                let message = format!("{}: {problem}", path.display());
                Box::new(Problem::error("E0201", span.clone(), message).hint(HOW))
            })?;
        }
        let keys = Arc::new(Current::new(keys));
        if let Some((path, _)) = &self.file {
            let inline = self.keys.clone();
            let watched = Watched::new(cx.path(path), "keys", &keys, move |text: &str| {
                let mut keys = inline.clone();
                keys.add_lines(text).map(|()| keys)
            });
            cx.probes.push(Arc::new(watched) as Arc<dyn Probe>);
        }
        let asker = ApiKey {
            keys,
            header: self.header.clone(),
            cookie: self.cookie.clone(),
            query: self.query.clone(),
            strip: self.strip,
            user_header: self.user_header.clone(),
            challenge: challenge(&self.realm),
            tally: Tally::new(cx, "api_key"),
        };
        Ok(Policy::new("api_key", self.enforce, cx).guard(asker))
    }
}
