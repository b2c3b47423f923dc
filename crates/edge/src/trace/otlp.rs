//! Spans as OTLP over HTTP in JSON (OpenTelemetry Protocol 1, `POST /v1/traces`), which every collector
//! takes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::Body;
use http::{HeaderValue, Request, Response, header};
use serde_json::{Value, json};
use tower_service::Service;

use super::queue::Queue;
use super::{Counters, Name, Span};

/// The most spans of one message.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// The longest answer of a collector that is read.
const MAX_ANSWER: u64 = 64 << 10;
/// How long a collector may take, where nobody says: as the protocol has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends spans to a collector; a task of its own runs it.
#[derive(Debug)]
pub struct Exporter {
    queue: Arc<Queue>,
    counters: Counters,
    service: Name,
    timeout: Duration,
}

/// What is recorded after it is dropped, and not sent.
impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Exporter {
    pub(super) fn new(queue: Arc<Queue>, counters: Counters, service: Name) -> Self {
        Self { queue, counters, service, timeout: TIMEOUT }
    }

    /// How long a collector may take for one message, its answer included; what it has not taken by then is
    /// lost and counted. Default 10 s. Bound: more than zero. Danger: spans wait meanwhile, and fill the queue.
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Sends what is recorded to `collector`, a client of its base URL, until nobody records any more.
    /// A batch that it does not take in time is lost and counted: what is new matters more.
    pub async fn run<S>(self, collector: S)
    where
        S: Service<Request<Body>, Response = Response<Body>>,
        S::Error: Into<BoxError>,
    {
        self.run_until(collector, std::future::pending()).await;
    }

    /// As [`Exporter::run`], until `end` comes: then it sends what waits, and nothing is recorded any more.
    pub async fn run_until<S, E>(self, mut collector: S, end: E)
    where
        S: Service<Request<Body>, Response = Response<Body>>,
        S::Error: Into<BoxError>,
        E: Future<Output = ()>,
    {
        let mut end = std::pin::pin!(end);
        let mut ends = false;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = self.queue.wait(&mut batch, BATCH) => {
                    if batch.is_empty() {
                        return;
                    }
                }
                () = &mut end, if !ends => {
                    ends = true;
                    self.queue.close();
                    continue;
                }
            }
            if batch.len() < BATCH && !ends {
                tokio::select! {
                    () = tokio::time::sleep(LINGER) => {}
                    () = &mut end => {
                        ends = true;
                        self.queue.close();
                    }
                }
                self.queue.take(&mut batch, BATCH);
            }
            let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let sending = send(&mut collector, message(&self.service.load(), &batch));
            let sent = tokio::time::timeout(self.timeout, sending).await;
            match sent.unwrap_or_else(|_| Err("it did not answer in time".into())) {
                Ok(()) => drop(self.counters.exported.inc_by(spans)),
                Err(error) => {
                    self.counters.failed.inc_by(spans);
                    tracing::warn!(error, "spans were not taken by the collector");
                }
            }
            batch.clear();
        }
    }
}

async fn send<S>(collector: &mut S, message: String) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    let mut request = Request::post("/v1/traces").body(Body::from(message))?;
    let kind = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    std::future::poll_fn(|cx| collector.poll_ready(cx)).await.map_err(Into::into)?;
    let response = collector.call(request).await.map_err(Into::into)?;
    let status = response.status();
    // Read, so that the connection is of use again.
    let _ = response.into_body().collect(MAX_ANSWER).await;
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
}

fn message(service: &str, spans: &[Span]) -> String {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let resource = json!({ "attributes": [text("service.name", service)] });
    let scope = json!({ "name": "headwater", "version": env!("CARGO_PKG_VERSION") });
    let scoped = json!([{ "scope": scope, "spans": spans }]);
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scoped }] }).to_string()
}

fn span(span: &Span) -> Value {
    let nanos = |millis: u64, micros: u64| {
        (u128::from(millis) * 1_000_000 + u128::from(micros) * 1_000).to_string()
    };
    let began = span.began.as_millis();
    let mut attributes = vec![
        text("http.request.method", span.method.as_str()),
        text("url.path", &span.path),
        text("headwater.cache", span.cache.as_str()),
    ];
    if let Some(protocol) = span.protocol {
        attributes.push(text(
            "network.protocol.version",
            match protocol.as_str() {
                "h3" => "3",
                "h2" => "2",
                _ => "1.1",
            },
        ));
    }
    if span.status > 0 {
        let value = json!({ "intValue": span.status.to_string() });
        attributes.push(json!({ "key": "http.response.status_code", "value": value }));
    }
    let mut said = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "name": span.method.as_str(),
        // SPAN_KIND_SERVER
        "kind": 2,
        "startTimeUnixNano": nanos(began, 0),
        "endTimeUnixNano": nanos(began, span.micros),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        said["parentSpanId"] = format!("{parent:016x}").into();
    }
    if span.status == 0 || span.status >= 500 {
        // STATUS_CODE_ERROR
        said["status"] = json!({ "code": 2 });
    }
    said
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
