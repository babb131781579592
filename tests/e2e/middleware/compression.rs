//! `compression`: whole, in parts, in a stream, and not at all.

use std::io::Read;

use flate2::read::GzDecoder;
use flate2::{Decompress, FlushDecompress};

use super::{ask, check_fields};
use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::Upstream;

const CONFIG: &str = r#"
[server]
workers = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.gzip]
type = "compression"
min_size = "20B"

[upstream.backend]
servers = ["UPSTREAM"]

[[route]]
path = "/text"
middleware = ["gzip"]
respond = { text = "TEXT" }

[[route]]
path = "/dense"
middleware = ["gzip"]
respond = { text = "DENSE" }

[[route]]
path = "/files/*"
middleware = ["gzip"]
static = { root = "site", strip_prefix = "/files" }

[[route]]
path = "/up"
middleware = ["gzip"]
proxy = { upstream = "backend" }
"#;

const TEXT: &str = "to be, or not to be, to be, or not to be, to be, or not to be";

/// Long enough to be zipped, and no shorter when it is.
const DENSE: &str = "jackdaws love my big sphinx of quartz";

fn start(upstream: &str) -> Daemon {
    Daemon::setup()
        .file("site/page.html", "<p>".repeat(10_000))
        .config(
            &CONFIG
                .replace("UPSTREAM", upstream)
                .replace("TEXT", TEXT)
                .replace("DENSE", DENSE),
        )
        .start()
}

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";

#[track_caller]
fn unzip(response: &Response) -> String {
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    let mut decoder = GzDecoder::new(&*response.body);
    decoder.read_to_string(&mut text).unwrap();
    text
}

const GZIP: &str = "Accept-Encoding: gzip";

#[test]
fn content_is_zipped_for_who_takes_it() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    let zipped = ask(&mut wire, "GET", "/text", &[GZIP]);
    assert_eq!(unzip(&zipped), TEXT);
    assert!(zipped.field("Vary").unwrap().contains("Accept-Encoding"));
    let file = ask(&mut wire, "GET", "/files/page.html", &[GZIP]);
    assert_eq!(unzip(&file), "<p>".repeat(10_000));
    let etag = file.field("ETag").unwrap();
    assert!(etag.starts_with("W/"), "no longer byte for byte: {etag}");
    for fields in [
        &[][..],
        &["Accept-Encoding: gzip;q=0"],
        &["Accept-Encoding: x-own"],
    ] {
        let plain = ask(&mut wire, "GET", "/text", fields);
        assert_eq!(
            (plain.field("Content-Encoding"), plain.text().as_str()),
            (None, TEXT)
        );
        assert!(plain.field("Vary").unwrap().contains("Accept-Encoding"));
    }
    // What would not be shorter goes as it is.
    let dense = ask(&mut wire, "GET", "/dense", &[GZIP]);
    check_fields(
        &dense,
        &[
            ("Content-Encoding", None),
            ("Vary", Some("Accept-Encoding")),
        ],
    );
    assert_eq!(dense.text(), DENSE);
    // The tag of the zipped one is good for asking again.
    let tag = format!("If-None-Match: {etag}");
    assert_eq!(
        ask(&mut wire, "GET", "/files/page.html", &[GZIP, &tag]).status(),
        304
    );
    // A part of the file is a part of the file.
    let part = ask(
        &mut wire,
        "GET",
        "/files/page.html",
        &[GZIP, "Range: bytes=0-2"],
    );
    assert_eq!((part.status(), part.text().as_str()), (206, "<p>"));
    check_fields(&part, &[("Content-Encoding", None)]);
}

