//! The real binary, in a folder of its own, observed from outside.
//!
//! It is up when it says `READY=1` to the service manager, which here is the test: every test
//! tests `Type=notify` too. The addresses it listens on are named in the same message:
//! `STATUS=generation 1; web=127.0.0.1:40123; admin=unix:/path`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

pub(crate) use super::address::Address;
use super::log::Log;
use super::process::{has_ended, hear, wait_exit};
use super::response::Response;
pub(crate) use super::setup::Setup;
use super::setup::{CONFIG, write};
use super::wire::Wire;
use super::{deadline, left};

/// A daemon that runs. Ends it when dropped, and sees that it ended well.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    folder: TempDir,
    messages: Receiver<String>,
    stdout: Log,
    log: Log,
    addresses: BTreeMap<String, Address>,
    exited: bool,
    /// The daemon, where what was started is not, but its parent.
    inner: Option<Pid>,
    /// The process that has replaced the one that was started.
    successor: Option<Pid>,
}

impl Daemon {
    /// To say more than the configuration before it starts.
    pub(crate) fn setup() -> Setup {
        Setup::new()
    }

    /// What was started in this folder, once it is ready.
    #[track_caller]
    pub(super) fn ready(mut child: Child, folder: TempDir, notify: UnixDatagram) -> Self {
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let mut daemon = Self {
            folder,
            messages: hear(notify, process),
            stdout: child.stdout.take().map(Log::read).unwrap_or_default(),
            log: Log::read(child.stderr.take().unwrap()),
            child,
            addresses: BTreeMap::new(),
            exited: false,
            inner: None,
            successor: None,
        };
        daemon.wait_notify("READY=1");
        daemon
    }

    /// What was started is the parent of the daemon, and waits for it: the child is meant.
    #[track_caller]
    pub(super) fn is_child(&mut self) {
        let parent = self.child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let child = children.unwrap().trim().parse().unwrap();
        self.inner = Pid::from_raw(child);
    }

