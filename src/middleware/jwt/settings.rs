//! What a `jwt` table may say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use toml::Spanned;

use super::claims::Rules;
use super::source::{KeySource, Places, WrittenRemote};
use super::{Asker, Jwt};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Secret, Section, Settings, Span, keys,
};
use crate::exchange::Middleware;
use crate::http::HeaderName;
use crate::middleware::credentials::Tally;
use crate::middleware::enforce::{Policy, default_enforce};

/// Asks for a token.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "jwt",
    summary: "Asks for a signed token (JWT as a bearer token, RFC 7519 and RFC 6750)",
    example: r#"
algorithms = ["EdDSA"]            # no other is taken, whatever a token says
key = """
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
# Or, instead of `key`, one of:
# key_file = "login.pem"
# jwks_file = "login.json"
# secret = "${JWT_SECRET}"
# secret_file = "${CREDENTIALS_DIRECTORY}/jwt"
# jwks = { upstream = "login", path = "/.well-known/jwks.json", host = "login.example.com" }
issuer = ["https://login.example.com"]
audience = ["api"]
require = { scope = ["orders:read", "orders"], sub = [] }   # one of these; any
leeway = "30s"
require_expiry = true
claim_headers = { X-User = "sub", X-Roles = "realm_access.roles" }
user_claim = "sub"
cookie = "token"                  # where there is no Authorization
query = "access_token"            # nor such a cookie; no log shows it
strip = true
realm = "api"
enforce = true
"#,
    keys: keys! {
        "algorithms": "list of algorithms",
            "what a token may be signed with: HS256 to HS512, RS256 to RS512, PS256 to PS512, \
             ES256, ES384, EdDSA";
        "key": "string" = "(none)", "a public key as PEM";
        "key_file": "path" = "(none)", "a file with a public key as PEM, read when it changes";
        "jwks_file": "path" = "(none)", "a file with a key set, read when it changes";
        "jwks": "table" = "(none)", "a key set that an upstream publishes";
        "jwks.upstream": "upstream", "who publishes it";
        "jwks.path": "string", "where: `/.well-known/jwks.json`";
        "jwks.host": "string" = "(the endpoint's)", "the host that is asked for";
        "jwks.refresh": "duration" = r#""15m""#,
            "how old keys become before they are fetched again";
        "jwks.timeout": "duration" = r#""5s""#, "how long fetching may take";
        "secret": "secret" = "(none)", "the secret of an HMAC, of 32 bytes at least";
        "secret_file": "path" = "(none)",
            "a file with the secret; white space around it does not count";
        "issuer": "list of strings" = "[]", "whose tokens are taken; any with a good signature";
        "audience": "list of strings" = "[]",
            "whom tokens may be meant for; without it only tokens that name nobody; `*` is anyone";
        "leeway": "duration" = r#""30s""#, "how far clocks may be apart";
        "require_expiry": "true or false" = "true", "whether a token without an end is refused";
        "require": "table of lists" = "{}",
            "claims that must be there, with one of these values or, for `[]`, any; else 403";
        "claim_headers": "table of claims" = "{}",
            "fields that tell upstreams claims; what a client sends under them is taken away";
        "user_claim": "string" = r#""sub""#, "the claim that names the user, for the log";
        "cookie": "string" = "(none)", "a cookie that may hold the token";
        "query": "string" = "(none)", "a parameter of the query that may hold the token";
        "strip": "true or false" = "false",
            "whether `Authorization` is taken away before the request goes on";
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
    algorithms: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    key: Option<Spanned<String>>,
    #[serde(default)]
    key_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    jwks_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    jwks: Option<Spanned<WrittenRemote>>,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    secret_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    issuer: Vec<String>,
    #[serde(default)]
    audience: Vec<String>,
    #[serde(default = "default_leeway")]
    leeway: HumanDuration,
    #[serde(default = "default_true")]
    require_expiry: bool,
    #[serde(default)]
    require: BTreeMap<Box<str>, Vec<String>>,
    #[serde(default)]
    claim_headers: BTreeMap<Spanned<String>, Box<str>>,
    #[serde(default = "default_user_claim")]
    user_claim: Box<str>,
    #[serde(default)]
    cookie: Option<Box<str>>,
    #[serde(default)]
    query: Option<Box<str>>,
    #[serde(default)]
    strip: bool,
    #[serde(default = "default_realm")]
    realm: Box<str>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

impl Written {
    fn places(&mut self) -> Places {
        Places {
            key: self.key.take(),
            key_file: self.key_file.take(),
            jwks_file: self.jwks_file.take(),
            jwks: self.jwks.take(),
            secret: self.secret.take(),
            secret_file: self.secret_file.take(),
        }
    }
}

/// What clocks that are set by the network are never apart.
const fn default_leeway() -> HumanDuration {
    HumanDuration::seconds(30)
}

const fn default_true() -> bool {
    true
}

fn default_user_claim() -> Box<str> {
    "sub".into()
}

fn default_realm() -> Box<str> {
    "restricted".into()
}

/// Read and right.
#[derive(Debug)]
struct JwtSettings {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    told: Vec<(HeaderName, Box<str>)>,
    user: Box<str>,
    cookie: Option<Box<str>>,
    query: Option<Arc<str>>,
    strip: bool,
    realm: Box<str>,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let mut written: Written = cx.settings(section)?;
    let mut check = Check {
        section,
        cx,
        good: true,
    };
    let algorithms = check.algorithms(&written.algorithms);
    let source = check.source(written.places(), &algorithms);
    let told = check.told(std::mem::take(&mut written.claim_headers));
    let good = check.good;
    let settings = JwtSettings {
        source: source?,
        algorithms,
        rules: Rules {
            issuers: written.issuer,
            audiences: written.audience,
            leeway: written.leeway.0,
            expires: written.require_expiry,
            required: written.require.into_iter().collect(),
        },
        told,
        user: written.user_claim,
        cookie: written.cookie,
        query: written.query.map(Arc::from),
        strip: written.strip,
        realm: written.realm,
        enforce: written.enforce,
    };
    good.then(|| Box::new(settings) as Box<dyn Settings<Box<dyn Middleware>>>)
}

/// Reads what serde cannot, and notes whether all was right.
pub(super) struct Check<'c, 's, 'p> {
    pub(super) section: &'c Section<'s>,
    pub(super) cx: &'c mut ParseContext<'p>,
    pub(super) good: bool,
}

impl Check<'_, '_, '_> {
    pub(super) fn report(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.good = false;
        let problem = Problem::error("E0002", span, message);
        self.cx.problems.push(problem.hint(hint));
    }

    fn algorithms(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        if written.get_ref().is_empty() {
            let span = self.section.at(written.span());
            let message = "without an algorithm no token could be taken";
            self.report(span, message, KNOWN);
        }
        for name in written.get_ref() {
            let span = self.section.at(name.span());
            match name.get_ref().parse() {
                Ok(algorithm) => algorithms.push(algorithm),
                Err(_) if name.get_ref().eq_ignore_ascii_case("none") => {
                    let message = "`none` would take any token, from anyone";
                    self.report(span, message, KNOWN);
                }
                Err(_) => {
                    let message = format!("there is no algorithm `{}`", name.get_ref());
                    self.report(span, message, KNOWN);
                }
            }
        }
        algorithms
    }

    fn told(
        &mut self,
        written: BTreeMap<Spanned<String>, Box<str>>,
    ) -> Vec<(HeaderName, Box<str>)> {
        let mut told = Vec::new();
        for (name, claim) in written {
            if let Some(name) = HeaderName::from_bytes(name.get_ref().as_bytes()) {
                told.push((name, claim));
            } else {
                let span = self.section.at(name.span());
                let message = format!("`{}` cannot be the name of a field", name.get_ref());
                self.report(span, message, "names have letters, digits and `-`");
            }
        }
        told
    }
}

const KNOWN: &str = "there are HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                     ES256, ES384 and EdDSA";

impl Settings<Box<dyn Middleware>> for JwtSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let source = self.source.open(&self.algorithms, cx)?;
        let asker = Jwt(Arc::new(Asker {
            source,
            algorithms: self.algorithms.clone(),
            rules: self.rules.clone(),
            cookie: self.cookie.clone(),
            query: self.query.clone(),
            user: self.user.clone(),
            told: self.told.clone(),
            strip: self.strip,
            realm: self.realm.clone(),
            tally: Tally::new(cx, "jwt"),
        }));
        Ok(Policy::new("jwt", self.enforce, cx).guard(asker))
    }
}
