//! `metrics`: what the daemon counts, in the text formats of Prometheus.
//!
//! Every label value comes from the configuration or from a closed vocabulary, never from the
//! wire: a client cannot make the answer longer.

mod collect;
mod process;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tracing::error;

use self::collect::Numbers;
use super::Handler;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::clock;
use crate::exchange::{Exchange, Response, Why};
use crate::http::{Headers, Method, StatusCode, accept, name};
use crate::telemetry;

/// What the daemon counts.
pub const KIND: Kind<Handler> = Kind {
    name: "metrics",
    summary: "Tells what the daemon counts, for Prometheus",
    example: r"
process = true            # memory, processor time and file descriptors too
",
    keys: keys! {
        "process": "true or false" = "true",
            "memory, processor time and file descriptors of the process too";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "yes")]
    process: bool,
}

const fn yes() -> bool {
    true
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let settings: Written = cx.settings(section)?;
    Some(Box::new(settings))
}

impl Settings<Handler> for Written {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        Ok(Handler::Metrics(Box::new(Metrics {
            metrics: Arc::clone(&cx.carry_over.metrics),
            process: self.process,
        })))
    }
}

/// Answers with everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    metrics: Arc<telemetry::Metrics>,
    process: bool,
}

/// One of the two text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `text/plain; version=0.0.4`, which every scraper reads.
    Prometheus,
    /// `OpenMetrics` 1.0, for whom asks for it.
    OpenMetrics,
}

impl Metrics {
    /// Answers GET and HEAD. With ten thousand routes the text has many megabytes, so a thread of
    /// the pool makes it; where the pool is full the worker does: this is when it is wanted most.
    pub(super) async fn handle(&self, x: &mut Exchange<'_>) -> Response {
        if !matches!(x.request.method, Method::Get | Method::Head) {
            return Response::error(StatusCode::METHOD_NOT_ALLOWED, Why::MethodNotAllowed)
                .with(&name::ALLOW, "GET, HEAD");
        }
        let format = Format::wanted(&x.request.headers);
        let scrape = self.scrape(format, x.generation);
        let text = match x.locals.blocking.run(scrape).await {
            Ok(text) => text,
            Err(_full) => self.scrape(format, x.generation)(),
        };
        let Some(text) = text else {
            return Response::error(StatusCode::INTERNAL_SERVER_ERROR, Why::Panic);
        };
        Response::typed(StatusCode::OK, format.media_type(), text)
            .with(&name::CACHE_CONTROL, "no-store")
            .with(&name::VARY, "Accept")
    }

    fn scrape(
        &self,
        format: Format,
        generation: u64,
    ) -> impl FnOnce() -> Option<String> + Send + use<> {
        let metrics = Arc::clone(&self.metrics);
        let uptime = clock::uptime();
        let process = self.process;
        move || format.write(&metrics, generation, uptime, process)
    }
}

impl Format {
    /// Scrapers name the version with the type, so ranges are compared without parameters.
    fn wanted(headers: &Headers) -> Self {
        let asked = |essence: &str| {
            let members = headers.list(&name::ACCEPT).filter_map(accept::weighted);
            let qualities = members.filter_map(|(range, quality)| {
                let range = range.split(|&byte| byte == b';').next()?;
                let named = range.trim_ascii().eq_ignore_ascii_case(essence.as_bytes());
                named.then_some(quality)
            });
            qualities.max().unwrap_or_default()
        };
        if asked("application/openmetrics-text") > asked("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The whole text; `None` if the encoder fails, which it does for no number there is.
    fn write(
        self,
        metrics: &telemetry::Metrics,
        generation: u64,
        uptime: Duration,
        process: bool,
    ) -> Option<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Numbers::read(metrics, generation, uptime)));
        if process {
            registry.register_collector(Box::new(process::Process::read(uptime)));
        }
        let mut written = String::new();
        let result = match self {
            Self::Prometheus => prometheus_text::encode(&mut written, &registry),
            Self::OpenMetrics => text::encode(&mut written, &registry),
        };
        match result {
            Ok(()) => Some(written),
            Err(failed) => {
                error!(%failed, "the metrics cannot be written");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
