//! Programs built twice: the second time by what the first did under the load of `bench edge` (profile-guided
//! optimisation), and then as one whole (`lto = "fat"`). What a request meets then lies together, and what it never
//! meets out of its way.
//!
//! The profile is made anew from the sources as they are; none is kept, since it is of these sources alone.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{process, ui};

/// Bodies of the load: a manifest, a part, a segment.
const SIZES: [&str; 3] = ["1024", "65536", "1048576"];

/// What is built by a profile.
#[derive(Debug)]
pub(crate) struct Built {
    /// The command `headwater`.
    pub(crate) command: PathBuf,
    /// The reference stack.
    pub(crate) stack: PathBuf,
}

/// Builds the command and the stack, puts them under load, and builds them by their profile.
pub(crate) fn build(places: &Places) -> Outcome<Built> {
    setup::ensure(places, &[Group::Build, Group::Bench])?;
    let merges = profdata()?;
    let home = places.target.join("profiled");
    let counts = home.join("counts");
    if counts.exists() {
        // Those of other sources.
        fs::remove_dir_all(&counts).map_err(|error| Failure::file("clear", &counts, &error))?;
    }
    fs::create_dir_all(&counts).map_err(|error| Failure::file("make", &counts, &error))?;
    ui::line("the programs are built to count what they do");
    let counting = home.join("counting");
    let counting = programs(places, &counting, Profile::Release, "-Cprofile-generate", &counts)?;
    ui::line("they are put under load");
    load(places, &counting)?;
    let profile = home.join("profile");
    let mut merge = Command::new(merges);
    process::run(merge.arg("merge").arg("-o").arg(&profile).arg(&counts))?;
    ui::line("they are built by their profile");
    programs(places, &home.join("built"), Profile::Whole, "-Cprofile-use", &profile)
}

/// Both programs, built into a folder of their own: everything is compiled anew with the flag.
fn programs(
    places: &Places,
    target: &Path,
    profile: Profile,
    flag: &str,
    value: &Path,
) -> Outcome<Built> {
    let host = host()?;
    let mut flags = env::var("RUSTFLAGS")
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("\x1f");
    if !flags.is_empty() {
        flags.push('\x1f');
    }
    let mut flags = OsString::from(flags);
    flags.push(flag);
    flags.push("=");
    flags.push(value);
    let cargo = || {
        let mut cargo = process::cargo(places);
        cargo.env("CARGO_TARGET_DIR", target);
        // With its name, what runs while others are built is built without the flag.
        cargo.env("CARGO_BUILD_TARGET", &host).env("CARGO_ENCODED_RUSTFLAGS", &flags);
        cargo
    };
    Ok(Built {
        command: stack::command_by(cargo(), profile)?,
        stack: stack::build_by(cargo(), profile, "reference-stack")?,
    })
}

/// The load: every protocol and size, with every layer on and with what the stack has without a flag, and
/// new connections. Each server ends in order, and writes its counts then.
fn load(places: &Places, programs: &Built) -> Outcome {
    let mut harness = setup::harness(places);
    harness.args(["edge", "--alone", "--rounds", "1", "--cache"]).arg(&places.cache);
    harness.arg("--stack").arg(&programs.stack).arg("--command").arg(&programs.command);
    for part in ["layered", "ram", "logged", "connects", "disk"] {
        harness.args(["--part", part]);
    }
    for size in SIZES {
        harness.args(["--size", size]);
    }
    process::run(&mut harness)
}

/// The program that merges counts, of the very LLVM that rustc has: rustup brings it.
fn profdata() -> Outcome<PathBuf> {
    let libraries = process::capture(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let program = Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata");
    if program.is_file() {
        return Ok(program);
    }
    ui::line("rustup adds llvm-tools");
    let added = process::run(Command::new("rustup").args(["component", "add", "llvm-tools"]));
    added.map_err(|failure| {
        Failure::new(format!("no llvm-profdata of this Rust is installed: {failure}"))
    })?;
    Ok(program)
}

/// The platform that is built on.
fn host() -> Outcome<String> {
    let said = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("rustc does not say which platform this is"))
}
