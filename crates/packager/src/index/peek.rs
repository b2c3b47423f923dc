//! Looking into samples for what a sample entry does not say.
//!
//! Usual files need none of it. Where a codec asks, the heads of a few samples are read in one more
//! round, all tracks together, once the index is otherwise complete. Where samples may have
//! parameter sets of their own, the heads of all sync samples follow, round by round: nothing of
//! them is kept, and one that differs ends it. What lies in other samples goes unseen: sets may
//! change at sync samples alone in what encoders make.

use bytes::Bytes;

use super::{MediaIndex, TrackIndex, TrackSamples};
use crate::codec::{self, Compared, Found, ParameterSets, Wants};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, FourCc, children};
use crate::track::TrackMedia;
use crate::units::ByteRange;

/// How much of a sample is looked at: parameter sets and messages stand in its first bytes.
const HEAD: u64 = 4 << 10;

/// How many samples of a track are looked at to identify it, at most.
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

/// The rounds of reads.
#[derive(Debug)]
pub(super) struct Peeking {
    index: MediaIndex,
    looks: Vec<Look>,
    /// Of this round.
    wanted: Vec<Wanted>,
    /// How many sync samples of a track are compared.
    most: usize,
}

/// A track that is looked into.
#[derive(Debug)]
struct Look {
    /// Its place in the index.
    track: usize,
    pending: Box<Pending>,
    heads: Vec<Bytes>,
    comparing: Option<Comparing>,
    /// A sample has other parameter sets than the entry, and is the last of the heads.
    differs: bool,
    found: Option<Result<Found>>,
}

/// Sync samples that are compared with a sample entry.
#[derive(Debug)]
struct Comparing {
    sets: ParameterSets,
    /// Their numbers, the next one last.
    left: Vec<u32>,
    compared: u32,
    /// How many sync samples there are.
    all: u32,
}

#[derive(Debug)]
struct Wanted {
    look: usize,
    range: ByteRange,
    read: bool,
}

impl Peeking {
    /// At most `most` sync samples of a track are compared.
    pub(super) fn new(mut index: MediaIndex, most: u32) -> Self {
        let tracks = index.tracks.iter_mut().enumerate();
        let looks: Vec<Look> = tracks
            .filter_map(|(track, index)| {
                let pending = index.pending.take()?;
                let heads = Vec::new();
                Some(Look { track, pending, heads, comparing: None, differs: false, found: None })
            })
            .collect();
        let each = (RANGES / looks.len().max(1)).clamp(1, SAMPLES);
        let mut wanted = Vec::new();
        for (look, Look { track, pending, .. }) in looks.iter().enumerate() {
            let Some(track) = index.tracks.get(*track) else { continue };
            let numbers = match pending.wants {
                Wants::First => vec![0],
                Wants::Spread => spread(&sync_numbers(&track.samples), each),
            };
            wanted.extend(numbers.iter().filter_map(|number| Wanted::new(look, track, *number)));
        }
        Self { index, looks, wanted, most: most as usize }
    }

    /// What is still to be read; nothing when all is settled.
    pub(super) fn needs(&mut self, budget: &mut Budget) -> Vec<ByteRange> {
        while !self.wanted.iter().any(|wanted| !wanted.read) {
            self.wanted.clear();
            for look in &mut self.looks {
                match self.index.tracks.get(look.track) {
                    Some(track) => look.identify(track, self.most, budget),
                    None => look.found = Some(Err(Error::UnexpectedBytes)),
                }
            }
            let open = self.looks.iter().filter(|look| look.found.is_none()).count();
            if open == 0 {
                return Vec::new();
            }
            let each = (RANGES / open).max(1);
            for (at, look) in self.looks.iter_mut().enumerate() {
                let Some(track) = self.index.tracks.get(look.track) else { continue };
                let Some(comparing) = &mut look.comparing else { continue };
                let from = comparing.left.len().saturating_sub(each);
                let numbers = comparing.left.split_off(from);
                let wanted = numbers.iter().rev().filter_map(|it| Wanted::new(at, track, *it));
                self.wanted.extend(wanted);
            }
        }
        let missing = self.wanted.iter().filter(|wanted| !wanted.read);
        missing.map(|wanted| wanted.range).collect()
    }

    pub(super) fn feed(&mut self, range: ByteRange, bytes: &Bytes) -> Result<()> {
        let mut missing = self.wanted.iter_mut().filter(|wanted| !wanted.read);
        let wanted = missing.find(|wanted| wanted.range == range).ok_or(Error::UnexpectedBytes)?;
        if bytes.len() as u64 != range.len {
            return Err(Error::Truncated { what: "it is shorter than its size says", track: None });
        }
        wanted.read = true;
        if let Some(look) = self.looks.get_mut(wanted.look) {
            look.take(bytes);
        }
        Ok(())
    }

