//! `[sessions]`, `[[limit]]`, `[shed]`, `[cmsd]`, `[steering]`: what an edge does that knows it serves
//! video. docs/media-at-the-edge.md tells what each is for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::{Size, Time};
use super::text::{Host, List, Name, Origin, PathPattern};

/// What is being watched, by what clients ask and what their players say (CMCD).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Sessions {
    /// Whether sessions are noted, for the operator's `/sessions`, for metrics and for events; where a reload
    /// says that they are not any more, all of them end. Default false. Bound: none. Danger: it is known who
    /// watches what.
    pub on: bool,
    /// The most sessions that are known at once; what makes room is the one of eight that was silent for
    /// longest. Unit: sessions. Default 10,000. Bound: 1 to 1,000,000. Danger: each takes up to 1.5 KiB; where
    /// a reload says fewer than are known, those that were silent for longest are forgotten.
    pub capacity: u32,
    /// For how long a session may be silent before it counts as over. Default 60 s. Bound: 1 s to 1 h.
    /// Danger: shorter than players' buffers are long, one that is paused counts twice.
    pub idle: Time,
    /// The edge's name in events. Default `edge`. Bound: none. Danger: none.
    pub edge: Name,
    /// Whether the operator is told addresses whole, and not networks of 24 bits of IPv4 or 48 of IPv6.
    /// Default false. Bound: none. Danger: it is told which person watches what.
    pub addresses: bool,
    /// The file of events, a line of JSON each; it is appended to, `-` is standard output. It is opened again
    /// at SIGUSR1, and at SIGHUP. Default none. Bound: none. Danger: ids of sessions are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<PathBuf>,
    /// Where players post reports (CMCD version 2, event mode), on every site; where the site has tokens, with
    /// one, unless a route there is `public`. Default none. Bound: a path without `*`. Danger: nothing else is
    /// served there; `[[limit]]` bounds how much is posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports: Option<PathPattern>,
    /// Origins whose pages may post reports (CORS), where no `cors` of a route says it. Default all. Bound: at
    /// most 64; `reports` is there. Danger: none: what is posted without a page is not bound by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports_from: Option<List<Origin>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            on: false,
            capacity: 10_000,
            idle: Time::secs(60),
            edge: Name::fixed("edge"),
            addresses: false,
            events: None,
            reports: None,
            reports_from: None,
        }
    }
}

/// How much clients may ask for; all limits that are for a request count. Who asks too often is answered
/// 429; who takes bytes too fast is sent them more slowly. Limits by `token` count what tokens have let in,
/// all others what comes, bad tokens among it. One that a route or a policy names (`limit`) is for the routes
/// that it holds for, and no others; one that none names is for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limit {
    /// What clients are told of it. Default none. Bound: each has one of its own, of letters, digits, `-`
    /// and `_`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The paths it is for, as those of a route, and those that an origin might read as one of them. Default
    /// `/**`. Bound: as for a route's. Danger: none.
    pub path: PathPattern,
    /// The hosts it is for, as those of a site. Default all. Bound: hosts of a `[[site]]`; 1 to 64. Danger: a
    /// site's other hosts are not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<List<Host>>,
    /// Whom it counts together: each `address` (of IPv6 each network of 64 bits), each `network` of 24 bits
    /// of IPv4 or 48 of IPv6, each holder of a `token`, or by `route` all whom it is for. Default `address`.
    /// Bound: one of these; `token` where a site that it is for has `[site.tokens]`. Danger: many viewers may
    /// share one address.
    pub per: LimitPer,
    /// So many requests in each `window`. Unit: requests. Default none. Bound: more than zero; it or
    /// `bytes_per_second` is there. Danger: a player asks for several segments a second when it starts; a
    /// reload that changes the limit, or whether a route names it, forgets what it has counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// The time in which `requests` are given back. Default 1 s. Bound: 1 ms to 1 d. Danger: none.
    pub window: Time,
    /// How many of them may come at once. Unit: requests. Default as `requests`. Bound: more than zero. Danger:
    /// as for `requests`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// So many bytes of bodies a second. Default none. Bound: more than zero. Danger: less than the lowest
    /// bit rate, and nobody can watch; as for `requests`, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<Size>,
    /// So many of them go out at once. Default none: those of two seconds. Bound: more than zero. Danger:
    /// smaller than a segment it delays each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte_burst: Option<Size>,
    /// The most clients that are counted at once; what makes room is the one of eight that was not seen for
    /// longest. Unit: clients. Default 65,536. Bound: 1 to 10,000,000. Danger: each takes up to 40 B; too few,
    /// and who has many addresses is forgotten in time.
    pub clients: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            name: None,
            path: PathPattern::fixed("/**"),
            hosts: None,
            per: LimitPer::Address,
            requests: None,
            window: Time::secs(1),
            burst: None,
            bytes_per_second: None,
            byte_burst: None,
            clients: 65_536,
        }
    }
}

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LimitPer {
    /// Each address.
    #[default]
    Address,
    /// Each network of 24 bits of IPv4, of 48 bits of IPv6.
    Network,
    /// Each holder of a token.
    Token,
    /// All whom it is for.
    Route,
}

