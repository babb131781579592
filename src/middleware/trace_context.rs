//! `trace_context`: the place of an exchange in a distributed trace (W3C Trace Context, level 2).
//!
//! What comes from a peer that is believed is kept and passed on; otherwise a trace is begun
//! here. The trace stands in the access log, so that a line is found from any tracing tool.

use serde::Deserialize;

use crate::build::{BuildContext, Kind, ParseContext, Percent, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware, Random, Trace};
use crate::http::{Headers, name};

/// The place of an exchange in a trace.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "trace_context",
    summary: "Keeps or begins a trace (W3C traceparent), for upstreams and the log",
    example: r#"
accept = "trusted"        # whose traceparent is kept: of "trusted" proxies, of "all", of "none"
span = false              # true: upstreams see a span of this server between them and the client
record = "100%"           # how many of the traces begun here are marked as recorded
"#,
    keys: keys! {
        "accept": "word" = r#""trusted""#,
            "whose `traceparent` is kept: that of `trusted` proxies, of `all`, of `none`";
        "span": "true or false" = "false",
            "whether upstreams are told a span of this server's own, which the log names";
        "record": "percentage" = r#""100%""#,
            "how many of the traces that begin here are marked as recorded";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceContext {
    #[serde(default)]
    accept: Accept,
    /// Nobody is told of the spans made here but the log, and a tracing tool shows one that it
    /// has not heard of as a gap.
    #[serde(default)]
    span: bool,
    /// An unmarked trace makes most libraries record nothing further in.
    #[serde(default = "default_record")]
    record: Percent,
}

/// Whose traces are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Accept {
    /// Those of trusted proxies.
    #[default]
    Trusted,
    /// Everyone's: browsers that are traced too.
    All,
    /// Nobody's.
    None,
}

const fn default_record() -> Percent {
    Percent::whole(100)
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let settings: TraceContext = cx.settings(section)?;
    Some(Box::new(settings))
}

impl Settings<Box<dyn Middleware>> for TraceContext {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

impl Middleware for TraceContext {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let believed = match self.accept {
            Accept::Trusted => x.trusted_peer,
            Accept::All => true,
            Accept::None => false,
        };
        let told = believed.then(|| told(&x.request.headers)).flatten();
        let random = x.locals.keep::<Random>();
        let trace = match told {
            Some(told) if !self.span => Trace {
                span: told.span,
                ..told
            },
            Some(told) => Trace {
                parent: Some(told.span),
                span: span_id(&random),
                ..told
            },
            None => {
                // The state of a trace that was not kept is of no trace (§3.2.2.2).
                x.request.headers.remove(&name::TRACESTATE);
                let [high, low] = [span_id(&random), span_id(&random)];
                let mut id = [0; 32];
                for (to, from) in id.iter_mut().zip(high.into_iter().chain(low)) {
                    *to = from;
                }
                let recorded = random.chance(self.record.of(10_000), 10_000);
                Trace {
                    id,
                    parent: None,
                    span: span_id(&random),
                    flags: RANDOM | u8::from(recorded),
                }
            }
        };
        let value = traceparent(&trace);
        x.request.headers.set(&name::TRACEPARENT, value);
        x.facts_mut().trace = Some(trace);
        Flow::Continue
    }
}

/// The flag of an id of which at least seven bytes are random (level 2, §3.2.2.5.2).
const RANDOM: u8 = 0b10;

/// The trace that the request is told to belong to: by one valid `traceparent` (§3.2.2). Its
/// sender's span stands in both places of a span.
fn told(headers: &Headers) -> Option<Trace> {
    let mut lines = headers.get_all(&name::TRACEPARENT);
    let (Some(value), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (fields, beyond) = value.trim_ascii().split_at_checked(LENGTH)?;
    let [version, id, span, flags] = split(fields)?;
    let version = hex_byte(version)?;
    // Version 0 has nothing behind the flags; later ones may, and what they begin with holds.
    let ends = beyond.is_empty() || (version > 0 && beyond.starts_with(b"-"));
    let flags = hex_byte(flags)?;
    if version == u8::MAX || !ends || !is_id(id) || !is_id(span) {
        return None;
    }
    let span = span.try_into().ok()?;
    Some(Trace {
        id: id.try_into().ok()?,
        parent: Some(span),
        span,
        // Of flags that this version does not know nothing may be said (§3.2.2.5).
        flags: flags & (RANDOM | 1),
    })
}

/// `00-` and 32 digits, `-` and 16, `-` and 2.
const LENGTH: usize = 55;

/// The four parts, at their places.
fn split(fields: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = fields.split(|&byte| byte == b'-');
    let parts = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (parts.map(<[u8]>::len) == [2, 32, 16, 2]).then_some(parts)
}

/// Lower-case digits, not all of them zero.
fn is_id(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.iter().any(|&byte| byte != b'0')
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    text.iter().try_fold(0_u8, |number, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | digit)
    })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Sixteen digits that are not all zero.
