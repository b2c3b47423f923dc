//! `headwater inspect PATH…`: what the packager makes of video, in words or as JSON.

use std::fmt::Write as _;
use std::path::PathBuf;

use headwater::net::Body;
use headwater::packager::assets::encode_name;
use headwater::packager::{
    Gops, Media, NoteKind, Packager, Presentation, Track, TrackKind, VideoRange,
};

use super::Error;
use super::asset::{Named, State};
use super::text;

/// What the packager makes of video files.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  headwater inspect film.mp4                     one file
  headwater inspect film_1080p.mp4 film_720p.mp4 the renditions of one asset
  headwater inspect films/                       every asset of a folder
  headwater inspect films/film                   one of them by its name
  headwater inspect film.headwater.json          what a descriptor says
  headwater inspect --json film.mp4 | jq .tracks

It exits with 1 where something cannot be packaged at all. What is left out of an asset that can be
packaged is told, and no failure.")]
pub(super) struct Args {
    /// Print JSON, the same as report.json over HTTP; an array for a folder
    #[arg(long)]
    json: bool,

    /// A file, a descriptor NAME.headwater.json, a folder of assets, or FOLDER/ASSET; several files
    /// are the renditions of one asset
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    state: State,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    super::runtime()?.block_on(inspect(args))
}

async fn inspect(args: &Args) -> Result<(), Error> {
    let (named, is_folder) = match args.paths.as_slice() {
        [path] => {
            let named = Named::all(path, &args.state).await;
            (named.map_err(|error| format!("{}: {error}", path.display()))?, path.is_dir())
        }
        files => {
            if let Some(folder) = files.iter().find(|path| path.is_dir()) {
                let folder = folder.display();
                return Err(format!("{folder}: a folder is inspected on its own").into());
            }
            (Named::renditions(files, &args.state)?, false)
        }
    };
    let mut failures = Vec::new();
    let mut documents = Vec::new();
    for name in &named.names {
        let presentation = match named.packager.presentation(name).await {
            Ok(presentation) => presentation,
            Err(problem) => {
                failures.push(format!("{name}: {problem}"));
                continue;
            }
        };
        if args.json {
            documents.push(report(&named.packager, name).await?);
        } else {
            print!("{}{}", if documents.is_empty() { "" } else { "\n" }, describe(&presentation));
            documents.push(String::new());
        }
    }
    if args.json && is_folder {
        println!("[{}]", documents.iter().map(|text| text.trim()).collect::<Vec<_>>().join(",\n"));
    } else if args.json {
        for text in &documents {
            print!("{text}");
        }
    }
    match failures.as_slice() {
        [] => Ok(()),
        failures => Err(failures.join("\nerror: ").into()),
    }
}

