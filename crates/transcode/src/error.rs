//! What can go wrong, one variant for each thing a caller can do about it.
//!
//! Messages are lower-case, carry no path and no file content, and are complete sentences for a
//! command line: the caller adds the name of the file it asked about.

use std::io;

/// The cause in FFmpeg's or the system's own words.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Everything this crate reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input does not exist.
    #[error("no such file")]
    NotFound,
    /// The file system refused: permission, no space, not a regular file.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted, as an infinitive: "open the input".
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The path is not UTF-8 or holds a NUL; FFmpeg takes neither.
    #[error("the file name is not UTF-8")]
    FileName,
    /// The bytes are no container this crate accepts, or are damaged beyond reading.
    #[error("not a media file, or one that is damaged or of an unknown format")]
    NotMedia,
    /// A container was read, but FFmpeg has a decoder for none of its streams.
    #[error("no audio or video stream that can be decoded")]
    NoDecodableStream,
    /// A rendition was asked of a file without moving pictures.
    #[error("no video stream that can be decoded")]
    NoVideo,
    /// The request itself makes no sense; says which field and its bounds.
    #[error("{0}")]
    Spec(&'static str),
    /// The FFmpeg this was linked with lacks an encoder or filter.
    #[error("this FFmpeg lacks {0}")]
    Missing(&'static str),
    /// The timecode cannot be drawn.
    #[error("no font to draw the timecode with: install the package fonts-dejavu-core")]
    NoFont,
    /// The progress callback asked to stop. Nothing was left under the final name.
    #[error("stopped on request")]
    Stopped,
    /// FFmpeg failed at something that should have worked.
    #[error("FFmpeg cannot {doing}: {source}")]
    Ffmpeg {
        /// What was attempted, as an infinitive: "encode a picture".
        doing: &'static str,
        /// FFmpeg's answer.
        source: Cause,
    },
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names what was attempted when a call into FFmpeg or the system fails.
pub(crate) trait Doing<T> {
    /// Turns the error into an [`Error`] that says what could not be done.
    fn doing(self, doing: &'static str) -> Result<T>;
}

impl<T> Doing<T> for Result<T, ffmpeg_next::Error> {
    fn doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|error| Error::Ffmpeg { doing, source: Box::new(error) })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|source| Error::Io { doing, source })
    }
}
