//! The client's side of a session for a thread that may wait.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::ServerName;

/// A session over a blocking socket; agrees with the server when it is first written to.
#[derive(Debug)]
pub struct Blocking<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl<S: Read + Write> Blocking<S> {
    /// The client's side, towards a server of this name.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(
        socket: S,
        name: ServerName<'static>,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let client = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self(StreamOwned::new(client, socket)))
    }

    /// The socket below.
    pub const fn socket(&self) -> &S {
        &self.0.sock
    }
}

impl<S: Read + Write> Read for Blocking<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Read + Write> Write for Blocking<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
