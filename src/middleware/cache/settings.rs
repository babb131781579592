//! What a `cache` table may say.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::numbers::Numbers;
use super::purge::Purge;
use super::store::Store;
use super::{Cache, Link};
use crate::build::{
    BuildContext, ByteSize, HumanDuration, Kind, Network, ParseContext, Problem, Section, Settings,
    keys,
};
use crate::exchange::Middleware;
use crate::http::cache::{Grace, Policy};

/// Keeps responses and answers with them.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "cache",
    summary: "Keeps responses in memory and answers with them, as RFC 9111 allows",
    example: r#"
size = "256MiB"                       # of all that is kept
max_entry = "8MiB"                    # what is larger is passed on and not kept
default_lifetime = "10s"              # of responses that say nothing
heuristic_max = "1h"                  # or a tenth of the time since `Last-Modified`, up to this
stale_while_revalidate = "30s"        # answer at once with what is stale, and fetch behind it
stale_if_error = "1h"                 # rather an old page than an error
client_directives = false             # whoever asks for more must wait like all others
coalesce_wait = "10s"                 # for the answer to somebody else's request
purge_from = ["127.0.0.1"]            # whose PURGE is obeyed
"#,
    keys: keys! {
        "size": "size" = r#""128MiB""#,
            "how much is kept; what is asked for least often makes way";
        "max_entry": "size" = r#""8MiB""#,
            "the largest response that is kept; at most a quarter of `size`";
        "default_lifetime": "duration" = r#""0s""#,
            "how long a response is fresh that does not say so itself, if its status allows it";
        "heuristic_max": "duration" = r#""0s""#,
            "guess up to this from `Last-Modified`: a tenth of the time since then";
        "stale_while_revalidate": "duration" = r#""0s""#,
            "how long a stale response answers while a new one is fetched, if it does not say";
        "stale_if_error": "duration" = r#""0s""#,
            "how long a stale response answers instead of an error, if it does not say";
        "client_directives": "true or false" = "true",
            "whether `Cache-Control` of a client counts: `no-cache`, `max-age`, `only-if-cached` …";
        "coalesce_wait": "duration" = r#""5s""#,
            "how long a request waits for the answer to the same one before it asks for itself";
        "purge_from": "list of networks" = "[]",
            "who may drop what is kept, with `PURGE`; nobody by default";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What a small site has, and a small machine can spare.
    #[serde(default)]
    size: Option<Spanned<ByteSize>>,
    /// Pages, scripts and pictures; not films and archives.
    #[serde(default)]
    max_entry: Option<Spanned<ByteSize>>,
    #[serde(default)]
    default_lifetime: HumanDuration,
    #[serde(default)]
    heuristic_max: HumanDuration,
    #[serde(default)]
    stale_while_revalidate: HumanDuration,
    #[serde(default)]
    stale_if_error: HumanDuration,
    #[serde(default = "yes")]
    client_directives: bool,
    /// As long as a visitor waits for a page before he asks again.
    #[serde(default = "coalesce_wait")]
    coalesce_wait: HumanDuration,
    #[serde(default)]
    purge_from: Vec<Network>,
}

const fn yes() -> bool {
    true
}

const fn coalesce_wait() -> HumanDuration {
    HumanDuration(Duration::from_secs(5))
}

const SIZE: u64 = 128 << 20;
const MAX_ENTRY: u64 = 8 << 20;
/// Below this it is hardly a cache, and more likely a missing unit.
const SIZE_MIN: u64 = 64 << 10;
/// One response shall not push all others out.
const ENTRIES_MIN: u64 = 4;

/// Read and right.
#[derive(Debug)]
struct CacheSettings {
    size: u64,
    entry_max: u64,
    policy: Policy,
    grace: Grace,
    client_directives: bool,
    coalesce_wait: Duration,
    purge_from: Vec<Network>,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let size = written.size.as_ref().map_or(SIZE, |size| size.get_ref().0);
    if let Some(written) = &written.size
        && size < SIZE_MIN
    {
        cx.refuse(
            section,
            written.span(),
            "a cache of this size keeps next to nothing",
            "give it \"64KiB\" at least; a page with its head takes some 10 KiB",
        );
    }
    let entry_max = match &written.max_entry {
        None => MAX_ENTRY.min(size / ENTRIES_MIN),
        Some(written) => {
            let entry_max = written.get_ref().0;
            if entry_max == 0 {
                cx.refuse(
                    section,
                    written.span(),
                    "nothing is kept if no response may be larger than 0",
                    "write the size of the largest response that is worth keeping",
                );
            } else if entry_max > size / ENTRIES_MIN {
                cx.refuse(
                    section,
                    written.span(),
                    "one response could push all others out",
                    "give the cache a `size` of four times `max_entry` at least",
                );
            }
            entry_max
        }
    };
    (cx.problems.len() == before).then(|| {
        Box::new(CacheSettings {
            size,
            entry_max,
            policy: Policy {
                heuristic_max: written.heuristic_max.0.as_secs(),
                default_lifetime: written.default_lifetime.0.as_secs(),
            },
            grace: Grace {
                while_revalidate: written.stale_while_revalidate.0.as_secs(),
                if_error: written.stale_if_error.0.as_secs(),
            },
            client_directives: written.client_directives,
            coalesce_wait: written.coalesce_wait.0,
            purge_from: written.purge_from,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for CacheSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let (size, entry_max) = (self.size, self.entry_max);
        let store = cx.carry_over.keep(&cx.name, || Store::new(size, entry_max));
        let networks = self.purge_from.iter().map(|network| network.0);
        Ok(Box::new(Link(Arc::new(Cache {
            name: (*cx.name).into(),
            store,
            size,
            entry_max,
            policy: self.policy,
            grace: self.grace,
            client_directives: self.client_directives,
            wait_max: self.coalesce_wait,
            purge: (!self.purge_from.is_empty()).then(|| Purge {
                from: networks.collect(),
            }),
            numbers: Numbers::new(&cx.carry_over.metrics, &cx.name),
        }))))
    }
}
