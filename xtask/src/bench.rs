//! `cargo xtask bench`: measurements, as a table and as JSON, and whether they clear their bars.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{claim, process, profiled, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "bench",
    summary: "Measure: the edge or the packager beside nginx, the sample index, collapse, the disk \
              tier, caching policies, the shield before simulated players, or the criterion benches",
    usage: "bench NAME [OPTIONS]",
    about: "Runs a bench, shows its progress and prints a table.",
    names: &BENCH_NAMES,
    flags: &[
        Flag { name: "--json", value: Some("FILE"), help: "Write the figures here too, as JSON" },
        Flag {
            name: "--rounds",
            value: Some("N"),
            help: "Of edge: how often each server is measured in each case [default: 5]",
        },
        Flag {
            name: "--doc",
            value: None,
            help: "Of edge: put the figures into docs/results (page, JSON and plot)",
        },
        Flag {
            name: "--profiled",
            value: None,
            help: "Of edge: measure what is built by a profile of itself, as the package of \
                   `cargo xtask deb --profiled` is; --check does so by itself",
        },
        Flag {
            name: "--usual",
            value: None,
            help: "Of edge: check what `cargo build --release` makes",
        },
        Flag {
            name: "--peer",
            value: Some("URL"),
            help: "Of packager: a segment of another packager on this machine (http://ADDRESS:PORT/…), \
                   or a media playlist of HLS, measured beside nginx sending the same bytes; may be \
                   repeated",
        },
        Flag {
            name: "--tier",
            value: Some("TIER"),
            help: "Of edge: only hits from there, ram or disk [default: all that the bench measures]",
        },
        Flag {
            name: "--objects",
            value: Some("N"),
            help: "Of disk: how many small responses the tier holds [default: 1000000]",
        },
        Flag {
            name: "--plot",
            value: Some("FILE"),
            help: "Of edge, traces and shield: draw the figures here, as SVG",
        },
        Flag {
            name: "--sessions",
            value: Some("N"),
            help: "Of shield: how many viewers come [default: 10000]",
        },
        Flag {
            name: "--ahead",
            value: Some("N"),
            help: "Of shield: segments fetched ahead at most [default: the shield's own]",
        },
        Flag {
            name: "--bandwidth",
            value: Some("BITS"),
            help: "Of shield: bits a second of one answer of the origin [default: 8000000]",
        },
        Flag {
            name: "--latency",
            value: Some("MS"),
            help: "Of shield: milliseconds until the origin's first byte [default: 300]",
        },
        Flag {
            name: "--ram",
            value: Some("GB"),
            help: "Of shield: gigabytes of its memory [default: 1000]",
        },
        Flag {
            name: "--seed",
            value: Some("N"),
            help: "Of shield: what the viewers follow from [default: 1]",
        },
        Flag {
            name: "--check",
            value: None,
            help: "Run only the cases that have bars, print one line a bar (case, measured, bar, \
                   ok or missed), and exit 1 if one is missed. Without a NAME: of every bench",
        },
    ],
};

const BENCH_NAMES: [(&str, &str); 8] = [
    (
        "edge",
        "load the running edge over HTTP/1.1, TLS, HTTP/2 and HTTP/3 from a second process, in \
         alternating rounds with an nginx with QUIC, Varnish and HAProxy: hits from memory and \
         disk, and with every layer on, new connections, memory of idle ones",
    ),
    (
        "index",
        "CPU to index a two-hour title beside mp4-atom and mp4, bytes a sample of each table, \
         memory of 1,000 open titles",
    ),
    (
        "packager",
        "segments made on request, in alternating rounds with nginx sending the same bytes by \
         `sendfile` and with a bare loop of reads and writes, warm and cold",
    ),
    (
        "collapse",
        "5,000 followers of one fill in a process and 500 clients over loopback, before an origin \
         that drips: fetches, time to the first byte, memory",
    ),
    (
        "disk",
        "the cache's disk tier: bytes of index memory a response, seconds to the first and last \
         warm hit after a restart, MB/s, write amplification",
    ),
    (
        "traces",
        "hit and byte-hit ratios of the cache's tiers beside LRU, SIEVE, S3-FIFO, W-TinyLFU and \
         who knows the future, on synthetic video traffic",
    ),
    (
        "shield",
        "10,000 simulated viewers before edges, a shield and a far origin, in virtual time, with and \
         without prefetch: rebuffering, startup, hits, offload, waste",
    ),
    (
        "criterion",
        "the benches of `cargo bench`: index, plans, playlists, cache hit and miss, a scrape of the \
         metrics, the comparison of secrets; the last two have bars",
    ),
];

/// The benches of `cargo bench` that have bars.
const WITH_BARS: [&str; 2] = ["scrape", "constant_time"];

