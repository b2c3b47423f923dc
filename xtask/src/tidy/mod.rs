//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Each rule is a pure function from text (a file, a manifest, what cargo says of the graph) to
//! findings, one a file here, with a test that breaks it. This file fetches the text.

mod configuration;
mod conformance;
mod crates;
mod graph;
mod headers;
mod length;
mod licences;
mod limits;
mod manifests;
mod modules;
mod source;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::places::Places;
use crate::platforms::TARGETS;
use crate::{process, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "tidy",
    summary: "Check the rules no compiler checks: floors, headers, dependencies",
    usage: "tidy [--write]",
    about: "Checks that every Rust file says what it is for and is of readable length, that no \
            crate or module imports against the floors, that dependencies keep the rules of \
            docs/dependencies.md, and that no file names a place on somebody's machine.",
    names: &[],
    flags: &[Flag {
        name: "--write",
        value: None,
        help: "Write docs/configuration.md, docs/conformance.md and docs/limits.md anew from what code and \
               tests say",
    }],
};

/// Something against the rules.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, from the root of the checkout.
    file: String,
    /// The line, from 1; 0 when it is about the whole file.
    line: usize,
    what: String,
    /// Whether it fails the run, or is only said.
    fatal: bool,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), fatal: true }
    }

    fn warning(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { fatal: false, ..Self::new(file, line, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.fatal { "error" } else { "warning" };
        match self.line {
            0 => write!(f, "{level}: {}: {}", self.file, self.what),
            line => write!(f, "{level}: {}:{line}: {}", self.file, self.what),
        }
    }
}

/// A text file of the project.
struct File {
    path: String,
    text: String,
}

/// `cargo xtask tidy`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    let mut files = files(places)?;
    if given.has("--write") {
        for (page, text) in [
            (configuration::PAGE, configuration::page(&files)),
            (conformance::PAGE, conformance::page(&files)),
            (limits::PAGE, limits::page(&files)),
        ] {
            let path = places.root.join(page);
            fs::write(&path, &text).map_err(|error| Failure::file("write", &path, &error))?;
            files.retain(|file| file.path != page);
            files.push(File { path: page.to_owned(), text });
        }
    }
    let mut findings = Vec::new();
    for File { path, text } in &files {
        findings.extend(words::check(path, text));
        findings.extend(manifests::lock(path, text));
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            findings.extend(headers::check(path, text));
            findings.extend(length::check(path, text));
            findings.extend(modules::check(path, text));
        }
    }
    findings.extend(conformance::check(&files));
    findings.extend(limits::check(&files));
    findings.extend(configuration::check(&files));
    findings.extend(dependencies(places, &files)?);
    findings.sort();
    findings.dedup();
    for finding in &findings {
        ui::line(&finding.to_string());
    }
    let wrong = findings.iter().filter(|finding| finding.fatal).count();
    ui::line(&format!(
        "tidy: {} files, {wrong} errors, {} warnings",
        files.len(),
        findings.len() - wrong
    ));
    if wrong == 0 { Ok(()) } else { Err(Failure::new("the house is not tidy")) }
}

/// The rules about crates and dependencies.
fn dependencies(places: &Places, files: &[File]) -> Outcome<Vec<Finding>> {
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map(|file| file.text.as_str())
            .ok_or_else(|| Failure::new(format!("{path} is missing from the checkout")))
    };
    let metadata = metadata(places)?;
    let mut findings = crates::check(&metadata);
    findings.extend(manifests::workspace(
        text("Cargo.toml")?,
        text("docs/dependencies.md")?,
        &metadata,
    ));
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        findings.extend(manifests::member(&file.path, &file.text));
    }
    let all = ["--workspace", "--all-features"];
    let tested = tree(places, &all, "normal,build,dev")?;
    findings.extend(graph::licences(&tested));
    findings.extend(graph::rust_version(&tested, &metadata));
    let shipped = tree(places, &all, "normal,build")?;
    findings.extend(graph::stacks(&shipped));
    findings.extend(graph::duplicates(&shipped));
    let core = ["-p", "headwater-packager", "--no-default-features"];
    findings.extend(graph::packager_core(&tree(places, &core, "normal,build")?));
    Ok(findings)
}

/// What cargo knows of the workspace. What the platforms of others need is fetched if it must be.
fn metadata(places: &Places) -> Outcome<Value> {
    let mut cargo = process::cargo(places);
    cargo.args(["metadata", "--locked", "--quiet", "--format-version", "1"]);
    for (platform, _) in TARGETS {
        cargo.args(["--filter-platform", platform]);
    }
    let text = process::capture(&mut cargo)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("cargo metadata is no JSON: {error}")))
}

/// The packages that are really built, with the features that are really on, which `cargo
/// metadata` does not know.
fn tree(places: &Places, of: &[&str], edges: &str) -> Outcome<Vec<graph::Package>> {
    let mut cargo = process::cargo(places);
    cargo.args(["tree", "--locked", "--quiet"]).args(of);
    cargo.args(["--prefix", "none", "--edges", edges, "--format", graph::FORMAT]);
    for (platform, _) in TARGETS {
        cargo.args(["--target", platform]);
    }
    graph::parse(&process::capture(&mut cargo)?)
}

/// Every text file that belongs to the project: what git tracks or would track.
fn files(places: &Places) -> Outcome<Vec<File>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::capture(git.current_dir(&places.root))?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // A file may be deleted and still tracked, or be no text at all.
        if let Ok(text) = fs::read_to_string(places.root.join(Path::new(path))) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
