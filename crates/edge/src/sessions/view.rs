//! The operator's view of sessions: plain data, for JSON.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::Sessions;
use super::session::Session;
use super::tier::Tier;
use crate::whom;

/// The most sessions and titles of one view.
pub const MAX_VIEW: usize = 1_000;

/// What is being watched.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct View {
    /// Now, in milliseconds since 1970.
    pub at: u64,
    /// The edge's name.
    pub edge: String,
    /// How many sessions are known.
    pub known: usize,
    /// Titles, the most watched first.
    pub titles: Vec<Title>,
    /// Sessions, the one that asked last first.
    pub sessions: Vec<Watched>,
}

/// What all sessions of a title come to.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Title {
    /// Where its presentation lies.
    pub title: String,
    /// At which host.
    pub host: String,
    /// How many watch it.
    pub sessions: usize,
    /// How many of them wait for data.
    pub rebuffering: usize,
    /// Bit rates of their pictures together, in kbit/s, as far as players tell.
    pub bitrate_kbps: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Watched {
    /// The player's `sid`, or what was made up for it.
    pub id: String,
    /// Where its presentation lies.
    pub title: String,
    /// At which host.
    pub host: String,
    /// What the player calls what it plays.
    pub content: Option<String>,
    /// The client's network, or its address where that is told.
    pub address: Option<IpAddr>,
    /// Its country.
    pub country: Option<String>,
    /// `h1`, `h2`, `h3`.
    pub protocol: Option<&'static str>,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When it last asked or told something.
    pub last: u64,
    /// Requests answered.
    pub requests: u64,
    /// Of these, with an error.
    pub failed: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// What answered the last one: `memory`, `disk`, `shield`, `origin`.
    pub tier: Option<&'static str>,
    /// What answered how often.
    pub tiers: BTreeMap<&'static str, u64>,
    /// How fast it takes what is sent, in kbit/s.
    pub delivered_kbps: Option<u64>,
    /// How fast its player finds it, in kbit/s.
    pub measured_kbps: Option<u64>,
    /// The bit rate of its pictures, in kbit/s.
    pub bitrate_kbps: Option<u64>,
    /// Its buffer, in milliseconds.
    pub buffer_ms: Option<u64>,
    /// How far behind the live edge it is, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Whether it is live.
    pub live: Option<bool>,
    /// What its player does: `playing`, `rebuffering`, ….
    pub state: Option<&'static str>,
    /// How long it took to start, in milliseconds.
    pub startup_ms: Option<u64>,
    /// How often its buffer ran empty.
    pub rebuffers: u64,
    /// For how long in all, in milliseconds.
    pub stalled_ms: u64,
    /// Errors that its player told.
    pub errors: u64,
}

impl Sessions {
    /// What is being watched: the `most` sessions that asked last, and as many titles; no more than
    /// 1,000. Looks at all that are known.
    pub fn view(&self, most: usize) -> View {
        let (inner, most) = (&*self.0, most.min(MAX_VIEW));
        // No other table comes while this one is looked at.
        let _whole = self.whole();
        let (table, now) = (inner.table.load(), inner.clock.now());
        let addresses = inner.addresses.load(Ordering::Relaxed);
        self.sweep(&table, 0..table.sets(), now);
        let mut latest: BinaryHeap<Reverse<Row>> = BinaryHeap::new();
        let mut titles: BTreeMap<(Box<str>, Box<str>), Title> = BTreeMap::new();
        for set in 0..table.sets() {
            table.sweep(set, |place| {
                let Some(session) = place else { return false };
                let key = (session.host.clone(), session.title.clone());
                let title = titles.entry(key).or_default();
                title.sessions += 1;
                title.rebuffering +=
                    usize::from(session.state == Some(headwater_proto::cmcd::State::Rebuffering));
                title.bitrate_kbps =
                    title.bitrate_kbps.saturating_add(session.bitrate.unwrap_or(0));
                let row = |session: &Session| Row(session.last.as_millis(), session.row(addresses));
                if latest.len() < most {
                    latest.push(Reverse(row(session)));
                } else if latest
                    .peek()
                    .is_some_and(|Reverse(least)| least.0 < session.last.as_millis())
                {
                    latest.pop();
                    latest.push(Reverse(row(session)));
                }
                true
            });
        }
        let mut titles: Vec<Title> = titles
            .into_iter()
            .map(|((host, title), sums)| Title { host: host.into(), title: title.into(), ..sums })
            .collect();
        titles.sort_by_key(|title| Reverse(title.sessions));
        titles.truncate(most);
        let sessions = latest.into_sorted_vec().into_iter().map(|Reverse(row)| row.1).collect();
        let known = self.known();
        View { at: now.as_millis(), edge: inner.edge.load().to_string(), known, titles, sessions }
    }
}

/// A session with when it last asked, by which it is ordered.
struct Row(u64, Watched);

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, &self.1.id).cmp(&(other.0, &other.1.id))
    }
}

impl Session {
    fn row(&self, addresses: bool) -> Watched {
        let counted = Tier::ALL.iter().zip(self.tiers).filter(|(_, count)| *count > 0);
        Watched {
            id: self.id.to_string(),
            title: self.title.to_string(),
            host: self.host.to_string(),
            content: self.content.as_deref().map(ToOwned::to_owned),
            address: self.address.map(|ip| if addresses { ip } else { whom::anonymous(ip) }),
            country: self.country.map(|country| country.as_str().to_owned()),
            protocol: self.protocol.map(headwater_net::Protocol::as_str),
            began: self.began.as_millis(),
            last: self.last.as_millis(),
            requests: self.requests,
            failed: self.failed,
            bytes: self.bytes,
            tier: self.tier.map(Tier::as_str),
            tiers: counted.map(|(tier, count)| (tier.as_str(), count)).collect(),
            delivered_kbps: self.delivered,
            measured_kbps: self.measured,
            bitrate_kbps: self.bitrate,
            buffer_ms: self.buffer,
            latency_ms: self.latency,
            live: self.live,
            state: self.state.map(headwater_proto::cmcd::State::as_str),
            startup_ms: self.startup,
            rebuffers: self.rebuffers,
            stalled_ms: self.stalled,
            errors: self.errors,
        }
    }
}
