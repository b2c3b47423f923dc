//! Timelines: edit lists, durations and composition offsets of any size, in files that are
//! otherwise right. What is cut from them holds each sample of a track once and in order.

use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{Media, Options, Part};

use crate::kit::boxes::{FileSpec, TrackSpec};
use crate::seeds::Seed;

/// Segments that are made, of each track.
const SEGMENTS: u32 = 400;

/// Inputs of some length are enough.
pub(crate) fn seeds() -> Vec<Seed> {
    let plain = vec![0; 64];
    let counting: Vec<u8> = (0..200).collect();
    let mixed: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(97) >> (byte % 8)).collect();
    [("plain", plain), ("counting", counting), ("mixed", mixed)]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into()
}

/// Reads numbers off the input; zeros when it is used up.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number of up to 64 bits: how many bytes it has comes first, so that small ones are common.
    fn number(&mut self) -> u64 {
        let len = self.byte() % 9;
        (0..len).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn runs<T>(&mut self, count: u32, value: impl Fn(u64) -> T) -> Vec<(u32, T)> {
        let mut runs = Vec::new();
        let mut left = count;
        while left > 0 {
            let run = (1 + u32::from(self.byte()) % 16).min(left);
            left -= run;
            runs.push((run, value(self.number())));
        }
        runs
    }

    fn track(&mut self, video: bool) -> TrackSpec {
        let count = 1 + u32::from(self.byte()) % 64;
        let mut track = if video {
            TrackSpec::video(count, 8, 1 + u32::from(self.byte()) % 16)
        } else {
            TrackSpec::audio(count, 8)
        };
        track.timescale = (self.number() as u32).max(1);
        track.durations = self.runs(count, |value| value as u32);
        if self.byte() & 1 == 1 {
            track.offsets_version = self.byte() & 1;
            track.offsets = self.runs(count, |value| value as i32);
        }
        track.wide_edits = self.byte() & 1 == 1;
        for _ in 0..self.byte() % 5 {
            let media_time = if self.byte() < 64 { -1 } else { self.number().cast_signed() };
            let rate = if self.byte() < 32 { self.number() as i32 } else { 1 << 16 };
            track.edits.push((self.number(), media_time, rate));
        }
        // Long lists are short inputs.
        let again = self.byte();
        if again >= 128 {
            track.edits = track.edits.repeat(1 << (again % 12));
        }
        track
    }
}

/// Makes a file with the input's timeline, and cuts it.
pub(crate) fn run(input: &[u8]) {
    let mut numbers = Numbers(input);
    let mut tracks = vec![numbers.track(true)];
    if numbers.byte() & 1 == 0 {
        tracks.push(numbers.track(false));
    }
    let file = Bytes::from(FileSpec::new(tracks).bytes());
    let Some(index) = super::index(&file) else { return };
    let Ok(media) = Media::new(vec![Arc::new(index)], &Options::default()) else { return };
    for track in media.tracks() {
        let source = media.sources().first().map(|index| index.tracks()).unwrap_or_default();
        let Some(source) = source.iter().find(|one| one.number() == track.source_track) else {
            unreachable!("{} is of no track", track.id);
        };
        let mut taken = 0;
        for (number, span) in (1..).zip(media.spans(track.id)).take(SEGMENTS as usize) {
            assert_eq!(span.first_sample, taken, "{} segment {number}", track.id);
            taken += span.samples;
            let Some(plan) = media.segment(track.id, number) else {
                unreachable!("{} has no segment {number}", track.id);
            };
            assert_eq!(media.segment_bytes(track.id, number), Some(plan.len));
            let samples = source.samples().range(span.first_sample..taken);
            let expected: u64 = samples.map(|sample| u64::from(sample.size)).sum();
            let copied: u64 = plan
                .parts
                .iter()
                .map(|part| if let Part::Copy(copy) = part { copy.range.len } else { 0 })
                .sum();
            assert_eq!(copied, expected, "{} segment {number}", track.id);
        }
        assert!(taken <= source.samples().count(), "{}", track.id);
    }
}
