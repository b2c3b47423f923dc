//! `cargo xtask`: the one entrance for people.
//!
//! One file a subcommand, and this one to choose between them. It promises to build in seconds
//! before anything else is installed, to say in one sentence what went wrong, and to exit 1 then.

mod bench;
mod cache_tests;
mod claim;
mod cli;
mod conform;
mod deb;
mod demo;
mod fuzz;
mod golang;
mod h2spec;
mod hash;
mod pebble;
mod places;
mod platforms;
mod process;
mod profiled;
mod prometheus;
mod python;
mod rehearsal;
mod running;
mod setup;
mod soak;
mod stack;
mod test;
mod tidy;
mod ui;
mod web;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Failure, Outcome, Parsed, Spec};
use places::Places;

/// A subcommand: what its help says, and what it does.
struct Command {
    spec: &'static Spec,
    run: Run,
}

/// What a subcommand wants of the words after its name.
enum Run {
    /// Read by its spec.
    Parsed(fn(&Places, &cli::Given) -> Outcome),
    /// As they were typed: a program of its own reads them, `--help` too.
    Raw(fn(&Places, &[OsString]) -> Outcome),
}

const COMMANDS: [Command; 12] = [
    Command { spec: &setup::SPEC, run: Run::Parsed(setup::main) },
    Command { spec: &demo::SPEC, run: Run::Parsed(demo::main) },
    Command { spec: &test::SPEC, run: Run::Parsed(test::main) },
    Command { spec: &cache_tests::SPEC, run: Run::Parsed(cache_tests::main) },
    Command { spec: &bench::SPEC, run: Run::Parsed(bench::main) },
    Command { spec: &tidy::SPEC, run: Run::Parsed(tidy::main) },
    Command { spec: &platforms::SPEC, run: Run::Parsed(platforms::main) },
    Command { spec: &conform::SPEC, run: Run::Raw(conform::main) },
    Command { spec: &fuzz::SPEC, run: Run::Parsed(fuzz::main) },
    Command { spec: &h2spec::SPEC, run: Run::Parsed(h2spec::main) },
    Command { spec: &soak::SPEC, run: Run::Parsed(soak::main) },
    Command { spec: &deb::SPEC, run: Run::Parsed(deb::main) },
];

fn main() -> ExitCode {
    match dispatch(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Vec<OsString>) -> Outcome {
    if args.is_empty() {
        ui::line(&help());
        return Ok(());
    }
    let name = args.remove(0).to_string_lossy().into_owned();
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        ui::line(&help());
        return Ok(());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.spec.name == name) else {
        let names = COMMANDS.iter().map(|command| command.spec.name);
        return Err(Failure::new(cli::unknown("command", &name, names)));
    };
    match command.run {
        Run::Raw(run) => run(&Places::find()?, &args),
        Run::Parsed(run) => match cli::parse(command.spec, args)? {
            Parsed::Help => {
                ui::line(&command.spec.help());
                Ok(())
            }
            Parsed::Run(given) => run(&Places::find()?, &given),
        },
    }
}

fn help() -> String {
    let mut text = String::from(
        "What people type to work on Headwater.\n\nUsage: cargo xtask COMMAND [OPTIONS]\n\nCommands:\n",
    );
    for command in &COMMANDS {
        text.push_str(&cli::entry(command.spec.name, command.spec.summary));
    }
    text.push_str("\n`cargo xtask COMMAND --help` explains each.");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn a_mistyped_command_is_answered_with_the_near_one() {
        let failure = dispatch(vec!["tets".into()]).unwrap_err().to_string();
        assert_eq!(failure, "there is no command `tets`; did you mean `test`?");
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in &COMMANDS {
            assert!(help().contains(command.spec.summary.split(' ').next().unwrap()));
            assert!(command.spec.help().contains("--help"));
        }
    }
}
