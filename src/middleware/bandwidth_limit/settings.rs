//! What a `bandwidth_limit` table may say.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::meters::Meters;
use super::pace::Pace;
use super::{BandwidthLimit, Direction};
use crate::build::{
    BuildContext, ByteRate, ByteSize, Kind, ParseContext, Problem, Section, Settings, keys,
};
use crate::exchange::Middleware;
use crate::middleware::request_key::{Key, Missing, Words};

/// Paces content.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "bandwidth_limit",
    summary: "Lets content go at so many bytes a second",
    example: r#"
download = "1MiB/s"       # to clients
download_burst = "4MiB"   # at once, at first and after a pause
upload = "256KiB/s"       # from clients
upload_burst = "256KiB"
key = "client_ip"         # who shares the rate; left out, each exchange has its own
missing = "client_ip"     # who lacks a part of the key: by address, or "skip", or "share"
"#,
    keys: keys! {
        "download": "rate of bytes" = "(as fast as may be)",
            "how fast content of responses goes: `1MiB/s`";
        "download_burst": "size" = "(what `download` gives in a second)",
            "how much may go at once, at first and after a pause; a quarter of a second's at least";
        "upload": "rate of bytes" = "(as fast as may be)",
            "how fast content of requests is taken";
        "upload_burst": "size" = "(what `upload` gives in a second)",
            "how much may be taken at once, at first and after a pause";
        "key": "word or list of words" = "(none)",
            "who shares the rate, in the words of `rate_limit`; left out, each exchange has the \
             rate for itself";
        "missing": "\"client_ip\", \"skip\" or \"share\"" = r#""client_ip""#,
            "what stands for a part of the key that a request lacks: its address, nothing (it \
             is not paced), or one rate for all of them";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    download: Option<Spanned<ByteRate>>,
    #[serde(default)]
    download_burst: Option<Spanned<ByteSize>>,
    #[serde(default)]
    upload: Option<Spanned<ByteRate>>,
    #[serde(default)]
    upload_burst: Option<Spanned<ByteSize>>,
    #[serde(default)]
    key: Option<Spanned<Words>>,
    #[serde(default)]
    missing: Option<Spanned<Missing>>,
}

#[derive(Debug)]
struct BandwidthLimitSettings {
    download: Option<Pace>,
    upload: Option<Pace>,
    key: Option<Key>,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    // What can be read beside its mistakes may have others.
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let mut pace =
        |rate: &Option<_>, burst: &Option<_>| pace(rate.as_ref(), burst.as_ref(), section, cx);
    let download = pace(&written.download, &written.download_burst);
    let upload = pace(&written.upload, &written.upload_burst);
    if cx.problems.len() == before && download.is_none() && upload.is_none() {
        let message = "neither `download` nor `upload` is limited";
        let problem = Problem::error("E0004", section.span(), message);
        cx.problems
            .push(problem.hint("write one of them like \"1MiB/s\""));
    }
    let missing = written.missing.as_ref();
    if let Some(written_missing) = missing
        && written.key.is_none()
    {
        let message = "there is no `key` of which anything could be missing";
        let hint = "name one, or leave this out: each exchange has the rate for itself";
        cx.refuse(section, written_missing.span(), message, hint);
    }
    let key = written.key.as_ref().map(|key| {
        let parts = key.get_ref().parts(key.span(), section, cx);
        Key::new(
            parts,
            missing.map_or_else(Missing::default, |missing| *missing.get_ref()),
        )
    });
    let right = cx.problems.len() == before;
    right.then(|| {
        Box::new(BandwidthLimitSettings {
            download,
            upload,
            key,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

fn pace(
    rate: Option<&Spanned<ByteRate>>,
    burst: Option<&Spanned<ByteSize>>,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Pace> {
    let Some(written) = rate else {
        if let Some(burst) = burst {
            let message = "there is no rate that this could be the burst of";
            cx.refuse(section, burst.span(), message, "write the rate beside it");
        }
        return None;
    };
    let rate = *written.get_ref();
    if rate.0 == 0 {
        let message = "at this rate nothing would ever end";
        let hint = "leave the middleware out for no limit";
        cx.refuse(section, written.span(), message, hint);
        return None;
    }
    let pace = Pace::new(rate, burst.map(|burst| burst.get_ref().0));
    if pace.is_none()
        && let Some(burst) = burst
    {
        let least = ByteSize(Pace::burst_min(rate));
        let message = format!("a burst of {rate} is a quarter of a second's at least");
        let hint = format!("write \"{least}\" or more, or leave it out");
        cx.refuse(section, burst.span(), message, hint);
    }
    pace
}

impl Settings<Box<dyn Middleware>> for BandwidthLimitSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let mut direction = |word: &'static str, pace: Option<Pace>| {
            let pace = pace?;
            let name = Arc::clone(&cx.name);
            let labels = || vec![("direction", word.into()), ("name", (&*name).into())];
            let metrics = &cx.carry_over.metrics;
            let bytes = metrics.count(
                "httpserverd_bandwidth_limit_bytes_total",
                "Bytes of content that a rate was counted for.",
                labels(),
            );
            let waited = metrics.count(
                "httpserverd_bandwidth_limit_waited_total",
                "Bodies that had to wait for their rate.",
                labels(),
            );
            let meters = cx.carry_over.keep(&format!("{name} {word}"), Meters::new);
            Some(Arc::new(Direction {
                pace,
                meters,
                bytes,
                waited,
            }))
        };
        Ok(Box::new(BandwidthLimit {
            download: direction("download", self.download),
            upload: direction("upload", self.upload),
            key: self.key.clone(),
        }))
    }
}
