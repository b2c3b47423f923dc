//! From a configuration to an edge that answers, and from a signal to its end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::edge::access_log::LogFile;
use headwater::edge::hints::HintMetrics;
use headwater::edge::metrics::register_certificates;
use headwater::edge::operator::{Caches, Site};
use headwater::edge::{AccessLog, Operator, TokenLayer};
use headwater::net::Clock;
use headwater::net::server::{Duties as _, End, Process, ServerBuilder, ServerHandle};
use headwater::origin::learn::LearnLayer;
use headwater::proto::config::Edge as Config;
use headwater::proto::config::running::Operator as OperatorConfig;
use prometheus_client::registry::Registry;

use super::super::Error;
use super::entrance::Gate;
use super::media::Media;
use super::reload::{Running, Upkeep};
use super::router::Router;
use super::settings::{self, Lasting};
use super::shield::{self, Held, Peers, Shield};
use super::shields::{self, Shields};
use super::sites::{SitePolicy, Sites};
use super::standing::Standing;
use super::trace::{self, Recorder};
use super::upstreams::{self, Parts, Upstreams};
use super::{certificates, describe};

/// How long what the operator asks may take at the end.
const OPERATOR_DRAIN: Duration = Duration::from_millis(200);

/// Serves until a signal asks for its end or another process takes over, and drains.
pub(super) async fn serve(path: &Path, config: Config) -> Result<(), Error> {
    let door = config.process.hand_over_socket.clone();
    let mut process = Process::start(of_a_moment(), door.as_deref()).await?;
    let token = settings::token(&config.operator)?;
    let tls = certificates::all(&config.server)?;
    let mut registry = Registry::default();
    if let Some(tls) = &tls {
        register_certificates(tls, Clock::system(), &mut registry);
    }
    let origins = headwater::origin::Metrics::default();
    origins.register(&mut registry);
    let map = shield::map(&config.shield, &origins);
    let held = Held::read(&config.shield)?;
    let parts = Parts { metrics: origins, peers: Peers::of(&config.shield, &held)? };
    let upstreams = upstreams::make(&config.upstreams, &Upstreams::new(), &parts)?;
    let standing = Standing::default();
    standing.put(&upstreams);
    standing.register(&mut registry);
    let policy = SitePolicy::new(Sites::new(&config, &upstreams)?);
    let hints = HintMetrics::default();
    hints.register(&mut registry);
    let shields = shields::make(&upstreams, &Shields::new(), &policy, &hints)?;
    let cache = settings::cache(&config, policy.clone())?;
    cache.metrics().register(registry.sub_registry_with_label(("cache".into(), "edge".into())));
    let metrics = headwater::edge::Metrics::default();
    metrics.register(&mut registry);
    let log_file = LogFile::nowhere();
    log_file.put(settings::log_file(&config.log)?);
    let (log, writer) = AccessLog::start(log_file.clone(), settings::count(config.log.queue))?;
    log.register(&mut registry);
    let media = Media::start(&config, &mut registry)?;
    let tokens = TokenLayer::default().seed(Clock::system().now().as_millis());
    let collector = trace::collector(&config.trace)?;
    let (recorder, telling) = Recorder::start(&config.trace, &mut registry);
    recorder.put(collector, &config.trace);
    let lasting = Lasting { cache: cache.clone(), log, metrics, media, recorder, tokens };
    let edge = settings::edge(&config, &lasting, &lasting.media.kept(&config)?, &shields)?;
    let router = Router::new(policy.clone(), map.clone().map(LearnLayer::new));
    let shield =
        map.map(|map| Shield::begin(&config.shield, &held, map, (&edge, &cache), &router, &hints));
    let gate = Arc::new(Gate::new(edge, policy.current(), router, shield.transpose()?));

    let listeners = settings::listeners(process.server("main"), &config.server, tls.clone())?;
    let gates = Arc::clone(&gate);
    let server = Arc::new(listeners.serve(move |_| gates.entrance())?);
    headwater::edge::metrics::register_server(server.metrics(), &mut registry);
    let mut caches = Caches::default();
    caches.add("edge", Site::Public, cache.clone());
    let operator = Operator::new(registry, caches.clone(), token)
        .with_log(lasting.log.clone())
        .with_sessions(lasting.media.sessions.clone());
    let operators = operator_listeners(process.server("operator"), &config.operator)
        .map(|listeners| {
            let operator = operator.clone();
            listeners.serve(move |_| operator.clone())
        })
        .transpose()?;

    let serving = describe::serving(&config, &server, operators.as_ref());
    let running = Running {
        path: path.to_owned(),
        config,
        upstreams,
        standing,
        parts,
        held,
        shields,
        hints,
        policy,
        gate,
        lasting,
        log_file,
        tls,
        server: Arc::clone(&server),
        operator,
    };
    let upkeep = Upkeep { running: Mutex::new(running), caches };
    process.begin(&upkeep).await?;
    upkeep.say(&serving);
    let servers: Vec<&ServerHandle> = [&*server].into_iter().chain(operators.as_ref()).collect();
    let end = process.run(&servers, &upkeep, "serving").await;
    let viewers = [&*server];
    let (drain, after_hand_over) = {
        let running = upkeep.running();
        let server = &running.config.server;
        (server.drain.get(), server.hand_over_drain.get())
    };
    if end == End::Asked {
        upkeep.running().operator.leave(drain);
        process.drain(end, &viewers, drain, &upkeep).await;
    } else {
        // The operator's port is another process's already, and the service goes on. Who asks here on a
        // connection that is left over would be told of the wrong one.
        let asked = async {
            if let Some(operators) = &operators {
                operators.drain(drain).await;
            }
        };
        tokio::join!(process.drain(end, &viewers, after_hand_over, &upkeep), asked);
    }
    if let Some(operators) = &operators {
        operators.drain(OPERATOR_DRAIN).await;
    }
    cache.close().await;
    telling.finish().await;
    drop(writer);
    Ok(())
}

/// Where a socket may be made that lasts for a hand-over: the folder that a supervisor gives, or the
/// system's.
fn of_a_moment() -> PathBuf {
    let given = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    given.filter(|folder| folder.is_absolute()).unwrap_or_else(std::env::temp_dir)
}

/// The listeners of `[operator]`, where there are any.
fn operator_listeners(builder: ServerBuilder, config: &OperatorConfig) -> Option<ServerBuilder> {
    if config.listen.is_empty() && config.listen_unix.is_none() {
        return None;
    }
    let builder = builder.workers(1);
    let builder = config.listen.iter().fold(builder, |builder, address| builder.http(&**address));
    Some(match &config.listen_unix {
        Some(path) => builder.unix(path),
        None => builder,
    })
}
