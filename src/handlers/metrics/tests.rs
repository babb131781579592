//! What a scraper reads.

use super::*;
use crate::exchange::Body;
use crate::exchange::testing::TestRequest;
use crate::telemetry::WorkerCounters;

/// An answer made by hand: media type and text.
fn answer(metrics: &Arc<telemetry::Metrics>, accept: Option<&str>) -> (String, String) {
    let handler = Metrics {
        metrics: Arc::clone(metrics),
        process: true,
    };
    let mut request = TestRequest::get("/metrics");
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let response = request.run(async |x| handler.handle(x).await);
    assert_eq!(response.status, StatusCode::OK);
    let media_type = response.headers.get_str(&name::CONTENT_TYPE).unwrap();
    let Body::Bytes(text) = &response.body else {
        panic!("{:?}", response.body);
    };
    let text = String::from_utf8(text.to_vec()).unwrap();
    (media_type.to_owned(), text)
}

#[test]
fn counters_of_workers_and_of_kinds_are_told_with_their_labels() {
    let metrics = Arc::<telemetry::Metrics>::default();
    let workers = [(); 2].map(|()| Arc::<WorkerCounters>::default());
    workers[1].connections_accepted.add(3);
    workers[0].responses[1].add(5);
    workers[1].responses[1].add(6);
    workers[0].whys.of(Why::Refused.number()).unwrap().add(2);
    metrics.set_workers(workers.into());
    let name = vec![("name", "a \"b\"\\".into())];
    let count = metrics.count("httpserverd_x_total", "X.", name);
    count.add(0, 7);
    let route = metrics.routes.keep("api");
    route.observe(0, 1, Duration::from_micros(2_500));
    let (media_type, text) = answer(&metrics, None);
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# TYPE httpserverd_connections_accepted_total counter",
        "httpserverd_connections_accepted_total{worker=\"0\"} 0",
        "httpserverd_connections_accepted_total{worker=\"1\"} 3",
        "httpserverd_responses_total{class=\"2xx\"} 11",
        "httpserverd_exchanges_failed_total{why=\"refused\"} 2",
        "httpserverd_x_total{name=\"a \\\"b\\\"\\\\\"} 7",
        "# HELP httpserverd_x_total X.",
        "httpserverd_route_responses_total{route=\"api\",class=\"2xx\"} 1",
        "httpserverd_route_duration_seconds_bucket{route=\"api\",le=\"0.001\"} 0",
        "httpserverd_route_duration_seconds_bucket{route=\"api\",le=\"0.0025\"} 1",
        "httpserverd_route_duration_seconds_bucket{route=\"api\",le=\"+Inf\"} 1",
        "httpserverd_route_duration_seconds_sum{route=\"api\"} 0.0025",
        "httpserverd_generation 1",
    ] {
        let there = text
            .lines()
            .any(|own| own.replace("le=\"1e-3\"", "le=\"0.001\"") == line);
        assert!(there, "no `{line}` in\n{text}");
    }
    assert!(!text.contains("EOF"));
    assert!(text.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn open_metrics_is_for_whom_asks_for_it() {
    let metrics = Arc::<telemetry::Metrics>::default();
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, expected) in [
        (None, plain),
        (Some("*/*"), plain),
        (Some("text/html"), plain),
        (Some("application/openmetrics-text"), open),
        (
            Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"),
            open,
        ),
        (
            Some("application/openmetrics-text;q=0.2,text/plain;q=0.3"),
            plain,
        ),
    ] {
        let (media_type, text) = answer(&metrics, accept);
        assert_eq!(media_type, expected, "{accept:?}");
        let ends = text.ends_with("# EOF\n");
        assert_eq!(ends, expected == open, "{text}");
        let family = "# TYPE httpserverd_panics counter";
        assert_eq!(text.contains(family), expected == open, "{text}");
    }
}

#[test]
fn only_reading_is_allowed() {
    let handler = Metrics {
        metrics: Arc::default(),
        process: false,
    };
    let mut request = TestRequest::new(Method::Post, "/metrics");
    let response = request.run(async |x| handler.handle(x).await);
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers.get_str(&name::ALLOW), Some("GET, HEAD"));
}
