//! `cargo xtask test`: everything that must hold before a change goes in, in the order that finds a
//! mistake soonest and compiles the least.
//!
//! Clippy and the tests build the whole workspace with one set of features, so the dependencies are
//! checked once and compiled once; the browser plays from the stack that the tests have built.

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{
    cache_tests, claim, deb, h2spec, pebble, process, prometheus, python, rehearsal, soak, tidy,
    ui, web,
};

pub(crate) static SPEC: Spec = Spec {
    name: "test",
    summary: "Set up, then run every check and every test",
    usage: "test [STEP …] [OPTIONS]",
    about: "Runs these steps in this order and stops at the first that fails. Tests that need the \
            media of HEADWATER_MEDIA say that they are skipped when it is unset.",
    names: &STEP_NAMES,
    flags: &[
        Flag {
            name: "--crash",
            value: None,
            help: "Instead of all that: kill a process with a cache under load, again and again, and \
                   compare what its disk holds with what its origin gave",
        },
        Flag {
            name: "--handover",
            value: None,
            help: "Instead of all that: replace the reference stack's process three times while 200 \
                   clients download over HTTP/1.1, HTTP/2 and HTTP/3, and print what became of \
                   their requests",
        },
        Flag {
            name: "--deb",
            value: None,
            help: "Instead of all that: build the Debian package, install it into a folder as dpkg \
                   does, start its binary, and take it off again",
        },
        Flag {
            name: "--rounds",
            value: Some("N"),
            help: "With --crash: how often it is killed [default: 100]",
        },
        Flag {
            name: "--seed",
            value: Some("S"),
            help: "With --crash: what load and moments follow from, a number [default: 1]",
        },
        Flag {
            name: "--clients",
            value: None,
            help: "Instead of all that: have HTTP/3 clients that share no code with the listener ask \
                   all there is to ask, with bodies of 64 MiB, and print who could do what",
        },
        Flag {
            name: "--fast",
            value: None,
            help: "Leave out what takes longest: alone, qlog, soak, cache-tests, browser, demo, deb, doc and package, and \
                   clippy with any features but the default ones",
        },
        Flag {
            name: "--sync",
            value: None,
            help: "Instead of all that: decode clips that flash and beep from every form that the \
                   packager answers with, and print how far sound moved against picture",
        },
    ],
};

const STEP_NAMES: [(&str, &str); 16] = [
    ("setup", "install what this machine lacks"),
    ("format", "rustfmt, in check mode"),
    ("tidy", "what `cargo xtask tidy` looks at"),
    ("clippy", "clippy with warnings denied: default features, all, and the packager with none"),
    ("test", "unit, integration and documentation tests of every crate"),
    ("alone", "each library by itself, with its default features and with none"),
    ("qlog", "the tests of QUIC's logs, whose feature no other test has"),
    ("h2spec", "the conformance suite of HTTP/2 against the stack that the tests have built"),
    ("soak", "a minute or so of mixed load on that stack, whose memory must not grow"),
    ("cache-tests", "the public HTTP cache tests, against an edge and a shield"),
    ("pages", "build the pages, check their types, run their unit tests"),
    (
        "browser",
        "headless Chromium over HTTP/2 and HTTP/3: three players, two edges, the operator's page",
    ),
    ("demo", "start `cargo xtask demo` as people do, twice: the second time it makes nothing"),
    ("deb", "install a Debian package into a folder, start what is in it, and take it off again"),
    ("doc", "build the documentation with warnings denied"),
    ("package", "pack the crates as for publishing"),
];

/// What a step leaves out under `--fast`.
const SLOW: [&str; 9] =
    ["alone", "qlog", "soak", "cache-tests", "browser", "demo", "deb", "doc", "package"];

