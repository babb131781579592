//! `jwt`: who asks, by a token that someone who is trusted has signed (RFC 7519, RFC 6750).
//!
//! Signatures are verified by the `jsonwebtoken` crate; which algorithms are taken is for the
//! configuration to say, which keys serve which of them for the keys, and neither for the token
//! (RFC 8725 §3.1).
//!
//! They are verified on the worker: that takes 16 µs for RSA, 60 for P-256 and 100 for Ed25519,
//! once for each token and worker. Handing it to the blocking pool and waiting for it would take
//! about as much, in the queue of what waits for disks.

mod claims;
mod keys;
mod remote;
mod settings;
mod source;
mod token;
mod verified;

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use self::claims::{Rules, Unfit, as_text, find};
use self::keys::Keys;
use self::remote::{Remote, State};
use self::token::{BadToken, Token};
use self::verified::Verified;
use super::credentials::{Ambiguous, Tally, Verdict, authorization, quoted, retry_after};
use super::current::Current;
use super::told::take_away;
use crate::clock;
use crate::exchange::variable::cookie;
use crate::exchange::{Exchange, Flow, Middleware, Resume};
use crate::http::{HeaderName, StatusCode, name};

pub(super) use settings::KIND;

/// Asks for a token.
#[derive(Debug, Clone)]
struct Jwt(Arc<Asker>);

#[derive(Debug)]
struct Asker {
    source: Source,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    cookie: Option<Box<str>>,
    query: Option<Arc<str>>,
    /// The claim that names the user.
    user: Box<str>,
    /// Fields that tell those further in, and the claims they tell.
    told: Vec<(HeaderName, Box<str>)>,
    strip: bool,
    realm: Box<str>,
    tally: Tally,
}

/// Where keys come from.
#[derive(Debug)]
enum Source {
    /// From the configuration or a file.
    Local(Arc<Current<Keys>>),
    /// From an upstream.
    Remote(Arc<Remote>),
}

/// What a token says that was verified.
type Claims = Arc<Map<String, Value>>;

/// Why a token does not get in.
enum Refusal {
    Missing,
    Token(BadToken),
    Claims(Unfit),
}

impl Middleware for Jwt {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let asker = &self.0;
        for (name, _) in &asker.told {
            take_away(&mut x.request.headers, name);
        }
        if let Some(parameter) = &asker.query {
            let secret = Arc::clone(parameter);
            x.facts_mut().secret_parameters.push(secret);
        }
        asker.decide(x, true)
    }
}

impl Asker {
    /// Lets the request through or refuses it. What needs keys that are not here waits for
    /// them, once.
    fn decide(self: &Arc<Self>, x: &mut Exchange<'_>, may_wait: bool) -> Flow {
        let remote = match &self.source {
            Source::Local(keys) => {
                let keys = keys.get(x.locals);
                return self.conclude(x, self.verify(x, &keys));
            }
            Source::Remote(remote) => remote,
        };
        let (published, state) = remote.keys(x.locals);
        if state == State::Stale {
            // Nobody waits for these: the keys there are will do.
            drop(remote.refresh(x.locals));
        }
        let result = match state {
            State::None => Err(Refusal::Token(BadToken::KeyUnknown)),
            State::Fresh | State::Stale => self.verify(x, &published.keys),
        };
        let lacks_key = matches!(result, Err(Refusal::Token(BadToken::KeyUnknown)));
        if !lacks_key {
            return self.conclude(x, result);
        }
        // What could be no token with any key is not worth a question.
        if let Err(refusal) = self.read(x) {
            return self.conclude(x, Err(refusal));
        }
        if may_wait && let Some(task) = remote.refresh(x.locals) {
            let asker = Arc::clone(self);
            return Flow::Wait(Box::pin(async move {
                // One that panicked has brought no keys, and that is seen.
                drop(task.await);
                Box::new(move |x: &mut Exchange<'_>| asker.decide(x, false)) as Resume
            }));
        }
        match state {
            State::None => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let flow = self.tally.refuse(x, Verdict::Unavailable, status, None);
                retry_after(flow, 10)
            }
            State::Fresh | State::Stale => self.conclude(x, result),
        }
    }

