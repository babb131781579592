//! `[[listener]]`: addresses, and which of them are in each other's way.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Resolver;
use super::instances::{defined_twice, places};
use crate::build::{Problem, Section, Span};
use crate::config::file::File;
use crate::config::model::{Bind, Listener, Place};
use crate::config::written::{self, Protocol, Sender};
use crate::generation::{Protocols, ProxyProtocol};

/// Whoever may connect to a TCP port may connect to the socket: nothing is guarded by the file
/// mode unless the file says so, and a proxy under another user works.
const UNIX_MODE: u32 = 0o666;

/// What a listener was read as; without its meaning if it has mistakes.
pub(super) struct Listeners {
    pub(super) good: Vec<Listener>,
    /// Every name there is, also of those with mistakes: they are known.
    pub(super) names: Vec<(Arc<str>, Span)>,
}

impl Resolver<'_, '_> {
    pub(super) fn listeners(&mut self, file: &File<'_>) -> Listeners {
        let mut listeners = Listeners {
            good: Vec::new(),
            names: Vec::new(),
        };
        for section in &file.listeners {
            let Some(listener) = self.listener(section, &mut listeners) else {
                continue;
            };
            self.in_the_way(&listener, &listeners.good);
            listeners.good.push(listener);
        }
        self.acme_together(&listeners.good);
        listeners
    }

    fn listener(&mut self, section: &Section<'_>, known: &mut Listeners) -> Option<Listener> {
        let places = places(section);
        let mut section = section.clone();
        let tls = match section.take("tls") {
            None => Some(None),
            Some((_, value)) => self.tls(section.span().file, value).map(Some),
        };
        let beside = ["tls"];
        let before = self.cx.problems.len();
        let (written, good) = self
            .cx
            .settings_mended::<written::Listener>(&section, &beside);
        let written = written?;
        let Some(bind) = &written.bind else {
            // It may be there, of another type or misspelt.
            if !self.spoke_of("bind", before) {
                self.report(
                    Problem::error("E0004", section.span(), "[[listener]] needs `bind`")
                        .label("`bind` is missing")
                        .hint("write it like bind = \"127.0.0.1:8080\""),
                );
            }
            return None;
        };
        let bind_at = section.at(bind.span());
        let text = bind.get_ref().as_str();
        let bind = self.bind(text, &bind_at);
        let bind = self.permissions(bind, &written, &section);
        let proxy_protocol = written.proxy_protocol.as_ref().filter(|_| good);
        let proxy_protocol = proxy_protocol.map(|written| self.proxy_protocol(written, &section));
        let protocols = self.protocols(&written, &section);
        let (name, at): (Arc<str>, Span) = match &written.name {
            Some(name) => (name.get_ref().as_str().into(), section.at(name.span())),
            None => (text.into(), bind_at.clone()),
        };
        if written.name.is_some() {
            self.check_name(&name, &at);
        }
        match known.names.iter().find(|(known, _)| *known == name) {
            Some((_, first)) if written.name.is_some() => {
                let message = format!("there are two listeners called `{name}`");
                self.report(defined_twice(at.clone(), message, first.clone()));
            }
            _ => known.names.push((Arc::clone(&name), at)),
        }
        let bind = bind.filter(|_| good)?;
        Some(Listener {
            name,
            bind,
            proxy_protocol,
            protocols,
            tls: tls?,
            places,
            place: Place(bind_at),
        })
    }

