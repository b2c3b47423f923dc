//! The roles of the stack, and how they go together.
//!
//! Each is a tower service of its own concrete type; only a shield's origins are boxed, which no
//! hit ever meets.

use headwater_cache::key::write_target;
use headwater_cache::{BoxError, Cache, Disk, Downstream, KeyBuf, Policy, TierLayer};
use headwater_edge::access_log::LogFile;
use headwater_edge::operator::{Caches, Site};
use headwater_edge::{AccessLog, CompressLayer, Edge, Hints, LogWriter};
use headwater_net::Body;
use headwater_net::client::Upstream;
use headwater_net::server::{ServerBuilder, ServerHandle};
use headwater_origin::{HintTrust, Shield};
use headwater_packager::Packager;
use http::request::Parts;
use http::uri::Authority;
use http::{Request, Response};
use prometheus_client::registry::Registry;
use tower::Layer as _;
use tower_service::Service;

use crate::pages::Pages;
use crate::router::{BEHIND, MEDIA_HOST, Router, at_shield};
use crate::{Args, Error, Role};

/// A role that serves.
pub struct Running {
    /// Its listeners.
    pub server: ServerHandle,
    /// The access log's file, and what writes it, to be finished after the last request.
    pub log: Option<(LogFile, LogWriter)>,
    /// Its caches, for purges and explanations.
    pub caches: Caches,
}

impl From<ServerHandle> for Running {
    fn from(server: ServerHandle) -> Self {
        Self { server, log: None, caches: Caches::default() }
    }
}

/// Starts the services of this process's role on `server`, with their metrics in `registry`.
///
/// # Errors
/// When an upstream or the pages cannot be used, or a listener cannot be opened.
pub fn serve(
    args: &Args,
    server: ServerBuilder,
    packager: Option<Packager>,
    registry: &mut Registry,
    pages: Pages,
) -> Result<Running, Error> {
    if let Some(packager) = &packager {
        packager.metrics().register(registry);
    }
    match (args.role, packager) {
        (Role::All, Some(packager)) => {
            let mut caches = Caches::default();
            let cache = shield_cache(args, registry)?;
            caches.add("shield", BEHIND, cache.clone());
            let shield = shield(Shield::builder().origin(packager), cache, registry);
            edge(args, server, shield.clone(), (shield, MEDIA_HOST), registry, pages, caches)
        }
        (Role::Packager, Some(packager)) => Ok(server.serve(move |_| packager.clone())?.into()),
        (Role::Shield, _) => {
            // Who can reach a shield is an edge: it is believed what it says of purges, too.
            let mut builder = Shield::builder().hints(HintTrust::Everyone);
            for url in &args.upstream {
                builder = builder.origin(upstream(url)?);
            }
            let mut caches = Caches::default();
            let cache = shield_cache(args, registry)?;
            caches.add("shield", Site::BehindEdge, cache.clone());
            let shield = shield(builder, cache, registry);
            let server = server.serve(move |_| shield.clone())?;
            Ok(Running { server, log: None, caches })
        }
        (Role::Edge, _) => {
            let Some(url) = args.upstream.first() else {
                return Err(Error::Usage("--role edge needs --upstream, its shield".into()));
            };
            // Hints have connections of their own: those of requests belong to workers.
            let (shield, told) = (upstream(url)?, upstream(url)?);
            // A client of a shield elsewhere names that as its host.
            let told = (told, url.authority().map_or("", Authority::as_str));
            edge(args, server, shield, told, registry, pages, Caches::default())
        }
        (Role::All | Role::Packager, None) => Err(Error::Usage("there is nothing to play".into())),
    }
}

/// The edge with every layer, in front of its shield and the pages. What it serves alone it tells
/// `told`, the same shield, which is asked by that host.
fn edge<S>(
    args: &Args,
    server: ServerBuilder,
    shield: S,
    (told, host): (S, &str),
    registry: &mut Registry,
    pages: Pages,
    mut caches: Caches,
) -> Result<Running, Error>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    let metrics = headwater_edge::Metrics::default();
    metrics.register(registry);
    let cache = cache(args, "edge", registry, |cache| {
        // Strangers do not decide what is fetched again.
        cache.policy(OneSite).honour_request_directives(false)
    })?;
    caches.add("edge", Site::Public, cache.clone());
    let mut builder = Edge::builder().cache(cache).metrics(metrics).compress(CompressLayer::new());
    let host = host.to_owned();
    let hints = Hints::builder().locate(move |uri, _| Some((host.clone(), at_shield(uri)?)));
    let (hints, sender) = hints.build(told);
    hints.metrics().register(registry);
    // Ends with the last worker's service.
    tokio::spawn(sender.run());
    builder = builder.hints(&hints);
    let mut log = None;
    if let Some(path) = &args.access_log {
        let failed = |source| Error::File { path: path.clone(), source };
        let file = LogFile::open(path).map_err(failed)?;
        let (access_log, writer) = AccessLog::start(file.clone(), LOG_QUEUE).map_err(failed)?;
        access_log.register(registry);
        builder = builder.access_log(access_log);
        log = Some((file, writer));
    }
    let behind = Router::new(TierLayer.layer(shield), pages);
    let server = server.serve(move |_| builder.build(behind.clone()))?;
    Ok(Running { server, log, caches })
}

/// Lines that may wait for the disk; more are dropped and counted.
const LOG_QUEUE: usize = 8192;

/// A shield over the origins that `builder` was given.
fn shield(
    builder: headwater_origin::ShieldBuilder,
    cache: Cache,
    registry: &mut Registry,
) -> Shield {
    let shield = builder.cache(cache).build();
    shield.metrics().register(registry);
    shield
}

/// The cache of a shield, which edges ask and nobody else.
fn shield_cache(args: &Args, registry: &mut Registry) -> Result<Cache, Error> {
    cache(args, "shield", registry, |cache| cache.downstream(Downstream::Caches))
}

/// The keys of a stack that is one site: path and query, but not the name it was called by.
struct OneSite;

impl Policy for OneSite {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        write_target(request, key);
    }
}

/// A cache that signs with the name of its role, and has a folder by that name.
fn cache(
    args: &Args,
    role: &'static str,
    registry: &mut Registry,
    more: impl FnOnce(headwater_cache::Builder) -> headwater_cache::Builder,
) -> Result<Cache, Error> {
    let mut builder = more(Cache::builder().name(role).ram(args.cache_mib << 20));
    if let Some(dir) = &args.cache_dir {
        builder = builder.disk(Disk::open(dir.join(role), args.cache_disk_mib << 20)?);
    }
    let cache = builder.build();
    cache.metrics().register(registry.sub_registry_with_label(("cache".into(), role.into())));
    Ok(cache)
}

/// A client of the process that `url` names.
fn upstream(url: &http::Uri) -> Result<Upstream, Error> {
    Upstream::builder(url.clone())
        .build()
        .map_err(|error| Error::Upstream { url: url.to_string(), why: error.to_string() })
}
