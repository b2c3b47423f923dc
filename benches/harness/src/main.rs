//! Side-by-side benches of Headwater and its peers: `cargo xtask bench` runs this.
//!
//! This process is the load client and the origin; each server is a process of its own, so that
//! its CPU time can be read from outside.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its results")]

mod collapse;
mod cores;
mod cpu;
mod disk;
mod edge;
mod load;
mod origin;
mod packager;
mod peer;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Headwater beside its peers.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the peers into the cache folder
    Setup {
        /// Where they are built and kept
        #[arg(long, value_name = "DIR")]
        cache: PathBuf,
    },
    /// Cache hits over HTTP/1.1, TLS, HTTP/2 and HTTP/3, beside nginx
    Edge(edge::Args),
    /// Many who want the same at once, before an origin that drips
    Collapse(collapse::Args),
    /// The disk tier of a cache: memory, restart, speed, wear
    Disk(disk::Args),
    /// Segments made on request, beside nginx sending the same bytes from files
    Packager(packager::Args),
    /// Serve one file through the packager, or its ranges by a bare loop: what `packager` measures
    #[command(hide = true)]
    Serve(packager::ServeArgs),
    /// Serve a cache before an origin that drips: what `collapse` measures
    #[command(hide = true)]
    ServeCollapse(collapse::ServeArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> load::Result<()> {
    match &cli.command {
        Task::Setup { cache } => {
            let binary = peer::nginx_binary(cache)?;
            println!("nginx with HTTP/3: {}", binary.display());
            Ok(())
        }
        Task::Edge(args) => {
            cores::keep_to_the_last()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, edge::run(args))
        }
        Task::Collapse(args) => {
            cores::keep_to_the_last()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, collapse::run(args))
        }
        Task::Disk(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(disk::run(args))
        }
        Task::ServeCollapse(args) => collapse::serve(args),
        Task::Packager(args) => {
            cores::keep_to_the_last()?;
            packager::run(args)
        }
        Task::Serve(args) => packager::serve(args),
    }
}
