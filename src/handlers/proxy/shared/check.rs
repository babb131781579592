//! Asking a server over HTTP/2 whether it is well: blocking, and never for longer than its timeout.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::runtime::{Builder as Runtime, LocalOptions};

use super::{builder, fields, wire::Wire};
use crate::handlers::address::Destination;
use crate::handlers::checking::{BODY_MAX, Question, Unwell};
use crate::handlers::proxy::connect::open;
use crate::handlers::proxy::manner::Manner;

/// Asks; the status if the answer is a good one.
pub(in crate::handlers::proxy) fn ask(
    destination: &Destination,
    manner: &Manner,
    (host, authority): (&str, &str),
    question: &Question,
    timeout: Duration,
) -> Result<u16, Unwell> {
    let mut runtime = Runtime::new_current_thread();
    let runtime = runtime.enable_io().enable_time();
    let runtime = runtime.build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let asking = asked(destination, manner, (host, authority), question);
        let answer = tokio::time::timeout(timeout, asking).await;
        answer.unwrap_or(Err(Unwell::TimedOut))
    })
}

async fn asked(
    destination: &Destination,
    manner: &Manner,
    (host, authority): (&str, &str),
    question: &Question,
) -> Result<u16, Unwell> {
    let mut transport = open(destination, &[]).await?;
    if let Some(tls) = &manner.tls {
        let agreed = tls.agree(transport, host).await.and_then(|transport| {
            manner.check(&transport)?;
            Ok(transport)
        });
        transport = agreed
            .map_err(|failed| Unwell::Io(io::Error::other(failed.error.unwrap_or_default())))?;
    }
    let begun = builder().handshake(Wire::new(transport)).await;
    let (send, engine) = begun.map_err(broken)?;
    let mut engine = pin!(engine);
    let head = question.head(authority);
    let mut asking = pin!(exchange(send, head, manner.tls.is_some(), question));
    let mut ended = false;
    std::future::poll_fn(|cx| {
        // It ends behind the answer, or before; either way the exchange says which.
        ended = ended || engine.as_mut().poll(cx).is_ready();
        asking.as_mut().poll(cx)
    })
    .await
}

async fn exchange(
    send: SendRequest<Bytes>,
    head: String,
    encrypted: bool,
    question: &Question,
) -> Result<u16, Unwell> {
    let request = fields::request(head.as_bytes(), encrypted);
    let request = request.map_err(|error| Unwell::Io(io::Error::other(error)))?;
    let mut send = send.ready().await.map_err(broken)?;
    let (answer, _) = send.send_request(request, true).map_err(broken)?;
    let (parts, mut content) = answer.await.map_err(broken)?.into_parts();
    let status = parts.status.as_u16();
    if !question.statuses.contain(status) {
        return Err(Unwell::Status(status));
    }
    let Some(wanted) = &question.body else {
        return Ok(status);
    };
    let mut read = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece.map_err(broken)?;
        read.extend_from_slice(&piece);
        if memchr::memmem::find(&read, wanted).is_some() {
            return Ok(status);
        }
        if read.len() >= BODY_MAX {
            break;
        }
        drop(content.flow_control().release_capacity(piece.len()));
    }
    Err(Unwell::Body)
}

fn broken(error: h2::Error) -> Unwell {
    Unwell::Io(io::Error::other(error))
}
