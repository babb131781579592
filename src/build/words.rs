//! Words of the protocol, as settings write them: methods, statuses, field names, networks.
//!
//! `http/` knows nothing of serde, so that these are taught here to be read from a file.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::from_text::{FromText, UnitError, as_text};
use crate::http::{HeaderName, Method, StatusCode};

/// A network such as `"10.0.0.0/8"`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let net: IpNet = text.parse().map_err(|_| {
            UnitError::new(
                format!("`{text}` is neither an address nor a network"),
                "write it like \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\"",
            )
        })?;
        // Truncating in silence would trust more, or fewer, than the writer thought.
        if net.addr() != net.network() {
            return Err(UnitError::new(
                format!("`{text}` has bits set behind its prefix"),
                format!(
                    "write \"{}\" for the network, \"{}\" for the one address",
                    net.trunc(),
                    net.addr()
                ),
            ));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a network such as \"10.0.0.0/8\"",
            integer: as_text,
        })
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Method;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a method such as \"GET\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Method, E> {
                let Some(method) = Method::from_bytes(text.as_bytes()) else {
                    return Err(E::custom(format!(
                        "`{text}` is not a method\nwrite it like \"GET\" or \"POST\""
                    )));
                };
                // Methods are case-sensitive (RFC 9110 §9.1): `get` would never match.
                let upper = text.to_ascii_uppercase();
                match (&method, Method::from_bytes(upper.as_bytes())) {
                    (Method::Extension(_), Some(known))
                        if !matches!(known, Method::Extension(_)) =>
                    {
                        Err(E::custom(format!(
                            "`{text}` is not a method: methods are written in capitals\n\
                             write \"{upper}\""
                        )))
                    }
                    _ => Ok(method),
                }
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl Visitor<'_> for Code {
            type Value = StatusCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status code such as 200")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<StatusCode, E> {
                let code = u16::try_from(number).ok().and_then(StatusCode::new);
                code.ok_or_else(|| {
                    E::custom(format!(
                        "`{number}` is not a status code\nstatus codes are 100 to 999"
                    ))
                })
            }
        }
        deserializer.deserialize_i64(Code)
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = HeaderName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header name such as \"Cache-Control\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HeaderName, E> {
                HeaderName::from_bytes(text.as_bytes()).ok_or_else(|| {
                    E::custom(format!(
                        "`{text}` is not a header name\n\
                         a header name holds letters, digits and any of !#$%&'*+-.^_`|~"
                    ))
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        method: Option<Method>,
        status: Option<StatusCode>,
        header: Option<HeaderName>,
        from: Vec<Network>,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = match toml::from_str::<Settings>(text) {
            Ok(read) => {
                let mut words: Vec<String> = Vec::new();
                words.extend(read.method.map(|method| method.to_string()));
                words.extend(read.status.map(|status| status.to_string()));
                words.extend(read.header.map(|name| name.as_str().to_owned()));
                words.extend(read.from.iter().map(Network::to_string));
                words.join(" ")
            }
            Err(error) => error.message().replace('\n', "; "),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn words_are_read() {
        check("method = 'GET'", "GET");
        check("method = 'PURGE'", "PURGE");
        check("status = 418", "418");
        check("header = 'x-Thing'", "x-Thing");
        check(
            "from = ['10.0.0.0/8', '192.0.2.7', '::1', '2001:db8::/32']",
            "10.0.0.0/8 192.0.2.7/32 ::1/128 2001:db8::/32",
        );
    }

    #[test]
    fn what_is_none_says_why() {
        check(
            "method = 'get'",
            "`get` is not a method: methods are written in capitals; write \"GET\"",
        );
        check(
            "method = 'G T'",
            "`G T` is not a method; write it like \"GET\" or \"POST\"",
        );
        check(
            "status = 20",
            "`20` is not a status code; status codes are 100 to 999",
        );
        check(
            "status = -1",
            "`-1` is not a status code; status codes are 100 to 999",
        );
        check(
            "header = 'a b'",
            "`a b` is not a header name; \
             a header name holds letters, digits and any of !#$%&'*+-.^_`|~",
        );
        check(
            "from = ['10.0.0.1/8']",
            "`10.0.0.1/8` has bits set behind its prefix; \
             write \"10.0.0.0/8\" for the network, \"10.0.0.1\" for the one address",
        );
        check(
            "from = ['home']",
            "`home` is neither an address nor a network; \
             write it like \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\"",
        );
        check(
            "from = [7]",
            "`7` is neither an address nor a network; \
             write it like \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\"",
        );
        check(
            "method = 7",
            "invalid type: integer `7`, expected a method such as \"GET\"",
        );
        check(
            "status = ''",
            "invalid type: string \"\", expected a status code such as 200",
        );
        check(
            "header = 7",
            "invalid type: integer `7`, expected a header name such as \"Cache-Control\"",
        );
    }
}
