//! The command `reference-stack`; see `--help`, or the library beside this file.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use headwater_reference_stack::{Args, Error, run, say};

/// As that of the command `headwater`.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A file and a supervisor's journal are no terminal.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    told.with_writer(std::io::stderr).init();
    match run::run(&args) {
        Ok(()) | Err(Error::Stopped) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
