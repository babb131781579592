//! Both sides of a session over sockets of the kernel, in one thread.

use std::future::{Future, poll_fn};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};

use super::*;
use crate::sys::tls::{
    self, Certificate, ClientConfig, Connecting, Resumption, ServerConfig, ServerName, Serving,
    Trust,
};

fn certificate(names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
    let now = Duration::from_secs(UnixTime::now().as_secs());
    Certificate::self_signed(&names, now).unwrap()
}

fn serving(certificates: Vec<Certificate>) -> Serving {
    Serving {
        certificates,
        issued: Vec::new(),
        only_tls13: false,
        ciphers: Vec::new(),
        groups: Vec::new(),
        clients: None,
        resumption: Some(Arc::new(Resumption::new().unwrap())),
        early_data: 0,
        protocols: vec![Alpn::Http2, Alpn::Http1],
    }
}

/// A server for `a.example`, and a client that believes it.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let certificate = certificate(&["a.example"]);
    let connecting = Connecting {
        trust: Trust::Authorities(certificate.certified.cert.clone()),
        identity: None,
        protocols: vec![Alpn::Http1],
    };
    let server = serving(vec![certificate]).build().unwrap();
    (server, connecting.build().unwrap())
}

fn run(work: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let limited = tokio::time::timeout(Duration::from_secs(20), work);
        limited.await.expect("it hangs");
    });
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn server_on(socket: UnixStream, config: &Arc<ServerConfig>) -> Transport {
    tls::server(Transport::Unix(socket), config).unwrap()
}

fn client_on(socket: UnixStream, config: &Arc<ClientConfig>) -> Transport {
    let name = ServerName::try_from("a.example").unwrap();
    tls::client(Transport::Unix(socket), name, config).unwrap()
}

async fn handshake(transport: &Transport) -> Result<(), HandshakeError> {
    poll_fn(|cx| transport.poll_handshake(cx)).await
}

/// Has two things done at the same time.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut done_a, mut done_b) = (None, None);
    poll_fn(|cx| {
        if done_a.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            done_a = Some(done);
        }
        if done_b.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            done_b = Some(done);
        }
        match (done_a.take(), done_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (done_a, done_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

async fn read(transport: &Transport, room: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(room);
    poll_fn(|cx| transport.poll_read(cx, &mut buffer)).await?;
    assert!(buffer.len() <= room, "more than there is room for");
    Ok(buffer)
}

async fn read_to_end(transport: &Transport, room: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match read(transport, room).await? {
            piece if piece.is_empty() => return Ok(all),
            piece => all.extend(piece),
        }
    }
}

async fn write(transport: &Transport, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (one, two) = bytes.split_at(bytes.len().min(7));
        let slices = [IoSlice::new(one), IoSlice::new(two)];
        let written = poll_fn(|cx| transport.poll_write(cx, &slices, More::No)).await;
        bytes = &bytes[written.unwrap()..];
    }
}

/// Carries bytes from one socket to another in pieces of this size, until the end.
async fn carry(from: Rc<UnixStream>, to: Rc<UnixStream>, size: usize) {
    let mut piece = vec![0; size];
    loop {
        from.readable().await.unwrap();
        match from.try_read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                let mut left = &piece[..count];
                while !left.is_empty() {
                    to.writable().await.unwrap();
                    if let Ok(count) = to.try_write(left) {
                        left = &left[count..];
                    }
                }
                tokio::task::yield_now().await;
            }
            Err(_) => {}
        }
    }
    socket2::SockRef::from(&*to)
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

/// A request and an answer, with all that is on the wire cut into pieces of this size.
#[track_caller]
fn check_split(size: usize, length: usize, room: usize) {
    let (server, client) = configs();
    run(async move {
        let ((client_end, client_far), (server_far, server_end)) = (pair(), pair());
        let (client_far, server_far) = (Rc::new(client_far), Rc::new(server_far));
        tokio::task::spawn_local(carry(Rc::clone(&client_far), Rc::clone(&server_far), size));
        tokio::task::spawn_local(carry(server_far, client_far, size));
        let answered = tokio::task::spawn_local(async move {
            let transport = server_on(server_end, &server);
            handshake(&transport).await.unwrap();
            let asked = read_to_end(&transport, room).await.unwrap();
            write(&transport, &asked).await;
            transport.shutdown_write().unwrap();
            transport.session().unwrap().facts()
        });
        let transport = client_on(client_end, &client);
        handshake(&transport).await.unwrap();
        assert_eq!(transport.alpn(), Some(Alpn::Http1));
        let asked = pattern(length);
        write(&transport, &asked).await;
        transport.shutdown_write().unwrap();
        assert!(read_to_end(&transport, room).await.unwrap() == asked);
        let facts = answered.await.unwrap();
        assert_eq!((facts.version, facts.sni()), ("TLSv1.3", Some("a.example")));
        assert_eq!(facts.group, Some("X25519MLKEM768"));
    });
}

#[test]
fn any_split_of_the_wire_reads_alike() {
    for size in [1, 2, 3, 5, 6, 17, 100, 1000, 16_000, 100_000] {
        check_split(size, 3000, 1024);
    }
    for (length, room) in [
        (0, 1),
        (1, 1),
        (16_384, 16_384),
        (300_000, 8192),
        (300_000, 65_536),
    ] {
        check_split(16_384, length, room);
    }
}

