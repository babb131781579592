//! One connection, several requests: what goes out when, and what is not mistaken for what.

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

/// A daemon that answers `/ok` itself and forwards the rest.
fn daemon(upstream: &Upstream) -> Daemon {
    Daemon::start(&format!(
        "[server]\nworkers = 1\nmiddleware = []\n\
         [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.backend]\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/ok\"\nrespond = {{ text = \"ok\" }}\n\
         [[route]]\npath = \"/*\"\nproxy = {{ upstream = \"backend\" }}\n",
        upstream.address
    ))
}

#[test]
fn an_answer_does_not_wait_for_content_nobody_reads() {
    let upstream = Upstream::tcp();
    let daemon = daemon(&upstream);
    let mut client = daemon.connect("web");
    client.send("POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst");
    // Half of the content has not been sent, and will not be before the answer is there.
    assert_eq!(client.read_response().text(), "ok");
    client.send("laterGET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn an_answer_does_not_wait_for_the_next_request_to_be_handled() {
    let upstream = Upstream::tcp();
    let daemon = daemon(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    // The upstream has not answered the second, and will not before the first is there.
    assert_eq!(client.read_response().text(), "ok");
    peer.respond("200 OK", "slow");
    assert_eq!(client.read_response().text(), "slow");
}

#[test]
fn a_100_never_overtakes_the_answer_before_it() {
    let upstream = Upstream::tcp();
    let daemon = daemon(&upstream);
    let mut client = daemon.connect("web");
    client.send(
        "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.read_response().text(), "ok");
    client.expect_head("HTTP/1.1 100 Continue\r\n");
    client.send("body");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(4), b"body");
    peer.respond("200 OK", "taken");
    assert_eq!(client.read_response().text(), "taken");
}

#[test]
fn a_client_that_sends_all_and_then_ends_its_direction_is_answered() {
    let upstream = Upstream::tcp();
    let daemon = daemon(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.respond("200 OK", "slow");
    assert_eq!(client.read_response().text(), "slow");
    client.expect_closed();
}

#[test]
fn broken_content_that_nobody_reads_is_refused_while_nothing_has_been_said() {
    let upstream = Upstream::tcp();
    let daemon = daemon(&upstream);
    for method in ["POST", "GET"] {
        let head =
            format!("{method} /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (content, status) in [
            ("x\r\n", 400),
            ("3\r\nabcd\r\n", 400),
            ("3\r\nabc\r\n0\r\n\r\n", 200),
        ] {
            let mut client = daemon.connect("web");
            client.send(format!("{head}{content}"));
            let response = client.read_response();
            assert_eq!(response.status(), status, "{method} {content:?}");
        }
        // Here the answer has gone out before the content turns out to be broken: what stands
        // behind that is no request.
        let mut client = daemon.connect("web");
        client.send(format!("{head}3\r\n"));
        assert_eq!(client.read_response().text(), "ok");
        client.send("abcd\r\nGET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect_closed();
    }
}

#[test]
fn what_is_asked_for_as_https_comes_encrypted_or_from_who_is_believed() {
    let ask = "GET https://a/ok HTTP/1.1\r\nHost: a\r\n\r\n";
    for (trusted, status) in [("[]", 421), ("[\"127.0.0.1\"]", 200)] {
        let daemon = Daemon::start(&format!(
            "[server]\nmiddleware = []\ntrusted_proxies = {trusted}\n\
             [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
             [[route]]\npath = \"/ok\"\nrespond = {{ text = \"ok\" }}\n"
        ));
        let mut client = daemon.connect("web");
        client.send(ask);
        assert_eq!(client.read_response().status(), status, "{trusted}");
    }
}
