//! `headwater export ASSET DIR`: an asset as files.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use headwater::packager::Presentation;
use headwater::packager::service::{Existing, ExportError, ExportOptions, Progress};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::Error;
use super::asset::{Named, State};

/// An asset as files: the same bytes as over HTTP, for any server of files.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  headwater export film.mp4 out/                 HLS and DASH over one set of CMAF segments
  headwater export films/film out/               the ladder of films/film_720p.mp4, …
  headwater export film.headwater.json out/      what a descriptor says
  headwater export --format muxed film.mp4 out/  HLS with picture and sound in one segment
  headwater export --format ts film.mp4 out/     HLS with MPEG-TS segments
  headwater export --forms files film.mp4 out/   one file a track: single.m3u8, ondemand.mpd
  headwater export --forms all film.mp4 out/     everything that the packager serves
  headwater export --resume film.mp4 out/        go on where an export was stopped

Each file appears whole or not at all, and manifests come last. Of an asset whose segments are
encrypted the key is written, too, unless its descriptor says where players get it.")]
pub(super) struct Args {
    /// A file, a descriptor NAME.headwater.json, a folder whose files are the renditions, or
    /// FOLDER/ASSET
    #[arg(value_name = "ASSET")]
    asset: PathBuf,

    /// Where main.m3u8, manifest.mpd and all the rest go; made where it is missing
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// How HLS segments are made, as the query parameter `container` names it
    #[arg(long, value_name = "FORMAT", default_value = "cmaf")]
    format: Format,

    /// What is written, one or several with commas
    #[arg(long, value_name = "FORM", value_delimiter = ',', default_value = "segments")]
    forms: Vec<Form>,

    #[command(flatten)]
    state: State,

    /// Write into a folder that holds something, over what has the same name
    #[arg(long)]
    force: bool,

    /// As --force, but keep segments that are there in full
    #[arg(long, conflicts_with = "force")]
    resume: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Each track alone, in fragmented MP4
    Cmaf,
    /// Picture and sound together, in fragmented MP4
    Muxed,
    /// Picture and sound together, in MPEG-TS
    Ts,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Segments by number: main.m3u8, manifest.mpd
    Segments,
    /// Segments by time: time.mpd
    Times,
    /// One file a track, with byte ranges: single.m3u8, ondemand.mpd
    Files,
    /// One file to keep: download.mp4
    Download,
    /// All of these that the asset has
    All,
}

impl Args {
    fn options(&self, asset: &Presentation) -> ExportOptions {
        let wants = |form, path| {
            self.forms.contains(&form)
                || (self.forms.contains(&Form::All) && asset.resource(path).is_ok())
        };
        let mut options = ExportOptions::default();
        options.existing = match (self.force, self.resume) {
            (true, _) => Existing::Overwrite,
            (_, true) => Existing::Resume,
            _ => Existing::Refuse,
        };
        options.forms.segments =
            wants(Form::Segments, "main.m3u8") || wants(Form::Segments, "manifest.mpd");
        options.forms.times = wants(Form::Times, "time.mpd");
        options.forms.files =
            wants(Form::Files, "single.m3u8") || wants(Form::Files, "ondemand.mpd");
        let keyed = asset.media().segment_key().is_some();
        options.download =
            self.forms.contains(&Form::Download) || (self.forms.contains(&Form::All) && !keyed);
        options.query = String::from(match self.format {
            Format::Cmaf => "",
            Format::Muxed => "container=muxed",
            Format::Ts => "container=ts",
        });
        options
    }
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let named = Named::one(&args.asset, &args.state)
        .map_err(|error| format!("{}: {error}", args.asset.display()))?;
    let bar = std::io::stderr().is_terminal().then(bar).transpose()?;
    let mut told = 0;
    let mut watch = |progress: Progress| {
        let Progress { files, all_files, bytes, current: (written, whole), .. } = progress;
        if let Some(bar) = &bar {
            // A file may be as long as all others.
            bar.set_length(all_files * STEPS);
            bar.set_position(files * STEPS + written * STEPS / whole.max(1));
            bar.set_message(format!("{files}/{all_files} files, {}", HumanBytes(bytes)));
        } else if files * 10 / all_files.max(1) > told {
            // In a log: a line for each tenth.
            told = files * 10 / all_files.max(1);
            eprintln!("{files} of {all_files} files, {}", HumanBytes(bytes));
        }
    };
    let name = named.names.first().ok_or("there is no such asset")?;
    let outcome = super::runtime()?.block_on(async {
        let asset = named.packager.presentation(name).await;
        let options = args.options(&asset.map_err(|problem| format!("{name}: {problem}"))?);
        let done = named.packager.export(name, &args.dir, &options, &mut watch).await;
        Ok::<_, Error>(done)
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let done = outcome?.map_err(|error| match error {
        ExportError::NotEmpty(dir) => {
            format!("{} is not empty: --force writes over it, --resume goes on", dir.display())
        }
        other => other.to_string(),
    })?;
    let kept = match done.kept {
        0 => String::new(),
        kept => format!(", {kept} of them there already"),
    };
    println!("{}: {} files, {}{kept}", args.dir.display(), done.files, HumanBytes(done.bytes));
    Ok(())
}

/// Of the bar, in each file.
const STEPS: u64 = 1_000;

fn bar() -> Result<ProgressBar, Error> {
    let style = ProgressStyle::with_template("{bar:30} {msg}, {eta} left")?;
    Ok(ProgressBar::new(0).with_style(style))
}
