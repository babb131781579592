//! What an `[upstream.NAME]` table may say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use super::check::HealthCheck;
use super::endpoint::Endpoint;
use super::upstream::{KeepAlive, Timeouts, Upstream};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, Span, keys,
};
use crate::handlers::address::Address;

/// A named group of endpoints.
pub const UPSTREAM: Kind<Arc<Upstream>> = Kind {
    name: "upstream",
    summary: "A named group of servers that routes may proxy to",
    example: r#"
servers = ["127.0.0.1:9000", "unix:/run/app.sock", { address = "app.internal:80", weight = 2 }]
balance = "round_robin"
connect_timeout = "3s"
first_byte_timeout = "60s"    # from the request sent to the first byte of the answer
idle_timeout = "60s"          # between two bytes of a body; there is no total deadline
tunnel_idle_timeout = "1h"    # of WebSockets and whatever else a connection is upgraded to
keep_alive = { max_idle = 128, idle_timeout = "60s" }       # per worker and server
[health_check]
path = "/healthz"
interval = "5s"
timeout = "2s"
healthy_after = 2
unhealthy_after = 3
"#,
    keys: keys! {
        "servers": "list of servers",
            "addresses, or tables: { address = \"app.internal:80\", weight = 2 }";
        "balance": "word" = r#""round_robin""#, "how a server is picked";
        "connect_timeout": "duration" = r#""3s""#, "for a connection to be made";
        "first_byte_timeout": "duration" = r#""60s""#,
            "from the request sent to the first byte of the answer";
        "idle_timeout": "duration" = r#""60s""#,
            "between two bytes of a body; there is no total deadline";
        "tunnel_idle_timeout": "duration" = r#""1h""#,
            "between two bytes of a WebSocket or whatever a connection is upgraded to";
        "keep_alive": "table" = "{}", "the connections that are kept for the next request";
        "keep_alive.max_idle": "number" = "128", "how many, by each worker to each server";
        "keep_alive.idle_timeout": "duration" = r#""60s""#, "how long";
        "health_check": "table" = "(none)", "asks each server how it is, in the background";
        "health_check.path": "path", "what is asked for; 2xx is healthy";
        "health_check.interval": "duration" = r#""5s""#, "from one check to the next";
        "health_check.timeout": "duration" = r#""2s""#, "what takes longer has failed";
        "health_check.healthy_after": "number" = "2",
            "good checks in a row until it is asked again";
        "health_check.unhealthy_after": "number" = "3",
            "bad checks in a row until it is left out";
    },
    parse,
};

/// How many endpoints an upstream may have. Picking one looks at all of them.
const SERVERS_MAX: usize = 256;

/// Weights beyond this say nothing more about a share.
const WEIGHT_MAX: u16 = 1_000;

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    servers: Spanned<Vec<Spanned<Server>>>,
    /// Read for its mistakes: there is only one way so far.
    #[serde(default)]
    #[expect(dead_code, reason = "the only value there is")]
    balance: Balance,
    #[serde(default = "seconds::<3>")]
    connect_timeout: Spanned<HumanDuration>,
    #[serde(default = "seconds::<60>")]
    first_byte_timeout: Spanned<HumanDuration>,
    #[serde(default = "seconds::<60>")]
    idle_timeout: Spanned<HumanDuration>,
    /// An hour: a quiet WebSocket is no dead one, and nobody pings less often than that.
    #[serde(default = "seconds::<3600>")]
    tunnel_idle_timeout: Spanned<HumanDuration>,
    #[serde(default)]
    keep_alive: WrittenKeepAlive,
    #[serde(default)]
    health_check: Option<WrittenHealthCheck>,
}

/// An address, or a table with an address and a weight.
#[derive(Debug, Clone, PartialEq)]
struct Server {
    address: Address,
    weight: Option<Spanned<u16>>,
}

#[derive(Debug, Default)]
struct Balance;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenKeepAlive {
    max_idle: usize,
    idle_timeout: HumanDuration,
}

