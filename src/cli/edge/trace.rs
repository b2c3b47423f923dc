//! `[trace]`: what records spans, and what tells a collector of them. A reload changes who is told, what is
//! recorded, and how much may wait in the queue between both, which lasts as long as the process.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater::cache::BoxError;
use headwater::edge::TraceLayer;
use headwater::edge::trace::Tracer;
use headwater::net::client::Upstream;
use headwater::net::{Body, Clock};
use headwater::proto::config::trace::Trace as Config;
use http::{HeaderName, HeaderValue, Request, Response};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_service::Service;

use super::super::named::Named;
use super::super::{Error, secret};
use super::basis::authorities;
use super::settings::count;

/// How long what waits may take at the end.
const LAST: Duration = Duration::from_secs(2);
/// No collector gets as long as this: it has a time of its own.
const LONGEST: Duration = Duration::from_secs(120);
/// The longest answer of a collector that is read.
const MAX_ANSWER: u64 = 64 << 10;

/// Records for a collector.
pub(super) struct Recorder {
    tracer: Tracer,
    told: Told,
}

/// Tells the collector.
pub(super) struct Telling {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A collector, and how long it may take.
#[derive(Clone)]
pub(super) struct Collector {
    client: Upstream,
    time: Duration,
}

/// The collector that is told now, if there is one. Clones are of the same.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<Collector>>>);

impl Recorder {
    /// Records nothing before there is a collector.
    pub(super) fn start(config: &Config, registry: &mut Registry) -> (Self, Telling) {
        let (tracer, exporter) = Tracer::new(
            &*config.service,
            config.sample,
            config.believe,
            count(config.queue),
            Clock::system(),
        );
        tracer.register(registry);
        let told = Told::default();
        let (end, ended) = oneshot::channel();
        let exporter = exporter.timeout(LONGEST);
        let task = tokio::spawn(exporter.run_until(told.clone(), async { drop(ended.await) }));
        (Self { tracer, told }, Telling { end, task })
    }

    /// This collector is told from now on, of what waits, too, in the name that the configuration has. Where
    /// it is none, the last one is told of what waits.
    pub(super) fn put(&self, collector: Option<Collector>, config: &Config) {
        self.tracer.set_capacity(count(config.queue));
        if let Some(collector) = collector {
            self.tracer.set_service(&*config.service);
            *self.told.lock() = Some(collector);
        }
    }

    /// Records of a configuration's requests what it says.
    pub(super) fn layer(&self, config: &Config) -> TraceLayer {
        match config.endpoint {
            Some(_) => TraceLayer::new(self.tracer.deciding(config.sample, config.believe)),
            None => TraceLayer::off(),
        }
    }
}

impl Telling {
    /// Tells what waits, as far as that goes.
    pub(super) async fn finish(self) {
        let _ = self.end.send(());
        let _ = tokio::time::timeout(LAST, self.task).await;
    }
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Option<Collector>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service<Request<Body>> for Told {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    /// The answer has come as a whole, and has no body any more.
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let collector = self.lock().clone();
        Box::pin(async move {
            let Some(Collector { mut client, time }) = collector else {
                return Err("there is no collector".into());
            };
            let asking = async {
                poll_fn(|cx| client.poll_ready(cx)).await?;
                let (head, body) = client.call(request).await?.into_parts();
                // Read, so that the connection is of use again.
                let _ = body.collect(MAX_ANSWER).await;
                Ok::<_, BoxError>(Response::from_parts(head, Body::Empty))
            };
            let late = |_| Err("it did not answer in time".into());
            tokio::time::timeout(time, asking).await.unwrap_or_else(late)
        })
    }
}

/// Each fault of the files and variables that the configuration names.
pub(super) fn look(config: &Config) -> Vec<Error> {
    if config.endpoint.is_none() {
        return Vec::new();
    }
    let believed = config.ca.as_deref().map(authorities).transpose().err();
    let alone: Vec<Error> =
        believed.into_iter().chain(headers(config).filter_map(Result::err)).collect();
    if alone.is_empty() { collector(config).err().into_iter().collect() } else { alone }
}

/// Headers for the collector.
fn headers(config: &Config) -> impl Iterator<Item = Result<(HeaderName, HeaderValue), Error>> {
    let files = config.header_files.iter().map(|(name, file)| (name, Some(&**file), None));
    let variables = config.header_envs.iter().map(|(name, of)| (name, None, Some(&**of)));
    files.chain(variables).map(|(name, file, variable)| -> Result<_, Error> {
        let value = secret::read(file, variable)?.unwrap_or_default();
        let named = file.map(|file| file.display().to_string());
        let named = named.or_else(|| variable.map(str::to_owned)).unwrap_or_default();
        let says = format!("the header {name} for the collector cannot hold what {named} holds");
        let value = HeaderValue::from_bytes(&value).map_err(|_| Named::new(named, says))?;
        Ok((name.parse::<HeaderName>()?, value))
    })
}

/// The collector of a configuration. Reads the files that it names.
pub(super) fn collector(config: &Config) -> Result<Option<Collector>, Error> {
    let Some(endpoint) = &config.endpoint else { return Ok(None) };
    let time = config.timeout.get();
    let mut client = Upstream::builder(&**endpoint)
        .connect_timeout(time)
        .first_byte_timeout(time)
        .pool_max_idle(1);
    if let Some(path) = &config.ca {
        client = client.ca_pem(&authorities(path)?);
    }
    for header in headers(config) {
        let (name, value) = header?;
        client = client.field(name, value);
    }
    let client = client
        .build()
        .map_err(|error| format!("the collector {endpoint} cannot be asked: {error}"))?;
    Ok(Some(Collector { client, time }))
}
