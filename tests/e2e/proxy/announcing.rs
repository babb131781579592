//! The PROXY protocol towards servers.

use super::{config_with, get, proxy_with, route_with};
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

#[test]
fn the_clients_address_is_announced_before_each_request() {
    let upstream = Upstream::tcp();
    let daemon = route_with(&upstream, "proxy_protocol = \"v1\"");
    let port = daemon.address("web").tcp().port();
    for from in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let mut client = Wire::connect_from(from, port);
        for _ in 0..2 {
            get(&mut client, "/");
            let mut peer = upstream.accept();
            let line = String::from_utf8(peer.read_until(b"\r\n")).unwrap();
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            let [a, b, c, d] = from;
            let address = format!("{a}.{b}.{c}.{d}");
            assert_eq!(
                words[..4],
                ["PROXY", "TCP4", &address, "127.0.0.1"],
                "{line}"
            );
            assert_eq!(words[5], port.to_string());
            let head = peer.read_request_head();
            assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            // It would speak of one client for another.
            peer.respond("200 OK", "x");
            assert_eq!(client.read_response().text(), "x");
            peer.expect_closed();
        }
    }
}

/// What every header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[test]
fn an_upstream_is_told_in_binary_too() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "proxy_protocol = \"v2\"");
    let port = daemon.address("web").tcp().port();
    for from in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let mut client = Wire::connect_from(from, port);
        get(&mut client, "/");
        let mut peer = upstream.accept();
        let header = peer.read_bytes(28);
        let fixed = [SIGNATURE, &[0x21, 0x11, 0, 12], &from, &[127, 0, 0, 1]].concat();
        assert_eq!(header[..24], fixed);
        assert_eq!(header[26..], port.to_be_bytes());
        assert!(peer.read_request_head().starts_with("GET / HTTP/1.1\r\n"));
        peer.respond("200 OK", "x");
        assert_eq!(client.read_response().text(), "x");
        peer.expect_closed();
    }
}

#[test]
fn a_health_check_speaks_for_itself() {
    for (version, expected) in [
        ("v1", b"PROXY UNKNOWN\r\n".to_vec()),
        ("v2", [SIGNATURE, &[0x20, 0, 0, 0]].concat()),
    ] {
        let upstream = Upstream::tcp();
        let settings = format!(
            "proxy_protocol = \"{version}\"\n\
             health_check = {{ path = \"/up\", interval = \"10ms\", unhealthy_after = 1 }}"
        );
        let daemon = proxy_with(&[&upstream], &settings);
        let mut check = upstream.accept();
        assert_eq!(check.read_bytes(expected.len()), expected);
        assert!(
            check
                .read_request_head()
                .starts_with("GET /up HTTP/1.1\r\n")
        );
        drop(check);
        daemon.wait_log("its check fails");
    }
}

#[test]
fn a_copy_of_a_request_has_no_client() {
    let (upstream, shadow) = (Upstream::tcp(), Upstream::tcp());
    let config = config_with(
        &format!("\"{}\"", upstream.address),
        "",
        "mirror = { upstream = \"shadow\" }",
    );
    let daemon = Daemon::start(&format!(
        "{config}[upstream.shadow]\nservers = [\"{}\"]\nproxy_protocol = \"v1\"\n",
        shadow.address
    ));
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut copy = shadow.accept();
    assert_eq!(copy.read_until(b"\r\n"), b"PROXY UNKNOWN\r\n");
    assert!(copy.read_request_head().starts_with("GET / HTTP/1.1\r\n"));
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}