/// A connected pair, agreed.
async fn connected() -> (Transport, Transport) {
    let (server, client) = configs();
    let (near, far) = pair();
    let server = server_on(far, &server);
    let client = client_on(near, &client);
    let (accepted, connected) = both(handshake(&server), handshake(&client)).await;
    accepted.and(connected).unwrap();
    (server, client)
}

#[test]
fn an_end_is_told_from_a_cut() {
    run(async {
        let (server, client) = connected().await;
        write(&client, b"whole").await;
        client.end();
        drop(client);
        assert_eq!(read_to_end(&server, 100).await.unwrap(), b"whole");

        let (server, client) = connected().await;
        write(&client, b"half").await;
        client.cut();
        client.shutdown_write().unwrap();
        assert_eq!(read(&server, 100).await.unwrap(), b"half");
        let cut = read(&server, 100).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_write_is_over_when_the_kernel_has_all_of_it() {
    run(async {
        let (server, client) = connected().await;
        let bytes = pattern(ENCRYPTED);
        let mut written = 0;
        loop {
            match server.try_write(&[IoSlice::new(&bytes)], More::No) {
                Ok(count) => written += count,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let answered = tokio::task::spawn_local(async move {
            // The write that was not reported is on its way, and over once repeated.
            while written < 4_000_000 {
                let slices = [IoSlice::new(&bytes)];
                written += poll_fn(|cx| server.poll_write(cx, &slices, More::No))
                    .await
                    .unwrap();
            }
            server.shutdown_write().unwrap();
            // Whoever waits for the peer sends what is left.
            assert_eq!(read(&server, 1).await.unwrap(), b"");
            written
        });
        let read = read_to_end(&client, 8192).await.unwrap();
        client.end();
        assert_eq!(read.len(), answered.await.unwrap());
    });
}

#[test]
fn what_is_decrypted_and_unread_can_be_read() {
    run(async {
        let (server, client) = connected().await;
        assert!(server.is_quiet(true));
        write(&client, &pattern(100)).await;
        assert!(!server.is_quiet(true));
        assert_eq!(read(&server, 60).await.unwrap().len(), 60);
        assert!(!server.is_quiet(false));
        poll_fn(|cx| server.poll_read_ready(cx)).await.unwrap();
        assert_eq!(read(&server, 60).await.unwrap().len(), 40);
        assert!(server.is_quiet(true));
        // The tickets that follow the handshake are no noise.
        write(&server, b"x").await;
        assert_eq!(read(&client, 60).await.unwrap(), b"x");
        assert!(client.is_quiet(true));
    });
}

#[test]
fn a_file_goes_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let content = pattern(1_000_001);
    std::fs::write(&path, &content).unwrap();
    run(async move {
        let (server, client) = connected().await;
        let sent = tokio::task::spawn_local(async move {
            let file = File::open(path).unwrap();
            let mut offset = 1;
            while poll_fn(|cx| server.poll_send_file(cx, &file, &mut offset, 400_000))
                .await
                .unwrap()
                > 0
            {}
            server.end();
            offset
        });
        assert!(read_to_end(&client, 8192).await.unwrap() == content[1..]);
        assert_eq!(sent.await.unwrap(), content.len() as u64);
    });
}

#[test]
fn a_client_that_speaks_something_else_is_told_nothing() {
    use std::io::{Read as _, Write as _};
    let (server, _) = configs();
    run(async move {
        let (near, far) = StdStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let transport = server_on(UnixStream::from_std(far).unwrap(), &server);
        (&near).write_all(b"GET / HTTP/1.1\r\n").unwrap();
        match handshake(&transport).await {
            Err(HandshakeError::NotTls(sent)) => assert_eq!(sent, b"GET / HTTP/1.1\r\n"),
            other => panic!("{other:?}"),
        }
        drop(transport);
        let mut told = Vec::new();
        (&near).read_to_end(&mut told).unwrap();
        assert!(told.is_empty());
    });
}

#[test]
fn a_client_that_believes_nobody_is_told_of() {
    let (server, _) = configs();
    let (_, other) = configs();
    run(async move {
        let (near, far) = pair();
        let (server, client) = (server_on(far, &server), client_on(near, &other));
        let answered = async {
            handshake(&server).await?;
            read(&server, 10).await.map_err(HandshakeError::Broken)
        };
        let (accepted, connected) = both(answered, handshake(&client)).await;
        assert!(
            matches!(connected, Err(HandshakeError::Refused(_))),
            "{connected:?}"
        );
        let told = format!("{:?}", accepted.unwrap_err());
        assert!(told.contains("AlertReceived"), "{told}");
    });
}

#[test]
fn an_idle_session_holds_no_buffers() {
    run(async {
        let (server, client) = connected().await;
        write(&client, &pattern(20_000)).await;
        let mut left = 20_000;
        while left > 0 {
            left -= read(&server, 8192).await.unwrap().len();
        }
        write(&server, &pattern(20_000)).await;
        let state = server.session().unwrap().state.borrow();
        let held = [&state.incoming, &state.plain, &state.outgoing].map(Vec::capacity);
        assert_eq!(held, [0; 3]);
    });
}
