//! Where things lie: the checkout, and the cache folder outside it that holds all that is built.

use std::env;
use std::path::{Path, PathBuf};

use crate::cli::{Failure, Outcome};

/// The folders every step works in, all absolute.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// `$XDG_CACHE_HOME/headwater`, else `~/.cache/headwater`.
    pub(crate) cache: PathBuf,
    /// Cargo's target folder: `$CARGO_TARGET_DIR`, else `target` in the cache folder.
    pub(crate) target: PathBuf,
}

impl Places {
    /// Reads them from the environment.
    pub(crate) fn find() -> Outcome<Self> {
        // As cargo says now, before what it said when this was built: a checkout may have moved
        // since, with its target folder left where it was.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().unwrap_or(Path::new("/"));
        let here = env::current_dir().unwrap_or_else(|_| root.to_path_buf());
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| Failure::new("neither HOME nor XDG_CACHE_HOME says where to build"))?
            .join("headwater");
        let target = set("CARGO_TARGET_DIR").map_or_else(|| cache.join("target"), |p| here.join(p));
        Ok(Self { root: root.to_path_buf(), cache, target })
    }

    /// Where the pages' sources are.
    pub(crate) fn web(&self) -> PathBuf {
        self.root.join("web")
    }

    /// Where the built pages are.
    pub(crate) fn pages(&self) -> PathBuf {
        self.root.join("web/dist")
    }
}
