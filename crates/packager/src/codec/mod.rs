//! Codecs: one file each for what a sample entry says, its RFC 6381 string, and the sample entry
//! as CMAF wants it.
//!
//! What a sample entry should say and does not is looked for in the track's samples: reading it
//! then answers [`Found::Peek`], and is repeated with the heads of the samples it wants.

mod aac;
mod ac3;
mod av1;
mod avc;
mod eac3;
mod encrypted;
mod flac;
mod hevc;
mod mp3;
mod mp4a;
mod opus;
mod vp9;

mod bits;
mod carriage;
mod coding;
mod colour;
mod dolby_vision;
mod names;
mod parameter_sets;
mod sound;
mod speakers;
mod visual;

pub use carriage::Protocol;
pub use coding::Coding;
pub use colour::{Colour, VideoRange};
pub use dolby_vision::Supplemental;
pub use speakers::Speakers;

pub(crate) use carriage::Carriage;
pub(crate) use parameter_sets::{Compared, ParameterSets};

use bytes::Bytes;

use self::sound::SoundEntry;
use crate::error::Result;
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
    pub(crate) supplemental: Option<Supplemental>,
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
    /// That of a track whose samples are still to be looked at.
    pub(crate) fn unknown(picture: bool) -> Self {
        let nothing = Picture {
            width: 0,
            height: 0,
            sample_aspect: (1, 1),
            frame_rate: None,
            colour: None,
            range: VideoRange::Sdr,
            supplemental: None,
        };
        let silence = Sound { channels: 0, sample_rate: 0, speakers: Speakers::Unknown };
        let coding = if picture { Coding::Hevc } else { Coding::Mp3 };
        Self {
            coding,
            rfc6381: String::new(),
            sample_entry: Bytes::new(),
            facts: if picture { Facts::Picture(nothing) } else { Facts::Sound(silence) },
            carriage: Carriage::of(coding),
            warnings: Vec::new(),
        }
    }

    /// RFC 6381 string.
    pub(crate) fn rfc6381(&self) -> &str {
        &self.rfc6381
    }

    /// The whole sample entry box for the output.
    pub(crate) fn sample_entry(&self) -> &[u8] {
        &self.sample_entry
    }

    /// Whether samples were seen to have other parameter sets than the sample entry.
    pub(crate) fn has_changing_sets(&self) -> bool {
        matches!(self.sample_entry.get(4..8), Some(b"hev1" | b"dvhe" | b"avc3"))
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(self.facts, Facts::Picture(_))
    }

    /// The string that HLS uses, where it differs from RFC 6381's.
    pub(crate) fn hls_string(&self) -> &str {
        match self.coding {
            Coding::Mp3 => "mp4a.40.34",
            _ => &self.rfc6381,
        }
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
    /// Carried so unless a sample has other parameter sets than these; with the head of such a
    /// sample among those that were looked at, it is to be read again.
    CarryIf(Codec, ParameterSets),
    /// Left out, for this reason.
    Skip(String),
    /// The heads of samples must be seen.
    Peek(Wants),
}

/// Which samples are to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The first.
    First,
    /// Sync samples spread over the track, the first and the last among them.
    Spread,
}

/// The first bytes of the samples that were wanted; `None` before any was looked at.
pub(crate) type Heads<'a> = Option<&'a [Bytes]>;

/// The channels that a sound sample entry states; 0 where it states none.
pub(crate) fn stated_channels(entry: Child<'_>, budget: &mut Budget) -> Result<u16> {
    SoundEntry::read(entry, 0, budget).map(|entry| entry.channels)
}

/// Reads the sample entry of a track whose handler is `handler`.
pub(crate) fn identify(
    handler: FourCc,
    entry: Child<'_>,
    track: u32,
    heads: Heads<'_>,
    budget: &mut Budget,
) -> Result<Found> {
    match &entry.kind.0 {
        _ if encrypted::is_encrypted(entry.kind) => encrypted::read(entry, track, budget),
        b"avc1" | b"avc3" | b"dva1" | b"dvav" => avc::read(entry, track, heads, budget),
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => hevc::read(entry, track, heads, budget),
        b"av01" | b"dav1" => av1::read(entry, track, heads, budget),
        b"vp09" => vp9::read(entry, track, budget),
        b"mp4v" => visual::object(entry, track, budget),
        b"mp4a" => mp4a::read(&SoundEntry::read(entry, track, budget)?, heads),
        b"ac-3" => ac3::read(&SoundEntry::read(entry, track, budget)?, heads),
        b"ec-3" => eac3::read(&SoundEntry::read(entry, track, budget)?, heads),
        b".mp3" | b"ms\0\x55" => Ok(mp3::read(&SoundEntry::read(entry, track, budget)?, heads)),
        b"Opus" => opus::read(&SoundEntry::read(entry, track, budget)?),
        b"fLaC" => flac::read(&SoundEntry::read(entry, track, budget)?),
        _ => Ok(Found::Skip(names::skip_reason(handler, entry.kind))),
    }
}
