//! `cargo xtask conform`: builds the checker of HLS and DASH and hands it what was typed.

use std::ffi::OsString;
use std::process::Command;

use crate::cli::{Failure, Outcome, Spec};
use crate::places::Places;
use crate::process;

/// For the list of commands; the checker has a help of its own.
pub(crate) static SPEC: Spec = Spec {
    name: "conform",
    summary: "Check any HLS or DASH URL, or file, against the standards' rules",
    usage: "conform URL … [OPTIONS]",
    about: "Checks presentations against rules written from RFC 8216bis, Apple's authoring \
            specification, ISO/IEC 23009-1 and CMAF, and prints where they are broken. \
            docs/conform.md lists the rules; `--help` after a URL lists the options.",
    names: &[],
    flags: &[],
};

/// `cargo xtask conform`. Paths are meant from where they are typed, so it runs there.
pub(crate) fn main(places: &Places, args: &[OsString]) -> Outcome {
    process::run(process::cargo(places).args([
        "build",
        "--quiet",
        "--locked",
        "-p",
        "headwater-conform",
    ]))?;
    let mut checker = Command::new(places.target.join("debug/headwater-conform"));
    let status = checker
        .args(args)
        .status()
        .map_err(|error| Failure::new(format!("the checker could not be started: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::new("rules are broken: see above")),
        _ => Err(Failure::new("nothing was checked")),
    }
}
