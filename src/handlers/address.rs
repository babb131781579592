//! Where an endpoint is: how it is written, and what it resolves to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::http::target::split_port;

/// How an endpoint is spoken to, where its address says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port of a URI without one (RFC 9110 §4.2.1, §4.2.2).
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How many addresses of a name are used. A name with more is a pool of its own; a connection
/// is never tried at more than a few of them anyway.
pub(super) const ADDRESSES_MAX: usize = 16;

const FORM: &str =
    "write it like \"127.0.0.1:9000\", \"app.internal:80\" or \"unix:/run/app.sock\"";

/// An endpoint as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name to be resolved, and a port.
    Name { host: Box<str>, port: u16 },
    /// The path of a unix stream socket.
    Unix(PathBuf),
}

/// Something that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Destination {
    /// TCP.
    Ip(SocketAddr),
    /// A unix stream socket.
    Unix(Arc<Path>),
}

impl Address {
    /// Reads `host:port`, `[v6]:port`, `http://host[:port]` or `unix:/path`. The error says what
    /// is wrong with it and, behind a line break, the way out.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match Self::parse_with_scheme(text)? {
            (Some(Scheme::Https), _) => Err("this is asked in the clear\n\
                                             write http://, or the address alone"
                .to_owned()),
            (_, address) => Ok(address),
        }
    }

    /// The same, also `https://host[:port]`; and which of the schemes was written, if any.
    pub(super) fn parse_with_scheme(text: &str) -> Result<(Option<Scheme>, Self), String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok((None, unix(path)?));
        }
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let written = schemes
            .into_iter()
            .find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, Some(scheme))));
        let (authority, scheme) = match written {
            Some((rest, scheme)) => (rest.strip_suffix('/').unwrap_or(rest), scheme),
            None => (text, None),
        };
        let default_port = scheme.map(Scheme::port);
        if authority.contains(['/', '?', '#', '@']) || authority.contains(char::is_whitespace) {
            return Err(format!("`{text}` is not a host and a port\n{FORM}"));
        }
        let (host, port) = split_port(authority);
        let port = match (port, default_port) {
            (Some(port), _) => port
                .parse::<u16>()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| {
                    format!("`{port}` is no port\na port is a number from 1 to 65535")
                })?,
            (None, Some(port)) => port,
            (None, None) => return Err(format!("`{text}` has no port\nwrite \"{text}:80\"")),
        };
        Ok((scheme, host_and_port(host, port)?))
    }

    /// The name or the address of the machine; `None` for a path.
    pub(super) fn host(&self) -> Option<String> {
        match self {
            Self::Ip(address) => Some(address.ip().to_string()),
            Self::Name { host, .. } => Some(host.to_string()),
            Self::Unix(_) => None,
        }
    }

    /// Whether it has to be looked up.
    pub(super) const fn is_name(&self) -> bool {
        matches!(self, Self::Name { .. })
    }

    /// What can be connected to. Names are looked up, which may block for as long as the
    /// system's resolver takes.
    pub(super) fn resolve(&self) -> io::Result<Vec<Destination>> {
        Ok(match self {
            Self::Ip(address) => vec![Destination::Ip(*address)],
            Self::Unix(path) => vec![Destination::Unix(path.as_path().into())],
            Self::Name { host, port } => {
                let mut found: Vec<Destination> = Vec::new();
                for address in (&**host, *port).to_socket_addrs()? {
                    let destination = Destination::Ip(address);
                    if !found.contains(&destination) && found.len() < ADDRESSES_MAX {
                        found.push(destination);
                    }
                }
                found
            }
        })
    }

    /// What stands in `Host` when the request names the upstream instead of the site.
    pub(super) fn authority(&self, scheme: Scheme) -> String {
        match self {
            Self::Ip(address) if address.port() == scheme.port() => match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            Self::Ip(address) => address.to_string(),
            Self::Name { host, port } if *port == scheme.port() => host.to_string(),
            Self::Name { host, port } => format!("{host}:{port}"),
            // A path is no host; this is what everyone sends.
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn unix(path: &str) -> Result<Address, String> {
    // sun_path holds 108 bytes with the closing NUL (unix(7)).
    const PATH_MAX: usize = 107;
    match path {
        "" => Err(
            "`unix:` needs the path of a socket\nwrite it like \"unix:/run/app.sock\"".to_owned(),
        ),
        path if !path.starts_with('/') => Err(format!(
            "`{path}` is not an absolute path\nwrite it like \"unix:/run/app.sock\""
        )),
        path if path.len() > PATH_MAX || path.contains('\0') => Err(format!(
            "a socket's path has at most {PATH_MAX} bytes and no NUL"
        )),
        path => Ok(Address::Unix(path.into())),
    }
}

fn host_and_port(host: &str, port: u16) -> Result<Address, String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>()
        && ip.is_ipv6() == bare.is_some()
    {
        return Ok(Address::Ip(SocketAddr::new(ip, port)));
    }
    if host.contains(':') || bare.is_some() {
        return Err(format!(
            "`{host}` is no IPv6 address\nwrite it like \"[::1]:80\""
        ));
    }
    // RFC 1035 §2.3.4 allows 255 bytes of name; the resolver has the last word on the rest.
    let fits = (1..=253).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if !fits {
        return Err(format!("`{host}` is no host name\n{FORM}"));
    }
    Ok(Address::Name {
        host: host.into(),
        port,
    })
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:9000\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Address, E> {
                Address::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, authority: &str) {
        let address = Address::parse(text).unwrap();
        assert_eq!(address.to_string(), expected, "{text}");
        assert_eq!(address.authority(Scheme::Http), authority, "{text}");
    }

    #[test]
    fn addresses_are_read() {
        check("127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1:9000");
        check("http://127.0.0.1/", "127.0.0.1:80", "127.0.0.1");
        check("http://127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:81");
        check("[::1]:80", "[::1]:80", "[::1]");
        check("[::1]:81", "[::1]:81", "[::1]:81");
        check("app.internal:80", "app.internal:80", "app.internal");
        check("app_1:3000", "app_1:3000", "app_1:3000");
        check("unix:/run/x.sock", "unix:/run/x.sock", "localhost");
    }

    #[test]
    fn a_scheme_says_which_port_and_may_be_left_out() {
        let check = |text: &str, expected: Option<Scheme>, address: &str, authority: &str| {
            let (scheme, found) = Address::parse_with_scheme(text).unwrap();
            assert_eq!(scheme, expected, "{text}");
            assert_eq!(found.to_string(), address, "{text}");
            assert_eq!(found.authority(Scheme::Https), authority, "{text}");
        };
        let https = Some(Scheme::Https);
        check("https://app", https, "app:443", "app");
        check("https://app:8443/", https, "app:8443", "app:8443");
        check("https://[::1]", https, "[::1]:443", "[::1]");
        check("http://app", Some(Scheme::Http), "app:80", "app:80");
        check("app:443", None, "app:443", "app");
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, reason) in [
            ("127.0.0.1", "has no port"),
            ("app", "has no port"),
            ("app:0", "no port"),
            ("app:65536", "no port"),
            ("app:", "no port"),
            (":80", "no host name"),
            ("a b:80", "not a host"),
            ("http://app/path", "not a host"),
            ("user@app:80", "not a host"),
            ("https://app", "in the clear"),
            ("::1:80", "no IPv6 address"),
            ("[127.0.0.1]:80", "no IPv6 address"),
            ("unix:", "path"),
            ("unix:run/x.sock", "absolute"),
            (&format!("unix:/{}", "x".repeat(107)), "at most"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_resolves_to_itself() {
        let found = Address::parse("127.0.0.1:9").unwrap().resolve().unwrap();
        assert_eq!(found, [Destination::Ip("127.0.0.1:9".parse().unwrap())]);
        let found = Address::parse("unix:/x").unwrap().resolve().unwrap();
        assert_eq!(found, [Destination::Unix(Path::new("/x").into())]);
    }
}
