//! A real Redis or Valkey server on a unix socket, if this machine has one.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::log::Log;

/// What the program may be called.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A server that keeps nothing on disk. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    options: Vec<&'static str>,
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// A server with these options; `None`, and it is said, if the machine has none.
    pub(crate) fn start(options: &[&'static str]) -> Option<Self> {
        let paths = env::var_os("PATH").unwrap_or_default();
        let mut programs = env::split_paths(&paths)
            .flat_map(|folder| PROGRAMS.map(|program| folder.join(program)));
        let Some(program) = programs.find(|program| program.exists()) else {
            eprintln!("SKIPPED: a store of rate limits: there is no redis-server here");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        Some(Self {
            child: spawn(&program, options, folder.path()),
            program,
            options: options.to_vec(),
            folder,
        })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// What names it in a configuration.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.program, &self.options, self.folder.path());
    }

    /// Has it stand still, or go on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The first line of its answer.
    pub(crate) fn ask(&self, question: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream
            .write_all(format!("{question}\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

/// Starts the program, and waits until it listens.
fn spawn(program: &Path, options: &[&str], folder: &Path) -> Child {
    let mut child = Command::new(program)
        .args(["--port", "0", "--unixsocket", "redis.sock"])
        .args(["--save", "", "--appendonly", "no"])
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Log::read(child.stdout.take().unwrap());
    log.wait("ready to accept connections", 1);
    child
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by the test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
