//! Media as the rules see it: renditions of init segments and sampled segments, whatever the
//! manifest that named them.

pub(crate) mod boxes;
pub(crate) mod codec;
pub(crate) mod entry;
pub(crate) mod fragment;
pub(crate) mod movie;
pub(crate) mod nal;
pub(crate) mod sidx;
pub(crate) mod transport;

use fragment::Fragments;
use movie::Movie;
use transport::Transport;

/// One rendition: a media playlist's or a representation's media.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) inits: Vec<Init>,
    /// What was sampled, in order of presentation.
    pub(crate) segments: Vec<Segment>,
    /// Whether every segment of the rendition is in `segments`.
    pub(crate) complete: bool,
    /// Whether it is a list of single pictures, whose decode times have gaps.
    pub(crate) pictures: bool,
}

/// An init segment.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) place: String,
    pub(crate) movie: Result<Movie, String>,
}

/// A sampled segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) place: String,
    /// Its number in the rendition, from 0.
    pub(crate) index: usize,
    /// Its init segment in [`Stream::inits`].
    pub(crate) init: Option<usize>,
    /// The duration that the manifest states, in seconds.
    pub(crate) stated: Option<f64>,
    /// Whether the timeline may begin anew here.
    pub(crate) discontinuity: bool,
    pub(crate) bytes: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) container: Container,
}

/// What a segment is.
#[derive(Debug)]
pub(crate) enum Container {
    Fragments(Fragments),
    Transport(Transport),
    /// WebVTT, and whether it has an `X-TIMESTAMP-MAP`.
    Text {
        mapped: bool,
    },
    /// Packed audio: nothing here looks inside.
    Plain,
    /// Encrypted as a whole.
    Sealed,
    /// Bytes that are none of these.
    Unknown(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Video,
    Audio,
    Other,
}

/// The times of one track within one segment, in ticks of its timescale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) track: u32,
    pub(crate) kind: Kind,
    pub(crate) timescale: u32,
    /// Decode time of the first sample.
    pub(crate) start: u64,
    /// The sum of the samples' durations; in a transport stream, from the spacing of its units.
    pub(crate) duration: u64,
    /// The earliest presentation time, with the edit list applied.
    pub(crate) presented: i64,
    /// How much of `duration` is presented: an edit list may cut off the start.
    pub(crate) shown: u64,
    pub(crate) samples: usize,
    /// Whether the first sample is marked as a sync sample.
    pub(crate) sync: Option<bool>,
    /// Whether its NAL units say so too (H.264: IDR; HEVC: IRAP).
    pub(crate) random_access: Option<bool>,
    /// Whether durations are exact, or those of a transport stream.
    pub(crate) exact: bool,
}

impl Span {
    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }

    pub(crate) fn seconds(&self, ticks: f64) -> f64 {
        ticks / f64::from(self.timescale.max(1))
    }

    pub(crate) fn duration_seconds(&self) -> f64 {
        self.seconds(self.duration as f64)
    }

    /// When the first sample is presented, in seconds.
    pub(crate) fn begins(&self) -> f64 {
        self.seconds(self.presented as f64)
    }

    /// How long the segment is presented, in seconds.
    pub(crate) fn shown_seconds(&self) -> f64 {
        self.seconds(self.shown as f64)
    }

    /// The mean duration of a sample, in seconds.
    pub(crate) fn sample_seconds(&self) -> f64 {
        self.duration_seconds() / self.samples.max(1) as f64
    }

    /// Whether one may start decoding here, as far as is known.
    pub(crate) fn starts_independent(&self) -> Option<bool> {
        match (self.sync, self.random_access) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, None) => None,
            _ => Some(true),
        }
    }
}

impl Segment {
    /// Each track's times, in the order of the tracks.
    pub(crate) fn spans(&self, stream: &Stream) -> Vec<Span> {
        match &self.container {
            Container::Fragments(fragments) => fragments.spans(stream.movie_of(self)),
            Container::Transport(transport) => transport.spans(),
            Container::Text { .. }
            | Container::Plain
            | Container::Sealed
            | Container::Unknown(_) => Vec::new(),
        }
    }

    /// The span that decides: the video's, or the first.
    pub(crate) fn main_span(&self, stream: &Stream) -> Option<Span> {
        let spans = self.spans(stream);
        let video = spans.iter().find(|span| span.kind == Kind::Video);
        video.or_else(|| spans.first()).copied()
    }

    pub(crate) fn fragments(&self) -> Option<&Fragments> {
        match &self.container {
            Container::Fragments(fragments) => Some(fragments),
            _ => None,
        }
    }

    pub(crate) fn transport(&self) -> Option<&Transport> {
        match &self.container {
            Container::Transport(transport) => Some(transport),
            _ => None,
        }
    }
}

impl Stream {
    pub(crate) fn movie_of(&self, segment: &Segment) -> Option<&Movie> {
        let init = self.inits.get(segment.init?)?;
        init.movie.as_ref().ok()
    }

    /// Every movie that could be read, with its place.
    pub(crate) fn movies(&self) -> impl Iterator<Item = (&str, &Movie)> {
        self.inits.iter().filter_map(|init| Some((&*init.place, init.movie.as_ref().ok()?)))
    }

    /// Sampled segments that follow each other with nothing between.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Segment, &Segment)> {
        self.segments.windows(2).filter_map(|pair| match pair {
            [a, b] if b.index == a.index + 1 && !b.discontinuity => Some((a, b)),
            _ => None,
        })
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.movies().any(|(_, movie)| movie.tracks.iter().any(|track| track.kind() == kind))
            || self.segments.iter().any(|segment| {
                segment.transport().is_some_and(|ts| ts.streams().any(|s| s.kind() == kind))
            })
    }
}

/// Looks at a segment's bytes.
pub(crate) fn look(bytes: &[u8], movie: Option<&Movie>) -> Container {
    if bytes.len() >= transport::PACKET && bytes.first() == Some(&transport::SYNC) {
        return Container::Transport(Transport::read(bytes));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let packed = bytes.starts_with(b"ID3")
        || matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0)
        || bytes.starts_with(&[0x0b, 0x77]);
    if text.starts_with(b"WEBVTT") {
        let lines = text.split(|byte| *byte == b'\n');
        let mut head = lines.take_while(|line| !matches!(line, [] | [b'\r']));
        return Container::Text { mapped: head.any(|line| line.starts_with(b"X-TIMESTAMP-MAP=")) };
    }
    if packed {
        return Container::Plain;
    }
    match Fragments::read(bytes, movie) {
        Ok(fragments) => Container::Fragments(fragments),
        Err(error) => Container::Unknown(error),
    }
}
