//! Clients that send without end what asks for nothing: they are told to calm down, cost little
//! memory, and others are served meanwhile.

use std::fs;

use super::super::metrics::number;
use super::{NOWHERE, daemon};
use crate::support::daemon::Daemon;
use crate::support::h2::{Client, Frame, flag, head, kind};
use crate::support::upstream::Upstream;

/// What a flood may cost at most, in bytes: a hundredth of what it sends would be more.
const MEMORY: u64 = 16 << 20;

/// The memory of the process, in bytes.
fn resident(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// Sends these bytes over and over, until the daemon does not take them any more. Others must be
/// served meanwhile.
#[track_caller]
fn flood(daemon: &Daemon, mut client: Client, bytes: &[u8]) {
    let mut other = Client::connect(daemon, "web");
    assert_eq!(other.get(1, "/ok").text(), "ok");
    let before = resident(daemon);
    let mut highest = before;
    let burst = bytes.repeat((64 << 10) / bytes.len());
    let mut stream = 3;
    while client.wire.try_send(&burst).is_ok() {
        assert_eq!(other.get(stream, "/ok").text(), "ok");
        stream += 2;
        highest = highest.max(resident(daemon));
        assert!(stream < 20_000, "it is never enough");
    }
    assert_eq!(other.get(stream, "/ok").text(), "ok");
    let more = highest.saturating_sub(before);
    assert!(more < MEMORY, "{more} bytes more");
}

/// These frames, sent once, are answered with a goodbye.
#[track_caller]
fn calmed(daemon: &Daemon, frames: &[u8]) {
    let mut client = Client::connect(daemon, "web");
    client.wire.send(frames);
    assert_eq!(client.goodbye().1, "ENHANCE_YOUR_CALM");
    while client.frame().is_some() {}
    assert_eq!(number(daemon, "httpserverd_http2_floods_total"), 1);
    flood(daemon, Client::connect(daemon, "web"), frames);
}

fn many(frame: &Frame, count: usize) -> Vec<u8> {
    frame.bytes().repeat(count)
}

#[test]
fn pings() {
    let daemon = daemon("", NOWHERE);
    calmed(&daemon, &many(&Frame::new(kind::PING, 0, 0, [0; 8]), 2_000));
}

#[test]
fn settings() {
    let daemon = daemon("", NOWHERE);
    calmed(&daemon, &many(&Frame::new(kind::SETTINGS, 0, 0, []), 500));
}

#[test]
fn settings_that_change_the_windows() {
    let daemon = daemon("", NOWHERE);
    let settings = |bytes: u8| Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 1, bytes]).bytes();
    calmed(&daemon, &[settings(1), settings(2)].concat().repeat(300));
}

#[test]
fn priorities() {
    let daemon = daemon("", NOWHERE);
    let frame = Frame::new(kind::PRIORITY, 0, 1, [0, 0, 0, 0, 1]);
    calmed(&daemon, &many(&frame, 3_000));
}

#[test]
fn windows() {
    let daemon = daemon("", NOWHERE);
    let frame = Frame::new(kind::WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]);
    calmed(&daemon, &many(&frame, 3_000));
}

#[test]
fn frames_of_unknown_kinds() {
    let daemon = daemon("", NOWHERE);
    calmed(&daemon, &many(&Frame::new(0xfe, 0, 0, []), 3_000));
}

#[test]
fn empty_frames_of_content() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/up/x", &[]);
    client
        .wire
        .send(many(&Frame::new(kind::DATA, 0, 1, []), 500));
    assert_eq!(client.goodbye().1, "ENHANCE_YOUR_CALM");
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/up/x", &[]);
    flood(&daemon, client, &Frame::new(kind::DATA, 0, 1, []).bytes());
}

