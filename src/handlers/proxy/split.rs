//! Traffic shared out between upstreams: so much to the canary, the rest to what is proven.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::chance::{Chance, hash};
use super::tally::Tally;
use super::upstream::Upstream;
use crate::build::{HumanDuration, ParseContext, Problem, Section};
use crate::exchange::{Escape, Exchange, Response, Template};
use crate::http::name;

/// How many upstreams a route may share its traffic out between.
const LANES_MAX: usize = 16;

/// Weights beyond this say nothing more about a share.
const WEIGHT_MAX: u32 = 10_000;

/// One upstream as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenLane {
    pub(super) upstream: Spanned<String>,
    pub(super) weight: Spanned<u32>,
}

/// What keeps a client where it is, as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSticky {
    #[serde(default)]
    cookie: Option<Spanned<String>>,
    #[serde(default)]
    max_age: Option<HumanDuration>,
    #[serde(default)]
    hash: Option<Spanned<Template>>,
}

/// What keeps a client where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sticky {
    /// A cookie of this name; for so many seconds, or as long as the browser runs.
    Cookie {
        name: Box<str>,
        max_age: Option<u64>,
    },
    /// What this text comes out as.
    Hash(Template),
}

/// The upstreams of a route.
#[derive(Debug)]
pub(super) struct Split {
    lanes: Box<[Lane]>,
    sticky: Option<Sticky>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) upstream: Arc<Upstream>,
    pub(super) tally: Tally,
    weight: u32,
    /// What a cookie calls it: not its name, which is nobody's business.
    mark: Box<str>,
}

/// The upstream of one request.
pub(super) struct Picked<'s> {
    pub(super) lane: &'s Lane,
    /// The client does not know yet where it belongs.
    unmarked: bool,
}

impl WrittenSticky {
    pub(super) fn read(
        self,
        at: Range<usize>,
        section: &Section<'_>,
        cx: &mut ParseContext<'_>,
    ) -> Option<Sticky> {
        let mut refuse = |at, message: &str, hint: &str| {
            let problem = Problem::error("E0002", section.at(at), message).hint(hint);
            cx.problems.push(problem);
            None
        };
        match (self.cookie, self.hash) {
            (Some(cookie), None) => {
                let name = cookie.get_ref();
                // A token (RFC 6265 §4.1.1).
                let is_token = !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                if !is_token {
                    return refuse(
                        cookie.span(),
                        "not the name of a cookie",
                        "letters, digits, `-`, `_` and `.`: \"lane\"",
                    );
                }
                Some(Sticky::Cookie {
                    name: name.as_str().into(),
                    max_age: self.max_age.map(|age| age.0.as_secs()),
                })
            }
            (None, Some(template)) => {
                let at = section.at(template.span());
                cx.captured(&at, &template.get_ref().captures());
                Some(Sticky::Hash(template.into_inner()))
            }
            (Some(_), Some(hash)) => refuse(
                hash.span(),
                "a client is kept by a cookie or by a hash",
                "keep one of `cookie` and `hash`",
            ),
            (None, None) => refuse(
                at,
                "`sticky` needs `cookie` or `hash`",
                "sticky = { cookie = \"lane\" }",
            ),
        }
    }
}

