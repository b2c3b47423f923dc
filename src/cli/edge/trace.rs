//! `[trace]`: what records spans, and what tells a collector of them.

use std::time::Duration;

use headwater::edge::TraceLayer;
use headwater::edge::trace::Tracer;
use headwater::net::Clock;
use headwater::net::client::Upstream;
use headwater::proto::config::trace::Trace as Config;
use http::{HeaderName, HeaderValue};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{Error, secret};
use super::basis::authorities;
use super::settings::count;

/// How long what waits may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// Records for a collector, if one is configured.
#[derive(Clone, Default)]
pub(super) struct Recorder(Option<Tracer>);

/// Tells the collector.
pub(super) struct Telling {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts to record. Reads the files that the configuration names.
    pub(super) fn start(
        config: &Config,
        registry: &mut Registry,
    ) -> Result<(Self, Option<Telling>), Error> {
        let Some(endpoint) = &config.endpoint else { return Ok((Self::default(), None)) };
        let (tracer, exporter) = Tracer::new(
            &*config.service,
            config.sample,
            config.believe,
            count(config.queue),
            Clock::system(),
        );
        tracer.register(registry);
        let collector = collector(config, endpoint)?;
        let (end, ended) = oneshot::channel();
        let exporter = exporter.timeout(config.timeout.get());
        let task = tokio::spawn(exporter.run_until(collector, async { drop(ended.await) }));
        Ok((Self(Some(tracer)), Some(Telling { end, task })))
    }

    /// Records of a configuration's requests what it says.
    pub(super) fn layer(&self, config: &Config) -> TraceLayer {
        let of = |tracer: &Tracer| tracer.deciding(config.sample, config.believe);
        self.0.as_ref().map_or_else(TraceLayer::off, |tracer| TraceLayer::new(of(tracer)))
    }
}

impl Telling {
    /// Tells what waits, as far as that goes.
    pub(super) async fn finish(self) {
        let _ = self.end.send(());
        let _ = tokio::time::timeout(LAST, self.task).await;
    }
}

/// What is wrong with the files that the configuration names.
pub(super) fn look(config: &Config) -> Option<Error> {
    config.endpoint.as_ref().and_then(|endpoint| collector(config, endpoint).err())
}

fn collector(config: &Config, endpoint: &str) -> Result<Upstream, Error> {
    let time = config.timeout.get();
    let mut client =
        Upstream::builder(endpoint).connect_timeout(time).first_byte_timeout(time).pool_max_idle(1);
    if let Some(path) = &config.ca {
        client = client.ca_pem(&authorities(path)?);
    }
    let files = config.header_files.iter().map(|(name, file)| (name, Some(&**file), None));
    let variables = config.header_envs.iter().map(|(name, of)| (name, None, Some(&**of)));
    for (name, file, variable) in files.chain(variables) {
        let Some(value) = secret::read(file, variable)? else { continue };
        let value = HeaderValue::from_bytes(&value)
            .map_err(|_| format!("the header {name} for the collector: a field cannot hold it"))?;
        client = client.field(name.parse::<HeaderName>()?, value);
    }
    client
        .build()
        .map_err(|error| format!("the collector {endpoint} cannot be asked: {error}").into())
}
