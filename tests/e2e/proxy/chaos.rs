//! Servers that die, hang, come back and talk nonsense, under load: nobody notices as long as one
//! of them is well.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::load::Load;
use crate::support::daemon::Daemon;
use crate::support::log::Log;
use crate::support::port::Port;

const SERVERS: usize = 5;

/// How many clients ask at the same time.
const CLIENTS: usize = 4;

/// A process that answers, at a place that stays when the process does not.
struct Server {
    folder: TempDir,
    port: Port,
    running: Option<(Child, Log)>,
}

impl Server {
    fn start(number: usize) -> Self {
        let port = Port::reserve();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[server]\nworkers = 1\nmiddleware = []\n[[listener]]\nbind = \"{}\"\n\
             [[route]]\npath = \"/*\"\nrespond = {{ text = \"server {number}\" }}\n",
            port.address()
        );
        std::fs::write(folder.path().join("httpserver.toml"), config).unwrap();
        let mut server = Self {
            folder,
            port,
            running: None,
        };
        server.restart();
        server
    }

    fn restart(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_httpserverd"))
            .args(["--config", "httpserver.toml"])
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::read(child.stderr.take().unwrap());
        log.wait("ready in", 1);
        self.running = Some((child, log));
    }

    fn signal(&self, signal: Signal) {
        if let Some((child, _)) = &self.running {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In the place of a server: answers with what is no HTTP, or hangs up.
struct Impostor {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Impostor {
    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answers: [&[u8]; 4] = [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Len",
        ];
        let serve = move || {
            for answer in answers.iter().cycle() {
                let (mut stream, _) = listener.accept().unwrap();
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // The daemon may have hung up first.
                drop(stream.write_all(answer));
            }
        };
        Self {
            address,
            stop,
            thread: thread::Builder::new().spawn(serve).unwrap(),
        }
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(std::net::TcpStream::connect(self.address));
        self.thread.join().unwrap();
    }
}

fn config(servers: &[Server]) -> String {
    let mut list = String::new();
    for server in servers {
        write!(list, "\"{}\", ", server.port.address()).unwrap();
    }
    format!(
        "[server]\nworkers = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.backend]\nservers = [{list}]\n\
         [[route]]\npath = \"/metrics\"\nmetrics = {{}}\n\
         [[route]]\npath = \"/*\"\n[route.proxy]\nupstream = \"backend\"\n\
         [route.proxy.retry]\ntries = 16\n\
         on = [\"connect\", \"reset\", \"timeout\", \"bad_head\"]\n\
         per_try_timeout = \"200ms\"\nbackoff = \"1ms\"\nbudget = \"unlimited\"\n"
    )
}

/// How often tries failed, by endpoint and why.
fn failures(daemon: &Daemon) -> Vec<(String, u64)> {
    let page = daemon.get("web", "/metrics").text();
    let line = |line: &str| {
        let rest = line.strip_prefix("httpserverd_upstream_failures_total{")?;
        let (labels, count) = rest.split_once("} ")?;
        let (_, why) = labels.split_once("why=\"")?;
        let why = why.split('"').next()?.to_owned();
        Some((why, count.trim().parse().ok()?))
    };
    page.lines()
        .filter_map(line)
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// No request that may be sent twice fails while one server is well.
///
/// Method: five processes behind the daemon; while four clients ask without a pause, servers are
/// killed, stopped, replaced by one that talks nonsense, and restarted, up to four at a time. The
/// next thing happens when so many requests more have been answered.
#[test]
fn nobody_notices_as_long_as_one_server_is_well() {
    let mut servers: Vec<Server> = (0..SERVERS).map(Server::start).collect();
    let daemon = Daemon::start(&config(&servers));
    let load = Load::start(&daemon, CLIENTS);
    load.wait(50);
    for round in 0..2 {
        let at = |step: usize| (round + step) % SERVERS;
        servers[at(0)].kill();
        load.wait(40);
        servers[at(1)].signal(Signal::STOP);
        load.wait(40);
        servers[at(2)].kill();
        let impostor = Impostor::at(servers[at(2)].port.address());
        load.wait(40);
        servers[at(3)].kill();
        load.wait(40);
        servers[at(1)].signal(Signal::CONT);
        servers[at(0)].restart();
        load.wait(40);
        impostor.leave();
        servers[at(2)].restart();
        servers[at(3)].restart();
        // Slow: now and then it stops for a moment.
        for _ in 0..3 {
            servers[at(4)].signal(Signal::STOP);
            load.wait(10);
            servers[at(4)].signal(Signal::CONT);
            load.wait(10);
        }
    }
    let failed = load.stop();
    let whys = failures(&daemon);
    eprintln!("tries that failed: {whys:?}");
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    for expected in ["connect_refused", "first_byte_timeout", "upstream_bad_head"] {
        assert!(
            whys.iter().any(|(why, _)| why == expected),
            "{expected}: {whys:?}"
        );
    }
}
