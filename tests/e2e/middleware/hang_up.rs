//! Clients that hang up at any point of an exchange, on routes with every kind that keeps
//! something for one: afterwards nothing is held, and logs and numbers agree.
//!
//! `SEED` replays a run; what each client does follows from it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use httpserverd::clock;
use serde_json::Value;
use socket2::SockRef;

use super::lines;
use crate::e2e::metrics::wait_number;
use crate::support::PATIENCE;
use crate::support::daemon::Daemon;

/// How many clients there are at a time: as many as may be in flight or wait.
const CLIENTS: u64 = 8;

/// How often each of them asks.
const ROUNDS: u64 = 60;

/// Tokens that nobody gives back.
const BURST: u64 = 100_000;

const CONFIG: &str = r#"
[server]
workers = 2
middleware = ["request_id", "log"]

[server.limits]
write_idle_timeout = "5s"

[middleware.log]
type = "access_log"
output = "stdout"
format = "json"

[middleware.tokens]
type = "rate_limit"
rate = "100000/3649d"

[middleware.slots]
type = "concurrency_limit"
max = 4
queue = 4
queue_timeout = "10s"

[middleware.paced]
type = "bandwidth_limit"
download = "1GiB/s"
upload = "1GiB/s"
download_burst = "256MiB"

[middleware.kept]
type = "cache"
default_lifetime = "1h"

[middleware.late]
type = "fault_injection"
delay = "2ms"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.origin]
servers = ["ORIGIN"]

[[route]]
path = "/metrics"
metrics = {}

[[route]]
path = "/proxied/*"
middleware = ["tokens", "slots", "paced", "compression"]
proxy = { upstream = "origin" }

[[route]]
path = "/kept/*"
middleware = ["tokens", "slots", "kept"]
proxy = { upstream = "origin" }

[[route]]
path = "/files/*"
middleware = ["tokens", "slots", "paced", "compression"]
static = { root = "files", strip_prefix = "/files" }

[[route]]
path = "/late/*"
middleware = ["tokens", "slots", "late"]
respond = { text = "late" }
"#;

/// What a client asks for; the daemon closes behind it.
const REQUESTS: [&str; 6] = [
    "GET /proxied/page HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    "POST /proxied/up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 12\r\n\r\n\
     hello, world",
    "POST /proxied/up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
     \r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",
    "GET /kept/page HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
    "GET /files/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /late/a HTTP/1.1\r\nHost: a\r\n\r\n\
     GET /files/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];

#[test]
fn who_hangs_up_leaves_nothing_behind() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => clock::unix_now().as_secs(),
    };
    eprintln!("SEED={seed}");
    let (origin, held) = Origin::start();
    let daemon = Daemon::setup()
        .config(&CONFIG.replace("ORIGIN", &origin))
        .file("files/large", vec![b'x'; 300_000])
        .start();
    let address = daemon.address("web").tcp();
    let clients = (0..CLIENTS).map(|client| {
        let mut random = Random((seed.wrapping_mul(CLIENTS) + client).wrapping_mul(2) | 1);
        let hang_up = move || {
            for round in 0..ROUNDS {
                let stream = TcpStream::connect(address).unwrap();
                hang_up(stream, client * ROUNDS + round, &mut random);
            }
        };
        thread::Builder::new().spawn(hang_up).unwrap()
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.join().unwrap();
    }
    expect_free_slots(&daemon, &held);
    expect_agreement(&daemon);
}

