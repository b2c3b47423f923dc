//! What a media file holds: container, duration, and its streams.
//!
//! Reads the header and at most 5 MiB or 5 s of media beyond it (FFmpeg's `probesize` and
//! `analyzeduration`), opens no decoder for longer than that, and never follows references to
//! other files. Blocking: call it off the async runtime.

use std::{path::Path, time::Duration};

use ffmpeg_next::{Rational, Stream, codec, ffi, format::stream::Disposition, media};

use crate::{
    Error, Result,
    error::Doing,
    library::{self, timestamp},
};

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// FFmpeg's names of the container, comma-separated: "mov,mp4,m4a,3gp,3g2,mj2".
    pub container: String,
    /// Length of the longest stream; `None` when the container does not say.
    pub duration: Option<Duration>,
    /// All streams, in the order of the file (100 at most).
    pub streams: Vec<StreamInfo>,
}

/// One stream of a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its position in the file, from 0.
    pub index: usize,
    /// What it carries.
    pub kind: Kind,
    /// FFmpeg's name of the codec: "h264", "aac", or "none" for one it does not know.
    pub codec: &'static str,
    /// Whether the linked FFmpeg has a decoder for it.
    pub decodable: bool,
    /// Its own length, when the container says.
    pub duration: Option<Duration>,
    /// Language tag as written in the file; `None` when absent, undetermined or malformed.
    pub language: Option<String>,
}

/// The kind of a stream, with what is particular to it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Moving pictures.
    Video {
        /// Coded width in pixels, before rotation and sample aspect ratio.
        width: u32,
        /// Coded height in pixels.
        height: u32,
        /// Mean frames per second; `None` when unknown.
        frame_rate: Option<f64>,
    },
    /// A still that belongs to the file, such as a cover.
    Picture {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Sound.
    Audio {
        /// Channels.
        channels: u16,
        /// Samples per second and channel.
        sample_rate: u32,
    },
    /// Subtitles or captions.
    Subtitle,
    /// Anything else: data, attachments.
    Other,
}

/// Opens a media file and says what is in it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Io`], [`Error::FileName`]; [`Error::NotMedia`] for bytes that are
/// no known container; [`Error::NoDecodableStream`] when the container is fine but FFmpeg can
/// decode none of its audio and video.
pub fn probe(path: impl AsRef<Path>) -> Result<Probe> {
    let input = library::open(path.as_ref())?;
    let streams = input.streams().map(|stream| describe(&stream)).collect::<Result<Vec<_>>>()?;
    if !streams.iter().any(StreamInfo::plays) {
        return Err(Error::NoDecodableStream);
    }
    Ok(Probe {
        container: input.format().name().to_owned(),
        duration: duration(input.duration(), Rational(1, ffi::AV_TIME_BASE)),
        streams,
    })
}

impl StreamInfo {
    fn plays(&self) -> bool {
        self.decodable && matches!(self.kind, Kind::Video { .. } | Kind::Audio { .. })
    }
}

fn describe(stream: &Stream<'_>) -> Result<StreamInfo> {
    let parameters = stream.parameters();
    let id = parameters.id();
    let medium = parameters.medium();
    // The parameters' fields are private to C; a context that is never opened shows them.
    let context =
        codec::Context::from_parameters(parameters).doing("read a stream's parameters")?.encoder();
    let kind = match medium {
        media::Type::Video => {
            let video = context.video().doing("read a video stream's parameters")?;
            let (width, height) = (video.width(), video.height());
            if stream.disposition().contains(Disposition::ATTACHED_PIC) {
                Kind::Picture { width, height }
            } else {
                Kind::Video { width, height, frame_rate: frame_rate(stream).map(f64::from) }
            }
        }
        media::Type::Audio => {
            let audio = context.audio().doing("read an audio stream's parameters")?;
            Kind::Audio { channels: audio.channels(), sample_rate: audio.rate() }
        }
        media::Type::Subtitle => Kind::Subtitle,
        _ => Kind::Other,
    };
    Ok(StreamInfo {
        index: stream.index(),
        kind,
        codec: id.name(),
        decodable: codec::decoder::find(id).is_some(),
        duration: duration(stream.duration(), stream.time_base()),
        language: language(stream),
    })
}

/// The mean frame rate, else the nominal one; `None` when the file gives neither.
pub(crate) fn frame_rate(stream: &Stream<'_>) -> Option<Rational> {
    [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .find(|rate| rate.numerator() > 0 && rate.denominator() > 0)
}

/// A count of ticks as a duration; `None` when unknown or negative.
pub(crate) fn duration(ticks: i64, time_base: Rational) -> Option<Duration> {
    let ticks = u128::try_from(timestamp(ticks)?).ok()?;
    let numerator = u128::try_from(time_base.numerator()).ok()?;
    let denominator = u128::try_from(time_base.denominator()).ok()?;
    let nanos = (ticks * numerator * 1_000_000_000).checked_div(denominator)?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn language(stream: &Stream<'_>) -> Option<String> {
    let metadata = stream.metadata();
    // BCP 47 tags are at most 35 characters of this alphabet; anything else is noise from the file.
    let tag = metadata.get("language")?.as_bytes();
    let sound = (2..=35).contains(&tag.len())
        && tag.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && tag != b"und";
    sound.then(|| String::from_utf8_lossy(tag).into_owned())
}
