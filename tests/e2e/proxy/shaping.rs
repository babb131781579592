//! Traffic shared out, copied, held back and announced.

use super::{get, route_with};
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// Two upstreams, and one route with these keys in its `proxy`.
fn two(one: &Upstream, other: &Upstream, proxy: &str) -> Daemon {
    Daemon::start(&format!(
        "[server]\nworkers = 1\nmiddleware = []\n[[listener]]\nname = \"web\"\n\
         bind = \"127.0.0.1:0\"\n[upstream.one]\nservers = [\"{}\"]\n\
         [upstream.other]\nservers = [\"{}\"]\n[[route]]\npath = \"/*\"\n[route.proxy]\n{proxy}\n",
        one.address, other.address
    ))
}

const SPLIT: &str = "split = [{ upstream = \"one\", weight = 3 }, \
                     { upstream = \"other\", weight = 1 }]\n";

/// Answers so many requests, each with a name, on a thread.
fn named(upstream: Upstream, name: &'static str) -> std::thread::JoinHandle<usize> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    );
    let served = upstream.serve(1, move |_| answer.clone().into_bytes());
    std::thread::Builder::new()
        .spawn(move || served.join().unwrap().len())
        .unwrap()
}

#[test]
fn traffic_is_shared_out_by_weight() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let daemon = two(&one, &other, SPLIT);
    let (one, other) = (named(one, "one"), named(other, "two"));
    let mut client = daemon.connect("web");
    let mut counted = 0;
    for _ in 0..400 {
        get(&mut client, "/");
        counted += usize::from(client.read_response().text() == "one");
    }
    drop(daemon);
    assert_eq!(one.join().unwrap() + other.join().unwrap(), 400);
    // Eleven standard deviations from three quarters.
    assert!((205..395).contains(&counted), "{counted} of 400");
}

fn ask(wire: &mut Wire, fields: &str) -> (String, Option<String>) {
    wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let response = wire.read_response();
    let cookie = response.field("set-cookie").map(str::to_owned);
    (response.text(), cookie)
}

#[test]
fn a_client_stays_where_its_cookie_says() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let proxy = format!("{SPLIT}sticky = {{ cookie = \"lane\", max_age = \"1h\" }}\n");
    let daemon = two(&one, &other, &proxy);
    let (one, other) = (named(one, "one"), named(other, "two"));
    let mut client = daemon.connect("web");
    let mut seen = Vec::new();
    // Until both have been met.
    while !(seen.contains(&"one".to_owned()) && seen.contains(&"two".to_owned())) {
        let (name, cookie) = ask(&mut client, "");
        let cookie = cookie.unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
        let value = pair.strip_prefix("lane=").unwrap();
        assert_eq!(value.len(), 16, "no name of an upstream: {value}");
        for _ in 0..10 {
            let again = ask(&mut client, &format!("Cookie: x=y; {pair}\r\n"));
            assert_eq!(again, (name.clone(), None));
        }
        seen.push(name);
    }
    // One that nobody gave is no ticket.
    let (_, cookie) = ask(&mut client, "Cookie: lane=0000000000000000\r\n");
    assert!(cookie.is_some());
    drop(daemon);
    one.join().unwrap();
    other.join().unwrap();
}

#[test]
fn the_same_text_leads_to_the_same_upstream() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let proxy = format!("{SPLIT}sticky = {{ hash = \"{{header.x-tenant}}\" }}\n");
    let daemon = two(&one, &other, &proxy);
    let (one, other) = (named(one, "one"), named(other, "two"));
    let mut client = daemon.connect("web");
    let mut counted = 0;
    for tenant in 0..100 {
        let fields = format!("X-Tenant: {tenant}\r\n");
        let (name, cookie) = ask(&mut client, &fields);
        assert_eq!(cookie, None);
        assert_eq!(ask(&mut client, &fields).0, name);
        counted += usize::from(name == "one");
    }
    assert!((50..95).contains(&counted), "{counted} of 100");
    drop(daemon);
    one.join().unwrap();
    other.join().unwrap();
}

#[test]
fn an_upstream_without_a_server_is_passed_over() {
    let one = Upstream::tcp();
    let daemon = Daemon::start(&format!(
        "[server]\nworkers = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.one]\nservers = [\"{}\"]\n[upstream.other]\nservers = [\"nobody.invalid:80\"]\n\
         [[route]]\npath = \"/*\"\n[route.proxy]\n{SPLIT}",
        one.address
    ));
    let one = named(one, "one");
    let mut client = daemon.connect("web");
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "").0, "one");
    }
    drop(daemon);
    assert_eq!(one.join().unwrap(), 20);
}

