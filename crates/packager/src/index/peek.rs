//! Looking into samples for what a sample entry does not say.
//!
//! Usual files need none of it. Where a codec asks, the heads of a few samples are read in one more
//! round, all tracks together, once the index is otherwise complete.

use bytes::Bytes;

use super::{MediaIndex, TrackIndex, TrackSamples};
use crate::codec::{self, Found, Wants};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, FourCc, children};
use crate::track::TrackMedia;
use crate::units::ByteRange;

/// How much of a sample is looked at: parameter sets and messages stand in its first bytes.
const HEAD: u64 = 4 << 10;

/// How many samples of a track are looked at, at most.
const SAMPLES: usize = 8;

/// How many ranges are asked for in one round, unless there are more tracks than that.
const RANGES: usize = 64;

/// A track whose sample entry cannot be read without its samples.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) handler: FourCc,
    /// The whole sample entry box.
    pub(super) entry: Bytes,
    pub(super) wants: Wants,
}

/// The round of reads.
#[derive(Debug)]
pub(super) struct Peeking {
    index: MediaIndex,
    wanted: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    track: usize,
    range: ByteRange,
    bytes: Option<Bytes>,
}

impl Peeking {
    pub(super) fn new(index: MediaIndex) -> Self {
        let tracks = index.tracks.iter().enumerate();
        let pending: Vec<_> =
            tracks.filter_map(|(at, track)| Some((at, track, track.pending.as_deref()?))).collect();
        let each = (RANGES / pending.len().max(1)).clamp(1, SAMPLES);
        let wanted = pending
            .into_iter()
            .flat_map(|(at, track, pending)| {
                let ranges = ranges(track, pending.wants, each);
                ranges.into_iter().map(move |range| Wanted { track: at, range, bytes: None })
            })
            .collect();
        Self { index, wanted }
    }

    /// What is still to be read.
    pub(super) fn needs(&self) -> Vec<ByteRange> {
        let missing = self.wanted.iter().filter(|wanted| wanted.bytes.is_none());
        missing.map(|wanted| wanted.range).collect()
    }

    pub(super) fn feed(&mut self, range: ByteRange, bytes: &Bytes) -> Result<()> {
        let mut missing = self.wanted.iter_mut().filter(|wanted| wanted.bytes.is_none());
        let wanted = missing.find(|wanted| wanted.range == range).ok_or(Error::UnexpectedBytes)?;
        if bytes.len() as u64 != range.len {
            return Err(Error::Truncated { what: "it is shorter than its size says", track: None });
        }
        wanted.bytes = Some(bytes.clone());
        Ok(())
    }

    /// Reads the sample entries with what was found. A track that still cannot be carried is left
    /// out of the index.
    pub(super) fn settle(self, budget: &mut Budget) -> Result<MediaIndex> {
        let Self { mut index, wanted } = self;
        let tracks = std::mem::take(&mut index.tracks);
        let mut broken = None;
        for (at, mut track) in tracks.into_iter().enumerate() {
            let Some(pending) = track.pending.take() else {
                index.tracks.push(track);
                continue;
            };
            let mine = wanted.iter().filter(|wanted| wanted.track == at);
            let heads: Vec<Bytes> = mine.filter_map(|wanted| wanted.bytes.clone()).collect();
            let media = TrackMedia::of_handler(pending.handler);
            let found = match identify(&pending, track.number, &heads, budget) {
                Err(error @ (Error::BadBox { .. } | Error::MissingBox { .. })) => {
                    let reason = error.to_string();
                    broken.get_or_insert(error);
                    Found::Skip(reason)
                }
                found => found?,
            };
            match found {
                Found::Carry(codec) => {
                    for warning in &codec.warnings {
                        index.report.warn(Some(track.number), *warning);
                    }
                    track.codec = codec;
                    index.tracks.push(track);
                }
                Found::Skip(reason) => {
                    index.report.skip_media(track.number, media, &reason);
                }
                Found::Peek(_) => {
                    index.report.skip(track.number, "its samples do not say what it is");
                }
            }
        }
        if let Some(error) = broken.filter(|_| index.tracks.is_empty()) {
            return Err(error);
        }
        if index.tracks.is_empty() {
            return Err(Error::NoUsableTrack(index.report.to_string()));
        }
        Ok(index)
    }
}

fn identify(pending: &Pending, track: u32, heads: &[Bytes], budget: &mut Budget) -> Result<Found> {
    let boxes = children(&pending.entry, budget)?;
    match boxes.iter().next() {
        Some(entry) => codec::identify(pending.handler, entry, track, Some(heads), budget),
        None => Ok(Found::Skip("it has no sample entry".to_owned())),
    }
}

/// The heads of samples that are to be read, the first sample's first.
fn ranges(track: &TrackIndex, wants: Wants, most: usize) -> Vec<ByteRange> {
    let samples = &track.samples;
    let numbers = match wants {
        Wants::First => vec![0],
        Wants::Spread => spread(samples, most),
    };
    let heads = numbers.into_iter().filter_map(|number| samples.range(number..number + 1).next());
    heads
        .map(|sample| ByteRange { start: sample.offset, len: u64::from(sample.size).min(HEAD) })
        .filter(|range| range.len > 0)
        .collect()
}

/// The first sample, and sync samples in even steps up to the last.
fn spread(samples: &TrackSamples, most: usize) -> Vec<u32> {
    let numbered = (0..).zip(samples);
    let sync: Vec<u32> =
        numbered.filter(|(_, sample)| sample.sync).map(|(number, _)| number).collect();
    let mut chosen = vec![0];
    let last = sync.len().saturating_sub(1);
    let steps = most.saturating_sub(1).max(1);
    chosen.extend((0..=steps).filter_map(|step| sync.get(last * step / steps)));
    chosen.dedup();
    chosen.truncate(most.max(1));
    chosen
}
