//! A title as one file to keep: a progressive MP4 whose movie box comes first
//! (ISO/IEC 14496-12 §8.1.1 `mdat`, §8.2.1 `moov`), of one picture and one sound.
//!
//! It is remuxed, not encoded: samples are copied, in chunks of half a second by turns, so that a
//! player that reads it from the front needs no second reader. Edit lists say what they said in the
//! source (§8.6.6), so picture and sound stay in step and priming stays silent. The movie box is
//! made once; what follows is planned piece by piece, so that a range of a long title costs no more
//! than what it touches.

mod chunks;
mod moov;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::index::{TrackIndex, TrackSamples};
use crate::media::Media;
use crate::plan::Plan;
use crate::track::{Track, TrackId};
use crate::units::ByteRange;

use chunks::Chunk;

/// Which tracks a download holds; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DownloadTracks {
    /// The picture.
    pub video: Option<TrackId>,
    /// The sound.
    pub audio: Option<TrackId>,
}

/// `v1-a1`; what is missing is left out.
impl fmt::Display for DownloadTracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.video, self.audio) {
            (Some(video), Some(audio)) => write!(f, "{video}-{audio}"),
            (Some(only), None) | (None, Some(only)) => only.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// What of a download is asked for, before it is known what there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Wish {
    /// The largest picture, the sound to start with.
    #[default]
    Best,
    /// None of the kind.
    Without,
    /// This one.
    Track(TrackId),
}

/// One file to keep, ready to be sent in any part.
#[derive(Debug, Clone)]
pub struct Download {
    media: Arc<Media>,
    /// All before the first sample.
    head: Bytes,
    chunks: Vec<Chunk>,
    lanes: Vec<Lane>,
    len: u64,
}

/// A track of a download: where it is in the media.
#[derive(Debug, Clone, Copy)]
struct Lane {
    position: usize,
}

/// A track with all that its boxes say.
#[derive(Clone, Copy)]
struct Found<'a> {
    track: &'a Track,
    index: &'a TrackIndex,
    /// How many samples it has in the presentation.
    count: u32,
    /// Subtracted from composition offsets, so that none is negative.
    lead: i32,
    /// Presentation time minus composition time in this file.
    shift: i64,
    /// Presentation time of the end, in ticks.
    end: i64,
}

impl Download {
    /// Where it is, relative to the asset's folder.
    pub const PATH: &str = "download.mp4";
}

impl Media {
    /// The tracks of a download; `None` where one that is asked for is not there, or nothing is.
    pub fn download_tracks(&self, video: Wish, audio: Wish) -> Option<DownloadTracks> {
        let best_video = || {
            let pixels = |track: &&Track| {
                let video = track.video();
                video.map_or(0, |video| u64::from(video.width) * u64::from(video.height))
            };
            let bytes = |track: &&Track| -> u64 {
                self.spans(track.id).iter().map(|span| span.bytes).sum()
            };
            let pictures = self.tracks().iter().filter(|track| track.is_video());
            pictures.max_by_key(|track| (pixels(track), bytes(track)))
        };
        let best_audio = || {
            let mut sounds = self.tracks().iter().filter(|track| track.is_audio());
            sounds.clone().find(|track| track.default).or(sounds.next())
        };
        let tracks = DownloadTracks {
            video: self.wished(video, Track::is_video, best_video())?,
            audio: self.wished(audio, Track::is_audio, best_audio())?,
        };
        (tracks.video.is_some() || tracks.audio.is_some()).then_some(tracks)
    }

    /// The outer `None` is a track that is not there.
    #[expect(clippy::option_option, reason = "a wish for nothing is no failure")]
    fn wished(
        &self,
        wish: Wish,
        kind: fn(&Track) -> bool,
        best: Option<&Track>,
    ) -> Option<Option<TrackId>> {
        match wish {
            Wish::Best => Some(best.map(|track| track.id)),
            Wish::Without => Some(None),
            Wish::Track(id) => self.track(id).filter(|track| kind(track)).map(|_| Some(id)),
        }
    }
}

impl Download {
    /// The media type.
    pub const CONTENT_TYPE: &'static str = "video/mp4";