#[test]
fn heads_without_end() {
    let daemon = daemon("", NOWHERE);
    let piece = Frame::new(kind::CONTINUATION, 0, 1, [0; 0]);
    let begin = || {
        let mut client = Client::connect(&daemon, "web");
        client.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, [0x82]));
        client
    };
    let mut client = begin();
    client.wire.send(many(&piece, 300));
    assert_eq!(client.goodbye().1, "ENHANCE_YOUR_CALM");
    flood(&daemon, begin(), &piece.bytes());
    // A field that is long without end.
    let mut field = Frame::new(kind::CONTINUATION, 0, 1, vec![b'a'; 16_384]);
    let client = begin();
    field.payload[..7].copy_from_slice(&[0, 1, b'a', 0x7f, 0xff, 0xff, 0x7f]);
    flood(&daemon, client, &field.bytes());
}

#[test]
fn streams_begun_and_reset() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    let mut other = Client::connect(&daemon, "web");
    let before = resident(&daemon);
    let mut stream = 1;
    // One after the other: each has begun before it is reset.
    let goodbye = loop {
        client.request(stream, "GET", "/up/x", &[]);
        client.reset(stream);
        if stream % 101 == 0 {
            assert_eq!(other.get(stream, "/ok").text(), "ok");
        }
        let ping = Frame::new(kind::PING, 0, 0, u64::from(stream).to_be_bytes());
        if client.wire.try_send(&ping.bytes()).is_err() {
            break client.goodbye();
        }
        let next = client.expect_that(|frame| matches!(frame.kind, kind::GOAWAY | kind::PING));
        if next.kind == kind::GOAWAY {
            break client.goodbye();
        }
        stream += 2;
        assert!(stream < 10_000, "it may go on for ever");
    };
    assert_eq!(goodbye.1, "ENHANCE_YOUR_CALM");
    assert_eq!(other.get(9_999, "/ok").text(), "ok");
    assert!(resident(&daemon).saturating_sub(before) < MEMORY);
}

#[test]
fn streams_begun_and_reset_in_one_packet() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    let cancel = |stream| Frame::new(kind::RST_STREAM, 0, stream, [0, 0, 0, 8]).bytes();
    let pair = |stream| {
        let head = head(stream, flag::END_STREAM, "GET", "/up/x", &[]);
        [head.bytes(), cancel(stream)].concat()
    };
    let packet: Vec<u8> = (0..500).flat_map(|n| pair(2 * n + 1)).collect();
    client.wire.send(packet);
    assert_eq!(client.goodbye().1, "ENHANCE_YOUR_CALM");
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn requests_that_break_the_rules() {
    let daemon = daemon("", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    let bad = |stream| {
        head(
            stream,
            flag::END_STREAM,
            "GET",
            "/ok",
            &[("connection", "a")],
        )
        .bytes()
    };
    let mut stream = 1;
    while client.wire.try_send(&bad(stream)).is_ok() && stream < 4_001 {
        stream += 2;
    }
    assert_eq!(client.goodbye().1, "ENHANCE_YOUR_CALM");
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn a_client_that_reads_nothing_is_let_go() {
    let daemon = daemon("write_idle_timeout = \"100ms\"", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    let before = resident(&daemon);
    // Windows without end, and nobody takes what comes.
    client.send(&Frame::new(
        kind::SETTINGS,
        0,
        0,
        [0, 4, 0x7f, 0xff, 0xff, 0xff],
    ));
    client.window(0, 0x7fff_0000);
    for stream in 0..100 {
        client.request(2 * stream + 1, "GET", "/large", &[]);
    }
    daemon.stdout().wait("/large 200 ", 100);
    assert!(resident(&daemon).saturating_sub(before) < MEMORY);
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn ordinary_clients_are_not_told_to_calm_down() {
    let daemon = daemon("", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    // Each frame of content is answered by two of windows.
    for n in 0..20 {
        assert_eq!(client.get(4 * n + 1, "/large").body.len(), 1 << 20);
        client.begin(4 * n + 3, "POST", "/ok", &[]);
        client.reset(4 * n + 3);
        client.ping(u64::from(n));
    }
    assert_eq!(client.get(101, "/ok").text(), "ok");
    assert_eq!(number(&daemon, "httpserverd_http2_resets_total"), 20);
    assert_eq!(number(&daemon, "httpserverd_http2_floods_total"), 0);
}
