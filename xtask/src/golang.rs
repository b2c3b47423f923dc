//! Programs that tests need and that are written in Go: fetched through Go's module proxy at the
//! versions that a `go.mod` of ours pins and its `go.sum` proves, and built once into the cache
//! folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::{Failure, Outcome};
use crate::hash::Stamp;
use crate::places::Places;
use crate::setup::{self, Group};
use crate::{process, ui};

/// Programs of one module of Go, and what pins them.
pub(crate) struct Module {
    /// Of its folder, too.
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Our own module that needs it, file by file.
    pub(crate) pins: [(&'static str, &'static str); 3],
    /// Their packages.
    pub(crate) programs: &'static [&'static str],
}

impl Module {
    /// The folder with the programs, built where they are not there; other pins make another.
    pub(crate) fn build(&self, places: &Places) -> Outcome<PathBuf> {
        setup::ensure(places, &[Group::Test])?;
        let mut stamp = Stamp::new();
        for (_, text) in self.pins {
            stamp.field(text.as_bytes());
        }
        let folder = places.cache.join(format!("{}-{}", self.name, stamp.finish()));
        let there = |package: &&str| package.rsplit('/').next().map(|name| folder.join(name));
        if self.programs.iter().filter_map(there).all(|program| program.is_file()) {
            return Ok(folder);
        }
        let unfinished = folder.join("part");
        fs::create_dir_all(&unfinished).map_err(|error| Failure::file("make", &folder, &error))?;
        for (name, text) in self.pins {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|error| Failure::file("write", &file, &error))?;
        }
        ui::line(&format!("Building {}, {}", self.name, self.what));
        let mut go = Command::new("go");
        go.arg("build").arg("-o").arg(format!("{}/", unfinished.display())).args(self.programs);
        go.current_dir(&folder).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly");
        process::run(go.env("GOTOOLCHAIN", "local").env_remove("GOWORK"))?;
        for program in self.programs.iter().filter_map(there) {
            let Some(name) = program.file_name() else { continue };
            fs::rename(unfinished.join(name), &program)
                .map_err(|error| Failure::file("finish", &program, &error))?;
        }
        Ok(folder)
    }
}

/// The Go that is there, as in 1.24; `None` where it does not say.
pub(crate) fn version() -> Option<(u32, u32)> {
    let mut go = Command::new("go");
    read_version(&process::capture(go.args(["env", "GOVERSION"])).ok()?)
}

fn read_version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.trim().strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::read_version;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(read_version("go1.19.8\n"), Some((1, 19)));
        assert_eq!(read_version("go1.26rc1"), Some((1, 26)));
        assert_eq!(read_version("devel"), None);
        assert!(read_version("go1.19.8") < Some((1, 24)));
    }
}