#[test]
fn a_header_or_a_cookie_leads_to_another_upstream() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let daemon = Daemon::start(&format!(
        "[server]\nworkers = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.one]\nservers = [\"{}\"]\n[upstream.other]\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/*\"\nproxy = {{ upstream = \"one\" }}\n\
         [[route]]\npath = \"/*\"\nheaders = {{ X-Canary = \"yes\" }}\n\
         proxy = {{ upstream = \"other\" }}\n\
         [[route]]\npath = \"/*\"\nheaders = {{ Cookie = {{ regex = \"(^|; )beta=1(;|$)\" }} }}\n\
         proxy = {{ upstream = \"other\" }}\n",
        one.address, other.address
    ));
    let (one, other) = (named(one, "one"), named(other, "two"));
    let mut client = daemon.connect("web");
    assert_eq!(ask(&mut client, "").0, "one");
    assert_eq!(ask(&mut client, "X-Canary: yes\r\n").0, "two");
    assert_eq!(ask(&mut client, "X-Canary: no\r\n").0, "one");
    assert_eq!(ask(&mut client, "Cookie: a=b; beta=1\r\n").0, "two");
    assert_eq!(ask(&mut client, "Cookie: a=b; beta=10\r\n").0, "one");
    drop(daemon);
    assert_eq!((one.join().unwrap(), other.join().unwrap()), (3, 2));
}

#[test]
fn a_mirror_gets_a_copy_and_nobody_waits_for_it() {
    let (one, shadow) = (Upstream::tcp(), Upstream::tcp());
    let proxy = "upstream = \"one\"\nmirror = { upstream = \"other\", body = \"1KiB\" }\n";
    let daemon = two(&one, &shadow, proxy);
    let mut client = daemon.connect("web");
    client.send("POST /a HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\n\r\nhello");
    let mut peer = one.accept();
    let request = peer.read_request();
    // The shadow has not even accepted.
    peer.respond("200 OK", "seen");
    assert_eq!(client.read_response().text(), "seen");
    let mut copied = shadow.accept();
    assert_eq!(copied.read_request(), request);
    // Whatever it says is not heard.
    copied.respond("500 Internal Server Error", "evil");
    client.send("POST /b HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n0\r\n\r\n");
    let request = peer.read_request();
    assert_eq!(request.body, b"abc");
    peer.respond("200 OK", "two");
    assert_eq!(client.read_response().text(), "two");
    assert_eq!(copied.read_request(), request);
    copied.respond("200 OK", "x");
    // Too large for a shadow.
    let large = "x".repeat(2_000);
    client.send(format!(
        "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{large}"
    ));
    assert_eq!(peer.read_request().body, large.as_bytes());
    peer.respond("200 OK", "three");
    assert_eq!(client.read_response().text(), "three");
    get(&mut client, "/d");
    assert!(peer.read_request().head.starts_with("GET /d "));
    peer.respond("200 OK", "four");
    assert_eq!(client.read_response().text(), "four");
    assert!(copied.read_request().head.starts_with("GET /d "));
}

#[test]
fn only_so_many_copies_are_under_way() {
    let (one, shadow) = (Upstream::tcp(), Upstream::tcp());
    let proxy = "upstream = \"one\"\nmirror = { upstream = \"other\", in_flight = 2 }\n";
    let daemon = two(&one, &shadow, proxy);
    let mut client = daemon.connect("web");
    let mut peer: Option<Peer> = None;
    let mut copies = Vec::new();
    for number in 0..5 {
        get(&mut client, &format!("/{number}"));
        let peer = peer.get_or_insert_with(|| one.accept());
        peer.read_request();
        peer.respond("200 OK", "x");
        client.read_response();
        // Never answered.
        if number < 2 {
            let mut copy = shadow.accept();
            copy.read_request();
            copies.push(copy);
        }
    }
    shadow.expect_no_connection();
}

#[test]
fn a_slow_body_holds_no_server() {
    let upstream = Upstream::tcp();
    let proxy = "buffer_request = { memory = \"1KiB\", directory = \".\" }";
    let daemon = route_with(&upstream, proxy);
    let mut client = daemon.connect("web");
    client.send("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    let half = "x".repeat(600_000);
    client.send(format!("{:x}\r\n{half}\r\n", half.len()));
    // Another asks meanwhile, and is the first the server hears of.
    let mut other = daemon.connect("web");
    get(&mut other, "/b");
    let mut peer = upstream.accept();
    assert!(peer.read_request().head.starts_with("GET /b "));
    peer.respond("200 OK", "b");
    assert_eq!(other.read_response().text(), "b");
    client.send("4\r\nlast\r\n0\r\n\r\n");
    let request = peer.read_request();
    assert!(
        request.head.contains("\r\nContent-Length: 600009\r\n"),
        "{}",
        request.head
    );
    assert!(request.body == format!("first{half}last").as_bytes());
    peer.respond("200 OK", "a");
    assert_eq!(client.read_response().text(), "a");
}