/// What the tests counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// `cargo xtask test`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    claim::target(places)?;
    if given.has("--sync") {
        return sync(places);
    }
    if given.has("--crash") {
        return crash(places, given);
    }
    if given.has("--clients") {
        return clients(places);
    }
    if given.has("--handover") {
        return hand_over(places);
    }
    if given.has("--deb") {
        return deb::test(places);
    }
    let fast = given.has("--fast");
    let chosen: Vec<&str> = STEP_NAMES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| given.names.is_empty() || given.names.contains(name))
        .filter(|name| !(fast && SLOW.contains(name)))
        .collect();
    if media()?.is_none() {
        ui::line("HEADWATER_MEDIA is unset: tests of real media are skipped");
    }
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for name in chosen {
        ui::heading(name);
        let step = Instant::now();
        let outcome = run(name, places, fast, &mut tally);
        ui::line(&format!(
            "--- {name}: {} in {}",
            if outcome.is_ok() { "ok" } else { "FAILED" },
            ui::elapsed(step.elapsed())
        ));
        done.push((name, step.elapsed()));
        if let Err(failure) = outcome {
            ui::line(&closing(&done, &tally, started.elapsed(), Some(name)));
            return Err(failure);
        }
    }
    ui::line(&closing(&done, &tally, started.elapsed(), None));
    Ok(())
}

fn run(name: &str, places: &Places, fast: bool, tally: &mut Tally) -> Outcome {
    match name {
        "setup" => setup::ensure(places, &[Group::Build, Group::Web, Group::Test]),
        "format" => process::run(process::cargo(places).args(["fmt", "--all", "--", "--check"])),
        "tidy" => tidy::main(places, &Given::default()),
        "clippy" => clippy(places, fast),
        "test" => rust_tests(places, tally),
        "alone" => alone(places),
        "qlog" => qlog(places, tally),
        "h2spec" => h2spec::against_stack(places),
        "soak" => soak::short(places),
        "cache-tests" => cache_tests::main(places, &Given::default()),
        "pages" => {
            web::build(places)?;
            process::run(web::npm(places).arg("test"))
        }
        "browser" => browser(places),
        "demo" => rehearsal::run(places),
        "deb" => deb::step(places),
        "doc" => documentation(places),
        _ => package(places),
    }
}

fn clippy(places: &Places, fast: bool) -> Outcome {
    let all: [&[&str]; 3] = [
        &["--workspace"],
        &["--workspace", "--all-features"],
        &["-p", "headwater-packager", "--no-default-features"],
    ];
    for which in if fast { &all[..1] } else { &all[..] } {
        let mut cargo = process::cargo(places);
        cargo.args(["clippy", "--locked", "--all-targets"]).args(*which);
        ui::line(&format!("$ {} -- -D warnings", process::words(&cargo)));
        process::run(cargo.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// The folder of real media. Each crate's tests run in the crate's own folder, so it is made
/// absolute.
fn media() -> Outcome<Option<PathBuf>> {
    let Some(set) = env::var_os("HEADWATER_MEDIA").filter(|set| !set.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(set);
    match path.canonicalize() {
        Ok(path) if path.is_dir() => Ok(Some(path)),
        Ok(_) => Err(Failure::new(format!("HEADWATER_MEDIA is no folder: {}", path.display()))),
        Err(error) => Err(Failure::file("read HEADWATER_MEDIA", &path, &error)),
    }
}

/// The nginx of the benches, where it was built.
fn nginx(places: &Places) -> Option<PathBuf> {
    let all = std::fs::read_dir(&places.cache).ok()?.flatten();
    let built = all.filter(|entry| entry.file_name().to_string_lossy().starts_with("nginx-"));
    built.map(|entry| entry.path().join("nginx")).find(|nginx| nginx.is_file())
}

fn rust_tests(places: &Places, tally: &mut Tally) -> Outcome {
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    // The step `setup` has installed every client of HTTP/3: none is skipped.
    cargo.env("HEADWATER_PYTHON", python::interpreter(places)).env("HEADWATER_CLIENTS", "small");
    web::modules(places)?;
    cargo.env("HEADWATER_CMCD", places.web().join("test/cmcd.mjs"));
    if let Some(programs) = pebble::programs(places)? {
        cargo.env("HEADWATER_PEBBLE", programs);
    }
    if let Some(programs) = prometheus::programs(places)? {
        cargo.env("HEADWATER_PROMETHEUS", programs);
    }
    if let Some(nginx) = nginx(places) {
        cargo.env("HEADWATER_NGINX", nginx);
    }
    if let Some(media) = media()? {
        cargo.env("HEADWATER_MEDIA", media);
    }
    process::follow(&mut cargo, |line| {
        ui::line(line);
        tally.add(line);
    })
}

/// In a build of the whole workspace each crate has the features that any other one asks for: what a crate
/// lacks that is used by itself, nothing else notices.
fn alone(places: &Places) -> Outcome {
    for (name, defaults) in libraries(&process::capture(process::cargo(places).args(METADATA))?) {
        let mut cargo = process::cargo(places);
        cargo.args(["check", "--locked", "--quiet", "--lib", "-p", &name]);
        if !defaults {
            cargo.arg("--no-default-features");
        }
        ui::line(&format!("$ {}", process::words(&cargo)));
        process::run(&mut cargo)?;
    }
    Ok(())
}

/// The libraries that others use, of cargo's metadata, each with whether its default features are asked for;
/// without them, too, where there are any.
fn libraries(metadata: &str) -> Vec<(String, bool)> {
    let own = unpublished(metadata);
    let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let is_library = |target: &serde_json::Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib"))
    };
    packages
        .filter(|package| {
            let mut targets = package["targets"].as_array().into_iter().flatten();
            targets.any(is_library)
        })
        .filter_map(|package| {
            let name =
                package["name"].as_str().filter(|name| !own.iter().any(|one| one == name))?;
            let defaults = package["features"]["default"].as_array();
            let has_some = defaults.is_some_and(|all| !all.is_empty());
            let sets = if has_some { &[true, false][..] } else { &[true] };
            Some(sets.iter().map(move |set| (name.to_owned(), *set)))
        })
        .flatten()
        .collect()
}

/// Alone, since the feature has all JSON of a build keep its order.
fn qlog(places: &Places, tally: &mut Tally) -> Outcome {
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "-p", "headwater-net", "--features", "qlog"]);
    process::follow(cargo.args(["--test", "net", "qlog"]), |line| {
        ui::line(line);
        tally.add(line);
    })
}

/// A few rounds of it run with the other tests.
fn crash(places: &Places, given: &Given) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "-p", "headwater-cache", "--test", "crash"]);
    cargo.args(["--", "--nocapture"]);
    for (flag, variable, default) in
        [("--rounds", "HEADWATER_CRASH_ROUNDS", "100"), ("--seed", "HEADWATER_CRASH_SEED", "1")]
    {
        let number = given.last(flag).map_or(default.into(), |given| given.to_string_lossy());
        if number.parse::<u64>().is_err() {
            return Err(Failure::new(format!("{flag} needs a number, not `{number}`")));
        }
        cargo.env(variable, &*number);
    }
    process::run(&mut cargo)
}

