//! This edge as a shield (`[shield]`): segment sense around the cache that it has, in front of the groups of
//! origins that it has.
//!
//! It outlives reloads: what was learnt stays known. What is fetched ahead goes through the cache as the
//! edge in force has it, and from there to the sites in force.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use headwater::cache::key::host_of;
use headwater::cache::{Cache, Joints, Policy as _};
use headwater::edge::hints::HintMetrics;
use headwater::edge::witness::{Hears, Witness};
use headwater::edge::{EdgeBuilder, Hints, Kept};
use headwater::net::client::Upstream;
use headwater::net::{Body, Secret};
use headwater::origin::hints::LINK;
use headwater::origin::learn::SharedMap;
use headwater::origin::map::Limits;
use headwater::origin::upstream as origin;
use headwater::origin::upstream::Pressure;
use headwater::origin::{HintTrust, Metrics, PrefetchConfig, Sense};
use headwater::proto::config::shield::Shield as Config;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use tower_service::Service;

use super::super::named::Named;
use super::super::{Error, secret};
use super::basis::{authorities, shown};
use super::pair;
use super::router::Router;
use super::settings::{count, proxies, size};
use super::sites::{Pinned, SitePolicy, came_for};

/// The cache of the edge that is in force, as what is fetched ahead meets it.
#[derive(Clone)]
pub(super) struct Ahead(Arc<ArcSwap<Kept<Router>>>);

impl Service<Request<Body>> for Ahead {
    type Response = Response<Body>;
    type Error = <Kept<Router> as Service<Request<Body>>>::Error;
    type Future = <Kept<Router> as Service<Request<Body>>>::Future;

    /// Always ready, as a cache is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Kept::clone(&self.0.load()).call(request)
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Shield {
    sense: Sense<Ahead>,
    ahead: Ahead,
    cache: Cache,
    /// What players of this edge tell; `None` where nothing is fetched ahead.
    told: Option<Hints>,
}

impl Shield {
    /// Begins to sense what passes `edge`. What players tell is brought by a task, which ends with the last
    /// handle of this.
    pub(super) fn begin(
        config: &Config,
        held: &Held,
        map: SharedMap,
        (edge, cache): (&EdgeBuilder, &Cache),
        router: &Router,
        counted: &HintMetrics,
    ) -> Result<Self, Error> {
        let ahead = Ahead(Arc::new(ArcSwap::from_pointee(edge.kept(router.clone()))));
        cache.align(AsClients(map.clone()));
        let policy = router.policy().clone();
        let sense = Sense::builder()
            .prefetch(prefetch(config))
            .hints(trust(config, held)?)
            .pressure(move |request| load(&policy, request))
            .retention(config.retention)
            .build(map, ahead.clone());
        let told = (config.ahead > 0).then(|| {
            let policy = router.policy().clone();
            let hints = Hints::builder().told_only(true).metrics(counted.clone());
            let hints = hints.locate(move |uri, host| {
                let host = host.as_bytes();
                let site = Pinned::new(&policy.current(), host);
                Some((site.called(host)?.to_ascii_lowercase(), uri.clone()))
            });
            let (hints, sender) = hints.build(Own(sense.clone()));
            tokio::spawn(sender.run());
            hints
        });
        Ok(Self { sense, ahead, cache: cache.clone(), told })
    }

    /// Sees what passes this edge, and hears what its players tell.
    pub(super) fn attend(&self, edge: EdgeBuilder) -> EdgeBuilder {
        let edge = edge.witness(Arc::new(self.clone()));
        self.told.iter().fold(edge, EdgeBuilder::hints)
    }

    /// What is fetched ahead from now on goes through this edge's cache.
    pub(super) fn put(&self, edge: &EdgeBuilder, router: &Router) {
        self.ahead.0.store(Arc::new(edge.kept(router.clone())));
    }

    /// Meets a request that comes in: takes hints, and what a peer says of itself. `Err` is the answer to
    /// those, and to a peer that has seen a purge which is not done here.
    pub(super) fn meet(&self, mut request: Request<Body>) -> Result<Request<Body>, Told> {
        if Sense::<Ahead>::is_hints(&request) {
            return Err(Box::pin(self.sense.clone().take_hints(request)));
        }
        match self.sense.meet_peer(&mut request, || self.cache.purges_followed()) {
            Some(behind) => Err(Box::pin(ready(behind))),
            None => Ok(request),
        }
    }
}

/// Where what players tell this edge is brought: nobody is asked over a wire.
struct Own(Sense<Ahead>);

impl Service<Request<Body>> for Own {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    /// Always ready: it waits for nobody.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sense = self.0.clone();
        Box::pin(async move { Ok(sense.take_told(request).await) })
    }
}

