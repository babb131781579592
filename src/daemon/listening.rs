//! What this process listens on, and what a generation adds to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::error;

use super::inherited::{Inherited, KEPT, LAST};
use super::systemd;
use super::workers::Sockets;
use crate::generation::{Bind, Generation};
use crate::server::mailbox::Socket;
use crate::sys::handover;
use crate::sys::socket::{UnixSocket, bind_tcp};

/// Every address listened on.
#[derive(Debug)]
pub(super) struct Listening {
    workers: usize,
    open: Vec<Open>,
    inherited: Inherited,
}

/// An address that is listened on.
#[derive(Debug)]
struct Open {
    bind: Bind,
    address: Address,
    /// Keeps the socket file.
    unix: Option<Arc<UnixSocket>>,
    /// The sockets that the workers have, to hand them over.
    sockets: Vec<Socket>,
}

/// An address as it is: with the port that was found where 0 was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// By the service manager's name for it.
    Systemd(Arc<str>),
}

/// What a generation adds: bound, and of no effect until it is published. Dropped, it is gone
/// without a trace.
#[derive(Debug)]
pub(super) struct Added {
    open: Vec<Open>,
    sockets: Vec<Sockets>,
}

impl Listening {
    /// On nothing yet, with so many workers and what may be listened on without binding it.
    pub(super) const fn new(workers: usize, inherited: Inherited) -> Self {
        Self {
            workers,
            open: Vec::new(),
            inherited,
        }
    }

    /// Binds what the generation listens on and this process does not.
    ///
    /// # Errors
    /// One line for every listener that cannot be.
    pub(super) fn prepare(&self, generation: &Generation) -> Result<Added, Vec<String>> {
        let mut added = Added {
            open: Vec::new(),
            sockets: (0..self.workers).map(|_| Sockets::new()).collect(),
        };
        let mut errors = Vec::new();
        for listener in &generation.listeners {
            let known = |open: &Open| open.bind == listener.bind;
            if self.open.iter().chain(&added.open).any(known) {
                continue;
            }
            if let Err(error) = self.add(&listener.bind, &mut added) {
                errors.push(format!(
                    "listener `{}` at {}: {error}",
                    listener.name, listener.bind
                ));
            }
        }
        if errors.is_empty() {
            Ok(added)
        } else {
            Err(errors)
        }
    }

    fn add(&self, bind: &Bind, added: &mut Added) -> Result<(), String> {
        let plain = |error: io::Error| error.to_string();
        let mut sockets = self.inherited.of(bind).map_err(plain)?;
        let mut unix = None;
        match bind {
            Bind::Tcp(wanted) if sockets.is_empty() => {
                let beside_own = self.open.iter().any(|open| open.overlaps(*wanted));
                let bound = bind_tcp(*wanted, self.workers, beside_own);
                let bound = bound.map_err(|error| error.to_string())?;
                sockets = bound.into_iter().map(Socket::Tcp).collect();
            }
            Bind::Unix { path, mode, owner } => {
                // With another mode or owner, it is another address, but the same socket.
                let own = self.open.iter().find_map(|open| open.unix_at(path));
                let socket = match (own, sockets.pop()) {
                    (Some(own), _) => Ok(own),
                    (None, Some(Socket::Unix(older))) => {
                        UnixSocket::adopt(older, path).map(Arc::new)
                    }
                    (None, _) => UnixSocket::bind(path, *mode, *owner).map(Arc::new),
                };
                let socket = socket.map_err(|error| error.to_string())?;
                let shared = socket.share().map_err(|error| error.to_string())?;
                sockets = vec![Socket::Unix(shared)];
                unix = Some(socket);
            }
            Bind::Tcp(_) | Bind::Systemd(_) => {}
        }
        // Every worker gets one, and every socket a worker.
        let most = self.workers.max(sockets.len());
        for (index, socket) in sockets.iter().cycle().take(most).enumerate() {
            let socket = socket.try_clone().map_err(plain)?;
            added.sockets[index % self.workers].push((bind.clone(), socket));
        }
        added.open.push(Open {
            bind: bind.clone(),
            address: Address::of(bind, sockets.first()),
            unix,
            sockets,
        });
        Ok(())
    }

