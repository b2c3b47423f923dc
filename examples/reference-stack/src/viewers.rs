//! What an edge knows of its viewers, and asks of them: sessions, what players report, tokens, limits,
//! where they are sent. A layer that no flag asks for is not there.

use std::path::PathBuf;
use std::time::Duration;

use headwater_edge::access_log::LogFile;
use headwater_edge::rates::Per;
use headwater_edge::{
    CmcdLayer, CmsdLayer, Edge, EdgeBuilder, Limit, Pressure, RateLimitLayer, Sessions, ShedLayer,
    Steering, SteeringLayer,
};
use prometheus_client::registry::Registry;

use crate::Error;
use crate::gate::Gate;

/// Where players post what they report (CMCD, event mode).
pub const REPORTS: &str = "/cmcd";

/// Where players ask which edge to fetch from.
pub const STEERING: &str = "/steering";

/// Events of sessions that may wait for the disk; more are dropped and counted.
const EVENTS: usize = 1_024;

/// A delay of a worker is judged over so long.
const SHED_INTERVAL: Duration = Duration::from_millis(100);

/// The flags of an edge about its viewers.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Viewers (of --role all and --role edge)")]
pub struct Viewers {
    /// Media is for those alone who bring a token signed with the secret that this file holds, of at
    /// least 32 bytes: behind /t/ in the path, in the query, or as a cookie, which the pages give to who
    /// opens them (docs/access.md). `headwater sign --key-file FILE --path /media/NAME/` makes more
    #[arg(long, value_name = "FILE", conflicts_with = "token_secret_env")]
    pub token_secret: Option<PathBuf>,

    /// The environment variable that holds the secret of tokens
    #[arg(long, value_name = "NAME")]
    pub token_secret_env: Option<String>,

    /// What this edge is called in events of sessions, and to players
    #[arg(long, value_name = "NAME", default_value = "edge")]
    pub edge_name: String,

    /// Do not note what is being watched: no view of sessions for the operator, no reports taken from
    /// players at /cmcd
    #[arg(long, conflicts_with_all = ["events", "steer_above"])]
    pub no_sessions: bool,

    /// Where events of sessions go, as lines of JSON: a file, or `-` for standard output
    /// [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,

    /// Requests a second that one client address may send, ten seconds' worth at once; more are
    /// answered 429 [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: Option<u32>,

    /// Bits a second that one client gets, in thousands: the holder of a token where there are tokens,
    /// else an address [default: no limit]
    #[arg(long, value_name = "KBIT", value_parser = clap::value_parser!(u64).range(8..=100_000_000))]
    pub max_rate: Option<u64>,

    /// Reports that players behind one address may post, a minute
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_reports: u32,

    /// Turn new sessions away, and then more, while a worker is late by so many milliseconds
    /// [default: never]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub shed_above: Option<u64>,

    /// Tell players of the path to them and of this edge (CMSD)
    #[arg(long)]
    pub cmsd: bool,

    /// The pathways that manifests name, the best first, separated by commas: players that ask at
    /// /steering are told them [default: nobody is]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub pathways: Vec<String>,

    /// Which of the pathways leads to this edge
    #[arg(long, value_name = "NAME", requires = "pathways")]
    pub pathway: Option<String>,

    /// With more sessions than this, players are sent to other pathways, step by step
    #[arg(long, value_name = "N", requires = "pathway")]
    pub steer_above: Option<usize>,

    /// Seconds after which players ask again where to fetch from
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub steer_ttl: u64,
}

/// An edge as far as its viewers are concerned.
pub struct Attended {
    /// Its layers, without a cache and what else does not depend on viewers.
    pub(crate) edge: EdgeBuilder,
    /// What is to stand before it.
    pub(crate) gate: Gate,
    /// What is being watched.
    pub(crate) sessions: Option<Sessions>,
}

impl Viewers {
    /// The edge that the flags describe, with its metrics in `registry`.
    ///
    /// # Errors
    /// Where a file cannot be used, or flags make no sense together.
    pub(crate) fn attend(&self, registry: &mut Registry) -> Result<Attended, Error> {
        let gate = Gate::new(self.token_secret.as_deref(), self.token_secret_env.as_deref())?;
        let sessions = (!self.no_sessions).then(|| self.sessions()).transpose()?;
        let pressure = Pressure::default();
        let mut edge = Edge::builder().rates(self.limits(gate.asks_for_tokens())?);
        if let Some(sessions) = &sessions {
            sessions.register(registry);
            edge = edge.cmcd(CmcdLayer::new(sessions.clone()).reports_at(REPORTS));
        }
        if let Some(millis) = self.shed_above {
            pressure.register(registry);
            let shed = ShedLayer::new(Duration::from_millis(millis), SHED_INTERVAL);
            let shed = shed.pressure(pressure.clone());
            edge = edge.shed(match &sessions {
                Some(sessions) => shed.sessions(sessions.clone()),
                None => shed,
            });
        }
        if self.cmsd {
            edge = edge.cmsd(CmsdLayer::new(&self.edge_name).duress(pressure.clone()));
        }
        if !self.pathways.is_empty() {
            let steering = self.steering(sessions.as_ref(), pressure)?;
            steering.register(registry);
            edge = edge.steering(steering);
        }
        Ok(Attended { edge, gate, sessions })
    }

    fn sessions(&self) -> Result<Sessions, Error> {
        let builder = Sessions::builder().edge(&*self.edge_name);
        let Some(path) = &self.events else { return Ok(builder.build()) };
        let failed = |source| Error::File { path: path.clone(), source };
        let file = LogFile::open(path).map_err(failed)?;
        Ok(builder.events_to(file, EVENTS).map_err(failed)?.build())
    }

    fn limits(&self, tokens: bool) -> Result<RateLimitLayer, Error> {
        let mut limits = Vec::new();
        if let Some(requests) = self.max_requests {
            let limit = Limit::new("requests").requests(requests, Duration::from_secs(1));
            limits.push(limit.burst(requests.saturating_mul(10)));
        }
        if !self.no_sessions {
            let limit = Limit::new("reports").on(REPORTS);
            limits.push(limit.requests(self.max_reports, Duration::from_secs(60)));
        }
        if let Some(kbits) = self.max_rate {
            let per = if tokens { Per::Token } else { Per::Address };
            limits.push(Limit::new("rate").per(per).bytes_per_second(kbits.saturating_mul(125)));
        }
        RateLimitLayer::new(limits).map_err(|error| Error::Usage(error.to_string()))
    }

    fn steering(
        &self,
        sessions: Option<&Sessions>,
        pressure: Pressure,
    ) -> Result<SteeringLayer, Error> {
        let mut steering = Steering::at(STEERING, self.pathways.clone())
            .ttl(Duration::from_secs(self.steer_ttl))
            .pressure(pressure);
        if let Some(here) = &self.pathway {
            steering = steering.here(here);
        }
        if let (Some(most), Some(sessions)) = (self.steer_above, sessions) {
            steering = steering.most_sessions(sessions.clone(), most);
        }
        steering.build().map_err(|error| Error::Usage(format!("--pathways: {error}")))
    }
}