    fn bind(&mut self, text: &str, at: &Span) -> Option<Bind> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                let problem = Problem::error("E0301", at.clone(), "`unix:` names no path");
                self.report(problem.hint("write it like \"unix:/run/httpserverd.sock\""));
                return None;
            }
            return Some(Bind::Unix {
                path: path.into(),
                mode: UNIX_MODE,
                owner: None,
            });
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            // What systemd allows in FileDescriptorName=.
            let good = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            if name.is_empty() || name.len() > 255 || !name.bytes().all(good) {
                let message = "`systemd:` needs the name of a socket";
                let problem = Problem::error("E0301", at.clone(), message);
                self.report(problem.hint(
                    "write \"systemd:web\" for a socket unit with FileDescriptorName=web, or the \
                     name of the unit, like \"systemd:httpserverd.socket\"",
                ));
                return None;
            }
            return Some(Bind::Systemd(name.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Bind::Tcp(address));
        }
        let message = format!("`bind` cannot be \"{}\"", text.escape_debug());
        self.report(
            Problem::error("E0301", at.clone(), message)
                .label("not an address to listen on")
                .hint(bind_hint(text)),
        );
        None
    }

    /// Puts mode and owner into a unix address; to another they mean nothing.
    fn permissions(
        &mut self,
        bind: Option<Bind>,
        written: &written::Listener,
        section: &Section<'_>,
    ) -> Option<Bind> {
        match bind? {
            Bind::Unix { path, .. } => Some(Bind::Unix {
                path,
                mode: written
                    .mode
                    .as_ref()
                    .map_or(UNIX_MODE, |mode| mode.get_ref().0),
                owner: written.owner.as_ref().map(|owner| owner.get_ref().clone()),
            }),
            other @ (Bind::Tcp(_) | Bind::Systemd(_)) => {
                let mode = written.mode.as_ref().map(|mode| ("mode", mode.span()));
                let owner = written.owner.as_ref().map(|owner| ("owner", owner.span()));
                for (key, range) in mode.into_iter().chain(owner) {
                    let message = format!("`{key}` is for unix sockets only");
                    let mut problem = Problem::error("E0306", section.at(range), message);
                    if let Some(bind) = &written.bind {
                        let at = section.at(bind.span());
                        problem = problem.note(at, "this is no `unix:` path");
                    }
                    self.report(problem);
                }
                Some(other)
            }
        }
    }

    fn proxy_protocol(
        &mut self,
        written: &written::ProxyProtocol,
        section: &Section<'_>,
    ) -> ProxyProtocol {
        let senders = written.from.get_ref();
        if senders.is_empty() {
            let at = section.at(written.from.span());
            let problem = Problem::error("E0308", at, "`from` names nobody");
            self.report(problem.label("whose PROXY headers are believed?").hint(
                "name the networks of the load balancers, like [\"10.0.0.0/8\"]; whoever is \
                 named can be anybody",
            ));
        }
        let network = |sender: &Sender| match sender {
            Sender::Network(network) => Some(network.0),
            Sender::Unix => None,
        };
        ProxyProtocol {
            from: senders.iter().filter_map(network).collect(),
            unix: senders.contains(&Sender::Unix),
            timeout: written.timeout.as_ref().map(|timeout| timeout.get_ref().0),
            required: written.required.unwrap_or(true),
        }
    }

    fn protocols(&mut self, written: &written::Listener, section: &Section<'_>) -> Protocols {
        let Some(written) = &written.protocols else {
            return Protocols::ALL;
        };
        let protocols = Protocols {
            http1: written.get_ref().contains(&Protocol::Http1),
            http2: written.get_ref().contains(&Protocol::Http2),
        };
        if written.get_ref().is_empty() {
            let at = section.at(written.span());
            let problem = Problem::error("E0311", at, "`protocols` is empty");
            self.report(
                problem
                    .label("what shall be spoken?")
                    .hint("name \"h2\", \"http/1.1\" or both; without `protocols` it is both"),
            );
        }
        protocols
    }

    /// No two listeners may want the same address, nor one of them all addresses of a port.
    fn in_the_way(&mut self, listener: &Listener, others: &[Listener]) {
        for other in others {
            let message = match (&listener.bind, &other.bind) {
                // Also with port 0: a listener is known by its address.
                (Bind::Tcp(a), Bind::Tcp(b)) if a == b => {
                    format!("two listeners want the address {a}")
                }
                (Bind::Tcp(a), Bind::Tcp(b)) if a.port() == 0 || a.port() != b.port() => continue,
                (Bind::Tcp(a), Bind::Tcp(b)) if covers(a.ip(), b.ip()) => {
                    format!(
                        "{a} takes port {} of every address, also that of {b}",
                        a.port()
                    )
                }
                (Bind::Tcp(a), Bind::Tcp(b)) if covers(b.ip(), a.ip()) => {
                    format!(
                        "{b} takes port {} of every address, also that of {a}",
                        a.port()
                    )
                }
                (Bind::Systemd(a), Bind::Systemd(b)) if a == b => {
                    format!("two listeners want the sockets called {a}")
                }
                (Bind::Unix { path: a, .. }, Bind::Unix { path: b, .. }) if a == b => {
                    format!("two listeners want the socket {}", a.display())
                }
                _ => continue,
            };
            self.report(
                Problem::error("E0302", listener.place.0.clone(), message)
                    .label("already taken")
                    .note(other.place.0.clone(), "taken here")
                    .hint("one listener serves every route; give each an address of its own"),
            );
            return;
        }
    }
}

/// Whether listening on one address takes the other along. IPv6 sockets of ours are for IPv6
/// alone, so that the families are never in each other's way.
fn covers(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && all.is_ipv4() == one.is_ipv4()
}

/// What was probably meant.
fn bind_hint(text: &str) -> String {
    if let Ok(address) = text.parse::<IpAddr>() {
        return format!("a port is missing: \"{}\"", SocketAddr::new(address, 8080));
    }
    if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>() {
        return format!(
            "write \"0.0.0.0:{port}\" for every IPv4 address, \"[::]:{port}\" for every IPv6 \
             address, \"127.0.0.1:{port}\" for this machine alone"
        );
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return format!("names are not looked up; write \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && format!("{address}:0").parse::<SocketAddr>().is_ok()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return "a port is a number from 0 (any free one) to 65535".to_owned();
    }
    if text.contains("://") {
        return "write the address alone, like \"0.0.0.0:8080\"".to_owned();
    }
    if text.starts_with('/') {
        return format!("a unix socket is written \"unix:{text}\"");
    }
    "write an address and a port like \"0.0.0.0:8080\" or \"[::]:8080\", or \"unix:/path\""
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert!(bind_hint(text).contains(expected), "{}", bind_hint(text));
    }

    #[test]
    fn hints_say_what_was_probably_meant() {
        check("8080", "\"0.0.0.0:8080\"");
        check("*:80", "\"[::]:80\"");
        check(":80", "\"127.0.0.1:80\"");
        check("::1", "\"[::1]:8080\"");
        check("localhost:80", "\"127.0.0.1:80\"");
        check("http://a", "the address alone");
        check("[::]:70000", "0 (any free one) to 65535");
        check("/run/x", "\"unix:/run/x\"");
        check("a", "an address and a port");
    }
}