/// One exchange, or a part of one.
fn hang_up(mut stream: TcpStream, number: u64, random: &mut Random) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = REQUESTS[random.below(REQUESTS.len())];
    // Some of the hosts are asked for again, so that one waits for what another fetches.
    let request = request.replace("HOST", &format!("h{}", number % 20));
    let all = random.below(3) > 0;
    let sent = if all {
        request.len()
    } else {
        random.below(request.len())
    };
    let read = if all {
        random.below(2) * random.below(400_000)
    } else {
        0
    };
    // The daemon may have refused, and closed, by now.
    drop(stream.write_all(&request.as_bytes()[..sent]));
    drop(io::copy(&mut (&stream).take(read as u64), &mut io::sink()));
    if random.below(2) == 0 {
        let socket = SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// All slots can be taken again, and the queue is empty.
fn expect_free_slots(daemon: &Daemon, held: &Receiver<Sender<()>>) {
    wait_number(
        daemon,
        "httpserverd_concurrency_in_flight{name=\"slots\"}",
        0,
    );
    let asked: Vec<_> = (0..4)
        .map(|_| {
            let mut wire = daemon.connect("web");
            wire.send("GET /proxied/held HTTP/1.1\r\nHost: a\r\n\r\n");
            wire
        })
        .collect();
    let held: Vec<_> = asked.iter().map(|_| held.recv().unwrap()).collect();
    wait_number(
        daemon,
        "httpserverd_concurrency_in_flight{name=\"slots\"}",
        4,
    );
    for held in held {
        held.send(()).unwrap();
    }
    for mut wire in asked {
        assert_eq!(wire.read_response().status(), 200);
    }
    wait_number(
        daemon,
        "httpserverd_concurrency_in_flight{name=\"slots\"}",
        0,
    );
    // What somebody waited for in vain can be fetched.
    let mut wire = daemon.connect("web");
    for cached in ["fwd=uri-miss", "hit"] {
        let response = wire.get("/kept/page");
        let status = response.field("Cache-Status").unwrap();
        assert!(status.contains(cached), "{status}");
    }
}

/// Every exchange has a line, and the numbers say what the lines say.
fn expect_agreement(daemon: &Daemon) {
    let last = daemon.get("web", "/late/last");
    let left: u64 = last
        .field("X-RateLimit-Remaining")
        .unwrap()
        .parse()
        .unwrap();
    wait_number(daemon, "httpserverd_connections_open{", 1);
    let page = daemon.get("web", "/metrics").text();
    let read = |series: &str| -> u64 {
        let of = page.lines().filter_map(|line| line.strip_prefix(series));
        of.map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    // The page does not count itself.
    let ended = usize::try_from(read("httpserverd_exchanges_ended_total{")).unwrap() + 1;
    assert_eq!(read("httpserverd_exchanges_begun_total{"), ended as u64);
    let lines = lines(daemon, ended);
    assert_eq!(lines.len(), ended);
    let (mut classes, mut whys) = (BTreeMap::new(), BTreeMap::new());
    let mut tokens = 0;
    for line in &lines {
        if let Some(status) = line["status"].as_u64() {
            *classes.entry(status / 100).or_insert(0) += 1;
        }
        if let Some(why) = line["why"].as_str() {
            *whys.entry(why.to_owned()).or_insert(0) += 1;
        }
        let route = line["route"].as_str().unwrap_or_default();
        tokens += u64::from(!route.is_empty() && route != "/metrics");
    }
    *classes.get_mut(&2).unwrap() -= 1;
    for class in 1..=5 {
        let counted = read(&format!(
            "httpserverd_responses_total{{class=\"{class}xx\"}}"
        ));
        let logged = classes.get(&class).copied().unwrap_or_default();
        assert_eq!(counted, logged, "{class}xx of {classes:?}");
    }
    for series in page.lines() {
        let Some(rest) = series.strip_prefix("httpserverd_exchanges_failed_total{why=\"") else {
            continue;
        };
        let (why, counted) = rest.split_once("\"} ").unwrap();
        let logged = whys.get(why).copied().unwrap_or_default();
        assert_eq!(counted.parse(), Ok(logged), "{why} of {whys:?}");
    }
    assert_eq!(BURST - left, tokens, "a token for each that came so far");
    assert!(whys.contains_key("client_abort"), "{whys:?}");
    let ids: std::collections::BTreeSet<_> = lines.iter().filter_map(id).collect();
    assert_eq!(ids.len(), lines.iter().filter_map(id).count(), "each once");
}

fn id(line: &Value) -> Option<&str> {
    line["request_id"].as_str()
}

/// Answers every request at once, but those for `/held` when it is told to.
struct Origin;

impl Origin {
    /// Its address, and those who are held.
    fn start() -> (String, Receiver<Sender<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (holds, held) = channel();
        let accept = move || {
            for stream in listener.incoming() {
                let (stream, holds) = (stream.unwrap(), holds.clone());
                let serve = move || serve(stream, &holds);
                thread::Builder::new().spawn(serve).unwrap();
            }
        };
        thread::Builder::new().spawn(accept).unwrap();
        (address, held)
    }
}

/// Serves one connection until it ends, however it does.
fn serve(mut stream: TcpStream, holds: &Sender<Sender<()>>) -> Option<()> {
    let mut input = Vec::new();
    loop {
        let head = read_past(&mut stream, &mut input, b"\r\n\r\n")?;
        let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            read_past(&mut stream, &mut input, b"0\r\n\r\n")?;
        } else if head.contains("content-length: 12") {
            read_past(&mut stream, &mut input, b"world")?;
        }
        if head.starts_with("get /proxied/held") {
            let (go, wait) = channel();
            holds.send(go).ok()?;
            wait.recv().ok()?;
        }
        let body = "content ".repeat(8_000);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
    }
}

/// What comes up to and with these bytes; nothing if the connection ends before.
fn read_past(stream: &mut TcpStream, input: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = input.windows(end.len()).position(|window| window == end) {
            return Some(input.drain(..at + end.len()).collect());
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        input.extend_from_slice(&buffer[..count]);
    }
}

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
