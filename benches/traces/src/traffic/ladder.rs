//! What a title consists of: a ladder of five renditions of video and one of sound, and the bytes
//! of each piece.
//!
//! Segments last 4 s. Rates are those of H.264 for 240p to 1080p; the bytes of one segment lie
//! within 35 % of its rate, as scenes differ.

use super::random::mix;
use super::{Object, Part};

/// Milliseconds of a segment.
pub const SEGMENT_MS: u64 = 4_000;

/// Bits a second of each rung.
const RATES: [u32; 5] = [400_000, 1_000_000, 2_200_000, 3_800_000, 6_000_000];

/// Bits a second of sound.
const SOUND: u32 = 128_000;

/// A rendition of a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rung(u8);

impl Rung {
    /// All renditions together: what the multivariant playlist is about.
    pub const ALL: Self = Self(u8::MAX);
    /// The sound.
    pub const SOUND: Self = Self(u8::MAX - 1);
    /// The lowest rendition of video.
    pub const LOWEST: Self = Self(0);
    /// The highest.
    pub const HIGHEST: Self = Self(RATES.len() as u8 - 1);

    /// A rendition of video by its place in the ladder; the highest one past its end.
    pub const fn video(place: u8) -> Self {
        if place > Self::HIGHEST.0 { Self::HIGHEST } else { Self(place) }
    }

    /// The next lower one.
    #[must_use]
    pub const fn down(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The next higher one of video.
    #[must_use]
    pub const fn up(self) -> Self {
        Self::video(self.0.saturating_add(1))
    }

    /// A number of its own.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Bits a second, on average; those of [`Rung::ALL`] are none.
    pub fn rate(self) -> u32 {
        RATES.get(usize::from(self.0)).copied().unwrap_or(SOUND)
    }
}

/// Segments of a title of a seed: forty to four hundred, two and a half to twenty-seven minutes.
pub fn segments(seed: u64, title: u32) -> u32 {
    let share = (mix(seed ^ u64::from(title) << 20) >> 11) as f64 / (1u64 << 53) as f64;
    (40.0 * 10f64.powf(share)) as u32
}

/// The bytes of an object of the titles of a seed.
pub fn bytes(seed: u64, object: Object) -> u32 {
    match (object.part, object.rung) {
        (Part::Playlist, Rung::ALL) => 1_500,
        (Part::Playlist, _) => 300 + 40 * segments(seed, object.title),
        (Part::Init, _) => 900,
        (Part::Segment(number), rung) => {
            let place = u64::from(object.title) << 32 | u64::from(number);
            let random = mix(seed ^ mix(place) ^ u64::from(rung.number()));
            let varied = if rung == Rung::SOUND { 1.0 } else { 0.65 + 0.7 * unit(random) };
            (f64::from(rung.rate() / 8) * SEGMENT_MS as f64 / 1000.0 * varied) as u32
        }
    }
}

fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}
