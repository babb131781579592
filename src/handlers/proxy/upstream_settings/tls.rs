//! `tls`: how the servers are known for who they say they are, and what they are shown.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Check;
use super::servers::WrittenServer;
use crate::build::{BuildContext, Problem, Span};
use crate::handlers::address::Scheme;
use crate::handlers::proxy::manner::Protocol;
use crate::handlers::proxy::tls::Tls;
use crate::sys::tls::{
    self, Alpn, Certificate, Connecting, Part, ServerName, Trust, authorities_of_the_system,
};

/// Lists of authorities of whole systems have some hundred KiB.
const AUTHORITIES_BYTES_MAX: u64 = 4 << 20;

/// A chain has some KiB.
const CHAIN_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenTls {
    ca: Option<Spanned<PathBuf>>,
    server_name: Option<Spanned<String>>,
    client_certificate: Option<WrittenIdentity>,
    verify: Option<Spanned<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIdentity {
    cert: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
}

/// Read, and right as far as one sees without opening files.
#[derive(Debug)]
pub(super) struct TlsSettings {
    /// Where the system is to blame, if it is.
    at: Span,
    ca: Option<(PathBuf, Span)>,
    server_name: Option<ServerName<'static>>,
    identity: Option<[(PathBuf, Span); 2]>,
    /// Where it says that servers are not looked at.
    unverified: Option<Span>,
}

impl Check<'_, '_, '_> {
    pub(super) fn tls(
        &mut self,
        scheme: Scheme,
        written: Option<&Spanned<WrittenTls>>,
        servers: &Spanned<Vec<Spanned<WrittenServer>>>,
    ) -> Option<TlsSettings> {
        if scheme == Scheme::Http {
            return None;
        }
        let nothing = WrittenTls::default();
        let at = written.map_or_else(|| servers.span(), Spanned::span);
        let written = written.map_or(&nothing, Spanned::get_ref);
        let placed =
            |path: &Spanned<PathBuf>| (path.get_ref().clone(), self.section.at(path.span()));
        let ca = written.ca.as_ref().map(placed);
        let identity = written.client_certificate.as_ref();
        let identity = identity.map(|own| [placed(&own.cert), placed(&own.key)]);
        let unverified = written.verify.as_ref().filter(|verify| !verify.get_ref());
        if let (Some(off), Some(ca)) = (unverified, &written.ca) {
            let hint = "leave `verify` out, and `ca` says who is believed";
            self.refuse(
                off,
                "`ca` says whom to believe, `verify` to believe anybody",
                hint,
            );
            return Some(TlsSettings::nothing(self.section.at(ca.span())));
        }
        let unnamed = servers
            .get_ref()
            .iter()
            .find(|server| server.get_ref().address.host().is_none());
        if let (Some(server), None) = (unnamed, &written.server_name) {
            let hint = "say whom it must be: tls = { server_name = \"app.internal\" }";
            self.refuse(
                server,
                "a socket has no name that a certificate could be for",
                hint,
            );
        }
        Some(TlsSettings {
            at: self.section.at(at),
            ca,
            server_name: written.server_name.as_ref().and_then(|name| {
                let parsed = ServerName::try_from(name.get_ref().clone());
                if parsed.is_err() {
                    let message = format!("`{}` is no name of a server", name.get_ref());
                    self.refuse(
                        name,
                        message,
                        "write it like \"app.internal\", without a port",
                    );
                }
                parsed.ok()
            }),
            identity,
            unverified: unverified.map(|off| self.section.at(off.span())),
        })
    }
}

impl TlsSettings {
    const fn nothing(at: Span) -> Self {
        Self {
            at,
            ca: None,
            server_name: None,
            identity: None,
            unverified: None,
        }
    }

    /// Reads what the files hold.
    pub(super) fn build(
        &self,
        cx: &mut BuildContext<'_>,
        protocol: Protocol,
    ) -> Result<Arc<Tls>, Box<Problem>> {
        let trust = match (&self.ca, &self.unverified) {
            (Some((path, at)), _) => {
                let text = cx.read(path, AUTHORITIES_BYTES_MAX, at)?;
                let found = tls::certificates(&text);
                let found = found.map_err(|what| problem(cx, (path, at), &what, CA_HINT))?;
                Trust::Authorities(found)
            }
            (None, None) => Trust::Authorities(authorities_of_the_system().map_err(|what| {
                Box::new(Problem::error("E0201", self.at.clone(), what).hint(
                    "install ca-certificates, or name the servers' authority with \
                     tls = { ca = \"…\" }",
                ))
            })?),
            (None, Some(at)) => {
                let message = "the servers of this upstream can be anybody";
                cx.warnings.push(
                    Problem::warning("W0205", at.clone(), message)
                        .label("nobody looks at their certificates")
                        .hint("`ca` names who issues them; `server_name` the name they are for"),
                );
                Trust::Anybody
            }
        };
        let connecting = Connecting {
            trust,
            identity: self.identity(cx)?,
            protocols: match protocol {
                Protocol::Http1 | Protocol::Http2Clear => vec![Alpn::Http1],
                Protocol::Http2 => vec![Alpn::Http2],
                Protocol::Auto => vec![Alpn::Http2, Alpn::Http1],
            },
        };
        // What is agreed on with servers outlives a reload that changes none of it.
        let name = format!("{} {}", cx.name, connecting.fingerprint());
        let (at, ca) = match &self.ca {
            Some((path, at)) => (at, Some(path)),
            None => (&self.at, None),
        };
        let config = connecting.build().map_err(|what| match ca {
            Some(path) => problem(cx, (path, at), &what, CA_HINT),
            None => Box::new(Problem::error("E0201", at.clone(), what)),
        })?;
        let server_name = self.server_name.clone();
        let pinned = server_name.as_ref().map(ServerName::to_str);
        let name = format!("{name} {}", pinned.unwrap_or_default());
        Ok(cx.carry_over.keep(&name, || Tls {
            config,
            server_name,
        }))
    }

    fn identity(&self, cx: &mut BuildContext<'_>) -> Result<Option<Certificate>, Box<Problem>> {
        let Some([(chain, chain_at), (key, key_at)]) = &self.identity else {
            return Ok(None);
        };
        let chain_text = cx.read(chain, CHAIN_BYTES_MAX, chain_at)?;
        // Read twice, so that it is watched, and that others who may read it are warned of.
        cx.read(key, CHAIN_BYTES_MAX, key_at)?;
        let key_text = cx.secret_file(key, key_at)?;
        let found = Certificate::from_pem(&chain_text, key_text.as_bytes());
        let found = found.map_err(|mistake| {
            let place = match mistake.part {
                Part::Chain => (chain, chain_at),
                Part::Key => (key, key_at),
            };
            problem(cx, place, &mistake.what, mistake.hint)
        })?;
        Ok(Some(found))
    }
}

const CA_HINT: &str = "it is PEM text: the certificates of the authorities that issue the servers'";

/// A mistake in a file; `what` is the end of a sentence that begins with its name.
fn problem(
    cx: &BuildContext<'_>,
    (path, at): (&PathBuf, &Span),
    what: &str,
    hint: &str,
) -> Box<Problem> {
    let message = format!("{} {what}", cx.path(path).display());
    Box::new(Problem::error("E0201", at.clone(), message).hint(hint))
}
