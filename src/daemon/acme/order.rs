//! One order, from the account to the certificate. What the authority says against it is kept in
//! its own words.

use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeHandle,
    ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};
use serde::{Deserialize, Serialize};

use super::https::Client;
use super::store::Store;
use crate::generation::acme::{Authority, Challenge, Tokens, Wanted};
use crate::sys::tls::{Alpn, Certificate, Connecting, Proof, Trust, authorities_of_the_system};

/// How an authority is asked whether it is done: soon, then less often, for as long as a busy one
/// may take to look at every name.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(3));

/// How much of what an authority says is told: some write essays.
const TOLD_MAX: usize = 1024;

/// What an authority says that does not know an account (RFC 8555 §6.7).
const UNKNOWN: &str = "accountDoesNotExist";

/// The account as it is kept, and what was told to the authority of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<Box<str>>,
    kid: Option<Box<str>>,
    credentials: AccountCredentials,
}

/// Has a certificate issued and keeps it. Waits for as long as that takes.
///
/// # Errors
/// Why there is none.
pub(super) fn order(
    wanted: &Wanted,
    store: &Store,
    tokens: &Tokens,
) -> Result<Certificate, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("cannot wait for the authority: {error}"))?;
    runtime.block_on(obtain(wanted, store, tokens))
}

async fn obtain(wanted: &Wanted, store: &Store, tokens: &Tokens) -> Result<Certificate, String> {
    let mut order = begin(wanted, store).await?;
    let mut shown = Shown::new(wanted, tokens);
    answer_challenges(&mut order, wanted.challenge, &mut shown).await?;
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Invalid) => return Err(why_invalid(&mut order, None).await),
        Ok(_) => {}
        Err(Error::Api(problem)) => return Err(why_invalid(&mut order, Some(problem)).await),
        Err(error) => return Err(told(&error)),
    }
    drop(shown);
    let key = order.finalize().await.map_err(|error| told(&error))?;
    let chain = order.poll_certificate(&PATIENCE).await;
    let chain = chain.map_err(|error| told(&error))?;
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes())
        .map_err(|mistake| format!("the certificate that was issued {}", mistake.what))?;
    if let Some(domain) = uncovered(&certificate, wanted) {
        return Err(format!(
            "the certificate that was issued is not for {domain}"
        ));
    }
    store.keep_certificate(wanted.name(), &key, &chain)?;
    Ok(certificate)
}

/// The first wanted name that a certificate is not for.
pub(super) fn uncovered<'w>(certificate: &Certificate, wanted: &'w Wanted) -> Option<&'w str> {
    let domains = wanted.domains.iter().map(|domain| &**domain);
    domains
        .into_iter()
        .find(|domain| !certificate.covers(domain))
}

/// The account, and a new order of it.
async fn begin(wanted: &Wanted, store: &Store) -> Result<Order, String> {
    let authority = &wanted.authority;
    let domains = wanted.domains.iter();
    let identifiers: Vec<_> = domains
        .map(|name| Identifier::Dns(name.to_string()))
        .collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(profile) = &wanted.profile {
        new = new.profile(profile);
    }
    if let Some(account) = kept_account(authority, store).await? {
        match account.new_order(&new).await {
            // An authority that lost it, or where it was closed.
            Err(Error::Api(problem)) if is_of(&problem, UNKNOWN) => {
                store.forget_account()?;
            }
            done => return done.map_err(|error| told(&error)),
        }
    }
    let account = new_account(authority, store).await?;
    account.new_order(&new).await.map_err(|error| told(&error))
}

fn builder(authority: &Authority) -> Result<AccountBuilder, String> {
    let authorities = match &authority.roots {
        Some(roots) => roots.clone(),
        None => authorities_of_the_system()?,
    };
    let tls = Connecting {
        trust: Trust::Authorities(authorities),
        identity: None,
        protocols: vec![Alpn::Http1],
    };
    Ok(Account::builder_with_http(Box::new(Client::new(
        tls.build()?,
    ))))
}

/// The account that is kept, if it is the one that the settings mean.
async fn kept_account(authority: &Authority, store: &Store) -> Result<Option<Account>, String> {
    let Some(kept) = store.account()? else {
        return Ok(None);
    };
    let mut kept: Kept = match serde_json::from_slice(&kept) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(
                directory = &*authority.directory,
                %error,
                "the account that is kept cannot be read: a new one is opened"
            );
            store.forget_account()?;
            return Ok(None);
        }
    };
    if kept.kid.as_deref() != authority.account.as_ref().map(|account| &*account.kid) {
        store.forget_account()?;
        return Ok(None);
    }
    // They can be read once only; what is kept stays.
    let text = serde_json::to_vec(&kept.credentials).map_err(|error| error.to_string())?;
    let again = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let account = builder(authority)?.from_credentials(again).await;
    let account = account.map_err(|error| told(&error))?;
    if kept.contact != authority.contact {
        let contact: Vec<_> = authority.contact.iter().map(|one| &**one).collect();
        match account.update_contacts(&contact).await {
            Err(Error::Api(problem)) if is_of(&problem, UNKNOWN) => {
                store.forget_account()?;
                return Ok(None);
            }
            done => done.map_err(|error| told(&error))?,
        }
        kept.contact.clone_from(&authority.contact);
        keep(&kept, store)?;
    }
    Ok(Some(account))
}

