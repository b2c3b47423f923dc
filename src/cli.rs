//! The subcommands of `headwater`, and how each ends: exit 0, or one sentence and exit 1.

mod inspect;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Deliver video: tools around the edge, the shield and the packager.
#[derive(Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what the packager makes of a video file: tracks, codecs, segments, what is left out
    Inspect(inspect::Args),
}

/// Parses the command line and runs what it names.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
