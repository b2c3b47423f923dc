//! `cargo xtask demo`: from a fresh machine to a video that plays.
//!
//! It sets up, builds, and then becomes the reference stack: the process id people see and signal
//! is the stack's own. What it was told is passed on; the stack checks it and says what is wrong.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{claim, process, web};

pub(crate) static SPEC: Spec = Spec {
    name: "demo",
    summary: "Build everything, start the whole stack in one process, print what to open",
    usage: "demo [OPTIONS]",
    about: "Sets this machine up, builds the pages and the stack in release, and starts packager, \
            shield and edge in one process.\n\
            Without --input it makes a one-minute demo video first, and keeps it in the state \
            folder. Ctrl-C, SIGINT or SIGTERM drains and exits 0.",
    names: &[],
    // The words of the reference stack's own --help; a test compares them.
    flags: &[
        Flag {
            name: "--input",
            value: Some("PATH"),
            help: "A video file, a folder of them, or a descriptor NAME.headwater.json; give it \
                   several times for several. Each file is one asset named after the file; in a \
                   folder, each file is one asset, files such as film_720p.mp4 and \
                   film_1080p.mp4 are the renditions of one, and so are the files of each \
                   sub-folder (docs/descriptor.md)",
        },
        Flag {
            name: "--port",
            value: Some("N"),
            help: "The port, for HTTPS over TCP (HTTP/1.1, HTTP/2) and over UDP (HTTP/3). Plain \
                   HTTP listens on the next one, metrics and health on the one after. 0 picks \
                   free ones [default: 8443]",
        },
        Flag {
            name: "--state",
            value: Some("DIR"),
            help: "Where the demo video and the development certificate are kept [default: \
                   headwater under $XDG_STATE_HOME or ~/.local/state]",
        },
        Flag {
            name: "--ready",
            value: Some("FILE"),
            help: "Write a JSON file here when the stack answers: pid, base, metrics, \
                   spki_sha256, assets",
        },
    ],
};

/// `cargo xtask demo`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    check(given)?;
    setup::ensure(places, &[Group::Build, Group::Web])?;
    web::build(places)?;
    claim::target(places)?;
    let program = stack::build(places, Profile::Release, "reference-stack")?;
    let mut stack = Command::new(program);
    stack.args(pass_on(given)).arg("--web").arg(places.pages());
    Err(become_stack(&mut stack))
}

/// What would otherwise be found wrong only after minutes of building.
fn check(given: &Given) -> Outcome {
    if let Some(port) = given.last("--port").map(OsStr::to_string_lossy)
        && port.parse::<u16>().is_err()
    {
        return Err(Failure::new(format!("--port takes a number up to 65535, not `{port}`")));
    }
    for input in given.all("--input") {
        let path = Path::new(input);
        path.metadata().map_err(|error| Failure::file("read --input", path, &error))?;
    }
    Ok(())
}

fn pass_on(given: &Given) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for flag in SPEC.flags {
        // What may be said once is said once: the last one wins.
        let values = given.all(flag.name);
        let once = if flag.name == "--input" { 0 } else { values.len().saturating_sub(1) };
        for value in &values[once..] {
            arguments.extend([flag.name.into(), value.clone()]);
        }
    }
    arguments
}

/// Replaces this process by the stack, so that signals reach it and the exit status is its own.
#[cfg(unix)]
fn become_stack(stack: &mut Command) -> Failure {
    use std::os::unix::process::CommandExt;
    let error = stack.exec();
    Failure::new(format!("cannot start {}: {error}", process::words(stack)))
}

#[cfg(not(unix))]
fn become_stack(stack: &mut Command) -> Failure {
    match process::run(stack) {
        Ok(()) => std::process::exit(0),
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

    use super::*;
    use crate::cli::{Parsed, parse};

    fn given(args: &[&str]) -> Given {
        match parse(&SPEC, args.iter().map(Into::into).collect()).unwrap() {
            Parsed::Run(given) => given,
            Parsed::Help => panic!("help was not asked for"),
        }
    }

    #[test]
    fn inputs_all_reach_the_stack_and_other_options_once() {
        let given = given(&["--port", "1", "--input", "a", "--input", "b", "--port=0"]);
        assert_eq!(pass_on(&given), ["--input", "a", "--input", "b", "--port", "0"]);
    }

    #[test]
    fn a_wrong_port_or_a_missing_input_is_found_before_building() {
        let sentence = check(&given(&["--port", "70000"])).unwrap_err().to_string();
        assert_eq!(sentence, "--port takes a number up to 65535, not `70000`");
        let sentence = check(&given(&["--input", "no/such/file.mp4"])).unwrap_err().to_string();
        assert!(sentence.starts_with("cannot read --input no/such/file.mp4: "), "{sentence}");
    }

    #[test]
    fn the_help_is_the_stacks_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/reference-stack/src");
        let source = std::fs::read_to_string(folder.join("args.rs")).unwrap();
        let words: Vec<&str> =
            source.lines().filter_map(|line| line.trim().strip_prefix("///")).collect();
        let words = words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        for flag in SPEC.flags {
            let help = flag.help.trim_end_matches(" [default: 8443]");
            assert!(words.contains(help), "{} is explained otherwise by the stack", flag.name);
        }
    }
}
