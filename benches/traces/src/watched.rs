//! What a shield knows of a trace: who watches what ([`Audience`]), of which the cache is told.
//!
//! Each request is noted before the cache is asked, as the shield does; sessions are not named in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_bench_traces::traffic::{Part, Rung, SEGMENT_MS, Stored, Trace};
use headwater_net::Timestamp;
use headwater_origin::retention::{self, Along, Audience, Piece, Track};

/// Segments of a live playlist.
const LIVE: u32 = 450;

/// The shield's knowledge at one time of a trace.
#[derive(Clone)]
pub struct Watched(Arc<Mutex<Known>>);

struct Known {
    audience: Audience<u32>,
    pieces: Vec<Piece<u32>>,
    now: Timestamp,
}

impl Watched {
    /// Before a trace begins.
    pub fn new(trace: &Trace) -> Self {
        let pieces = trace.objects.iter().map(piece).collect();
        let now = Timestamp::from_millis(0);
        Self(Arc::new(Mutex::new(Known { audience: Audience::new(), pieces, now })))
    }

    /// Somebody asks for an object.
    pub fn asked(&self, object: u32, at_ms: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { audience, pieces, now } = &mut *known;
        *now = Timestamp::from_millis(at_ms);
        if let Some(piece) = pieces.get(object as usize)
            && let retention::Part::Segment(track, along) = piece.part
        {
            let lasts = Duration::from_millis(SEGMENT_MS);
            audience.asked(piece.title, track, along, (1, lasts), *now);
        }
    }

    /// What an object is worth.
    pub fn of(&self, object: u32) -> Worth {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = known.pieces.get(object as usize).copied();
        Worth { piece, watched: self.clone() }
    }
}

fn piece(stored: &Stored) -> Piece<u32> {
    let object = stored.object;
    let rendition = u32::from(object.rung.number());
    let track = Track { group: u32::from(object.rung == Rung::SOUND), rendition };
    let part = match object.part {
        Part::Playlist if object.rung == Rung::ALL => retention::Part::Manifest,
        Part::Playlist | Part::Init => retention::Part::Beginning(track),
        Part::Segment(number) => {
            let live = stored.segments.is_none();
            let of = stored.segments.unwrap_or(LIVE);
            let index = if live { LIVE - 1 } else { number };
            retention::Part::Segment(track, Along { number: number.into(), index, of, live })
        }
    };
    Piece { title: object.title, part }
}

/// What an object is worth, as a cache asks.
pub struct Worth {
    piece: Option<Piece<u32>>,
    watched: Watched,
}

impl Worth {
    fn told(&self, raised: bool) -> f32 {
        let known = self.watched.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.piece.as_ref().map_or(0.0, |piece| known.audience.worth(piece, raised, known.now))
    }

    fn starts(&self) -> bool {
        self.piece.as_ref().is_some_and(Piece::is_raised)
    }
}

/// Of the cache as it is, and of the tier's source in this program.
macro_rules! tells {
    ($worth:path) => {
        impl $worth for Worth {
            fn worth(&self, raised: bool) -> f32 {
                self.told(raised)
            }

            fn is_raised(&self) -> bool {
                self.starts()
            }
        }
    };
}
tells!(headwater_cache::Worth);
tells!(crate::tier::keep::Worth);
