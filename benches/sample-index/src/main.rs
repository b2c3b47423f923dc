//! `cargo xtask bench index`: what the packager's sample index costs.
//!
//! Four questions: how much CPU time an index of a two-hour title takes beside `mp4-atom` and
//! `mp4` decoding the same movie box; how many bytes each table takes, as a counting allocator
//! sees it too; how much memory 1,000 open titles take, in a process of their own; and what a look
//! at a recording costs that has grown.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its results")]

mod assets;
mod build;
mod growing;
mod memory;
mod open;
#[path = "../../harness/src/stats.rs"]
#[allow(dead_code, reason = "shared with the load client")]
mod stats;
#[path = "../../support/title.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]
mod title;

use std::alloc::System;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use title::Title;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What can go wrong.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures the sample index.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Films to look at besides the made ones, with all in folders; by default $HEADWATER_MEDIA
    #[arg(long, value_name = "PATH")]
    media: Option<PathBuf>,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print one line a bar, and fail where one is missed
    #[arg(long)]
    check: bool,
    /// Only index so many times the file that starts with these bytes, and say what that took
    #[arg(long, hide = true, num_args = 3, value_names = ["HEAD", "SIZE", "COUNT"])]
    open: Option<Vec<String>>,
}

/// A bar, and what was measured against it.
struct Bar {
    case: String,
    measured: f64,
    most: f64,
}

impl Bar {
    fn is_cleared(&self) -> bool {
        self.measured <= self.most
    }
}

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
    if let Some(child) = &args.open {
        open::child(child)?;
        return Ok(true);
    }
    let title = Title::make().ok_or("the two-hour title needs ffmpeg")?;
    let build = build::measure(&title, args.rounds)?;
    let assets = assets::measure(&title, args.media.as_deref())?;
    let open = if args.check { None } else { Some(open::measure(&title)?) };
    let growing = if args.check { None } else { Some(growing::measure(args.rounds)?) };

    let bars: Vec<Bar> = build.bars().into_iter().chain(assets::bars(&assets)).collect();
    if args.check {
        for bar in &bars {
            let verdict = if bar.is_cleared() { "ok" } else { "missed" };
            println!("{:<44} {:>8.3} {:>8.3}  {verdict}", bar.case, bar.measured, bar.most);
        }
    } else {
        println!("{}\n", machine());
        build.print();
        assets::print(&assets);
        if let Some(open) = &open {
            open.print();
        }
        if let Some(growing) = &growing {
            growing.print();
        }
        let missed: Vec<_> = bars.iter().filter(|bar| !bar.is_cleared()).collect();
        println!("\n{} bars, {} missed", bars.len(), missed.len());
        for bar in missed {
            println!("missed: {}: {:.3}, the bar is {:.3}", bar.case, bar.measured, bar.most);
        }
    }
    if let Some(file) = &args.json {
        let bars: Vec<_> = bars
            .iter()
            .map(|bar| json!({ "case": bar.case, "measured": bar.measured, "bar": bar.most }))
            .collect();
        let report = json!({
            "bench": "index",
            "machine": machine(),
            "rounds": args.rounds,
            "build": build.json(),
            "assets": assets,
            "open": open,
            "growing": growing.as_ref().map(growing::Growing::json),
            "bars": bars,
        });
        std::fs::write(file, format!("{report:#}\n"))?;
    }
    Ok(!args.check || bars.iter().all(Bar::is_cleared))
}

/// Cores and processor.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {model}")
}
