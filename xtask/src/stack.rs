//! Building the reference stack, or another example, and asking cargo where it put it.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::process;

/// How the stack is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As people run it.
    Release,
    /// As `cargo test --workspace` has built it already, with the same features.
    Tests,
}

/// Builds the example `name` of the stack's package, under [`Profile::Tests`] of any, and gives back
/// its path. Cargo's progress stays on the terminal.
pub(crate) fn build(places: &Places, profile: Profile, name: &str) -> Outcome<PathBuf> {
    let mut cargo = process::cargo(places);
    cargo.args(["build", "--locked", "--message-format=json-render-diagnostics"]);
    match profile {
        Profile::Release => {
            cargo.args(["--release", "-p", "headwater-reference-stack"]);
            cargo.args(["--example", name]);
        }
        Profile::Tests => {
            cargo.args(["--workspace", "--examples"]);
        }
    }
    let messages = process::capture(&mut cargo)?;
    executable(&messages, name)
        .ok_or_else(|| Failure::new(format!("cargo built no example `{name}`")))
}

/// The path of an example in cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(
        |message| {
            let target = &message["target"];
            let example = target["kind"].as_array()?.iter().any(|kind| kind == "example");
            if message["reason"] != "compiler-artifact" || !example || target["name"] != name {
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
            executable(messages, "reference-stack"),
            Some("/t/examples/reference-stack".into())
        );
        assert_eq!(executable("", "reference-stack"), None);
    }
}
