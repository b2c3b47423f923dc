//! Getting what a presentation refers to: from HTTP, from files, or from memory in tests.

mod file;
mod http;
mod memory;

use std::ops::Range;

use bytes::Bytes;
pub use reqwest::Url;

pub use file::Files;
pub use http::{Http, HttpOptions};
pub use memory::Memory;

/// An answer, decompressed.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The whole body, or the range that was asked for.
    pub bytes: Bytes,
    /// `Content-Type`, where the answer came over HTTP and had one.
    pub content_type: Option<String>,
    /// Whether the body came gzipped; `None` where there is no HTTP between.
    pub gzipped: Option<bool>,
    /// How many redirects led here.
    pub redirects: u32,
    /// The size of the whole resource, where a range was asked for and the answer told it.
    pub total: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// Nobody answered, or not in time.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// An answer that is none.
    #[error("status {0}")]
    Status(u16),
    /// The body is larger than what is read of such a resource.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// A range was asked for and something else came.
    #[error("the range was not obeyed: {0}")]
    Range(String),
    /// No fetcher knows the scheme.
    #[error("there is no way to fetch a URL of the scheme `{0}`")]
    Scheme(String),
}

/// What resources are read by.
pub trait Fetch {
    /// Reads a resource, or the bytes of `range` in it, and never more than `limit` bytes.
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError>;
}

/// Reads from HTTP and from files, by the scheme of each URL.
pub struct Web {
    http: Http,
    files: Files,
}

impl Web {
    /// A fetcher for `http`, `https` and `file` URLs.
    pub fn new(options: &HttpOptions) -> Result<Self, FetchError> {
        Ok(Self { http: Http::new(options)?, files: Files })
    }
}

impl Fetch for Web {
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        match url.scheme() {
            "http" | "https" => self.http.get(url, range, limit),
            "file" => self.files.get(url, range, limit),
            other => Err(FetchError::Scheme(other.to_owned())),
        }
    }
}

/// The part of a whole body that `range` names.
fn part(whole: &Bytes, range: Option<Range<u64>>) -> Result<Bytes, FetchError> {
    let Some(range) = range else { return Ok(whole.clone()) };
    let size = whole.len() as u64;
    if range.start > range.end || range.end > size {
        let what = format!("{}-{} of {size} bytes", range.start, range.end.saturating_sub(1));
        return Err(FetchError::Range(what));
    }
    Ok(whole.slice(range.start as usize..range.end as usize))
}
