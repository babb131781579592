//! Load balancers that tell whom a connection is from, and others that may not.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use rustix::process::Signal;

use crate::support::daemon::{Address, Daemon};
use crate::support::tls::{Authority, Client};
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LINE: &str = "PROXY TCP4 192.0.2.1 192.0.2.80 5000 443\r\n";

/// The balancer, and someone else.
const LISTED: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

/// A daemon that tells what it knows of a client; `rules` stand beside `from`.
fn daemon_with(from: &str, rules: &str, server: &str, rest: &str) -> Daemon {
    Daemon::start(&config(from, rules, server, rest))
}

fn config(from: &str, rules: &str, server: &str, rest: &str) -> String {
    format!(
        r#"
[server]
workers = 1
middleware = ["log"]
{server}

[middleware.log]
type = "access_log"
format = "{{client.ip}} {{client.port}} {{proxy_protocol.sender}} {{response.status}}"

[[listener]]
name = "web"
bind = "127.0.0.1:0"
proxy_protocol = {{ from = [{from}]{rules} }}

{rest}

[[route]]
path = "/"
respond = {{ text = "{TOLD}" }}
"#
    )
}

const TOLD: &str = "{client.ip} {client.port} {connection.peer} {proxy_protocol.sender} \
                    {request.scheme}";

fn daemon(rules: &str) -> Daemon {
    daemon_with("\"127.0.0.2\"", rules, "", "")
}

fn connect(daemon: &Daemon, from: [u8; 4]) -> Wire {
    Wire::connect_from(from, daemon.address("web").tcp().port())
}

/// Its log, once it has ended.
fn stop(mut daemon: Daemon) -> String {
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0)
}

/// A header of version 2 with these bytes behind the fixed ones.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn ipv4(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = vec![192, 0, 2, 1, 192, 0, 2, 80, 0x13, 0x88, 1, 187];
    for (kind, value) in extensions {
        block.push(*kind);
        block.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend_from_slice(value);
    }
    binary(0x21, 0x11, &block)
}

fn ipv6() -> Vec<u8> {
    let from: IpAddr = "2001:db8::1".parse().unwrap();
    let IpAddr::V6(from) = from else { panic!() };
    let to = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
    binary(
        0x21,
        0x21,
        &[&from.octets()[..], &to, &[0, 5, 0, 80]].concat(),
    )
}

/// The answer to a request behind this header, in one write.
#[track_caller]
fn check(daemon: &Daemon, header: impl AsRef<[u8]>, expected: &str) {
    let mut client = connect(daemon, LISTED);
    client.send([header.as_ref(), GET.as_bytes()].concat());
    let told = client.read_response().text();
    assert_eq!(told, expected);
    // It is about the connection, not about a request.
    assert_eq!(client.get("/").text(), told);
}

#[test]
fn the_announced_client_is_the_one_who_asks() {
    let daemon = daemon("");
    check(&daemon, LINE, "192.0.2.1 5000 192.0.2.1 127.0.0.2 http");
    let line = "PROXY TCP6 2001:db8::1 2001:db8::2 5 80\r\n";
    check(&daemon, line, "2001:db8::1 5 2001:db8::1 127.0.0.2 http");
    check(
        &daemon,
        ipv4(&[]),
        "192.0.2.1 5000 192.0.2.1 127.0.0.2 http",
    );
    check(&daemon, ipv6(), "2001:db8::1 5 2001:db8::1 127.0.0.2 http");
    daemon.stdout().wait("192.0.2.1 5000 127.0.0.2 200\n", 4);
    daemon.stdout().wait("2001:db8::1 5 127.0.0.2 200\n", 4);
}

#[test]
fn a_header_comes_in_any_pieces_with_requests_behind_it() {
    let daemon = daemon("");
    let extensions = ipv4(&[(2, b"site.example"), (4, &[0; 600])]);
    for header in [LINE.as_bytes(), &ipv4(&[]), &ipv6(), &extensions] {
        let bytes = [header, GET.as_bytes(), GET.as_bytes()].concat();
        for at in (1..header.len() + 20).step_by(1 + header.len() / 64) {
            let mut client = connect(&daemon, LISTED);
            let (before, after) = bytes.split_at(at);
            client.send(before);
            client.send(after);
            let first = client.read_response();
            assert!(first.text().contains(" 127.0.0.2 "), "{}", first.text());
            assert_eq!(client.read_response().text(), first.text());
        }
        let mut client = connect(&daemon, LISTED);
        client.send_split(&bytes, &[1]);
        let first = client.read_response();
        assert_eq!(client.read_response().text(), first.text());
    }
}

