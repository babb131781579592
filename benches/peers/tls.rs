//! TLS as a client: a certificate for all servers, connections, handshakes as a load.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::cases::{Load, Work};
use crate::{Outcome, wait};

/// The name on the certificate.
const NAME: &str = "localhost";

/// Connections at a time, so that a server finds several of them ready.
const THREADS: usize = 8;

/// A connection.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Writes a certificate for [`NAME`] and its key, ECDSA on P-256, also as one file.
pub(crate) fn write_certificate(dir: &Path) -> Outcome<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let cert = pem("CERTIFICATE", made.cert.der());
    let key = pem("PRIVATE KEY", &made.signing_key.serialize_der());
    fs::write(dir.join("cert.pem"), &cert)?;
    fs::write(dir.join("key.pem"), &key)?;
    fs::write(dir.join("both.pem"), cert + &key)?;
    Ok(())
}

/// As RFC 7468 has it, in lines that every peer's library reads.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----");
    for (number, byte) in STANDARD.encode(der).chars().enumerate() {
        if number % 64 == 0 {
            text.push('\n');
        }
        text.push(byte);
    }
    text + &format!("\n-----END {label}-----\n")
}

/// A client as the servers' libraries all know it: the one key exchange that every one of them
/// has, so that none is measured with a dearer one.
pub(crate) fn client(dir: &Path, load: Load) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("cert.pem"))?)?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    match load {
        Load::Http2 => config.alpn_protocols = vec![b"h2".to_vec()],
        Load::Full => config.resumption = Resumption::disabled(),
        Load::KeepAlive | Load::Resumed => {}
    }
    Ok(Arc::new(config))
}

/// A connection to this port, its handshake not begun.
pub(crate) fn connect(port: u16, config: &Arc<ClientConfig>) -> Outcome<Stream> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from(NAME)?)?;
    Ok(StreamOwned::new(session, socket))
}

/// `--handshakes DIR PORT SECONDS full|resumed`: connects, asks once and reads to the end, again
/// and again; then prints how often, and how often it went wrong.
pub(crate) fn handshakes(mut args: impl Iterator<Item = String>) -> Outcome<String> {
    let mut next = || args.next().ok_or("--handshakes wants four values");
    let (dir, port, seconds) = (next()?, next()?.parse()?, next()?.parse()?);
    let load = match next()?.as_str() {
        "resumed" => Load::Resumed,
        _ => Load::Full,
    };
    let end = wait::now() + Duration::from_secs(seconds);
    let clients: Vec<_> = (0..THREADS)
        .map(|_| client(Path::new(&dir), load))
        .collect::<Outcome<_>>()?;
    let counts = std::thread::scope(|scope| {
        let start = |client| scope.spawn(move || count(port, client, load, end));
        let threads: Vec<_> = clients.iter().map(start).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let counts = counts.map_err(|_| "a thread of the load panicked")?;
    let done: u64 = counts.iter().map(|(done, _)| done).sum();
    let errors: u64 = counts.iter().map(|(_, errors)| errors).sum();
    Ok(format!("totals {done} 0 {errors}"))
}

/// How many connections there were whose handshake was what it should be, and how many others.
fn count(port: u16, client: &Arc<ClientConfig>, load: Load, end: Instant) -> (u64, u64) {
    let (mut done, mut errors) = (0, 0);
    // The first of all has nothing to resume.
    let mut wanted = HandshakeKind::Full;
    while wait::now() < end {
        match once(port, client) {
            Ok(kind) if kind == Some(wanted) => done += 1,
            Ok(_) | Err(_) => errors += 1,
        }
        if load == Load::Resumed {
            wanted = HandshakeKind::Resumed;
        }
    }
    (done, errors)
}

fn once(port: u16, client: &Arc<ClientConfig>) -> Outcome<Option<HandshakeKind>> {
    let mut stream = connect(port, client)?;
    let path = Work::Fixed.path();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // To the end: the tickets for the next time come with it.
    stream.read_to_end(&mut Vec::new())?;
    Ok(stream.conn.handshake_kind())
}