    /// Looks at every sample once. `None` where a track is not there.
    pub fn new(media: Arc<Media>, tracks: DownloadTracks) -> Option<Self> {
        let lanes: Vec<Lane> = [tracks.video, tracks.audio]
            .into_iter()
            .flatten()
            .map(|id| Some(Lane { position: media.position(id)? }))
            .collect::<Option<_>>()?;
        let found: Vec<Found<'_>> =
            lanes.iter().map(|lane| find(&media, *lane)).collect::<Option<_>>()?;
        if found.is_empty() {
            return None;
        }
        let mut chunks = chunks::interleave(&found);
        let payload: u64 = chunks.iter().map(|chunk| chunk.len).sum();

        // Where the first sample is depends on the size of the boxes before it, which depends on
        // how wide offsets are written, which depends on where the last chunk is.
        let mut out = BytesMut::new();
        ftyp(&mut out);
        let narrow = moov::len(&found, &chunks, false);
        let wide = out.len() as u64 + narrow + LARGE_HEADER + payload > u64::from(u32::MAX);
        let boxes = if wide { moov::len(&found, &chunks, true) } else { narrow };
        let header =
            if payload + SMALL_HEADER > u64::from(u32::MAX) { LARGE_HEADER } else { SMALL_HEADER };
        let mut at = out.len() as u64 + boxes + header;
        for chunk in &mut chunks {
            chunk.at = at;
            at += chunk.len;
        }
        moov::write(&mut out, &found, &chunks, wide);
        if header == LARGE_HEADER {
            out.put_u32(1);
            out.put_slice(b"mdat");
            out.put_u64(payload + LARGE_HEADER);
        } else {
            out.put_u32(u32::try_from(payload + SMALL_HEADER).unwrap_or(u32::MAX));
            out.put_slice(b"mdat");
        }
        Some(Self { head: out.freeze(), chunks, lanes, len: at, media })
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is empty, which it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that it holds beside the media, in bytes.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.head.len() + self.chunks.len() * size_of::<Chunk>()
    }

    /// The plan of the bytes in `range`, cut to what there is. Only what they touch is looked at.
    pub fn part(&self, range: Range<u64>) -> Plan {
        let mut plan = Plan::new(Self::CONTENT_TYPE);
        let end = range.end.min(self.len);
        let head = self.head.len() as u64;
        if range.start < head.min(end) {
            plan.push_bytes(self.head.slice(range.start as usize..end.min(head) as usize));
        }
        let first = self.chunks.partition_point(|chunk| chunk.at + chunk.len <= range.start);
        for chunk in self.chunks.get(first..).unwrap_or_default() {
            if chunk.at >= end {
                break;
            }
            let Some((source, samples)) = self.samples(chunk) else { break };
            let mut at = chunk.at;
            for sample in samples.range(chunk.first..chunk.first + chunk.samples) {
                let (from, to) = (at.max(range.start), (at + u64::from(sample.size)).min(end));
                if from < to {
                    let start = sample.offset + (from - at);
                    plan.push_copy(source, ByteRange { start, len: to - from });
                }
                at += u64::from(sample.size);
                if at >= end {
                    break;
                }
            }
        }
        plan
    }

    /// The samples that a chunk takes from, and in which source they are.
    fn samples(&self, chunk: &Chunk) -> Option<(usize, &TrackSamples)> {
        let lane = self.lanes.get(usize::from(chunk.lane))?;
        let (index, _) = self.media.place(lane.position)?;
        Some((self.media.tracks().get(lane.position)?.source, index.samples()))
    }
}

fn find(media: &Media, lane: Lane) -> Option<Found<'_>> {
    let (index, place) = media.place(lane.position)?;
    Some(Found {
        track: media.tracks().get(lane.position)?,
        index,
        count: place.count,
        lead: place.lead,
        shift: place.shift + i64::from(place.lead),
        end: place.end,
    })
}

fn ftyp(out: &mut BytesMut) {
    crate::isobmff::write::boxed(out, *b"ftyp", |out| {
        out.put_slice(b"isom\0\0\x02\0isomiso4mp41");
    });
}

/// Of a box with a size of 32 bits, and of 64 (§4.2).
const SMALL_HEADER: u64 = 8;
const LARGE_HEADER: u64 = 16;
