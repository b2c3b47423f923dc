//! `cargo xtask platforms`: the library crates compile for the platforms they promise, though most
//! machines are only one of them.
//!
//! What is promised: the edge runs on Linux, x86-64 and arm64; the library crates also build on
//! macOS. Nothing is linked, so no linker of the other platform is needed; aws-lc, which is C, does
//! want a C compiler for it (`CC_<target>`, as the cc crate reads it).

use std::path::Path;
use std::process::Command;

use crate::cli::{Failure, Given, Outcome, Spec};
use crate::places::Places;
use crate::{process, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "platforms",
    summary: "Check that the library crates compile for arm64 Linux and for macOS",
    usage: "platforms [TARGET …]",
    about: "Runs `cargo check` on the library crates for each platform they promise, or for those \
            named. rustup adds the standard library of a target that lacks it. Another \
            platform's aws-lc needs a C compiler for it: name it in CC_TARGET, such as \
            CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc.",
    names: &TARGETS,
    flags: &[],
};

/// The platforms that count: those the edge runs on, and the one people also develop on.
pub(crate) const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-gnu", "Linux on x86-64"),
    ("aarch64-unknown-linux-gnu", "Linux on arm64"),
    ("aarch64-apple-darwin", "macOS on arm64: the library crates only"),
];

/// Everything but the crate that links FFmpeg and the programs.
const LIBRARIES: [&str; 7] = [
    "headwater",
    "headwater-proto",
    "headwater-net",
    "headwater-cache",
    "headwater-edge",
    "headwater-origin",
    "headwater-packager",
];

/// `cargo xtask platforms`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    let all = || TARGETS.iter().map(|(name, _)| *name).collect();
    let chosen: Vec<&str> = if given.names.is_empty() { all() } else { given.names.clone() };
    for target in chosen {
        add(target)?;
        let mut cargo = check(places, target);
        ui::line(&format!("$ {}", process::words(&cargo)));
        process::run(&mut cargo)?;
    }
    Ok(())
}

fn check(places: &Places, target: &str) -> Command {
    let mut cargo = process::cargo(places);
    cargo.args(["check", "--locked", "--target", target]);
    for name in LIBRARIES {
        cargo.args(["-p", name]);
    }
    cargo.args(["--features", "headwater-net/server,headwater-net/client"]);
    cargo
}

/// Has the standard library of a target installed.
fn add(target: &str) -> Outcome {
    if is_there(target)? {
        return Ok(());
    }
    ui::line(&format!("rustup adds the standard library of {target}"));
    process::run(Command::new("rustup").args(["target", "add", target])).map_err(|failure| {
        Failure::new(format!("no standard library of {target} is installed: {failure}"))
    })
}

fn is_there(target: &str) -> Outcome<bool> {
    let folder = process::capture(Command::new("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]))?;
    Ok(Path::new(folder.trim()).is_dir())
}
