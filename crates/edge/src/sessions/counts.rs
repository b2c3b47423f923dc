//! What is counted of playback, by title, country and edge.
//!
//! | name | labels |
//! |---|---|
//! | `headwater_edge_sessions` | |
//! | `headwater_edge_sessions_pushed_out_total` | |
//! | `headwater_edge_session_events_dropped_total` | |
//! | `headwater_edge_cmcd_total` | `by` (`query`, `fields`, `report`), `read` (`yes`, `no`, `unknown`) |
//! | `headwater_edge_playback_sessions_total` | `title`, `country`, `edge` |
//! | `headwater_edge_playback_startup_seconds` | `title`, `country`, `edge` |
//! | `headwater_edge_playback_rebuffers_total` | `title`, `country`, `edge` |
//! | `headwater_edge_playback_stalled_seconds_total` | `title`, `country`, `edge` |
//! | `headwater_edge_playback_errors_total` | `title`, `country`, `edge` |
//! | `headwater_edge_playback_rate_bytes_per_second` | `title`, `country`, `edge` |
//!
//! `edge` is this edge's name, as in events: the same on all its series, to add them up with others'.
//! A title is where a presentation lies, which this edge has answered for: what players make up is no
//! label. The first [`MAX_SERIES`] pairs of title and country have counters of their own; what comes
//! later counts under `other`, in both.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use headwater_proto::session::What;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Sessions;
use super::session::Session;

/// The most pairs of title and country that are counted by themselves.
pub const MAX_SERIES: usize = 256;

const OTHER: &str = "other";
const STARTUP_BOUNDS: [u64; 8] = [250, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000];
const BITRATE_BOUNDS: [u64; 8] = [500, 1_000, 2_000, 4_000, 6_000, 8_000, 16_000, 25_000];

/// How a player told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Query,
    Fields,
    Report,
}

/// What became of what it told.
const READ: [&str; 3] = ["yes", "no", "unknown"];

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) pushed_out: Counter,
    pub(super) events_dropped: Counter,
    cmcd: [[Counter; READ.len()]; 3],
    series: Mutex<BTreeMap<Labels, Series>>,
}

/// Title and country.
type Labels = (Box<str>, Box<str>);

/// A family of counters or histograms: its name, what it is, and where it is in a series.
type Family<T> = (&'static str, &'static str, fn(&Series) -> T);

#[derive(Debug, Default)]
struct Series {
    sessions: u64,
    startup: Histogram,
    rebuffers: u64,
    stalled: u64,
    errors: u64,
    bitrate: Histogram,
}

#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    counts: [u64; STARTUP_BOUNDS.len() + 1],
    sum: u64,
}

impl Histogram {
    fn observe(&mut self, value: u64, bounds: &[u64; STARTUP_BOUNDS.len()]) {
        let at = bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }
}

impl Counts {
    /// A player told something that could be read.
    pub(crate) fn read(&self, by: By) {
        self.cmcd[by as usize][0].inc();
    }

    /// … that could not.
    pub(crate) fn refused(&self, by: By, times: usize) {
        self.cmcd[by as usize][1].inc_by(times as u64);
    }

    /// … of a session that this edge does not serve.
    pub(crate) fn unknown(&self, by: By) {
        self.cmcd[by as usize][2].inc();
    }

    pub(super) fn happened(&self, session: &Session, what: &What) {
        let country = session.country.as_ref().map_or("", |country| country.as_str());
        let key = (session.title.clone(), Box::from(country));
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let has_place = all.len() < MAX_SERIES || all.contains_key(&key);
        let key = if has_place { key } else { (OTHER.into(), OTHER.into()) };
        let series = all.entry(key).or_default();
        match what {
            What::Begun => series.sessions += 1,
            What::Startup { millis } => series.startup.observe(*millis, &STARTUP_BOUNDS),
            What::Rebuffer => series.rebuffers += 1,
            What::Stalled { millis } => series.stalled += millis,
            What::Error { .. } => series.errors += 1,
            What::Bitrate { kbps } => series.bitrate.observe(*kbps, &BITRATE_BOUNDS),
            _ => {}
        }
    }
}

/// Tells a scrape.
#[derive(Debug)]
pub(super) struct Told(pub(super) Sessions);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if !self.0.is_on() {
            return Ok(());
        }
        let counts = self.0.counts();
        let known = i64::try_from(self.0.known()).unwrap_or(i64::MAX);
        ConstGauge::new(known).encode(encoder.encode_descriptor(
            "headwater_edge_sessions",
            "Playback sessions known now",
            None,
            MetricType::Gauge,
        )?)?;
        for (name, help, counter) in [
            (
                "headwater_edge_sessions_pushed_out",
                "Sessions forgotten early: there was no place",
                &counts.pushed_out,
            ),
            (
                "headwater_edge_session_events_dropped",
                "Events of sessions dropped: the queue was full",
                &counts.events_dropped,
            ),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(counter.get()).encode(encoder)?;
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_cmcd",
            "What players told, and whether it could be used",
            None,
            MetricType::Counter,
        )?;
        for (by, counters) in ["query", "fields", "report"].iter().zip(&counts.cmcd) {
            for (read, counter) in READ.iter().zip(counters) {
                let set = [("by", *by), ("read", *read)];
                ConstCounter::new(counter.get()).encode(family.encode_family(&set)?)?;
            }
        }
        counts.encode_series(encoder, &self.0.0.edge.load())
    }
}

impl Counts {
    fn encode_series(&self, mut encoder: DescriptorEncoder<'_>, edge: &str) -> fmt::Result {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let plain: [Family<u64>; 3] = [
            ("headwater_edge_playback_sessions", "Sessions begun", |series| series.sessions),
            ("headwater_edge_playback_rebuffers", "Buffers run empty", |series| series.rebuffers),
            ("headwater_edge_playback_errors", "Errors that players told", |series| series.errors),
        ];
        for (name, help, of) in plain {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((title, country), series) in &*all {
                let set = [("title", &**title), ("country", &**country), ("edge", edge)];
                ConstCounter::new(of(series)).encode(family.encode_family(&set)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_playback_stalled_seconds",
            "Time without a picture in the middle of playback",
            None,
            MetricType::Counter,
        )?;
        for ((title, country), series) in &*all {
            let set = [("title", &**title), ("country", &**country), ("edge", edge)];
            let seconds = series.stalled as f64 / 1e3;
            ConstCounter::new(seconds).encode(family.encode_family(&set)?)?;
        }
        let histograms: [(Family<Histogram>, _, _); 2] = [
            (
                (
                    "headwater_edge_playback_startup_seconds",
                    "Time from a viewer's wish to the first picture",
                    |series| series.startup,
                ),
                STARTUP_BOUNDS,
                1e-3,
            ),
            (
                (
                    "headwater_edge_playback_rate_bytes_per_second",
                    "Bit rates that players changed to, in bytes",
                    |series| series.bitrate,
                ),
                BITRATE_BOUNDS,
                125.0,
            ),
        ];
        for ((name, help, of), bounds, unit) in histograms {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for ((title, country), series) in &*all {
                let histogram = of(series);
                let count = histogram.counts.iter().sum();
                if count == 0 {
                    continue;
                }
                let bounds = bounds.iter().map(|bound| *bound as f64 * unit).chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
                let set = [("title", &**title), ("country", &**country), ("edge", edge)];
                let mut metric = family.encode_family(&set)?;
                let sum = histogram.sum as f64 * unit;
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}
