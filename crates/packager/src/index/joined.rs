//! The sample tables that a fragmented source would have if it had no fragments, or an edited one
//! if it had no [edits](super::cuts).
//!
//! Everything after the index sees one kind of samples, whether they came from a movie box, from
//! fragments, or from both (ISO/IEC 14496-12 §8.8): the tables of §8.6 and §8.7. Fragments are
//! joined into these as they are found; each run of samples becomes a chunk.
//!
//! A sample lasts until the next one: where a fragment's decode time leaves a gap, the sample
//! before it lasts longer (§8.8.12); where it overlaps, that sample is shorter, and where it goes
//! back further than that, it is not followed.

use bytes::{BufMut, Bytes, BytesMut};

use super::fragment::Run;
use crate::error::{Error, Result};
use crate::isobmff::stsz::Sizes;
use crate::isobmff::tkhd::Tkhd;
use crate::isobmff::write::full_box;
use crate::isobmff::{Budget, Children, children, ctts, stco, stsc, stss, stsz, stts};
use crate::limits::Limits;

/// The tables of all tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) tracks: Vec<JoinedTrack>,
}

/// The tables of one track, in the order of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JoinedTrack {
    pub(super) number: u32,
    pub(super) sizes: Vec<u32>,
    /// (count, duration)
    pub(super) durations: Vec<(u32, u32)>,
    /// (count, composition offset)
    pub(super) offsets: Vec<(u32, i32)>,
    /// From 1; `None` while all are sync samples.
    pub(super) sync: Option<Vec<u32>>,
    pub(super) chunks: Vec<u64>,
    /// (first chunk from 1, samples in each, description)
    pub(super) chunk_runs: Vec<(u32, u32, u32)>,
    /// When the first sample is decoded.
    pub(super) start: u64,
    /// When the next sample is decoded.
    pub(super) next: u64,
    /// How often a fragment's time went back and was not followed.
    pub(super) ignored_times: u32,
}

impl Joined {
    /// What the movie box itself holds, from its payload; often nothing. A track whose tables
    /// are damaged is not among them.
    pub(super) fn of_movie(
        payload: &[u8],
        file: u64,
        limits: &Limits,
        budget: &mut Budget,
    ) -> Result<Self> {
        let mut tracks: Vec<JoinedTrack> = Vec::new();
        for trak in children(payload, budget)?.all(b"trak") {
            let trak = children(trak.payload, budget)?;
            let Some(number) = trak.get(b"tkhd").and_then(Tkhd::read).map(|tkhd| tkhd.track) else {
                continue;
            };
            if tracks.len() >= limits.max_tracks as usize {
                return Err(Error::Limit { what: "tracks", limit: u64::from(limits.max_tracks) });
            }
            let mut inner = Some(trak);
            for kind in [b"mdia", b"minf", b"stbl"] {
                inner = match inner.as_ref().and_then(|boxes| boxes.get(kind)) {
                    Some(payload) => Some(children(payload, budget)?),
                    None => None,
                };
            }
            let mut track = JoinedTrack::new(number);
            if let Some(stbl) = inner
                && track.seed(&stbl, file, limits).is_some()
            {
                tracks.push(track);
            }
        }
        Ok(Self { tracks })
    }

    /// Adds a run; one of a track that the movie box does not name is passed over.
    pub(super) fn append(&mut self, run: &Run<'_>, limits: &Limits) -> Result<()> {
        match self.tracks.iter_mut().find(|track| track.number == run.track) {
            Some(track) => track.append(run, limits),
            None => Ok(()),
        }
    }

    pub(super) fn track(&self, number: u32) -> Option<&JoinedTrack> {
        self.tracks.iter().find(|track| track.number == number)
    }
}

