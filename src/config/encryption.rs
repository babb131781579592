//! `tls` of a listener, made ready: its files are read, and its certificates watched for their
//! end.

use std::any::Any;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use super::model::{self, Acme, Bind, CertificateFiles, ClientAuth, Listener, TlsFiles};
use super::orders;
use crate::build::{BuildContext, Probe, Problem, Span};
use crate::clock;
use crate::generation::acme::{Challenge, Wanted};
use crate::generation::{Failure, Tls};
use crate::sys::tls::{
    Alpn, Certificate, Clients, Mistake, Part, Resumption, Serving, certificates, revocation_lists,
};
use crate::telemetry::{Gauge, Metrics};

/// A chain of certificates, or the authorities of a large firm.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The list of an authority that has revoked a hundred thousand.
const CRL_BYTES_MAX: u64 = 16 << 20;

/// How long before its end a certificate is warned of: a third of the ninety days that free ones
/// hold have passed twice by then, so whatever renews it has failed for nine days.
const WARNED_BEFORE: Duration = Duration::from_hours(21 * 24);

/// How often is looked: twice a day, so that a day's log tells.
const LOOKED_EVERY: Duration = Duration::from_hours(12);

/// As for a certificate in memory.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What may come before a handshake is over: one record, which a head and its cookies fit into.
const EARLY_DATA: u32 = 16 * 1024;

/// The certificate that was made in memory, for as long as its listener has none of its own.
struct SelfSigned(Certificate);