#[test]
fn a_balancer_that_speaks_for_itself_is_itself() {
    let daemon = daemon("");
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, 0, b""),
        binary(0x20, 0x11, &[1; 12]),
        binary(0x21, 0, b""),
    ] {
        let mut client = connect(&daemon, LISTED);
        client.send([&header[..], GET.as_bytes()].concat());
        let told = client.read_response().text();
        assert!(told.starts_with("127.0.0.2 "), "{told}");
        assert!(told.ends_with(" 127.0.0.2 127.0.0.2 http"), "{told}");
    }
    // Or looks whether somebody listens.
    connect(&daemon, LISTED).finish_sending();
    assert!(!stop(daemon).contains("PROXY"));
}

#[test]
fn others_cannot_say_who_they_are() {
    let daemon = daemon("");
    for header in [LINE.as_bytes(), &ipv4(&[])] {
        let mut other = connect(&daemon, OTHER);
        other.send([header, GET.as_bytes()].concat());
        let refused = other.read_response();
        assert_eq!(refused.status(), 400);
        other.expect_closed();
    }
    let mut other = connect(&daemon, OTHER);
    let told = other.get("/").text();
    assert!(told.starts_with("127.0.0.3 "), "{told}");
    assert!(told.ends_with(" 127.0.0.3  http"), "{told}");
}

#[track_caller]
fn check_closed(bytes: impl AsRef<[u8]>, why: &str, reason: &str) {
    let daemon = daemon("");
    let mut client = connect(&daemon, LISTED);
    client.send(bytes);
    client.finish_sending();
    client.expect_closed();
    daemon.log().wait(why, 1);
    daemon.log().wait(reason, 1);
    daemon.log().wait("127.0.0.2", 1);
    // Nobody was served, and everybody else is.
    assert_eq!(daemon.stdout().text(), "");
    check(&daemon, LINE, "192.0.2.1 5000 192.0.2.1 127.0.0.2 http");
}

#[test]
fn who_must_send_a_header_is_not_served_without_a_good_one() {
    let bad = "bad_proxy_header";
    check_closed(GET, bad, "no PROXY header came first");
    check_closed("\x16\x03\x01", bad, "no PROXY header came first");
    check_closed("PROXY TCP4 192.0.2.1 ", bad, "ended within");
    check_closed(format!("PROXY UNKNOWN {}", "x".repeat(94)), bad, "too long");
    check_closed("PROXY TCP4 a b c d\r\n", bad, "addresses");
    check_closed(binary(0x22, 0x11, &[1; 12]), bad, "version or command");
    check_closed(binary(0x21, 0x12, &[1; 12]), bad, "family");
    check_closed(
        [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
        bad,
        "too long",
    );
    check_closed(ipv4(&[(3, &[1; 4])]), bad, "checksum");
}

#[test]
fn a_header_must_come_in_time() {
    // Long enough for a busy machine to send one within it.
    let daemon = daemon(", timeout = \"1s\"");
    let mut slow = connect(&daemon, LISTED);
    slow.send(&LINE[..20]);
    slow.expect_closed();
    daemon.log().wait("proxy_header_timeout", 1);
    // Without a word if nothing came at all.
    connect(&daemon, LISTED).expect_closed();
    check(&daemon, LINE, "192.0.2.1 5000 192.0.2.1 127.0.0.2 http");
    let log = stop(daemon);
    assert_eq!(log.matches("proxy_header_timeout").count(), 1, "{log}");
}

#[test]
fn a_header_may_be_left_to_the_balancer() {
    let daemon = daemon(", required = false");
    check(&daemon, LINE, "192.0.2.1 5000 192.0.2.1 127.0.0.2 http");
    let mut plain = connect(&daemon, LISTED);
    let told = plain.get("/").text();
    assert!(told.starts_with("127.0.0.2 "), "{told}");
    let mut broken = connect(&daemon, LISTED);
    broken.send("PROXY TCP4 a b c d\r\n");
    broken.expect_closed();
}

#[test]
fn extensions_can_be_named() {
    let daemon = daemon_with(
        "\"127.0.0.0/8\"",
        "",
        "",
        "[[route]]\npath = \"/told\"\nrespond = { text = \"\
         {proxy_protocol.authority} {proxy_protocol.alpn} {proxy_protocol.unique_id} \
         {proxy_protocol.tls_version} {proxy_protocol.tls_cipher} \
         {proxy_protocol.tls_common_name} {proxy_protocol.tls_verified} {request.scheme}\" }",
    );
    let mut tls = vec![0x05, 0, 0, 0, 0];
    for (kind, value) in [(0x21, "TLSv1.3"), (0x22, "alice"), (0x23, "AES")] {
        tls.extend([kind, 0, u8::try_from(value.len()).unwrap()]);
        tls.extend_from_slice(value.as_bytes());
    }
    let extensions: [(u8, &[u8]); 5] = [
        (1, b"h2"),
        (2, b"site.example"),
        (5, b"id-7"),
        (0x20, &tls),
        (0xea, b"\x01vpce"),
    ];
    let mut client = connect(&daemon, LISTED);
    client.send(ipv4(&extensions));
    let told = client.get("/told").text();
    assert_eq!(told, "site.example h2 id-7 TLSv1.3 AES alice true https");
    let mut client = connect(&daemon, LISTED);
    client.send(ipv4(&[]));
    assert_eq!(client.get("/told").text(), "       http");
}

#[test]
fn a_unix_socket_is_believed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let daemon = daemon_with(
        "\"10.0.0.0/8\"",
        "",
        "",
        &format!(
            "[[listener]]\nname = \"local\"\nbind = \"unix:{}\"\n\
             proxy_protocol = {{ from = [\"unix\"] }}",
            path.display()
        ),
    );
    let mut client = Wire::connect(&Address::Unix(path));
    client.send(ipv4(&[]));
    let told = client.get("/").text();
    assert_eq!(told, "192.0.2.1 5000 192.0.2.1 0.0.0.0 http");
    // Whom it names may have come by a unix socket too.
    let mut client = daemon.connect("local");
    client.send(binary(0x21, 0x31, &[0; 216]));
    let told = client.get("/").text();
    assert_eq!(told, "0.0.0.0 0 0.0.0.0 0.0.0.0 http");
}