impl Default for WrittenKeepAlive {
    fn default() -> Self {
        Self {
            // As many as a busy worker has requests under way at a time; each costs a socket
            // and some hundred bytes.
            max_idle: 128,
            // Shorter than the 75 s after which nginx, and the 65 s after which others, close.
            idle_timeout: HumanDuration::seconds(60),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHealthCheck {
    path: Spanned<String>,
    #[serde(default = "seconds::<5>")]
    interval: Spanned<HumanDuration>,
    #[serde(default = "seconds::<2>")]
    timeout: Spanned<HumanDuration>,
    #[serde(default = "times::<2>")]
    healthy_after: Spanned<u32>,
    #[serde(default = "times::<3>")]
    unhealthy_after: Spanned<u32>,
}

fn seconds<const N: u64>() -> Spanned<HumanDuration> {
    Spanned::new(0..0, HumanDuration::seconds(N))
}

fn times<const N: u32>() -> Spanned<u32> {
    Spanned::new(0..0, N)
}

/// Read and right.
#[derive(Debug)]
struct UpstreamSettings {
    servers: Vec<(Address, u16, Span)>,
    timeouts: Timeouts,
    keep_alive: KeepAlive,
    health_check: Option<Arc<HealthCheck>>,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Arc<Upstream>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let servers = check.servers(&written.servers);
    let timeouts = Timeouts {
        connect: check.positive(&written.connect_timeout),
        first_byte: check.positive(&written.first_byte_timeout),
        idle: check.positive(&written.idle_timeout),
        tunnel_idle: check.positive(&written.tunnel_idle_timeout),
    };
    let health_check = written.health_check.map(|written| check.health(&written));
    (cx.problems.len() == before).then(|| {
        Box::new(UpstreamSettings {
            servers,
            timeouts,
            keep_alive: KeepAlive {
                max_idle: written.keep_alive.max_idle,
                idle_timeout: written.keep_alive.idle_timeout.0,
            },
            health_check: health_check.map(Arc::new),
        }) as Box<dyn Settings<Arc<Upstream>>>
    })
}

/// Looks at values that serde found no fault with.
struct Check<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Check<'_, '_, '_> {
    fn refuse<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: &str) {
        let problem = Problem::error("E0002", self.section.at(at.span()), message).hint(hint);
        self.cx.problems.push(problem);
    }

    fn servers(&mut self, servers: &Spanned<Vec<Spanned<Server>>>) -> Vec<(Address, u16, Span)> {
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
        let mut known: Vec<(Address, u16, Span)> = Vec::new();
        for server in all.iter().take(SERVERS_MAX) {
            let span = self.section.at(server.span());
            let Server { address, weight } = server.get_ref();
            if let Some((_, _, first)) = known.iter().find(|(known, _, _)| known == address) {
                let problem =
                    Problem::error("E0002", span, format!("the server {address} stands twice"))
                        .hint("give it a weight instead: { address = \"…\", weight = 2 }")
                        .note(first.clone(), "first listed here");
                self.cx.problems.push(problem);
                continue;
            }
            let weight = weight.as_ref().map_or(1, |weight| {
                if !(1..=WEIGHT_MAX).contains(weight.get_ref()) {
                    let message = format!("a weight is a number from 1 to {WEIGHT_MAX}");
                    self.refuse(weight, message, "leave the server out to send it nothing");
                }
                *weight.get_ref()
            });
            known.push((address.clone(), weight, span));
        }
        known
    }

    fn positive(&mut self, duration: &Spanned<HumanDuration>) -> Duration {
        let value = duration.get_ref().0;
        if value.is_zero() {
            self.refuse(duration, "no time at all", "give it at least \"100ms\"");
        }
        value
    }

    fn at_least_once(&mut self, times: &Spanned<u32>) -> u32 {
        if *times.get_ref() == 0 {
            self.refuse(times, "must be 1 or more", "1 believes the first check");
        }
        *times.get_ref()
    }

    fn health(&mut self, written: &WrittenHealthCheck) -> HealthCheck {
        let path = written.path.get_ref();
        if !path.starts_with('/') || !path.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            let message = format!("{path:?} is not a path that starts with \"/\"");
            self.refuse(&written.path, message, "write it like \"/healthz\"");
        }
        HealthCheck {
            path: path.as_str().into(),
            interval: self.positive(&written.interval),
            timeout: self.positive(&written.timeout),
            healthy_after: self.at_least_once(&written.healthy_after),
            unhealthy_after: self.at_least_once(&written.unhealthy_after),
        }
    }
}

