//! What goes wrong, as HTTP says it: the one place where problems are made.

use std::fmt::Write as _;

use headwater_net::Problem;
use http::StatusCode;

use crate::assets::{DescriptorError, FindError};
use crate::error::Error;
use crate::presentation::Absent;
use crate::query::QueryError;
use crate::source::{IndexError, SourceError};

/// Why a request has no proper answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The path names nothing, whatever the assets.
    UnknownPath,
    /// A query parameter has a value that it cannot have.
    Query(QueryError),
    /// There is no asset of that name.
    UnknownAsset,
    /// The asset has no such resource, or not in that version.
    Absent(Absent),
    /// A source (counted from 0, where there are several) cannot be packaged.
    Unusable(Option<usize>, Error),
    /// What describes the asset is wrong.
    Described(DescriptorError),
    /// A source could not be read.
    Source(SourceError),
    /// Bytes of an immutable URL are no more: the source was changed under it.
    Replaced,
    /// More is asked for than is allowed at a time.
    Busy,
    /// More segments are being sent than is allowed at a time.
    Crowded,
    /// Building the index took too long.
    TimedOut,
    /// The index is being built, and what has been done of it is not lost.
    Preparing,
    /// A precondition of the request is not met.
    Precondition,
}

impl Fault {
    /// The fault of building an index from one of `sources` sources.
    pub(super) fn indexing(error: IndexError, position: usize, sources: usize) -> Self {
        match error {
            IndexError::Unusable(error) => Self::Unusable((sources > 1).then_some(position), error),
            IndexError::Source(error) => Self::Source(error),
            IndexError::Unfinished { fragments: 0 } => Self::TimedOut,
            IndexError::Unfinished { .. } => Self::Preparing,
        }
    }

    /// The fault of reading a segment whose index was good: other bytes than those that the URL's
    /// version means are gone, not unreadable.
    pub(super) fn after_reading(error: SourceError) -> Self {
        match error {
            SourceError::Changed | SourceError::Truncated | SourceError::NotFound => Self::Replaced,
            SourceError::Unfit(_) | SourceError::Io(_) => Self::Source(error),
        }
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<Absent> for Fault {
    fn from(absent: Absent) -> Self {
        Self::Absent(absent)
    }
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<FindError> for Fault {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Source(error) => Self::Source(error),
            FindError::Descriptor(error) => Self::Described(error),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let new = Problem::new;
        match fault {
            Fault::UnknownPath => new(StatusCode::NOT_FOUND).detail("nothing has this path"),
            Fault::UnknownAsset => new(StatusCode::NOT_FOUND).detail("there is no such asset"),
            Fault::Query(error) => new(StatusCode::BAD_REQUEST).detail(error.to_string()),
            Fault::Absent(
                absent @ (Absent::NotFound | Absent::NoPictureFits | Absent::NoSoundFits),
            ) => new(StatusCode::NOT_FOUND).detail(absent.to_string()),
            Fault::Absent(Absent::Gone) | Fault::Replaced => {
                new(StatusCode::GONE).detail(Absent::Gone.to_string())
            }
            // It needs a little more of the recording.
            Fault::Unusable(_, error @ Error::NotYet) => {
                new(StatusCode::SERVICE_UNAVAILABLE).retry_after(1).detail(error.to_string())
            }
            // A fault of the program.
            Fault::Unusable(_, error @ Error::UnexpectedBytes) => {
                new(StatusCode::INTERNAL_SERVER_ERROR).detail(error.to_string())
            }
            Fault::Unusable(source, error) => {
                let mut detail = String::new();
                if let Some(position) = source {
                    // Writing into a String never fails.
                    let _ = write!(detail, "source {}: ", position + 1);
                }
                let _ = write!(detail, "{error}");
                new(StatusCode::UNPROCESSABLE_ENTITY)
                    .title("The asset cannot be packaged")
                    .detail(detail)
            }
            Fault::Described(error) => new(StatusCode::UNPROCESSABLE_ENTITY)
                .title("The asset's descriptor is wrong")
                .detail(error.to_string()),
            Fault::Source(SourceError::NotFound) => {
                new(StatusCode::NOT_FOUND).detail("there is no such asset")
            }
            Fault::Source(error @ (SourceError::Changed | SourceError::Truncated)) => {
                new(StatusCode::SERVICE_UNAVAILABLE).retry_after(1).detail(error.to_string())
            }
            Fault::Source(error @ (SourceError::Unfit(_) | SourceError::Io(_))) => {
                new(StatusCode::BAD_GATEWAY).detail(error.to_string())
            }
            Fault::Crowded => new(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(1)
                .detail("too many segments are being sent"),
            Fault::Busy => new(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(1)
                .detail("too many assets are being prepared"),
            Fault::Preparing => new(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(2)
                .detail("the asset is being prepared"),
            Fault::TimedOut => new(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(5)
                .detail("preparing the asset took too long"),
            Fault::Precondition => new(StatusCode::PRECONDITION_FAILED),
        }
    }
}
