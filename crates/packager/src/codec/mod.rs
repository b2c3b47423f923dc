//! Codecs: one file each for what a sample entry says, its RFC 6381 string, and the sample entry
//! as CMAF wants it.

mod aac;
mod ac3;
mod av1;
mod avc;
mod eac3;
mod flac;
mod mp4a;
mod opus;
mod vp9;

mod bits;
mod carriage;
mod coding;
mod colour;
mod names;
mod sound;
mod speakers;
mod visual;

pub use carriage::Protocol;
pub use coding::Coding;
pub use colour::{Colour, VideoRange};
pub use speakers::Speakers;

pub(crate) use carriage::Carriage;

use bytes::Bytes;

use self::sound::SoundEntry;
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, FourCc};

/// A codec that is carried, with the facts of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) coding: Coding,
    /// The codec string of RFC 6381 §3.3.
    pub(crate) rfc6381: String,
    /// The whole sample entry box for the output, in the standard's form also where the source has
    /// QuickTime's, and without what other systems left in it.
    pub(crate) sample_entry: Bytes,
    pub(crate) facts: Facts,
    pub(crate) carriage: Carriage,
    /// Things to tell people.
    pub(crate) warnings: Vec<&'static str>,
}

/// What is known of the picture or the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Facts {
    Picture(Picture),
    Sound(Sound),
}

/// Of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// After cropping.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// In lowest terms.
    pub(crate) sample_aspect: (u32, u32),
    /// From the bitstream, where it is said and fixed.
    pub(crate) frame_rate: Option<(u32, u32)>,
    pub(crate) colour: Option<Colour>,
    pub(crate) range: VideoRange,
}

/// Of a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sound {
    pub(crate) channels: u16,
    /// After decoding, that is with spectral band replication where it is said to be there.
    pub(crate) sample_rate: u32,
    pub(crate) speakers: Speakers,
}

impl Codec {
    /// RFC 6381 string.
    pub(crate) fn rfc6381(&self) -> &str {
        &self.rfc6381
    }

    /// The whole sample entry box for the output.
    pub(crate) fn sample_entry(&self) -> &[u8] {
        &self.sample_entry
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(self.facts, Facts::Picture(_))
    }

    pub(crate) fn sound(&self) -> Option<&Sound> {
        match &self.facts {
            Facts::Sound(sound) => Some(sound),
            Facts::Picture(_) => None,
        }
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
        b"avc1" | b"avc3" | b"dva1" | b"dvav" => avc::read(entry, track, budget),
        b"av01" => av1::read(entry, track, budget),
        b"vp09" => vp9::read(entry, track, budget),
        b"mp4v" => visual::object(entry, track, budget),
        b"mp4a" => mp4a::read(&SoundEntry::read(entry, track, budget)?),
        b"ac-3" => ac3::read(&SoundEntry::read(entry, track, budget)?),
        b"ec-3" => eac3::read(&SoundEntry::read(entry, track, budget)?),
        b"Opus" => opus::read(&SoundEntry::read(entry, track, budget)?),
        b"fLaC" => flac::read(&SoundEntry::read(entry, track, budget)?),
        _ => Ok(Found::Skip(names::skip_reason(handler, entry.kind))),
    }
}
