//! One playback: what a viewer or a crawler asks for, step by step.

use super::ladder::{Rung, SEGMENT_MS};
use super::popularity::Catalogue;
use super::random::Random;
use super::{Object, Part, Traffic};

/// Segments that a player asks for at once when it begins.
const BUFFERED: u32 = 3;

/// Segments that are there before playback begins.
const STARTUP: u32 = 2;

/// Of sessions, those that leave after the first few per cent, and those that leave anywhere; the
/// others stay to the end.
const LEAVES: (f64, f64) = (0.55, 0.25);

/// The mean share of a title that those see who leave early.
const EARLY: f64 = 0.08;

/// Of sessions, those that begin somewhere in the middle.
const RESUMES: f64 = 0.1;

/// Viewers by the highest rung that their network carries, from the lowest on.
const NETWORKS: [f64; 5] = [0.05, 0.15, 0.3, 0.3, 0.2];

/// Of segments, those before which the network gets worse, or better again.
const DISTURBANCE: (f64, f64) = (0.03, 0.25);

/// Of live viewers, those behind the newest segment; how far that is at most, in segments; and the
/// mean of how many segments one watches.
const LIVE: (f64, u32, f64) = (0.1, 450, 90.0);

/// Milliseconds a segment takes a crawler.
const CRAWL_MS: u64 = 50;

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    title: u32,
    kind: Kind,
    /// The next segment, and the one after the last.
    next: u32,
    end: u32,
    /// The rung it has, and the one it gets where nothing disturbs it.
    rung: Rung,
    best: Rung,
    disturbed: bool,
    /// Renditions whose playlist and init segment it has.
    known: Vec<Rung>,
    buffered: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Title,
    Live,
    Crawler,
}

impl Session {
    pub(super) fn begin(
        traffic: &Traffic,
        catalogue: &mut Catalogue,
        random: &mut Random,
        at: u64,
    ) -> Self {
        let drawn = random.unit();
        let best = network(random);
        let begun = |title, kind, next, end| {
            let rung = if kind == Kind::Crawler { best } else { best.min(Rung::video(1)) };
            let (disturbed, known, buffered) = (false, Vec::new(), 0);
            Self { title, kind, next, end, rung, best, disturbed, known, buffered }
        };
        if drawn < traffic.live {
            let (behind, most, mean) = LIVE;
            let behind = if random.chance(behind) { random.below(most) } else { BUFFERED };
            // The channel has been on for as long as its window.
            let next = (at / SEGMENT_MS) as u32 + most - behind;
            let end = next + 1 + random.exponential(mean) as u32;
            return begun(catalogue.channel(random), Kind::Live, next, end);
        }
        if drawn < traffic.live + traffic.crawlers {
            let (title, segments) = catalogue.unknown();
            return begun(title, Kind::Crawler, 0, segments);
        }
        let (title, segments) = catalogue.title(random);
        let next = if random.chance(RESUMES) { random.below(segments) } else { 0 };
        let (early, anywhere) = LEAVES;
        let leaves = random.unit();
        let seen = if leaves < early {
            random.exponential(EARLY * f64::from(segments)) as u32
        } else if leaves < early + anywhere {
            random.below(segments)
        } else {
            segments
        };
        let end = next.saturating_add(seen + 1).min(segments);
        begun(title, Kind::Title, next, end)
    }

    /// Whether its viewer waits for the first picture.
    pub(super) fn starts(&self) -> bool {
        self.kind != Kind::Crawler && self.buffered < STARTUP
    }

    /// What it asks for at a time, and when it comes again.
    pub(super) fn step(
        &mut self,
        at: u64,
        random: &mut Random,
        asked: &mut Vec<Object>,
    ) -> Option<u64> {
        self.prepare(Rung::ALL, asked);
        self.prepare(Rung::SOUND, asked);
        self.adapt(random);
        self.prepare(self.rung, asked);
        for rung in [self.rung, Rung::SOUND] {
            asked.push(Object { title: self.title, rung, part: Part::Segment(self.next) });
        }
        self.next += 1;
        self.buffered += 1;
        let wait = match self.kind {
            Kind::Crawler => CRAWL_MS,
            _ if self.buffered < BUFFERED => 200 + u64::from(random.below(200)),
            _ => SEGMENT_MS - 100 + u64::from(random.below(200)),
        };
        (self.next < self.end).then_some(at + wait)
    }

    /// The playlist and the init segment of a rendition come first.
    fn prepare(&mut self, rung: Rung, asked: &mut Vec<Object>) {
        if self.known.contains(&rung) {
            return;
        }
        self.known.push(rung);
        let parts = match (self.kind, rung) {
            (Kind::Live, Rung::ALL) => &[][..],
            // Playlists of a live channel change.
            (Kind::Live, _) => &[Part::Init][..],
            (_, Rung::ALL) => &[Part::Playlist][..],
            _ => &[Part::Playlist, Part::Init][..],
        };
        let title = self.title;
        asked.extend(parts.iter().map(|&part| Object { title, rung, part }));
    }

    /// Goes up by one rung at a time while nothing disturbs, and down when something does.
    fn adapt(&mut self, random: &mut Random) {
        if self.kind == Kind::Crawler {
            return;
        }
        let (worse, better) = DISTURBANCE;
        if self.disturbed {
            self.disturbed = !random.chance(better);
        } else if random.chance(worse) {
            self.disturbed = true;
            self.rung = self.rung.down();
        } else if self.buffered > 1 && self.rung < self.best {
            self.rung = self.rung.up();
        }
    }
}

fn network(random: &mut Random) -> Rung {
    let mut left = random.unit();
    for (place, share) in (0..).zip(NETWORKS) {
        if left < share {
            return Rung::video(place);
        }
        left -= share;
    }
    Rung::HIGHEST
}
