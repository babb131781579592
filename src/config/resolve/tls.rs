//! `tls` of a `[[listener]]`: what it is encrypted with.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use super::{Resolver, acme};
use crate::build::wording::{kind_in_words, one_of};
use crate::build::{HumanDuration, Problem, Section};
use crate::config::model::{CertificateFiles, ClientAuth, Place, Tls, TlsFiles};
use crate::sys::tls::{cipher_names, group_names, is_cipher_of_tls13};

/// Three round trips of the slowest satellite link and a slow phone's arithmetic; a client that
/// needs longer for a few hundred bytes means no good.
const HANDSHAKE_TIMEOUT: HumanDuration = HumanDuration::seconds(10);

/// As written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Written {
    certificates: Option<Spanned<Vec<Spanned<WrittenCertificate>>>>,
    acme: Option<Spanned<acme::Written>>,
    min_version: Option<Spanned<String>>,
    ciphers: Vec<Spanned<String>>,
    key_exchange: Vec<Spanned<String>>,
    client_auth: Option<Spanned<WrittenClientAuth>>,
    session_tickets: Option<Spanned<bool>>,
    early_data: Option<Spanned<bool>>,
    handshake_timeout: Option<Spanned<HumanDuration>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCertificate {
    cert: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
    ocsp: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClientAuth {
    mode: Option<Spanned<String>>,
    ca: Spanned<PathBuf>,
    crl: Option<Spanned<PathBuf>>,
}

const EXAMPLE: &str = "tls = { certificates = [{ cert = \"fullchain.pem\", key = \"key.pem\" }] }";

impl Resolver<'_, '_> {
    /// Reads it; `None` if it has mistakes.
    pub(super) fn tls(&mut self, file: usize, value: Spanned<DeValue<'_>>) -> Option<Tls> {
        let range = value.span();
        let at = crate::build::Span { file, range };
        match value.get_ref() {
            DeValue::Table(_) => {}
            DeValue::String(word) if word == "self_signed" => return Some(Tls::SelfSigned),
            other => {
                let message = match other {
                    DeValue::String(word) => format!("`tls` cannot be \"{}\"", word.escape_debug()),
                    other => format!("`tls` must be a table, found {}", kind_in_words(other)),
                };
                let hint = format!("write {EXAMPLE}, or tls = \"self_signed\" for development");
                self.report(Problem::error("E0002", at, message).hint(hint));
                return None;
            }
        }
        let section = Section::new(file, "`tls`", value);
        let before = self.cx.problems.len();
        let (written, good) = self.cx.settings_mended::<Written>(&section, &[]);
        let written = written?;
        let certificates = self.certificates(&section, &written, before);
        let acme = written.acme.as_ref();
        let acme = acme.map_or(Some(None), |acme| {
            self.acme(&section, acme, before).map(Some)
        });
        let only_tls13 = self.only_tls13(&section, written.min_version.as_ref());
        let ciphers = self.names(&section, "ciphers", &written.ciphers, &cipher_names());
        let groups = self.names(
            &section,
            "key_exchange",
            &written.key_exchange,
            &group_names(),
        );
        self.some_cipher_is_left(&section, &written, only_tls13 == Some(true));
        let clients = match &written.client_auth {
            None => Some(None),
            Some(auth) => self.client_auth(&section, auth).map(Some),
        };
        let handshake_timeout = self.handshake_timeout(&section, &written)?;
        let tickets = written.session_tickets.as_ref();
        let tickets = tickets.is_none_or(|tickets| *tickets.get_ref());
        let early = written.early_data.as_ref().filter(|early| *early.get_ref());
        if let Some(early) = early.filter(|_| !tickets) {
            let message = "`early_data` comes in sessions that are resumed, and none is";
            let problem = Problem::error("E0310", section.at(early.span()), message);
            self.report(problem.hint("leave `session_tickets` out"));
            return None;
        }
        let files = TlsFiles {
            certificates: certificates?,
            acme: acme?,
            only_tls13: only_tls13?,
            ciphers: ciphers?,
            groups: groups?,
            client_auth: clients?,
            session_tickets: tickets,
            early_data: early.is_some(),
            handshake_timeout,
            written: section.written(&self.cx.unquoted),
        };
        good.then_some(Tls::Files(Box::new(files)))
    }

    fn handshake_timeout(&mut self, section: &Section<'_>, written: &Written) -> Option<Duration> {
        let Some(timeout) = &written.handshake_timeout else {
            return Some(HANDSHAKE_TIMEOUT.0);
        };
        let time = timeout.get_ref().0;
        if time.is_zero() {
            let message = "`handshake_timeout` of 0 would let nobody in";
            let at = section.at(timeout.span());
            self.report(Problem::error("E0501", at, message));
            return None;
        }
        Some(time)
    }

    fn certificates(
        &mut self,
        section: &Section<'_>,
        written: &Written,
        before: usize,
    ) -> Option<Vec<CertificateFiles>> {
        let listed = written.certificates.as_ref();
        let Some(listed) = listed.filter(|listed| !listed.get_ref().is_empty()) else {
            if listed.is_none() && written.acme.is_some() {
                return Some(Vec::new());
            }
            // It may be there, with mistakes.
            if !self.spoke_of("certificates", before) {
                let at = listed.map_or_else(|| section.span(), |listed| section.at(listed.span()));
                self.report(
                    Problem::error("E0004", at, "`tls` needs `certificates`")
                        .label("nothing to be encrypted with")
                        .hint(format!("write {EXAMPLE}, or have one ordered with `acme`")),
                );
            }
            return None;
        };
        let listed = listed.get_ref().iter();
        Some(
            listed
                .map(|one| {
                    let files = one.get_ref();
                    CertificateFiles {
                        cert: files.cert.get_ref().clone(),
                        key: files.key.get_ref().clone(),
                        ocsp: files.ocsp.as_ref().map(|path| path.get_ref().clone()),
                        cert_place: Place(section.at(files.cert.span())),
                        key_place: Place(section.at(files.key.span())),
                        ocsp_place: Place(
                            section.at(files.ocsp.as_ref().unwrap_or(&files.cert).span()),
                        ),
                    }
                })
                .collect(),
        )
    }

    /// TLS 1.2 is the oldest there is: 1.0 and 1.1 are no more (RFC 8996).
    fn only_tls13(
        &mut self,
        section: &Section<'_>,
        written: Option<&Spanned<String>>,
    ) -> Option<bool> {
        let Some(version) = written else {
            return Some(false);
        };
        let text = version.get_ref().as_str();
        match text {
            "1.2" => Some(false),
            "1.3" => Some(true),
            _ => {
                let at = section.at(version.span());
                self.report(one_of(at, "`min_version`", text, &["1.2", "1.3"]));
                None
            }
        }
    }

    /// Checks a list of names of which each must be known.
    fn names(
        &mut self,
        section: &Section<'_>,
        key: &str,
        written: &[Spanned<String>],
        known: &[impl AsRef<str>],
    ) -> Option<Vec<String>> {
        let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
        let mut good = true;
        for name in written {
            if !known.contains(&name.get_ref().as_str()) {
                let at = section.at(name.span());
                self.report(one_of(at, &format!("`{key}`"), name.get_ref(), &known));
                good = false;
            }
        }
        let names = written.iter().map(|name| name.get_ref().clone());
        good.then(|| names.collect())
    }

    /// Ciphers of TLS 1.2 alone can agree on nothing where TLS 1.2 is refused.
    fn some_cipher_is_left(&mut self, section: &Section<'_>, written: &Written, only_tls13: bool) {
        let mut ciphers = written.ciphers.iter();
        let none_is = !ciphers.any(|name| is_cipher_of_tls13(name.get_ref()));
        if let Some(first) = written.ciphers.first().filter(|_| only_tls13 && none_is) {
            let message = "none of the `ciphers` is one of TLS 1.3, which `min_version` demands";
            let mut problem = Problem::error("E0310", section.at(first.span()), message);
            if let Some(version) = &written.min_version {
                problem = problem.note(section.at(version.span()), "demanded here");
            }
            self.report(problem.hint("leave `ciphers` out: those of TLS 1.3 are all good"));
        }
    }

    fn client_auth(
        &mut self,
        section: &Section<'_>,
        written: &Spanned<WrittenClientAuth>,
    ) -> Option<ClientAuth> {
        let auth = written.get_ref();
        let required = match auth
            .mode
            .as_ref()
            .map(|mode| (mode, mode.get_ref().as_str()))
        {
            None | Some((_, "require")) => true,
            Some((_, "request")) => false,
            Some((mode, text)) => {
                let at = section.at(mode.span());
                self.report(one_of(at, "`mode`", text, &["request", "require"]));
                return None;
            }
        };
        Some(ClientAuth {
            required,
            ca: auth.ca.get_ref().clone(),
            crl: auth.crl.as_ref().map(|path| path.get_ref().clone()),
            ca_place: Place(section.at(auth.ca.span())),
            crl_place: Place(section.at(auth.crl.as_ref().unwrap_or(&auth.ca).span())),
        })
    }
}
