//! The `headwater` command: one subcommand a file in `cli/`.

// An edge is one type of some twenty layers, of which it is proved here that threads may share it.
#![recursion_limit = "256"]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]

mod cli;

use std::io::IsTerminal as _;
use std::process::ExitCode;

/// It gives back what nobody uses any more, where the C library's keeps it between blocks in use
/// (`docs/results/soak.md`).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A file and a supervisor's journal are no terminal.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    told.with_writer(std::io::stderr).init();
    cli::run()
}
