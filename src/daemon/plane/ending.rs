//! How the control plane ends, or makes way for another process.

use std::time::Duration;

use tracing::{error, info, warn};

use super::{Outcome, Plane};
use crate::daemon::Ended;
use crate::daemon::action::{Because, DrainCause};
use crate::daemon::askers::Answer;
use crate::daemon::event::{EndSignal, Event};
use crate::daemon::inherited::Inherited;
use crate::daemon::listening::Listening;
use crate::daemon::upgrade::Successor;
use crate::daemon::{process, systemd};

/// How long threads may take to end once they have nothing left to do.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// How long after a drain the process is gone for certain.
const END_SLACK: Duration = Duration::from_secs(5);

impl Plane {
    pub(super) fn leave(&self, signal: EndSignal, delay: Duration) {
        let seconds = delay.as_secs_f32();
        info!("{signal}: serving for another {seconds} s, while readiness says 503");
        systemd::stopping("about to drain");
        systemd::ending_within(delay + self.drain_times().timeout + END_SLACK);
        self.desk.close();
        self.desk.update(|state| state.phase = "leaving");
        self.workers.leave();
    }

    pub(super) fn upgrade(&mut self) -> Outcome {
        self.desk.upgrade.begin();
        if process::is_first() {
            let first = "process 1 cannot be replaced, its container would end: start another one";
            error!("{first}");
            self.desk.upgrade.answer(&Answer::failed(1, first));
            return Outcome::Answer(Event::NotUpgraded);
        }
        info!("starting the process that shall replace this one");
        match Successor::start(&self.program, &self.listening, self.events.clone()) {
            Ok(successor) => {
                self.successor = Some(successor);
                Outcome::Done
            }
            Err(error) => {
                error!(%error, "cannot start another process: going on");
                let cannot = format!("cannot start another process: {error}");
                self.desk.upgrade.answer(&Answer::failed(1, cannot));
                Outcome::Answer(Event::NotUpgraded)
            }
        }
    }

    pub(super) fn drain(&mut self, why: DrainCause) {
        let open = self.workers.connections();
        let timeout = self.drain_times().timeout;
        let seconds = timeout.as_secs_f32();
        self.desk.update(|state| state.phase = "draining");
        match why {
            DrainCause::Signal(signal) => {
                info!("{signal}: draining, {open} connections open, for {seconds} s at most");
            }
            DrainCause::WorkerDied => error!("draining, because a worker is gone"),
            DrainCause::Replaced => self.make_way(),
        }
        if why != DrainCause::Replaced {
            systemd::stopping(&format!("draining, {open} connections open"));
            systemd::ending_within(timeout + END_SLACK);
        }
        self.desk.close();
        self.prober.end();
        self.acme.end();
        // Workers take what the kernel has queued for them; nothing is queued from here on.
        self.listening = Listening::new(0, Inherited::default());
        self.workers.drain(timeout);
    }

    pub(super) fn abandon_upgrade(&mut self) {
        if let Some(successor) = self.successor.take() {
            successor.abandon();
        }
        let answer = Answer::failed(1, "the new process did not take over; see the log");
        self.desk.upgrade.answer(&answer);
    }

    fn make_way(&mut self) {
        self.listening.leave_files();
        if let Some(background) = &mut self.background {
            background.leave();
        }
        let successor = self.successor.take();
        let Some(process) = successor.and_then(|successor| successor.process()) else {
            return;
        };
        let open = self.workers.connections();
        info!("process {process} has taken over: draining, {open} connections open");
        systemd::replaced_by(process);
        let answer = Answer::done(format!("process {process} has taken over"));
        self.desk.upgrade.answer(&answer);
    }

    pub(super) fn end(&mut self, because: &Because, failed: bool) -> Ended {
        match because {
            Because::Drained => {
                if !self.workers.have_ended(END_TIMEOUT) {
                    warn!("a worker's thread does not end");
                }
                match self.cut {
                    0 => info!("drained, every connection has ended"),
                    cut => warn!("drained, {cut} connections were cut: the drain time was up"),
                }
            }
            Because::AskedAgain => {
                let open = self.workers.connections();
                warn!("asked again: ending at once, {open} connections are cut");
                self.workers.stop();
                self.workers.have_ended(END_TIMEOUT);
            }
            Because::Stuck(workers) => {
                error!(?workers, "the drain time is up and workers do not end");
            }
        }
        if let Some(socket) = self.control_socket.take() {
            socket.finish();
        }
        if failed { Ended::Failed } else { Ended::Well }
    }
}