/// Makes ready what a listener is encrypted with; `None` if it has mistakes.
pub(super) fn build(
    cx: &mut BuildContext<'_>,
    listener: &Listener,
    tls: &model::Tls,
    wanted: &mut Vec<Wanted>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Tls>> {
    let before = problems.len();
    let built = match tls {
        model::Tls::SelfSigned => self_signed(cx, listener),
        model::Tls::Files(files) => from_files(cx, listener, files, wanted, problems),
    };
    problems.append(&mut cx.warnings);
    match built {
        Ok(tls) => tls.filter(|_| problems.iter().skip(before).all(Problem::is_warning)),
        Err(message) => {
            let at = listener.places.of("tls").unwrap_or(&listener.place.0);
            problems.push(Problem::error("E0310", at.clone(), message));
            None
        }
    }
}

fn self_signed(cx: &mut BuildContext<'_>, listener: &Listener) -> Result<Option<Arc<Tls>>, String> {
    let mut names = vec![
        String::from("localhost"),
        String::from("127.0.0.1"),
        String::from("::1"),
    ];
    if let Bind::Tcp(address) = &listener.bind
        && !address.ip().is_unspecified()
    {
        names.push(address.ip().to_string());
    }
    let made = Certificate::self_signed(&names, clock::unix_now())?;
    // Browsers are told once to put up with it, and not after every reload.
    let kept = cx.carry_over.keep(&listener.name, || SelfSigned(made));
    let certificate = kept.0.clone();
    let resumption = resumption(cx, listener, 0)?;
    let serving = Serving {
        certificates: vec![certificate],
        issued: Vec::new(),
        only_tls13: false,
        ciphers: Vec::new(),
        groups: Vec::new(),
        clients: None,
        resumption: Some(Arc::clone(&resumption)),
        early_data: 0,
        protocols: protocols(listener, None),
    };
    let kept: Vec<Arc<dyn Any + Send + Sync>> = vec![kept, resumption];
    finish(cx, listener, serving, HANDSHAKE_TIMEOUT, kept).map(Some)
}

/// What is agreed on, the most wanted first. A client of HTTP/2 is known by how it begins.
fn protocols(listener: &Listener, acme: Option<&Acme>) -> Vec<Alpn> {
    let http2 = listener.protocols.http2.then_some(Alpn::Http2);
    let http1 = listener.protocols.http1.then_some(Alpn::Http1);
    // An authority that looks for a proof speaks nothing else, and nobody else gets one.
    let proved = acme.is_some_and(|acme| acme.challenge == Challenge::TlsAlpn01);
    let acme = proved.then_some(Alpn::Acme);
    http2.into_iter().chain(http1).chain(acme).collect()
}

fn from_files(
    cx: &mut BuildContext<'_>,
    listener: &Listener,
    files: &TlsFiles,
    wanted: &mut Vec<Wanted>,
    problems: &mut Vec<Problem>,
) -> Result<Option<Arc<Tls>>, String> {
    let mut read = Vec::new();
    for files in &files.certificates {
        match certificate(cx, files) {
            Ok(certificate) => read.push((files, certificate)),
            Err(problem) => problems.push(*problem),
        }
    }
    let mut believed = 0;
    let clients = match &files.client_auth {
        None => None,
        Some(auth) => match clients(cx, auth, &mut believed) {
            Ok(clients) => Some(clients),
            Err(problem) => {
                problems.push(*problem);
                return Ok(None);
            }
        },
    };
    if read.len() < files.certificates.len() {
        return Ok(None);
    }
    let mut issued = Vec::new();
    match files
        .acme
        .as_ref()
        .map(|acme| orders::wanted(cx, listener, acme))
    {
        None => {}
        Some(Ok(order)) => {
            issued.push((order.domains.clone(), Arc::clone(&order.issued)));
            if !wanted.iter().any(|known| known.is_same(&order)) {
                wanted.push(order);
            }
        }
        Some(Err(problem)) => {
            problems.push(*problem);
            return Ok(None);
        }
    }
    watch_their_ends(cx, listener, &read);
    let resumption = if files.session_tickets {
        Some(resumption(cx, listener, believed)?)
    } else {
        None
    };
    let serving = Serving {
        certificates: read.into_iter().map(|(_, read)| read).collect(),
        issued,
        only_tls13: files.only_tls13,
        ciphers: files.ciphers.clone(),
        groups: files.groups.clone(),
        clients,
        resumption: resumption.clone(),
        early_data: if files.early_data { EARLY_DATA } else { 0 },
        protocols: protocols(listener, files.acme.as_ref()),
    };
    let kept = resumption.into_iter().map(|kept| kept as Arc<_>).collect();
    finish(cx, listener, serving, files.handshake_timeout, kept).map(Some)
}

fn finish(
    cx: &BuildContext<'_>,
    listener: &Listener,
    serving: Serving,
    handshake_timeout: Duration,
    kept: Vec<Arc<dyn Any + Send + Sync>>,
) -> Result<Arc<Tls>, String> {
    let metrics = &cx.carry_over.metrics;
    let name = || ("listener", Box::from(&*listener.name));
    let agreed = |kind: &str| {
        metrics.count(
            "httpserverd_tls_sessions_total",
            "TLS sessions that were agreed on, anew or by resuming an earlier one.",
            vec![name(), ("kind", kind.into())],
        )
    };
    let failed = |(_, word): (Failure, &str)| {
        metrics.count(
            "httpserverd_tls_failures_total",
            "TLS sessions that could not be agreed on.",
            vec![name(), ("why", word.into())],
        )
    };
    Ok(Arc::new(Tls {
        config: serving.build()?,
        handshake_timeout,
        agreed: agreed("full"),
        resumed: agreed("resumed"),
        failed: Failure::ALL.map(failed),
        kept,
    }))
}

/// What lets clients resume. Who was let in by another set of authorities, or before a certificate
/// was revoked, must show it again.
fn resumption(
    cx: &mut BuildContext<'_>,
    listener: &Listener,
    believed: u64,
) -> Result<Arc<Resumption>, String> {
    let made = Resumption::new().map_err(|error| error.to_string())?;
    let name = format!("{believed:x} {}", listener.name);
    Ok(cx.carry_over.keep(&name, || made))
}

/// Reads a certificate and its key.
fn certificate(
    cx: &mut BuildContext<'_>,
    files: &CertificateFiles,
) -> Result<Certificate, Box<Problem>> {
    let (cert_at, key_at) = (&files.cert_place.0, &files.key_place.0);
    let chain = cx.read(&files.cert, PEM_BYTES_MAX, cert_at)?;
    let key = cx.read(&files.key, PEM_BYTES_MAX, key_at)?;
    let certificate = Certificate::from_pem(&chain, &key).map_err(|mistake| {
        let (path, at) = match mistake.part {
            Part::Chain => (&files.cert, cert_at),
            Part::Key => (&files.key, key_at),
        };
        let Mistake { what, hint, .. } = mistake;
        Box::new(unusable(cx, path, at, &what).hint(hint))
    })?;
    cx.warn_if_open(&files.key, key_at)?;
    if let Some(problem) = outdated(cx, files, &certificate) {
        cx.warnings.push(problem);
    }
    match &files.ocsp {
        None => Ok(certificate),
        Some(path) => {
            let response = cx.read(path, PEM_BYTES_MAX, &files.ocsp_place.0)?;
            Ok(certificate.with_ocsp(response))
        }
    }
}

fn unusable(cx: &BuildContext<'_>, path: &Path, at: &Span, what: &str) -> Problem {
    let path = cx.path(path);
    Problem::error("E0309", at.clone(), format!("{} {what}", path.display()))
}

/// Warns of a certificate that clients will not believe now.
fn outdated(
    cx: &BuildContext<'_>,
    files: &CertificateFiles,
    certificate: &Certificate,
) -> Option<Problem> {
    let now = clock::unix_now().as_secs();
    let what = if seconds(certificate.not_after()) <= now {
        "has expired"
    } else if seconds(certificate.not_before()) > now {
        "is not valid yet"
    } else {
        return None;
    };
    let path = cx.path(&files.cert);
    let message = format!("the certificate in {} {what}", path.display());
    let problem = Problem::warning("W0204", files.cert_place.0.clone(), message);
    Some(problem.label("clients will refuse it"))
}

fn clients(
    cx: &mut BuildContext<'_>,
    auth: &ClientAuth,
    believed: &mut u64,
) -> Result<Clients, Box<Problem>> {
    let ca = cx.read(&auth.ca, PEM_BYTES_MAX, &auth.ca_place.0)?;
    let authorities = certificates(&ca)
        .map_err(|what| Box::new(unusable(cx, &auth.ca, &auth.ca_place.0, &what)))?;
    let mut hasher = DefaultHasher::new();
    (auth.required, &ca).hash(&mut hasher);
    let revoked = match &auth.crl {
        None => Vec::new(),
        Some(path) => {
            let lists = cx.read(path, CRL_BYTES_MAX, &auth.crl_place.0)?;
            lists.hash(&mut hasher);
            revocation_lists(&lists)
                .map_err(|what| Box::new(unusable(cx, path, &auth.crl_place.0, &what)))?
        }
    };
    *believed = hasher.finish();
    let clients = Clients {
        required: auth.required,
        authorities,
        revoked,
    };
    match clients.check() {
        Ok(()) => Ok(clients),
        Err((in_crl, what)) => {
            let (path, at) = match (&auth.crl, in_crl) {
                (Some(crl), true) => (crl, &auth.crl_place.0),
                _ => (&auth.ca, &auth.ca_place.0),
            };
            Err(Box::new(unusable(cx, path, at, &what)))
        }
    }
}

/// Tells of certificates whose end is near.
#[derive(Debug)]
struct Ends {
    listener: Arc<str>,
    certificates: Vec<End>,
}

#[derive(Debug)]
struct End {
    path: String,
    not_after: i64,
    shown: Gauge,
}

fn watch_their_ends(
    cx: &mut BuildContext<'_>,
    listener: &Listener,
    certificates: &[(&CertificateFiles, Certificate)],
) {
    let metrics = Arc::clone(&cx.carry_over.metrics);
    let ends = certificates.iter().map(|(files, certificate)| {
        let path = files.cert.display().to_string();
        End {
            shown: gauge(&metrics, listener, &path),
            path,
            not_after: certificate.not_after(),
        }
    });
    cx.probes.push(Arc::new(Ends {
        listener: Arc::clone(&listener.name),
        certificates: ends.collect(),
    }));
}

fn gauge(metrics: &Metrics, listener: &Listener, path: &str) -> Gauge {
    metrics.gauge(
        "httpserverd_tls_certificate_not_after_seconds",
        "Until when a certificate holds, in seconds since 1970.",
        vec![
            ("listener", Box::from(&*listener.name)),
            ("certificate", path.into()),
        ],
    )
}

impl Probe for Ends {
    fn name(&self) -> String {
        format!("the certificates of listener {}", self.listener)
    }

    fn interval(&self) -> Duration {
        LOOKED_EVERY
    }

    fn run(&self) {
        let now = clock::unix_now();
        for end in &self.certificates {
            // Set here, when the configuration is in use: one that is refused leaves no trace.
            end.shown.add(0, end.not_after - end.shown.get());
            let (listener, certificate) = (&*self.listener, &*end.path);
            let left = Duration::from_secs(seconds(end.not_after)).saturating_sub(now);
            let days = left.as_secs() / (24 * 60 * 60);
            if left.is_zero() {
                error!(listener, certificate, "a certificate has expired");
            } else if left < WARNED_BEFORE {
                warn!(listener, certificate, days, "a certificate expires soon");
            }
        }
    }
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}
