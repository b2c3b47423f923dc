//! The subcommands of `headwater`, and how each ends: exit 0, or one sentence and exit 1. A command
//! line that makes no sense is exit 2.

mod asset;
#[cfg(all(feature = "edge", feature = "origin"))]
mod edge;
mod export;
mod inspect;
mod manual;
#[cfg(all(feature = "edge", feature = "origin"))]
mod named;
#[cfg(all(feature = "edge", feature = "origin"))]
mod secret;
#[cfg(all(feature = "edge", feature = "origin"))]
mod sign;
mod text;

use std::io::Write as _;
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
    /// Say what the packager makes of a video: tracks, codecs, groups of pictures, what is left out
    Inspect(inspect::Args),
    /// Write an asset as files: playlists, MPD and segments, the same bytes as over HTTP
    Export(export::Args),
    /// Run an edge from a configuration file, or check the file
    #[cfg(all(feature = "edge", feature = "origin"))]
    Edge(edge::Args),
    /// Show the access log of a running edge, live and filtered
    #[cfg(all(feature = "edge", feature = "origin"))]
    Log(edge::log::Args),
    /// Show what a running edge answers most of
    #[cfg(all(feature = "edge", feature = "origin"))]
    Top(edge::top::Args),
    /// Sign a token that lets a viewer in, for an edge that asks for one
    #[cfg(all(feature = "edge", feature = "origin"))]
    Sign(sign::Args),
    /// Write the manual pages and what shells complete the command by
    #[command(hide = true)]
    Manual(manual::Args),
}

/// What a command ends with: words for a person.
type Error = Box<dyn std::error::Error>;

/// Parses the command line and runs what it names.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(all(feature = "edge", feature = "origin"))]
        Command::Edge(args) => edge::run(&args),
        #[cfg(all(feature = "edge", feature = "origin"))]
        Command::Log(args) => edge::log::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(all(feature = "edge", feature = "origin"))]
        Command::Top(args) => edge::top::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(all(feature = "edge", feature = "origin"))]
        Command::Sign(args) => sign::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Manual(args) => manual::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the person at the terminal something. Each text is one write: while one process takes over
/// from another, both speak here, and their lines must not mix.
fn tell(text: &str) {
    // Where nobody listens any more, there is nobody to be told so.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The runtime that a command's work runs on.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