async fn new_account(authority: &Authority, store: &Store) -> Result<Account, String> {
    let contact: Vec<_> = authority.contact.iter().map(|one| &**one).collect();
    let new = NewAccount {
        contact: &contact,
        // The configuration cannot be without it.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = authority
        .account
        .as_ref()
        .map(|account| ExternalAccountKey::new(account.kid.to_string(), &account.hmac_key));
    let directory = authority.directory.to_string();
    let made = builder(authority)?
        .create(&new, directory, external.as_ref())
        .await;
    let (account, credentials) = made.map_err(|error| told(&error))?;
    let kept = Kept {
        contact: authority.contact.clone(),
        kid: authority
            .account
            .as_ref()
            .map(|account| account.kid.clone()),
        credentials,
    };
    keep(&kept, store)?;
    tracing::info!(directory = &*authority.directory, "opened an account");
    Ok(account)
}

fn keep(kept: &Kept, store: &Store) -> Result<(), String> {
    let text = serde_json::to_vec(kept).map_err(|error| error.to_string())?;
    store.keep_account(&text)
}

/// Shows the authority what it asks for, name by name.
async fn answer_challenges(
    order: &mut Order,
    challenge: Challenge,
    shown: &mut Shown<'_>,
) -> Result<(), String> {
    let kind = match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| told(&error))?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(format!("an authorization of the order is {other:?}")),
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            let challenge = challenge.as_str();
            return Err(format!("the authority offers no {challenge} for {name}"));
        };
        shown.add(&name, &challenge)?;
        challenge.set_ready().await.map_err(|error| told(&error))?;
    }
    Ok(())
}

/// What the authority is shown; nobody is when this is dropped.
struct Shown<'w> {
    wanted: &'w Wanted,
    tokens: &'w Tokens,
    open: Vec<(Box<str>, Box<str>)>,
    proofs: Vec<Proof>,
}

impl<'w> Shown<'w> {
    const fn new(wanted: &'w Wanted, tokens: &'w Tokens) -> Self {
        Self {
            wanted,
            tokens,
            open: Vec::new(),
            proofs: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, challenge: &ChallengeHandle<'_>) -> Result<(), String> {
        let authorization = challenge.key_authorization();
        match self.wanted.challenge {
            Challenge::Http01 => {
                let token = challenge.token.as_str().into();
                self.open.push((token, authorization.as_str().into()));
                self.tokens.answer(self.open.clone());
            }
            Challenge::TlsAlpn01 => {
                let digest = authorization.digest();
                let digest = digest.as_ref().try_into();
                let digest = digest.map_err(|_| "a SHA-256 has 32 bytes")?;
                self.proofs.push(Proof::new(name, digest)?);
                self.wanted.issued.prove(self.proofs.clone());
            }
        }
        Ok(())
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.tokens.answer(Vec::new());
        self.wanted.issued.prove(Vec::new());
    }
}

/// What the authority found, name by name; else what it says of the whole order.
async fn why_invalid(order: &mut Order, problem: Option<Problem>) -> String {
    let mut found = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let name = state.identifier().to_string();
        let errors = state.challenges.iter().filter_map(|one| one.error.as_ref());
        found.extend(errors.map(|error| format!("{name}: {}", of_problem(error))));
    }
    match (found.is_empty(), problem) {
        (false, _) => short(&found.join("; ")),
        (true, Some(problem)) => of_problem(&problem),
        (true, None) => String::from("the authority calls the order invalid, and does not say why"),
    }
}

/// Whether a problem is of this kind (RFC 8555 §6.7).
fn is_of(problem: &Problem, kind: &str) -> bool {
    let name = problem.r#type.as_deref().unwrap_or_default();
    name.strip_prefix("urn:ietf:params:acme:error:") == Some(kind)
}

fn told(error: &Error) -> String {
    match error {
        Error::Api(problem) => of_problem(problem),
        Error::Json(error) => short(&format!(
            "the authority's answer is not what it should be: {error}"
        )),
        Error::Timeout(_) => String::from("the authority is not done after three minutes"),
        other => short(&other.to_string()),
    }
}

/// A problem as the authority words it.
fn of_problem(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    let mut text = detail.to_owned();
    for part in &problem.subproblems {
        text.push_str("; ");
        text.push_str(part.detail.as_deref().unwrap_or_default());
    }
    match &problem.r#type {
        Some(kind) => short(&format!("{text} ({kind})")),
        None => short(&text),
    }
}

/// Of strangers' words so many, and no signs that a terminal would obey.
fn short(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_is_told_in_its_words() {
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too\u001b many",
                "subproblems": [{"detail": "of a.example"}]}"#,
        )
        .unwrap();
        assert!(is_of(&problem, "rateLimited") && !is_of(&problem, "malformed"));
        let words = "too  many; of a.example (urn:ietf:params:acme:error:rateLimited)";
        assert_eq!(told(&Error::Api(problem)), words);
        let empty: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!(of_problem(&empty), "no reason given");
        assert_eq!(short(&"x".repeat(5000)).len(), TOLD_MAX);
    }
}