    /// Reads the sample entries with what was found. A track that still cannot be carried is left
    /// out of the index.
    pub(super) fn settle(self) -> Result<MediaIndex> {
        let Self { mut index, looks, .. } = self;
        let mut tracks: Vec<_> = std::mem::take(&mut index.tracks).into_iter().map(Some).collect();
        let mut broken = None;
        for look in looks {
            let Some(slot) = tracks.get_mut(look.track) else { continue };
            let Some(mut track) = slot.take() else { continue };
            let media = TrackMedia::of_handler(look.pending.handler);
            let found = match look.found.unwrap_or(Err(Error::UnexpectedBytes)) {
                Err(error @ (Error::BadBox { .. } | Error::MissingBox { .. })) => {
                    let reason = error.to_string();
                    broken.get_or_insert(error);
                    Found::Skip(reason)
                }
                found => found?,
            };
            match found {
                Found::Carry(codec) | Found::CarryIf(codec, _) => {
                    for warning in &codec.warnings {
                        index.report.warn(Some(track.number), *warning);
                    }
                    if let Some(Comparing { compared, all, .. }) = look.comparing {
                        let message = format!(
                            "its parameter sets were compared in {compared} of its {all} sync \
                             samples, and do not change there"
                        );
                        index.report.info(Some(track.number), message);
                    }
                    track.codec = codec;
                    *slot = Some(track);
                }
                Found::Skip(reason) => {
                    index.report.skip_media(track.number, media, &reason);
                }
                Found::Peek(_) => {
                    index.report.skip(track.number, "its samples do not say what it is");
                }
            }
        }
        index.tracks = tracks.into_iter().flatten().collect();
        if let Some(error) = broken.filter(|_| index.tracks.is_empty()) {
            return Err(error);
        }
        if index.tracks.is_empty() {
            return Err(Error::NoUsableTrack(index.report.to_string()));
        }
        Ok(index)
    }
}

impl Look {
    /// Takes over the head of a sample.
    fn take(&mut self, head: &Bytes) {
        if self.differs {
            return;
        }
        let Some(comparing) = &mut self.comparing else {
            self.heads.push(head.clone());
            return;
        };
        match comparing.sets.compare(head) {
            Compared::Same => comparing.compared += 1,
            Compared::Unknown => {}
            Compared::Other => {
                // Together with the first ones it tells what the track is.
                self.heads.push(head.clone());
                self.comparing = None;
                self.differs = true;
            }
        }
    }

    /// Reads the sample entry with what is known, unless there is more to compare.
    fn identify(&mut self, track: &TrackIndex, most: usize, budget: &mut Budget) {
        if self.found.is_some() || self.comparing.as_ref().is_some_and(|it| !it.left.is_empty()) {
            return;
        }
        let found = identify(&self.pending, track.number, &self.heads, budget);
        self.found = match found {
            Ok(Found::CarryIf(_, sets)) if self.comparing.is_none() => {
                let sync = sync_numbers(&track.samples);
                let mut left = spread(&sync, most);
                left.reverse();
                let all = u32::try_from(sync.len()).unwrap_or(u32::MAX);
                self.comparing = Some(Comparing { sets, left, compared: 0, all });
                None
            }
            found => Some(found),
        };
    }
}

impl Wanted {
    /// The head of a sample; `None` where it is empty.
    fn new(look: usize, track: &TrackIndex, number: u32) -> Option<Self> {
        let sample = track.samples.range(number..number.checked_add(1)?).next()?;
        let len = u64::from(sample.size).min(HEAD);
        let range = ByteRange { start: sample.offset, len };
        (len > 0).then_some(Self { look, range, read: false })
    }
}

fn identify(pending: &Pending, track: u32, heads: &[Bytes], budget: &mut Budget) -> Result<Found> {
    let boxes = children(&pending.entry, budget)?;
    match boxes.iter().next() {
        Some(entry) => codec::identify(pending.handler, entry, track, Some(heads), budget),
        None => Ok(Found::Skip("it has no sample entry".to_owned())),
    }
}

/// The first sample and all sync samples.
fn sync_numbers(samples: &TrackSamples) -> Vec<u32> {
    let sync = samples.sync_times(0..samples.count()).into_iter().map(|(number, _)| number);
    let mut numbers = vec![0];
    numbers.extend(sync.filter(|number| *number > 0));
    numbers
}

/// At most `most` of some numbers, in even steps from the first to the last.
fn spread(numbers: &[u32], most: usize) -> Vec<u32> {
    if numbers.len() <= most {
        return numbers.to_vec();
    }
    let last = numbers.len().saturating_sub(1);
    let steps = most.saturating_sub(1).max(1);
    let mut chosen: Vec<u32> =
        (0..=steps).filter_map(|step| numbers.get(last * step / steps)).copied().collect();
    chosen.dedup();
    chosen.truncate(most.max(1));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_are_spread_from_the_first_to_the_last() {
        let all: Vec<u32> = (0..1_000).map(|number| number * 25).collect();
        assert_eq!(spread(&all, 1_000), all);
        assert_eq!(spread(&all, 4), [0, 8_325, 16_650, 24_975]);
        assert_eq!(spread(&all, 1), [0]);
        assert_eq!(spread(&[7], 8), [7]);
    }
}
