//! From counters to families of numbers, and from those to the encoder's.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::exchange::Why;
use crate::telemetry::metrics::{FamilyReading, Label, Metrics, Reading, Shape};
use crate::telemetry::{Counter, WorkerCounters};

/// Everything that was counted when it was read.
#[derive(Debug)]
pub(super) struct Numbers(Vec<FamilyReading>);

/// What each worker counts: the name, what it says, its shape, and where it stands.
type OfWorker = (
    &'static str,
    &'static str,
    Shape,
    fn(&WorkerCounters) -> &Counter,
);

const OF_WORKERS: [OfWorker; 10] = [
    counter(
        "httpserverd_connections_accepted_total",
        "Connections accepted.",
        |own| &own.connections_accepted,
    ),
    (
        "httpserverd_connections_open",
        "Connections open now.",
        Shape::Gauge,
        |own| &own.connections_open,
    ),
    counter(
        "httpserverd_connections_refused_total",
        "Connections refused because there were too many.",
        |own| &own.connections_refused,
    ),
    counter(
        "httpserverd_exchanges_begun_total",
        "Requests that something began to answer.",
        |own| &own.exchanges_begun,
    ),
    counter(
        "httpserverd_exchanges_ended_total",
        "Exchanges that ended, in whatever way.",
        |own| &own.exchanges_ended,
    ),
    counter(
        "httpserverd_panics_total",
        "Exchanges whose handler or middleware panicked.",
        |own| &own.panics,
    ),
    counter(
        "httpserverd_requests_refused_total",
        "Requests refused before they were routed.",
        |own| &own.requests_refused,
    ),
    counter(
        "httpserverd_http2_streams_total",
        "HTTP/2 streams that brought a request.",
        |own| &own.http2_streams,
    ),
    counter(
        "httpserverd_http2_resets_total",
        "RST_STREAM frames that HTTP/2 clients sent.",
        |own| &own.http2_resets,
    ),
    counter(
        "httpserverd_http2_floods_total",
        "HTTP/2 connections ended because of too many frames that ask for nothing.",
        |own| &own.http2_floods,
    ),
];

const fn counter(
    name: &'static str,
    help: &'static str,
    of: fn(&WorkerCounters) -> &Counter,
) -> OfWorker {
    (name, help, Shape::Counter, of)
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Numbers {
    pub(super) fn read(metrics: &Metrics, generation: u64, uptime: Duration) -> Self {
        let workers = metrics.workers();
        let mut families = Vec::new();
        for (name, help, shape, counter) in OF_WORKERS {
            let series = workers.iter().enumerate().map(|(worker, counters)| {
                let worker: Label = ("worker", worker.to_string().into());
                (vec![worker], single(counter(counters).get()))
            });
            families.push(family(name, help, shape, series));
        }
        let sum = |counter: &dyn Fn(&WorkerCounters) -> u64| {
            single(workers.iter().map(|counters| counter(counters)).sum())
        };
        let classes = CLASSES.into_iter().enumerate().map(|(at, class)| {
            let class: Label = ("class", class.into());
            (vec![class], sum(&|counters| counters.responses[at].get()))
        });
        families.push(family(
            "httpserverd_responses_total",
            "Responses by class of status.",
            Shape::Counter,
            classes,
        ));
        let whys = Why::ALL.iter().map(|why| {
            let count =
                |counters: &WorkerCounters| counters.whys.of(why.number()).map_or(0, Counter::get);
            let word: Label = ("why", why.as_str().into());
            (vec![word], sum(&count))
        });
        families.push(family(
            "httpserverd_exchanges_failed_total",
            "Exchanges that went wrong, by the word the access log has for it.",
            Shape::Counter,
            whys,
        ));
        for (name, help, number) in [
            (
                "httpserverd_generation",
                "The number of the configuration that answered.",
                generation,
            ),
            (
                "httpserverd_uptime_seconds",
                "How long the daemon has run.",
                uptime.as_secs(),
            ),
        ] {
            let one = std::iter::once((Vec::new(), single(number)));
            families.push(family(name, help, Shape::Gauge, one));
        }
        families.extend(
            metrics
                .routes
                .read()
                .into_iter()
                .filter(|of| !of.series.is_empty()),
        );
        families.extend(metrics.read());
        Self(families)
    }
}

fn family(
    name: &'static str,
    help: &'static str,
    shape: Shape,
    series: impl Iterator<Item = (Vec<Label>, Reading)>,
) -> FamilyReading {
    FamilyReading {
        name,
        help,
        shape,
        series: series.collect(),
    }
}

fn single(number: u64) -> Reading {
    Reading {
        number: number.cast_signed(),
        buckets: Vec::new(),
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            encode_family(family, &mut encoder)?;
        }
        Ok(())
    }
}

fn encode_family(family: &FamilyReading, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (name, kind) = match family.shape {
        // The encoder writes the ending itself, as each format wants it.
        Shape::Counter => (
            family.name.strip_suffix("_total").unwrap_or(family.name),
            MetricType::Counter,
        ),
        Shape::Gauge => (family.name, MetricType::Gauge),
        Shape::Histogram { .. } => (family.name, MetricType::Histogram),
    };
    let mut metric = encoder.encode_descriptor(name, family.help, None, kind)?;
    for (labels, reading) in &family.series {
        if labels.is_empty() {
            encode_series(family.shape, reading, &mut metric)?;
        } else {
            let labels = Labels(labels);
            encode_series(family.shape, reading, &mut metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_series(shape: Shape, reading: &Reading, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match shape {
        Shape::Counter => {
            metric.encode_counter::<NoLabelSet, _, u64>(&reading.number.cast_unsigned(), None)
        }
        Shape::Gauge => metric.encode_gauge(&reading.number),
        Shape::Histogram { bounds, scale } => {
            let bounds = bounds.iter().map(|bound| shown(*bound, scale));
            let bounds = bounds.chain(std::iter::once(f64::INFINITY));
            let buckets: Vec<(f64, u64)> = bounds.zip(reading.buckets.iter().copied()).collect();
            let sum = shown(reading.number.cast_unsigned(), scale);
            let count = reading.buckets.iter().sum();
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
    }
}

/// In the unit that is shown. Divided where that is the exact way: 2500 µs are 0.0025 s and not
/// 0.0024999999999999996.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum beyond 2^53 is exact enough"
)]
fn shown(number: u64, scale: f64) -> f64 {
    if scale < 1.0 {
        number as f64 / (1.0 / scale).round()
    } else {
        number as f64 * scale
    }
}

#[derive(Debug)]
struct Labels<'l>(&'l [Label]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0 {
            (*name, &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
