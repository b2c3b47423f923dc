//! Every bound on what a source may make us do, in one place.
//!
//! Depth needs none: boxes are read level by level, never by recursion. Tables need none of their
//! own: each is at most as long as the box that holds it.

/// What a source may cost. A source beyond a limit is refused with
/// [`Error::Limit`](crate::Error::Limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest `moov` in bytes that is read; default 256 MiB. While an index is built this
    /// much memory may be in use, and about as much again for its tables.
    pub max_moov_bytes: u64,
    /// The most tracks in one file; default 128.
    pub max_tracks: u32,
    /// The most samples in one track; default 32 Mi (over 6 days at 60 frames a second).
    pub max_samples: u32,
    /// The most boxes looked at in one file, the top level included; default 65,536.
    pub max_boxes: u32,
    /// The most byte-range reads for one index; default 64. Ordinary files need 2 or 3; more are
    /// needed only where many boxes lie between the start and the `moov`.
    pub max_reads: u32,
    /// The most movie fragments in one file; default 4 Mi (over 9 hours of a fragment for each of
    /// two tracks at 60 a second). Each is read once while the index is built, many in one batch
    /// where a `sidx` or `mfra` tells where they are.
    pub max_fragments: u32,
    /// The longest `moof` in bytes that is read; default 16 MiB.
    pub max_moof_bytes: u64,
    /// The most sync samples of one track whose parameter sets are compared with its sample entry's,
    /// where they may differ (`hev1`, `avc3`); default 4,096: all of over two hours with one every
    /// two seconds. Of more, so many are, evenly spread. Each costs a read of up to 4 KiB when the
    /// index is built; sources across a network are asked for at most 256. Packagers that stand in
    /// for each other need the same limit: where one of them sees a change that another does not,
    /// the asset has two versions, and each answers 410 to the URLs of the other.
    pub max_compared_samples: u32,
    /// The longest presentation in seconds; default 3,600,000 (1,000 hours). It keeps all
    /// arithmetic on times within 64 bits.
    pub max_duration_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_moov_bytes: 256 << 20,
            max_tracks: 128,
            max_samples: 32 << 20,
            max_boxes: 65_536,
            max_reads: 64,
            max_fragments: 4 << 20,
            max_moof_bytes: 16 << 20,
            max_compared_samples: 4_096,
            max_duration_seconds: 3_600_000,
        }
    }
}

/// The largest picture in bytes that goes into MPEG-TS, 16 MiB: it is in memory as a whole while
/// it is made into packets. A track with a larger one is left out of MPEG-TS.
pub(crate) const MAX_TS_SAMPLE_BYTES: u32 = 16 << 20;

/// The most samples in one segment of one track, about a million: whoever asks for a segment makes
/// a list of them. Only damaged files, and pictures without a sync sample for hours, have more.
pub(crate) const MAX_SEGMENT_SAMPLES: u32 = 1 << 20;