/// With small bodies it runs with the other tests. Each client has to be there.
fn clients(places: &Places) -> Outcome {
    setup::ensure(places, &[Group::Build, Group::Test])?;
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "-p", "headwater-net", "--test", "clients"]);
    cargo.args(["--", "--nocapture"]).env("HEADWATER_CLIENTS", "all");
    process::run(cargo.env("HEADWATER_PYTHON", python::interpreter(places)))
}

/// A few clients of it run with the other tests.
fn hand_over(places: &Places) -> Outcome {
    setup::ensure(places, &[Group::Build])?;
    // The binary that is replaced, as people run it, is an example, which cargo does not build for one
    // test alone.
    stack::build(places, Profile::Release, "reference-stack")?;
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "--release", "-p", "headwater-reference-stack"]);
    cargo.args(["--test", "handover"]);
    cargo.args(["--", "--nocapture"]);
    process::run(cargo.env("HEADWATER_HANDOVER_CLIENTS", "200"))
}

fn sync(places: &Places) -> Outcome {
    setup::ensure(places, &[Group::Build, Group::Test])?;
    let mut cargo = process::cargo(places);
    cargo.args(["test", "--locked", "-p", "headwater-packager", "--test", "sync"]);
    cargo.args(["--", "--nocapture"]).env("HEADWATER_SYNC", "all");
    process::run(&mut cargo)
}

fn browser(places: &Places) -> Outcome {
    web::build(places)?;
    let stack = stack::build(places, Profile::Tests, "reference-stack")?;
    let mut npm = web::npm(places);
    npm.env("HEADWATER_STACK", &stack).env("HEADWATER_PYTHON", python::interpreter(places));
    if let Some(browser) = setup::browser() {
        npm.env("CHROMIUM", browser);
    }
    process::run(npm.args(["run", "test:browser"]))?;
    for script in ["test:players", "test:shield", "test:edges"] {
        let mut npm = web::npm(places);
        npm.env("HEADWATER_STACK", &stack);
        if let Some(browser) = setup::browser() {
            npm.env("CHROMIUM", browser);
        }
        process::run(npm.args(["run", script]))?;
    }
    let mut npm = web::npm(places);
    npm.env("HEADWATER_COMMAND", stack::command(places, Profile::Tests)?);
    if let Some(browser) = setup::browser() {
        npm.env("CHROMIUM", browser);
    }
    process::run(npm.args(["run", "test:operator"]))
}