/// `cargo xtask bench`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    claim::target(places)?;
    let check = given.has("--check");
    let json = given.last("--json").map(absolute).transpose()?;
    let names = match (given.names.as_slice(), check) {
        ([], true) => BENCH_NAMES.map(|(name, _)| name).to_vec(),
        ([name], _) => vec![*name],
        (names, _) => {
            let known: Vec<&str> = BENCH_NAMES.iter().map(|(name, _)| *name).collect();
            let count = if names.is_empty() { "a" } else { "one" };
            return Err(Failure::new(format!("bench takes {count} NAME: {}", known.join(" or "))));
        }
    };
    for name in names {
        match name {
            "edge" => edge(places, json.as_deref(), given, check)?,
            "index" => index(places, json.as_deref(), check)?,
            "packager" => packager(places, json.as_deref(), given.all("--peer"), check)?,
            "collapse" => collapse(places, json.as_deref(), check)?,
            "disk" => disk(places, json.as_deref(), given.last("--objects"), check)?,
            "traces" | "shield" => {
                let package = format!("headwater-bench-{name}");
                let passed: &[&str] = match name {
                    "shield" => {
                        &["--sessions", "--seed", "--ahead", "--ram", "--latency", "--bandwidth"]
                    }
                    _ => &[],
                };
                let passed = passed.iter().filter_map(|flag| Some((*flag, given.last(flag)?)));
                let passed: Vec<_> = passed.collect();
                alone(places, &package, json.as_deref(), given.last("--plot"), &passed, check)?;
            }
            _ if check => bars(places)?,
            _ => criterion(places, json.as_deref())?,
        }
    }
    Ok(())
}

/// The bars of its cases are kept beside the cases, in the harness.
fn edge(places: &Places, json: Option<&Path>, given: &Given, check: bool) -> Outcome {
    setup::ensure(places, &[Group::Build, Group::Bench])?;
    setup::peers(places);
    // The bars are of what is built by a profile.
    let (stack, command) = if given.has("--profiled") || check && !given.has("--usual") {
        let built = profiled::build(places)?;
        (built.stack, built.command)
    } else {
        let stack = stack::build(places, Profile::Release, "reference-stack")?;
        (stack, stack::command(places, Profile::Release)?)
    };
    let mut harness = setup::harness(places);
    harness.arg("edge").arg("--stack").arg(stack).arg("--cache").arg(&places.cache);
    // What has bars is measured with every layer on, too.
    if check || given.last("--tier").is_none() {
        harness.arg("--command").arg(command);
    }
    if let Some(tier) = given.last("--tier") {
        harness.arg("--part").arg(tier);
    }
    if let Some(rounds) = given.last("--rounds") {
        harness.arg("--rounds").arg(rounds);
    }
    let results = places.root.join("docs/results");
    let doc = given.has("--doc");
    if doc {
        harness.arg("--markdown").arg(results.join("edge.md"));
    }
    let plot = given.last("--plot").map(absolute).transpose()?;
    if let Some(plot) = plot.or_else(|| doc.then(|| results.join("edge.svg"))) {
        harness.arg("--svg").arg(plot);
    }
    let json = json.map(Path::to_owned).or_else(|| doc.then(|| results.join("edge.json")));
    if let Some(json) = json {
        harness.arg("--json").arg(json);
    }
    if check {
        harness.arg("--check");
    }
    process::run(&mut harness)
}

/// It counts allocations, so it is a program of its own.
fn index(places: &Places, json: Option<&Path>, check: bool) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let mut bench = process::cargo(places);
    bench.args(["run", "--release", "--locked", "-p", "headwater-bench-index", "--"]);
    if let Some(json) = json {
        bench.arg("--json").arg(json);
    }
    if check {
        bench.arg("--check");
    }
    process::run(&mut bench)
}

/// As [`edge`], its bars are in the harness; so is the server that it measures.
fn packager(places: &Places, json: Option<&Path>, peers: &[OsString], check: bool) -> Outcome {
    setup::ensure(places, &[Group::Build, Group::Bench])?;
    let mut harness = setup::harness(places);
    harness.arg("packager").arg("--cache").arg(&places.cache);
    if let Some(json) = json {
        harness.arg("--json").arg(json);
    }
    for peer in peers {
        harness.arg("--peer").arg(peer);
    }
    if check {
        harness.arg("--check");
    }
    process::run(&mut harness)
}

/// As [`edge`], its bars are in the harness; so is the server that it measures.
fn collapse(places: &Places, json: Option<&Path>, check: bool) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let mut harness = setup::harness(places);
    harness.arg("collapse");
    if let Some(json) = json {
        harness.arg("--json").arg(json);
    }
    if check {
        harness.arg("--check");
    }
    process::run(&mut harness)
}

/// As [`collapse`]; all of it happens in the harness.
fn disk(places: &Places, json: Option<&Path>, objects: Option<&OsStr>, check: bool) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let mut harness = setup::harness(places);
    harness.arg("disk");
    if let Some(json) = json {
        harness.arg("--json").arg(json);
    }
    if let Some(objects) = objects {
        harness.arg("--objects").arg(objects);
    }
    if check {
        harness.arg("--check");
    }
    process::run(&mut harness)
}

