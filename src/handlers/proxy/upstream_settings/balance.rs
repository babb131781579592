//! `balance` and `hash`.

use serde::Deserialize;
use toml::Spanned;

use super::Check;
use crate::build::Percent;
use crate::exchange::Template;
use crate::handlers::proxy::balance::{Algorithm, HashBy};

/// How a server is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Balance {
    #[default]
    RoundRobin,
    LeastConnections,
    RandomTwo,
    PeakEwma,
    Hash,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenHash {
    #[serde(default = "client")]
    key: Spanned<Template>,
    /// A quarter: enough that most keys stay where they are, little enough that none of the
    /// servers is overrun.
    #[serde(default = "quarter")]
    slack: Option<Percent>,
}

fn client() -> Spanned<Template> {
    // What the name of a variable gives is a template.
    Spanned::new(0..0, "{client.ip}".parse().unwrap_or_default())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "serde asks for the type of the field"
)]
const fn quarter() -> Option<Percent> {
    Some(Percent::whole(25))
}

impl Check<'_, '_, '_> {
    pub(super) fn algorithm(
        &mut self,
        balance: Balance,
        hash: Option<&Spanned<WrittenHash>>,
    ) -> Algorithm {
        if let Some(hash) = hash.filter(|_| balance != Balance::Hash) {
            let hint = "write balance = \"hash\" as well";
            self.refuse(hash, "`hash` says how to hash, but nothing does", hint);
        }
        match balance {
            Balance::RoundRobin => Algorithm::RoundRobin,
            Balance::LeastConnections => Algorithm::LeastConnections,
            Balance::RandomTwo => Algorithm::RandomTwo,
            Balance::PeakEwma => Algorithm::PeakEwma,
            Balance::Hash => {
                let (key, slack) = match hash.map(Spanned::get_ref) {
                    Some(hash) => (&hash.key, hash.slack),
                    None => (&client(), quarter()),
                };
                if key.get_ref().as_text().is_some() {
                    let hint =
                        "name something of the request: \"{client.ip}\", \"{cookie.session}\"";
                    self.refuse(key, "every request has this key", hint);
                }
                Algorithm::Hash(HashBy {
                    key: key.get_ref().clone(),
                    slack,
                })
            }
        }
    }
}
