//! The worker loop: one thread, one runtime, nothing shared that is written on the path of a
//! request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::desk::Desk;
use super::h2::Supplies;
use super::listener;
use super::mailbox::{Order, Publication, Report, Reporter, Socket, WorkerSetup};
use super::resident::Resident;
use super::snapshot::{Listening, Snapshot, snapshots};
use super::tls::Handshakes;
use crate::clock;
use crate::exchange::WorkerLocals;
use crate::generation::Bind;
use crate::http::date::imf_fixdate;

/// How many desks a worker keeps for the next busy connection. More connections than that are
/// rarely busy at the same moment of one thread; the rest is freed.
const DESKS_KEPT: usize = 64;

/// What all connections of a worker share.
#[derive(Debug)]
pub struct Worker {
    /// What handlers and middleware keep here.
    pub locals: WorkerLocals,
    /// What the worker is about.
    pub phase: Cell<Phase>,
    /// Connections open now.
    pub open: Cell<usize>,
    /// Connections cut when the drain time was up.
    pub cut: Cell<u64>,
    /// Tasks that run for no client now.
    pub behind: Cell<usize>,
    changed: Notify,
    connections: Cell<u64>,
    desks: RefCell<Vec<Desk>>,
    /// What HTTP/2 connections borrow.
    pub(super) http2: Supplies,
    /// Connections that are agreeing on how to encrypt.
    pub handshakes: Handshakes,
    /// What of files is in memory.
    pub resident: Resident,
    date: Cell<(u64, [u8; 29])>,
}

/// What a worker is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving, while readiness says that the end is near.
    Leaving,
    /// Ending: responses close their connections, idle connections end.
    Draining,
}

/// Runs a worker on this thread until it has drained or is stopped.
///
/// # Errors
/// The runtime could not be made, or a socket not be adopted.
pub fn run(setup: WorkerSetup) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_unpark(clock::invalidate)
        .build_local(LocalOptions::default())?;
    runtime.block_on(work(setup))
}

async fn work(setup: WorkerSetup) -> io::Result<()> {
    let WorkerSetup {
        worker: number,
        workers,
        first,
        mut orders,
        reports,
        blocking,
        counters,
    } = setup;
    let worker = Rc::new(Worker {
        locals: WorkerLocals::new(number, workers, blocking, counters),
        phase: Cell::new(Phase::Serving),
        open: Cell::new(0),
        cut: Cell::new(0),
        behind: Cell::new(0),
        changed: Notify::new(),
        connections: Cell::new(0),
        desks: RefCell::default(),
        http2: Supplies::default(),
        handshakes: Handshakes::default(),
        resident: Resident::default(),
        date: Cell::new((u64::MAX, [0; 29])),
    });
    let sweeper = tokio::task::spawn_local(sweep(Rc::clone(&worker)));
    let mut listeners = Listeners::new(Rc::clone(&worker));
    let mut next = Some(Order::Publish(first));
    while let Some(order) = next {
        match order {
            Order::Publish(publication) => {
                let generation = publication.generation.id;
                listeners.publish(publication).await?;
                report(
                    &reports,
                    Report::Published {
                        worker: number,
                        generation,
                    },
                );
            }
            Order::Drain { timeout } => {
                listeners.close().await;
                worker.drain(timeout).await;
                report(
                    &reports,
                    Report::Drained {
                        worker: number,
                        cut: worker.cut.get(),
                    },
                );
                break;
            }
            Order::Leave => worker.phase.set(Phase::Leaving),
            Order::Beat => report(&reports, Report::Alive { worker: number }),
            Order::Stop => break,
        }
        next = orders.recv().await;
    }
    sweeper.abort();
    worker.locals.flush();
    Ok(())
}

/// The control plane hears every report unless it is ending itself.
fn report(reports: &Reporter, report: Report) {
    reports.send(report);
}

/// Sweeps the deadlines, and sleeps as long as none can be due.
async fn sweep(worker: Rc<Worker>) {
    let deadlines = &worker.locals.deadlines;
    loop {
        let pause = deadlines.next_sweep(clock::now());
        let mut slept = pin!(async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        });
        std::future::poll_fn(|cx| {
            if slept.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            deadlines.poll_sooner(cx)
        })
        .await;
        deadlines.sweep(clock::now());
        worker.locals.flush();
    }
}

impl Phase {
    /// Whether connections are kept for another request.
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Serving | Self::Leaving)
    }
}

impl Worker {
    /// The next connection number of this worker.
    pub fn next_connection(&self) -> u64 {
        let number = self.connections.get() + 1;
        self.connections.set(number);
        number
    }

    /// A desk for a connection that has become busy.
    pub fn take_desk(&self) -> Desk {
        let kept = self.desks.borrow_mut().pop();
        kept.unwrap_or_default()
    }

    /// Takes a desk back for the next one, unless it has grown or there are enough.
    pub fn give_desk(&self, desk: Desk) {
        let mut kept = self.desks.borrow_mut();
        if kept.len() < DESKS_KEPT && desk.is_reusable() {
            kept.push(desk);
        }
    }

    /// The `Date` field of now, formatted once a second.
    pub fn date(&self) -> [u8; 29] {
        let now = clock::unix_now().as_secs();
        let (second, date) = self.date.get();
        if second == now {
            return date;
        }
        let date = imf_fixdate(now);
        self.date.set((now, date));
        date
    }

