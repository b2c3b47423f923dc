//! Prometheus and promtool, which the dashboard and the alert rules of `deploy/` are tried with: those on
//! PATH, or Debian's, unpacked into the cache folder. They are not installed: that would start a service.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::process::{self, on_path};
use crate::{setup, ui};

/// What the package is called, and what is wanted of it.
const PACKAGE: &str = "prometheus";
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// The folder with both programs; `None`, with a word, where there are none and no apt-get to get them.
pub(crate) fn programs(places: &Places) -> Outcome<Option<PathBuf>> {
    let folder = places.cache.join(PACKAGE);
    let unpacked = folder.join("usr/bin");
    let all_on_path = PROGRAMS.iter().all(|name| on_path(name).is_some());
    if let Some(first) = on_path(PROGRAMS[0]).filter(|_| all_on_path) {
        return Ok(first.parent().map(PathBuf::from));
    }
    if PROGRAMS.iter().all(|name| unpacked.join(name).is_file()) {
        return Ok(Some(unpacked));
    }
    if on_path("apt-get").is_none() {
        ui::line("there is no Prometheus: what is tried with it is skipped");
        return Ok(None);
    }
    ui::line("Getting Prometheus, which scrapes an edge in the tests");
    let archive = setup::download(PACKAGE, &folder)?;
    process::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&folder))?;
    if PROGRAMS.iter().all(|name| unpacked.join(name).is_file()) {
        return Ok(Some(unpacked));
    }
    Err(Failure::new("Debian's package of Prometheus holds no promtool"))
}