    /// Takes over what was prepared and forgets what the generation does not listen on. The
    /// sockets to send to each worker.
    pub(super) fn publish(&mut self, added: Added, generation: &Generation) -> Vec<Sockets> {
        for open in &added.open {
            if let (Some(unix), Bind::Unix { mode, owner, .. }) = (&open.unix, &open.bind)
                && let Err(error) = unix.set_access(*mode, *owner)
            {
                error!(listener = %open.bind, %error, "the socket file keeps its old access");
            }
        }
        added.open.iter().for_each(Open::keep);
        self.open.extend(added.open);
        self.open.retain(|open| {
            let mut listeners = generation.listeners.iter();
            let stays = listeners.any(|listener| listener.bind == open.bind);
            if !stays {
                open.let_go();
            }
            stays
        });
        let open = &self.open;
        let unwanted = self.inherited.settle(|name| {
            let kept = |open: &Open| open.name_kept();
            open.iter().filter_map(kept).any(|kept| kept == name)
        });
        for name in &unwanted {
            systemd::let_go(name);
        }
        added.sockets
    }

    /// Sends every listening socket, with the address as the configuration writes it.
    ///
    /// # Errors
    /// The other process has gone.
    pub(super) fn hand_over(&self, to: impl AsFd) -> io::Result<()> {
        for open in &self.open {
            let sockets: Vec<_> = open.sockets.iter().map(AsFd::as_fd).collect();
            for sockets in sockets.chunks(handover::DESCRIPTORS_MAX) {
                handover::send(&to, &open.bind.to_string(), sockets)?;
            }
        }
        handover::send(to, LAST, &[])
    }

    /// Another process listens on the same sockets: socket files stay when this one ends.
    pub(super) fn leave_files(&self) {
        let files = self.open.iter().filter_map(|open| open.unix.as_ref());
        files.for_each(|unix| unix.leave_file());
    }

    /// The name and the address of every listener of the generation.
    pub(super) fn addresses(&self, generation: &Generation) -> Vec<(Arc<str>, Address)> {
        let address = |bind: &Bind| self.open.iter().find(|open| open.bind == *bind);
        let named = generation.listeners.iter().filter_map(|listener| {
            let open = address(&listener.bind)?;
            Some((Arc::clone(&listener.name), open.address.clone()))
        });
        named.collect()
    }
}

impl Open {
    /// Has the service manager keep the sockets, so that nobody is refused while the daemon is
    /// started anew, not even after a crash. Where it is not told to, it does not.
    fn keep(&self) {
        let Some(name) = self.name_kept() else { return };
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(AsFd::as_fd).collect();
        systemd::keep(&name, &sockets);
    }

    fn let_go(&self) {
        if let Some(name) = self.name_kept() {
            systemd::let_go(&name);
        }
    }

    /// What the service manager calls the sockets it keeps. None for those that are its own, those
    /// whose port the next process would not know, and those that have a file, which goes with
    /// the process.
    fn name_kept(&self) -> Option<String> {
        match &self.bind {
            // Its names have no colons.
            Bind::Tcp(address) if address.port() != 0 => {
                Some(format!("{KEPT}{address}").replace(':', "|"))
            }
            Bind::Tcp(_) | Bind::Unix { .. } | Bind::Systemd(_) => None,
        }
    }

    /// Whether the kernel would say that this one is in the way of that address.
    fn overlaps(&self, wanted: SocketAddr) -> bool {
        match &self.address {
            Address::Tcp(own) => {
                own.port() == wanted.port()
                    && own.is_ipv4() == wanted.is_ipv4()
                    && (own.ip().is_unspecified() || wanted.ip().is_unspecified())
            }
            Address::Unix(_) | Address::Systemd(_) => false,
        }
    }