impl JoinedTrack {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            sizes: Vec::new(),
            durations: Vec::new(),
            offsets: Vec::new(),
            sync: None,
            chunks: Vec::new(),
            chunk_runs: Vec::new(),
            start: 0,
            next: 0,
            ignored_times: 0,
        }
    }

    /// The payload of a `stbl` with these tables and without descriptions.
    pub(super) fn stbl(&self) -> Bytes {
        let len = 4 * self.sizes.len()
            + 8 * (self.durations.len() + self.offsets.len() + self.chunks.len())
            + 4 * self.sync.as_ref().map_or(0, Vec::len)
            + 12 * self.chunk_runs.len();
        let mut out = BytesMut::with_capacity(len + 128);
        let count = |out: &mut BytesMut, len: usize| out.put_u32(len as u32);
        full_box(&mut out, *b"stts", 0, 0, |out| {
            count(out, self.durations.len());
            for (samples, duration) in &self.durations {
                out.put_u32(*samples);
                out.put_u32(*duration);
            }
        });
        if self.offsets.iter().any(|run| run.1 != 0) {
            full_box(&mut out, *b"ctts", 1, 0, |out| {
                count(out, self.offsets.len());
                for (samples, offset) in &self.offsets {
                    out.put_u32(*samples);
                    out.put_i32(*offset);
                }
            });
        }
        if let Some(sync) = &self.sync {
            full_box(&mut out, *b"stss", 0, 0, |out| {
                count(out, sync.len());
                for number in sync {
                    out.put_u32(*number);
                }
            });
        }
        full_box(&mut out, *b"stsc", 0, 0, |out| {
            count(out, self.chunk_runs.len());
            for (first, samples, description) in &self.chunk_runs {
                out.put_u32(*first);
                out.put_u32(*samples);
                out.put_u32(*description);
            }
        });
        full_box(&mut out, *b"stsz", 0, 0, |out| match self.sizes.split_first() {
            Some((size, rest)) if *size > 0 && rest.iter().all(|other| other == size) => {
                out.put_u32(*size);
                count(out, self.sizes.len());
            }
            _ => {
                out.put_u32(0);
                count(out, self.sizes.len());
                for size in &self.sizes {
                    out.put_u32(*size);
                }
            }
        });
        full_box(&mut out, *b"co64", 0, 0, |out| {
            count(out, self.chunks.len());
            for chunk in &self.chunks {
                out.put_u64(*chunk);
            }
        });
        out.freeze()
    }

    fn append(&mut self, run: &Run<'_>, limits: &Limits) -> Result<()> {
        let limit = u64::from(limits.max_samples);
        if self.sizes.len() as u64 + u64::from(run.count()) > limit {
            return Err(Error::Limit { what: "samples in one track", limit });
        }
        if let Some(time) = run.decode_time {
            self.start_at(time);
        }
        for sample in run.samples() {
            self.push(sample.size, sample.duration, sample.composition_offset, sample.sync);
        }
        self.push_chunk(run.data.start, run.count(), run.description);
        Ok(())
    }

    /// The next sample is decoded at that time.
    fn start_at(&mut self, time: u64) {
        let Some((count, duration)) = self.durations.last_mut() else {
            (self.start, self.next) = (time, time);
            return;
        };
        if time == self.next {
            return;
        }
        let last = self.next.saturating_sub(u64::from(*duration));
        match time.checked_sub(last).map(u32::try_from) {
            Some(Ok(until)) => {
                if *count == 1 {
                    *duration = until;
                } else {
                    *count -= 1;
                    self.durations.push((1, until));
                }
                self.next = time;
            }
            _ => self.ignored_times += 1,
        }
    }

    /// Adds a sample, which lasts that long, at the end.
    pub(super) fn push(&mut self, size: u32, duration: u32, offset: i32, sync: bool) {
        let before = self.sizes.len() as u32;
        self.sizes.push(size);
        extend(&mut self.durations, duration);
        extend(&mut self.offsets, offset);
        match &mut self.sync {
            None if sync => {}
            None => self.sync = Some((1..=before).collect()),
            Some(numbers) if sync => numbers.push(before + 1),
            Some(_) => {}
        }
        self.next = self.next.saturating_add(u64::from(duration));
    }

    /// The newest samples lie one after the other from there on.
    pub(super) fn push_chunk(&mut self, offset: u64, samples: u32, description: u32) {
        self.chunks.push(offset);
        let chunk = self.chunks.len() as u32;
        if self.chunk_runs.last().is_none_or(|last| (last.1, last.2) != (samples, description)) {
            self.chunk_runs.push((chunk, samples, description));
        }
    }

    /// Takes the tables of a movie box; `None` where they contradict each other.
    fn seed(&mut self, stbl: &Children<'_>, file: u64, limits: &Limits) -> Option<()> {
        let sizes = match (stbl.get(b"stsz"), stbl.get(b"stz2")) {
            (Some(payload), _) => stsz::read(payload)?,
            (None, Some(payload)) => stsz::read_compact(payload)?,
            (None, None) => return Some(()),
        };
        let count = u32::try_from(sizes.count()).ok().filter(|n| *n <= limits.max_samples)?;
        if count == 0 {
            return Some(());
        }
        // A constant size takes no room in the box, but the samples do in the file.
        if let Sizes::Constant { size, .. } = sizes
            && u64::from(size) * u64::from(count) > file
        {
            return None;
        }
        let durations: Vec<(u32, u32)> = stts::runs(stbl.get(b"stts")?)?.collect();
        if durations.iter().map(|run| u64::from(run.0)).sum::<u64>() != u64::from(count) {
            return None;
        }
        let mut offsets = match stbl.get(b"ctts") {
            Some(payload) => ctts::runs(payload)?.collect(),
            None => Vec::new(),
        };
        if offsets.is_empty() {
            offsets.push((count, 0));
        }
        if offsets.iter().map(|run| u64::from(run.0)).sum::<u64>() != u64::from(count) {
            return None;
        }
        let chunks = match (stbl.get(b"stco"), stbl.get(b"co64")) {
            (Some(payload), _) => stco::read(payload)?,
            (None, payload) => stco::read_wide(payload?)?,
        };
        let mut left = count;
        let mut runs = stsc::runs(stbl.get(b"stsc")?)?.peekable();
        let mut run = runs.next()?;
        for index in 0..chunks.len() {
            let chunk = u32::try_from(index).ok()?.checked_add(1)?;
            while let Some(next) = runs.next_if(|next| next.first_chunk <= chunk) {
                run = next;
            }
            let samples = run.samples_per_chunk.min(left);
            if samples == 0 {
                return None;
            }
            left -= samples;
            self.push_chunk(chunks.get(index)?, samples, run.description);
        }
        if left > 0 {
            return None;
        }
        self.next = durations
            .iter()
            .fold(0, |sum: u64, run| sum.saturating_add(u64::from(run.0) * u64::from(run.1)));
        self.sync = match stbl.get(b"stss") {
            Some(payload) => Some(stss::numbers(payload)?.collect()),
            None => None,
        };
        self.durations = durations.into_iter().filter(|run| run.0 > 0).collect();
        self.offsets = offsets.into_iter().filter(|run| run.0 > 0).collect();
        self.sizes = (0..count as usize).map(|index| sizes.get(index)).collect();
        Some(())
    }
}