/// What the map tells of requests for origins: it knows them by what clients ask for.
struct AsClients(SharedMap);

impl Joints for AsClients {
    fn joints(&self, request: &Parts) -> Option<Vec<u64>> {
        self.0.joints_of(came_for(request).unwrap_or(&request.uri), &request.headers)
    }
}

/// The answer to another machine of ours.
pub(super) type Told = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Witness for Shield {
    fn sees(&self, request: &Request<Body>) -> Option<Hears> {
        let host = host_of(request.uri(), request.headers());
        // Manifests are learnt as they are asked for upstream: by one name for all that their site has.
        let called = request.extensions().get::<Pinned>().and_then(|site| site.called(host));
        let noted = self.sense.note_at(request, called)?;
        Some(Box::new(move |status| noted.answered(status)))
    }
}

/// Where manifests are learnt, where this is a shield.
pub(super) fn map(config: &Config, metrics: &Metrics) -> Option<SharedMap> {
    config.on.then(|| SharedMap::new(limits(config), metrics.clone()))
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.bytes = size(config.map.get());
    limits.presentations = count(config.presentations);
    limits
}

/// How loaded the origin is that a request for what is fetched ahead would be sent to. It is asked for as
/// the cache and the router would ask for it.
fn load(policy: &SitePolicy, request: &Request<Body>) -> Option<Pressure> {
    let mut head = Request::get(request.uri().clone());
    if let Some(headers) = head.headers_mut() {
        headers.clone_from(request.headers());
    }
    let (mut parts, ()) = head.body(()).ok()?.into_parts();
    policy.prepare(&mut parts);
    let target = parts.extensions.get::<Pinned>()?.target(&parts)?;
    target.origins.pressure(&parts.uri)
}

fn prefetch(config: &Config) -> PrefetchConfig {
    let mut prefetch = PrefetchConfig::default()
        .ahead(config.ahead.into())
        .heads(config.heads.into())
        .neighbours(config.neighbours)
        .concurrency(count(config.concurrency))
        .queue(count(config.queue))
        .waiting_live(count(config.waiting_live))
        .share(config.share)
        .max_object(config.max_object.get())
        .window(config.window.get())
        .silence(config.silence.get())
        .timeout(config.timeout.get());
    prefetch.bytes_per_second = Some(config.bytes_per_second.get()).filter(|bytes| *bytes > 0);
    prefetch
}

/// Who is believed.
fn trust(config: &Config, held: &Held) -> Result<HintTrust, Error> {
    if !config.hints_from.is_empty() {
        return Ok(HintTrust::Networks(proxies(&config.hints_from)?));
    }
    let secret = held.link.as_ref().map(|link| Secret::new(link.as_bytes()));
    Ok(secret.map_or(HintTrust::Nobody, HintTrust::Secret))
}

/// The secret of a file by which edges, shields and peers know one another, without space around it.
pub(super) fn link(file: Option<&Path>) -> Result<Option<HeaderValue>, Error> {
    let Some(path) = file else { return Ok(None) };
    let Some(link) = secret::read(Some(path), None)? else { return Ok(None) };
    let says = format!("the file {} holds no secret that a field can hold", path.display());
    Ok(Some(
        HeaderValue::from_bytes(&link).map_err(|_| Named::file(path, says).under("link_file"))?,
    ))
}

/// What the files of `[shield]` hold.
pub(super) struct Held {
    link: Option<HeaderValue>,
    peers: OfPeers,
}

/// What its files hold of how peers are met.
#[derive(PartialEq, Eq)]
struct OfPeers {
    authorities: Option<Vec<u8>>,
    /// A certificate that is shown, and its key.
    shown: Option<(Vec<u8>, Vec<u8>)>,
}

impl OfPeers {
    fn read(config: &Config) -> Result<Self, Error> {
        let authorities = config.ca.as_deref().map(authorities).transpose()?;
        let pair = config.client_certificate.as_deref().zip(config.client_key.as_deref());
        let shown = pair.map(|(certificate, key)| shown(certificate, key)).transpose()?;
        Ok(Self { authorities, shown })
    }
}

/// Each fault of those files. Reads them.
pub(super) fn look(config: &Config) -> Vec<Error> {
    let mut all = Vec::new();
    all.extend(link(config.link_file.as_deref()).err());
    all.extend(config.ca.as_deref().map(authorities).transpose().err());
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        all.extend(pair::faults(("client_certificate", certificate), ("client_key", key)));
    }
    // What no file shows by itself.
    if all.is_empty() { Held::read(config).err().into_iter().collect() } else { all }
}

