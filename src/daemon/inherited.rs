//! Listening sockets that are older than this process: from the service manager, which listens
//! itself or keeps sockets for us, and from the process that this one replaces.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::AddressFamily;
use rustix::stdio::stdin;

use crate::generation::Bind;
use crate::server::mailbox::Socket;
use crate::sys::handover;

/// In the environment of a process that replaces another one, whose sockets come on standard
/// input.
pub(super) const UPGRADE: &str = "HTTPSERVERD_UPGRADE";

/// The last message of the process that is being replaced.
pub(super) const LAST: &str = "that is all";

/// What goes before the name of a socket that the service manager keeps for us.
pub(super) const KEPT: &str = "kept-";

/// How many sockets are taken over, so that a broken peer cannot fill the memory.
const SOCKETS_MAX: usize = 4096;

/// Sockets that somebody else opened, and that may be listened on.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    sockets: Vec<Older>,
}

#[derive(Debug)]
struct Older {
    /// What the service manager calls it, or the address as the replaced process's
    /// configuration wrote it.
    name: String,
    origin: Origin,
    socket: Socket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A socket unit's: it stays the service manager's.
    Manager,
    /// One of ours that the service manager kept.
    Kept,
    /// The replaced process's.
    Replaced,
}

impl Inherited {
    /// What this process was given. Whether it replaces another one, too.
    ///
    /// # Errors
    /// The process that is being replaced went away in the middle.
    pub(super) fn of_process() -> io::Result<(Self, bool)> {
        // Asked for first: `ListenFd` takes the other variables out of the environment.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut inherited = Self::default();
        inherited.adopt_all(ListenFd::from_env(), &names);
        let replaces = env::var_os(UPGRADE).is_some();
        if replaces {
            inherited.receive()?;
        }
        Ok((inherited, replaces))
    }

    fn adopt_all(&mut self, mut given: ListenFd, names: &str) {
        let mut names = names.split(':');
        for index in 0..given.len().min(SOCKETS_MAX) {
            let name = names.next().unwrap_or("unknown").to_owned();
            let socket = match given.take_tcp_listener(index) {
                Ok(Some(tcp)) => Socket::Tcp(tcp),
                Ok(None) => continue,
                // What is neither is not for us to listen on; a listener that wants it by its
                // name is told that there is none.
                Err(_) => match given.take_unix_listener(index) {
                    Ok(Some(unix)) => Socket::Unix(unix),
                    Ok(None) | Err(_) => continue,
                },
            };
            let origin = if name.starts_with(KEPT) {
                Origin::Kept
            } else {
                Origin::Manager
            };
            self.adopt(name, origin, socket);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        while self.sockets.len() < SOCKETS_MAX {
            let Some((name, descriptors)) = handover::receive(stdin())? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if name == LAST {
                return Ok(());
            }
            for descriptor in descriptors {
                let address = rustix::net::getsockname(&descriptor)?;
                let socket = match address.address_family() {
                    AddressFamily::UNIX => Socket::Unix(UnixListener::from(descriptor)),
                    _ => Socket::Tcp(TcpListener::from(descriptor)),
                };
                self.adopt(name.clone(), Origin::Replaced, socket);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn adopt(&mut self, name: String, origin: Origin, socket: Socket) {
        // It was good until now; if it is not any more, its worker will say so.
        if socket.set_nonblocking().is_ok() {
            self.sockets.push(Older {
                name,
                origin,
                socket,
            });
        }
    }

    /// Those that listen where this says; none if this process has to bind it.
    ///
    /// # Errors
    /// No descriptor is left. For a socket of the service manager's: it has none of that name.
    pub(super) fn of(&self, bind: &Bind) -> io::Result<Vec<Socket>> {
        let own = bind.to_string();
        let found = self.sockets.iter().filter(|older| match (bind, older) {
            (_, older) if older.origin == Origin::Replaced => older.name == own,
            (Bind::Systemd(name), older) => older.name == **name,
            (Bind::Tcp(address), Older { socket, .. }) => match socket {
                Socket::Tcp(tcp) => tcp.local_addr().is_ok_and(|bound| bound == *address),
                Socket::Unix(_) => false,
            },
            (Bind::Unix { .. }, _) => false,
        });
        let found: Vec<_> = found
            .map(|older| older.socket.try_clone())
            .collect::<io::Result<_>>()?;
        match bind {
            Bind::Systemd(_) if found.is_empty() => Err(io::Error::other(self.none_of_that_name())),
            _ => Ok(found),
        }
    }

    fn none_of_that_name(&self) -> String {
        let manager = |older: &&Older| older.origin == Origin::Manager;
        let mut names: Vec<_> = self.sockets.iter().filter(manager).collect();
        names.dedup_by(|a, b| a.name == b.name);
        if names.is_empty() {
            return "the service manager gave no socket; is the socket unit started?".to_owned();
        }
        let names: Vec<_> = names.iter().map(|older| older.name.as_str()).collect();
        format!(
            "the service manager gave no socket of that name, but {}",
            names.join(", ")
        )
    }

    /// The first configuration has taken what it wants of them. What it did not is closed,
    /// except for the service manager's, which a later one may want. Gives the names of those
    /// that the service manager need not keep any more.
    pub(super) fn settle(&mut self, still_open: impl Fn(&str) -> bool) -> Vec<String> {
        let unwanted = |older: &Older| older.origin == Origin::Kept && !still_open(&older.name);
        let names = self.sockets.iter().filter(|older| unwanted(older));
        let names = names.map(|older| older.name.clone()).collect();
        self.sockets.retain(|older| older.origin == Origin::Manager);
        names
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn inherited(name: &str, origin: Origin) -> (Inherited, SocketAddr) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let mut inherited = Inherited::default();
        inherited.adopt(name.to_owned(), origin, Socket::Tcp(tcp));
        (inherited, address)
    }

    #[test]
    fn the_managers_sockets_go_by_name_and_stay() {
        let (mut inherited, address) = inherited("web", Origin::Manager);
        let web = Bind::Systemd("web".into());
        assert_eq!(inherited.of(&web).unwrap().len(), 1);
        assert_eq!(inherited.of(&Bind::Tcp(address)).unwrap().len(), 1);
        let error = inherited.of(&Bind::Systemd("other".into())).unwrap_err();
        assert!(error.to_string().ends_with("but web"), "{error}");
        assert!(inherited.settle(|_| false).is_empty());
        assert_eq!(inherited.of(&web).unwrap().len(), 1);
    }

    #[test]
    fn the_replaced_processs_sockets_go_by_what_was_written() {
        let (mut inherited, address) = inherited("127.0.0.1:0", Origin::Replaced);
        let wanted = Bind::Tcp("127.0.0.1:0".parse().unwrap());
        assert_eq!(inherited.of(&wanted).unwrap().len(), 1);
        assert_eq!(inherited.of(&Bind::Tcp(address)).unwrap().len(), 0);
        inherited.settle(|_| true);
        assert_eq!(inherited.of(&wanted).unwrap().len(), 0);
    }

    #[test]
    fn kept_sockets_go_by_address_and_are_let_go_by_name() {
        let (mut inherited, address) = inherited("kept-a", Origin::Kept);
        assert_eq!(inherited.of(&Bind::Tcp(address)).unwrap().len(), 1);
        assert_eq!(inherited.settle(|_| false), ["kept-a"]);
    }
}
