//! The roles of the stack, and how they go together.
//!
//! Each is a tower service of its own concrete type; only a shield's origins are boxed, which no
//! hit ever meets.

use std::io;
use std::path::Path;
use std::sync::Arc;

use headwater_cache::key::write_target;
use headwater_cache::{BoxError, Cache, Disk, Downstream, KeyBuf, Policy, TierLayer};
use headwater_edge::access_log::LogFile;
use headwater_edge::hints::HintsBuilder;
use headwater_edge::operator::{Caches, Site};
use headwater_edge::{
    AccessLog, CompressLayer, EarlyDataLayer, GuardLayer, Hints, LogWriter, MethodsLayer,
    PriorityLayer, Sessions,
};
use headwater_net::client::Upstream;
use headwater_net::server::{ServerBuilder, ServerHandle};
use headwater_net::{Balance, Body};
use headwater_origin::upstream::{OriginConfig, Peers, register_standing};
use headwater_origin::{HintTrust, PrefetchConfig, Shield};
use headwater_packager::Packager;
use http::request::Parts;
use http::{Method, Request, Response, Uri};
use prometheus_client::registry::Registry;
use tower::Layer as _;
use tower_service::Service;

use crate::edges::Edges;
use crate::pages::Pages;
use crate::router::{BEHIND, MEDIA_HOST, Router, at_shield};
use crate::traces::Traces;
use crate::viewers::Attended;
use crate::{Args, Error, Role, standing};

/// A role that serves.
pub struct Running {
    /// Its listeners.
    pub server: ServerHandle,
    /// Its caches, for purges and explanations.
    pub caches: Caches,
    /// Of an edge.
    pub(crate) edge: Option<RunningEdge>,
}

/// What an edge has beside its listeners and caches.
pub(crate) struct RunningEdge {
    /// What is being watched.
    pub(crate) sessions: Option<Sessions>,
    /// The access log, whose lines the operator may watch, also where it is written nowhere.
    pub(crate) log: AccessLog,
    /// Its file, where it is written.
    pub(crate) log_file: Option<LogFile>,
    /// What writes it, to be finished after the last request.
    pub(crate) log_writer: LogWriter,
    /// What stands before a path that media needs a token for.
    pub(crate) prefix: String,
}

impl From<ServerHandle> for Running {
    fn from(server: ServerHandle) -> Self {
        Self { server, caches: Caches::default(), edge: None }
    }
}

/// Starts the services of this process's role on `server`, with their metrics in `registry`; `viewers` is
/// of those with an edge.
///
/// # Errors
/// When an upstream or the pages cannot be used, or a listener cannot be opened.
pub fn serve(
    args: &Args,
    server: ServerBuilder,
    packager: Option<Packager>,
    viewers: Option<Attended>,
    registry: &mut Registry,
    pages: Pages,
    traces: &mut Traces,
) -> Result<Running, Error> {
    if let Some(packager) = &packager {
        packager.metrics().register(registry);
    }
    let viewers = match viewers {
        Some(mut viewers) => {
            viewers.edge = viewers.edge.trace(traces.layer("edge", true, registry)?);
            Some(viewers)
        }
        None => None,
    };
    match (args.role, packager, viewers) {
        (Role::All, Some(packager), Some(viewers)) => {
            let mut caches = Caches::default();
            let cache = shield_cache(args, registry)?;
            caches.add("shield", BEHIND, cache.clone());
            let packager = traces.layer("packager", false, registry)?.layer(packager);
            let shield = shield(args, Shield::builder().origin(packager), cache, registry);
            let shield = traces.layer("shield", false, registry)?.layer(shield);
            let hints =
                Hints::builder().locate(|uri, _| Some((MEDIA_HOST.into(), at_shield(uri)?)));
            let behind = (shield.clone(), hints, shield);
            edge(args, server, viewers, behind, registry, pages, caches)
        }
        (Role::Packager, Some(packager), _) => {
            let traced = traces.layer("packager", false, registry)?;
            Ok(server.serve(move |_| traced.layer(packager.clone()))?.into())
        }
        (Role::Shield, ..) => {
            // Whoever is not turned away is an edge: it is believed what it says of purges, too.
            let mut builder = Shield::builder().hints(HintTrust::Everyone);
            for (priority, url) in (0..).zip(&args.upstream) {
                let config = OriginConfig::new(url.to_string(), priority);
                builder = builder.origin_with(upstream(url)?, config);
            }
            if let Some(own) = &args.known_as {
                builder = builder.peers(peers(own, &args.peer)?);
            }
            let mut caches = Caches::default();
            let cache = shield_cache(args, registry)?;
            caches.add("shield", Site::BehindEdge, cache.clone());
            let shield = shield(args, builder, cache, registry);
            let origins = shield.origins().clone();
            register_standing(registry, move || vec![("origins".into(), origins.standing())]);
            let traced = traces.layer("shield", false, registry)?;
            let edges = GuardLayer::new(Edges::new(args.edges.clone().map(Arc::new)));
            let server = server.serve(move |_| edges.layer(traced.layer(shield.clone())))?;
            Ok(Running { server, caches, edge: None })
        }
        (Role::Edge, _, Some(viewers)) => {
            let shields = shields(&args.upstream)?;
            standing::register(&shields, registry);
            let hints = hints_by_share(&shields);
            // Hints have connections of their own: those of requests belong to workers.
            let told = self::shields(&args.upstream)?;
            let behind = (shields, hints, told);
            edge(args, server, viewers, behind, registry, pages, Caches::default())
        }
        _ => Err(Error::Usage("there is nothing to play, or nobody to play to".into())),
    }
}

