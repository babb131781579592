//! A certificate that is ordered: what is served of it, and what its orders came to.

use std::fmt;
use std::time::Duration;

use tracing::{error, info, warn};

use super::order;
use super::schedule::{Life, Standing};
use super::store::{Store, Turn};
use crate::clock;
use crate::exchange::Random;
use crate::generation::acme::Wanted;
use crate::http::date::rfc3339;
use crate::sys::tls::Certificate;
use crate::telemetry::{Count, Gauge, Metrics};

/// How long another daemon that orders at the same place is left alone: an order takes some
/// seconds.
const OTHERS_TURN: Duration = Duration::from_secs(5);

/// A certificate, and how it stands with it.
pub(super) struct Job {
    pub(super) wanted: Wanted,
    pub(super) store: Store,
    standing: Standing,
    /// Until when, in time since 1970, another daemon is left alone that orders there.
    rests: Duration,
    /// Drawn once, see [`Standing::due`].
    random: u32,
    numbers: Numbers,
}

/// What is counted of a certificate.
#[derive(Debug, Clone)]
struct Numbers {
    issued: Count,
    failed: Count,
    expires: Gauge,
}

impl Job {
    pub(super) fn new(wanted: &Wanted, metrics: &Metrics) -> Self {
        let store = Store::of(&wanted.authority);
        let name = wanted.name();
        let certificate = store.certificate(name).unwrap_or_else(|error| {
            error!(
                certificate = name,
                error, "a certificate is spoilt: it is ordered anew"
            );
            None
        });
        let tries = store.tries(name).unwrap_or_else(|error| {
            warn!(
                certificate = name,
                error, "cannot tell when orders were tried"
            );
            Vec::new()
        });
        let mut job = Self {
            wanted: wanted.clone(),
            store,
            standing: Standing::default(),
            rests: Duration::ZERO,
            random: (Random::default().next() >> 32) as u32,
            numbers: Numbers::new(wanted, metrics),
        };
        job.standing.learn(tries, clock::unix_now());
        if let Some(certificate) = certificate {
            job.serve(certificate);
        }
        job
    }

    /// The same with other settings.
    pub(super) fn with(mut self, wanted: &Wanted) -> Self {
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        let same = before.domains == wanted.domains
            && before.challenge == wanted.challenge
            && before.profile == wanted.profile
            && before.authority == wanted.authority;
        if !same {
            self.standing.change();
        }
        if let Some(certificate) = before.issued.certificate() {
            self.serve(certificate);
        }
        self
    }

    /// Whether this is the one that is wanted, whatever its settings.
    pub(super) fn is_for(&self, wanted: &Wanted) -> bool {
        self.wanted.is_same(wanted)
    }

    pub(super) fn due(&self) -> Duration {
        self.standing.due(self.random).max(self.rests)
    }

    /// Hands a certificate to the handshakes.
    fn serve(&mut self, certificate: Certificate) {
        let whole = order::uncovered(&certificate, &self.wanted).is_none();
        self.standing.life = whole.then(|| life(&certificate));
        let expires = &self.numbers.expires;
        expires.add(0, certificate.not_after() - expires.get());
        self.wanted.issued.put(certificate);
    }

    /// A try begins, unless another daemon is at it, or has been; and if it can be noted: a daemon
    /// that cannot write the certificate that it gets would ask for one after the other.
    pub(super) fn begin(&mut self, now: Duration) -> Option<Turn> {
        let turn = match self.store.turn() {
            Ok(Some(turn)) => turn,
            Ok(None) => {
                let certificate = self.wanted.name();
                info!(
                    certificate,
                    "another daemon orders in this store: it is waited for"
                );
                self.rests = now.saturating_add(OTHERS_TURN);
                return None;
            }
            Err(error) => {
                self.standing.begin(now);
                self.take(Err(error));
                return None;
            }
        };
        self.learn(now);
        if self.due() > now {
            return None;
        }
        self.standing.begin(now);
        let noted = self
            .store
            .keep_tries(self.wanted.name(), &self.standing.tries);
        if let Err(error) = noted {
            self.take(Err(error));
            return None;
        }
        Some(turn)
    }

    /// Takes over what another daemon has tried, and had issued, at the same place. What cannot be
    /// read is none: it is written anew.
    fn learn(&mut self, now: Duration) {
        let name = self.wanted.name();
        if let Ok(tries) = self.store.tries(name) {
            self.standing.learn(tries, now);
        }
        let served = self.wanted.issued.certificate();
        let served = served.map(|served| served.not_after());
        if let Ok(Some(kept)) = self.store.certificate(name)
            && Some(kept.not_after()) > served
            && order::uncovered(&kept, &self.wanted).is_none()
        {
            self.serve(kept);
            info!(
                certificate = self.wanted.name(),
                "another daemon has had a certificate issued"
            );
        }
    }

    /// What came of a try.
    pub(super) fn take(&mut self, done: Result<Certificate, String>) {
        match done {
            Ok(certificate) => {
                self.numbers.issued.add(0, 1);
                let until = date(certificate.not_after());
                self.standing.succeed(life(&certificate));
                self.serve(certificate);
                let certificate = self.wanted.name();
                info!(certificate, until, "a certificate was issued");
            }
            Err(reason) => {
                self.numbers.failed.add(0, 1);
                self.standing.fail();
                let again = date(i64::try_from(self.due().as_secs()).unwrap_or(i64::MAX));
                self.tell_failed(&reason, &again);
            }
        }
    }

    fn tell_failed(&self, reason: &str, again: &str) {
        let certificate = self.wanted.name();
        let Some(served) = self.wanted.issued.certificate() else {
            let message = "no certificate was issued, and there is none to serve";
            error!(certificate, reason, again, "{message}");
            return;
        };
        let until = date(served.not_after());
        if life(&served).ends <= clock::unix_now() {
            let message = "no new certificate was issued, and the old one has expired";
            error!(certificate, reason, again, until, "{message}");
        } else {
            let message = "no new certificate was issued; the old one stays";
            warn!(certificate, reason, again, until, "{message}");
        }
    }

    /// Says so if there is nothing to serve yet.
    pub(super) fn tell_missing(&self) {
        if self.wanted.issued.certificate().is_none() {
            warn!(
                certificate = self.wanted.name(),
                directory = &*self.wanted.authority.directory,
                "there is no certificate yet: handshakes fail until one is issued"
            );
        }
    }
}

fn life(certificate: &Certificate) -> Life {
    let since = |time: i64| Duration::from_secs(time.try_into().unwrap_or(0));
    Life {
        begins: since(certificate.not_before()),
        ends: since(certificate.not_after()),
    }
}

/// A time since 1970 as logs show it.
fn date(seconds: i64) -> String {
    rfc3339(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

impl Numbers {
    fn new(wanted: &Wanted, metrics: &Metrics) -> Self {
        let certificate = || ("certificate", wanted.name().into());
        let orders = |result: &str| {
            metrics.count(
                "httpserverd_acme_orders_total",
                "Orders of certificates, by how they ended.",
                vec![certificate(), ("result", result.into())],
            )
        };
        Self {
            issued: orders("issued"),
            failed: orders("failed"),
            expires: metrics.gauge(
                "httpserverd_tls_certificate_not_after_seconds",
                "Until when a certificate holds, in seconds since 1970.",
                vec![("listener", Box::from(&*wanted.listener)), certificate()],
            ),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("certificate", &self.wanted.name())
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
