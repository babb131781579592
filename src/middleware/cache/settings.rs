//! What a `cache` table may say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::numbers::Numbers;
use super::purge::Purge;
use super::shelf::{self, Shelf};
use super::sink::{DiskNumbers, Tier};
use super::store::Store;
use super::{Cache, Link};
use crate::build::{
    BuildContext, ByteSize, HumanDuration, Kind, Network, ParseContext, Problem, Section, Settings,
    Span, keys,
};
use crate::exchange::Middleware;
use crate::http::cache::{Grace, Policy};
use crate::sys::temporary;

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
disk = { path = ".", max_size = "4GiB", min_body = "1MiB" }    # for what is large
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
        "disk": "table" = "(none)",
            "where large responses are kept instead of in memory; what is there ends with the \
             process";
        "disk.path": "path", "a folder on that disk, in which files without names are made";
        "disk.max_size": "size",
            "how much is kept there; the largest response that is, is a quarter of it";
        "disk.min_body": "size" = r#""1MiB""#,
            "from which length on responses are kept there; each has a file open";
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
    #[serde(default)]
    disk: Option<WrittenDisk>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDisk {
    path: Spanned<PathBuf>,
    max_size: Spanned<ByteSize>,
    /// What memory is too good for, and where opening a file is no matter any more.
    #[serde(default)]
    min_body: Option<Spanned<ByteSize>>,
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

const DISK_BODY_MIN: u64 = 1 << 20;
/// How many files may be open for one cache: half of what a daemon may have open by the usual
/// limit of a service.
const DISK_FILES_MAX: u64 = 8192;

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
    disk: Option<DiskSettings>,
}

#[derive(Debug)]
struct DiskSettings {
    path: PathBuf,
    span: Span,
    size: u64,
    body_min: u64,
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
    let disk = written.disk.as_ref();
    let disk = disk.map(|written| disk_settings(written, section, cx));
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
            disk,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

fn disk_settings(
    written: &WrittenDisk,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> DiskSettings {
    let min_body = written.min_body.as_ref();
    let (size, body_min) = (
        written.max_size.get_ref().0,
        min_body.map_or(DISK_BODY_MIN, |min_body| min_body.get_ref().0),
    );
    if body_min > shelf::largest(size) {
        let message = "nothing would be kept on disk";
        let hint = "give it a `max_size` of four times `min_body` at least";
        cx.refuse(section, written.max_size.span(), message, hint);
    } else if body_min == 0 || size / body_min > DISK_FILES_MAX {
        let at = min_body.map_or_else(|| written.max_size.span(), Spanned::span);
        let message = "too many files could be open";
        let least = ByteSize(size.div_ceil(DISK_FILES_MAX).next_multiple_of(1 << 10));
        let hint = format!("each response has one: write a `min_body` of \"{least}\" or more");
        cx.refuse(section, at, message, hint);
    }
    DiskSettings {
        path: written.path.get_ref().clone(),
        span: section.at(written.path.span()),
        size,
        body_min,
    }
}

impl DiskSettings {
    fn tier(&self, cx: &mut BuildContext<'_>) -> Result<Tier, Box<Problem>> {
        let directory = cx.path(&self.path);
        temporary::file(&directory).map_err(|error| {
            let message = format!("cannot make a file in {}: {error}", directory.display());
            let problem = Problem::error("E0201", self.span.clone(), message);
            Box::new(problem.hint("it is a folder that the daemon's user may write to"))
        })?;
        let name = Arc::clone(&cx.name);
        Ok(Tier {
            shelf: cx
                .carry_over
                .keep(&name, || Shelf::new(self.size, self.body_min)),
            directory: directory.into(),
            size: self.size,
            body_min: self.body_min,
            numbers: DiskNumbers::new(&cx.carry_over.metrics, &name),
        })
    }
}

impl Settings<Box<dyn Middleware>> for CacheSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let (size, entry_max) = (self.size, self.entry_max);
        let store = cx.carry_over.keep(&cx.name, || Store::new(size, entry_max));
        let disk = self.disk.as_ref();
        let disk = disk.map(|disk| disk.tier(cx)).transpose()?;
        let networks = self.purge_from.iter().map(|network| network.0);
        Ok(Box::new(Link(Arc::new(Cache {
            name: (*cx.name).into(),
            store,
            size,
            entry_max,
            disk,
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
