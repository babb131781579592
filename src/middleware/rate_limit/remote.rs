//! A Redis or Valkey server: where it is, who we are there, and what is told of it in the log.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
};
use tokio::net::{TcpStream, UnixStream};
use tracing::{info, warn};

use crate::exchange::{BlockingPool, Seldom};

/// A server, and who we are there. Kept across reloads by its URL, with the connections to it.
pub(super) struct Server {
    place: Place,
    login: RedisConnectionInfo,
    /// Its failures, which clients cause at will.
    told: Seldom,
    /// Whether a failure was told, and nothing better since.
    ill: AtomicBool,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(Arc<str>, u16),
    Unix(PathBuf),
}

/// How many questions may wait to be written. More wait for room, until their time is up.
const QUEUED_MAX: usize = 1024;

/// Why this is no URL of a server: what, and a way out. Neither shows anything of it.
pub(super) type UrlError = (&'static str, &'static str);

impl Server {
    /// The server that a URL names: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or
    /// `redis+unix:///PATH?db=DATABASE&user=USER&pass=PASSWORD`.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            let hint = "put the server on a private network, or a TLS tunnel before it";
            return Err(("a store is spoken to in the clear", hint));
        }
        let hint = "write it like \"redis://:${PASSWORD}@10.0.0.5:6379/0\" or \
                    \"redis+unix:///run/redis/redis.sock?db=0\"";
        let wrong = |_: RedisError| ("this is no URL of a Redis or Valkey server", hint);
        let info = url.into_connection_info().map_err(wrong)?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp(host.as_str().into(), *port),
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(("this is no address of a Redis or Valkey server", hint)),
        };
        Ok(Self {
            place,
            login: info.redis_settings().clone().set_skip_set_lib_name(),
            told: Seldom::default(),
            ill: AtomicBool::new(false),
        })
    }

    /// Opens a connection. Its driver must run while it is used.
    pub(super) async fn open(
        &self,
        blocking: &BlockingPool,
    ) -> Result<(MultiplexedConnection, Driver), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUED_MAX);
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                let opened =
                    MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
                Ok((opened.0, Box::pin(opened.1)))
            }
            Place::Tcp(host, port) => {
                let stream = connect(Arc::clone(host), *port, blocking).await?;
                stream.set_nodelay(true)?;
                let opened =
                    MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
                Ok((opened.0, Box::pin(opened.1)))
            }
        }
    }

    /// Tells of a failure, not too often.
    pub(super) fn complain(&self, error: &dyn fmt::Display) {
        if self.told.is_due() {
            self.ill.store(true, Ordering::Relaxed);
            warn!(store = %self.place, %error, "the store of rate limits fails");
        }
    }

    pub(super) fn answered(&self) {
        if self.ill.load(Ordering::Relaxed) && self.ill.swap(false, Ordering::Relaxed) {
            info!(store = %self.place, "the store of rate limits answers again");
        }
    }
}

/// Moves the bytes of a connection until it is closed or given up.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// Connects to the first address of a name that takes it. Names are looked up on the pool.
async fn connect(host: Arc<str>, port: u16, blocking: &BlockingPool) -> io::Result<TcpStream> {
    if let Ok(ip) = host.parse() {
        return TcpStream::connect(SocketAddr::new(ip, port)).await;
    }
    let addresses = blocking.run(move || (&*host, port).to_socket_addrs());
    let addresses = addresses
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))??;
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Without who we are there.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, &str>) {
        let server = Server::parse(url);
        let shown = server.as_ref().map(|server| {
            let login = &server.login;
            let user = login.username().unwrap_or_default();
            let password = login.password().unwrap_or_default();
            format!("{} {} {user}:{password}", server.place, login.db())
        });
        let shown = shown.as_deref().map_err(|(message, _)| *message);
        assert_eq!(shown, expected, "{url}");
        if let Ok(server) = server {
            assert!(!format!("{server:?}").contains("s3"));
        }
    }

    #[test]
    fn a_url_says_where_and_who() {
        check("redis://10.0.0.5", Ok("10.0.0.5:6379 0 :"));
        check("redis://:s3%40@redis:7000/4", Ok("redis:7000 4 :s3@"));
        check("valkey://me:s3@[::1]/", Ok("[::1]:6379 0 me:s3"));
        check(
            "redis+unix:///run/redis.sock?db=2&pass=s3",
            Ok("/run/redis.sock 2 :s3"),
        );
        check(
            "rediss://:s3@redis",
            Err("a store is spoken to in the clear"),
        );
        for wrong in ["", "redis", "http://a", "redis://", "redis://a/b"] {
            check(wrong, Err("this is no URL of a Redis or Valkey server"));
        }
    }
}
