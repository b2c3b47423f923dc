//! One target folder for several checkouts, without one being served what the other built.
//!
//! Cargo tells checkouts of one workspace apart by nothing but the times of their files: in a
//! shared target folder it takes a crate built from another checkout for its own when that is
//! newer. So the folder remembers whose it is, and when another checkout comes, the workspace's own
//! crates are built anew; the dependencies, which take the time, stay.

use std::fs;

use serde_json::Value;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::{process, ui};

/// Makes the target folder this checkout's.
pub(crate) fn target(places: &Places) -> Outcome {
    let stamp = places.target.join("checkout");
    let here = places.root.to_string_lossy();
    if fs::read_to_string(&stamp).is_ok_and(|owner| owner == here) {
        return Ok(());
    }
    if places.target.is_dir() {
        let members = members(places)?;
        for profile in ["dev", "release"] {
            let mut cargo = process::cargo(places);
            cargo.args(["clean", "--quiet", "--offline", "--locked", "--profile", profile]);
            for member in &members {
                cargo.args(["-p", member]);
            }
            // Without the dependencies' sources there is nothing of the workspace to clean either.
            if let Err(failure) = process::run(&mut cargo) {
                ui::line(&format!("the target folder was not cleaned: {failure}"));
            }
        }
    }
    fs::create_dir_all(&places.target)
        .and_then(|()| fs::write(&stamp, here.as_bytes()))
        .map_err(|error| Failure::file("write", &stamp, &error))
}

fn members(places: &Places) -> Outcome<Vec<String>> {
    let mut cargo = process::cargo(places);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut cargo)?)
        .map_err(|error| Failure::new(format!("cargo metadata is not JSON: {error}")))?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    Ok(packages.iter().filter_map(|package| package["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn the_members_of_this_workspace_are_found() {
        let names = members(&Places::find().unwrap()).unwrap();
        assert!(names.contains(&"headwater-net".to_owned()), "{names:?}");
        assert!(names.contains(&"xtask".to_owned()), "{names:?}");
    }
}