    /// Starts one with this configuration, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(config: &str) -> Self {
        Self::setup().config(config).start()
    }

    /// The daemon's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> Pid {
        let started = || Pid::from_child(&self.child);
        self.successor.or(self.inner).unwrap_or_else(started)
    }

    /// Asks for the process to be replaced, and waits until another one is the daemon. From then
    /// on that one is meant, except that [`Self::wait_exit`] waits for the first one.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) {
        self.signal(Signal::USR2);
        self.wait_upgrade();
    }

    /// Waits until another process is the daemon.
    #[track_caller]
    pub(crate) fn wait_upgrade(&mut self) {
        let deadline = deadline();
        while let Some(message) = self.next_message(deadline) {
            let process = message
                .lines()
                .find_map(|line| line.strip_prefix("MAINPID="));
            if let Some(process) = process {
                self.successor = Pid::from_raw(process.parse().unwrap());
                return;
            }
        }
        panic!("nobody took over; the log:\n{}", self.log.text());
    }

    /// Has the process that has replaced another one end, and waits until it has. All it ever
    /// logged.
    #[track_caller]
    pub(crate) fn end_successor(&mut self) -> String {
        let successor = self.successor.take().expect("an upgrade");
        let pidfd = pidfd_open(successor, PidfdFlags::empty()).unwrap();
        kill_process(successor, Signal::TERM).unwrap();
        assert!(
            has_ended(&pidfd),
            "it did not end; the log:\n{}",
            self.log.text()
        );
        self.log.wait_end()
    }

    /// Where a listener listens.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> &Address {
        self.addresses.get(listener).unwrap_or_else(|| {
            panic!("no listener `{listener}` in {:?}", self.addresses);
        })
    }

    /// The names of all listeners.
    pub(crate) fn listeners(&self) -> Vec<&str> {
        self.addresses.keys().map(String::as_str).collect()
    }

    /// A connection to a listener.
    #[track_caller]
    pub(crate) fn connect(&self, listener: &str) -> Wire {
        Wire::connect(self.address(listener))
    }

    /// The answer to a GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, listener: &str, target: &str) -> Response {
        let mut wire = self.connect(listener);
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        let response = wire.read_response();
        wire.expect_closed();
        response
    }

    /// Asks again and again, each time on a connection of its own, until the answer is as wanted.
    #[track_caller]
    pub(crate) fn get_until(
        &self,
        listener: &str,
        target: &str,
        wanted: impl Fn(&Response) -> bool,
    ) -> Response {
        let deadline = deadline();
        loop {
            let response = self.get(listener, target);
            if wanted(&response) {
                return response;
            }
            assert!(left(deadline).is_some(), "{}", response.head.text);
        }
    }

    /// Puts another configuration in place of the old one in one step, as careful editors do.
    pub(crate) fn write_config(&self, text: &str) {
        self.write_file(CONFIG, text);
    }

    /// Puts a file into the daemon's folder in one step.
    pub(crate) fn write_file(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        let beside = path.with_extension("new");
        write(&beside, contents.as_ref());
        fs::rename(beside, path).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What it has written to its standard output.
    pub(crate) fn stdout(&self) -> &Log {
        &self.stdout
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until this stands in the log.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        self.log.wait(text, 1);
    }

    /// Waits for the next message to the service manager in which `wanted` is a line, and reads
    /// the addresses anew if it names them. All of the message.
    #[track_caller]
    pub(crate) fn wait_notify(&mut self, wanted: &str) -> String {
        let deadline = deadline();
        let mut seen = Vec::new();
        while let Some(message) = self.next_message(deadline) {
            if let Some(status) = message
                .lines()
                .find_map(|line| line.strip_prefix("STATUS="))
            {
                self.read_status(status);
            }
            if message.lines().any(|line| line == wanted) {
                return message;
            }
            seen.push(message);
        }
        self.exited = self.child.try_wait().unwrap().is_some();
        panic!(
            "waited in vain for `{wanted}`, got {seen:?}; the log:\n{}",
            self.log.text()
        );
    }

    /// Waits until it has ended, and checks its exit code. All it ever logged.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, code: i32) -> String {
        let ended = wait_exit(&mut self.child);
        let Some(found) = ended else {
            panic!("it did not end; the log:\n{}", self.log.text());
        };
        self.exited = true;
        // Whoever replaced it still writes.
        let log = match self.successor {
            None => self.log.wait_end(),
            Some(_) => self.log.text(),
        };
        assert_eq!(found, Some(code), "the exit code; the log:\n{log}");
        log
    }

    /// The next message to the service manager; `None` if the time is up or nothing more can
    /// come, because the process has ended.
    fn next_message(&self, deadline: Instant) -> Option<String> {
        let message = self.messages.recv_timeout(left(deadline)?).ok()?;
        // An empty one says that the process has ended: see `hear`.
        Some(message).filter(|message| !message.is_empty())
    }

    fn read_status(&mut self, status: &str) {
        let listeners = status.split("; ").filter_map(|part| part.split_once('='));
        let addresses: BTreeMap<_, _> = listeners
            .filter_map(|(name, address)| Some((name.to_owned(), Address::parse(address)?)))
            .collect();
        if !addresses.is_empty() {
            self.addresses = addresses;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let mut ended_well = true;
        if let Some(successor) = self.successor.take() {
            // Only after a failure: who expects an upgrade ends the successor.
            kill_process(successor, Signal::KILL).unwrap();
        }
        if !self.exited {
            self.signal(Signal::TERM);
            ended_well = wait_exit(&mut self.child) == Some(Some(0));
            if !ended_well {
                drop(self.child.kill());
                drop(self.child.wait());
            }
        }
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log.text());
            return;
        }
        let log = self.log.wait_end();
        assert!(ended_well, "it did not end well at TERM; the log:\n{log}");
        assert!(!log.contains("panicked"), "it panicked:\n{log}");
    }
}
