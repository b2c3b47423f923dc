//! The figures: as a table, and held against their bars.

use std::fmt::Write as _;

use headwater_bench_traces::bar::Bar;
use serde::Serialize;

use crate::origin::Distance;
use crate::player::Cause;
use crate::scene::{Ahead, Outcome};

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub bench: &'static str,
    pub seed: u64,
    pub sessions: u32,
    pub distance: Distance,
    /// Gigabytes of memory of the shield.
    pub ram_gb: u64,
    /// The first is without prefetch, the second with the shield's defaults.
    pub scenes: Vec<Outcome>,
}

/// One line of the table: what it is, and of a scene how much.
type Line = (&'static str, fn(&Outcome) -> String);

const LINES: [Line; 27] = [
    ("rebuffering, s", |of| format!("{:.0}", of.players.stalled)),
    ("rebuffering, s an hour watched", |of| {
        format!("{:.2}", of.players.stalled * 3600.0 / of.players.watched.max(1.0))
    }),
    ("of it just after a start; the shield waited for, s", |of| cause(of, Cause::Started)),
    ("of it just after a seek", |of| cause(of, Cause::Sought)),
    ("of it with the first segment of a rendition", |of| cause(of, Cause::Switched)),
    ("of it anywhere else", |of| cause(of, Cause::Later)),
    ("segments let go of for smaller ones", |of| of.players.abandoned.to_string()),
    ("stalls", |of| of.players.stalls.to_string()),
    ("sessions that stalled, %", |of| {
        let share = of.players.sessions_stalled as f64 / of.players.sessions.max(1) as f64;
        format!("{:.2}", 100.0 * share)
    }),
    ("startup, mean, s", |of| format!("{:.2}", of.players.startup_mean)),
    ("startup, p50, s", |of| format!("{:.2}", of.players.startup_p50)),
    ("startup, p95, s", |of| format!("{:.2}", of.players.startup_p95)),
    ("from a seek to its picture, mean, s", |of| format!("{:.2}", of.players.seek_mean)),
    ("bit rate, mean, Mbit/s", |of| format!("{:.2}", of.players.rate / 1e6)),
    ("switches a session", |of| {
        format!("{:.1}", of.players.switches as f64 / of.players.sessions.max(1) as f64)
    }),
    ("first requests at the shield, in session: hits, %", |of| {
        format!("{:.1}", of.following.hits())
    }),
    ("the same: joined a fetch under way, %", |of| format!("{:.1}", of.following.joined())),
    ("first requests at the shield, of a start or seek: hits, %", |of| {
        format!("{:.1}", of.starting.hits())
    }),
    ("all segment requests at the shield: hits, %", |of| format!("{:.1}", of.shield.hits())),
    ("first requests at an edge: hits, %", |of| format!("{:.1}", of.edge_first.hits())),
    ("all segment requests at the edges: hits, %", |of| format!("{:.1}", of.edge.hits())),
    ("origin offload, % of bytes", |of| format!("{:.1}", of.origin.offload)),
    ("origin requests an object", |of| format!("{:.3}", of.origin.requests_an_object())),
    ("origin, GB", |of| format!("{:.1}", of.origin.bytes as f64 / 1e9)),
    ("fetched ahead, GB", |of| format!("{:.1}", of.prefetch.bytes as f64 / 1e9)),
    ("of it wasted, %", |of| format!("{:.1}", of.prefetch.waste())),
    ("prefetches: sent, used, cancelled, refused, dropped", |of| {
        let Ahead { issued, used, cancelled, refused, dropped, .. } = &of.prefetch;
        format!("{issued}, {used}, {cancelled}, {refused}, {dropped}")
    }),
];

fn cause(of: &Outcome, cause: Cause) -> String {
    let (time, waited) = of.players.causes.get(cause as usize).copied().unwrap_or_default();
    format!("{time:.0}; {waited:.0}")
}

impl Figures {
    /// As Markdown.
    pub fn table(&self) -> String {
        let names: Vec<_> = self.scenes.iter().map(|scene| scene.name).collect();
        let mut text =
            format!("| | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
        for (what, of) in LINES {
            let cells: Vec<_> = self.scenes.iter().map(of).collect();
            // Writing to a String does not fail.
            let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
        }
        text
    }

    /// What is promised of them.
    pub fn bars(&self) -> Vec<Bar> {
        let [without, with, ..] = self.scenes.as_slice() else { return Vec::new() };
        let stalled = 100.0 * with.players.stalled / without.players.stalled.max(f64::MIN_POSITIVE);
        vec![
            Bar::least(
                "in session, first requests at the shield: hits, %",
                with.following.hits(),
                90.0,
            ),
            Bar::most("wasted of the bytes fetched ahead, %", with.prefetch.waste(), 10.0),
            Bar::most("rebuffering, % of that without prefetch", stalled, 50.0),
            Bar::most("origin requests an object", with.origin.requests_an_object(), 1.1),
            Bar::most("answers that failed", with.players.failed as f64, 0.0),
        ]
    }
}
