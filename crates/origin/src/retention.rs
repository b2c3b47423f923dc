//! Retention: what of a title stays in memory, by who watches it.
//!
//! A cache knows when a URL was last asked for. A shield knows that a segment belongs to a title that so
//! many sessions began lately, that few of them come as far, in which rendition they are, and whether one
//! of them is about to come to it. From this it tells the cache, of each object, how many requests a
//! second are to be expected for it ([`Audience::worth`], [`headwater_cache::Worth`]):
//!
//! - *Popular titles and renditions* stay: sessions of a title are counted, and fade within hours, and so
//!   is in which renditions they are.
//! - *Tails go before beginnings*: how far sessions come is learnt over all titles.
//! - *What somebody is about to ask for* stays: the segments before a session, the nearest most (after
//!   interval caching: Dan and Sitaram, MMCN 1996). Of what is live that is the newest window, for as long
//!   as somebody is behind it; what nobody is about to come to goes.
//! - *Where sessions of what is live begin*, near its newest segments and in some renditions, stays; what is
//!   listed no more goes.
//! - *What a start waits for* (manifests, playlists, init segments, the first segments of a title) counts
//!   for more than its requests, as long as the cache has room for such ([`Worth::is_raised`]).
//!
//! [`Audience`] is pure: time is given. It holds bounded numbers, and no name of anybody.

mod audience;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_cache::{Keep, Worth};
use headwater_net::{Clock, Timestamp};

pub use audience::{Along, Audience, Part, Piece, Track};

use crate::map::{Position, PresentationId, SegmentMap, Url};

/// What a shield knows of its audience, shared by who notes requests, who tells of answers and the cache.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    audience: Arc<Mutex<Audience<PresentationId>>>,
    clock: Clock,
}

impl Retention {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { audience: Arc::default(), clock }
    }

    /// `viewers` ask for the segment at `position`; at least one.
    pub(crate) fn asked(&self, map: &SegmentMap, position: Position, viewers: u32) {
        let Some((track, along)) = place(map, position) else { return };
        let lasts = map.time(position).map_or(Duration::ZERO, |(_, lasts)| lasts);
        let now = self.clock.now();
        let mut audience = self.audience.lock().unwrap_or_else(PoisonError::into_inner);
        audience.asked(position.presentation, track, along, (viewers.max(1), lasts), now);
    }

    /// By what the answer for `url` is kept, which begins with byte `at` of it; `None` for what is not
    /// known.
    pub(crate) fn keep(&self, map: &mut SegmentMap, url: &Url, at: Option<u64>) -> Option<Keep> {
        let piece = if let Some((title, rendition)) = map.frame(url, at) {
            let part = match rendition {
                None => Part::Manifest,
                Some(rendition) => {
                    Part::Beginning(Track { group: map.group(title, rendition)?, rendition })
                }
            };
            Piece { title, part }
        } else {
            let position = map.lookup(url, at)?;
            let (track, along) = place(map, position)?;
            Piece { title: position.presentation, part: Part::Segment(track, along) }
        };
        Some(Keep::by(Kept { piece, retention: self.clone() }))
    }

    fn worth(&self, piece: &Piece<PresentationId>, raised: bool) -> f32 {
        let now: Timestamp = self.clock.now();
        let audience = self.audience.lock().unwrap_or_else(PoisonError::into_inner);
        audience.worth(piece, raised, now)
    }
}

/// Where a segment lies, in numbers that stay while a live window moves.
fn place(map: &SegmentMap, position: Position) -> Option<(Track, Along)> {
    let Position { presentation, rendition, index } = position;
    let group = map.group(presentation, rendition)?;
    let of = map.segments(presentation, rendition);
    let live = map.is_live(presentation, rendition);
    let along = Along { number: map.number(position)?, index, of, live };
    Some((Track { group, rendition }, along))
}

/// One stored object.
struct Kept {
    piece: Piece<PresentationId>,
    retention: Retention,
}

impl Worth for Kept {
    fn worth(&self, raised: bool) -> f32 {
        self.retention.worth(&self.piece, raised)
    }

    fn is_raised(&self) -> bool {
        self.piece.is_raised()
    }
}
