//! What can be wrong with a source, by what the caller can do about it.
//!
//! Messages name boxes and tracks, never paths: they may be shown to strangers.

use std::fmt;

use crate::isobmff::FourCc;
use crate::track::TrackMedia;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a source cannot be packaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no ISO base media file, or hold no movie.
    #[error("the source is not an MP4 file: {0}")]
    NotMp4(&'static str),
    /// The source ends before what it declares.
    #[error("the source is truncated: {what}{}", InTrack(*.track))]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// The source's track number (track_ID), where the fault is in one track.
        track: Option<u32>,
    },
    /// A box that is needed is absent.
    #[error("box {kind} is missing{}", InTrack(*.track))]
    MissingBox {
        /// The box.
        kind: FourCc,
        /// The source's track number, where the fault is in one track.
        track: Option<u32>,
    },
    /// A box that is needed contradicts itself, another box or the file.
    #[error("box {kind} is malformed{}: {why}", InTrack(*.track))]
    BadBox {
        /// The box.
        kind: FourCc,
        /// The source's track number, where the fault is in one track.
        track: Option<u32>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The source exceeds a configured limit.
    #[error("the source exceeds the limit of {limit} {what}")]
    Limit {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The source is a recording that has just begun: there is no complete segment yet.
    #[error("the recording has no complete segment yet")]
    NotYet,
    /// No track of the source can be carried; the text says why for each.
    #[error("no track of the source can be carried: {0}")]
    NoUsableTrack(String),
    /// A [`Pick`](crate::Pick) of a [`Choice`](crate::Choice) cannot be carried.
    #[error("pick {} of {media}: {why}", .number + 1)]
    BadPick {
        /// Among the pictures or the sounds.
        media: TrackMedia,
        /// Which pick of them, counted from 0.
        number: usize,
        /// What is wrong with it, about the source that it names.
        why: String,
    },
    /// The caller fed bytes that were not asked for; a fault of the program, not of the source.
    #[error("bytes were fed that had not been asked for")]
    UnexpectedBytes,
}

struct InTrack(Option<u32>);

impl fmt::Display for InTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(track) => write!(f, " in track {track}"),
            None => Ok(()),
        }
    }
}
