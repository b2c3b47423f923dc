//! `headwater inspect FILE…`: what the packager makes of files, as one asset.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater::packager::source::read_index;
use headwater::packager::{FileSource, Limits, Media, MediaIndex, Options, TrackKind};

/// Several files are read as the renditions of one asset.
#[derive(clap::Args)]
pub(super) struct Args {
    /// MP4 or QuickTime files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

type Error = Box<dyn std::error::Error>;

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sources = Vec::new();
    for file in &args.files {
        let index = runtime
            .block_on(index(file))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        sources.push(Arc::new(index));
    }
    let media = Media::new(sources, &Options::default())?;
    print!("{}", describe(&media));
    Ok(())
}

async fn index(file: &Path) -> Result<MediaIndex, Error> {
    let metadata = std::fs::metadata(file)?;
    if metadata.is_dir() {
        return Err("it is a folder: name the files in it, the renditions of one asset".into());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let source = FileSource::open(file, name.unwrap_or_default())?;
    Ok(read_index(&source, Limits::default()).await?)
}

fn describe(media: &Media) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "duration  {} s", media.duration().seconds(3));
    let _ = writeln!(text, "version   {}", media.version());
    for track in media.tracks() {
        let what = match &track.kind {
            TrackKind::Video(video) => {
                let rate = video.frame_rate.map_or_else(String::new, |(frames, per)| {
                    format!(", {:.3} frames/s", f64::from(frames) / f64::from(per))
                });
                format!("{}×{}{rate}", video.display_width, video.display_height)
            }
            TrackKind::Audio(audio) => {
                format!("{} channels, {} Hz", audio.channels, audio.sample_rate)
            }
            _ => "of a kind unknown here".to_owned(),
        };
        let language = track.language.as_deref().map_or(String::new(), |tag| format!(", {tag}"));
        let count = media.segment_count(track.id);
        let bytes: u64 =
            (1..=count).filter_map(|number| media.segment_bytes(track.id, number)).sum();
        let _ = writeln!(
            text,
            "{:<9} {} {what}{language}; {count} segments, {bytes} bytes",
            track.id.to_string(),
            track.codec,
        );
    }
    for note in media.report().notes() {
        let _ = writeln!(text, "note      {note}");
    }
    text
}