impl Held {
    /// Reads them.
    ///
    /// # Errors
    /// Of the first that cannot be read or used.
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
        Ok(Self { link: link(config.link_file.as_deref())?, peers: OfPeers::read(config)? })
    }

    /// Reads again how peers are met; the secret stays that which hints are believed by.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(super) fn again(&self, config: &Config) -> Result<Self, Error> {
        Ok(Self { link: self.link.clone(), peers: OfPeers::read(config)? })
    }

    /// Whether peers are met in another way by what was read since.
    pub(super) fn differs(&self, since: &Self) -> bool {
        self.peers != since.peers
    }
}

/// The shields beside this one.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    own: String,
    weight: u32,
    all: Vec<(String, u32, Upstream)>,
    patience: Duration,
}

impl Peers {
    /// Those of a configuration, where there are any.
    pub(super) fn of(config: &Config, held: &Held) -> Result<Option<Self>, Error> {
        let Some(own) = config.known_as.as_deref().filter(|_| !config.peers.is_empty()) else {
            return Ok(None);
        };
        let (mut weight, mut all) = (1, Vec::new());
        for (at, url) in config.peers.iter().enumerate() {
            let share = config.weights.get(at).copied().unwrap_or(1);
            if &**url == own {
                weight = share;
                continue;
            }
            // A peer has the same sites, by the names that clients use.
            let mut client = Upstream::builder(&**url).keep_host(true);
            if let Some(link) = &held.link {
                client = client.field(LINK, link.clone());
            }
            if let Some(authorities) = &held.peers.authorities {
                client = client.ca_pem(authorities);
            }
            if let Some((certificate, key)) = &held.peers.shown {
                client = client.certificate_pem(certificate, key);
            }
            let client = client.build();
            let client =
                client.map_err(|error| format!("the peer {url} cannot be used: {error}"))?;
            all.push((url.to_string(), share, client));
        }
        Ok(Some(Self { own: own.to_owned(), weight, all, patience: config.patience.get() }))
    }

    /// As a group of origins has them.
    pub(super) fn beside(&self) -> origin::Peers {
        let own = origin::Peers::of(&self.own).weight(self.weight).patience(self.patience);
        let all = self.all.iter();
        all.fold(own, |peers, (name, share, client)| {
            peers.peer(name.as_str(), *share, client.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_nobody_configured_is_as_a_shield_has_it() {
        let config = Config::default();
        let (ahead, known) = (PrefetchConfig::default(), Limits::default());
        assert_eq!(format!("{:?}", prefetch(&config)), format!("{ahead:?}"));
        assert_eq!(format!("{:?}", limits(&config)), format!("{known:?}"));
    }

    /// Each with a value that no default has.
    #[test]
    fn each_key_of_what_is_fetched_ahead_arrives_there() {
        for (key, says) in [
            ("ahead = 7", " ahead: 7,"),
            ("heads = 7", "heads: 7,"),
            ("neighbours = false", "neighbours: false"),
            ("concurrency = 77", "concurrency: 77,"),
            ("queue = 77", "queue: 77,"),
            ("waiting_live = 7", "waiting_live: 7,"),
            ("share = 77", "share: 77,"),
            ("bytes_per_second = '77 B'", "bytes_per_second: Some(77)"),
            ("bytes_per_second = '0 B'", "bytes_per_second: None"),
            ("max_object = '77 B'", "max_object: 77,"),
            ("window = '77 s'", "window: 77s"),
            ("silence = '77 s'", "silence: 77s"),
            ("timeout = '77 s'", "timeout: 77s"),
            ("map = '7 MiB'", " bytes: 7340032"),
            ("presentations = 77", " presentations: 77,"),
        ] {
            let made = |key: &str| {
                let text =
                    format!("server.listen_http = '127.0.0.1:0'\n[shield]\non = true\n{key}\n");
                let text = text
                    + "[[upstream]]\nname = 'o'\norigins = 'http://a'\n\
                       [[site]]\nhosts = '*'\nupstream = 'o'\n";
                let config = headwater::proto::config::Edge::parse("edge.toml", &text, []).unwrap();
                format!("{:?} {:?}", prefetch(&config.shield), limits(&config.shield))
            };
            let (with, without) = (made(key), made(""));
            assert!(with.contains(says), "{key}: {with}");
            assert!(!without.contains(says), "{key} says {says} anyway: {without}");
        }
    }
}
