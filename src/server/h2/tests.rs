//! What no configuration can make an exchange do: panic. Asked by the engine's own client.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;

use super::session::Session;
use super::turns::Turns;
use super::wire::Wire;
use super::{Driver, Engine};
use crate::server::tests::{Fragile, future_size, start};

/// Asks for a path, and does not wait for the answer.
fn ask(client: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = http::Request::get(format!("http://a{path}")).body(());
    client.send_request(request.unwrap(), true).unwrap().0
}

/// The status, the content, and how the stream was reset if it was.
async fn answer(response: ResponseFuture) -> (u16, String, Option<h2::Reason>) {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return (0, String::new(), error.reason()),
    };
    let status = response.status().as_u16();
    let (mut content, mut stream) = (String::new(), response.into_body());
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => content.push_str(std::str::from_utf8(&piece).unwrap()),
            Err(error) => return (status, content, error.reason()),
        }
    }
    (status, content, None)
}

async fn check(address: std::net::SocketAddr) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let driven = tokio::task::spawn_local(connection);
    let mut client = client.ready().await.unwrap();
    // All at once: those that panic have neighbours that wait.
    let paths = [
        "/before",
        "/request",
        "/later",
        "/response",
        "/body",
        "/complete",
        "/after",
    ];
    let answers = paths.map(|path| ask(&mut client, path));
    let [before, request, later, response, body, complete, after] = answers;
    assert_eq!(answer(before).await, (200, "/before".to_owned(), None));
    for panicked in [request, later, response] {
        let (status, _, reset) = answer(panicked).await;
        assert_eq!((status, reset), (500, None));
    }
    // What there is of the content must not be taken for all of it.
    let (_, _, reset) = answer(body).await;
    assert_eq!(reset, Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(answer(complete).await, (200, "/complete".to_owned(), None));
    assert_eq!(answer(after).await, (200, "/after".to_owned(), None));
    let later = ask(&mut client, "/and-on");
    assert_eq!(answer(later).await, (200, "/and-on".to_owned(), None));
    drop(client);
    driven.await.unwrap().unwrap();
}

#[test]
fn a_panic_ends_the_stream_it_is_on_and_nothing_else() {
    let fragile = Arc::new(Fragile::default());
    let worker = start(Arc::<Fragile>::clone(&fragile));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().build_local(LocalOptions::default());
    runtime.unwrap().block_on(check(worker.address));
    let counters = worker.end();
    assert_eq!(counters.panics.get(), 5);
    assert_eq!(counters.connections_accepted.get(), 1);
    assert_eq!(counters.connections_open.get(), 0);
    assert_eq!(counters.exchanges_begun.get(), 8);
    assert_eq!(counters.exchanges_ended.get(), 8, "each was told its end");
    let mut completed = fragile.completed.lock().unwrap().clone();
    // One that waits is overtaken.
    completed.sort();
    assert_eq!(
        completed,
        [
            "/after 200 none",
            "/and-on 200 none",
            "/before 200 none",
            "/body 200 panic",
            "/later 500 panic",
            "/request 500 panic",
            "/response 500 panic",
        ]
    );
}

/// What an idle connection holds beside the engine, whose buffers are its own: within a kibibyte.
#[test]
fn a_connection_that_waits_is_small() {
    assert!(future_size(super::serve) <= 128);
    assert!(size_of::<Driver>() - size_of::<Engine>() <= 256);
    assert!(size_of::<Wire>() + size_of::<Session>() + size_of::<Turns>() <= 320);
}
