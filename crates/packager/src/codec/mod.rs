//! Codecs: one file each for what a sample entry says, its RFC 6381 string, and the sample entry
//! as CMAF wants it.

mod aac;
mod avc;
mod names;

pub(crate) use aac::Aac;
pub(crate) use avc::Avc;

use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, FourCc};

/// A codec that is carried, with the facts of one track.
#[derive(Debug, Clone)]
pub(crate) enum Codec {
    Avc(Avc),
    Aac(Aac),
}

impl Codec {
    /// RFC 6381 string.
    pub(crate) fn rfc6381(&self) -> &str {
        match self {
            Self::Avc(avc) => &avc.codec,
            Self::Aac(aac) => &aac.codec,
        }
    }

    /// The whole sample entry box for the output.
    pub(crate) fn sample_entry(&self) -> &[u8] {
        match self {
            Self::Avc(avc) => &avc.sample_entry,
            Self::Aac(aac) => &aac.sample_entry,
        }
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(self, Self::Avc(_))
    }
}

/// What to do with a track.
#[derive(Debug)]
pub(crate) enum Found {
    Carry(Codec),
    /// Left out, for this reason.
    Skip(String),
}

/// Reads the sample entry of a track whose handler is `handler`.
pub(crate) fn identify(
    handler: FourCc,
    entry: Child<'_>,
    track: u32,
    budget: &mut Budget,
) -> Result<Found> {
    match &entry.kind.0 {
        b"encv" | b"enca" => Err(Error::Encrypted { track, entry: entry.kind }),
        b"avc1" | b"avc3" => avc::read(entry, track, budget),
        b"mp4a" => aac::read(entry, track, budget),
        _ => Ok(Found::Skip(names::skip_reason(handler, entry.kind))),
    }
}
