//! How many pictures lie from one sync sample to the next: what segments can be cut to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::index::TrackIndex;
use crate::units::MediaTime;

/// The groups of pictures of a track, each from a sync sample up to the next, in decode order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gops {
    /// How many there are.
    pub count: u32,
    /// Pictures in one.
    pub pictures: Span<u64>,
    /// Duration of one.
    pub durations: Span<MediaTime>,
    /// How many last how long, shortest first; bounds in milliseconds. None is empty at either end.
    pub histogram: Vec<Bucket>,
    /// Pictures before the first sync sample, which cannot be decoded.
    pub headless: u32,
}

/// The least, the middle and the greatest of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<T> {
    /// The least.
    pub min: T,
    /// The middle one in order of size.
    pub median: T,
    /// The greatest.
    pub max: T,
}

/// Groups of about the same duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// The longest that count here, in milliseconds; `None` for all that are longer.
    pub up_to_ms: Option<u32>,
    /// How many there are.
    pub count: u32,
}

/// Where buckets end, in milliseconds.
const BOUNDS: [u32; 8] = [250, 500, 1_000, 2_000, 4_000, 6_000, 10_000, 20_000];

impl Gops {
    pub(super) fn of(track: &TrackIndex, count: u32) -> Self {
        // Numbers of groups by length: different lengths add up to the number of samples, so there
        // are at most about the square root of twice that many.
        let mut pictures = Lengths::default();
        let mut ticks = Lengths::default();
        let mut open: Option<(u64, i64)> = None;
        let (mut headless, mut end) = (0, 0);
        for sample in track.samples().range(0..count) {
            if sample.sync {
                if let Some((held, start)) = open {
                    pictures.add(held);
                    ticks.add(u64::try_from(sample.dts - start).unwrap_or(0));
                }
                open = Some((0, sample.dts));
            }
            match &mut open {
                Some((held, _)) => *held += 1,
                None => headless += 1,
            }
            end = sample.dts.saturating_add(sample.duration.into());
        }
        if let Some((held, start)) = open {
            pictures.add(held);
            ticks.add(u64::try_from(end - start).unwrap_or(0));
        }
        let time = |ticks: u64| {
            MediaTime::new(i64::try_from(ticks).unwrap_or(i64::MAX), track.timescale())
        };
        let long = ticks.span();
        let durations =
            Span { min: time(long.min), median: time(long.median), max: time(long.max) };
        Self {
            count: pictures.count,
            pictures: pictures.span(),
            durations,
            histogram: histogram(ticks.lengths.iter().map(|(ticks, count)| (time(*ticks), *count))),
            headless,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let buckets: Vec<Value> = self
            .histogram
            .iter()
            .map(|bucket| json!({ "up_to_ms": bucket.up_to_ms, "count": bucket.count }))
            .collect();
        let ms = |time: MediaTime| time.as_millis();
        let Self { pictures, durations, .. } = self;
        json!({
            "count": self.count,
            "pictures": { "min": pictures.min, "median": pictures.median, "max": pictures.max },
            "ms": {
                "min": ms(durations.min), "median": ms(durations.median), "max": ms(durations.max),
            },
            "histogram": buckets,
            "headless_pictures": self.headless,
        })
    }
}

fn histogram(lengths: impl Iterator<Item = (MediaTime, u32)>) -> Vec<Bucket> {
    let bounds = || BOUNDS.into_iter().map(Some).chain([None]);
    let mut buckets: Vec<Bucket> = bounds().map(|up_to_ms| Bucket { up_to_ms, count: 0 }).collect();
    for (length, count) in lengths {
        let fits = |bucket: &&mut Bucket| {
            bucket.up_to_ms.is_none_or(|bound| length <= MediaTime::from_millis(bound.into()))
        };
        if let Some(bucket) = buckets.iter_mut().find(fits) {
            bucket.count += count;
        }
    }
    while buckets.last().is_some_and(|bucket| bucket.count == 0) {
        buckets.pop();
    }
    let empty = buckets.iter().take_while(|bucket| bucket.count == 0).count();
    buckets.drain(..empty);
    buckets
}

/// How many of each length.
#[derive(Debug, Default)]
struct Lengths {
    lengths: BTreeMap<u64, u32>,
    count: u32,
}

impl Lengths {
    fn add(&mut self, length: u64) {
        *self.lengths.entry(length).or_default() += 1;
        self.count += 1;
    }

    fn span(&self) -> Span<u64> {
        let mut below = 0;
        let median = self.lengths.iter().find(|(_, count)| {
            below += **count;
            below * 2 >= self.count
        });
        Span {
            min: self.lengths.keys().next().copied().unwrap_or(0),
            median: median.map_or(0, |(length, _)| *length),
            max: self.lengths.keys().next_back().copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_a_middle() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.span(), Span { min: 0, median: 0, max: 0 });
        for length in [9, 2, 2, 50, 7] {
            lengths.add(length);
        }
        assert_eq!(lengths.span(), Span { min: 2, median: 7, max: 50 });
    }

    #[test]
    fn buckets_hold_what_they_say() {
        let of = |millis: &[i64]| {
            let lengths = millis.iter().map(|ms| (MediaTime::from_millis(*ms), 1));
            let buckets = histogram(lengths);
            buckets.iter().map(|b| (b.up_to_ms, b.count)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[2_000, 2_001, 1_001]), [(Some(2_000), 2), (Some(4_000), 1)]);
        assert_eq!(of(&[100, 500, 90_000]).first(), Some(&(Some(250), 1)));
        assert_eq!(of(&[100, 500, 90_000]).last(), Some(&(None, 1)));
    }
}
