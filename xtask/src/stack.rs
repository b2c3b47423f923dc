//! Building the reference stack, another example, or the command, and asking cargo where it put it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::process;

/// How the stack is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As people run it.
    Release,
    /// The same, optimised as one whole with all that it is made of: for who has minutes more.
    Whole,
    /// As `cargo test --workspace` has built it already, with the same features.
    Tests,
}

/// Builds the example `name` of the stack's package, under [`Profile::Tests`] of any, and gives back
/// its path. Cargo's progress stays on the terminal.
pub(crate) fn build(places: &Places, profile: Profile, name: &str) -> Outcome<PathBuf> {
    build_by(process::cargo(places), profile, name)
}

/// The same by a cargo that was told more.
pub(crate) fn build_by(mut cargo: Command, profile: Profile, name: &str) -> Outcome<PathBuf> {
    begin(&mut cargo, profile);
    match profile {
        Profile::Release | Profile::Whole => {
            cargo.args(["--release", "-p", "headwater-reference-stack"]);
            cargo.args(["--example", name]);
        }
        Profile::Tests => {
            cargo.args(["--workspace", "--examples"]);
        }
    }
    end(&mut cargo, profile);
    let messages = process::capture(&mut cargo)?;
    executable(&messages, "example", name)
        .ok_or_else(|| Failure::new(format!("cargo built no example `{name}`")))
}

/// Builds the command `headwater`, and gives back its path.
pub(crate) fn command(places: &Places, profile: Profile) -> Outcome<PathBuf> {
    command_by(process::cargo(places), profile)
}

/// The same by a cargo that was told more.
pub(crate) fn command_by(mut cargo: Command, profile: Profile) -> Outcome<PathBuf> {
    begin(&mut cargo, profile);
    match profile {
        Profile::Release | Profile::Whole => {
            cargo.args(["--release", "-p", "headwater", "--bin", "headwater"])
        }
        // What examples need of features is a part of what the tests were built with.
        Profile::Tests => cargo.args(["--workspace", "--examples", "--bin", "headwater"]),
    };
    end(&mut cargo, profile);
    let messages = process::capture(&mut cargo)?;
    executable(&messages, "bin", "headwater")
        .ok_or_else(|| Failure::new("cargo built no command `headwater`"))
}

fn begin(cargo: &mut Command, profile: Profile) {
    cargo.arg(if profile == Profile::Whole { "rustc" } else { "build" });
    cargo.args(["--locked", "--message-format=json-render-diagnostics"]);
}

/// What the compiler is told for the program alone. (Told for all by the profile of the manifest, crates would
/// get other symbols, and no counts of a profile would be theirs.)
fn end(cargo: &mut Command, profile: Profile) {
    if profile == Profile::Whole {
        cargo.args(["--", "-Clto=fat"]);
    }
}

/// The path of a target of this kind in cargo's messages, one JSON object a line.
fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(
        |message| {
            let target = &message["target"];
            let is_kind = target["kind"].as_array()?.iter().any(|of| of == kind);
            if message["reason"] != "compiler-artifact" || !is_kind || target["name"] != name {
                return None;
            }
            message["executable"].as_str().map(PathBuf::from)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"reference-stack"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"reference-stack"},"executable":"/t/examples/reference-stack"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages, "example", "reference-stack"),
            Some("/t/examples/reference-stack".into())
        );
        assert_eq!(executable(messages, "bin", "reference-stack"), None);
        assert_eq!(executable("", "example", "reference-stack"), None);
    }
}
