//! Groups of origins as services. A group that a reload leaves as it is goes on with its connections
//! and with what it knows of its origins' health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater::cache::TierLayer;
use headwater::net::balance::BalanceConfig;
use headwater::net::client::{
    Bounds, NameServers, Redirects, Resolve, SigV4, Upstream, UpstreamBuilder,
};
use headwater::net::{Body, encoding};
use headwater::origin::Metrics;
use headwater::origin::upstream::{
    CheckConfig, HealthConfig, HedgeConfig, OriginConfig, OriginError, Origins, OriginsFuture,
    PlacesConfig, RetryConfig, Statuses, WhenDown,
};
use headwater::proto::config::text::{Name, NameServer, Statuses as Range};
use headwater::proto::config::upstream::{
    Check, Choose, HostOf, Redirects as Elsewhere, Sign, Upstream as Config, WhenDown as Down,
};
use http::{HeaderName, HeaderValue, Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use super::super::Error;
use super::basis::{self, Basis};
use super::settings::{count, read};
use super::shield::Peers;
use super::store;

/// Groups by their names, with what they were made of.
pub(super) type Upstreams = BTreeMap<String, (Basis, Origins)>;

/// A group as requests meet it: shields are told of purges, and nobody else is.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) origins: Origins,
    pub(super) is_shield: bool,
    /// Whether manifests are read as they pass: they come as what can be unpacked for it.
    pub(super) is_read: bool,
}

impl Service<Request<Body>> for Group {
    type Response = Response<Body>;
    type Error = OriginError;
    type Future = OriginsFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        self.origins.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> OriginsFuture {
        if self.is_read {
            encoding::simplify(request.headers_mut());
        }
        if self.is_shield {
            TierLayer.layer(self.origins.clone()).call(request)
        } else {
            self.origins.call(request)
        }
    }
}

/// Redirects that are followed one after the other.
const REDIRECTS: u8 = 10;
/// Retries in ten seconds that are allowed however few requests there are.
const RETRIES: u32 = 10;

/// What all groups have in common, for as long as the process lasts.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub(super) metrics: Metrics,
    pub(super) peers: Option<Peers>,
}

impl Parts {
    /// With other peers.
    pub(super) fn beside(&self, peers: Option<Peers>) -> Self {
        Self { peers, ..self.clone() }
    }

    /// The peers that a group knows: shields behind this one share titles among themselves.
    fn peers_of(&self, config: &Config) -> Option<headwater::origin::upstream::Peers> {
        self.peers.as_ref().filter(|_| !config.shield).map(Peers::beside)
    }
}

/// Tells all groups of the peers that there are now; those that are met in another way than before are new,
/// as origins are.
pub(super) fn put_peers(all: &Upstreams, parts: &Parts, anew: bool) {
    for (basis, origins) in all.values() {
        if anew {
            // Else one that is known by its name stays, with its client.
            origins.put_peers(None);
        }
        origins.put_peers(parts.peers_of(basis));
    }
}

/// Makes the groups of a configuration; those of `before` that are the same go on. Reads the files
/// that they name.
pub(super) fn make(
    configs: &[Config],
    before: &Upstreams,
    parts: &Parts,
) -> Result<Upstreams, Error> {
    let mut all = Upstreams::new();
    for config in configs {
        let name = config.name.as_deref().unwrap_or_default();
        let basis = Basis::read(config)?;
        let same = before.get(name).filter(|(was, _)| *was == basis);
        let origins = if let Some((_, origins)) = same {
            origins.clone()
        } else {
            let origins = origins(config, parts)?;
            watch(config, &origins)?;
            origins
        };
        all.insert(name.to_owned(), (basis, origins));
    }
    Ok(all)
}

/// Has groups of `before` that are not among those of `now` count as down no longer: they end what they have
/// begun, and are asked no more.
pub(super) fn retire(before: &Upstreams, now: &Upstreams) {
    for (name, (was, origins)) in before {
        if now.get(name).is_none_or(|(is, _)| is != was) {
            origins.retire();
        }
    }
}

/// Each fault of the files that groups name.
pub(super) fn look(configs: &[Config]) -> Vec<Error> {
    configs.iter().flat_map(basis::faults).collect()
}

