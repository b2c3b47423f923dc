//! What is wrong with a file or a variable of the environment that somebody names: a configuration, whose
//! reader then adds where, or a command line.

use std::fmt;
use std::path::Path;

/// See the module. Displayed, it is one sentence.
#[derive(Debug)]
pub(super) struct Named {
    /// The file or the variable as it was named.
    pub(super) value: String,
    /// Which key's purpose it does not serve; `None` where it would serve none.
    pub(super) key: Option<&'static str>,
    says: String,
}

impl Named {
    pub(super) fn new(value: impl fmt::Display, says: impl fmt::Display) -> Self {
        Self { value: value.to_string(), key: None, says: says.to_string() }
    }

    /// For what this key names it, it is no good.
    pub(super) fn under(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Of a file.
    pub(super) fn file(path: &Path, says: impl fmt::Display) -> Self {
        Self::new(path.display(), says)
    }

    /// Of a file that was read and is no good, for the reason that is told.
    pub(super) fn unfit(path: &Path, why: impl fmt::Display) -> Self {
        Self::file(path, format_args!("cannot use {}: {why}", path.display()))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl std::error::Error for Named {}

/// Reads a file that somebody names.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Named> {
    std::fs::read(path).map_err(|error| Named::unfit(path, error))
}
