//! `--trace`: what each role did of a request, told to an OpenTelemetry collector. Viewers' requests are all
//! recorded, and those that others of the stack ask for them; what strangers say of traces is taken off.

use std::time::Duration;

use headwater_edge::TraceLayer;
use headwater_edge::trace::Tracer;
use headwater_net::Clock;
use http::Uri;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Error, roles};

/// Spans of a role that may wait for the collector; more are dropped and counted.
const QUEUE: usize = 4096;
/// How long what waits may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// What tells the collector, if there is one.
#[derive(Debug)]
pub struct Traces {
    collector: Option<Uri>,
    telling: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Traces {
    /// None are told where there is no collector.
    pub(crate) const fn new(collector: Option<Uri>) -> Self {
        Self { collector, telling: Vec::new() }
    }

    /// The layer of a role, which tells under its name; `viewers` is for one that faces them.
    pub(crate) fn layer(
        &mut self,
        role: &'static str,
        viewers: bool,
        registry: &mut Registry,
    ) -> Result<TraceLayer, Error> {
        let Some(collector) = &self.collector else { return Ok(TraceLayer::off()) };
        let client = roles::upstream(collector)?;
        let (tracer, exporter) =
            Tracer::new(role, u32::from(viewers), !viewers, QUEUE, Clock::system());
        tracer.register(registry.sub_registry_with_label(("role".into(), role.into())));
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(exporter.run_until(client, async { drop(ended.await) }));
        self.telling.push((end, task));
        Ok(TraceLayer::new(tracer))
    }

    /// Tells what waits, as far as that goes.
    pub(crate) async fn finish(self) {
        for (end, task) in self.telling {
            let _ = end.send(());
            let _ = tokio::time::timeout(LAST, task).await;
        }
    }
}