fn origins(config: &Config, parts: &Parts) -> Result<Origins, Error> {
    let mut origins = Origins::builder()
        .health(
            HealthConfig::default()
                .failures(config.failures)
                .successes(config.successes)
                .cool_off(config.cool_off.get(), config.longest_cool_off.get()),
        )
        .retry(RetryConfig::new(config.retry_percent.into(), RETRIES))
        .hedge(HedgeConfig::new(config.hedge_percent.into(), config.hedge_after.get()))
        .places(
            PlacesConfig::new(count(config.max_requests), count(config.max_waiting))
                .patience(config.max_wait.get()),
        )
        .first_byte_timeout(config.first_byte_timeout.get())
        .failover_on(statuses(&config.failover_on))
        .when_down(match config.when_down {
            Down::Refuse => WhenDown::Refuse,
            _ => WhenDown::Ask,
        })
        .title_depth(config.title_depth.into())
        .metrics(parts.metrics.clone());
    if config.choose == Choose::ByTitle {
        let balance = BalanceConfig::default()
            .factor(config.load_percent)
            .slack(config.load_slack)
            .replicas(config.hot_members.into(), config.hot_requests);
        origins = origins.balance(balance);
    }
    if let Some(peers) = parts.peers_of(config) {
        origins = origins.peers(peers);
    }
    let called = Called { config, resolver: resolver(config)? };
    for (at, url) in config.origins.iter().enumerate() {
        let priority = match config.choose {
            Choose::ByTitle => config.priorities.get(at).copied().unwrap_or_default(),
            _ => u32::try_from(at).unwrap_or(u32::MAX),
        };
        let weight = config.weights.get(at).copied().unwrap_or(1);
        let origin = OriginConfig::new(&**url, priority).weight(weight);
        origins = origins.origin_with(client(&called, url)?, origin);
    }
    if let Some(store) = &config.store {
        origins = store::add(store, config, origins)?;
    }
    Ok(origins.build())
}

/// Asks the origins by themselves, where it is said so: a task, which ends with the last handle of them.
fn watch(config: &Config, origins: &Origins) -> Result<(), Error> {
    let Some(check) = &config.check else { return Ok(()) };
    let Check { path, every, timeout, failed_by, failures, successes, .. } = check;
    let checks = CheckConfig::new(path.parse()?)
        .every(every.get(), timeout.get())
        .failed_by(statuses(failed_by))
        .hysteresis(*failures, *successes);
    tokio::spawn(origins.watch(checks));
    Ok(())
}

fn statuses(ranges: &[Range]) -> Statuses {
    ranges.iter().fold(Statuses::none(), |all, range| all.and(range.range()))
}

/// Who turns the names of a group into addresses, where it is not the system; one for all of them.
fn resolver(config: &Config) -> Result<Option<Arc<dyn Resolve>>, Error> {
    if config.name_servers.is_empty() {
        return Ok(None);
    }
    let servers = NameServers::new(config.name_servers.iter().map(NameServer::socket))?;
    Ok(Some(Arc::new(servers)))
}

/// How the origins of a group are called.
struct Called<'c> {
    config: &'c Config,
    resolver: Option<Arc<dyn Resolve>>,
}

fn client(called: &Called<'_>, url: &str) -> Result<Upstream, Error> {
    let config = called.config;
    let used = |error| format!("the origin {url} cannot be used: {error}");
    let mut client = bare(called, url)?.keep_host(config.host == HostOf::Client).redirects(
        match config.redirects {
            Elsewhere::Refuse => Redirects::Refuse,
            Elsewhere::Follow => Redirects::Follow(REDIRECTS),
            _ => Redirects::Pass,
        },
    );
    client = client
        .max_websockets(count(config.max_websockets))
        .websocket_idle_timeout(config.websocket_idle_timeout.get());
    if let Some(host) = &config.host_name {
        client = client.host(&**host);
    }
    if let Some(name) = &config.tls_name {
        client = client.tls_name(&**name);
    }
    if let Some(sign) = &config.sign {
        client = client.sign(signer(sign)?);
    }
    for other in config.redirects_to.iter() {
        client = client.redirects_to(bare(called, other)?.build().map_err(used)?);
    }
    for (name, value) in &config.fields {
        client = client.field(HeaderName::try_from(&**name)?, HeaderValue::try_from(&**value)?);
    }
    for (name, file) in &config.field_files {
        let (name, value) = basis::field(name, file)?;
        client = client.field(name, value);
    }
    client.build().map_err(|error| used(error).into())
}

/// Who signs. Reads the files that it names.
fn signer(sign: &Sign) -> Result<SigV4, Error> {
    let Sign { region, key_id, .. } = sign;
    let mut read = basis::secrets(sign);
    let secret = read.next().transpose()?.flatten().unwrap_or_default();
    let said = |name: &Option<Name>| name.as_deref().unwrap_or_default().to_owned();
    let mut signer = SigV4::s3(said(region), said(key_id), &secret);
    if let Some(token) = read.next().transpose()?.flatten() {
        signer = signer.token(HeaderValue::from_bytes(&token)?);
    }
    Ok(signer)
}