/// Checks the shares.
pub(super) fn read_lanes(
    lanes: &Spanned<Vec<WrittenLane>>,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Vec<(Arc<str>, u32)> {
    let mut refuse = |at, message: String, hint: &str| {
        let problem = Problem::error("E0002", section.at(at), message).hint(hint);
        cx.problems.push(problem);
    };
    let written = lanes.get_ref();
    if written.len() < 2 || written.len() > LANES_MAX {
        let message = format!("traffic is shared out between 2 to {LANES_MAX} upstreams");
        refuse(lanes.span(), message, "`upstream` names one alone");
    }
    for lane in written {
        if *lane.weight.get_ref() > WEIGHT_MAX {
            let message = format!("a weight is a number from 0 to {WEIGHT_MAX}");
            refuse(lane.weight.span(), message, "0 takes no new clients");
        }
    }
    if !written.is_empty() && written.iter().all(|lane| *lane.weight.get_ref() == 0) {
        let message = "every weight is 0".to_owned();
        refuse(lanes.span(), message, "give one of them a weight");
    }
    let mut read: Vec<(Arc<str>, u32)> = Vec::new();
    for lane in written {
        if let Some(name) = cx.upstream(section, &lane.upstream) {
            if read.iter().any(|(known, _)| *known == name) {
                let at = section.at(lane.upstream.span());
                let problem = Problem::error("E0002", at, format!("`{name}` stands twice"));
                cx.problems.push(problem.hint("add the weights"));
            }
            read.push((name, *lane.weight.get_ref()));
        }
    }
    read
}

impl Lane {
    pub(super) fn new(upstream: Arc<Upstream>, tally: Tally, weight: u32) -> Self {
        let mark = format!("{:016x}", hash(upstream.name().as_bytes())).into();
        Self {
            upstream,
            tally,
            weight,
            mark,
        }
    }
}

impl Split {
    /// There is at least one lane.
    pub(super) fn new(lanes: Vec<Lane>, sticky: Option<Sticky>) -> Self {
        Self {
            lanes: lanes.into(),
            sticky,
        }
    }

    /// The upstream of a request; `None` if there is none at all. One without a healthy endpoint
    /// is passed over if another has one.
    pub(super) fn pick(&self, x: &Exchange<'_>) -> Option<Picked<'_>> {
        let [first, _, ..] = &*self.lanes else {
            return self.lanes.first().map(|lane| Picked {
                lane,
                unmarked: false,
            });
        };
        let healthy = |lane: &&Lane| lane.upstream.has_healthy_endpoint();
        let lot = match &self.sticky {
            Some(Sticky::Cookie { name, .. }) => {
                let mark = cookie(x, name);
                let known = self
                    .lanes
                    .iter()
                    .find(|lane| mark == Some(lane.mark.as_bytes()));
                if let Some(lane) = known.filter(healthy) {
                    return Some(Picked {
                        lane,
                        unmarked: false,
                    });
                }
                None
            }
            Some(Sticky::Hash(template)) => {
                let mut key = Vec::new();
                template.render(x, Escape::Plain, &mut key);
                Some(hash(&key))
            }
            None => None,
        };
        let total = |may: &dyn Fn(&&Lane) -> bool| -> u64 {
            let lanes = self.lanes.iter().filter(may);
            lanes.map(|lane| u64::from(lane.weight)).sum()
        };
        let any = |_: &&Lane| true;
        let may: &dyn Fn(&&Lane) -> bool = if total(&healthy) > 0 { &healthy } else { &any };
        let total = total(may).max(1);
        let mut left = match lot {
            // The high bits: which share of all hashes it lies in.
            Some(lot) => u64::try_from((u128::from(lot) * u128::from(total)) >> 64).unwrap_or(0),
            None => x.locals.keep::<Chance>().below(total),
        };
        let lane = self.lanes.iter().filter(may).find(|lane| {
            let weight = u64::from(lane.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        Some(Picked {
            lane: lane.unwrap_or(first),
            unmarked: matches!(self.sticky, Some(Sticky::Cookie { .. })),
        })
    }

    /// Tells the client where it belongs, if it does not know.
    pub(super) fn mark(&self, picked: &Picked<'_>, x: &Exchange<'_>, response: &mut Response) {
        let Some(Sticky::Cookie { name, max_age }) = &self.sticky else {
            return;
        };
        if !picked.unmarked {
            return;
        }
        let mark = &picked.lane.mark;
        let mut cookie = format!("{name}={mark}; Path=/; HttpOnly; SameSite=Lax");
        if let Some(seconds) = max_age {
            cookie.push_str("; Max-Age=");
            cookie.push_str(&seconds.to_string());
        }
        if x.connection.secure {
            cookie.push_str("; Secure");
        }
        response.headers.append(&name::SET_COOKIE, cookie);
    }
}

/// The value of a cookie.
fn cookie<'x>(x: &'x Exchange<'_>, wanted: &str) -> Option<&'x [u8]> {
    let lines = x.request.headers.get_all(&name::COOKIE);
    lines
        .flat_map(|line| line.split(|&byte| byte == b';'))
        .find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(wanted.as_bytes())?;
            value.strip_prefix(b"=")
        })
}
