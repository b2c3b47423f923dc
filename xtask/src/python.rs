//! The Python of the tests: a virtual environment in the cache folder that holds the independent
//! HTTP/3 client, at the versions of `requirements.txt`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::{Failure, Outcome};
use crate::hash::Stamp;
use crate::places::Places;
use crate::{process, ui};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The interpreter that tests find in `HEADWATER_PYTHON`.
pub(crate) fn interpreter(places: &Places) -> PathBuf {
    folder(places).join("bin/python")
}

/// Whether the environment is complete.
pub(crate) fn is_ready(places: &Places) -> bool {
    stamp(places).exists() && interpreter(places).exists()
}

/// Whether this machine's Python can make one.
pub(crate) fn can_make_venv() -> bool {
    process::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

/// Makes the environment if it is not there: a changed `requirements.txt` makes another.
pub(crate) fn ensure(places: &Places) -> Outcome {
    if is_ready(places) {
        return Ok(());
    }
    let folder = folder(places);
    ui::line(&format!("Making the Python environment of the tests in {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::file("remove", &folder, &error))?;
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)
        .map_err(|error| Failure::file("write", &requirements, &error))?;
    let mut pip = Command::new(interpreter(places));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    process::run(pip.args(["--only-binary", ":all:", "--requirement"]).arg(&requirements))?;
    let stamp = stamp(places);
    fs::write(&stamp, "").map_err(|error| Failure::file("write", &stamp, &error))
}

fn folder(places: &Places) -> PathBuf {
    let mut stamp = Stamp::new();
    stamp.field(REQUIREMENTS.as_bytes());
    places.cache.join(format!("python-{}", stamp.finish()))
}

fn stamp(places: &Places) -> PathBuf {
    folder(places).join("complete")
}
