//! Requests as players, crawlers and live audiences make them, the same in every run of a seed.
//!
//! A [`Traffic`] describes an audience: how popular titles are (Zipf's law), how new ones come up
//! and old ones go, who watches live, who crawls. [`Traffic::trace`] lets viewers arrive (a Poisson
//! process) and writes down what each asks for, in the order of time:
//!
//! - A viewer of a title reads its playlists and init segments, then video and sound of each
//!   segment, one after the other as time passes, the first few at once. The rung of the ladder is
//!   the viewer's own; it begins low and is left now and then. Most leave early.
//! - A viewer of a live channel asks for what is newest, or for a place in the window behind it.
//! - A crawler reads a title that nobody else wants, whole, as fast as it gets it.
//!
//! What is left out: playlists that change (they live for seconds, in any cache), ranges, and
//! repeated requests of players whose connection failed.

mod ladder;
mod popularity;
mod random;
mod session;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

pub use ladder::{Rung, SEGMENT_MS, bytes, segments};
pub use popularity::Catalogue;
pub use random::Random;

use session::Session;

/// What an audience is like.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Its name in tables.
    pub name: &'static str,
    /// How unequal titles are: the exponent of Zipf's law.
    pub exponent: f64,
    /// Titles that are offered at a time.
    pub titles: u32,
    /// A new title takes the place of an old one each time so many sessions have begun; never for 0.
    pub premiere_every: u32,
    /// Shares of the sessions that watch live, and that crawl; all others watch titles.
    pub live: f64,
    /// See [`live`](Self::live).
    pub crawlers: f64,
    /// Live channels.
    pub channels: u32,
    /// Milliseconds between two sessions, on average.
    pub arrival_ms: f64,
}

impl Traffic {
    /// Viewers of titles whose popularity falls by Zipf's law with this exponent.
    pub const fn titles(name: &'static str, exponent: f64) -> Self {
        Self {
            name,
            exponent,
            titles: 1_000,
            premiere_every: 0,
            live: 0.0,
            crawlers: 0.0,
            channels: 20,
            arrival_ms: 2_000.0,
        }
    }

    /// So many requests. The same seed gives the same ones.
    pub fn trace(&self, seed: u64, requests: usize) -> Trace {
        let mut random = Random::new(seed);
        let mut catalogue = Catalogue::new(self, seed);
        let mut audience = BinaryHeap::new();
        let mut trace = Trace { name: self.name, objects: Vec::new(), requests: Vec::new() };
        let mut known: HashMap<Object, u32> = HashMap::new();
        let mut sessions: Vec<Session> = Vec::new();
        let (mut arrival, mut asked) = (0.0, Vec::new());
        while trace.requests.len() < requests {
            let next = audience.peek().map(|&Reverse((at, _))| at);
            if next.is_none_or(|at| arrival <= at as f64) {
                let at = arrival as u64;
                audience.push(Reverse((at, sessions.len())));
                sessions.push(Session::begin(self, &mut catalogue, &mut random, at));
                arrival += random.exponential(self.arrival_ms);
                continue;
            }
            let Some(Reverse((at, who))) = audience.pop() else { continue };
            let Some(session) = sessions.get_mut(who) else { continue };
            let starts = session.starts();
            let again = session.step(at, &mut random, &mut asked);
            for object in asked.drain(..) {
                let number = *known.entry(object).or_insert_with(|| {
                    let bytes = ladder::bytes(seed, object);
                    let segments = popularity::segments(seed, object.title);
                    trace.objects.push(Stored { object, bytes, segments });
                    trace.objects.len() as u32 - 1
                });
                trace.requests.push(Request { at_ms: at, object: number, starts });
            }
            if let Some(again) = again {
                audience.push(Reverse((again, who)));
            }
        }
        trace.requests.truncate(requests);
        trace
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// The title, or the live channel.
    pub title: u32,
    /// Which of its renditions.
    pub rung: Rung,
    /// What of the rendition.
    pub part: Part,
}

/// The things a rendition is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its media playlist; of [`Rung::ALL`], the multivariant playlist.
    Playlist,
    /// Its init segment.
    Init,
    /// A segment by number.
    Segment(u32),
}

impl Object {
    /// A path that names it.
    pub fn path(&self) -> String {
        let Self { title, rung, part } = self;
        let rung = rung.number();
        match part {
            Part::Playlist => format!("/title/{title}/{rung}/index.m3u8"),
            Part::Init => format!("/title/{title}/{rung}/init.mp4"),
            Part::Segment(number) => format!("/title/{title}/{rung}/{number}.m4s"),
        }
    }
}

/// An object of a trace, and its size.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// What it is.
    pub object: Object,
    /// Its bytes, at most 4 MiB.
    pub bytes: u32,
    /// How many segments its title has; `None` where it is live, and more are added.
    pub segments: Option<u32>,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Milliseconds since the trace began.
    pub at_ms: u64,
    /// The object's place in [`Trace::objects`].
    pub object: u32,
    /// Whether a viewer waits for it before the first picture.
    pub starts: bool,
}

/// Requests in the order of time, and what they ask for.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The name of its traffic.
    pub name: &'static str,
    /// All that is asked for, in the order in which it first is.
    pub objects: Vec<Stored>,
    /// The requests.
    pub requests: Vec<Request>,
}

impl Trace {
    /// Bytes of all objects together.
    pub fn footprint(&self) -> u64 {
        self.objects.iter().map(|object| u64::from(object.bytes)).sum()
    }

    /// The share of objects that are asked for once.
    pub fn once(&self) -> f64 {
        let mut counts = vec![0u32; self.objects.len()];
        for request in &self.requests {
            if let Some(count) = counts.get_mut(request.object as usize) {
                *count += 1;
            }
        }
        let once = counts.iter().filter(|&&count| count == 1).count();
        once as f64 / counts.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Traffic {
        Traffic { live: 0.3, crawlers: 0.05, premiere_every: 10, ..Traffic::titles("mixed", 0.8) }
    }

    #[test]
    fn a_seed_says_all() {
        let of = |seed| {
            let trace = mixed().trace(seed, 20_000);
            let sizes: u64 = trace.footprint();
            let places: Vec<_> = trace.requests.iter().map(|one| (one.at_ms, one.object)).collect();
            (sizes, places)
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn requests_come_in_the_order_of_time_and_no_object_is_too_large() {
        let trace = mixed().trace(3, 20_000);
        assert_eq!(trace.requests.len(), 20_000);
        assert!(trace.requests.is_sorted_by_key(|request| request.at_ms));
        assert!(trace.objects.iter().all(|object| (200..=4 << 20).contains(&object.bytes)));
        assert!(trace.requests.iter().all(|one| (one.object as usize) < trace.objects.len()));
    }

    #[test]
    fn a_higher_exponent_asks_for_fewer_objects() {
        let objects = |exponent| Traffic::titles("", exponent).trace(1, 50_000).objects.len();
        assert!(objects(0.6) > objects(1.2) * 5 / 4);
    }

    #[test]
    fn beginnings_are_watched_more_than_ends() {
        let trace = Traffic::titles("", 0.8).trace(1, 100_000);
        let number = |request: &Request| match trace.objects[request.object as usize].object.part {
            Part::Segment(number) => Some(number),
            _ => None,
        };
        let numbers: Vec<_> = trace.requests.iter().filter_map(number).collect();
        let below = |end: u32| numbers.iter().filter(|&&number| number < end).count();
        assert!(below(20) * 4 > numbers.len(), "{} of {}", below(20), numbers.len());
    }
}
