//! What an edge does that knows it serves video, from what a configuration says: sessions, limits, load
//! shedding, and what players are told.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::sync::{Mutex, PoisonError};

use headwater::edge::rates::Per;
use headwater::edge::{
    CmcdLayer, CmsdLayer, EdgeBuilder, Limit, Pressure, PriorityLayer, RateLimitLayer, Sessions,
    ShedLayer, Steering, SteeringLayer,
};
use headwater::proto::config::Edge as Config;
use headwater::proto::config::media::{self, LimitPer};
use headwater::proto::config::text::Name;
use http::HeaderValue;
use prometheus_client::registry::Registry;

use super::super::Error;
use super::settings::count;

/// Events that may wait for the disk; more are dropped and counted.
const EVENTS: usize = 1_024;

/// The layers, of which only limits change under running requests.
pub(super) struct Media {
    pub(super) sessions: Option<Sessions>,
    cmcd: CmcdLayer,
    cmsd: CmsdLayer,
    shed: ShedLayer,
    steering: SteeringLayer,
    priority: PriorityLayer,
    /// With what they were made of: limits that a reload leaves as they are go on counting.
    limits: Mutex<(Limits, RateLimitLayer)>,
}

impl Media {
    /// Makes the layers, and opens the file of events.
    pub(super) fn start(config: &Config, registry: &mut Registry) -> Result<Self, Error> {
        let sessions = config.sessions.on.then(|| sessions(&config.sessions)).transpose()?;
        let mut cmcd = CmcdLayer::default();
        if let Some(sessions) = &sessions {
            sessions.register(registry);
            cmcd = CmcdLayer::new(sessions.clone());
        }
        if let Some(path) = &config.sessions.reports {
            cmcd = cmcd.reports_at(&**path);
        }
        if let Some(origins) = &config.sessions.reports_from {
            let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
            cmcd = cmcd.reports_from(origins.collect::<Result<Vec<_>, _>>()?);
        }
        let pressure = Pressure::default();
        let shed = shed(&config.shed, sessions.as_ref(), &pressure);
        if config.shed.on {
            pressure.register(registry);
        }
        let mut cmsd = CmsdLayer::default();
        if config.cmsd.on {
            cmsd = CmsdLayer::new(&config.cmsd.name).duress(pressure.clone());
        }
        if let Some(most) = config.cmsd.max_bitrate {
            cmsd = cmsd.max_bitrate(most.into());
        }
        let steering = steering(&config.steering, sessions.as_ref(), &pressure)?;
        steering.register(registry);
        let priority = if config.server.priorities {
            PriorityLayer::by_kind()
        } else {
            PriorityLayer::default()
        };
        let asked = Limits::of(config);
        let made = asked.make()?;
        let limits = Mutex::new((asked, made));
        Ok(Self { sessions, cmcd, cmsd, shed, steering, priority, limits })
    }

    /// Adds them to an edge that is being described.
    pub(super) fn add(&self, config: &Config, edge: EdgeBuilder) -> Result<EdgeBuilder, Error> {
        let mut made = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Limits::of(config);
        if made.0 != asked {
            let layer = asked.make()?;
            *made = (asked, layer);
        }
        Ok(edge
            .cmcd(self.cmcd.clone())
            .cmsd(self.cmsd.clone())
            .shed(self.shed.clone())
            .steering(self.steering.clone())
            .priority(self.priority)
            .rates(made.1.clone()))
    }
}

fn sessions(config: &media::Sessions) -> Result<Sessions, Error> {
    let mut builder = Sessions::builder()
        .capacity(count(config.capacity))
        .idle(config.idle.get())
        .edge(&*config.edge)
        .addresses(config.addresses);
    if let Some(path) = &config.events {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            format!("the events of sessions cannot be written to {}: {error}", path.display())
        })?;
        builder = builder.events_to(file, EVENTS)?;
    }
    Ok(builder.build())
}

fn shed(config: &media::Shed, sessions: Option<&Sessions>, pressure: &Pressure) -> ShedLayer {
    if !config.on {
        return ShedLayer::default();
    }
    let layer = ShedLayer::new(config.target.get(), config.interval.get());
    let layer = layer.pressure(pressure.clone());
    match sessions {
        Some(sessions) => layer.sessions(sessions.clone()),
        None => layer,
    }
}

/// What limits are made of.
#[derive(Clone, Debug, PartialEq)]
struct Limits {
    all: Vec<media::Limit>,
    /// Those that routes or policies name.
    named: BTreeSet<Name>,
}

impl Limits {
    fn of(config: &Config) -> Self {
        let routes = config.sites.iter().flat_map(|site| &site.routes).chain(&config.policies);
        let named = routes.filter_map(|route| route.limits.as_deref()).flatten().cloned();
        Self { all: config.limits.clone(), named: named.collect() }
    }

    fn make(&self) -> Result<RateLimitLayer, Error> {
        let limits = self.all.iter().map(|config| {
            let is_named = config.name.as_ref().is_some_and(|name| self.named.contains(name));
            limit(config).where_named(is_named)
        });
        Ok(RateLimitLayer::new(limits)?)
    }
}

fn limit(config: &media::Limit) -> Limit {
    let mut limit = Limit::new(config.name.as_deref().unwrap_or_default())
        .on(config.path.whole())
        .per(match config.per {
            LimitPer::Network => Per::Network,
            LimitPer::Token => Per::Token,
            LimitPer::Route => Per::Route,
            _ => Per::Address,
        })
        .clients(count(config.clients));
    if let Some(hosts) = &config.hosts {
        limit = limit.hosts(hosts.iter().map(|host| &**host));
    }
    if let Some(requests) = config.requests {
        limit = limit.requests(requests, config.window.get());
    }
    if let Some(burst) = config.burst {
        limit = limit.burst(burst);
    }
    if let Some(bytes) = config.bytes_per_second {
        limit = limit.bytes_per_second(bytes.get());
    }
    match config.byte_burst {
        Some(bytes) => limit.byte_burst(bytes.get()),
        None => limit,
    }
}

fn steering(
    config: &media::Steering,
    sessions: Option<&Sessions>,
    pressure: &Pressure,
) -> Result<SteeringLayer, Error> {
    let Some(path) = &config.path else { return Ok(SteeringLayer::default()) };
    let pathways = config.pathways.iter().map(ToString::to_string);
    let mut steering = Steering::at(&**path, pathways).ttl(config.ttl.get());
    if let Some(here) = &config.here {
        steering = steering.here(&**here);
    }
    if let (Some(most), Some(sessions)) = (config.most_sessions, sessions) {
        steering = steering.most_sessions(sessions.clone(), count(most));
    }
    if config.when_shedding {
        steering = steering.pressure(pressure.clone());
    }
    Ok(steering.build()?)
}
