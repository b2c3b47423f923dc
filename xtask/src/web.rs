//! The pages: node's modules and `web/dist`, built when what they are made of has changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cli::{Failure, Outcome};
use crate::hash::Stamp;
use crate::places::Places;
use crate::{process, ui};

/// The folders of `web/` that are made, not written.
const MADE: [&str; 2] = ["node_modules", "dist"];

/// npm in the pages' folder.
pub(crate) fn npm(places: &Places) -> Command {
    npm_in(places, &places.web())
}

/// npm in a folder, with its cache beside everything else that is built.
pub(crate) fn npm_in(places: &Places, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .env("npm_config_cache", places.cache.join("npm"))
        .env("npm_config_update_notifier", "false")
        .env("npm_config_fund", "false")
        .env("npm_config_audit", "false")
        .arg("--prefix")
        .arg(folder)
        .current_dir(folder);
    command
}

/// Installs node's modules, those of tests among them, unless they are there as the lock says.
pub(crate) fn modules(places: &Places) -> Outcome {
    let web = places.web();
    let lock = web.join("package-lock.json");
    let locked = fs::read(&lock).map_err(|error| Failure::file("read", &lock, &error))?;
    let mut modules = Stamp::new();
    modules.field(&locked);
    // The stamps lie among the modules: installing those afresh empties the folder and them.
    let (modules, stamp) = (modules.finish(), web.join("node_modules/.headwater-modules"));
    if says(&stamp, &modules) {
        return Ok(());
    }
    ui::line("Installing the pages' node modules");
    process::run(npm(places).args(["ci", "--prefer-offline"]))?;
    write(&stamp, &modules)
}

/// Builds the pages into `web/dist`, unless they are built from exactly these sources already.
pub(crate) fn build(places: &Places) -> Outcome {
    modules(places)?;
    let web = places.web();
    let mut pages = Stamp::new();
    pages.folder(&web, &MADE)?;
    let (pages, pages_stamp) = (pages.finish(), web.join("node_modules/.headwater-pages"));
    if !(says(&pages_stamp, &pages) && places.pages().join("index.html").exists()) {
        ui::line("Building the pages");
        process::run(npm(places).args(["run", "build"]))?;
        write(&pages_stamp, &pages)?;
    }
    Ok(())
}

fn says(stamp: &Path, value: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == value)
}

fn write(stamp: &Path, value: &str) -> Outcome {
    fs::write(stamp, value).map_err(|error| Failure::file("write", stamp, &error))
}
