//! `acme` in `tls` of a `[[listener]]`: a certificate that an authority issues by itself.

mod domain;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use toml::Spanned;

use super::Resolver;
use crate::build::secret::Secret;
use crate::build::wording::one_of;
use crate::build::{Problem, Section, Span};
use crate::config::model::{Acme, Listener, Place, Tls};
use crate::generation::acme::{Challenge, ExternalAccount};
use domain::wrong_domain;

/// Authorities that have a name here, with the URL of their directory.
const AUTHORITIES: [(&str, &str); 4] = [
    (
        "letsencrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    (
        "letsencrypt_staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
    ("google", "https://dv.acme-v02.api.pki.goog/directory"),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
];

/// Those of them that know nobody without an account of theirs.
const WITH_ACCOUNT: [&str; 2] = ["google", "zerossl"];

/// Where systemd gives the service a folder of its own.
const STORE: &str = "/var/lib/httpserverd/acme";

/// As many names as the largest authority puts into one certificate.
const DOMAINS_MAX: usize = 100;

/// As written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    domains: Option<Spanned<Vec<Spanned<String>>>>,
    contact: Vec<Spanned<String>>,
    directory: Option<Spanned<String>>,
    accept_terms: Option<Spanned<bool>>,
    challenge: Option<Spanned<String>>,
    profile: Option<Spanned<String>>,
    store: Option<PathBuf>,
    ca: Option<Spanned<PathBuf>>,
    eab: Option<Spanned<WrittenAccount>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAccount {
    kid: String,
    hmac_key: Spanned<Secret>,
}

impl Resolver<'_, '_> {
    /// Reads it; `None` if it has mistakes.
    pub(super) fn acme(
        &mut self,
        section: &Section<'_>,
        acme: &Spanned<Written>,
        before: usize,
    ) -> Option<Acme> {
        let written = acme.get_ref();
        let at = section.at(acme.span());
        let domains = self.domains(section, written, &at, before);
        let directory = self.directory(section, written.directory.as_ref());
        let contact = self.contact(section, &written.contact);
        let challenge = self.challenge(section, written.challenge.as_ref());
        let terms = self.terms(section, written.accept_terms.as_ref(), &at, before);
        let account = match &written.eab {
            None => Some(None),
            // It lacks something, which was said.
            Some(_) if self.spoke_of("acme.eab", before) => None,
            Some(account) => self.external_account(section, account).map(Some),
        };
        let (directory, account) = (directory?, account?);
        if account.is_none()
            && let Some(known) = known_as(&directory).filter(|name| WITH_ACCOUNT.contains(name))
        {
            let named = written.directory.as_ref();
            let at = named.map_or_else(|| at.clone(), |one| section.at(one.span()));
            let message = format!("\"{known}\" issues to those alone who have an account there");
            let problem = Problem::error("E0312", at, message);
            self.report(
                problem
                    .hint("it gives you what belongs in eab = { kid = \"…\", hmac_key = \"…\" }"),
            );
            return None;
        }
        terms.then_some(())?;
        Some(Acme {
            domains: domains?,
            contact: contact?,
            directory,
            challenge: challenge?,
            profile: written.profile.as_ref().map(|name| name.get_ref().clone()),
            store: written.store.clone().unwrap_or_else(|| STORE.into()),
            ca: written.ca.as_ref().map(|path| path.get_ref().clone()),
            account,
            ca_place: Place(
                written
                    .ca
                    .as_ref()
                    .map_or_else(|| at.clone(), |ca| section.at(ca.span())),
            ),
            place: Place(at),
        })
    }

    fn domains(
        &mut self,
        section: &Section<'_>,
        written: &Written,
        at: &Span,
        before: usize,
    ) -> Option<Vec<String>> {
        let listed = written.domains.as_ref();
        let Some(listed) = listed.filter(|listed| !listed.get_ref().is_empty()) else {
            if !self.spoke_of("acme.domains", before) {
                let at = listed.map_or_else(|| at.clone(), |listed| section.at(listed.span()));
                let problem = Problem::error("E0004", at, "`acme` needs `domains`");
                self.report(problem.hint(
                    "write it like acme = { domains = [\"example.com\"], accept_terms = true }",
                ));
            }
            return None;
        };
        let mut names = Vec::<String>::new();
        let mut good = true;
        for domain in listed.get_ref() {
            let name = domain.get_ref().to_ascii_lowercase();
            let wrong = match wrong_domain(&name) {
                None if names.contains(&name) => Some(("is named twice", "once is enough")),
                wrong => wrong,
            };
            if let Some((what, hint)) = wrong {
                let message = format!("`{}` {what}", domain.get_ref().escape_debug());
                let problem = Problem::error("E0312", section.at(domain.span()), message);
                self.report(problem.hint(hint));
                good = false;
            }
            names.push(name);
        }
        if names.len() > DOMAINS_MAX {
            let message = format!("a certificate is for {DOMAINS_MAX} names at the most");
            let at = section.at(listed.span());
            self.report(
                Problem::error("E0312", at, message)
                    .hint("give some a listener, or an authority, of their own"),
            );
            return None;
        }
        good.then_some(names)
    }

    /// A word, or a URL.
    fn directory(
        &mut self,
        section: &Section<'_>,
        written: Option<&Spanned<String>>,
    ) -> Option<String> {
        let Some(written) = written else {
            return AUTHORITIES.first().map(|(_, url)| (*url).to_owned());
        };
        let text = written.get_ref().as_str();
        if let Some((_, url)) = AUTHORITIES.iter().find(|(name, _)| *name == text) {
            return Some((*url).to_owned());
        }
        let at = section.at(written.span());
        if let Some(rest) = text.strip_prefix("https://") {
            let visible = rest.bytes().all(|byte| byte.is_ascii_graphic());
            if visible && !rest.is_empty() && !rest.starts_with('/') {
                return Some(text.to_owned());
            }
        } else if text.starts_with("http://") {
            // RFC 8555 §6.1
            let message = "an authority is asked over https:// and nothing else";
            self.report(
                Problem::error("E0312", at, message)
                    .hint("`ca` names who vouches for one of your own"),
            );
            return None;
        }
        let names = AUTHORITIES.map(|(name, _)| name);
        self.report(one_of(at, "`directory`", text, &names));
        None
    }

    /// Addresses of mail, as URLs.
    fn contact(
        &mut self,
        section: &Section<'_>,
        written: &[Spanned<String>],
    ) -> Option<Vec<String>> {
        let mut urls = Vec::new();
        let mut good = true;
        for one in written {
            let address = one.get_ref().trim_start_matches("mailto:");
            if !is_mail_address(address) {
                let message = format!("`{}` is no address of mail", one.get_ref().escape_debug());
                let problem = Problem::error("E0312", section.at(one.span()), message);
                self.report(problem.hint("write it like contact = [\"ops@example.com\"]"));
                good = false;
            }
            urls.push(format!("mailto:{address}"));
        }
        good.then_some(urls)
    }

    fn challenge(
        &mut self,
        section: &Section<'_>,
        written: Option<&Spanned<String>>,
    ) -> Option<Challenge> {
        // It needs no other listener than this one.
        let Some(written) = written else {
            return Some(Challenge::TlsAlpn01);
        };
        let text = written.get_ref().as_str();
        let known = Challenge::ALL.into_iter().find(|one| one.as_str() == text);
        if known.is_none() {
            let at = section.at(written.span());
            let problem = one_of(
                at,
                "`challenge`",
                text,
                &Challenge::ALL.map(Challenge::as_str),
            );
            self.report(problem);
        }
        known
    }

    /// Nobody but the operator can agree to them.
    fn terms(
        &mut self,
        section: &Section<'_>,
        written: Option<&Spanned<bool>>,
        acme: &Span,
        before: usize,
    ) -> bool {
        if written.is_some_and(|accepted| *accepted.get_ref()) {
            return true;
        }
        if self.spoke_of("acme.accept_terms", before) {
            return false;
        }
        let at = written.map_or_else(|| acme.clone(), |accepted| section.at(accepted.span()));
        let message = "an authority issues to those who accept its terms";
        let problem = Problem::error("E0312", at, message);
        self.report(
            problem.hint(
                "read them where the authority publishes them, then write accept_terms = true",
            ),
        );
        false
    }

    fn external_account(
        &mut self,
        section: &Section<'_>,
        written: &Spanned<WrittenAccount>,
    ) -> Option<ExternalAccount> {
        let account = written.get_ref();
        let text = account.hmac_key.get_ref().expose().trim_end_matches('=');
        match URL_SAFE_NO_PAD.decode(text) {
            Ok(hmac_key) if !hmac_key.is_empty() => Some(ExternalAccount {
                kid: account.kid.as_str().into(),
                hmac_key,
            }),
            _ => {
                let at = section.at(account.hmac_key.span());
                let problem = Problem::error("E0312", at, "`hmac_key` is not base64url");
                self.report(
                    problem
                        .hint("it is the key as the authority shows it: letters, digits, - and _"),
                );
                None
            }
        }
    }

    /// Certificates that would be kept at the same place must be the same; those who are asked
    /// for a file must be reachable without TLS.
    pub(super) fn acme_together(&mut self, listeners: &[Listener]) {
        let all: Vec<&Acme> = listeners.iter().filter_map(acme_of).collect();
        for (position, one) in all.iter().enumerate() {
            for other in all.iter().take(position) {
                if let Some((message, hint)) = in_each_others_way(one, other) {
                    let problem = Problem::error("E0313", one.place.0.clone(), message);
                    self.report(
                        problem
                            .note(other.place.0.clone(), "the other one")
                            .hint(hint),
                    );
                    return;
                }
            }
        }
        let plain = listeners.iter().any(|listener| listener.tls.is_none());
        let asked = all.iter().find(|one| one.challenge == Challenge::Http01);
        if let Some(one) = asked.filter(|_| !plain) {
            let message = "`http-01` is asked for on port 80, and no listener speaks plain HTTP";
            let problem = Problem::error("E0313", one.place.0.clone(), message);
            self.report(
                problem
                    .hint("add a [[listener]] without `tls`, or use challenge = \"tls-alpn-01\""),
            );
        }
    }
}

fn is_mail_address(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && text.bytes().all(visible)
}

fn acme_of(listener: &Listener) -> Option<&Acme> {
    match &listener.tls {
        Some(Tls::Files(files)) => files.acme.as_ref(),
        Some(Tls::SelfSigned) | None => None,
    }
}

/// What two cannot have in common without being the same.
fn in_each_others_way(one: &Acme, other: &Acme) -> Option<(String, &'static str)> {
    if one.store != other.store || one.directory != other.directory {
        return None;
    }
    if one.contact != other.contact || one.account != other.account || one.ca != other.ca {
        let message = "two accounts at one authority would be kept at the same place";
        let hint = "write the same `contact`, `eab` and `ca`, or give one a `store` of its own";
        return Some((message.to_owned(), hint));
    }
    if one.domains.first() == other.domains.first() && one != other {
        let first = one.domains.first().map_or("", String::as_str);
        let message = format!("two different certificates would be kept as `{first}`");
        return Some((
            message,
            "begin `domains` with another name, or write the same in both",
        ));
    }
    None
}

/// What an authority that has a name here is called.
fn known_as(directory: &str) -> Option<&'static str> {
    let known = AUTHORITIES.iter().find(|(_, url)| *url == directory);
    known.map(|(name, _)| *name)
}
