//! `headwater export ASSET DIR`: an asset as files.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use headwater::packager::service::{Existing, ExportError, ExportOptions, Progress};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::Error;
use super::asset::Named;

/// An asset as files: the same bytes as over HTTP, for any server of files.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  headwater export film.mp4 out/                 HLS and DASH over one set of CMAF segments
  headwater export films/film out/               the ladder of films/film_720p.mp4, …
  headwater export film.headwater.json out/      what a descriptor says
  headwater export --format muxed film.mp4 out/  HLS with picture and sound in one segment
  headwater export --resume film.mp4 out/        go on where an export was stopped

Each file appears whole or not at all, and manifests come last.")]
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
    format: String,

    /// Write into a folder that holds something, over what has the same name
    #[arg(long)]
    force: bool,

    /// As --force, but keep segments that are there in full
    #[arg(long, conflicts_with = "force")]
    resume: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let named =
        Named::one(&args.asset).map_err(|error| format!("{}: {error}", args.asset.display()))?;
    let mut options = ExportOptions::default();
    options.existing = match (args.force, args.resume) {
        (true, _) => Existing::Overwrite,
        (_, true) => Existing::Resume,
        _ => Existing::Refuse,
    };
    if args.format != "cmaf" {
        options.query = format!("container={}", args.format);
    }
    let bar = std::io::stderr().is_terminal().then(bar).transpose()?;
    let mut told = 0;
    let mut watch = |progress: Progress| {
        let Progress { files, all_files, bytes, .. } = progress;
        if let Some(bar) = &bar {
            bar.set_length(all_files);
            bar.set_position(files);
            bar.set_message(HumanBytes(bytes).to_string());
        } else if files * 10 / all_files.max(1) > told {
            // In a log: a line for each tenth.
            told = files * 10 / all_files.max(1);
            eprintln!("{files} of {all_files} files, {}", HumanBytes(bytes));
        }
    };
    let name = named.names.first().ok_or("there is no such asset")?;
    let export = named.packager.export(name, &args.dir, &options, &mut watch);
    let outcome = super::runtime()?.block_on(export);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let done = outcome.map_err(|error| match error {
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

fn bar() -> Result<ProgressBar, Error> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {msg}, {eta} left")?;
    Ok(ProgressBar::new(0).with_style(style))
}
