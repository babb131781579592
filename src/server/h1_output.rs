//! What goes out on a connection: as much as the kernel takes, and for the rest no longer than the
//! client's deadline.

use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::connection::Connection;
use crate::clock;
use crate::exchange::Why;
use crate::sys::transport::More;

/// Writes everything in `output`.
pub async fn flush(connection: &Rc<Connection>, output: &mut Vec<u8>) -> Result<(), Why> {
    if output.is_empty() {
        return Ok(());
    }
    // The kernel nearly always takes all of it.
    let slices = [IoSlice::new(output)];
    match connection.transport.try_write(&slices, More::No) {
        Ok(written) if written == output.len() => {
            output.clear();
            return Ok(());
        }
        Ok(written) => drop(output.drain(..written)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => {
            output.clear();
            return Err(Why::ClientAbort);
        }
    }
    let written = write_all(connection, &[output], More::No).await;
    output.clear();
    written
}

/// Writes what the kernel takes of `output`, and of interim responses behind it, now; the rest
/// keeps.
pub fn poll_progress(
    connection: &Connection,
    output: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Result<(), Why> {
    while !output.is_empty() {
        match connection
            .transport
            .poll_write(cx, &[IoSlice::new(output)], More::No)
        {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(written)) => drop(output.drain(..written)),
            Poll::Ready(Err(_)) => return Err(Why::ClientAbort),
        }
    }
    match connection.poll_interim(cx) {
        Poll::Ready(Err(why)) => Err(why),
        Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
    }
}

/// Writes all of these slices, waiting no longer than the client's deadline.
pub async fn write_all(
    connection: &Rc<Connection>,
    parts: &[&[u8]],
    more: More,
) -> Result<(), Why> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut done = 0;
    let mut blocked = false;
    while done < total {
        done += std::future::poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); 3];
            let mut used = 0;
            let mut skip = done;
            for part in parts {
                let rest = part.get(skip.min(part.len())..).unwrap_or_default();
                skip = skip.saturating_sub(part.len());
                if !rest.is_empty() && used < slices.len() {
                    slices[used] = IoSlice::new(rest);
                    used += 1;
                }
            }
            let polled = connection.transport.poll_write(cx, &slices[..used], more);
            poll_write_deadline(connection, polled, &mut blocked, cx)
        })
        .await?;
    }
    if blocked {
        connection.write_deadline().clear();
    }
    Ok(())
}

/// What a write came to; sets the deadline when it first has to wait.
pub fn poll_write_deadline(
    connection: &Connection,
    polled: Poll<std::io::Result<usize>>,
    blocked: &mut bool,
    cx: &Context<'_>,
) -> Poll<Result<usize, Why>> {
    if let Poll::Ready(written) = polled {
        if std::mem::take(blocked) {
            connection.write_deadline().clear();
        }
        return Poll::Ready(written.map_err(|_| Why::ClientAbort));
    }
    if connection.is_cut() {
        return Poll::Ready(Err(Why::DrainTimeout));
    }
    if !std::mem::replace(blocked, true) {
        let limits = &connection.listening.snapshot().generation.limits;
        let left = time_left(connection).unwrap_or(Duration::MAX);
        connection
            .write_deadline()
            .set(left.min(limits.write_idle_timeout));
    }
    ready!(connection.write_deadline().poll_past(cx));
    Poll::Ready(Err(match time_left(connection) {
        Some(Duration::ZERO) => Why::ExchangeTimeout,
        _ => Why::WriteTimeout,
    }))
}

/// Whether the time that the exchange may take is up. By the clock itself: who is never made to
/// wait by its client does not see the time pass.
pub fn is_out_of_time(connection: &Connection) -> bool {
    let limit = connection.time_limit.get();
    limit.is_some_and(|limit| clock::precise_now() >= limit)
}

/// What is left of the time that the exchange may take, if that is limited.
fn time_left(connection: &Connection) -> Option<Duration> {
    let limit = connection.time_limit.get()?;
    Some(limit.saturating_duration_since(clock::now()))
}
