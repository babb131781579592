//! Web sockets, spoken by a package that others use, and streams of events.

use std::net::{TcpListener, TcpStream};
use std::thread;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use super::load::Load;
use super::{config, proxy};
use crate::support::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// A stream whose waits have a deadline.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn next(socket: &mut WebSocket<TcpStream>) -> Message {
    socket.read().unwrap()
}

#[test]
fn a_websocket_client_and_server_talk_through_the_daemon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::Builder::new().spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tungstenite::accept(patient(stream)).unwrap();
        // Whatever is said is said back, until the other side says goodbye.
        let frame = loop {
            match socket.read().unwrap() {
                Message::Close(frame) => break frame,
                message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).unwrap(),
                _ => {}
            }
        };
        // The goodbye is answered before the end is read.
        while socket.read().is_ok() {}
        frame.map(|frame| u16::from(frame.code))
    });
    let daemon = Daemon::start(&config(&format!("\"{address}\""), ""));
    let stream = patient(TcpStream::connect(daemon.address("web").tcp()).unwrap());
    let (mut socket, response) = tungstenite::client("ws://site/chat", stream).unwrap();
    assert_eq!(response.status(), 101);
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(next(&mut socket), Message::text("hello"));
    for length in [0, 125, 126, 65_535, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        socket.send(Message::binary(bytes.clone())).unwrap();
        assert!(
            next(&mut socket) == Message::binary(bytes),
            "{length} bytes"
        );
    }
    socket.send(Message::Ping(vec![7].into())).unwrap();
    assert_eq!(next(&mut socket), Message::Pong(vec![7].into()));
    let goodbye = CloseFrame {
        code: CloseCode::Library(4_321),
        reason: "done".into(),
    };
    socket.close(Some(goodbye)).unwrap();
    while let Ok(message) = socket.read() {
        assert!(message.is_close(), "{message}");
    }
    assert_eq!(server.unwrap().join().unwrap(), Some(4_321));
    drop(socket);
    daemon.wait_log("/chat 101");
}

#[test]
fn events_flow_one_by_one() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n",
    );
    let head = client.read_head();
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    // Each is read before the next is written: nothing waits for more.
    for number in 0..50 {
        let event = format!("id: {number}\ndata: {}\n\n", "x".repeat(number));
        peer.send(&event);
        let expected = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(client.read_bytes(expected.len()), expected.as_bytes());
    }
    drop(peer);
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
}

/// How many connections stay open over reloads.
const OPEN: usize = 2_000;

const ASKED: &str = "GET /chat HTTP/1.1\r\nHost: site\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";

/// Makes room for two ends of each connection in this process, and in the daemon, which gets
/// the same limit.
fn make_room() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(3 * OPEN).unwrap();
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

/// Reloads must close no connection that has left HTTP, and fail no request.
///
/// Method: two thousand tunnels stand open and two clients ask without a pause while the
/// configuration is changed and loaded five times; then every tunnel carries a byte both ways.
#[test]
fn reloads_close_none_of_two_thousand_websockets() {
    make_room();
    let chat = Upstream::tcp();
    let pages = Daemon::start(
        "[server]\nworkers = 1\nmiddleware = []\n[[listener]]\nname = \"web\"\n\
         bind = \"127.0.0.1:0\"\n[[route]]\npath = \"/page\"\nrespond = { text = \"ok\" }\n",
    );
    let place = pages.address("web").tcp();
    let text = |text: &str| {
        format!(
            "{}[upstream.pages]\nservers = [\"{}\"]\n\
             [[route]]\npath = \"/page\"\n[route.proxy]\nupstream = \"pages\"\n\
             response_headers = {{ set = {{ X-Text = \"{text}\" }} }}\n",
            config(&format!("\"{}\"", chat.address), ""),
            place
        )
    };
    let daemon = Daemon::start(&text("0"));
    let mut tunnels: Vec<(Wire, Peer)> = Vec::with_capacity(OPEN);
    for _ in 0..OPEN {
        let mut client = daemon.connect("web");
        client.send(ASKED);
        let mut peer = chat.accept();
        peer.read_request_head();
        peer.send(SWITCHED);
        assert_eq!(client.read_head().status, 101);
        tunnels.push((client, peer));
    }
    let load = Load::start(&daemon, 2);
    for generation in 2..=6 {
        daemon.write_config(&text(&generation.to_string()));
        daemon.signal(Signal::HUP);
        daemon.wait_log(&format!("serving generation {generation}"));
        let page = daemon.get("web", "/page");
        let expected = generation.to_string();
        assert_eq!(page.field("x-text"), Some(expected.as_str()));
        load.wait(100);
    }
    assert_eq!(load.stop(), [""; 0]);
    for (client, peer) in &mut tunnels {
        client.send("u");
        assert_eq!(peer.read_bytes(1), b"u");
        peer.send("d");
        assert_eq!(client.read_bytes(1), b"d");
    }
}
