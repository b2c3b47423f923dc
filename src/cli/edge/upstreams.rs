//! Groups of origins as services. A group that a reload leaves as it is goes on with its connections
//! and with what it knows of its origins' health.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater::cache::TierLayer;
use headwater::net::Body;
use headwater::net::client::Upstream;
use headwater::origin::Metrics;
use headwater::origin::upstream::{
    HealthConfig, HedgeConfig, OriginError, Origins, OriginsFuture, PlacesConfig, RetryConfig,
};
use headwater::proto::config::upstream::{HostOf, Upstream as Config};
use http::{Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use super::super::Error;
use super::basis::Basis;
use super::settings::{count, read};

/// Groups by their names, with what they were made of.
pub(super) type Upstreams = BTreeMap<String, (Basis, Origins)>;

/// A group as requests meet it: shields are told of purges, and nobody else is.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) origins: Origins,
    pub(super) is_shield: bool,
}

impl Service<Request<Body>> for Group {
    type Response = Response<Body>;
    type Error = OriginError;
    type Future = OriginsFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        self.origins.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> OriginsFuture {
        if self.is_shield {
            TierLayer.layer(self.origins.clone()).call(request)
        } else {
            self.origins.call(request)
        }
    }
}

/// The shortest wait before an origin that is slow is not waited for alone.
const HEDGE_AFTER: Duration = Duration::from_millis(50);
/// Retries in ten seconds that are allowed however few requests there are.
const RETRIES: u32 = 10;

/// Makes the groups of a configuration; those of `before` that are the same go on. Reads the files
/// that they name.
pub(super) fn make(
    configs: &[Config],
    before: &Upstreams,
    metrics: &Metrics,
) -> Result<Upstreams, Error> {
    let mut all = Upstreams::new();
    for config in configs {
        let name = config.name.as_deref().unwrap_or_default();
        let basis = Basis::read(config)?;
        let same = before.get(name).filter(|(was, _)| *was == basis);
        let origins = match same {
            Some((_, origins)) => origins.clone(),
            None => origins(config, metrics)?,
        };
        all.insert(name.to_owned(), (basis, origins));
    }
    Ok(all)
}

/// Each fault of the files that groups name.
pub(super) fn look(configs: &[Config]) -> Vec<Error> {
    configs.iter().filter_map(|config| Basis::read(config).err()).collect()
}

fn origins(config: &Config, metrics: &Metrics) -> Result<Origins, Error> {
    let mut origins = Origins::builder()
        .health(
            HealthConfig::default()
                .failures(config.failures)
                .cool_off(config.cool_off.get(), config.longest_cool_off.get()),
        )
        .retry(RetryConfig::new(config.retry_percent.into(), RETRIES))
        .hedge(HedgeConfig::new(config.hedge_percent.into(), HEDGE_AFTER))
        .places(
            PlacesConfig::new(count(config.max_requests), count(config.max_waiting))
                .patience(config.max_wait.get()),
        )
        .first_byte_timeout(config.first_byte_timeout.get())
        .metrics(metrics.clone());
    for url in config.origins.iter() {
        origins = origins.origin(client(config, url)?);
    }
    Ok(origins.build())
}

fn client(config: &Config, url: &str) -> Result<Upstream, Error> {
    let mut client = Upstream::builder(url)
        .keep_host(config.host == HostOf::Client)
        .http2_prior_knowledge(config.http2)
        .connect_timeout(config.connect_timeout.get())
        .first_byte_timeout(config.first_byte_timeout.get())
        .idle_timeout(config.idle_timeout.get())
        .pool_idle_timeout(config.keep_alive.get())
        .pool_max_idle(count(config.max_idle));
    if let Some(authorities) = &config.ca {
        client = client.ca_pem(&read(authorities)?);
    }
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        client = client.certificate_pem(&read(certificate)?, &read(key)?);
    }
    client.build().map_err(|error| format!("the origin {url} cannot be used: {error}").into())
}