/// What is turned away while a worker is too busy: new sessions before those that run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shed {
    /// Whether anything is. Default false. Bound: none. Danger: without, all wait alike; where `on` of
    /// `[sessions]` is false, players of live that load their playlist again are turned away as new ones are.
    pub on: bool,
    /// How long what is ready may wait for its turn. Default 20 ms. Bound: 1 ms to 10 s. Danger: too short
    /// turns away what could have been served.
    pub target: Time,
    /// For how long it must wait longer all the time before anything is turned away. Default 100 ms. Bound:
    /// 10 ms to 1 min. Danger: too long, and all time out by then.
    pub interval: Time,
}

impl Default for Shed {
    fn default() -> Self {
        Self { on: false, target: Time::millis(20), interval: Time::millis(100) }
    }
}

/// What players are told of the path and of this edge (CMSD).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Cmsd {
    /// Whether they are. Default false. Bound: none. Danger: none.
    pub on: bool,
    /// The name this edge has there. Default `edge`. Bound: none. Danger: strangers see it.
    pub name: Name,
    /// The highest bit rate that players are to ask for, in kbit/s. Unit: kbit/s. Default none. Bound: more
    /// than zero. Danger: players that heed it show less than they could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
}

impl Default for Cmsd {
    fn default() -> Self {
        Self { on: false, name: Name::fixed("edge"), max_bitrate: None }
    }
}

/// Where players are told to fetch from (content steering of HLS and DASH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Steering {
    /// Where they ask, on every site; as for `reports` of `[sessions]`, with a token where the site has some.
    /// Default none. Bound: a path without `*`. Danger: nothing else is served there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPattern>,
    /// Ids of pathways as manifests have them, the best first. Default none. Bound: 1 to 16 where `path` is
    /// there, each once. Danger: none.
    pub pathways: List<Name>,
    /// The one that leads to this edge. Default none. Bound: one of `pathways`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Name>,
    /// When players ask again. Default 30 s. Bound: 1 s to 1 d. Danger: long, and they leave late.
    pub ttl: Time,
    /// Sends players elsewhere while more sessions are known than this. Unit: sessions. Default none. Bound:
    /// `here` is there, and `on` of `[sessions]`. Danger: the other edges get them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_sessions: Option<u32>,
    /// Sends players elsewhere while requests are turned away. Default false. Bound: `here` is there, and
    /// `on` of `[shed]`. Danger: as for `most_sessions`.
    pub when_shedding: bool,
}

impl Default for Steering {
    fn default() -> Self {
        Self {
            path: None,
            pathways: List::default(),
            here: None,
            ttl: Time::secs(30),
            most_sessions: None,
            when_shedding: false,
        }
    }
}
