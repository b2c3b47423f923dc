//! The `headwater` command: one subcommand a file in `cli/`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