fn documentation(places: &Places) -> Outcome {
    let mut cargo = process::cargo(places);
    cargo.args(["doc", "--locked", "--workspace", "--no-deps"]);
    process::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Compiling each package again from its own archive would take longer than all the rest, and the
/// workspace has compiled already: `cargo package --workspace` does it before a release.
fn package(places: &Places) -> Outcome {
    let mut cargo = process::cargo(places);
    cargo.args(["package", "--locked", "--workspace", "--no-verify", "--allow-dirty", "--quiet"]);
    // What is not published may stand on what no registry has.
    for name in unpublished(&process::capture(process::cargo(places).args(METADATA))?) {
        cargo.args(["--exclude", &name]);
    }
    process::run(&mut cargo)
}

const METADATA: [&str; 4] = ["metadata", "--no-deps", "--format-version=1", "--locked"];

/// The packages that `publish = false` keeps from every registry, of cargo's metadata.
fn unpublished(metadata: &str) -> Vec<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| package["publish"].as_array().is_some_and(Vec::is_empty))
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect()
}

impl Tally {
    /// Reads a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        for count in counts.split(['.', ';']) {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The last lines: how long each step took, and the totals.
fn closing(
    done: &[(&str, Duration)],
    tally: &Tally,
    elapsed: Duration,
    failed: Option<&str>,
) -> String {
    let mut text = String::from("\n");
    for (name, time) in done {
        let _ = writeln!(text, "  {name:<11} {}", ui::elapsed(*time));
    }
    let Tally { passed, failed: wrong, ignored } = tally;
    let counts = format!("{passed} Rust tests passed, {wrong} failed, {ignored} ignored");
    let verdict = match failed {
        Some(step) => format!("FAILED at {step}"),
        None => format!("{} steps ok", done.len()),
    };
    let _ = write!(text, "test: {verdict}; {counts}; {}", ui::elapsed(elapsed));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_registry_takes_is_found_among_cargos_packages() {
        let metadata = r#"{"packages":[{"name":"a","publish":null},{"name":"b","publish":[]},
            {"name":"c","publish":["one"]}]}"#;
        assert_eq!(unpublished(metadata), ["b"]);
        assert!(unpublished("").is_empty());
    }

    #[test]
    fn libraries_are_checked_with_their_default_features_and_with_none() {
        let metadata = r#"{"packages":[
            {"name":"a","targets":[{"kind":["lib"]}],"features":{"default":["x"],"x":[]}},
            {"name":"b","targets":[{"kind":["test"]},{"kind":["lib"]}],"features":{"y":[]}},
            {"name":"c","targets":[{"kind":["lib"]}],"features":{"default":[]}},
            {"name":"d","publish":[],"targets":[{"kind":["lib"]}],"features":{}},
            {"name":"e","targets":[{"kind":["bin"]}],"features":{}}]}"#;
        let all = [("a", true), ("a", false), ("b", true), ("c", true)];
        assert_eq!(libraries(metadata), all.map(|(name, defaults)| (name.to_owned(), defaults)));
    }

    #[test]
    fn results_of_several_test_programs_add_up() {
        let mut tally = Tally::default();
        tally.add("running 3 tests");
        tally.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.02s");
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s");
        assert_eq!(tally, Tally { passed: 15, failed: 2, ignored: 1 });
    }

    #[test]
    fn the_closing_line_names_the_step_that_failed() {
        let done = [("format", Duration::from_millis(900)), ("clippy", Duration::from_secs(61))];
        let text = closing(&done, &Tally::default(), Duration::from_secs(62), Some("clippy"));
        assert!(text.ends_with(
            "test: FAILED at clippy; 0 Rust tests passed, 0 failed, 0 ignored; 1 min 02 s"
        ));
        assert!(text.contains("  clippy      1 min 01 s\n"));
    }

    #[test]
    fn slow_steps_are_steps() {
        assert!(SLOW.iter().all(|slow| STEP_NAMES.iter().any(|(name, _)| name == slow)));
    }
}
