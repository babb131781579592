//! The floor: the least that a process on epoll can do to answer a request, or to pass one on.
//!
//! One `read`, one `write`, no parsing beyond the end of the head; twice that if an upstream is
//! asked. Whatever a server spends above this is its own. It is also the upstream behind every
//! proxy, so that all proxies have the same one.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use slab::Slab;

/// What an event stands for when it is the listener's. No slab grows that large.
const LISTENER: u64 = u64::MAX;

/// Events taken in one wait: all 64 connections of the load, and then some.
const EVENTS: usize = 128;

struct Connection {
    stream: TcpStream,
    /// Bytes of the response that did not fit into the socket yet; 0 if none are left.
    left: usize,
    /// Where its bytes go, if they are passed on.
    other: Option<usize>,
}

impl Connection {
    fn new(stream: TcpStream, other: Option<usize>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            left: 0,
            other,
        })
    }
}

/// Answers every request head with a body of `body` bytes, until the process is ended; those for
/// `/proxy/…` it passes on to the port `upstream`, if there is one.
pub(crate) fn run(port: u16, body: usize, upstream: Option<u16>) -> io::Result<()> {
    let response = response(body);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut connections = Slab::new();
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let data = event.data;
            if data.u64() == LISTENER {
                accept(&epoll, &listener, &mut connections)?;
                continue;
            }
            let key = usize::try_from(data.u64()).map_err(io::Error::other)?;
            if !serve(&epoll, &mut connections, key, &response, upstream)?
                && let Some(gone) = connections.try_remove(key)
                && let Some(other) = gone.other
            {
                connections.try_remove(other);
            }
        }
    }
}

fn response(body: usize) -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {body}\r\n\r\n"
    )
    .into_bytes();
    response.resize(response.len() + body, b'x');
    response
}

fn accept(
    epoll: &OwnedFd,
    listener: &TcpListener,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    match listener.accept() {
        Ok((stream, _)) => {
            watch(epoll, connections, Connection::new(stream, None)?)?;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

fn watch(
    epoll: &OwnedFd,
    connections: &mut Slab<Connection>,
    connection: Connection,
) -> io::Result<usize> {
    let entry = connections.vacant_entry();
    let key = entry.key();
    let data = EventData::new_u64(key as u64);
    epoll::add(epoll, &connection.stream, data, EventFlags::IN)?;
    entry.insert(connection);
    Ok(key)
}

/// One turn of a connection; `false` when it is over.
fn serve(
    epoll: &OwnedFd,
    connections: &mut Slab<Connection>,
    key: usize,
    response: &[u8],
    upstream: Option<u16>,
) -> io::Result<bool> {
    let Some(connection) = connections.get_mut(key) else {
        return Ok(true);
    };
    if connection.left == 0 {
        let mut head = [0; 4096];
        match connection.stream.read(&mut head) {
            Ok(0) => return Ok(false),
            Ok(length)
                if connection.other.is_some()
                    || upstream.is_some() && head.starts_with(b"GET /proxy/") =>
            {
                return pass(epoll, connections, key, &head[..length], upstream);
            }
            // A head that came in two pieces is answered when its second has come.
            Ok(length) if !head[..length].ends_with(b"\r\n\r\n") => return Ok(true),
            Ok(_) => connection.left = response.len(),
            Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
        }
        return send(epoll, connection, key, response, false);
    }
    send(epoll, connection, key, response, true)
}

/// Passes on what has come, which is small enough for the socket's buffer; `false` when there is
/// nobody to pass it on to.
fn pass(
    epoll: &OwnedFd,
    connections: &mut Slab<Connection>,
    from: usize,
    bytes: &[u8],
    upstream: Option<u16>,
) -> io::Result<bool> {
    let to = match (connections[from].other, upstream) {
        (Some(other), _) => other,
        (None, Some(upstream)) => {
            let stream = TcpStream::connect(("127.0.0.1", upstream))?;
            let other = watch(epoll, connections, Connection::new(stream, Some(from))?)?;
            connections[from].other = Some(other);
            other
        }
        (None, None) => return Ok(false),
    };
    let to = connections.get_mut(to);
    Ok(to.is_some_and(|to| to.stream.write_all(bytes).is_ok()))
}

/// Sends what is left. `waited` says that the socket was watched for room, not for requests.
fn send(
    epoll: &OwnedFd,
    connection: &mut Connection,
    key: usize,
    response: &[u8],
    waited: bool,
) -> io::Result<bool> {
    match connection
        .stream
        .write(&response[response.len() - connection.left..])
    {
        Ok(length) => connection.left -= length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => return Ok(false),
    }
    if waited != (connection.left > 0) {
        let flags = if waited {
            EventFlags::IN
        } else {
            EventFlags::OUT
        };
        epoll::modify(
            epoll,
            &connection.stream,
            EventData::new_u64(key as u64),
            flags,
        )?;
    }
    Ok(true)
}