/// Nothing of the harness is in such a one, so it is a program of its own.
fn alone(
    places: &Places,
    package: &str,
    json: Option<&Path>,
    plot: Option<&OsStr>,
    passed: &[(&str, &OsStr)],
    check: bool,
) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let mut bench = process::cargo(places);
    bench.args(["run", "--release", "--locked", "-p", package, "--"]);
    if let Some(json) = json {
        bench.arg("--json").arg(json);
    }
    for (flag, value) in passed {
        bench.arg(flag).arg(value);
    }
    if let Some(plot) = plot {
        bench.arg("--plot").arg(absolute(plot)?);
    }
    if check {
        bench.arg("--check");
    }
    process::run(&mut bench)
}

/// Those of `cargo bench` that have bars; what the others measure is judged beside a peer, elsewhere. Each is run
/// though one before it missed its own.
fn bars(places: &Places) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let run = |name: &&str| {
        let bench = ["bench", "--locked", "-p", "headwater", "--bench", name, "--", "--check"];
        process::run(process::cargo(places).args(bench))
    };
    let outcomes: Vec<Outcome> = WITH_BARS.iter().map(run).collect();
    outcomes.into_iter().collect()
}

fn criterion(places: &Places, json: Option<&Path>) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    #[expect(clippy::disallowed_methods, reason = "compared with the times of files, nothing else")]
    let started = SystemTime::now();
    process::run(process::cargo(places).args([
        "bench",
        "--locked",
        "-p",
        "headwater",
        "--benches",
    ]))?;
    let mut cases = Vec::new();
    collect(&places.target.join("criterion"), started, &mut cases);
    if cases.is_empty() {
        return Err(Failure::new("criterion left no figures"));
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    ui::line(&table(&cases));
    if let Some(json) = json {
        let figures = json!({ "bench": "criterion", "unit": "ns", "cases": cases.iter().map(Case::json).collect::<Vec<_>>() });
        fs::write(json, format!("{figures:#}\n"))
            .map_err(|error| Failure::file("write", json, &error))?;
    }
    Ok(())
}

/// One criterion case: its mean with the 95 % interval, in nanoseconds an iteration.
#[derive(Debug, PartialEq)]
struct Case {
    name: String,
    mean: f64,
    low: f64,
    high: f64,
}

impl Case {
    /// From criterion's `benchmark.json` and `estimates.json`.
    fn read(benchmark: &Value, estimates: &Value) -> Option<Self> {
        let mean = &estimates["mean"];
        let interval = &mean["confidence_interval"];
        Some(Self {
            name: benchmark["full_id"].as_str()?.to_owned(),
            mean: mean["point_estimate"].as_f64()?,
            low: interval["lower_bound"].as_f64()?,
            high: interval["upper_bound"].as_f64()?,
        })
    }

    fn json(&self) -> Value {
        json!({ "case": self.name, "mean": self.mean, "low": self.low, "high": self.high })
    }
}

/// Finds what this run has measured below criterion's folder: figures of benches that are gone
/// stay there, older than the run.
fn collect(folder: &Path, since: SystemTime, cases: &mut Vec<Case>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name() != Some(OsStr::new("new")) {
            collect(&path, since, cases);
            continue;
        }
        let estimates = path.join("estimates.json");
        let fresh =
            estimates.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at >= since);
        let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).ok()?).ok();
        if fresh
            && let (Some(benchmark), Some(estimates)) =
                (read(path.join("benchmark.json")), read(estimates))
        {
            cases.extend(Case::read(&benchmark, &estimates));
        }
    }
}

fn table(cases: &[Case]) -> String {
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("\n{:width$}  {:>10}  {:>10}  {:>10}", "case", "mean", "low", "high");
    for Case { name, mean, low, high } in cases {
        let (mean, low, high) = (nanoseconds(*mean), nanoseconds(*low), nanoseconds(*high));
        let _ = write!(text, "\n{name:width$}  {mean:>10}  {low:>10}  {high:>10}");
    }
    text
}

fn nanoseconds(time: f64) -> String {
    match time {
        t if t < 1e3 => format!("{t:.1} ns"),
        t if t < 1e6 => format!("{:.2} us", t / 1e3),
        t if t < 1e9 => format!("{:.2} ms", t / 1e6),
        t => format!("{:.2} s", t / 1e9),
    }
}

/// Children run in the checkout; what was typed is meant from where it was typed.
fn absolute(path: &OsStr) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::file("find", Path::new(path), &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn criterions_files_become_a_table() {
        let estimates = json!({ "mean": { "point_estimate": 1500.0,
            "confidence_interval": { "lower_bound": 999.0, "upper_bound": 2.5e6 } } });
        let case = Case::read(&json!({ "full_id": "cache/hit" }), &estimates).unwrap();
        let text = table(&[case]);
        assert!(text.contains("cache/hit     1.50 us    999.0 ns     2.50 ms"), "{text}");
        assert_eq!(Case::read(&json!({}), &estimates), None);
    }
}
