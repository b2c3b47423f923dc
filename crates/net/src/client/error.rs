//! Why an upstream gave no response.

use std::error::Error;
use std::io;
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
    /// No connection, and why. Nothing was sent.
    #[error("cannot connect to the upstream: {1}")]
    Connect(Unconnected, Arc<str>),
    /// No response headers within the first-byte timeout.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The connection or stream broke before the response's headers were complete.
    #[error("the upstream broke off: {0}")]
    Reset(Arc<str>),
    /// What the upstream sent is not HTTP.
    #[error("the upstream's answer is not valid: {0}")]
    Invalid(Arc<str>),
    /// The answer is larger than is taken ([`UpstreamBuilder::max_body`](super::UpstreamBuilder::max_body)).
    #[error("the upstream's answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// It redirects to where it must not, or once too often.
    #[error("the upstream redirects to where it is not followed")]
    Redirect,
    /// The request's own body failed while it was being sent.
    #[error("the request's body failed: {0}")]
    RequestBody(BodyError),
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unconnected {
    /// Its name could not be resolved.
    Name,
    /// It refused.
    Refused,
    /// There is no way to it.
    Unroutable,
    /// No end of the handshakes within the connect timeout.
    Timeout,
    /// Its certificate is not trusted.
    Certificate,
    /// It ended the TLS handshake by an alert.
    Alert,
    /// The TLS handshake failed otherwise.
    Tls,
    /// Anything else.
    Other,
}

impl Unconnected {
    /// By the first cause that tells.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(this) = cause {
            if let Some(known) = Self::known(this) {
                return known;
            }
            cause = this.source();
        }
        Self::Other
    }

    fn known(error: &(dyn Error + 'static)) -> Option<Self> {
        use io::ErrorKind as Io;
        if error.is::<Unresolved>() {
            return Some(Self::Name);
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(match tls {
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                    Self::Certificate
                }
                rustls::Error::AlertReceived(_) => Self::Alert,
                _ => Self::Tls,
            });
        }
        let io = error.downcast_ref::<io::Error>()?;
        // What an I/O error wraps is not its source: that is the source of what it wraps.
        if let Some(known) = io.get_ref().and_then(|inner| Self::known(inner)) {
            return Some(known);
        }
        match io.kind() {
            Io::ConnectionRefused => Some(Self::Refused),
            Io::TimedOut => Some(Self::Timeout),
            Io::NetworkUnreachable | Io::HostUnreachable | Io::AddrNotAvailable => {
                Some(Self::Unroutable)
            }
            _ => None,
        }
    }
}

/// A name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(pub(super) io::Error);

impl UpstreamError {
    /// Whether sending an idempotent request again, here or to another upstream, may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect(..) | Self::Timeout | Self::Reset(_) | Self::Invalid(_))
    }
}

impl From<legacy::Error> for UpstreamError {
    fn from(error: legacy::Error) -> Self {
        let said: Arc<str> = chain(&error).into();
        if error.is_connect() {
            return Self::Connect(Unconnected::of(&error), said);
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
