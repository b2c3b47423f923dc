//! What can go wrong before a cache runs; once it runs, it answers instead.

use std::io;
use std::path::PathBuf;

/// Why a cache could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of a disk tier belongs to another: end that one, or take another folder.
    #[error("the cache folder {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of a disk tier cannot be used: look at its place, its permissions and its disk.
    #[error("cannot use the cache folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
