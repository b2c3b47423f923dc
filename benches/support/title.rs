//! A film of two hours that takes a second to make: the sample tables of a real file, repeated.
//!
//! The `ffmpeg` command encodes eight seconds of H.264 with B-frames and AAC. Its `moov` is decoded
//! by `mp4-atom`, every sample table is repeated 900 times, and the `moov` is encoded again. Eight
//! seconds are exactly 192 frames at 24/s and 375 AAC frames at 48 kHz, so sound and picture stay
//! together, and the counts are those of a real film: 172,800 and 337,500 samples in the chunks
//! of one to three samples that ffmpeg interleaves.
//!
//! ```text
//! ftyp | moov | mdat: the media data of the eight seconds, 900 times
//! ```
#![allow(dead_code, reason = "each bench takes what it needs")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{
    IndexBuilder, Limits, Media, MediaIndex, Options, Presentation, Resource, SourceId, Step,
};
use mp4_atom::{
    Atom, CttsEntry, Decode, Edts, Encode, FourCC, Ftyp, Header, Moov, Stbl, Stco, StscEntry, Stsz,
    StszSamples, SttsEntry, Trak,
};

/// Two hours.
pub const SECONDS: u64 = 7_200;
/// All samples of both tracks.
pub const SAMPLES: u64 = REPEATS * (UNIT_VIDEO_SAMPLES + UNIT_AUDIO_SAMPLES) as u64;
/// The seconds that are encoded.
const UNIT_SECONDS: u64 = 8;
/// How often they are repeated.
const REPEATS: u64 = SECONDS / UNIT_SECONDS;
/// AAC frames of 1,024 samples in eight seconds at 48 kHz.
const UNIT_AUDIO_SAMPLES: usize = 375;
/// Frames in eight seconds at 24/s.
const UNIT_VIDEO_SAMPLES: usize = 192;

/// A file of two hours, whose media data need not exist.
pub struct Title {
    /// `ftyp`, `moov` and the header of `mdat`: the file's first bytes.
    pub head: Bytes,
    /// The length that the whole file has.
    pub size: u64,
    /// The `moov` box within `head`.
    pub moov: Bytes,
    /// The media data that is repeated.
    unit: Bytes,
}

impl Title {
    /// Makes one; says why and returns `None` where there is no `ffmpeg`.
    #[expect(clippy::print_stdout, reason = "benches talk to a person")]
    pub fn make() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("unit.mp4");
        match encode_unit(&path) {
            Ok(()) => {}
            Err(error) => {
                println!("skipped: no eight seconds to repeat, since ffmpeg said: {error}");
                return None;
            }
        }
        Some(stretch(&fs::read(&path).expect("the file that ffmpeg wrote")))
    }

    /// What names its bytes.
    pub fn id(&self) -> SourceId {
        SourceId::new("title.mp4", self.size, "bench")
    }

    /// What manifests of it are written of, under the name `title`.
    pub fn presentation(&self) -> Presentation {
        let media = Media::new(vec![Arc::new(self.index())], &Options::default());
        Presentation::new("title", Arc::new(media.expect("a title that can be played")))
    }

    /// Its index, built from memory.
    pub fn index(&self) -> MediaIndex {
        let mut builder = IndexBuilder::new(self.id(), Limits::default());
        loop {
            match builder.step().expect("the title can be indexed") {
                Step::Done(index) => return index,
                Step::Need(ranges) => {
                    for range in ranges {
                        let (start, end) = (range.start as usize, range.end() as usize);
                        let bytes = self.head.slice(start..end);
                        builder.feed(range, bytes).expect("what was asked for");
                    }
                }
            }
        }
    }

    /// Writes it as a file that is sparse but for the media data of seconds `from..to`.
    pub fn write(&self, path: &Path, from: u64, to: u64) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.size)?;
        file.write_all_at(&self.head, 0)?;
        let unit = self.unit.len() as u64;
        for repeat in from / UNIT_SECONDS..to.div_ceil(UNIT_SECONDS).min(REPEATS) {
            file.write_all_at(&self.unit, self.head.len() as u64 + repeat * unit)?;
        }
        file.sync_all()
    }
}

