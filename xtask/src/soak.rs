//! `cargo xtask soak`: mixed load on the reference stack for some minutes, after which its memory must
//! be what it was.
//!
//! The load and the measure are a test of the stack's, `tests/soak`; this builds and runs it.

use std::ffi::OsStr;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::{claim, process};

pub(crate) static SPEC: Spec = Spec {
    name: "soak",
    summary: "Load the stack for some minutes and see whether its memory grows",
    usage: "soak [OPTIONS]",
    about: "Builds the reference stack as people run it, with a tier on disk and an access log, and asks it \
            for hits, misses, ranges, half downloads, slow ones and playlists over HTTP/1.1, TLS, HTTP/2 and \
            HTTP/3, now and then in early data; uploads to an application behind it, hears its events and \
            speaks over its WebSockets. Exits 1 \
            when its resident memory, at rest, grows by more than 1 % after a warm-up of eight minutes and \
            800,000 requests, with 2,048 QUIC connections, or a request fails.",
    names: &[],
    flags: &[
        Flag {
            name: "--minutes",
            value: Some("N"),
            help: "How long after the warm-up [default: 10]",
        },
        Flag { name: "--json", value: Some("FILE"), help: "Write the figures here, as JSON" },
    ],
};

/// Seconds that count in the soak among the tests.
const SHORT: u64 = 30;

/// `cargo xtask soak`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    claim::target(places)?;
    setup::ensure(places, &[Group::Build])?;
    let minutes = given.last("--minutes").map_or("10".into(), OsStr::to_string_lossy);
    let minutes: u64 = minutes
        .parse()
        .ok()
        .filter(|minutes| (1..=100_000).contains(minutes))
        .ok_or_else(|| Failure::new(format!("--minutes needs a number, not `{minutes}`")))?;
    let json = given.last("--json").map(std::path::absolute).transpose();
    let json = json.map_err(|error| Failure::new(format!("--json names no file: {error}")))?;
    run(places, minutes * 60, json.as_deref().map(std::path::Path::as_os_str), true)
}

/// A short one, of the stack that the tests have built.
pub(crate) fn short(places: &Places) -> Outcome {
    run(places, SHORT, None, false)
}

fn run(places: &Places, seconds: u64, json: Option<&OsStr>, release: bool) -> Outcome {
    // With the features that the tests were built with, nothing is built twice.
    let which: &[&str] =
        if release { &["--release", "-p", "headwater-reference-stack"] } else { &["--workspace"] };
    // The stack is an example, which cargo does not build for one test alone.
    let mut cargo = process::cargo(places);
    cargo.args(["build", "--locked"]).args(which);
    process::run(cargo.args(if release {
        ["--example", "reference-stack"].as_slice()
    } else {
        &["--examples"]
    }))?;
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked"]).args(which).args(["--test", "soak", "--", "--nocapture"]);
    if let Some(json) = json {
        cargo.env("HEADWATER_SOAK_JSON", json);
    }
    process::run(cargo.env("HEADWATER_SOAK_SECONDS", seconds.to_string()))
}
