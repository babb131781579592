//! Where keys come from: the configuration, a file that is watched, or an upstream.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use toml::Spanned;

use super::Source;
use super::keys::{Keys, Secrets};
use super::remote::Remote;
use super::settings::Check;
use crate::build::{BuildContext, HumanDuration, Probe, Problem, Secret, Span};
use crate::http::{RequestHead, name};
use crate::middleware::asking;
use crate::middleware::current::Current;
use crate::middleware::watched::Watched;

/// The keys of the table that say where keys come from; one of them is written.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) key: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<PathBuf>>,
    pub(super) jwks_file: Option<Spanned<PathBuf>>,
    pub(super) jwks: Option<Spanned<WrittenRemote>>,
    pub(super) secret: Option<Secret>,
    pub(super) secret_file: Option<Spanned<PathBuf>>,
}

/// `jwks`, as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRemote {
    upstream: Spanned<String>,
    path: Spanned<String>,
    #[serde(default)]
    host: Option<String>,
    /// What the large providers' answers may be kept for, and less than their keys overlap.
    #[serde(default = "default_refresh")]
    refresh: HumanDuration,
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
}

const fn default_refresh() -> HumanDuration {
    HumanDuration::seconds(900)
}

const fn default_timeout() -> HumanDuration {
    HumanDuration::seconds(5)
}

/// Where keys come from, as the file says.
#[derive(Debug)]
pub(super) enum KeySource {
    Keys(Keys),
    File(File, PathBuf, Span),
    Remote {
        upstream: Arc<str>,
        span: Span,
        request: Box<RequestHead>,
        refresh: Duration,
        timeout: Duration,
    },
}

/// What a file of keys holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Pem,
    Set,
    Secret,
}

impl File {
    fn read(self, text: &str) -> Result<Keys, String> {
        match self {
            Self::Pem => Keys::pem(text),
            Self::Set => Keys::set(text.as_bytes(), Secrets::Allowed),
            Self::Secret => Keys::secret(text.trim().as_bytes()),
        }
    }
}

/// A source, or what is wrong with it and where.
type Sourced = Result<KeySource, (Span, String)>;

impl Check<'_, '_, '_> {
    /// The one place that keys come from.
    pub(super) fn source(
        &mut self,
        written: Places,
        algorithms: &[Algorithm],
    ) -> Option<KeySource> {
        let section = self.section;
        let mut sources: Vec<(&str, Sourced)> = Vec::new();
        if let Some(key) = &written.key {
            let keys = Keys::pem(key.get_ref());
            let at = |problem| (section.at(key.span()), problem);
            sources.push(("key", keys.map(KeySource::Keys).map_err(at)));
        }
        if let Some(secret) = &written.secret {
            let keys = Keys::secret(secret.expose().as_bytes());
            // Never the place of the secret: the line would be shown.
            let at = |problem| (section.span(), problem);
            sources.push(("secret", keys.map(KeySource::Keys).map_err(at)));
        }
        for (name, file, path) in [
            ("key_file", File::Pem, &written.key_file),
            ("jwks_file", File::Set, &written.jwks_file),
            ("secret_file", File::Secret, &written.secret_file),
        ] {
            if let Some(path) = path {
                let span = section.at(path.span());
                let source = KeySource::File(file, path.get_ref().clone(), span);
                sources.push((name, Ok(source)));
            }
        }
        let remote = written.jwks;
        let names: Vec<&str> = sources.iter().map(|(name, _)| *name).collect();
        let names = [names, remote.iter().map(|_| "jwks").collect()].concat();
        match names.as_slice() {
            [] => {
                self.good = false;
                let message = format!("{} needs keys", section.name());
                self.cx
                    .problems
                    .push(Problem::error("E0004", section.span(), message).hint(
                        "write one of `key`, `key_file`, `jwks_file`, `jwks`, `secret` and \
                         `secret_file`",
                    ));
                return None;
            }
            [_] => {}
            [..] => {
                let message = format!("keys come from {}", names.join(" and "));
                let hint = "write one of them; a key set holds as many keys as you like";
                self.report(section.span(), message, hint);
            }
        }
        if let Some(remote) = remote {
            return self.remote(remote.get_ref());
        }
        match sources.pop()?.1 {
            Ok(KeySource::Keys(keys)) if !keys.serve(algorithms) && self.good => {
                let message = "the key is for none of the algorithms";
                self.report(section.span(), message, UNFIT);
                None
            }
            Ok(source) => Some(source),
            Err((span, problem)) => {
                self.report(span, problem, HOW);
                None
            }
        }
    }

    fn remote(&mut self, remote: &WrittenRemote) -> Option<KeySource> {
        let upstream = self.cx.upstream(self.section, &remote.upstream);
        self.good &= upstream.is_some();
        let span = self.section.at(remote.upstream.span());
        let (host, like) = (remote.host.as_deref(), "/.well-known/jwks.json");
        let request = asking::question(&remote.path, host, like, self.section, self.cx);
        self.good &= request.is_some();
        let mut request = request?;
        request.headers.set(&name::ACCEPT, "application/json");
        Some(KeySource::Remote {
            upstream: upstream?,
            span,
            request: Box::new(request),
            refresh: remote.refresh.0,
            timeout: remote.timeout.0,
        })
    }
}

const UNFIT: &str = "HS… needs a secret, RS… and PS… an RSA key, ES256 one of P-256, ES384 one of \
                     P-384, EdDSA one of Ed25519";
const HOW: &str = "`openssl rand -base64 32` makes a secret, `openssl pkey -in KEY -pubout` the \
                   public half of a key";

impl KeySource {
    /// The keys, ready to be used.
    pub(super) fn open(
        &self,
        algorithms: &[Algorithm],
        cx: &mut BuildContext<'_>,
    ) -> Result<Source, Box<Problem>> {
        match self {
            Self::Keys(keys) => Ok(Source::Local(Arc::new(Current::new(keys.clone())))),
            Self::File(file, path, span) => open_file(*file, path, span, algorithms, cx),
            Self::Remote {
                upstream,
                span,
                request,
                refresh,
                timeout,
            } => {
                let fetcher = asking::fetcher(upstream, span, cx)?;
                // Keys of one place are none of another's.
                let host = request.authority();
                let name = format!("{} {upstream} {host} {}", cx.name, request.target.raw());
                Ok(Source::Remote(Arc::new(Remote {
                    fetcher,
                    request: (**request).clone(),
                    refresh: *refresh,
                    timeout: *timeout,
                    store: cx.carry_over.keep(&name, Default::default),
                })))
            }
        }
    }
}

fn open_file(
    file: File,
    path: &Path,
    span: &Span,
    algorithms: &[Algorithm],
    cx: &mut BuildContext<'_>,
) -> Result<Source, Box<Problem>> {
    let text = match file {
        File::Secret => cx.secret_file(path, span)?,
        File::Pem | File::Set => cx.text_file(path, span)?,
    };
    let algorithms = algorithms.to_vec();
    let read = move |text: &str| {
        let keys = file.read(text)?;
        if keys.serve(&algorithms) {
            Ok(keys)
        } else {
            Err("none of its keys is for one of the algorithms".to_owned())
        }
    };
    let keys = read(&text).map_err(|problem| {
        let message = format!("{}: {problem}", path.display());
        Box::new(Problem::error("E0201", span.clone(), message).hint(HOW))
    })?;
    let current = Arc::new(Current::new(keys));
    let watched = Watched::new(cx.path(path), "keys", &current, read);
    cx.probes.push(Arc::new(watched) as Arc<dyn Probe>);
    Ok(Source::Local(current))
}
