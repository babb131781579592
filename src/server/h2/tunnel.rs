//! A stream that has become a tunnel (RFC 8441): what an HTTP/1.1 client's connection is after a
//! 101.
//!
//! Whoever carries the bytes expects a connection. It gets one end of a pair of sockets; between
//! the other end and the stream they are handed on here, as either side makes room.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

use super::session::Session;
use super::write::{Sent, Writer};
use crate::exchange::body::TunnelEnd;
use crate::exchange::{LocalBoxFuture, Tunnel, Why};
use crate::sys::transport::Transport;

/// What is read of the tunnel at once: a message of some size.
const READ_MAX: usize = 16 * 1024;

/// Carries bytes both ways until both sides have ended.
pub(super) async fn carry(
    session: &Session,
    tunnel: Box<dyn Tunnel>,
    mut received: RecvStream,
    mut writer: Writer<'_>,
) -> Sent {
    let pair = UnixStream::pair().map_err(|_| Why::Overloaded);
    let sent = match pair {
        Ok((theirs, ours)) => {
            let client = Rc::new(Transport::Unix(theirs));
            let (source, sink) = tokio::io::split(ours);
            let run = pin!(tunnel.run(client, Bytes::new()));
            let upward = pin!(upward(session, &mut received, sink));
            let downward = pin!(downward(source, &mut writer));
            both(run, upward, downward).await
        }
        Err(why) => Err(why),
    };
    writer.done(sent)
}

/// Runs all three. What ends either way by an error ends the tunnel.
async fn both(
    mut run: Pin<&mut LocalBoxFuture<'static, TunnelEnd>>,
    mut upward: Pin<&mut impl Future<Output = Result<(), Why>>>,
    mut downward: Pin<&mut impl Future<Output = Result<(), Why>>>,
) -> Result<(), Why> {
    let (mut up, mut down, mut ended) = (true, true, None);
    poll_fn(|cx| {
        if up && let Poll::Ready(done) = upward.as_mut().poll(cx) {
            up = false;
            if let Err(why) = done {
                return Poll::Ready(Err(why));
            }
        }
        if ended.is_none()
            && let Poll::Ready(end) = run.as_mut().poll(cx)
        {
            ended = Some(end);
        }
        if down && let Poll::Ready(done) = downward.as_mut().poll(cx) {
            down = false;
            if let Err(why) = done {
                return Poll::Ready(Err(why));
            }
        }
        match &ended {
            Some(end) if !down => Poll::Ready(end.why.map_or(Ok(()), Err)),
            _ => Poll::Pending,
        }
    })
    .await
}

/// What the client sends, into the tunnel.
async fn upward(
    session: &Session,
    received: &mut RecvStream,
    mut sink: WriteHalf<UnixStream>,
) -> Result<(), Why> {
    loop {
        match poll_fn(|cx| received.poll_data(cx)).await {
            None => break,
            Some(Err(error)) => return Err(session.why(&error)),
            Some(Ok(piece)) => {
                let written = sink.write_all(&piece).await;
                // Fails only on a stream that is gone, which the next poll tells.
                drop(received.flow_control().release_capacity(piece.len()));
                if written.is_err() {
                    // The tunnel has ended, and says itself why.
                    return Ok(());
                }
            }
        }
    }
    // It fails where the tunnel has ended.
    drop(sink.shutdown().await);
    Ok(())
}

/// What comes out of the tunnel, to the client.
async fn downward(mut source: ReadHalf<UnixStream>, writer: &mut Writer<'_>) -> Result<(), Why> {
    loop {
        let mut piece = Vec::with_capacity(READ_MAX);
        match source.read_buf(&mut piece).await {
            Ok(0) => return writer.end(),
            Ok(_) => writer.send(Bytes::from(piece), false).await?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return writer.end(),
            Err(_) => return Err(Why::UpstreamReset),
        }
    }
}