    fn unix_at(&self, wanted: &PathBuf) -> Option<Arc<UnixSocket>> {
        match &self.address {
            Address::Unix(path) if path == wanted => self.unix.clone(),
            Address::Unix(_) | Address::Tcp(_) | Address::Systemd(_) => None,
        }
    }
}

impl Address {
    fn of(bind: &Bind, socket: Option<&Socket>) -> Self {
        match (bind, socket) {
            (_, Some(Socket::Tcp(tcp))) if let Ok(bound) = tcp.local_addr() => Self::Tcp(bound),
            (Bind::Tcp(wanted), _) => Self::Tcp(*wanted),
            (Bind::Unix { path, .. }, _) => Self::Unix(path.clone()),
            (Bind::Systemd(name), _) => Self::Systemd(Arc::clone(name)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::*;
    use crate::config::{self, Inputs, Main, Surroundings};

    /// A generation that listens on these.
    fn generation(binds: &[&str]) -> Arc<Generation> {
        let listeners: Vec<_> = binds
            .iter()
            .enumerate()
            .map(|(n, bind)| format!("[[listener]]\nname = \"l{n}\"\nbind = \"{bind}\"\n"))
            .collect();
        let text =
            listeners.concat() + "[[route]]\npath = \"/\"\nhealth = { kind = \"liveness\" }\n";
        let main = Main::Text {
            name: "test",
            text: &text,
            base: Path::new("/"),
        };
        let around = Surroundings {
            carry_over: &mut crate::build::CarryOver::default(),
            sinks: Arc::new(crate::build::MemorySinks::default()),
            id: 1,
        };
        match config::load(main, &Inputs::default(), around) {
            Ok(loaded) => loaded.generation,
            Err(report) => panic!("{}", report.text(false)),
        }
    }

    #[test]
    fn addresses_that_stay_are_not_bound_anew() {
        let mut listening = Listening::new(2, Inherited::default());
        let first = generation(&["127.0.0.1:0"]);
        let added = listening.prepare(&first).unwrap();
        let kept: Vec<_> = listening.publish(added, &first);
        assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        let address = listening.addresses(&first);

        let second = generation(&["127.0.0.1:0", "127.0.0.2:0"]);
        let added = listening.prepare(&second).unwrap();
        let sockets = listening.publish(added, &second);
        assert_eq!(sockets.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(listening.addresses(&second)[0], address[0]);

        // Dropped, and wanted again: a new port.
        let third = generation(&["127.0.0.2:0"]);
        let added = listening.prepare(&third).unwrap();
        listening.publish(added, &third);
        assert_eq!(listening.addresses(&third).len(), 1);
        assert_eq!(listening.open.len(), 1);
    }

    #[test]
    fn all_that_cannot_be_bound_is_named_and_nothing_left() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        let good = format!("unix:{}", good.display());
        let wanted = generation(&[&address, &good, "unix:/proc/none"]);
        let errors = Listening::new(1, Inherited::default())
            .prepare(&wanted)
            .unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(
            errors[0].starts_with("listener `l0` at 127.0.0.1:"),
            "{errors:?}"
        );
        assert!(errors[0].contains("Address already in use"), "{errors:?}");
        assert!(errors[1].contains("/proc/none"), "{errors:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_file_can_change_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let of_mode =
            |mode: &str| generation(&[&format!("unix:{}\"\nmode = \"{mode}", path.display())]);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let mut listening = Listening::new(1, Inherited::default());
        let first = of_mode("0600");
        let added = listening.prepare(&first).unwrap();
        let _kept = listening.publish(added, &first);
        assert_eq!(mode(), 0o600);
        let second = of_mode("0666");
        let added = listening.prepare(&second).unwrap();
        assert_eq!(mode(), 0o600, "nothing yet");
        let _sockets = listening.publish(added, &second);
        assert_eq!(mode(), 0o666);
        UnixStream::connect(&path).unwrap();
        drop(listening);
        assert!(!path.exists());
    }
}
