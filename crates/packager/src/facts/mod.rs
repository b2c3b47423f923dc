//! What is to know about a track beyond what players are told: how many samples, how they are
//! grouped, what its edit list says. For people who prepare video: `headwater inspect` and
//! `report.json`.

mod gops;
mod report;

use serde_json::{Value, json};

use crate::index::{Edit, TrackIndex};
use crate::media::Media;
use crate::rates::{self, Rates};
use crate::track::TrackId;
use crate::units::{MediaTime, Timescale};

pub use gops::{Bucket, Gops, Span};

pub(crate) use report::report;
#[cfg(feature = "http")]
pub(crate) use report::written;

/// Facts of one track, each computed from its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// How many samples are presented.
    pub samples: u32,
    /// Their bytes, without container.
    pub bytes: u64,
    /// From the presentation's zero to the end of the track.
    pub end: MediaTime,
    /// Bits per second over the whole track, with container.
    pub average: u64,
    /// Bits per second over the costliest run of segments, with container (RFC 8216bis §4.4.6.2).
    pub peak: u64,
    /// Whether the durations of samples differ by more than rounding.
    pub variable_rate: bool,
    /// The groups of pictures; `None` for sound.
    pub gops: Option<Gops>,
    /// What the source's edit list says, an edit each (ISO/IEC 14496-12 §8.6.6); empty where there
    /// is none.
    pub edits: Vec<String>,
}

impl Media {
    /// Facts of a track; `None` where there is no such track. Looks at every sample.
    pub fn facts(&self, track: TrackId) -> Option<Facts> {
        let position = self.position(track)?;
        let (index, place) = self.place(position)?;
        let source = self.tracks().get(position)?.source;
        let rates = Rates::of(self, track, rates::target_duration(self));
        let samples = index.samples();
        let bytes = samples.range(0..place.count).map(|sample| u64::from(sample.size)).sum();
        let (least, most) = samples.duration_bounds();
        Some(Facts {
            samples: place.count,
            bytes,
            end: MediaTime::new(place.end, index.timescale()),
            average: rates.average,
            peak: rates.peak,
            variable_rate: most.saturating_sub(least) > 1,
            gops: index.is_video().then(|| Gops::of(index, place.count)),
            edits: words(index, self.sources().get(source)?.movie_timescale()),
        })
    }
}

impl Facts {
    /// As the report has them.
    fn to_json(&self) -> Value {
        json!({
            "samples": self.samples,
            "bytes": self.bytes,
            "end_ms": self.end.as_millis(),
            "variable_rate": self.variable_rate,
            "edits": self.edits,
            "gops": self.gops.as_ref().map(Gops::to_json),
        })
    }
}

/// An edit list in words; `movie` is what it counts durations in.
fn words(track: &TrackIndex, movie: Timescale) -> Vec<String> {
    let lasting = |edit: &Edit| {
        let ticks = i64::try_from(edit.duration).unwrap_or(i64::MAX);
        MediaTime::new(ticks, movie).seconds(3).to_string()
    };
    let word = |edit: &Edit| {
        if edit.is_empty() {
            return format!("nothing for {} s", lasting(edit));
        }
        let from = MediaTime::new(edit.media_time, track.timescale());
        let start = match edit.media_time {
            0 => "from its start".to_owned(),
            ticks => format!("from {} s ({ticks} ticks) of the media", from.seconds(4)),
        };
        let long = match edit.duration {
            0 => "to its end".to_owned(),
            _ => format!("for {} s", lasting(edit)),
        };
        match edit.rate {
            0x1_0000 => format!("plays {start} {long}"),
            0 => format!("dwells on one picture {start} {long}"),
            rate => {
                let percent = i64::from(rate) * 100 / 0x1_0000;
                format!("plays {start} {long} at {percent} % of its speed")
            }
        }
    };
    track.edits().iter().take(MOST_EDITS).map(word).collect()
}

/// The most edits that are told of one track.
const MOST_EDITS: usize = 16;