impl Settings<Arc<Upstream>> for UpstreamSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Arc<Upstream>, Box<Problem>> {
        let endpoints = self
            .servers
            .iter()
            .map(|(address, weight, _)| {
                let checked = self.health_check.is_some();
                Endpoint::new(&cx.name, address, *weight, checked, cx.carry_over)
            })
            .collect();
        let upstream = Upstream::new(&cx.name, endpoints, self.timeouts, self.keep_alive);
        cx.probes
            .extend(upstream.probes(self.health_check.as_ref()));
        Ok(Arc::new(upstream))
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            address: Address,
            #[serde(default)]
            weight: Option<Spanned<u16>>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Server;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table with `address` and `weight`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Server, E> {
                Ok(Server {
                    address: Address::parse(text).map_err(E::custom)?,
                    weight: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Server, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Server {
                    address: table.address,
                    weight: table.weight,
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const LATER: &[&str] = &[
            "least_connections",
            "random_two",
            "peak_ewma",
            "hash",
            "sticky_cookie",
        ];
        let name = String::deserialize(deserializer)?;
        match name.as_str() {
            "round_robin" => Ok(Self),
            later if LATER.contains(&later) => Err(D::Error::custom(format!(
                "`{later}` is not supported yet\nuse \"round_robin\""
            ))),
            other => Err(D::Error::unknown_variant(other, &["round_robin"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::CarryOver;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext::default();
        let settings = parse(&section, &mut cx);
        let found: Vec<&str> = cx.problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(settings.is_none(), !expected.is_empty(), "{text}");
    }

    #[test]
    fn settings_are_read_and_every_mistake_is_told() {
        check(UPSTREAM.example, &[]);
        check("servers = [\"127.0.0.1:9000\"]", &[]);
        check("servers = []", &["an upstream needs a server"]);
        check("", &["this table needs `servers`"]);
        check(
            "servers = [\"a:1\", { address = \"a:1\", weight = 2 }, \
             { address = \"b:1\", weight = 0 }]\n\
             connect_timeout = \"0s\"\n\
             health_check = { path = \"up\", healthy_after = 0 }",
            &[
                "the server a:1 stands twice",
                "a weight is a number from 1 to 1000",
                "no time at all",
                "\"up\" is not a path that starts with \"/\"",
                "must be 1 or more",
            ],
        );
        check(
            "servers = [\"https://a\", \"b\"]\nbalance = \"hash\"",
            &[
                "`balance`: `hash` is not supported yet",
                "`servers`: https:// towards an upstream is not supported yet",
                "`servers`: `b` has no port",
            ],
        );
    }

    fn build(text: &str, kept: &mut CarryOver) -> (Arc<Upstream>, usize) {
        let section = Section::from_text(text).unwrap();
        let settings = parse(&section, &mut ParseContext::default()).unwrap();
        let mut cx = BuildContext::new(kept, "/".into());
        cx.name = Arc::from("backend");
        let upstream = settings.build(&mut cx).unwrap();
        (upstream, cx.probes.len())
    }

    #[test]
    fn health_is_kept_by_address_and_believed_only_while_checked() {
        let checked = "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nhealth_check.path = \"/\"";
        let mut kept = CarryOver::default();
        let (first, probes) = build(checked, &mut kept);
        assert_eq!((first.name(), probes), ("backend", 2));
        assert!(first.has_healthy_endpoint());
        first
            .endpoints
            .iter()
            .for_each(|endpoint| endpoint.state.set_down(true));
        assert!(!first.has_healthy_endpoint());

        let moved = "servers = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\nhealth_check.path = \"/x\"";
        let (second, _) = build(moved, &mut kept);
        let up: Vec<bool> = second.endpoints.iter().map(Endpoint::is_up).collect();
        assert_eq!(up, [false, true]);
        assert_ne!(first.serial, second.serial);

        let (third, probes) = build("servers = [\"127.0.0.1:2\"]", &mut kept);
        assert_eq!(probes, 0);
        assert!(third.has_healthy_endpoint());
    }

    #[test]
    fn a_name_that_does_not_resolve_is_down_and_stops_nothing() {
        // RFC 6761 §6.4: .invalid never resolves.
        let text = "servers = [\"nobody.invalid:80\"]\nhealth_check.path = \"/\"";
        let (upstream, probes) = build(text, &mut CarryOver::default());
        assert!(!upstream.has_healthy_endpoint());
        // One looks it up again, one checks it.
        assert_eq!(probes, 2);
    }
}