/// The manifests that benches write and compress, by the names that they give them.
pub fn manifests() -> [(&'static str, Resource); 3] {
    [
        ("multivariant", Resource::Multivariant),
        ("media", Resource::MediaPlaylist("v1".parse().expect("a rendition's name"))),
        ("mpd", Resource::Mpd),
    ]
}

/// Encodes the eight seconds: 640x360, keyframes every two seconds, about 2 Mbit/s.
fn encode_unit(path: &Path) -> io::Result<()> {
    let arguments = "-nostdin -v error -y \
        -f lavfi -i testsrc2=size=640x360:rate=24:duration=8,noise=alls=12:allf=t \
        -f lavfi -i anoisesrc=color=pink:sample_rate=48000:duration=9 \
        -c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -g 48 -keyint_min 48 \
        -sc_threshold 0 -b:v 2M -maxrate 3M -bufsize 4M \
        -c:a aac -b:a 128k -ac 2 -f mp4";
    let output = Command::new("ffmpeg")
        .args(arguments.split_whitespace())
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Repeats the tables of a file.
fn stretch(file: &[u8]) -> Title {
    let (mut ftyp, mut moov, mut media) = (None, None, None);
    let mut at = 0_usize;
    while at < file.len() {
        let mut rest = &file[at..];
        let header = Header::decode(&mut rest).expect("a box header");
        let body_at = file.len() - rest.len();
        let end = header.size.map_or(file.len(), |size| body_at + size);
        let whole = &file[at..end];
        match header.kind {
            Ftyp::KIND => ftyp = Some(Bytes::copy_from_slice(whole)),
            Moov::KIND => moov = Some(Moov::decode(&mut &*whole).expect("a movie box")),
            kind if kind == FourCC::new(b"mdat") => media = Some(body_at..end),
            _ => {}
        }
        at = end;
    }
    let (ftyp, mut moov, media) = (
        ftyp.expect("a file type box"),
        moov.expect("a movie box"),
        media.expect("a media data box"),
    );
    let unit = Bytes::copy_from_slice(&file[media.clone()]);
    let payload = unit.len() as u64 * REPEATS;

    moov.mvhd.duration = SECONDS * u64::from(moov.mvhd.timescale);
    let movie_timescale = moov.mvhd.timescale;
    for trak in &mut moov.trak {
        stretch_track(trak, movie_timescale, media.start as u64, unit.len() as u64);
    }
    // Offsets are relative to the media data until the length of what precedes it is known.
    let head_len = ftyp.len() as u64 + encode(&moov).len() as u64 + 8;
    for trak in &mut moov.trak {
        let offsets = trak.mdia.minf.stbl.stco.as_mut().expect("chunk offsets");
        for offset in &mut offsets.entries {
            *offset = u32::try_from(u64::from(*offset) + head_len).expect("a file under 4 GiB");
        }
    }
    let moov = encode(&moov);
    let mut head = ftyp.to_vec();
    head.extend_from_slice(&moov);
    head.extend_from_slice(&u32::try_from(payload + 8).expect("under 4 GiB").to_be_bytes());
    head.extend_from_slice(b"mdat");
    assert_eq!(head.len() as u64, head_len);
    let head = Bytes::from(head);
    let moov = head.slice(ftyp.len()..head.len() - 8);
    Title { size: head_len + payload, head, moov, unit }
}

fn encode(moov: &Moov) -> Vec<u8> {
    let mut encoded = Vec::new();
    moov.encode(&mut encoded).expect("a movie box can be encoded");
    encoded
}

fn stretch_track(trak: &mut Trak, movie_timescale: u32, media_start: u64, unit: u64) {
    let mdhd = &mut trak.mdia.mdhd;
    mdhd.duration = SECONDS * u64::from(mdhd.timescale);
    trak.tkhd.duration = SECONDS * u64::from(movie_timescale);
    if let Some(Edts { elst: Some(elst) }) = &mut trak.edts {
        let edit = elst.entries.last_mut().expect("an edit");
        edit.segment_duration = SECONDS * u64::from(movie_timescale);
    }
    let samples =
        if trak.mdia.minf.vmhd.is_some() { UNIT_VIDEO_SAMPLES } else { UNIT_AUDIO_SAMPLES };
    stretch_tables(&mut trak.mdia.minf.stbl, samples, media_start, unit);
}

/// Cuts the tables to the first `samples` and repeats them.
fn stretch_tables(stbl: &mut Stbl, samples: usize, media_start: u64, unit: u64) {
    let chunks = cut_chunks(stbl, samples);
    let chunk_count = u32::try_from(chunks.len()).expect("few chunks");
    let sample_count = u32::try_from(samples).expect("few samples");

    let StszSamples::Different { sizes } = &stbl.stsz.samples else {
        panic!("samples of one size are no film");
    };
    stbl.stsz = Stsz { samples: StszSamples::Different { sizes: repeat(&sizes[..samples]) } };

    // As ffmpeg does, neighbours that are alike share an entry.
    let deltas = stbl
        .stts
        .entries
        .iter()
        .flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize))
        .take(samples)
        .collect::<Vec<_>>();
    stbl.stts.entries = runs(&repeat(&deltas))
        .map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
        .collect();
    if let Some(ctts) = &mut stbl.ctts {
        let offsets = ctts
            .entries
            .iter()
            .flat_map(|entry| std::iter::repeat_n(entry.sample_offset, entry.sample_count as usize))
            .take(samples)
            .collect::<Vec<_>>();
        ctts.entries = runs(&repeat(&offsets))
            .map(|(sample_count, sample_offset)| CttsEntry { sample_count, sample_offset })
            .collect();
    }
    if let Some(stss) = &mut stbl.stss {
        stss.entries = (0..REPEATS as u32)
            .flat_map(|nth| stss.entries.iter().map(move |number| number + nth * sample_count))
            .collect();
    }

    let offsets = (0..REPEATS).flat_map(|nth| {
        chunks.iter().map(move |chunk| {
            u32::try_from(chunk.offset - media_start + nth * unit).expect("under 4 GiB")
        })
    });
    stbl.stco = Some(Stco { entries: offsets.collect() });
    stbl.stsc.entries.clear();
    for nth in 0..REPEATS as u32 {
        for (number, chunk) in (1..).zip(&chunks) {
            let alike = stbl
                .stsc
                .entries
                .last()
                .is_some_and(|last| last.samples_per_chunk == chunk.samples);
            if !alike {
                stbl.stsc.entries.push(StscEntry {
                    first_chunk: number + nth * chunk_count,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: 1,
                });
            }
        }
    }
    // Sample groups (the pre-roll of sound) would end after eight seconds.
    stbl.sbgp.clear();
    stbl.sgpd.clear();
}

struct Chunk {
    offset: u64,
    samples: u32,
}

/// The chunks that hold the first `samples`.
fn cut_chunks(stbl: &Stbl, samples: usize) -> Vec<Chunk> {
    let offsets = &stbl.stco.as_ref().expect("chunk offsets").entries;
    let mut left = u32::try_from(samples).expect("few samples");
    let mut chunks = Vec::new();
    for (number, offset) in (1_u32..).zip(offsets) {
        let run = stbl.stsc.entries.iter().rev().find(|run| run.first_chunk <= number);
        let samples = run.expect("a run for each chunk").samples_per_chunk.min(left);
        if samples > 0 {
            chunks.push(Chunk { offset: u64::from(*offset), samples });
        }
        left -= samples;
    }
    assert_eq!(left, 0, "ffmpeg made fewer samples than eight seconds hold");
    chunks
}

fn repeat<T: Copy>(table: &[T]) -> Vec<T> {
    table.repeat(REPEATS as usize)
}

/// How often each value follows itself.
fn runs<T: Copy + PartialEq>(values: &[T]) -> impl Iterator<Item = (u32, T)> {
    values.chunk_by(|a, b| a == b).map(|run| (run.len() as u32, run[0]))
}