fn extend<T: PartialEq>(runs: &mut Vec<(u32, T)>, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        _ => runs.push((1, value)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn track(samples: u32) -> JoinedTrack {
        let mut track = JoinedTrack::new(1);
        for number in 0..samples {
            track.push(10, 100, 0, number % 4 == 0);
        }
        track.push_chunk(1_000, samples, 1);
        track
    }

    #[test]
    fn gaps_lengthen_and_overlaps_shorten_the_sample_before() {
        let mut late = track(3);
        late.start_at(350);
        assert_eq!((late.durations, late.next), (vec![(2, 100), (1, 150)], 350));
        let mut early = track(1);
        early.start_at(90);
        assert_eq!((early.durations, early.next), (vec![(1, 90)], 90));
        let mut back = track(3);
        back.start_at(150);
        assert_eq!((back.durations, back.next, back.ignored_times), (vec![(3, 100)], 300, 1));
        let mut first = JoinedTrack::new(1);
        first.start_at(7_000);
        assert_eq!((first.start, first.next), (7_000, 7_000));
    }

    #[test]
    fn tables_seed_what_they_wrote() {
        let limits = Limits::default();
        let mut all = track(9);
        all.push(11, 50, -3, false);
        all.push_chunk(4_000, 1, 1);
        let bytes = all.stbl();
        let stbl = children(&bytes, &mut Budget::new(99)).unwrap();
        let mut again = JoinedTrack::new(1);
        again.seed(&stbl, 9_999, &limits).unwrap();
        assert_eq!(again, all);
    }
}
