//! Listening sockets: bound, set and listening, in non-blocking mode.
//!
//! Every worker gets a TCP socket of its own in one `SO_REUSEPORT` group, so that the kernel
//! spreads connections. Such groups also let a second daemon share a taken address without a
//! word, which nobody wants: so the first socket is bound without the option, which fails if
//! anyone listens there, and joins the group before it listens.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

/// How many connections may wait to be accepted, on each socket. The kernel takes the lesser of
/// this and `net.core.somaxconn`, whose default is 4096 since Linux 5.4.
const BACKLOG: i32 = 4096;

/// The step that gives a socket its address.
const BIND: &str = "bind";

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The step that failed, as an operator would say it.
    step: &'static str,
    error: io::Error,
}

/// Binds `count` sockets to a TCP address, one a worker. Port 0 gives all of them one free port.
///
/// With `beside_own`, the process listens on an overlapping address already (all addresses and
/// one of them, at the same port), and may do so once more.
pub fn bind_tcp(
    address: SocketAddr,
    count: usize,
    beside_own: bool,
) -> Result<Vec<TcpListener>, BindError> {
    let first = tcp_socket(address, beside_own)?;
    // Before it listens: the group is joined by listening.
    first
        .set_reuse_port(true)
        .map_err(|error| BindError::new("share the address between workers", error))?;
    listen(&first)?;
    let bound = bound_address(&first)?;
    let mut sockets = vec![TcpListener::from(first)];
    while sockets.len() < count {
        let next = tcp_socket(bound, true)?;
        listen(&next)?;
        sockets.push(TcpListener::from(next));
    }
    Ok(sockets)
}

fn tcp_socket(address: SocketAddr, reuse_port: bool) -> Result<Socket, BindError> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )
    .map_err(|error| BindError::new("open a socket", error))?;
    let set = || {
        // Connections of an earlier run may still be in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` is IPv6 alone, whatever the system's default: IPv4 has its own listener.
            socket.set_only_v6(true)?;
        }
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        Ok(())
    };
    set().map_err(|error| BindError::new("set the socket's options", error))?;
    socket
        .bind(&SockAddr::from(address))
        .map_err(|error| BindError::new(BIND, error))?;
    Ok(socket)
}

fn bound_address(socket: &Socket) -> Result<SocketAddr, BindError> {
    let address = socket
        .local_addr()
        .map_err(|error| BindError::new("read the bound address", error))?;
    address.as_socket().ok_or_else(|| {
        let error = io::Error::from(io::ErrorKind::InvalidData);
        BindError::new("read the bound address", error)
    })
}

fn listen(socket: &Socket) -> Result<(), BindError> {
    socket
        .listen(BACKLOG)
        .map_err(|error| BindError::new("listen", error))
}

/// A unix socket that is listened on. Its file is removed with it, if it is still this one's.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// Whether another process listens on it, and the file is that one's.
    left: AtomicBool,
}

impl UnixSocket {
    /// Binds to a path. A socket file that nobody listens on any more is replaced; one that
    /// somebody does, and anything that is no socket, is an error.
    pub fn bind(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<Self, BindError> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
            .map_err(|error| BindError::new("open a socket", error))?;
        // The file is created with the mode of the socket: never looser than asked for, not even
        // for a moment. The umask may have made it stricter, which `set_access` mends.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))
            .map_err(|error| BindError::new("set the mode of the socket", error.into()))?;
        SockAddr::unix(path)
            .and_then(|address| socket.bind(&address))
            .map_err(|error| BindError::new(BIND, error))?;
        let identity =
            identity(path).map_err(|error| BindError::new("look at the socket file", error))?;
        let bound = Self {
            listener: UnixListener::from(socket),
            path: path.to_path_buf(),
            identity,
            left: AtomicBool::new(false),
        };
        // From here on, the file is removed again if something fails.
        bound.set_access(mode, owner)?;
        listen(&Socket::from(bound.share()?))?;
        Ok(bound)
    }

