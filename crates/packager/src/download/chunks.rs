//! In which order the samples of a download come: by turns, half a second of each track.

use super::Found;
use crate::units::{MediaTime, Timescale};

/// Samples of one track that follow each other in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Which track of the download.
    pub(super) lane: u8,
    /// Its first sample, in the source's numbering.
    pub(super) first: u32,
    pub(super) samples: u32,
    /// Its length in bytes.
    pub(super) len: u64,
    /// Its offset in the file; 0 until that is known.
    pub(super) at: u64,
}

/// The duration of a chunk in milliseconds.
const CHUNK_MILLIS: i64 = 500;

/// The most turns: a title of more than 36 hours has longer chunks.
const MOST_TURNS: i64 = 1 << 18;

/// All samples of the tracks in chunks, by the times at which they are decoded.
pub(super) fn interleave(tracks: &[Found<'_>]) -> Vec<Chunk> {
    let ends = tracks.iter().map(|found| MediaTime::new(found.end, found.track.timescale));
    let longest = ends.map(MediaTime::as_millis).max().unwrap_or(0).max(0);
    let turn = CHUNK_MILLIS.max(longest / MOST_TURNS + 1);
    let mut next: Vec<u32> = vec![0; tracks.len()];
    let mut chunks = Vec::new();
    let mut until = turn;
    while next.iter().zip(tracks).any(|(next, found)| *next < found.count) {
        // Times end some day, whatever a damaged table says.
        let last_turn = until > longest.saturating_add(turn);
        for (lane, (first, found)) in (0..).zip(next.iter_mut().zip(tracks)) {
            let samples = found.index.samples();
            let limit = if last_turn {
                found.count
            } else {
                let ticks = MediaTime::new(until, Timescale::MILLIS)
                    .rescale(found.track.timescale)
                    .map_or(i64::MAX, MediaTime::ticks);
                samples.at_or_after(ticks.saturating_sub(found.shift)).min(found.count)
            };
            if limit <= *first {
                continue;
            }
            let len = samples.range(*first..limit).map(|sample| u64::from(sample.size)).sum();
            chunks.push(Chunk { lane, first: *first, samples: limit - *first, len, at: 0 });
            *first = limit;
        }
        until = until.saturating_add(turn);
    }
    chunks
}
