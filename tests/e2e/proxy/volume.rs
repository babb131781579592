//! Bodies far larger than the memory that carries them.

use std::env;
use std::fs;
use std::thread;

use super::config;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

/// How large the bodies are, unless the environment says otherwise.
const MIB: usize = 128;

/// How much memory more the daemon may hold while they pass.
const GROWTH_KIB: u64 = 4 * 1024;

/// What the process holds in memory, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.unwrap().split_whitespace().next().unwrap();
    words.parse().unwrap()
}

/// A body passes through the daemon without being held by it.
///
/// Method: an upload and a download of `HTTPSERVERD_BODY_MIB` MiB (2048 by hand), after smaller
/// ones that fill what is kept; what the process holds is read every 16 MiB.
#[test]
fn large_bodies_pass_in_little_memory() {
    let mib = env::var("HTTPSERVERD_BODY_MIB").map_or(MIB, |text| text.parse().unwrap());
    let upstream = Upstream::tcp();
    let daemon = Daemon::start(
        &config(&format!("\"{}\"", upstream.address), "").replace("\"100MiB\"", "\"10GiB\""),
    );
    let piece = vec![b'x'; 1 << 20];
    let mut highest = 0;
    let mut base = 0;
    for (round, mib) in [16, mib].into_iter().enumerate() {
        let length = mib << 20;
        let mut client = daemon.connect("web");
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut peer = upstream.accept();
        peer.read_request_head();
        let answer = piece.clone();
        let server = thread::Builder::new().spawn(move || {
            for _ in 0..mib {
                peer.read_bytes(1 << 20);
            }
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            for _ in 0..mib {
                peer.send(&answer);
            }
        });
        for sent in 0..mib {
            client.send(&piece);
            if sent % 16 == 0 {
                highest = highest.max(resident(&daemon));
            }
        }
        client.read_head();
        for read in 0..mib {
            assert!(client.read_bytes(1 << 20) == piece);
            if read % 16 == 0 {
                highest = highest.max(resident(&daemon));
            }
        }
        server.unwrap().join().unwrap();
        if round == 0 {
            (base, highest) = (highest, 0);
        }
    }
    eprintln!("{mib} MiB each way: {base} KiB before, {highest} KiB at most");
    assert!(
        highest < base + GROWTH_KIB,
        "{base} KiB, then {highest} KiB"
    );
}
