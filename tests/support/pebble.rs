//! A real ACME authority, if this machine has one: pebble, of Let's Encrypt. It looks for proofs
//! at ports of this machine, whatever the name.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use super::log::Log;
use super::port::Port;
use super::tls::Authority;

/// How an authority is set up.
#[derive(Debug)]
pub(crate) struct Rules {
    /// How long its certificates hold, in seconds.
    pub(crate) lifetime: u32,
    /// Those alone get certificates who have an account already: its name and its key.
    pub(crate) account: Option<(&'static str, &'static str)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lifetime: 90 * 24 * 60 * 60,
            account: None,
        }
    }
}

/// The authority. Ends when dropped, and forgets all it knew.
#[derive(Debug)]
pub(crate) struct Pebble {
    child: Child,
    log: Log,
    own: Arc<Port>,
    folder: TempDir,
    names: Names,
}

/// Where an authority looks for proofs.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) http: Port,
    pub(crate) tls: Port,
}

impl Proved {
    pub(crate) fn reserve() -> Self {
        Self {
            http: Port::reserve(),
            tls: Port::reserve(),
        }
    }
}

impl Pebble {
    /// One that looks at these ports; `None`, and it is said, if the machine has none.
    pub(crate) fn start(at: &Proved, rules: &Rules) -> Option<Self> {
        Self::start_on(Arc::new(Port::reserve()), at, rules)
    }

    /// The same at a known place.
    pub(crate) fn start_on(own: Arc<Port>, at: &Proved, rules: &Rules) -> Option<Self> {
        let paths = env::var_os("PATH").unwrap_or_default();
        let program = env::split_paths(&paths)
            .map(|folder| folder.join("pebble"))
            .find(|program| program.exists());
        let Some(program) = program else {
            eprintln!("SKIPPED: certificates of an authority: there is no pebble here");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("who vouches for pebble");
        let identity = authority.issue(&["127.0.0.1"]);
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        file("ca.pem", authority.pem());
        let keys = rules.account.map_or_else(
            || serde_json::json!({}),
            |(kid, key)| serde_json::json!({ kid: key }),
        );
        let config = serde_json::json!({ "pebble": {
            "listenAddress": own.address(),
            "certificate": file("cert.pem", identity.cert()),
            "privateKey": file("key.pem", identity.key()),
            "httpPort": at.http.address().port(),
            "tlsPort": at.tls.address().port(),
            "externalAccountBindingRequired": rules.account.is_some(),
            "externalAccountMACKeys": keys,
            "certificateValidityPeriod": rules.lifetime,
        }});
        let names = Names::answer();
        let mut child = Command::new(program)
            .arg("-config")
            .arg(file("pebble.json", config.to_string()))
            .args(["-dnsserver", &names.address.to_string()])
            // No sleeping before it looks, no good nonces refused, no proofs taken for granted.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = Log::read(child.stdout.take().unwrap());
        log.wait("ACME directory available at", 1);
        Some(Self {
            child,
            log,
            own,
            folder,
            names,
        })
    }

    /// The keys of `acme` that mean this authority.
    pub(crate) fn keys(&self) -> String {
        let (port, ca) = (self.own.address(), self.folder.path().join("ca.pem"));
        let ca = ca.display();
        format!("directory = \"https://{port}/dir\", ca = \"{ca}\", accept_terms = true")
    }

    /// Where it is asked; taken as long as this is kept.
    pub(crate) fn place(&self) -> Arc<Port> {
        Arc::clone(&self.own)
    }

    /// How many certificates it has issued.
    pub(crate) fn issued(&self) -> usize {
        self.log.count("Issued certificate serial")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Kills it. Its port stays taken.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // It may have been killed by the test.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("the log of pebble:\n{}", self.log.text());
        }
        self.names.end();
    }
}

/// Says of every name that it is this machine.
#[derive(Debug)]
struct Names {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long a thread that answers waits before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(200);

impl Names {
    fn answer() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let address = socket.local_addr().unwrap();
        let ended = Arc::<AtomicBool>::default();
        let hears = Arc::clone(&ended);
        let answer = move || {
            let mut question = [0; 512];
            while !hears.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut question)
                    && let Some(answer) = dns_answer(&question[..length])
                {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        };
        let thread = thread::Builder::new().name("dns".into());
        Self {
            address,
            ended,
            thread: Some(thread.spawn(answer).unwrap()),
        }
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The answer to a question of DNS (RFC 1035 §4): 127.0.0.1 to one for an address, nothing to all
/// others.
fn dns_answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?;
    let end = 12 + name.iter().position(|&byte| byte == 0)? + 1;
    let kind = question.get(end..end + 2)?;
    let asked = question.get(12..end + 4)?;
    let wants_address = kind == [0, 1];
    // The same number; an answer, no error; one question, one answer or none.
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(wants_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if wants_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
