//! After a 101: bytes both ways until both sides have ended.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::buffers::BUFFER;
use super::connect::Connection;
use super::pool::Pool;
use crate::exchange::body::TunnelEnd;
use crate::exchange::{LocalBoxFuture, Tunnel, Why};
use crate::sys::transport::{More, Transport};

/// A connection that has left HTTP.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) connection: Connection,
    /// What the upstream sent right behind its head.
    pub(super) early: Vec<u8>,
    /// How long nothing may move either way.
    pub(super) idle_timeout: Duration,
    /// Where buffers come from.
    pub(super) pool: Rc<Pool>,
}

/// One direction. Holds a buffer only while it has bytes.
#[derive(Debug)]
struct Pipe {
    buffer: Vec<u8>,
    written: usize,
    carried: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Carrying,
    /// The source has ended; what was read is still to be written.
    Flushing,
    Ended,
}

/// The side that broke.
enum Broken {
    Source,
    Sink,
}

impl Tunnel for Upgraded {
    fn run(
        self: Box<Self>,
        client: Rc<Transport>,
        early: Bytes,
    ) -> LocalBoxFuture<'static, TunnelEnd> {
        Box::pin(async move {
            let mut upward = Pipe::new(early.to_vec());
            let mut downward = Pipe::new(self.early.clone());
            let why = self.carry(&client, &mut upward, &mut downward).await.err();
            TunnelEnd {
                received: upward.carried,
                sent: downward.carried,
                why,
            }
        })
    }
}

impl Upgraded {
    async fn carry(
        &self,
        client: &Transport,
        upward: &mut Pipe,
        downward: &mut Pipe,
    ) -> Result<(), Why> {
        let (transport, deadline) = (self.connection.transport(), self.connection.deadline());
        let mut moved = None;
        poll_fn(|cx| {
            let up = upward.poll(cx, &self.pool, client, transport);
            let down = downward.poll(cx, &self.pool, transport, client);
            match (&up, &down) {
                (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                    return Poll::Ready(Err(Why::ClientAbort));
                }
                (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                    return Poll::Ready(Err(Why::UpstreamReset));
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
                (Poll::Pending, _) | (_, Poll::Pending) => {}
            }
            if deadline.is_cut() {
                return Poll::Ready(Err(Why::DrainTimeout));
            }
            let carried = upward.carried.wrapping_add(downward.carried);
            if moved != Some(carried) {
                moved = Some(carried);
                deadline.set(self.idle_timeout);
            }
            deadline.poll_past(cx).map(|()| Err(Why::IdleTimeout))
        })
        .await
    }
}

impl Pipe {
    const fn new(early: Vec<u8>) -> Self {
        Self {
            buffer: early,
            written: 0,
            carried: 0,
            stage: Stage::Carrying,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Pool,
        source: &Transport,
        sink: &Transport,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while let Some(left @ [_, ..]) = self.buffer.get(self.written..) {
                match ready!(sink.poll_write(cx, &[IoSlice::new(left)], More::No)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                    Ok(count) => {
                        self.written += count;
                        self.carried += count as u64;
                    }
                }
            }
            self.buffer.clear();
            self.written = 0;
            match self.stage {
                Stage::Carrying => {}
                Stage::Flushing => {
                    self.stage = Stage::Ended;
                    pool.buffers.give(std::mem::take(&mut self.buffer));
                    let ended = sink.shutdown_write().map_err(|_| Broken::Sink);
                    return Poll::Ready(ended);
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
            if source.poll_read_ready(cx).is_pending() {
                // A quiet tunnel, and most are, holds no buffer.
                pool.buffers.give(std::mem::take(&mut self.buffer));
                return Poll::Pending;
            }
            if self.buffer.capacity() < BUFFER {
                self.buffer = pool.buffers.take();
            }
            match source.try_read(&mut self.buffer) {
                Ok(0) => self.stage = Stage::Flushing,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Err(Broken::Source)),
            }
        }
    }
}
