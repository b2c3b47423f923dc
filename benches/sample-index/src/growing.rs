//! What a look at a two-hour recording costs after a fragment was added to it, step by step, in CPU
//! time: the scan that is kept is taken up, the new fragment is joined to it, and index, timeline,
//! segments and playlists are made anew.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{
    Growth, IndexBuilder, Limits, Media, MediaIndex, Options, Presentation, Resource, SourceId,
    Step,
};
use serde_json::{Value, json};

use crate::Result;
use crate::build::cpu;
use crate::stats::Spread;

/// What was measured.
pub struct Growing {
    fragments: u32,
    samples: u64,
    /// Bytes of the scan that is kept.
    kept: usize,
    /// CPU-µs of each step.
    steps: [(&'static str, Spread); STEPS.len()],
}

const STEPS: [&str; 4] = [
    "index, from the scan that is kept",
    "timeline and segments",
    "media playlist of the pictures",
    "the scan, written down to be kept",
];

/// Looks so many times.
///
/// # Errors
/// Where ffmpeg cannot make the recording, or it cannot be indexed.
pub fn measure(rounds: u32) -> Result<Growing> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("recording.mp4");
    record(dir.path(), &path)?;
    let file = File::open(&path)?;
    let (last, end) = last_fragment(&file)?;

    let mut before = IndexBuilder::new(SourceId::new("recording", last, "1"), Limits::default());
    index(&mut before, &file, last, None)?;
    let kept = before.checkpoint().ok_or("there is nothing to keep")?;
    let mut micros: [Vec<f64>; STEPS.len()] = Default::default();
    let mut looked = None;
    for _ in 0..rounds {
        let mut times = [cpu(); STEPS.len() + 1];
        let mut builder =
            IndexBuilder::new(SourceId::new("recording", end, "2"), Limits::default());
        let mut index = index(&mut builder, &file, end, Some(&kept))?;
        times[1] = cpu();
        index.set_growth(Growth { started: 1_700_000_000, changed: 1_700_007_200 });
        let samples = index.tracks().iter().map(|track| u64::from(track.samples().count())).sum();
        let media = Media::new(vec![Arc::new(index)], &Options::default())?;
        times[2] = cpu();
        let presentation = Presentation::new("recording", Arc::new(media));
        let playlist = presentation.plan(Resource::MediaPlaylist("v1".parse()?));
        let _ = black_box(playlist.ok_or("it has no playlist")?);
        times[3] = cpu();
        black_box(builder.checkpoint());
        times[4] = cpu();
        for (step, pair) in micros.iter_mut().zip(times.windows(2)) {
            step.push(pair[1] - pair[0]);
        }
        looked = Some((builder.fragments(), samples));
    }
    let (fragments, samples) = looked.ok_or("no rounds")?;
    let mut steps = Vec::new();
    for (name, micros) in STEPS.into_iter().zip(&micros) {
        steps.push((name, Spread::of(micros.iter().copied()).ok_or("no rounds")?));
    }
    let steps = steps.try_into().map_err(|_| "a step is missing")?;
    Ok(Growing { fragments, samples, kept: kept.len(), steps })
}

impl Growing {
    pub fn print(&self) {
        println!(
            "\nA look at a two-hour recording that grew by a fragment: {} fragments, {} samples, a scan \
             of {} bytes. CPU time:",
            self.fragments, self.samples, self.kept
        );
        for (name, Spread { median, low, high }) in &self.steps {
            println!("{name:<48}{median:>8.0} ({low:.0} - {high:.0})");
        }
    }

    pub fn json(&self) -> Value {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|(name, micros)| json!({ "step": name, "cpu_us": micros }))
            .collect();
        let Self { fragments, samples, kept, .. } = self;
        json!({ "fragments": fragments, "samples": samples, "kept_bytes": kept, "steps": steps })
    }
}

/// Records two hours, a fragment for every two seconds: eight that are encoded, over and over, and
/// small, for nobody looks at them.
fn record(dir: &Path, path: &Path) -> Result<()> {
    let unit = dir.join("unit.mp4");
    let encode = "-f lavfi -i testsrc2=size=64x36:rate=24:duration=8 \
        -f lavfi -i sine=sample_rate=48000:duration=8 \
        -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 48 -keyint_min 48 -b:v 40k \
        -c:a aac -b:a 24k";
    let repeat = "-c copy -movflags +frag_keyframe+empty_moov+default_base_moof -f mp4";
    let ffmpeg = |before: &[&str], input: Option<&Path>, after: &str, output: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]).args(before);
        if let Some(input) = input {
            command.arg("-i").arg(input);
        }
        command.args(after.split_whitespace()).arg(output).stdin(Stdio::null());
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err("ffmpeg could not record".into()) }
    };
    let made: Result<()> = ffmpeg(&[], None, encode, &unit);
    made?;
    ffmpeg(&["-stream_loop", "899"], Some(&unit), repeat, path)
}

/// Where the last fragment starts and ends.
fn last_fragment(file: &File) -> Result<(u64, u64)> {
    let (mut at, size) = (0, file.metadata()?.len());
    let mut last = None;
    while at < size {
        let mut header = [0; 16];
        file.read_exact_at(&mut header[..8], at)?;
        let [a, b, c, d, kind @ ..] = *header.first_chunk::<8>().ok_or("no header")?;
        let len = match u32::from_be_bytes([a, b, c, d]) {
            0 => size - at,
            1 => {
                file.read_exact_at(&mut header, at)?;
                u64::from_be_bytes(*header.last_chunk().ok_or("no header")?)
            }
            len => u64::from(len),
        };
        match (&kind, &mut last) {
            (b"moof", last) => *last = Some((at, at + len)),
            (b"mdat", Some((_, end))) => *end = at + len,
            _ => {}
        }
        at += len.max(8);
    }
    last.ok_or_else(|| "there are no fragments".into())
}

/// The index of the first `size` bytes, with what is kept of an earlier scan.
fn index(
    builder: &mut IndexBuilder,
    file: &File,
    size: u64,
    mut kept: Option<&Bytes>,
) -> Result<MediaIndex> {
    loop {
        let step = builder.step()?;
        if let Some(kept) = kept.take_if(|_| builder.is_fragmented()) {
            builder.resume(kept)?;
            continue;
        }
        match step {
            Step::Done(index) => return Ok(index),
            Step::Need(ranges) => {
                for range in ranges {
                    let from = range.start.min(size);
                    let len = usize::try_from(range.end().min(size) - from)?;
                    let mut bytes = vec![0; len];
                    file.read_exact_at(&mut bytes, from)?;
                    builder.feed(range, bytes.into())?;
                }
            }
        }
    }
}