/// What answers of a group are held to, whoever gives them.
pub(super) fn bounds(config: &Config) -> Result<Bounds, Error> {
    let mut bounds = Bounds::default().idle_timeout(config.idle_timeout.get());
    if let Some(whole) = config.whole_timeout {
        bounds = bounds.whole_timeout(whole.get());
    }
    if let Some(most) = config.max_body {
        bounds = bounds.max_body(most.get());
    }
    if let Some(taken) = &config.response_fields {
        let taken: Result<Vec<_>, _> =
            taken.iter().map(|name| HeaderName::try_from(&**name)).collect();
        bounds = bounds.response_fields(taken?);
    }
    Ok(bounds)
}

/// A client of what is asked in the same way as the origins.
fn bare(called: &Called<'_>, url: &str) -> Result<UpstreamBuilder, Error> {
    let config = called.config;
    let mut client = Upstream::builder(url)
        .http2_prior_knowledge(config.http2)
        .http3(config.http3 && url.starts_with("https:"))
        .dns_ttl(config.dns_ttl.get())
        .connect_timeout(config.connect_timeout.get())
        .first_byte_timeout(config.first_byte_timeout.get())
        .pool_idle_timeout(config.keep_alive.get())
        .pool_max_idle(count(config.max_idle))
        .bounds(bounds(config)?);
    if let Some(resolver) = &called.resolver {
        client = client.resolver(Arc::clone(resolver));
    }
    if let Some(authorities) = &config.ca {
        client = client.ca_pem(&read(authorities)?);
    }
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        client = client.certificate_pem(&read(certificate)?, &read(key)?);
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use headwater::proto::config::Edge;

    use super::super::shield::Held;
    use super::*;

    /// What a group says of itself that is made of these keys, in a configuration that says more.
    fn made(keys: &str, more: &str) -> String {
        let text = format!(
            "server.listen_http = '127.0.0.1:0'\n[cache]\ndownstream = 'caches'\n\
             [shield]\non = true\nknown_as = 'http://s'\npeers = 'http://p'\n{more}\n\
             [[upstream]]\nname = 'o'\norigins = ['http://a', 'http://b']\n{keys}\n\
             [[site]]\nhosts = '*'\nupstream = 'o'\n"
        );
        let config = Edge::parse("edge.toml", &text, []).unwrap();
        let held = Held::read(&config.shield).unwrap();
        let peers = Peers::of(&config.shield, &held).unwrap();
        let parts = Parts::default().beside(peers);
        let all = make(&config.upstreams, &Upstreams::new(), &parts).unwrap();
        format!("{:?}", all["o"].1)
    }

    /// Each with a value that no default has.
    #[test]
    fn each_key_of_how_origins_are_asked_arrives_there() {
        for (key, says) in [
            ("choose = 'by_title'", "balance: Some("),
            ("title_depth = 7", "depth: 7"),
            ("load_percent = 177", "factor: 177"),
            ("load_slack = 77", "slack: 77"),
            ("hot_requests = 77", "hot: 77"),
            ("hot_members = 7", "replicas: 7"),
            ("failover_on = '418'", "418..=418"),
            ("when_down = 'refuse'", "when_down: Refuse"),
            ("first_byte_timeout = '77 s'", "first_byte: 77s"),
            ("max_requests = 77", "at_once: 77"),
            ("max_waiting = 77", "waiting: 77"),
            ("max_wait = '77 s'", " patience: 77s"),
            ("failures = 77", "failures: 77"),
            ("successes = 77", "successes: 77"),
            ("cool_off = '777 ms'", " cool_off: 777ms"),
            ("longest_cool_off = '77 s'", "longest_cool_off: 77s"),
            ("retry_percent = 77", "RetryConfig { percent: 77"),
            ("hedge_percent = 77", "HedgeConfig { percent: 77"),
            ("hedge_after = '777 ms'", "shortest_wait: 777ms"),
        ] {
            // Some hold where origins share titles alone.
            let titled = key.starts_with("load_") || key.starts_with("hot_");
            let before = if titled { "choose = 'by_title'\n" } else { "" };
            let (with, without) = (made(&format!("{before}{key}"), ""), made(before, ""));
            assert!(with.contains(says), "{key}: {with}");
            assert!(!without.contains(says), "{key} says {says} anyway: {without}");
        }
    }

    #[test]
    fn the_patience_with_peers_arrives_where_they_are_asked() {
        let (with, without) = (made("", "patience = '77 s'"), made("", ""));
        assert!(with.contains("peer_patience: 77s"), "{with}");
        assert!(without.contains("peer_patience: 3s"), "{without}");
        // Shields behind this one have peers of their own.
        let behind = made("shield = true", "patience = '77 s'");
        assert!(!behind.contains("77s") && behind.contains("members: []"), "{behind}");
    }
}
