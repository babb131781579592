//! What a `basic_auth` table may say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::hash::Hash;
use super::users::{Users, bad_name, is_name};
use super::{Asker, BasicAuth};
use crate::build::{
    BuildContext, Kind, ParseContext, Probe, Problem, Rate, Secret, Section, Settings, Span, keys,
};
use crate::exchange::Middleware;
use crate::http::HeaderName;
use crate::middleware::credentials::{Tally, quoted};
use crate::middleware::current::Current;
use crate::middleware::enforce::{Policy, default_enforce};
use crate::middleware::watched::Watched;

/// Asks for user and password.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "basic_auth",
    summary: "Asks for user and password (RFC 7617)",
    example: r#"
realm = "staff"
users = { alice = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e" }
# users_file = "/etc/httpserverd/users"   # lines of alice:$2y$…, read again when it changes
failures = "20/m"                 # of one client; then 429 until it has waited
strip = true                      # upstreams do not see the password
user_header = "X-Remote-User"     # they are told the user instead
enforce = true
"#,
    keys: keys! {
        "realm": "string" = r#""restricted""#, "what is shown to who is asked";
        "users": "secret hashes by user" = "{}",
            "users and hashes of their passwords: bcrypt, Argon2 or SHA-crypt";
        "users_file": "path" = "(none)",
            "a file of lines such as `alice:$2y$…`, read again when it changes";
        "failures": "rate" = r#""20/m""#,
            "how often one client, or one /64 of IPv6, may be wrong; then it is answered 429";
        "strip": "true or false" = "false",
            "whether `Authorization` is taken away before the request goes on";
        "user_header": "header name" = "(none)",
            "a field that tells upstreams the user; what a client sends under it is taken away";
        "enforce": "true or false" = "true",
            "`false` lets everyone through, and counts and logs whom it would have refused";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "default_realm")]
    realm: Spanned<String>,
    #[serde(default)]
    users: BTreeMap<Spanned<String>, Secret>,
    #[serde(default)]
    users_file: Option<Spanned<PathBuf>>,
    #[serde(default = "default_failures")]
    failures: Rate,
    #[serde(default)]
    strip: bool,
    #[serde(default)]
    user_header: Option<HeaderName>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

fn default_realm() -> Spanned<String> {
    Spanned::new(0..0, "restricted".to_owned())
}

/// More than a person mistypes, and ten million a year: no good password is among the first ten
/// million.
const fn default_failures() -> Rate {
    Rate {
        count: 20,
        per: std::time::Duration::from_mins(1),
    }
}

/// Read and right.
#[derive(Debug)]
struct BasicAuthSettings {
    realm: String,
    users: Users,
    file: Option<(PathBuf, Span)>,
    failures: Rate,
    strip: bool,
    user_header: Option<HeaderName>,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    // Never the place of a hash: the line would be shown.
    let mut report = |span: Span, code, message: String, hint: &str| {
        let problem = Problem::error(code, span, message);
        cx.problems.push(problem.hint(hint));
    };
    let realm = written.realm.get_ref();
    if !realm.chars().all(|c| matches!(c, ' '..='~')) {
        report(
            section.at(written.realm.span()),
            "E0002",
            format!("`{}` cannot be the name of a realm", realm.escape_default()),
            "write it in printable ASCII: browsers agree on nothing else",
        );
    }
    let mut users = Users::default();
    for (name, hash) in &written.users {
        let user = name.get_ref();
        let result = if is_name(user) {
            Hash::parse(hash.expose())
        } else {
            Err(bad_name())
        };
        match result {
            Ok(hash) => drop(users.add(user, hash)),
            Err((message, hint)) => {
                let message = format!("user `{}`: {message}", user.escape_default());
                report(section.span(), "E0002", message, &hint);
            }
        }
    }
    if written.users.is_empty() && written.users_file.is_none() {
        let message = format!("{} needs `users` or `users_file`", section.name());
        report(
            section.span(),
            "E0004",
            message,
            "without users nobody could ever get in: users = { alice = \"$2y$…\" }",
        );
    }
    let file = written.users_file;
    (cx.problems.len() == before).then(|| {
        Box::new(BasicAuthSettings {
            realm: written.realm.into_inner(),
            users,
            file: file.map(|file| (file.get_ref().clone(), section.at(file.span()))),
            failures: written.failures,
            strip: written.strip,
            user_header: written.user_header,
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for BasicAuthSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let mut users = self.users.clone();
        if let Some((file, span)) = &self.file {
            let text = cx.secret_file(file, span)?;
            users.add_lines(&text).map_err(|(message, hint)| {
                let message = format!("{}: {message}", file.display());
                Box::new(Problem::error("E0201", span.clone(), message).hint(hint))
            })?;
        }
        let users = Arc::new(Current::new(users));
        if let Some((file, _)) = &self.file {
            let inline = self.users.clone();
            let read = move |text: &str| {
                let mut users = inline.clone();
                let added = users.add_lines(text);
                added.map(|()| users).map_err(|(problem, _)| problem)
            };
            let watched = Watched::new(cx.path(file), "users", &users, read);
            cx.probes.push(Arc::new(watched) as Arc<dyn Probe>);
        }
        let name = Arc::clone(&cx.name);
        let challenge = format!("Basic realm={}, charset=\"UTF-8\"", quoted(&self.realm));
        let forgotten = cx.carry_over.metrics.count(
            "httpserverd_auth_clients_forgotten_total",
            "Clients whose failures were forgotten before their time, to make room.",
            vec![("kind", "basic_auth".into()), ("name", (&*name).into())],
        );
        let asker = BasicAuth(Arc::new(Asker {
            users,
            guard: cx.carry_over.keep(&name, Default::default),
            // One for all instances: they share the threads.
            gate: cx.carry_over.keep("", Default::default),
            failures: self.failures,
            challenge: challenge.into_bytes().into(),
            strip: self.strip,
            user_header: self.user_header.clone(),
            tally: Tally::new(cx, "basic_auth"),
            forgotten,
        }));
        Ok(Policy::new("basic_auth", self.enforce, cx).guard(asker))
    }
}
