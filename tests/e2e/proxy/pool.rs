//! Connections to servers between requests: how long they are kept, and how many are ready.

use std::fs;

use super::{config, get, proxy_with};
use crate::e2e::metrics::wait_number;
use crate::support::daemon::{Daemon, Setup};
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// Has the server answer the next request on this connection, and checks that this client gets it.
#[track_caller]
fn answer(peer: &mut Peer, client: &mut Wire) {
    let head = peer.read_request().head;
    let target = head.split(' ').nth(1).unwrap();
    peer.respond("200 OK", target);
    assert_eq!(client.read_response().text(), target);
}

#[test]
fn a_connection_that_is_old_enough_is_closed() {
    let upstream = Upstream::tcp();
    // What is idle is kept for longer than any test waits.
    let settings = "keep_alive = { max_lifetime = \"100ms\", idle_timeout = \"1h\" }";
    let daemon = proxy_with(&[&upstream], settings);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    answer(&mut peer, &mut client);
    peer.expect_closed();
    get(&mut client, "/2");
    answer(&mut upstream.accept(), &mut client);
}

#[test]
fn a_connection_carries_no_more_requests_than_it_may() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "keep_alive = { max_requests = 2 }");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    answer(&mut peer, &mut client);
    get(&mut client, "/2");
    answer(&mut peer, &mut client);
    peer.expect_closed();
    get(&mut client, "/3");
    answer(&mut upstream.accept(), &mut client);
}

#[test]
fn as_many_connections_are_ready_as_shall_be() {
    let upstream = Upstream::tcp();
    let server = format!("\"{}\"", upstream.address);
    let config = config(&server, "keep_alive = { min_idle = 2 }");
    let daemon = Daemon::start(&format!(
        "{config}\n[[route]]\npath = \"/metrics\"\nmetrics = {{}}\n"
    ));
    let mut first = daemon.connect("web");
    get(&mut first, "/1");
    // One for the request, and two that nobody has asked for yet.
    let mut peers = [upstream.accept(), upstream.accept(), upstream.accept()];
    wait_number(&daemon, "httpserverd_upstream_idle_connections", 2);
    let (mut second, mut third) = (daemon.connect("web"), daemon.connect("web"));
    get(&mut second, "/2");
    get(&mut third, "/3");
    // These carry all three at the same time.
    let heads: Vec<_> = peers
        .iter_mut()
        .map(|peer| peer.read_request().head)
        .collect();
    for (peer, head) in peers.iter_mut().zip(heads) {
        peer.respond("200 OK", head.split(' ').nth(1).unwrap());
    }
    for (client, target) in [(&mut first, "/1"), (&mut second, "/2"), (&mut third, "/3")] {
        assert_eq!(client.read_response().text(), target);
    }
}

#[test]
fn connections_to_an_address_that_a_name_has_no_more_end_after_use() {
    let Some(setup) = Setup::naming("127.0.0.1 app.test\n") else {
        return;
    };
    let before = Upstream::tcp();
    let after = before.beside([127, 0, 0, 2]);
    let server = before.address.replace("127.0.0.1", "app.test");
    let settings = "resolve = { refresh = \"50ms\" }";
    let config = config(&format!("\"{server}\""), settings);
    let daemon = setup.config(&config).start();
    let (mut held, mut client) = (daemon.connect("web"), daemon.connect("web"));
    get(&mut held, "/held");
    let mut busy = before.accept();
    // In place: another file at this path would not be the one that was mounted.
    fs::write(daemon.folder().join("hosts"), "127.0.0.2 app.test\n").unwrap();
    daemon.wait_log(&format!("addresses=\"{}\"", after.address));
    get(&mut client, "/1");
    answer(&mut after.accept(), &mut client);
    answer(&mut busy, &mut held);
    busy.expect_closed();
    before.expect_no_connection();
}
