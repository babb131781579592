//! An upstream that speaks HTTP/2 in the clear, by the h2 crate: what it does is in the path.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime;
use tokio::sync::oneshot;

/// A server; ends when dropped.
#[derive(Debug)]
pub(crate) struct H2Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What came to it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Heads: `POST /path name=value …`, sorted by name.
    pub(crate) heads: Vec<String>,
    /// Streams that were reset before their end, by path.
    pub(crate) resets: Vec<String>,
}

impl H2Upstream {
    /// Takes so many streams at a time.
    pub(crate) fn new(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let own = Arc::clone(&seen);
        let serve = move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                drop(tokio::task::spawn_local(accept(listener, own, streams)));
                drop(stopped.await);
            });
        };
        let thread = thread::Builder::new().spawn(serve).unwrap();
        Self {
            address,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Seen>>, streams: u32) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        seen.lock().unwrap().connections += 1;
        drop(tokio::task::spawn_local(serve(
            socket,
            Arc::clone(&seen),
            streams,
        )));
    }
}

async fn serve(socket: tokio::net::TcpStream, seen: Arc<Mutex<Seen>>, streams: u32) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let times = note(&seen, &request);
        if path == "/last" {
            connection.graceful_shutdown();
        }
        let seen = Arc::clone(&seen);
        drop(tokio::task::spawn_local(async move {
            if answer(request, respond, times).await.is_err() {
                seen.lock().unwrap().resets.push(path);
            }
        }));
    }
    drop(poll_fn(|cx| connection.poll_closed(cx)).await);
}

/// Notes a head; how many of its path have come by now.
fn note(seen: &Mutex<Seen>, request: &Request<RecvStream>) -> usize {
    let mut fields: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .filter(|field| !field.starts_with("x-request-id") && !field.starts_with("via"))
        .collect();
    fields.sort();
    let start = format!("{} {}", request.method(), request.uri());
    let mut seen = seen.lock().unwrap();
    seen.heads.push(format!("{start} {}", fields.join(" ")));
    let same = seen.heads.iter().filter(|head| head.starts_with(&start));
    same.count()
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    times: usize,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let mut content = request.into_body();
    let head = |status: u16| {
        Response::builder()
            .status(status)
            .header("content-type", "application/grpc")
            .body(())
            .unwrap()
    };
    match path.as_str() {
        "/refuse" if times == 1 => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        "/silent" => {
            poll_fn(|cx| respond.poll_reset(cx)).await?;
            Err(Reason::CANCEL.into())
        }
        "/trailers-only" => {
            let mut response = head(200);
            let fields = response.headers_mut();
            fields.insert("grpc-status", "12".parse().unwrap());
            respond.send_response(response, true).map(drop)
        }
        "/large" => {
            let mut stream = respond.send_response(head(200), false)?;
            for _ in 0..64 {
                send(&mut stream, Bytes::from(vec![b'x'; 64 << 10])).await?;
            }
            stream.send_data(Bytes::new(), true)
        }
        _ => {
            // What comes goes back, piece by piece, with trailers behind it.
            let mut stream = respond.send_response(head(200), false)?;
            while let Some(piece) = content.data().await {
                let piece = piece?;
                if piece == b"cut"[..] {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
                let length = piece.len();
                send(&mut stream, piece).await?;
                content.flow_control().release_capacity(length)?;
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            if let Some(told) = content.trailers().await? {
                trailers.extend(told);
            }
            stream.send_trailers(trailers)
        }
    }
}

async fn send(stream: &mut SendStream<Bytes>, mut piece: Bytes) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        if stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(capacity) => drop(capacity?),
                None => return Err(Reason::CANCEL.into()),
            }
            continue;
        }
        let count = stream.capacity().min(piece.len());
        stream.send_data(piece.split_to(count), false)?;
    }
    Ok(())
}
