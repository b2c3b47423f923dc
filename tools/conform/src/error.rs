//! Why there is no report at all.

use crate::fetch::FetchError;

/// What keeps a check from beginning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is neither a URL nor the path of a file.
    #[error("`{0}` is neither a URL nor a file")]
    Place(String),
    /// The manifest could not be fetched.
    #[error("{0}: {1}")]
    Fetch(String, #[source] FetchError),
    /// What came is neither a playlist nor an MPD.
    #[error("{0} is neither an HLS playlist nor a DASH MPD")]
    Unknown(String),
    /// `--only` named a rule that is none.
    #[error("there is no rule `{0}`; docs/conform.md lists them")]
    Rule(String),
}
