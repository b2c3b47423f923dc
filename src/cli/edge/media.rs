//! What an edge does that knows it serves video, from what a configuration says: sessions, limits, load
//! shedding, and what players are told.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater::edge::access_log::{LogFile, Reopened};
use headwater::edge::rates::Per;
use headwater::edge::sessions::SessionsBuilder;
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
    pub(super) sessions: Sessions,
    /// Where events of sessions are written.
    pub(super) events: LogFile,
    pressure: Pressure,
    steered: SteeringMetrics,
    kept: Mutex<Kept>,
}

/// Layers that remember, with what they were made of: they go on where a reload leaves that as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    limits: (Limits, RateLimitLayer),
    steering: (media::Steering, SteeringLayer),
}

impl Media {
    /// Makes what lasts, and opens the file of events.
    pub(super) fn start(config: &Config, registry: &mut Registry) -> Result<Self, Error> {
        let sessions = sessions(&config.sessions).build();
        sessions.register(registry);
        let (pressure, steered) = (Pressure::default(), SteeringMetrics::default());
        pressure.register(registry);
        steered.register(registry);
        let (events, kept) = (LogFile::nowhere(), Mutex::default());
        let media = Self { sessions, events, pressure, steered, kept };
        let kept = media.kept(config)?;
        *media.lock() = kept;
        media.events.put(media.events_file(&config.sessions)?);
        Ok(media)
    }

    /// Opens the file of events, and has a thread that writes them from the first time on that there is one.
    pub(super) fn events_file(&self, config: &media::Sessions) -> Result<Reopened, Error> {
        let Some(path) = config.events.as_ref().filter(|_| config.on) else {
            return Ok(Reopened::nowhere());
        };
        let opened = LogFile::reopen_at(path).map_err(|error| {
            format!("the events of sessions cannot be written to {}: {error}", path.display())
        })?;
        self.sessions.events_to(self.events.clone(), EVENTS)?;
        Ok(opened)
    }

    /// The layers that remember, as a configuration has them: those of before where it leaves them as they are.
    /// Nothing has changed before they are [put](Self::put).
    pub(super) fn kept(&self, config: &Config) -> Result<Kept, Error> {
        let mut kept = self.lock().clone();
        let asked = Limits::of(config);
        if kept.limits.0 != asked {
            let made = asked.make(&kept.limits.1)?;
            kept.limits = (asked, made);
        }
        if kept.steering.0 != config.steering {
            kept.steering = (config.steering.clone(), self.steering(&config.steering)?);
        }
        Ok(kept)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions are as a configuration has them from now on, and events of them are written there; these layers
    /// are those of before at the next reload.
    pub(super) fn put(&self, config: &media::Sessions, events: Reopened, kept: Kept) {
        *self.lock() = kept;
        // What ends with them is told where it was told before.
        if config.on {
            self.events.put(events);
        }
        self.sessions.put(sessions(config));
    }

    /// The sessions, where they are noted.
    fn noted(&self, config: &Config) -> Option<&Sessions> {
        config.sessions.on.then_some(&self.sessions)
    }

    /// Adds the layers to an edge that is being described, those that remember among them.
    pub(super) fn add(
        &self,
        config: &Config,
        kept: &Kept,
        edge: EdgeBuilder,
    ) -> Result<EdgeBuilder, Error> {
        let priority = if config.server.priorities {
            PriorityLayer::by_kind()
        } else {
            PriorityLayer::default()
        };
        Ok(edge
            .cmcd(self.cmcd(config)?)
            .cmsd(self.cmsd(&config.cmsd))
            .shed(self.shed(config))
            .steering(kept.steering.1.clone())
            .priority(priority)
            .rates(kept.limits.1.clone()))
    }

    fn cmcd(&self, config: &Config) -> Result<CmcdLayer, Error> {
        let Some(sessions) = self.noted(config) else { return Ok(CmcdLayer::default()) };
        let (config, mut layer) = (&config.sessions, CmcdLayer::new(sessions.clone()));
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

    fn shed(&self, config: &Config) -> ShedLayer {
        let shed = &config.shed;
        if !shed.on {
            return ShedLayer::default();
        }
        let layer = ShedLayer::new(shed.target.get(), shed.interval.get());
        let layer = layer.pressure(self.pressure.clone());
        match self.noted(config) {
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
        if let Some(most) = config.most_sessions {
            steering = steering.most_sessions(self.sessions.clone(), count(most));
        }
        if config.when_shedding {
            steering = steering.pressure(self.pressure.clone());
        }
        Ok(steering.metrics(self.steered.clone()).build()?)
    }
}

fn sessions(config: &media::Sessions) -> SessionsBuilder {
    Sessions::builder()
        .on(config.on)
        .capacity(count(config.capacity))
        .idle(config.idle.get())
        .edge(&*config.edge)
        .addresses(config.addresses)
}

/// What limits are made of.
#[derive(Clone, Debug, Default, PartialEq)]
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

    /// Those of before that are as they were count on.
    fn make(&self, before: &RateLimitLayer) -> Result<RateLimitLayer, Error> {
        let limits = self.all.iter().map(|config| {
            let is_named = config.name.as_ref().is_some_and(|name| self.named.contains(name));
            limit(config).where_named(is_named)
        });
        Ok(before.changed(limits)?)
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
        let mut config = Config::default();
        let media = Media::start(&config, &mut Registry::default()).unwrap();
        assert_eq!(format!("{:?}", media.shed(&config)), format!("{:?}", ShedLayer::default()));
        config.shed.on = true;
        (config.shed.target, config.shed.interval) = (Time::millis(7), Time::millis(77));
        assert!(format!("{:?}", media.shed(&config)).contains("target: 7ms, interval: 77ms"));
    }
}
