//! Bytes that the tables of made and real films take, table by table.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use headwater_packager::index::TableBytes;
use headwater_packager::{IndexBuilder, Limits, MediaIndex, SourceId, Step};
use serde::Serialize;

use crate::title::Title;
use crate::{Bar, Result, memory};

/// Bytes a sample: of an asset, of a track whose samples last equally long, of any other.
const BARS: (f64, f64, f64) = (4.0, 5.5, 8.0);

/// Shorter films have no bars: a few bytes that each table takes weigh more than their samples.
const MANY: u32 = 1_000;

/// A film's tables.
#[derive(Debug, Serialize)]
pub struct Asset {
    name: String,
    samples: u32,
    /// All of the index, by its own count and by the allocator's.
    weight: usize,
    allocated: usize,
    tracks: Vec<Track>,
}

#[derive(Debug, Serialize)]
struct Track {
    codec: String,
    samples: u32,
    constant_rate: bool,
    sizes: usize,
    chunks: usize,
    durations: usize,
    composition_offsets: usize,
    sync_samples: usize,
}

/// Indexes what was made, and what there is.
pub fn measure(title: &Title, media: Option<&Path>) -> Result<Vec<Asset>> {
    let mut assets = vec![asset("two-hour title", || index_of(&title.head, title.size))?];
    let dir = tempfile::tempdir()?;
    for (name, arguments) in MADE {
        let path = dir.path().join("made.mp4");
        let made = Command::new("ffmpeg")
            .args("-nostdin -v error -y".split(' '))
            .args(arguments.split_whitespace())
            .arg(&path)
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
        }
        assets.push(asset(name, || index_file(&path))?);
    }
    let from_environment = std::env::var_os("HEADWATER_MEDIA").map(PathBuf::from);
    if let Some(media) = media.map(Path::to_owned).or(from_environment) {
        let mut files: Vec<_> =
            fs::read_dir(&media)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What cannot be indexed is none of this bench's business.
            if let Ok(asset) = asset(&name, || index_file(&path)) {
                assets.push(asset);
            }
        }
    }
    Ok(assets)
}

/// Films that FFmpeg makes in seconds.
const MADE: [(&str, &str); 3] = [
    (
        "60 a second, three B-frames, 44.1 kHz",
        "-f lavfi -i testsrc2=size=320x180:rate=60:duration=60,noise=alls=9:allf=t \
         -f lavfi -i anoisesrc=color=pink:sample_rate=44100:duration=60 \
         -c:v libx264 -preset veryfast -bf 3 -g 120 -b:v 3M -c:a aac -b:a 128k",
    ),
    (
        "30000/1001 a second, high rate",
        "-f lavfi -i testsrc2=size=1280x720:rate=30000/1001:duration=40,noise=alls=60:allf=t \
         -f lavfi -i anoisesrc=color=pink:sample_rate=48000:duration=40 \
         -c:v libx264 -preset ultrafast -bf 2 -x264-params b-adapt=0 -g 30 -b:v 60M \
         -c:a aac -b:a 320k",
    ),
    (
        "variable rate",
        "-f lavfi -i testsrc2=size=320x180:rate=60:duration=60,noise=alls=9:allf=t \
         -f lavfi -i anoisesrc=color=pink:sample_rate=48000:duration=60 \
         -vf settb=1/90000,setpts=PTS+floor(random(1)*700) -vsync passthrough \
         -enc_time_base 1:90000 -video_track_timescale 90000 \
         -c:v libx264 -preset veryfast -bf 2 -g 120 -b:v 3M -c:a aac -b:a 128k",
    ),
];

fn asset(name: &str, make: impl FnOnce() -> Result<MediaIndex>) -> Result<Asset> {
    let (index, allocated) = memory::held(make);
    let index = index?;
    let tracks: Vec<Track> = index.tracks().iter().map(Track::of).collect();
    Ok(Asset {
        name: name.to_owned(),
        samples: tracks.iter().map(|track| track.samples).sum(),
        weight: index.weight_bytes(),
        allocated,
        tracks,
    })
}

