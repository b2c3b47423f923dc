//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, guided by coverage, on stable Rust.
//!
//! rustc's own coverage passes are stable options; what needs nightly is only the address
//! sanitizer, and code without `unsafe` has little use for that.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::{process, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "fuzz",
    summary: "Throw damaged input at what reads it, guided by coverage",
    usage: "fuzz [TARGET …] [OPTIONS]",
    about: "Runs each fuzz target, or those named, for some seconds, and prints what it did: \
            inputs tried, crashes, memory at the worst. Inputs that crash are kept, and their \
            places are printed. What earlier runs learnt is kept too, in the cache folder.",
    names: &TARGETS,
    flags: &[Flag {
        name: "--seconds",
        value: Some("N"),
        help: "How long each target runs; 60 when not given",
    }],
};

const TARGETS: [(&str, &str); 24] = [
    ("boxes", "the box reader: anything in a movie box"),
    ("fragments", "the walk over fragments, whole and in a file that grows"),
    ("index", "the index of a whole file, and each sample of it"),
    ("edits", "edit lists, durations and composition offsets of any size"),
    ("plan", "everything that can be asked of a file, laid out and made"),
    ("ts", "the transport streams of a file"),
    ("descriptor", "descriptors of assets"),
    ("paths", "paths of resources"),
    ("cmcd", "what players tell of themselves"),
    ("hints", "what edges tell shields"),
    ("map", "manifests and indexes that pass through a shield"),
    ("query", "queries of manifests, and the manifests they select"),
    ("http3", "streams of HTTP/3 and their field sections"),
    ("proxy", "whom proxies speak for: the PROXY protocol, Forwarded, X-Forwarded-For"),
    ("requests", "targets and hosts in one form, and pages that ask"),
    ("tokens", "tokens of every form, signed and not, where they stand, and what is handed over"),
    ("filter", "filters of the live log"),
    ("traceparent", "which trace a request says it is a part of"),
    ("addresses", "lists of addresses"),
    ("steering", "what players ask of content steering"),
    ("origins", "which pages may read, by their origins"),
    ("orders", "what an operator asks: purges, explanations"),
    ("config", "configuration files of edges"),
    ("pushed", "configurations of edges as a control plane pushes them, in JSON"),
];

/// What makes a build one that libFuzzer can guide.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// The longest input, in bytes: a few of our seeds are longer than libFuzzer's usual 4 KiB.
const MAX_LEN: u32 = 64 << 10;

/// More memory than any target may use, in MiB; the targets themselves hold inputs to less.
const RSS_LIMIT_MB: u32 = 1_024;

/// What came of one target.
struct Told {
    target: &'static str,
    execs: u64,
    crashes: usize,
    peak_rss_mb: u64,
}

/// `cargo xtask fuzz`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    let seconds = given.last("--seconds").map_or(Ok(60), whole_seconds)?;
    let all = || TARGETS.iter().map(|(name, _)| *name).collect();
    let chosen: Vec<&'static str> =
        if given.names.is_empty() { all() } else { given.names.clone() };
    setup::ensure(places, &[Group::Build])?;
    let home = places.cache.join("fuzz");
    let seeds = home.join("seeds");
    process::run(process::cargo(places).args(["run", "--quiet", "--locked", "-p"]).args([
        OsStr::new("headwater-fuzz"),
        OsStr::new("--"),
        seeds.as_os_str(),
    ]))?;
    let program = build(places)?;
    let mut told = Vec::new();
    for target in chosen {
        ui::heading(&format!("{target}, {seconds} s"));
        told.push(fuzz(&program, &home, &seeds, target, seconds)?);
    }
    ui::line(&table(&told));
    let crashes: usize = told.iter().map(|told| told.crashes).sum();
    if crashes == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{crashes} inputs crashed; they lie in {}", home.display())))
}

fn whole_seconds(text: &OsStr) -> Outcome<u64> {
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (1..=86_400).contains(seconds))
        .ok_or_else(|| Failure::new("--seconds takes a whole number from 1 to 86400"))
}

/// Builds the program in a folder of its own: its flags are nobody else's. A target triple is named
/// so that build scripts go without them.
fn build(places: &Places) -> Outcome<PathBuf> {
    let triple = process::capture(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let triple = triple.trim();
    let target = places.cache.join("fuzz/target");
    let mut cargo = process::cargo(places);
    cargo
        .args(["build", "--release", "--locked", "-p", "headwater-fuzz", "--target", triple])
        .args(["--config", "profile.release.lto=false"])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", FLAGS);
    process::run(&mut cargo)?;
    Ok(target.join(triple).join("release/headwater-fuzz"))
}

fn fuzz(
    program: &Path,
    home: &Path,
    seeds: &Path,
    target: &'static str,
    seconds: u64,
) -> Outcome<Told> {
    let corpus = home.join("corpus").join(target);
    let found = home.join("found").join(target);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    let before = files(&found);
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(seeds.join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg(format!("-rss_limit_mb={RSS_LIMIT_MB}"))
        .arg("-timeout=10")
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", found.display()))
        .env("HEADWATER_FUZZ", target);
    let text = process::both(&mut command)?;
    let crashes = files(&found).saturating_sub(before);
    let told = Told {
        target,
        execs: stat(&text, "number_of_executed_units"),
        crashes,
        peak_rss_mb: stat(&text, "peak_rss_mb"),
    };
    if told.execs == 0 && crashes == 0 {
        return Err(Failure::new(format!("{target} did not run:\n{}", text.trim_end())));
    }
    if crashes > 0 {
        ui::line(text.trim_end());
    }
    Ok(told)
}

/// How many files a folder holds.
fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A line such as `stat::peak_rss_mb: 27`.
fn stat(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix("stat::")?.split_once(':'))
        .find(|(own, _)| *own == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn table(told: &[Told]) -> String {
    let mut text = format!("{:<12} {:>12} {:>8} {:>9}", "target", "execs", "crashes", "peak_rss");
    for told in told {
        let rss = format!("{} MiB", told.peak_rss_mb);
        let (name, execs, crashes) = (told.target, told.execs, told.crashes);
        // Writing into a String never fails.
        let _ = write!(text, "\n{name:<12} {execs:>12} {crashes:>8} {rss:>9}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_figures_are_read() {
        let text =
            "INFO: x\nstat::number_of_executed_units: 211\nstat::peak_rss_mb:              27\n";
        assert_eq!(stat(text, "number_of_executed_units"), 211);
        assert_eq!(stat(text, "peak_rss_mb"), 27);
        assert_eq!(stat(text, "average_exec_per_sec"), 0);
    }

    #[test]
    fn seconds_are_whole_and_bounded() {
        assert_eq!(whole_seconds(OsStr::new("5")), Ok(5));
        for bad in ["", "0", "-1", "1.5", "86401"] {
            assert!(whole_seconds(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
