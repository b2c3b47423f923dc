//! `cargo xtask cache-tests`: the public suite `http-cache-tests` against an edge and a shield.
//!
//! The suite knows its tests, `cache-tests/driver.mjs` runs them against the example `proxy`, and
//! what is here installs the one, builds the other, counts ([`score`]), and writes
//! docs/cache-tests.md ([`page`]). Nothing in the product knows of the suite.

mod page;
mod score;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::hash::Stamp;
use crate::places::Places;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{process, ui, web};

use score::{ROLES, Results};

pub(crate) static SPEC: Spec = Spec {
    name: "cache-tests",
    summary: "Run the public HTTP cache tests against an edge and a shield",
    usage: "cache-tests [--json FILE] [--suite PATH] [--write]",
    about: "Runs `http-cache-tests` (https://cache-tests.fyi) against the example `proxy` as an \
            edge and as a shield, both in front of the suite's own origin, prints what passed, and \
            exits 1 when a required test failed, or when one of any kind did not pass that \
            xtask/cache-tests/explained.txt says nothing of. It takes about a minute.",
    names: &[],
    flags: &[
        Flag {
            name: "--json",
            value: Some("FILE"),
            help: "Also write the counts to FILE: for edge and shield, for required and optional \
                   tests, how many passed, failed, and depend on one that failed",
        },
        Flag {
            name: "--suite",
            value: Some("PATH"),
            help: "A checkout of the suite's repository, which holds tests that npm's version \
                   lacks: CDN-Cache-Control and interim responses [default: npm's version]",
        },
        Flag {
            name: "--write",
            value: None,
            help: "Also write the results to docs/cache-tests.md",
        },
    ],
};

/// What is written beside the suite, by name.
const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("../cache-tests/package.json")),
    ("package-lock.json", include_str!("../cache-tests/package-lock.json")),
    (".npmrc", include_str!("../cache-tests/.npmrc")),
    ("driver.mjs", include_str!("../cache-tests/driver.mjs")),
];

/// What npm's version asks of a cache against the standard's choice: it is older than RFC 9111, and
/// wants the opposite of the repository's version in some tests. docs/cache-tests.md says which.
const OLDER: [&str; 3] = ["--distrust-malformed-age", "--trust-any-304", "--never-stale"];

const EXPLAINED: &str = include_str!("../cache-tests/explained.txt");

/// `cargo xtask cache-tests`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    setup::ensure(places, &[Group::Web])?;
    let folder = install(places)?;
    let suite = match given.last("--suite") {
        Some(path) => copy(Path::new(path), &folder)?,
        None => folder.join("node_modules/http-cache-tests"),
    };
    let proxy = stack::build(places, Profile::Tests, "proxy")?;
    let options = if given.has("--suite") { &[][..] } else { &OLDER[..] };
    let results = run(places, &folder, &suite, &proxy, options)?;
    ui::line(&results.table());
    if let Some(path) = given.last("--json") {
        let path = Path::new(path);
        let text = format!("{:#}\n", results.json());
        fs::write(path, text).map_err(|error| Failure::file("write", path, &error))?;
    }
    let explained = score::explanations(EXPLAINED)?;
    if given.has("--write") {
        page::write(&places.root, given.has("--suite"), &results, &explained)?;
    }
    results.verdict(&explained)
}

/// Runs both roles at the same time: the suite mostly waits.
fn run(
    places: &Places,
    folder: &Path,
    suite: &Path,
    proxy: &Path,
    options: &[&str],
) -> Outcome<Results> {
    let out = places.target.join("tmp/cache-tests");
    fs::create_dir_all(&out).map_err(|error| Failure::file("create", &out, &error))?;
    let start = |role: &str| -> Outcome<(Child, PathBuf)> {
        let rows = out.join(format!("{role}.json"));
        let log = out.join(format!("{role}.log"));
        let file = fs::File::create(&log).map_err(|error| Failure::file("write", &log, &error))?;
        let child = Command::new("node")
            .arg(folder.join("driver.mjs"))
            .args([suite, &rows, proxy])
            .arg(role)
            .args(options)
            .stdin(Stdio::null())
            .stdout(file)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run node: {error}")))?;
        Ok((child, rows))
    };
    let mut running = Vec::new();
    for role in ROLES {
        running.push((role, start(role)?));
    }
    let mut all = Vec::new();
    for (role, (mut child, rows)) in running {
        let ended = child.wait().is_ok_and(|status| status.success());
        if !ended {
            let log = out.join(format!("{role}.log"));
            return Err(Failure::new(format!("the suite broke off: see {}", log.display())));
        }
        let text = fs::read(&rows).map_err(|error| Failure::file("read", &rows, &error))?;
        let rows: Value = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("the results are no JSON: {error}")))?;
        all.push(score::rows(&rows)?);
    }
    let [edge, shield] = <[_; 2]>::try_from(all)
        .map_err(|_| Failure::new("the suite did not run once for each role"))?;
    Ok(Results { edge, shield })
}

/// Installs the suite by name from npm; changed versions make another folder.
fn install(places: &Places) -> Outcome<PathBuf> {
    let mut stamp = Stamp::new();
    for (_, text) in FILES {
        stamp.field(text.as_bytes());
    }
    let folder = places.cache.join(format!("cache-tests-{}", stamp.finish()));
    let complete = folder.join("complete");
    if complete.exists() {
        return Ok(folder);
    }
    ui::line("Installing http-cache-tests");
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
    }
    process::run(web::npm_in(places, &folder).args(["ci", "--prefer-offline"]))?;
    fs::write(&complete, "").map_err(|error| Failure::file("write", &complete, &error))?;
    Ok(folder)
}

/// Copies what of a checkout is run to where node finds the modules that it needs.
fn copy(checkout: &Path, folder: &Path) -> Outcome<PathBuf> {
    let to = folder.join("checkout");
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|error| Failure::file("remove", &to, &error))?;
    }
    for part in ["test-engine", "tests"] {
        if !checkout.join(part).is_dir() {
            let place = checkout.display();
            return Err(Failure::new(format!("{place} is no checkout of the suite: no {part}")));
        }
        copy_folder(&checkout.join(part), &to.join(part))?;
    }
    Ok(to)
}

fn copy_folder(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to).map_err(|error| Failure::file("create", to, &error))?;
    let entries = fs::read_dir(from).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for entry in entries.map_err(|error| Failure::file("list", from, &error))? {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to)?;
        } else {
            fs::copy(&path, &to).map_err(|error| Failure::file("copy", &path, &error))?;
        }
    }
    Ok(())
}
