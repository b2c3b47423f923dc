//! Why an upstream gave no response.

use std::error::Error;
use std::sync::Arc;

use hyper_util::client::legacy;

use crate::BodyError;

/// Why an upstream gave no response. What breaks off after the headers is a
/// [`BodyError`] of the response's body instead.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The description of the upstream is wrong; nothing was sent.
    #[error("the upstream cannot be used: {0}")]
    Config(Arc<str>),
    /// The request cannot be expressed to the upstream; nothing was sent.
    #[error("the request cannot be sent: {0}")]
    Request(Arc<str>),
    /// No connection: refused, unreachable, no such name, a certificate that is not trusted, or no
    /// end of the handshake within the connect timeout. Nothing was sent.
    #[error("cannot connect to the upstream: {0}")]
    Connect(Arc<str>),
    /// No response headers within the first-byte timeout.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The connection or stream broke before the response's headers were complete.
    #[error("the upstream broke off: {0}")]
    Reset(Arc<str>),
    /// What the upstream sent is not HTTP.
    #[error("the upstream's answer is not valid: {0}")]
    Invalid(Arc<str>),
    /// The request's own body failed while it was being sent.
    #[error("the request's body failed: {0}")]
    RequestBody(BodyError),
}

impl UpstreamError {
    /// Whether sending an idempotent request again, here or to another upstream, may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Timeout | Self::Reset(_) | Self::Invalid(_))
    }
}

impl From<legacy::Error> for UpstreamError {
    fn from(error: legacy::Error) -> Self {
        let said: Arc<str> = chain(&error).into();
        if error.is_connect() {
            return Self::Connect(said);
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(body) = cause.downcast_ref::<BodyError>() {
                return Self::RequestBody(body.clone());
            }
            if let Some(cause) = cause.downcast_ref::<hyper::Error>() {
                if cause.is_parse() {
                    return Self::Invalid(said);
                }
                if cause.is_timeout() {
                    return Self::Timeout;
                }
            }
            source = cause.source();
        }
        Self::Reset(said)
    }
}

/// The causes of an error in one line, the outermost, which says nothing, left out.
fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
