//! What the daemon writes to its standard error, line by line, and waiting for it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::{deadline, left};

/// The text that a process has written so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Debug, Default)]
struct Written {
    text: String,
    ended: bool,
}

impl Log {
    /// Reads on a thread of its own until the process has closed its end.
    pub(crate) fn read(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let shared = Arc::clone(&log.shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                let mut lines = BufReader::new(source);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let mut written = shared.0.lock().unwrap();
                    written.text.push_str(&String::from_utf8_lossy(&line));
                    line.clear();
                    shared.1.notify_all();
                }
                shared.0.lock().unwrap().ended = true;
                shared.1.notify_all();
            })
            .unwrap();
        log
    }

    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        self.shared.0.lock().unwrap().text.clone()
    }

    /// How often this stands in it so far.
    pub(crate) fn count(&self, wanted: &str) -> usize {
        self.shared.0.lock().unwrap().text.matches(wanted).count()
    }

    /// Waits until this stands in it `times` times.
    #[track_caller]
    pub(crate) fn wait(&self, wanted: &str, times: usize) {
        self.wait_until(&format!("`{wanted}` {times} times in the log"), |written| {
            written.text.matches(wanted).count() >= times
        });
    }

    /// Waits until the process has closed its end; all it ever wrote.
    #[track_caller]
    pub(crate) fn wait_end(&self) -> String {
        self.wait_until("the end of the log", |written| written.ended);
        self.text()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, there: impl Fn(&Written) -> bool) {
        let deadline = deadline();
        let mut written = self.shared.0.lock().unwrap();
        while !there(&written) {
            let left = left(deadline).filter(|_| !written.ended);
            let Some(left) = left else {
                let text = written.text.clone();
                drop(written);
                panic!("waited in vain for {what}; the log:\n{text}");
            };
            written = self.shared.1.wait_timeout(written, left).unwrap().0;
        }
    }
}
