//! What the upstream is told in `Host`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

use super::settings::Rewriting;
use crate::http::RequestHead;
use crate::http::authority::is_host;

/// What the upstream is told in `Host`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum HostPolicy {
    /// What the client asked for.
    #[default]
    Preserve,
    /// The address of the endpoint.
    Upstream,
    /// This.
    Fixed(Box<str>),
}

impl<'de> Deserialize<'de> for HostPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            fixed: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = HostPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"preserve\", \"upstream\" or { fixed = \"…\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HostPolicy, E> {
                match text {
                    "preserve" => Ok(HostPolicy::Preserve),
                    "upstream" => Ok(HostPolicy::Upstream),
                    other => Err(E::unknown_variant(other, &["preserve", "upstream"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HostPolicy, A::Error> {
                let Table { fixed } = Table::deserialize(MapAccessDeserializer::new(map))?;
                if fixed.is_empty() || !is_host(fixed.as_bytes()) {
                    return Err(A::Error::custom(format!(
                        "{fixed:?} is not a host\nwrite it like \"app.example.com\" or \"app:8080\""
                    )));
                }
                Ok(HostPolicy::Fixed(fixed.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What the upstream is told in `Host`; `None` if that is the authority of the endpoint.
pub(super) fn told_host<'h>(
    rewriting: &'h Rewriting,
    request: &'h RequestHead,
) -> Option<&'h [u8]> {
    match &rewriting.host {
        HostPolicy::Preserve => Some(request.authority_bytes()).filter(|host| !host.is_empty()),
        HostPolicy::Upstream => None,
        HostPolicy::Fixed(host) => Some(host.as_bytes()),
    }
}