    /// Binds beside the path and moves the file over what is there in one step: the socket of a
    /// process that this one replaces.
    pub fn bind_over(path: &Path, mode: u32) -> Result<Self, BindError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let mut socket = Self::bind(Path::new(&beside), mode, None)?;
        fs::rename(&beside, path)
            .map_err(|error| BindError::new("move the socket file to its place", error))?;
        socket.path = path.to_path_buf();
        Ok(socket)
    }

    /// Takes over a socket that another process has bound to this path.
    pub fn adopt(listener: UnixListener, path: &Path) -> Result<Self, BindError> {
        let identity =
            identity(path).map_err(|error| BindError::new("look at the socket file", error))?;
        Ok(Self {
            listener,
            path: path.to_path_buf(),
            identity,
            left: AtomicBool::new(false),
        })
    }

    /// Leaves the file where it is when this is dropped: another process has adopted the socket.
    pub fn leave_file(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Gives the socket file this mode and owner.
    pub fn set_access(&self, mode: u32, owner: Option<(u32, u32)>) -> Result<(), BindError> {
        if let Some((user, group)) = owner {
            chown(&self.path, Some(user), Some(group))
                .map_err(|error| BindError::new("change the owner of the socket file", error))?;
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
            .map_err(|error| BindError::new("change the mode of the socket file", error))
    }

    /// One more descriptor of the same socket, for a worker.
    pub fn share(&self) -> Result<UnixListener, BindError> {
        self.listener
            .try_clone()
            .map_err(|error| BindError::new("share the socket between workers", error))
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|now| now == self.identity)
        {
            // What cannot be removed is stale, and replaced at the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::new("look at the path", error)),
    };
    if !file.file_type().is_socket() {
        let error = io::Error::other("a file that is no socket is there; it is left alone");
        return Err(BindError::new(BIND, error));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| BindError::new("remove the stale socket file", error)),
        // Also when we may not ask, or its backlog is full: it may be somebody's.
        Ok(_) | Err(_) => Err(BindError::new(BIND, rustix::io::Errno::ADDRINUSE.into())),
    }
}

impl BindError {
    fn new(step: &'static str, error: io::Error) -> Self {
        Self { step, error }
    }

    /// Whether somebody listens there already.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.error)?;
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("; somebody listens there already, and `ss -lnp` tells who")
            }
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("; no interface of this machine has the address")
            }
            io::ErrorKind::PermissionDenied if self.step == BIND => f.write_str(
                "; ports below 1024 need CAP_NET_BIND_SERVICE, socket files a writable folder",
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// A port that no other test gets as long as the socket lives, which is bound to it at every
    /// address, those of IPv4 too if it is of IPv6, and does not listen.
    fn reserved(domain: Domain) -> (Socket, u16) {
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let anywhere = if domain == Domain::IPV6 {
            socket.set_only_v6(false).unwrap();
            SocketAddr::from(([0; 16], 0))
        } else {
            SocketAddr::from(([0; 4], 0))
        };
        socket.bind(&anywhere.into()).unwrap();
        let port = bound_address(&socket).unwrap().port();
        (socket, port)
    }

    #[test]
    fn workers_share_a_port_that_nobody_else_gets() {
        let (_held, port) = reserved(Domain::IPV4);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let ours = bind_tcp(address, 3, false).unwrap();
        assert_eq!(ours.len(), 3);
        for socket in &ours {
            assert_eq!(socket.local_addr().unwrap(), address);
        }
        let refused = bind_tcp(address, 3, false).unwrap_err();
        assert!(refused.is_taken(), "{refused}");
        // One socket of the group gone, the others still hold the address.
        drop(ours.into_iter().next_back());
        bind_tcp(address, 1, false).unwrap();
    }

    #[test]
    fn connections_are_spread_over_the_group() {
        let ours = bind_tcp(loopback(), 2, false).unwrap();
        let address = ours[0].local_addr().unwrap();
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(address)).collect();
        let accepted = |socket: &TcpListener| std::iter::from_fn(|| socket.accept().ok()).count();
        let counts = [accepted(&ours[0]), accepted(&ours[1])];
        assert_eq!(counts[0] + counts[1], clients.len());
        assert!(counts.iter().all(|&count| count > 8), "{counts:?}");
    }

    #[test]
    fn an_address_beside_our_own_can_be_added() {
        let (_held, port) = reserved(Domain::IPV4);
        let _ours = bind_tcp(SocketAddr::from(([127, 0, 0, 1], port)), 2, false).unwrap();
        let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
        assert!(bind_tcp(everywhere, 2, false).unwrap_err().is_taken());
        assert_eq!(bind_tcp(everywhere, 2, true).unwrap().len(), 2);
    }

    #[test]
    fn ipv6_is_ipv6_alone() {
        if TcpListener::bind("[::1]:0").is_err() {
            // A machine without IPv6 has nothing to show here.
            return;
        }
        let (_held, port) = reserved(Domain::IPV6);
        let _six = bind_tcp(SocketAddr::from(([0; 16], port)), 1, false).unwrap();
        bind_tcp(SocketAddr::from(([0, 0, 0, 0], port)), 1, false).unwrap();
    }

    #[test]
    fn unix_sockets_have_their_mode_and_are_tidied_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = UnixSocket::bind(&path, 0o666, None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o666);
        UnixStream::connect(&path).unwrap();
        assert!(UnixSocket::bind(&path, 0o600, None).unwrap_err().is_taken());
        assert_eq!(mode(&path), 0o666, "a refused bind changes nothing");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn stale_sockets_are_replaced_and_other_files_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = UnixSocket::bind(&path, 0o600, None).unwrap();

        // Somebody replaced the file: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(socket);
        let refused = UnixSocket::bind(&path, 0o600, None).unwrap_err();
        assert!(refused.to_string().contains("no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