impl Track {
    fn of(track: &headwater_packager::index::TrackIndex) -> Self {
        let samples = track.samples();
        let count = samples.count();
        let TableBytes { sizes, chunks, durations, composition_offsets, sync_samples, .. } =
            samples.table_bytes();
        let first = samples.iter().next().map(|sample| sample.duration);
        let all = samples.count().saturating_sub(1) as usize;
        let constant_rate = samples.iter().take(all).all(|it| Some(it.duration) == first);
        Self {
            codec: track.codec().to_owned(),
            samples: count,
            constant_rate,
            sizes,
            chunks,
            durations,
            composition_offsets,
            sync_samples,
        }
    }

    fn each(&self) -> [f64; 6] {
        let all =
            [self.sizes, self.chunks, self.durations, self.composition_offsets, self.sync_samples];
        let samples = f64::from(self.samples.max(1));
        let [sizes, chunks, durations, offsets, sync] = all.map(|bytes| bytes as f64 / samples);
        let sum = sizes + chunks + durations + offsets + sync;
        [sizes, chunks, durations, offsets, sync, sum]
    }
}

impl Asset {
    /// Bytes of all tables for a sample.
    fn each(&self) -> f64 {
        let bytes: f64 =
            self.tracks.iter().map(|track| track.each()[5] * f64::from(track.samples)).sum();
        bytes / f64::from(self.samples.max(1))
    }
}

/// The bars of those that are long enough. A film with a variable rate has that of its tracks.
pub fn bars(assets: &[Asset]) -> Vec<Bar> {
    let (asset_bar, constant, variable) = BARS;
    let mut bars = Vec::new();
    for asset in assets.iter().filter(|asset| asset.samples >= MANY) {
        let case = format!("bytes a sample: {}", asset.name);
        if asset.tracks.iter().all(|track| track.constant_rate) {
            bars.push(Bar { case: case.clone(), measured: asset.each(), most: asset_bar });
        }
        for track in asset.tracks.iter().filter(|track| track.samples >= MANY) {
            let most = if track.constant_rate { constant } else { variable };
            let [.., measured] = track.each();
            bars.push(Bar { case: format!("{case}, {}", track.codec), measured, most });
        }
    }
    bars
}

pub fn print(assets: &[Asset]) {
    println!(
        "Bytes a sample of each table; of a film also what was allocated for its whole index:"
    );
    println!(
        "{:<46}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "", "samples", "sizes", "chunks", "times", "offsets", "sync", "all"
    );
    for asset in assets {
        let allocated = asset.allocated as f64 / f64::from(asset.samples.max(1));
        println!(
            "{:<46}{:>9}{:>48.2}  ({allocated:.2} allocated)",
            asset.name,
            asset.samples,
            asset.each()
        );
        for track in &asset.tracks {
            let [sizes, chunks, times, offsets, sync, all] = track.each();
            let rate = if track.constant_rate { "" } else { ", variable" };
            println!(
                "  {:<44}{:>9}{sizes:>8.2}{chunks:>8.2}{times:>8.2}{offsets:>8.2}{sync:>8.2}{all:>8.2}",
                format!("{}{rate}", track.codec),
                track.samples
            );
        }
    }
}

/// The index of a file whose movie box lies within `head`.
pub fn index_of(head: &Bytes, size: u64) -> Result<MediaIndex> {
    index(size, |start, end| {
        let (start, end) = (usize::try_from(start)?, usize::try_from(end)?);
        if end > head.len() {
            return Err("the movie box is not in the head".into());
        }
        Ok(head.slice(start..end))
    })
}

fn index_file(path: &Path) -> Result<MediaIndex> {
    let file = fs::File::open(path)?;
    let mut size = file.metadata()?.len();
    if path.to_string_lossy().contains("moov_only") {
        // Its samples are not there, and so not looked at.
        size += 1 << 30;
    }
    index(size, |start, end| {
        let mut bytes = vec![0; usize::try_from(end - start)?];
        let there = file.metadata()?.len().saturating_sub(start).min(end - start);
        file.read_exact_at(bytes.get_mut(..usize::try_from(there)?).unwrap_or_default(), start)?;
        Ok(Bytes::from(bytes))
    })
}

fn index(size: u64, read: impl Fn(u64, u64) -> Result<Bytes>) -> Result<MediaIndex> {
    let mut builder = IndexBuilder::new(SourceId::new("film", size, "bench"), Limits::default());
    loop {
        match builder.step()? {
            Step::Done(index) => return Ok(index),
            Step::Need(ranges) => {
                for range in ranges {
                    builder.feed(range, read(range.start, range.end())?)?;
                }
            }
        }
    }
}