/// The bytes of `report.json`.
async fn report(packager: &Packager, name: &str) -> Result<String, Error> {
    use tower_service::Service as _;

    let url = format!("/{}/report.json", encode_name(name));
    let request = http::Request::get(url).body(Body::empty())?;
    let answer = packager.clone().call(request).await?;
    let body = answer.into_body().collect(MOST_REPORT_BYTES).await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

const MOST_REPORT_BYTES: u64 = 64 << 20;

fn describe(presentation: &Presentation) -> String {
    let media = presentation.media();
    let mut out = format!("{}\n", presentation.name());
    let segments = media.segments().len();
    let facts = [
        ("duration", format!("{} s", media.duration().seconds(3))),
        ("segments", format!("{segments}, aimed at {} s", media.target_duration().seconds(3))),
        ("version", media.version().to_string()),
    ];
    for (what, value) in facts {
        let _ = writeln!(out, "  {what:<9} {value}");
    }
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows.extend(media.tracks().iter().map(|track| row(media, track)));
    indent(&mut out, &text::table(&rows));
    for track in media.tracks() {
        more(&mut out, media, track);
    }
    for (kind, heading) in [
        (NoteKind::Skipped, "left out"),
        (NoteKind::Warning, "not exactly as the source says"),
        (NoteKind::Info, "to know"),
    ] {
        let notes: Vec<_> =
            media.report().notes().iter().filter(|note| note.kind == kind).collect();
        if !notes.is_empty() {
            let _ = writeln!(out, "\n  {heading}:");
        }
        for note in notes {
            let _ = writeln!(out, "    {note}");
        }
    }
    out
}

const HEADINGS: [&str; 8] =
    ["track", "from", "codec", "what", "language", "average", "peak", "samples"];

fn row(media: &Media, track: &Track) -> Vec<String> {
    let what = match &track.kind {
        TrackKind::Video(video) => {
            let rate = video.frame_rate.map_or_else(String::new, |(frames, per)| {
                format!(", {:.3} frames/s", f64::from(frames) / f64::from(per))
            });
            let mut what = format!("{}×{}", video.display_width, video.display_height);
            if (video.width, video.height) != (video.display_width, video.display_height) {
                let _ = write!(what, " (stored {}×{})", video.width, video.height);
            }
            if video.rotation != 0 {
                let _ = write!(what, ", turned by {}°", video.rotation);
            }
            if video.range != VideoRange::Sdr {
                let _ = write!(what, ", {}", video.range.as_str());
            }
            what + &rate
        }
        TrackKind::Audio(audio) => {
            let channels = match audio.channels {
                1 => "mono".to_owned(),
                2 => "stereo".to_owned(),
                count => format!("{count} channels"),
            };
            format!("{channels}, {} Hz", audio.sample_rate)
        }
        _ => "of a kind unknown here".to_owned(),
    };
    let mut language = track.language.clone().unwrap_or_else(|| "–".to_owned());
    if let Some(name) = &track.name {
        let _ = write!(language, " “{name}”");
    }
    let (average, peak, samples) = match media.facts(track.id) {
        Some(facts) => {
            (text::rate(facts.average), text::rate(facts.peak), facts.samples.to_string())
        }
        None => Default::default(),
    };
    let mark = if track.default && track.is_audio() { "*" } else { "" };
    vec![
        format!("{}{mark}", track.id),
        format!("{}:{}", track.source + 1, track.source_track),
        track.codec.clone(),
        what,
        language,
        average,
        peak,
        samples,
    ]
}

/// What does not fit into a table.
fn more(out: &mut String, media: &Media, track: &Track) {
    let Some(facts) = media.facts(track.id) else { return };
    let _ = writeln!(
        out,
        "\n  {}: {} of samples, ends at {} s{}",
        track.id,
        text::bytes(facts.bytes),
        facts.end.seconds(3),
        match (facts.variable_rate, track.is_video()) {
            (true, true) => ", variable frame rate",
            (true, false) => ", samples of different durations",
            (false, _) => "",
        },
    );
    for edit in &facts.edits {
        let _ = writeln!(out, "    edit list: {edit}");
    }
    if let Some(gops) = &facts.gops {
        histogram(out, gops);
    }
}

fn histogram(out: &mut String, gops: &Gops) {
    let (pictures, long) = (gops.pictures, gops.durations);
    let _ = writeln!(
        out,
        "    {} of pictures: {} / {} / {} pictures, {} / {} / {} s (least, middle, greatest)",
        if gops.count == 1 { "1 group".to_owned() } else { format!("{} groups", gops.count) },
        pictures.min,
        pictures.median,
        pictures.max,
        long.min.seconds(3),
        long.median.seconds(3),
        long.max.seconds(3),
    );
    if gops.headless > 0 {
        let _ = writeln!(out, "    {} pictures before the first sync sample", gops.headless);
    }
    let most = gops.histogram.iter().map(|bucket| bucket.count).max().unwrap_or(1).max(1);
    let rows: Vec<Vec<String>> = gops
        .histogram
        .iter()
        .map(|bucket| {
            let bound = match bucket.up_to_ms {
                Some(ms) => format!("up to {}.{:02} s", ms / 1_000, ms % 1_000 / 10),
                None => "longer".to_owned(),
            };
            let stars = (u64::from(bucket.count) * 40).div_ceil(most.into());
            vec![bound, bucket.count.to_string(), "#".repeat(stars as usize)]
        })
        .collect();
    for line in text::table(&rows).lines() {
        let _ = writeln!(out, "      {line}");
    }
}

fn indent(out: &mut String, text: &str) {
    out.push('\n');
    for line in text.lines() {
        let _ = writeln!(out, "  {line}");
    }
}