fn span_id(random: &Random) -> [u8; 16] {
    let number = random.next() | 1;
    let mut text = [0; 16];
    for (at, digit) in text.iter_mut().enumerate() {
        let nibble = (number >> (60 - 4 * at)) & 15;
        *digit = usize::try_from(nibble)
            .ok()
            .and_then(|nibble| HEX.get(nibble).copied())
            .unwrap_or(b'0');
    }
    text
}

fn traceparent(trace: &Trace) -> [u8; LENGTH] {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let flags = [digit(trace.flags >> 4), digit(trace.flags & 15)];
    let parts: [&[u8]; 7] = [b"00", b"-", &trace.id, b"-", &trace.span, b"-", &flags];
    let mut text = [b'0'; LENGTH];
    for (to, from) in text.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, problems};
    use super::*;
    use crate::exchange::testing::TestRequest;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn told_by(value: &str) -> Option<Trace> {
        let request = TestRequest::get("/").header("traceparent", value);
        told(&request.head.headers)
    }

    #[test]
    fn what_is_a_traceparent_and_what_is_none() {
        for (good, flags) in [
            (format!("00-{ID}-{SPAN}-01"), 1),
            (format!("00-{ID}-{SPAN}-00"), 0),
            (format!("00-{ID}-{SPAN}-ff"), 3),
            // Of a later version, with and without more behind it.
            (format!("cc-{ID}-{SPAN}-01"), 1),
            (format!("cc-{ID}-{SPAN}-01-what-the-future-brings"), 1),
        ] {
            let trace = told_by(&good).unwrap_or_else(|| panic!("{good}"));
            assert_eq!(trace.id, ID.as_bytes());
            assert_eq!(trace.parent.unwrap(), SPAN.as_bytes());
            assert_eq!(trace.flags, flags, "{good}");
        }
        let upper = ID.to_uppercase();
        for bad in [
            String::new(),
            format!("ff-{ID}-{SPAN}-01"),
            format!("00-{ID}-{SPAN}-01-more"),
            format!("00-{ID}-{SPAN}-01."),
            format!("cc-{ID}-{SPAN}-01.more"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}-{SPAN}-0"),
            format!("00-{ID}-{SPAN}-0g"),
            format!("0-0{ID}-{SPAN}-01"),
            format!("00-{ID}{SPAN}---01"),
            format!("00_{ID}_{SPAN}_01"),
        ] {
            assert_eq!(told_by(&bad), None, "{bad}");
        }
        let one = format!("00-{ID}-{SPAN}-01");
        let twice = TestRequest::get("/").header("traceparent", &one);
        let twice = twice.header("traceparent", &one);
        assert_eq!(told(&twice.head.headers), None);
    }

    /// What an upstream is told, and the trace.
    fn run(settings: &str, trusted: bool, value: Option<&str>) -> (String, bool, Trace) {
        let link = build(&KIND, settings);
        let mut request = TestRequest::get("/").header("tracestate", "a=1");
        if let Some(value) = value {
            request = request.header("traceparent", value);
        }
        let mut x = request.exchange();
        x.trusted_peer = trusted;
        assert!(matches!(link.on_request(&mut x), Flow::Continue));
        let headers = &x.request.headers;
        assert_eq!(headers.get_all(&name::TRACEPARENT).count(), 1);
        let told = headers.get_str(&name::TRACEPARENT).unwrap().to_owned();
        let state = headers.contains(&name::TRACESTATE);
        (told, state, x.facts.unwrap().trace.unwrap())
    }

    #[test]
    fn a_trace_of_who_is_believed_goes_on() {
        let inbound = format!("00-{ID}-{SPAN}-01");
        let (told, state, trace) = run("", true, Some(&inbound));
        assert_eq!((told, state), (inbound.clone(), true));
        assert_eq!(trace.parent.unwrap(), SPAN.as_bytes());
        let (told, _, _) = run("accept = 'all'", false, Some(&inbound));
        assert_eq!(told, inbound);
        let (told, state, trace) = run("span = true", true, Some(&inbound));
        assert!(told.starts_with(&format!("00-{ID}-")) && told.ends_with("-01") && state);
        assert!(!told.contains(SPAN) && told.as_bytes()[36..52] == trace.span);
        assert_eq!(trace.parent.unwrap(), SPAN.as_bytes());
    }

    #[test]
    fn otherwise_one_begins_here() {
        let inbound = format!("00-{ID}-{SPAN}-01");
        for (settings, trusted, value) in [
            ("", false, Some(&*inbound)),
            ("", true, None),
            ("", true, Some("nonsense")),
            ("accept = 'none'", true, Some(&*inbound)),
        ] {
            let (text, state, trace) = run(settings, trusted, value);
            assert!(!text.contains(ID) && !state, "{text}");
            assert_eq!(trace.parent, None);
            assert_eq!(told_by(&text).unwrap().id, trace.id);
            assert_eq!(trace.flags, 3);
        }
        let (text, ..) = run("record = '0%'", false, None);
        assert!(text.ends_with("-02"), "{text}");
    }

    #[test]
    fn mistakes() {
        let check = |text: &str| assert_eq!(problems(&KIND, text).len(), 1, "{text}");
        check("accept = 'some'");
        check("record = '101%'");
    }
}
