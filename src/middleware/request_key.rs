//! Whose limit: what of a request its key is made of. For every kind that counts by key.

use std::fmt;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use smallvec::SmallVec;
use toml::Spanned;

use crate::build::{ParseContext, Section};
use crate::exchange::Exchange;
use crate::exchange::variable::{Moment, Variable};

/// What of a request its key is made of, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    parts: Box<[Part]>,
    missing: Missing,
    /// Keys of another make are other keys.
    spec: Box<str>,
}

/// One word, or several in an array, as a file writes a key.
#[derive(Debug)]
pub(super) enum Words {
    /// `"client_ip"`
    One(String),
    /// `["user", "route"]`
    Several(Vec<Spanned<String>>),
}

/// A key of more parts than this is hard to explain to a client.
const PARTS_MAX: usize = 8;

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The address of the client; of IPv6 the network of 64 bits that one client has.
    ClientIp,
    /// Who the client proved to be.
    User,
    /// Anything a template may name that is known when the request is.
    Variable(Variable),
}

/// What is done for a request that lacks a part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// The address of the client stands for it.
    #[default]
    ClientIp,
    /// It passes without being counted.
    Skip,
    /// All that lack it share a bucket.
    Share,
}

/// The bytes of a key: lengths and parts, so that no two keys are written alike.
pub(super) type KeyBytes = SmallVec<[u8; 96]>;

impl Part {
    /// A part as the configuration names it.
    ///
    /// # Errors
    /// It is none; what would be right.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        match word {
            "client_ip" | "client.ip" => return Ok(Self::ClientIp),
            "user" => return Ok(Self::User),
            "route" => return Ok(Self::Variable(Variable::RouteName)),
            "host" => return Ok(Self::Variable(Variable::RequestHost)),
            "method" => return Ok(Self::Variable(Variable::RequestMethod)),
            _ => {}
        }
        let variable = Variable::parse(word).map_err(|_| KNOWN.to_owned())?;
        if variable.known_at() == Moment::Request {
            Ok(Self::Variable(variable))
        } else {
            Err("it is not known before the response".to_owned())
        }
    }
}

/// What a part may be.
const KNOWN: &str = "a key is made of \"client_ip\", \"user\", \"route\", \"host\", \"method\", \
                     \"header.NAME\", \"cookie.NAME\", \"path.NAME\", \"query.NAME\" or any \
                     variable of a request";

impl Key {
    /// A key of these parts, as they were written.
    pub(super) fn new(parts: Vec<(String, Part)>, missing: Missing) -> Self {
        let spec: Vec<&str> = parts.iter().map(|(word, _)| word.as_str()).collect();
        Self {
            spec: spec.join(" ").into(),
            parts: parts.into_iter().map(|(_, part)| part).collect(),
            missing,
        }
    }

    /// The key of this request; `None` if it is not to be counted. `scope` is the name of the
    /// route where every route has buckets of its own.
    pub(super) fn write(&self, x: &Exchange<'_>, scope: &str) -> Option<KeyBytes> {
        let mut key = KeyBytes::new();
        push(&mut key, self.spec.as_bytes());
        push(&mut key, scope.as_bytes());
        for part in &self.parts {
            if part.write(x, &mut key) {
                continue;
            }
            match self.missing {
                Missing::ClientIp => Part::ClientIp.write(x, &mut key),
                Missing::Skip => return None,
                Missing::Share => {
                    key.push(ABSENT);
                    true
                }
            };
        }
        Some(key)
    }
}

impl Part {
    /// Writes the part; whether the request has it.
    fn write(&self, x: &Exchange<'_>, key: &mut KeyBytes) -> bool {
        match self {
            Self::ClientIp => {
                write_network(x.client_ip, key);
                true
            }
            Self::User => match x.facts.as_ref().and_then(|facts| facts.user.as_deref()) {
                Some(user) => {
                    push(key, user.as_bytes());
                    true
                }
                None => false,
            },
            Self::Variable(variable) => {
                let mut there = false;
                variable.value(x, None, |value| {
                    there = !value.is_empty();
                    if there {
                        push(key, value);
                    }
                });
                there
            }
        }
    }
}

impl Words {
    /// The parts of a key, as they were written, from the place where they stand. What is wrong
    /// is reported.
    pub(super) fn parts(
        &self,
        place: Range<usize>,
        section: &Section<'_>,
        cx: &mut ParseContext<'_>,
    ) -> Vec<(String, Part)> {
        let words: Vec<(&str, Range<usize>)> = match self {
            Self::One(word) => vec![(word, place.clone())],
            Self::Several(words) => {
                let words = words.iter();
                words
                    .map(|word| (word.get_ref().as_str(), word.span()))
                    .collect()
            }
        };
        if words.is_empty() || words.len() > PARTS_MAX {
            let message = format!("a key has 1 to {PARTS_MAX} parts");
            let hint = "leave `key` out, or write \"client_ip\" for the address of each client";
            cx.refuse(section, place, message, hint);
        }
        let mut parts: Vec<(String, Part)> = Vec::new();
        for (word, place) in words {
            match Part::parse(word) {
                Ok(part) if parts.iter().any(|(_, known)| *known == part) => {
                    let message = format!("`{word}` is in the key already");
                    cx.refuse(section, place, message, "each part stands in it once");
                }
                Ok(part) => parts.push((word.to_owned(), part)),
                Err(hint) => {
                    let message = format!("`{word}` is no part of a key");
                    cx.refuse(section, place, message, hint);
                }
            }
        }
        parts
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or an array of words")
            }

