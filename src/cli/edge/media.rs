//! What an edge does that knows it serves video, from what a configuration says: sessions, limits, load
//! shedding, and what players are told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use headwater::edge::access_log::{LogFile, Reopened};
use headwater::edge::rates::Per;
use headwater::edge::{
    CmcdLayer, CmsdLayer, EdgeBuilder, Limit, Pressure, PriorityLayer, RateLimitLayer, Sessions,
    ShedLayer, Steering, SteeringLayer, SteeringMetrics,
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

/// What outlives a reload of it. Layers without a memory are made anew.
pub(super) struct Media {
    pub(super) sessions: Option<Sessions>,
    /// Where events of sessions are written, where that was so at the start.
    pub(super) events: Option<LogFile>,
    pressure: Pressure,
    steered: SteeringMetrics,
    kept: Mutex<Kept>,
}

/// Layers that remember, with what they were made of: they go on where a reload leaves that as it is.
struct Kept {
    limits: (Limits, RateLimitLayer),
    steering: (media::Steering, SteeringLayer),
}

impl Media {
    /// Makes what lasts, and opens the file of events.
    pub(super) fn start(config: &Config, registry: &mut Registry) -> Result<Self, Error> {
        let events = match (&config.sessions.events, config.sessions.on) {
            (Some(_), true) => Some(LogFile::nowhere()),
            _ => None,
        };
        if let Some(file) = &events {
            file.put(events_file(&config.sessions)?);
        }
        let sessions = config.sessions.on.then(|| sessions(&config.sessions, events.clone()));
        let sessions = sessions.transpose()?;
        if let Some(sessions) = &sessions {
            sessions.register(registry);
        }
        let (pressure, steered) = (Pressure::default(), SteeringMetrics::default());
        pressure.register(registry);
        steered.register(registry);
        let none = (media::Steering::default(), SteeringLayer::default());
        let asked = Limits::of(config);
        let made = asked.make()?;
        let kept = Mutex::new(Kept { limits: (asked, made), steering: none });
        Ok(Self { sessions, events, pressure, steered, kept })
    }

    /// Opens the file of events, where they are written.
    pub(super) fn events_file(&self, config: &media::Sessions) -> Result<Option<Reopened>, Error> {
        self.events.as_ref().map(|_| events_file(config)).transpose()
    }

    /// Events are written there from now on.
    pub(super) fn put_events(&self, opened: Option<Reopened>) {
        if let (Some(file), Some(opened)) = (&self.events, opened) {
            file.put(opened);
        }
    }

    /// Adds the layers to an edge that is being described.
    pub(super) fn add(&self, config: &Config, edge: EdgeBuilder) -> Result<EdgeBuilder, Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Limits::of(config);
        if kept.limits.0 != asked {
            let made = asked.make()?;
            kept.limits = (asked, made);
        }
        if kept.steering.0 != config.steering {
            kept.steering = (config.steering.clone(), self.steering(&config.steering)?);
        }
        let priority = if config.server.priorities {
            PriorityLayer::by_kind()
        } else {
            PriorityLayer::default()
        };
        Ok(edge
            .cmcd(self.cmcd(&config.sessions)?)
            .cmsd(self.cmsd(&config.cmsd))
            .shed(self.shed(&config.shed))
            .steering(kept.steering.1.clone())
            .priority(priority)
            .rates(kept.limits.1.clone()))
    }

    fn cmcd(&self, config: &media::Sessions) -> Result<CmcdLayer, Error> {
        let Some(sessions) = &self.sessions else { return Ok(CmcdLayer::default()) };
        let mut layer = CmcdLayer::new(sessions.clone());
        if let Some(path) = &config.reports {
            layer = layer.reports_at(&**path);
        }
        if let Some(origins) = &config.reports_from {
            let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
            layer = layer.reports_from(origins.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(layer)
    }

    fn cmsd(&self, config: &media::Cmsd) -> CmsdLayer {
        let layer = if config.on {
            CmsdLayer::new(&config.name).duress(self.pressure.clone())
        } else {
            CmsdLayer::default()
        };
        match config.max_bitrate {
            Some(most) => layer.max_bitrate(most.into()),
            None => layer,
        }
    }

    fn shed(&self, config: &media::Shed) -> ShedLayer {
        if !config.on {
            return ShedLayer::default();
        }
        let layer = ShedLayer::new(config.target.get(), config.interval.get());
        let layer = layer.pressure(self.pressure.clone());
        match &self.sessions {
            Some(sessions) => layer.sessions(sessions.clone()),
            None => layer,
        }
    }

    fn steering(&self, config: &media::Steering) -> Result<SteeringLayer, Error> {
        let Some(path) = &config.path else { return Ok(SteeringLayer::default()) };
        let pathways = config.pathways.iter().map(ToString::to_string);
        let mut steering = Steering::at(&**path, pathways).ttl(config.ttl.get());
        if let Some(here) = &config.here {
            steering = steering.here(&**here);
        }
        if let (Some(most), Some(sessions)) = (config.most_sessions, &self.sessions) {
            steering = steering.most_sessions(sessions.clone(), count(most));
        }
        if config.when_shedding {
            steering = steering.pressure(self.pressure.clone());
        }
        Ok(steering.metrics(self.steered.clone()).build()?)
    }
}

/// Opens the file of events.
fn events_file(config: &media::Sessions) -> Result<Reopened, Error> {
    let Some(path) = &config.events else { return Ok(Reopened::nowhere()) };
    let opened = LogFile::reopen_at(path);
    Ok(opened.map_err(|error| {
        format!("the events of sessions cannot be written to {}: {error}", path.display())
    })?)
}

fn sessions(config: &media::Sessions, events: Option<LogFile>) -> Result<Sessions, Error> {
    let mut builder = Sessions::builder()
        .capacity(count(config.capacity))
        .idle(config.idle.get())
        .edge(&*config.edge)
        .addresses(config.addresses);
    if let Some(file) = events {
        builder = builder.events_to(file, EVENTS)?;
    }
    Ok(builder.build())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use headwater::proto::config::quantity::Time;

    use super::*;

    #[test]
    fn shedding_is_configured() {
        let media = Media::start(&Config::default(), &mut Registry::default()).unwrap();
        let mut config = media::Shed::default();
        assert_eq!(format!("{:?}", media.shed(&config)), format!("{:?}", ShedLayer::default()));
        (config.on, config.target) = (true, Time::millis(7));
        assert!(format!("{:?}", media.shed(&config)).contains("target: 7ms, interval: 100ms"));
    }
}
