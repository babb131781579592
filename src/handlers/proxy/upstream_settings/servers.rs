//! `servers`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use super::Check;
use crate::build::{Problem, Span};
use crate::handlers::address::{Address, Scheme};
use crate::handlers::proxy::endpoint::Terms;
use crate::handlers::proxy::upstream::Server;

/// How many servers an upstream may have. Picking one looks at all of them.
const SERVERS_MAX: usize = 256;

/// Weights beyond this say nothing more about a share.
const WEIGHT_MAX: u16 = 1_000;

/// An address, or a table with an address and what holds for it alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrittenServer {
    /// The scheme, if one is written.
    pub(super) scheme: Option<Scheme>,
    pub(super) address: Address,
    pub(super) weight: Option<Spanned<u16>>,
    pub(super) backup: bool,
    pub(super) max_connections: Option<Spanned<u32>>,
    pub(super) drain: bool,
}

impl Check<'_, '_, '_> {
    pub(super) fn servers(
        &mut self,
        servers: &Spanned<Vec<Spanned<WrittenServer>>>,
        scheme: Scheme,
    ) -> Vec<Server> {
        let all = servers.get_ref();
        if all.is_empty() {
            self.refuse(
                servers,
                "an upstream needs a server",
                "list one: servers = [\"127.0.0.1:9000\"]",
            );
        }
        if all.len() > SERVERS_MAX {
            let message = format!("more than {SERVERS_MAX} servers");
            self.refuse(servers, message, "put a balancer in front of some of them");
        }
        if !all.is_empty() && all.iter().all(|server| server.get_ref().backup) {
            let message = "every server is a backup, and of none";
            self.refuse(servers, message, "leave `backup` out of those used first");
        }
        let mut known: Vec<(Server, Span)> = Vec::new();
        for server in all.iter().take(SERVERS_MAX) {
            let span = self.section.at(server.span());
            let address = &server.get_ref().address;
            let twice = known.iter().find(|(known, _)| known.address == *address);
            if let Some((_, first)) = twice {
                let problem =
                    Problem::error("E0002", span, format!("the server {address} stands twice"))
                        .hint("give it a weight instead: { address = \"…\", weight = 2 }")
                        .note(first.clone(), "first listed here");
                self.cx.problems.push(problem);
                continue;
            }
            known.push((self.server(server.get_ref(), scheme), span));
        }
        known.into_iter().map(|(server, _)| server).collect()
    }

    /// Whether the servers are spoken to over TLS: if one of them says so, all are.
    pub(super) fn scheme(
        &mut self,
        servers: &Spanned<Vec<Spanned<WrittenServer>>>,
        tls: bool,
    ) -> Scheme {
        let of = |scheme| {
            let mut all = servers.get_ref().iter();
            all.find(|server| server.get_ref().scheme == Some(scheme))
        };
        let encrypted = tls || of(Scheme::Https).is_some();
        if let Some(clear) = of(Scheme::Http).filter(|_| encrypted) {
            let hint = "all servers of an upstream are https:// or none is; write two upstreams \
                        and a `split`";
            self.refuse(clear, "a server in the clear among others over TLS", hint);
        }
        if encrypted {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    fn server(&mut self, written: &WrittenServer, scheme: Scheme) -> Server {
        let weight = written.weight.as_ref().map_or(1, |weight| {
            if !(1..=WEIGHT_MAX).contains(weight.get_ref()) {
                let message = format!("a weight is a number from 1 to {WEIGHT_MAX}");
                self.refuse(weight, message, "`drain = true` sends it nothing new");
            }
            *weight.get_ref()
        });
        let max_connections = written.max_connections.as_ref();
        Server {
            address: written.address.clone(),
            name: written.address.to_string().into(),
            authority: written.address.authority(scheme).into(),
            terms: Terms {
                weight,
                backup: written.backup,
                max_connections: max_connections.map_or(u32::MAX, |max| self.at_least_one(max)),
                drain: written.drain,
            },
        }
    }
}

struct WithScheme(Option<Scheme>, Address);

impl<'de> Deserialize<'de> for WithScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = WithScheme;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:9000\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<WithScheme, E> {
                let (scheme, address) = Address::parse_with_scheme(text).map_err(E::custom)?;
                Ok(WithScheme(scheme, address))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for WrittenServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            address: WithScheme,
            #[serde(default)]
            weight: Option<Spanned<u16>>,
            #[serde(default)]
            backup: bool,
            #[serde(default)]
            max_connections: Option<Spanned<u32>>,
            #[serde(default)]
            drain: bool,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WrittenServer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table with `address`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<WrittenServer, E> {
                let (scheme, address) = Address::parse_with_scheme(text).map_err(E::custom)?;
                Ok(WrittenServer {
                    scheme,
                    address,
                    weight: None,
                    backup: false,
                    max_connections: None,
                    drain: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenServer, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let WithScheme(scheme, address) = table.address;
                Ok(WrittenServer {
                    scheme,
                    address,
                    weight: table.weight,
                    backup: table.backup,
                    max_connections: table.max_connections,
                    drain: table.drain,
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