            fn visit_str<E>(self, word: &str) -> Result<Words, E> {
                Ok(Words::One(word.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(Words::Several(words))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// What marks the kinds of parts apart.
const TEXT: u8 = b't';
const V4: u8 = b'4';
const V6: u8 = b'6';
const ABSENT: u8 = b'-';

fn push(key: &mut KeyBytes, part: &[u8]) {
    key.push(TEXT);
    // No part is longer than a head may be, which is far below 4 GiB.
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(part);
}

/// Whom an address is counted as: itself; of IPv6 the network of its first 64 bits. One client has
/// at least as many of the rest as there are (RFC 4291 §2.5.4), and would be another with each.
pub(super) fn counted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

fn write_network(ip: IpAddr, key: &mut KeyBytes) {
    match counted(ip) {
        IpAddr::V4(ip) => {
            key.push(V4);
            key.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            key.push(V6);
            key.extend_from_slice(&ip.octets()[..8]);
        }
    }
}

/// The hash of a key.
pub(super) fn hash(key: &[u8], mut hasher: impl Hasher) -> u64 {
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    fn key(words: &[&str], missing: Missing) -> Key {
        let parts = words.iter().map(|word| {
            let part = Part::parse(word).unwrap();
            ((*word).to_owned(), part)
        });
        Key::new(parts.collect(), missing)
    }

    /// Whether two requests share a bucket.
    #[track_caller]
    fn same(key: &Key, one: &mut TestRequest, other: &mut TestRequest) -> bool {
        let write = |request: &mut TestRequest| {
            let peer = request.connection.peer.ip();
            let mut x = request.exchange();
            x.client_ip = peer;
            x.route = "r";
            key.write(&x, "").unwrap()
        };
        write(one) == write(other)
    }

    fn from(ip: &str) -> TestRequest {
        let mut request = TestRequest::get("/");
        request.connection.peer.set_ip(ip.parse().unwrap());
        request
    }

    #[test]
    fn a_client_is_its_address_or_its_network_of_64_bits() {
        let key = key(&["client_ip"], Missing::ClientIp);
        for (one, other, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let found = same(&key, &mut from(one), &mut from(other));
            assert_eq!(found, expected, "{one} {other}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        let both = key(&["header.a", "header.b"], Missing::Share);
        let request = |a: &str, b: &str| TestRequest::get("/").header("a", a).header("b", b);
        assert!(same(&both, &mut request("x", "y"), &mut request("x", "y")));
        assert!(!same(
            &both,
            &mut request("xy", "z"),
            &mut request("x", "yz")
        ));
        let mut neither = TestRequest::get("/");
        assert!(!same(&both, &mut request("-", "-"), &mut neither));
        assert!(same(&both, &mut TestRequest::get("/1"), &mut neither));
    }

    #[test]
    fn what_is_missing_is_replaced_skipped_or_shared() {
        let words = &["cookie.session"][..];
        let by_ip = key(words, Missing::ClientIp);
        assert!(!same(
            &by_ip,
            &mut from("192.0.2.1"),
            &mut from("192.0.2.2")
        ));
        let shared = key(words, Missing::Share);
        assert!(same(
            &shared,
            &mut from("192.0.2.1"),
            &mut from("192.0.2.2")
        ));
        let skipped = key(words, Missing::Skip);
        assert_eq!(skipped.write(&TestRequest::get("/").exchange(), ""), None);
        let mut with = TestRequest::get("/").header("Cookie", "session=7");
        assert!(skipped.write(&with.exchange(), "").is_some());
    }

    #[test]
    fn users_queries_and_routes_are_keys() {
        let key = key(&["user", "query.token", "route"], Missing::Skip);
        let mut request = TestRequest::get("/?token=a");
        let mut x = request.exchange();
        assert_eq!(key.write(&x, ""), None);
        x.facts_mut().user = Some("jane".into());
        let jane = key.write(&x, "").unwrap();
        x.facts_mut().user = Some("joe".into());
        assert_ne!(key.write(&x, "").unwrap(), jane);
        assert_ne!(key.write(&x, "api"), key.write(&x, "site"));
    }

    #[test]
    fn what_is_no_key_is_told() {
        for word in ["", "ip", "header.", "header.a b", "response.status", "jwt"] {
            assert!(Part::parse(word).is_err(), "{word}");
        }
    }
}
