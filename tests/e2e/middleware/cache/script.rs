//! The cases that are told in text.

use std::fmt::Write as _;

use super::cached;
use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// One client, one origin, and the connection between daemon and origin while it lasts.
struct Stage {
    client: Wire,
    origin: Upstream,
    peer: Option<Peer>,
}

/// What a line says of a message: fields that must be there, fields that must not, the body.
struct Wanted<'t> {
    first: &'t str,
    there: Vec<&'t str>,
    absent: Vec<&'t str>,
    body: Option<&'t str>,
}

impl<'t> Wanted<'t> {
    fn read(line: &'t str) -> Self {
        let mut parts = line.split(" | ").map(str::trim);
        let mut wanted = Self {
            first: parts.next().unwrap(),
            there: Vec::new(),
            absent: Vec::new(),
            body: None,
        };
        for part in parts {
            match (part.strip_prefix('!'), part.strip_prefix(':')) {
                (Some(absent), _) => wanted.absent.push(absent),
                (_, Some(body)) => wanted.body = Some(body.trim_start()),
                _ => wanted.there.push(part),
            }
        }
        wanted
    }

    /// Checks the fields of a head, which are compared without case.
    fn check(&self, head: &str, context: &str) {
        let lower = head.to_ascii_lowercase();
        let mut lines = lower.lines();
        for field in &self.there {
            let field = field.to_ascii_lowercase();
            assert!(
                lines.clone().any(|line| line == field),
                "{context}: no `{field}` in\n{head}"
            );
        }
        for name in &self.absent {
            let start = format!("{}:", name.to_ascii_lowercase());
            assert!(
                !lines.any(|line| line.starts_with(&start)),
                "{context}: `{name}` in\n{head}"
            );
        }
    }
}

impl Stage {
    fn new(origin: Upstream, daemon: &Daemon) -> Self {
        Self {
            client: daemon.connect("web"),
            origin,
            peer: None,
        }
    }

    /// Plays a file of cases; how many there were.
    fn play(&mut self, file: &str) -> usize {
        let mut cases = 0;
        let mut target = String::new();
        let mut context = String::new();
        let mut method = String::new();
        for (number, line) in file.lines().enumerate() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            let place = format!("{context} (line {})", number + 1);
            match mark {
                "" => {}
                "#" => {
                    cases += 1;
                    rest.clone_into(&mut context);
                    target = format!("/case-{cases}");
                }
                ">" => method = self.ask(&target, rest),
                "@" => self.asked(rest, &place),
                "@=" => self.answer(rest),
                "@broken" => self
                    .peer
                    .take()
                    .expect("the origin was asked")
                    .send("no HTTP\r\n\r\n"),
                "<" => self.got(rest, &method, &place),
                _ => panic!("line {}: {line}", number + 1),
            }
        }
        cases
    }

    fn ask(&mut self, target: &str, line: &str) -> String {
        let wanted = Wanted::read(line);
        let (method, suffix) = wanted.first.split_once(' ').unwrap_or((wanted.first, ""));
        let mut head = format!("{method} {target}{suffix} HTTP/1.1\r\n");
        if !wanted.there.iter().any(|field| field.starts_with("Host:")) {
            head.push_str("Host: site\r\n");
        }
        for field in wanted.there {
            head.push_str(field);
            head.push_str("\r\n");
        }
        self.client.send(format!("{head}\r\n"));
        method.to_owned()
    }

    fn asked(&mut self, line: &str, place: &str) {
        // A connection that the daemon has closed meanwhile is made anew.
        let kept = self.peer.as_mut().and_then(Peer::next_request);
        let request = kept.unwrap_or_else(|| {
            let peer = self.peer.insert(self.origin.accept());
            peer.read_request()
        });
        let wanted = Wanted::read(if line.is_empty() { "x" } else { line });
        let mut all = Wanted {
            there: Vec::new(),
            absent: wanted.absent,
            ..Wanted::read("x")
        };
        let first = Some(wanted.first).filter(|first| *first != "x");
        match first.map(|first| (first, first.strip_prefix('!'))) {
            Some((_, Some(absent))) => all.absent.push(absent),
            Some((there, None)) => all.there.push(there),
            None => {}
        }
        all.there.extend(wanted.there);
        all.check(&request.head, place);
    }

    fn answer(&mut self, line: &str) {
        let wanted = Wanted::read(line);
        let mut head = format!("HTTP/1.1 {} X\r\n", wanted.first);
        for field in &wanted.there {
            head.push_str(field);
            head.push_str("\r\n");
        }
        let body = wanted.body.unwrap_or_default();
        let has_length = wanted.first != "304" && wanted.first != "204";
        if has_length
            && !wanted
                .there
                .iter()
                .any(|field| field.starts_with("Content-Length"))
        {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        let peer = self.peer.as_mut().expect("the origin was asked");
        peer.send(format!("{head}\r\n{body}"));
    }

    fn got(&mut self, line: &str, method: &str, place: &str) {
        let wanted = Wanted::read(line);
        let response = if method == "HEAD" {
            Response {
                head: self.client.read_head(),
                body: Vec::new(),
                trailers: Vec::new(),
            }
        } else {
            self.client.read_response()
        };
        assert_eq!(response.status().to_string(), wanted.first, "{place}");
        wanted.check(&response.head.text, place);
        if let Some(body) = wanted.body {
            assert_eq!(response.text(), body, "{place}");
        }
    }
}

#[track_caller]
fn play(settings: &str, file: &str, expected: usize) {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, settings);
    let mut stage = Stage::new(origin, &daemon);
    assert_eq!(stage.play(file), expected, "the number of cases");
}

#[test]
fn what_is_fresh_is_answered_from_the_store() {
    play("", include_str!("fresh.txt"), 24);
}

#[test]
fn what_is_stale_is_asked_about() {
    play("", include_str!("stale.txt"), 20);
}

#[test]
fn what_may_not_be_kept_is_not() {
    play("", include_str!("unkept.txt"), 13);
}

#[test]
fn clients_ask_for_more_less_and_parts() {
    play("", include_str!("clients.txt"), 22);
}

#[test]
fn unsafe_methods_drop_what_they_may_have_changed() {
    play("", include_str!("changes.txt"), 9);
}

#[test]
fn operators_decide_what_the_origin_leaves_open() {
    let settings = "default_lifetime = '60s'\nheuristic_max = '1h'\nstale_if_error = '60s'\n\
                    client_directives = false\nmax_entry = '100B'";
    play(settings, include_str!("operator.txt"), 9);
}
