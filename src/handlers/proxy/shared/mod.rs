//! Connections that carry many exchanges at a time: HTTP/2 (RFC 9113), by the h2 crate.
//!
//! A worker has few of them to a server; an exchange takes a slot on one. Each is driven by a task
//! of its own, which ends when the server has said goodbye and all is answered, when nobody has
//! used it for long, or when nobody could any more.

mod body;
mod call;
pub(super) mod check;
mod driver;
mod fields;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;

use self::driver::Driver;
use self::wire::Wire;
use super::connect::{Connection, Opened};
use super::lease::Lease;
use super::pool::IdleList;
use super::upstream::KeepAlive;
use super::view::Refused;
use crate::clock;
use crate::exchange::Why;

pub(super) use call::{Asking, SharedCall, Tried};

/// How many connections a worker makes to one server. Servers take a hundred streams on each, as a
/// rule; beyond that exchanges wait for their turn.
const LINKS_MAX: usize = 16;

/// How much of one answer a server may send before it is read: a fast download over a connection
/// of some milliseconds.
const STREAM_WINDOW: u32 = 256 * 1024;

/// How much of all answers of a connection: as much as there can be (RFC 9113 §6.9.1). Each has a
/// bound of its own; those that nobody reads shall not stop the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Bytes of one stream's content that the engine holds for a socket that is full.
const SEND_BUFFER: usize = 64 * 1024;

/// Of a response's fields, by the engine's counting, which adds 32 bytes a field: as HTTP/1.1's.
const FIELDS_MAX: u32 = 72 * 1024;

/// The shared connections to one destination.
#[derive(Debug, Default)]
pub(super) struct SharedList {
    links: RefCell<Vec<Rc<Link>>>,
    /// Somebody makes one: many who come at once do not make many.
    connecting: Cell<bool>,
    /// They do not any more.
    made: Notify,
    /// The server has chosen HTTP/1.1 when it was last asked.
    is_http1: Cell<bool>,
}

/// One connection. It goes when nobody has it: neither the list nor an exchange.
pub(super) struct Link {
    send: SendRequest<Bytes>,
    open: Cell<usize>,
    served: Cell<u32>,
    born: Instant,
    /// How often something has come from the server.
    heard: Rc<Cell<u64>>,
    /// It takes nothing new.
    ended: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

/// The use of a connection by one exchange.
#[derive(Debug)]
pub(super) struct Slot {
    link: Rc<Link>,
    /// What had been heard of the server when it began.
    heard: u64,
}

/// What a try was given.
#[derive(Debug)]
pub(super) enum Leased {
    /// A connection of its own.
    Own(Connection),
    /// A part of one.
    Shared(Lease, Slot),
}

impl Leased {
    pub(super) const fn lease(&self) -> &Lease {
        match self {
            Self::Own(connection) => &connection.lease,
            Self::Shared(lease, _) => lease,
        }
    }
}

/// A connection to the endpoint of this lease that exchanges may share, or one of its own where the
/// server speaks HTTP/1.1.
///
/// # Errors
/// There is none.
pub(super) async fn obtain(
    lease: Lease,
    repeatable: bool,
    preface: Option<&[u8]>,
) -> Result<Leased, Refused> {
    let list = Rc::clone(&lease.endpoint.idle);
    let keep_alive = lease.view.keep_alive;
    if preface.is_some() || list.shared.is_http1.get() {
        return fresh(lease, &list, repeatable, preface).await;
    }
    if let Some(slot) = list.shared.pick(&keep_alive) {
        return Ok(Leased::Shared(lease, slot));
    }
    let deadline = lease.view.deadlines.register();
    deadline.set(lease.view.timeouts.connect);
    let Ok(turn) = deadline.limit(list.shared.turn()).await else {
        return Err(Refused {
            why: Why::ConnectTimeout,
            endpoint: Some(Rc::clone(&lease.endpoint)),
        });
    };
    if let Some(slot) = list.shared.pick(&keep_alive) {
        return Ok(Leased::Shared(lease, slot));
    }
    // What is made will not be shared: nobody waits for it.
    let turn = Some(turn).filter(|_| !list.shared.is_http1.get());
    let leased = fresh(lease, &list, repeatable, None).await;
    drop(turn);
    leased
}

async fn fresh(
    lease: Lease,
    list: &Rc<IdleList>,
    repeatable: bool,
    preface: Option<&[u8]>,
) -> Result<Leased, Refused> {
    if preface.is_none()
        && let Some(opened) = list.take(clock::now(), !repeatable)
    {
        return Ok(Leased::Own(opened.lent(lease, true)));
    }
    let connection = lease.connect(preface.unwrap_or_default()).await?;
    let manner = &connection.lease.view.manner;
    let is_http1 = !manner.is_shared(connection.transport());
    list.shared.is_http1.set(is_http1);
    if is_http1 {
        return Ok(Leased::Own(connection));
    }
    let (opened, lease) = connection.apart();
    let idle_timeout = lease.view.keep_alive.idle_timeout;
    match begin(*opened, list, idle_timeout).await {
        Ok(link) => {
            if preface.is_none() {
                list.shared.links.borrow_mut().push(Rc::clone(&link));
            }
            Ok(Leased::Shared(lease, Slot::new(link)))
        }
        Err(error) => {
            let witness = lease.witness();
            witness.failed(Why::ConnectFailed, &error.to_string());
            Err(Refused {
                why: Why::ConnectFailed,
                endpoint: Some(Rc::clone(&lease.endpoint)),
            })
        }
    }
}

/// Begins to speak on a connection, and has a task drive it.
async fn begin(
    opened: Opened,
    list: &Rc<IdleList>,
    idle_timeout: std::time::Duration,
) -> Result<Rc<Link>, h2::Error> {
    let Opened {
        transport,
        deadline,
        past,
    } = opened;
    let wire = Wire::new(transport);
    let heard = wire.heard();
    let (send, engine) = builder().handshake(wire).await?;
    let link = Rc::new(Link {
        send,
        open: Cell::new(0),
        served: Cell::new(0),
        born: past.born,
        heard,
        ended: Cell::new(false),
        driver: RefCell::default(),
    });
    let driver = Driver {
        engine,
        link: Rc::downgrade(&link),
        list: Rc::downgrade(list),
        deadline,
        idle_timeout,
        resting: false,
        _counted: past.counted,
    };
    // Nobody waits for it; it ends with the connection or the runtime.
    drop(tokio::task::spawn_local(driver.run()));
    Ok(link)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(FIELDS_MAX)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// The turn to make a connection.
struct Turn<'l>(&'l SharedList);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.made.notify_one();
    }
}

