//! What making room costs in memory, in CPU time of one thread: by age, and by what the shield tells.
//!
//! A cache is filled by the first part of a trace. Then objects come in one after the other, none of which it
//! has, so that each drives out about one. What is measured is the tier's own source, with nothing around it.

use std::hash::{BuildHasherDefault, DefaultHasher};

use headwater_bench_traces::traffic::Trace;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::measure::warmed_up;
use crate::tier::keep::{Keep, Worth};
use crate::tier::sieve::{Change, Sieve};
use crate::watched::Watched;

/// Objects that come in while it is measured.
const OBJECTS: u32 = 50_000;

/// CPU time, in ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Of an object that comes in, for each that it drives out: by age, and by worth.
    pub by_age: f64,
    pub by_worth: f64,
    /// Of the shield, to note a request.
    pub noted: f64,
}

impl Cost {
    /// Of a cache of so many bytes, before the audience of a trace.
    pub fn measure(capacity: u64, trace: &Trace) -> Self {
        let (watched, before) = (Watched::new(trace), cpu());
        for request in trace.requests.iter().take(warmed_up(trace)) {
            watched.asked(request.object, request.at_ms);
        }
        let noted = (cpu() - before) / warmed_up(trace).max(1) as f64;
        let by_age = driven_out(capacity, trace, |_| None);
        let by_worth = driven_out(capacity, trace, |object| Some(Keep::by(watched.of(object))));
        Self { by_age, by_worth, noted }
    }

    /// As Markdown.
    pub fn table(self) -> String {
        let Self { by_age, by_worth, noted } = self;
        format!(
            "| CPU time, ns: one drives out another by age | by worth | a request is noted |\n\
             |---|---|---|\n| {by_age:.0} | {by_worth:.0} | {noted:.0} |\n"
        )
    }
}

/// For each object that is driven out, where `keep` tells of those that come in.
fn driven_out(capacity: u64, trace: &Trace, keep: impl Fn(u32) -> Option<Keep>) -> f64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let cache = Sieve::<u32, Stored, _>::new(capacity, hasher, worth);
    let put = |object: u32, key: u32| {
        let bytes = trace.objects.get(object as usize).map_or(0, |object| object.bytes);
        cache.change(&key, |_| Change::Put(Stored(keep(object)), bytes.into())).evicted.len()
    };
    for request in trace.requests.iter().take(warmed_up(trace)) {
        if cache.get(&request.object).is_none() {
            put(request.object, request.object);
        }
    }
    let objects = trace.objects.len().max(1) as u32;
    let before = cpu();
    let out: usize = (0..OBJECTS).map(|nth| put(nth % objects, objects + nth)).sum();
    (cpu() - before) / out.max(1) as f64
}

/// What is stored: what tells its worth, where somebody does.
#[derive(Clone)]
struct Stored(Option<Keep>);

fn worth(stored: &Stored) -> Option<&dyn Worth> {
    stored.0.as_ref().map(Keep::worth)
}

/// CPU time of this thread, in ns.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