    /// A connection has been accepted.
    pub fn connection_opened(&self) {
        self.open.set(self.open.get() + 1);
        self.locals.counters.connections_open.add(1);
    }

    /// A connection has ended.
    pub fn connection_closed(&self) {
        self.open.set(self.open.get() - 1);
        self.locals.counters.connections_open.sub(1);
        if self.open.get() == 0 {
            self.changed.notify_one();
        }
    }

    /// Lets open exchanges end, cuts what is left after `timeout`.
    async fn drain(&self, timeout: Duration) {
        self.phase.set(Phase::Draining);
        self.locals.deadlines.wake_all();
        if tokio::time::timeout(timeout, self.emptied()).await.is_ok() {
            return;
        }
        self.cut.set(self.open.get() as u64);
        self.locals.deadlines.cut();
        self.emptied().await;
    }

    async fn emptied(&self) {
        while self.open.get() > 0 {
            self.changed.notified().await;
        }
    }
}

/// The listening sockets of a worker and the tasks that accept on them.
struct Listeners {
    worker: Rc<Worker>,
    accepting: HashMap<Bind, Accepting>,
    /// Those that are not listened on any more, as long as they have connections.
    retired: Vec<Weak<Listening>>,
}

struct Accepting {
    listening: Rc<Listening>,
    /// One for each socket: more than one where they were taken over from a process with more
    /// workers, or where a service manager listens on several addresses under one name.
    tasks: Vec<(Rc<Notify>, JoinHandle<()>)>,
}

impl Listeners {
    fn new(worker: Rc<Worker>) -> Self {
        Self {
            worker,
            accepting: HashMap::new(),
            retired: Vec::new(),
        }
    }

    /// Serves a generation: known addresses get its tables, new ones are listened on, and those
    /// it does not have are closed behind what the kernel has queued. Their connections go on.
    ///
    /// Done when the last of those is closed: whoever connects after the control plane has said
    /// that it serves the generation finds nothing of the one before.
    async fn publish(&mut self, publication: Publication) -> io::Result<()> {
        let Publication {
            generation,
            sockets,
        } = publication;
        let wanted = snapshots(&generation);
        let is_wanted = |bind: &Bind| wanted.iter().any(|(wanted, _)| wanted == bind);
        let retired: Vec<_> = self
            .accepting
            .extract_if(|bind, _| !is_wanted(bind))
            .map(|(_, accepting)| accepting)
            .collect();
        let listening = retired.iter().map(|accepting| &accepting.listening);
        self.retired.extend(listening.map(Rc::downgrade));
        self.publish_to_retired(&wanted);
        let mut sockets = by_bind(sockets);
        for (bind, snapshot) in wanted {
            if let Some(accepting) = self.accepting.get(&bind) {
                accepting.listening.publish(snapshot);
                continue;
            }
            let Some(sockets) = sockets.remove(&bind) else {
                return Err(io::Error::other(format!("no socket came for {bind:?}")));
            };
            let listening = Rc::new(Listening::new(bind.clone(), snapshot));
            let tasks = sockets.into_iter().map(|socket| {
                let stop = Rc::new(Notify::new());
                let acceptor = listener::Acceptor::adopt(socket)?;
                let task = tokio::task::spawn_local(listener::accept(
                    acceptor,
                    Rc::clone(&self.worker),
                    Rc::clone(&listening),
                    Rc::clone(&stop),
                ));
                Ok((stop, task))
            });
            let tasks = tasks.collect::<io::Result<_>>()?;
            self.accepting.insert(bind, Accepting { listening, tasks });
        }
        close(retired).await;
        Ok(())
    }

    /// A reload closes no connection: one whose address is not listened on any more is served
    /// what its listener has become, or was last.
    fn publish_to_retired(&mut self, wanted: &[(Bind, Rc<Snapshot>)]) {
        self.retired.retain(|retired| {
            let Some(listening) = retired.upgrade() else {
                return false;
            };
            let known =
                |(bind, new): &&(Bind, Rc<Snapshot>)| listening.is_known_as(bind, &new.name);
            if let Some((_, snapshot)) = wanted.iter().find(known) {
                listening.publish(Rc::clone(snapshot));
            }
            true
        });
    }

    /// Stops listening, once what the kernel had queued is accepted.
    async fn close(&mut self) {
        close(
            self.accepting
                .drain()
                .map(|(_, accepting)| accepting)
                .collect(),
        )
        .await;
    }
}

fn by_bind(sockets: Vec<(Bind, Socket)>) -> HashMap<Bind, Vec<Socket>> {
    let mut by_bind = HashMap::<Bind, Vec<Socket>>::new();
    for (bind, socket) in sockets {
        by_bind.entry(bind).or_default().push(socket);
    }
    by_bind
}

async fn close(listeners: Vec<Accepting>) {
    let tasks = || listeners.iter().flat_map(|accepting| &accepting.tasks);
    tasks().for_each(|(stop, _)| stop.notify_one());
    for (_, task) in listeners.into_iter().flat_map(|accepting| accepting.tasks) {
        // A task that panicked has stopped as well; the panic is logged where it happened.
        drop(task.await);
    }
}