impl SharedList {
    /// Waits until nobody else makes a connection.
    async fn turn(&self) -> Turn<'_> {
        while self.connecting.replace(true) {
            self.made.notified().await;
        }
        Turn(self)
    }

    /// A slot on a connection that has room; on any if there are as many as may be.
    fn pick(&self, keep_alive: &KeepAlive) -> Option<Slot> {
        let now = clock::now();
        let mut links = self.links.borrow_mut();
        links.retain(|link| !link.is_worn(keep_alive, now));
        let roomy = links.iter().find(|link| link.has_room());
        let all = (links.len() >= LINKS_MAX)
            .then(|| links.iter().min_by_key(|link| link.open.get()))
            .flatten();
        roomy.or(all).map(|link| Slot::new(Rc::clone(link)))
    }

    /// Lets go of those that take nothing new.
    fn tidy(&self) {
        // Dropped behind the borrow: the last handle of a connection wakes its driver.
        let mut links = self.links.borrow_mut();
        let gone: Vec<_> = links.extract_if(.., |link| link.ended.get()).collect();
        drop(links);
        drop(gone);
    }
}

impl Link {
    fn has_room(&self) -> bool {
        self.open.get() < self.send.current_max_send_streams()
    }

    fn is_worn(&self, keep_alive: &KeepAlive, now: Instant) -> bool {
        let most = keep_alive.max_requests;
        let age = now.saturating_duration_since(self.born);
        self.ended.get()
            || (most != 0 && self.served.get() >= most)
            || age >= keep_alive.max_lifetime
    }
}

impl Slot {
    fn new(link: Rc<Link>) -> Self {
        link.open.set(link.open.get() + 1);
        link.served.set(link.served.get().saturating_add(1));
        let heard = link.heard.get();
        Self { link, heard }
    }

    /// It has carried an exchange before.
    fn is_reused(&self) -> bool {
        self.link.served.get() > 1
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Self { link, heard } = self;
        if link.heard.get() == *heard {
            // A server that said nothing in all this time may be gone without a word: nobody
            // else shall wait for it.
            link.ended.set(true);
        }
        link.open.set(link.open.get() - 1);
        if link.open.get() == 0
            && let Some(driver) = link.driver.take()
        {
            driver.wake();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} open)", self.open.get())
    }
}
