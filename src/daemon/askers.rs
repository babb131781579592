//! Who waits to hear how a reload or an upgrade ended.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The exit code of who asked: 0 if it is done.
    pub(super) code: u8,
    /// What happened, in a line.
    pub(super) message: String,
    /// All that is wrong, drawn as `check` draws it: plain, and with colours.
    pub(super) drawn: Option<(String, String)>,
}

/// Those who asked for one kind of thing.
///
/// Who asks while it is under way waits for the next one: what is under way may not have seen
/// what they mean.
#[derive(Debug, Default)]
pub(super) struct Askers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: Vec<SyncSender<Answer>>,
    now: Vec<SyncSender<Answer>>,
    /// Nobody will ever be answered again.
    closed: Option<Answer>,
}

impl Askers {
    /// Where the answer to a question asked right after this will come.
    pub(super) fn wait(&self) -> Receiver<Answer> {
        let (sender, receiver) = sync_channel(1);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &waiting.closed {
            // It holds one, so that sending never waits.
            Some(answer) => drop(sender.try_send(answer.clone())),
            None => waiting.next.push(sender),
        }
        receiver
    }

    /// It begins: who has asked until now means this one.
    pub(super) fn begin(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = std::mem::take(&mut waiting.next);
        waiting.now.extend(next);
    }

    /// It has ended.
    pub(super) fn answer(&self, answer: &Answer) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tell(&mut waiting.now, answer);
    }

    /// It will never be done again.
    pub(super) fn close(&self, answer: &Answer) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tell(&mut waiting.now, answer);
        tell(&mut waiting.next, answer);
        waiting.closed = Some(answer.clone());
    }
}

/// Who has given up waiting hears nothing.
fn tell(askers: &mut Vec<SyncSender<Answer>>, answer: &Answer) {
    for asker in askers.drain(..) {
        drop(asker.try_send(answer.clone()));
    }
}

impl Answer {
    /// It is done.
    pub(super) fn done(message: impl Into<String>) -> Self {
        Self {
            code: 0,
            message: message.into(),
            drawn: None,
        }
    }

    /// It could not be done.
    pub(super) fn failed(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            drawn: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_in_the_middle_means_the_next_one() {
        let askers = Askers::default();
        let first = askers.wait();
        askers.begin();
        let second = askers.wait();
        askers.answer(&Answer::done("one"));
        assert_eq!(first.try_recv().unwrap().message, "one");
        assert!(second.try_recv().is_err());
        askers.begin();
        askers.answer(&Answer::done("two"));
        assert_eq!(second.try_recv().unwrap().message, "two");
    }

    #[test]
    fn when_it_is_over_nobody_waits() {
        let askers = Askers::default();
        let (now, next) = (askers.wait(), askers.wait());
        askers.close(&Answer::failed(1, "over"));
        let after = askers.wait();
        for asker in [now, next, after] {
            assert_eq!(asker.try_recv().unwrap().code, 1);
        }
    }
}
