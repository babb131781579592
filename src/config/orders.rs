//! `acme` in `tls` of a listener, made ready to be ordered.

use std::path::Path;
use std::sync::Arc;

use super::model::{Acme, Listener};
use crate::build::{BuildContext, Problem};
use crate::generation::acme::{Authority, Wanted};
use crate::sys::tls::{Issued, certificates};

/// The authorities of a large firm.
const CA_BYTES_MAX: u64 = 1 << 20;

/// What is to be ordered for a listener. Another one that wants the same shares it.
///
/// # Errors
/// The file that says who vouches for the authority cannot be read.
pub(super) fn wanted(
    cx: &mut BuildContext<'_>,
    listener: &Listener,
    acme: &Acme,
) -> Result<Wanted, Box<Problem>> {
    let roots = match &acme.ca {
        None => None,
        Some(path) => {
            let at = &acme.ca_place.0;
            let text = cx.read(path, CA_BYTES_MAX, at)?;
            let found = certificates(&text).map_err(|what| {
                let message = format!("{} {what}", cx.path(path).display());
                Box::new(Problem::error("E0309", at.clone(), message))
            })?;
            Some(found)
        }
    };
    let store = cx.path(Path::new(&acme.store));
    let domains: Vec<Box<str>> = acme
        .domains
        .iter()
        .map(|name| name.as_str().into())
        .collect();
    let first = domains.first().map_or("", |name| name);
    let name = format!("{} {} {first}", store.display(), acme.directory);
    let issued = cx.carry_over.keep(&name, Issued::default);
    Ok(Wanted {
        listener: Arc::clone(&listener.name),
        domains,
        authority: Arc::new(Authority {
            directory: acme.directory.as_str().into(),
            contact: acme.contact.iter().map(|url| url.as_str().into()).collect(),
            roots,
            account: acme.account.clone(),
            store,
        }),
        challenge: acme.challenge,
        profile: acme.profile.as_deref().map(Into::into),
        issued,
    })
}