/// The edge with every layer, in front of its shield and the pages. What it serves alone it tells
/// `told`, the same shield.
fn edge<S>(
    args: &Args,
    server: ServerBuilder,
    viewers: Attended,
    (shield, hints, told): (S, HintsBuilder, S),
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
    let Attended { edge: builder, gate, sessions } = viewers;
    let mut builder = builder.cache(cache).metrics(metrics).compress(CompressLayer::new());
    let (hints, sender) = hints.build(told);
    hints.metrics().register(registry);
    // Ends with the last worker's service.
    tokio::spawn(sender.run());
    builder = builder.hints(&hints);
    let (log, log_file, log_writer) = access_log(args.access_log.as_deref())?;
    log.register(registry);
    builder = builder.access_log(log.clone());
    builder = builder.early_data(EarlyDataLayer::new().forward(args.early_data_upstream));
    builder = builder.priority(PriorityLayer::by_kind());
    let prefix = gate.prefix();
    let app = args.app.as_ref().map(upstream).transpose()?;
    if app.is_some() {
        builder = builder.methods(MethodsLayer::new(OF_APPLICATIONS)).websockets(true);
    }
    // What an application is sent is nothing for media.
    let media = MethodsLayer::default().layer(TierLayer.layer(shield));
    let behind = Router::new(media, pages, app);
    let server = server.serve(move |_| gate.before(builder.build(behind.clone())))?;
    let edge = Some(RunningEdge { sessions, log, log_file, log_writer, prefix });
    Ok(Running { server, caches, edge })
}

/// What browsers and other clients send to applications.
const OF_APPLICATIONS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// The access log, in a file where one is named.
fn access_log(path: Option<&Path>) -> Result<(AccessLog, Option<LogFile>, LogWriter), Error> {
    let Some(path) = path else {
        let started = AccessLog::builder().unwritten().start(io::sink(), LOG_QUEUE);
        let (log, writer) = started.map_err(Error::Threads)?;
        return Ok((log, None, writer));
    };
    let failed = |source| Error::File { path: path.to_owned(), source };
    let file = LogFile::open(path).map_err(failed)?;
    let (log, writer) = AccessLog::start(file.clone(), LOG_QUEUE).map_err(failed)?;
    Ok((log, Some(file), writer))
}

/// Lines that may wait for the disk; more are dropped and counted.
const LOG_QUEUE: usize = 8192;

/// A shield over the origins that `builder` was given.
fn shield(
    args: &Args,
    builder: headwater_origin::ShieldBuilder,
    cache: Cache,
    registry: &mut Registry,
) -> Shield {
    let prefetch = PrefetchConfig::default().ahead(args.ahead);
    let shield = builder.cache(cache).prefetch(prefetch).retention(args.retention).build();
    shield.metrics().register(registry);
    shield
}

/// The cache of a shield, which edges ask and nobody else.
fn shield_cache(args: &Args, registry: &mut Registry) -> Result<Cache, Error> {
    // Peers take a request that bears their own name for a loop.
    let authority = args.known_as.as_ref().and_then(Uri::authority);
    let name = authority.map_or("shield".into(), |authority| format!("shield-{authority}"));
    cache(args, "shield", registry, |cache| cache.name(name).downstream(Downstream::Caches))
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

/// The shields of an edge, which asks for all of a title at one of them. Edges that are given the
/// same URLs choose alike.
fn shields(urls: &[http::Uri]) -> Result<Balance<Upstream>, Error> {
    let mut shields = Balance::builder();
    for url in urls {
        shields = shields.member(url.to_string(), 1, upstream(url)?);
    }
    Ok(shields.build())
}

/// The shields beside the one that is known as `own`.
fn peers(own: &Uri, others: &[Uri]) -> Result<Peers, Error> {
    others
        .iter()
        .filter(|other| *other != own)
        .try_fold(Peers::of(&own.to_string()), |peers, url| {
            Ok(peers.peer(url.to_string(), 1, upstream(url)?))
        })
}

/// Each shield is told of its own share, by the name it is asked by: a client names its URL's authority.
fn hints_by_share(shields: &Balance<Upstream>) -> HintsBuilder {
    let (asked, told) = (shields.clone(), shields.clone());
    Hints::builder()
        .locate(move |uri, _| {
            let uri = at_shield(uri)?;
            let home: Uri = asked.home(&uri)?.parse().ok()?;
            Some((home.authority()?.to_string(), uri))
        })
        .home(move |uri| told.home(uri))
}

/// A client of the process that `url` names.
pub(crate) fn upstream(url: &http::Uri) -> Result<Upstream, Error> {
    Upstream::builder(url.clone())
        .build()
        .map_err(|error| Error::Upstream { url: url.to_string(), why: error.to_string() })
}
