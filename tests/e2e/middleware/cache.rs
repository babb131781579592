//! `cache` between a raw client and a scripted origin.
//!
//! Most behaviours are a few lines of text in `cache/*.txt`, one URL a case:
//!
//! ```text
//! # what holds
//! > GET | If-None-Match: "a"         the client asks
//! @ If-None-Match: "a" | !Range      the origin must be asked
//! @= 200 | Cache-Control: max-age=60 | : the body      and answers
//! < 200 | Age: 0 | !X | : the body   what the client must get, with and without these fields
//! ```
//!
//! Without a line `@` the origin must not be asked. `@broken` answers with what is no HTTP. Time
//! passes by `Age`: what comes old need not be waited for.

mod coalescing;
mod disk;
mod script;
mod upkeep;

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

/// A daemon whose routes to these servers have a cache with these settings.
fn cached(server: &Upstream, settings: &str) -> Daemon {
    Daemon::start(&config(server, settings))
}

fn config(server: &Upstream, settings: &str) -> String {
    format!(
        "[server]\nworkers = 2\ndrain_timeout = \"1s\"\nmiddleware = [\"log\"]\n\
         [middleware.log]\ntype = \"access_log\"\noutput = \"stderr\"\n\
         format = \"{{request.method}} {{request.uri}} {{response.status}}\"\n\
         [middleware.pages]\ntype = \"cache\"\n{settings}\n\
         [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.backend]\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/*\"\nmiddleware = [\"pages\"]\n\
         proxy = {{ upstream = \"backend\" }}\n",
        server.address
    )
}
