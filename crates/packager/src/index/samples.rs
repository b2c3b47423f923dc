//! Where the samples of one track are, when they are decoded, and how to find them.

/// One sample: an access unit of picture, a frame of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its offset in the source, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u32,
    /// Its decode time in ticks of the track, from 0 at the first sample.
    pub dts: i64,
    /// Its duration in ticks.
    pub duration: u32,
    /// Composition time minus decode time, in ticks.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub sync: bool,
}

/// The samples of one track.
#[derive(Debug)]
pub struct TrackSamples {}