#[test]
fn a_head_says_of_zipped_content_what_its_get_would() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    for target in ["/text", "/dense", "/files/page.html"] {
        let get = ask(&mut wire, "GET", target, &[GZIP]);
        wire.send(format!(
            "HEAD {target} HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n\r\n"
        ));
        let head = wire.read_head();
        for name in ["Content-Encoding", "Content-Type", "ETag", "Vary"] {
            assert_eq!(head.field(name), get.field(name), "{name} of {target}");
        }
        // A length may be left out, and not be another one.
        if let Some(length) = head.field("Content-Length") {
            assert_eq!(length, get.body.len().to_string(), "{target}");
        }
    }
    assert_eq!(wire.get("/text").text(), TEXT, "nothing came behind a head");
}

#[test]
fn zipped_content_does_not_wait_for_its_end() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream.address);
    let mut wire = daemon.connect("web");
    wire.send(format!("GET /up HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n\r\n"));
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nfirst\r\n",
    );
    let head = wire.read_head();
    assert_eq!(head.field("Content-Encoding"), Some("gzip"));
    assert_eq!(head.field("Transfer-Encoding"), Some("chunked"));
    // The upstream says no more before the client has understood what it said.
    let mut inflate = Decompress::new_gzip(15);
    let mut text = Vec::with_capacity(1024);
    let mut zipped = Vec::new();
    while text != b"first" {
        zipped.extend(wire.read_chunk().expect("it goes on"));
        let from = usize::try_from(inflate.total_in()).unwrap();
        let flush = FlushDecompress::Sync;
        inflate
            .decompress_vec(&zipped[from..], &mut text, flush)
            .unwrap();
    }
    peer.send("6\r\n, last\r\n0\r\n\r\n");
    while let Some(chunk) = wire.read_chunk() {
        zipped.extend(chunk);
    }
    let mut whole = String::new();
    GzDecoder::new(&*zipped).read_to_string(&mut whole).unwrap();
    assert_eq!(whole, "first, last");
    // An upstream that breaks off leaves content that nobody takes for whole.
    wire.send(format!("GET /up HTTP/1.1\r\nHost: a\r\n{GZIP}\r\n\r\n"));
    peer.read_request_head();
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nfirst\r\n",
    );
    wire.read_head();
    drop(peer);
    let cut = wire.read_to_end();
    assert!(!cut.ends_with(b"0\r\n\r\n"), "{}", cut.escape_ascii());
}

#[test]
fn each_coding_is_sent_to_who_wants_it_most() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    let page = "<p>".repeat(10_000);
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=0.9, br;q=0.8", "gzip"),
        ("deflate", "deflate"),
    ] {
        let accepted = format!("Accept-Encoding: {accepted}");
        // Made in slices the first time, kept from then on: then the length is known.
        let made = ask(&mut wire, "GET", "/files/page.html", &[&accepted]);
        let kept = ask(&mut wire, "GET", "/files/page.html", &[&accepted]);
        assert_eq!(
            kept.field("Content-Length"),
            Some(&*kept.body.len().to_string())
        );
        for response in [made, kept] {
            assert_eq!(response.field("Content-Encoding"), Some(coding));
            assert!(response.field("ETag").unwrap().starts_with("W/"));
            assert_eq!(decoded(coding, &response.body), page, "{coding}");
        }
    }
}

#[test]
fn a_file_that_changes_is_compressed_anew() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    let mut old = ask(&mut wire, "GET", "/files/page.html", &[GZIP]);
    assert_eq!(unzip(&old), "<p>".repeat(10_000));
    daemon.write_file("site/page.html", "<b>".repeat(20_000));
    let deadline = crate::support::deadline();
    while unzip(&old) != "<b>".repeat(20_000) {
        assert!(
            crate::support::left(deadline).is_some(),
            "it stays as it was"
        );
        old = ask(&mut wire, "GET", "/files/page.html", &[GZIP]);
    }
}

fn decoded(coding: &str, bytes: &[u8]) -> String {
    let mut reader: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(GzDecoder::new(bytes)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "zstd" => Box::new(zstd::Decoder::new(bytes).unwrap()),
        other => panic!("{other}"),
    };
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}
