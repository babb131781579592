//! What this process listens on, and what a generation adds to it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::error;

use super::workers::Sockets;
use crate::generation::{Bind, Generation};
use crate::server::mailbox::Socket;
use crate::sys::socket::{BindError, UnixSocket, bind_tcp};

/// Every address listened on. The sockets themselves are with the workers.
#[derive(Debug)]
pub(super) struct Listening {
    workers: usize,
    open: Vec<Open>,
}

/// An address that is listened on.
#[derive(Debug)]
struct Open {
    bind: Bind,
    address: Address,
    /// Keeps the socket file.
    unix: Option<Arc<UnixSocket>>,
}

/// An address as it is: with the port that was found where 0 was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What a generation adds: bound, and of no effect until it is published. Dropped, it is gone
/// without a trace.
#[derive(Debug)]
pub(super) struct Added {
    open: Vec<Open>,
    sockets: Vec<Sockets>,
}

impl Listening {
    /// On nothing yet, with so many workers.
    pub(super) const fn new(workers: usize) -> Self {
        Self {
            workers,
            open: Vec::new(),
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

    fn add(&self, bind: &Bind, added: &mut Added) -> Result<(), BindError> {
        let (address, unix) = match bind {
            Bind::Tcp(wanted) => {
                let beside_own = self.open.iter().any(|open| open.overlaps(*wanted));
                let sockets = bind_tcp(*wanted, self.workers, beside_own)?;
                let bound = sockets.first().and_then(|first| first.local_addr().ok());
                for (worker, socket) in added.sockets.iter_mut().zip(sockets) {
                    worker.push((bind.clone(), Socket::Tcp(socket)));
                }
                (Address::Tcp(bound.unwrap_or(*wanted)), None)
            }
            Bind::Unix { path, mode, owner } => {
                // With another mode or owner, it is another address, but the same socket.
                let own = self.open.iter().find_map(|open| open.unix_at(path));
                let socket = match own {
                    Some(own) => own,
                    None => Arc::new(UnixSocket::bind(path, *mode, *owner)?),
                };
                for worker in &mut added.sockets {
                    worker.push((bind.clone(), Socket::Unix(socket.share()?)));
                }
                (Address::Unix(path.clone()), Some(socket))
            }
        };
        added.open.push(Open {
            bind: bind.clone(),
            address,
            unix,
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
        self.open.extend(added.open);
        self.open.retain(|open| {
            let mut listeners = generation.listeners.iter();
            listeners.any(|listener| listener.bind == open.bind)
        });
        added.sockets
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
    /// Whether the kernel would say that this one is in the way of that address.
    fn overlaps(&self, wanted: SocketAddr) -> bool {
        match &self.address {
            Address::Tcp(own) => {
                own.port() == wanted.port()
                    && own.is_ipv4() == wanted.is_ipv4()
                    && (own.ip().is_unspecified() || wanted.ip().is_unspecified())
            }
            Address::Unix(_) => false,
        }
    }

    fn unix_at(&self, wanted: &PathBuf) -> Option<Arc<UnixSocket>> {
        match &self.address {
            Address::Unix(path) if path == wanted => self.unix.clone(),
            Address::Unix(_) | Address::Tcp(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
        let mut listening = Listening::new(2);
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
        let errors = Listening::new(1).prepare(&wanted).unwrap_err();
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
        let mut listening = Listening::new(1);
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
