//! The one table of where segments begin and end, for all tracks of an asset.

use crate::units::MediaTime;

/// Boundaries of all tracks, numbered from 1; segment `n` of every track covers the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentTable {
    boundaries: Vec<MediaTime>,
    tracks: Vec<Vec<SegmentSpan>>,
}

/// One segment of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSpan {
    /// The earliest presentation time in it, in ticks of the track, on the output's timeline
    /// (start offset included): DASH `S@t`.
    pub start: u64,
    /// Up to the next segment's start, or to the track's end, in ticks: DASH `S@d`, and EXTINF.
    pub duration: u64,
    /// Its length in bytes with container.
    pub bytes: u64,
    /// Its first sample, counted from 0 in the source track.
    pub first_sample: u32,
    /// How many samples it has. 0 only where the track is silent for that long; such a segment is
    /// valid and empty.
    pub samples: u32,
    /// Decode time of its first sample on the output's timeline, in ticks (`tfdt`).
    pub decode_time: u64,
}

impl SegmentTable {
    /// How many segments the longest track has.
    pub fn len(&self) -> usize {
        self.tracks.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where segments begin, on the presentation's timeline (without start offset), in order.
    pub fn boundaries(&self) -> &[MediaTime] {
        &self.boundaries
    }

    /// The segments of the track at `position` in [`Media::tracks`](crate::Media::tracks).
    pub fn spans(&self, position: usize) -> &[SegmentSpan] {
        self.tracks.get(position).map_or(&[], Vec::as_slice)
    }
}
