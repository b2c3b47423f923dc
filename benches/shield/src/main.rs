//! `cargo xtask bench shield`: players before edges, a shield and a far origin, with and without the
//! shield's segment sense, in virtual time.
//!
//! Edges, hints, shield, map, prefetch and caches are the real ones, in one process; of players,
//! networks and the origin there are models. Hours pass in seconds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its results")]

mod audience;
mod counts;
mod origin;
mod player;
mod plot;
mod report;
mod scene;
mod time;
mod titles;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use headwater_bench_traces::bar::Bar;
use headwater_origin::PrefetchConfig;

use origin::Distance;
use player::Habits;
use report::Figures;
use scene::{Outcome, Setup, Stage};

/// What can go wrong.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures what a shield's segment sense does for players.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Viewers
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    sessions: u32,
    /// What the viewers follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds until the origin's first byte
    #[arg(long, default_value_t = 300)]
    latency: u64,
    /// Bits a second of one answer of the origin
    #[arg(long, default_value_t = 8_000_000)]
    bandwidth: u64,
    /// Gigabytes of memory of the shield
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    ram: u64,
    /// Segments fetched ahead, instead of the shield's default
    #[arg(long)]
    ahead: Option<usize>,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures here, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one line a bar, and fail where one is missed
    #[arg(long)]
    check: bool,
}

const GB: u64 = 1_000_000_000;

/// Bits a second of all answers of the origin together.
const ALL: u64 = 2_000_000_000;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False where a bar was to be checked and is missed.
fn run(args: &Args) -> Result<bool> {
    let distance = Distance { latency_ms: args.latency, each: args.bandwidth, all: ALL };
    let stage =
        Stage { seed: args.seed, sessions: args.sessions, distance, shield_ram: args.ram * GB };
    let sense = PrefetchConfig::default();
    let sense = match args.ahead {
        Some(ahead) => sense.ahead(ahead),
        None => sense,
    };
    let scenes = play(stage, &setups(&sense))?;
    let Args { seed, sessions, .. } = *args;
    let figures = Figures { bench: "shield", seed, sessions, distance, ram_gb: args.ram, scenes };
    let bars = figures.bars();
    if args.check {
        for bar in &bars {
            println!("{bar}");
        }
    } else {
        println!("{}", figures.table());
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    if let Some(file) = &args.plot {
        std::fs::write(file, plot::draw(&figures))?;
    }
    Ok(!args.check || bars.iter().all(Bar::is_cleared))
}

/// What is played; the bars are of the first two.
fn setups(sense: &PrefetchConfig) -> [Setup; 6] {
    let (off, on) = (PrefetchConfig::off, || sense.clone());
    let replays = Habits { cmcd: false, measures: false };
    let (tells, measures) =
        (Habits { cmcd: true, ..replays }, Habits { measures: true, ..replays });
    let setup = |name, prefetch, habits| Setup { name, prefetch, habits, near: false };
    [
        setup("without prefetch", off(), replays),
        setup("with prefetch", on(), replays),
        setup("with prefetch and CMCD", on(), tells),
        Setup { near: true, ..setup("nothing is far", off(), replays) },
        setup("by measure, without", off(), measures),
        setup("by measure, with prefetch", on(), measures),
    ]
}

/// Plays each on a thread of its own.
fn play(stage: Stage, setups: &[Setup]) -> Result<Vec<Outcome>> {
    std::thread::scope(|scope| {
        let played: Vec<_> =
            setups.iter().map(|setup| scope.spawn(|| scene::play(stage, setup))).collect();
        let joined = played.into_iter().map(|one| one.join().map_err(|_| "a scene failed")?);
        joined.collect::<Result<Vec<_>>>()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// As `--check` with the 10,000, of the first who come.
    #[test]
    fn the_first_viewers_clear_the_bars_and_without_prefetch_they_would_not() {
        let distance = Distance { latency_ms: 300, each: 8_000_000, all: ALL };
        let (seed, sessions, ram_gb) = (1, 300, 1000);
        let stage = Stage { seed, sessions, distance, shield_ram: ram_gb * GB };
        let [without, with, ..] = setups(&PrefetchConfig::default());
        let scenes = play(stage, &[without, with]).unwrap();
        let mut figures = Figures { bench: "shield", seed, sessions, distance, ram_gb, scenes };
        let bars = figures.bars();
        assert!(bars.len() == 5 && bars.iter().all(Bar::is_cleared), "{bars:#?}");
        // Had the one with prefetch fetched nothing ahead, two of them would be missed.
        figures.scenes.swap(0, 1);
        assert_eq!(figures.bars().iter().filter(|bar| !bar.is_cleared()).count(), 2);
    }
}