    /// Whether there is a token, as far as that can be told without a key.
    fn read(&self, x: &Exchange<'_>) -> Result<(), Refusal> {
        let read = |text: &str| {
            let token = Token::read(text, &self.algorithms);
            token.map(|_| ()).map_err(Refusal::Token)
        };
        self.with_token(x, read)
    }

    fn verify(&self, x: &Exchange<'_>, keys: &Arc<Keys>) -> Result<Claims, Refusal> {
        self.with_token(x, |text| {
            let token = Token::read(text, &self.algorithms).map_err(Refusal::Token)?;
            let verify = || token.verify(keys).map_err(Refusal::Token);
            let claims = Verified::claims(x.locals, text, keys, verify)?;
            let fits = self.rules.check(&claims, clock::unix_now());
            fits.map(|()| claims).map_err(Refusal::Claims)
        })
    }

    /// Gives the token to `use_it`: that of `Authorization`, or else of the cookie, or else of
    /// the query.
    fn with_token<T>(
        &self,
        x: &Exchange<'_>,
        use_it: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let text =
            |bytes| std::str::from_utf8(bytes).map_err(|_| Refusal::Token(BadToken::Malformed));
        match authorization(&x.request.headers, "Bearer") {
            Ok(Some(token)) => return use_it(text(token)?),
            Ok(None) => {}
            Err(Ambiguous) => return Err(Refusal::Token(BadToken::Malformed)),
        }
        let cookie = self.cookie.as_deref().and_then(|name| cookie(x, name));
        if let Some(token) = cookie {
            return use_it(text(token)?);
        }
        let query = self.query.as_deref();
        match query.and_then(|name| x.request.target.query_value(name)) {
            Some(token) => use_it(&token),
            None => Err(Refusal::Missing),
        }
    }

    fn conclude(&self, x: &mut Exchange<'_>, result: Result<Claims, Refusal>) -> Flow {
        match result {
            Ok(claims) => self.accept(x, claims),
            Err(Refusal::Missing) => self.refuse(x, Verdict::Missing, "", None),
            Err(Refusal::Token(bad)) => {
                let verdict = match bad {
                    BadToken::Malformed => Verdict::Malformed,
                    _ => Verdict::Wrong,
                };
                self.refuse(x, verdict, bad.describe(), None)
            }
            Err(Refusal::Claims(Unfit::Stale(why))) => self.refuse(x, Verdict::Stale, why, None),
            Err(Refusal::Claims(Unfit::Invalid(why))) => self.refuse(x, Verdict::Wrong, why, None),
            Err(Refusal::Claims(Unfit::Insufficient(scope))) => {
                let why = "the token does not allow this";
                self.refuse(x, Verdict::Insufficient, why, scope.as_deref())
            }
        }
    }

    /// The errors of RFC 6750 §3.1. Who brought no token is told of none.
    fn refuse(
        &self,
        x: &mut Exchange<'_>,
        verdict: Verdict,
        why: &str,
        scope: Option<&str>,
    ) -> Flow {
        let mut challenge = format!("Bearer realm={}", quoted(&self.realm));
        let (status, error) = match verdict {
            Verdict::Insufficient => (StatusCode::FORBIDDEN, "insufficient_scope"),
            _ => (StatusCode::UNAUTHORIZED, "invalid_token"),
        };
        if verdict != Verdict::Missing {
            challenge.push_str(", error=\"");
            challenge.push_str(error);
            challenge.push_str("\", error_description=");
            challenge.push_str(&quoted(why));
        }
        if let Some(scope) = scope {
            challenge.push_str(", scope=");
            challenge.push_str(&quoted(scope));
        }
        self.tally
            .refuse(x, verdict, status, Some(challenge.as_bytes()))
    }

    fn accept(&self, x: &mut Exchange<'_>, claims: Claims) -> Flow {
        self.tally.accept(x);
        if self.strip {
            x.request.headers.remove(&name::AUTHORIZATION);
        }
        for (name, claim) in &self.told {
            if let Some(value) = find(&claims, claim).and_then(as_text) {
                x.request.headers.set(name, value);
            }
        }
        let user = find(&claims, &self.user).and_then(as_text);
        let facts = x.facts_mut();
        facts.user = user.map(Into::into);
        facts.claims = Some(claims);
        Flow::Continue
    }
}

#[cfg(test)]
mod tests;