#[test]
fn a_header_stands_in_front_of_an_encrypted_connection() {
    let authority = Authority::new("ca");
    let issued = authority.issue(&["a"]);
    let tls = "tls = { certificates = [{ cert = \"a.pem\", key = \"a.key\" }] }";
    let daemon = Daemon::setup()
        .file("a.pem", issued.cert())
        .secret("a.key", issued.key())
        .config(&config("\"127.0.0.1\"", "", "", tls))
        .start();
    let client = Client::of(&authority);
    for header in [LINE.as_bytes(), &ipv4(&[(2, b"other.example")])] {
        let mut socket = TcpStream::connect(daemon.address("web").tcp()).unwrap();
        socket.write_all(header).unwrap();
        let mut wire = client.agree(socket, "a").unwrap();
        let told = wire.get("/").text();
        assert_eq!(told, "192.0.2.1 5000 192.0.2.1 127.0.0.1 https");
    }
    // Who is encrypted and names nobody is closed like anyone else.
    client.try_connect(daemon.address("web"), "a").unwrap_err();
    daemon.log().wait("no PROXY header came first", 1);
}

#[test]
fn limits_and_upstreams_are_about_the_announced_client() {
    let upstream = Upstream::tcp();
    let daemon = daemon_with(
        "\"127.0.0.2\"",
        "",
        "trusted_proxies = [\"192.0.2.7\"]",
        &format!(
            "[middleware.once]\ntype = \"rate_limit\"\nrate = \"1/h\"\nburst = 1\n\
             [[route]]\npath = \"/limited\"\nmiddleware = \"once\"\nrespond = {{}}\n\
             [upstream.app]\nservers = [\"{}\"]\n\
             [[route]]\npath = \"/up\"\nproxy = {{ upstream = \"app\" }}\n",
            upstream.address
        ),
    );
    let from = |client: &str| {
        let mut wire = connect(&daemon, LISTED);
        wire.send(LINE.replace("192.0.2.1 ", &format!("{client} ")));
        wire
    };
    assert_eq!(from("192.0.2.1").get("/limited").status(), 200);
    assert_eq!(from("192.0.2.2").get("/limited").status(), 200);
    assert_eq!(from("192.0.2.2").get("/limited").status(), 429);
    // Who trusts a proxy trusts it behind a balancer too, and the balancer itself for nothing.
    let asked = "GET /up HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    for (client, expected) in [
        ("192.0.2.1", "X-Forwarded-For: 192.0.2.1\r\n"),
        ("192.0.2.7", "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n"),
    ] {
        let mut client = from(client);
        client.send(asked);
        let mut peer = upstream.accept();
        let head = peer.read_request_head();
        assert!(head.contains(expected), "{head}");
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.read_response().status(), 200);
    }
    daemon.stdout().wait("203.0.113.9 5000 127.0.0.2 200\n", 1);
}

#[test]
fn a_drain_does_not_wait_for_headers() {
    let daemon = daemon(", timeout = \"1h\"");
    let mut slow = connect(&daemon, LISTED);
    slow.send(&LINE[..20]);
    stop(daemon);
    slow.expect_closed();
}
