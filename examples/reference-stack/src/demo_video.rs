//! The demo video: one minute with a burnt-in timecode, as a ladder of three renditions.
//!
//! Made once, kept in the state folder; each file appears there whole or not at all.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_transcode::demo::{self, DemoSpec};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Error;

/// The asset's name.
pub const NAME: &str = "demo";

/// The smaller renditions: height, and mean video bits per second.
const RENDITIONS: [(u32, u32); 2] = [(720, 2_500_000), (360, 800_000)];

/// The folder that holds the demo's asset, made first where it is not there. Blocking; `stop`
/// ends it early and leaves no half file.
///
/// # Errors
/// [`Error::Stopped`] when `stop` was set, [`Error::DemoVideo`] when FFmpeg or the disk refuse.
pub fn make(state: &Path, stop: &AtomicBool) -> Result<PathBuf, Error> {
    let videos = state.join("videos");
    let asset = videos.join(NAME);
    std::fs::create_dir_all(&asset)
        .map_err(|source| Error::Folder { path: asset.clone(), source })?;
    let spec = DemoSpec::default();
    let mezzanine = asset.join(format!("{}p.mp4", spec.height));
    if !mezzanine.is_file() {
        step("making the demo video, 1080p", stop, |progress| {
            demo::make(&mezzanine, &spec, progress)
        })?;
    }
    for (height, video_bitrate) in RENDITIONS {
        let file = asset.join(format!("{height}p.mp4"));
        if !file.is_file() {
            let rung = spec.rung(height, video_bitrate);
            step(&format!("making its {height}p rendition"), stop, |progress| {
                demo::make(&file, &rung, progress)
            })?;
        }
    }
    Ok(videos)
}

/// Runs one encode behind a progress bar.
fn step(
    what: &str,
    stop: &AtomicBool,
    work: impl FnOnce(&mut headwater_transcode::OnProgress<'_>) -> headwater_transcode::Result<()>,
) -> Result<(), Error> {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30} {percent:>3} %  {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    if bar.is_hidden() {
        // No terminal: a line says what takes so long.
        crate::say(&format!("{what} …"));
    }
    let done = work(&mut |progress| {
        if stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        bar.set_position(progress.fraction().map_or(0, |part| (part * 1000.0) as u64));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    match done {
        Ok(()) => Ok(()),
        Err(headwater_transcode::Error::Stopped) => Err(Error::Stopped),
        Err(source) => Err(Error::DemoVideo(source)),
    }
}
