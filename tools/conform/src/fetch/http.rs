//! Presentations on a server: reqwest, with bounds on time and size.
//!
//! gzip is undone here and not by the client, so that a rule can ask whether it was there.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Certificate, Client, StatusCode, redirect};

use super::{Answer, Fetch, FetchError, Url, part};

const MAX_REDIRECTS: u32 = 10;

/// How servers are asked.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The longest that one resource may take, from the request to its last byte.
    pub timeout: Duration,
    /// Takes any certificate.
    pub insecure: bool,
    /// Certificates, as PEM, to trust besides those of the system.
    pub authorities: Option<Vec<u8>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), insecure: false, authorities: None }
    }
}

/// Reads from servers.
pub struct Http {
    client: Client,
    runtime: tokio::runtime::Runtime,
    redirects: Arc<AtomicU32>,
}

impl Http {
    /// A client with a runtime of its own: checks run one after the other.
    pub fn new(options: &HttpOptions) -> Result<Self, FetchError> {
        let failed = |error: String| FetchError::Unreachable(error);
        let redirects = Arc::new(AtomicU32::new(0));
        let counted = redirects.clone();
        let follow = redirect::Policy::custom(move |attempt| {
            if counted.fetch_add(1, Ordering::Relaxed) >= MAX_REDIRECTS {
                return attempt.error("too many redirects");
            }
            attempt.follow()
        });
        let mut client = Client::builder()
            .user_agent(concat!("headwater-conform/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            .redirect(follow)
            .tls_danger_accept_invalid_certs(options.insecure);
        if let Some(pem) = &options.authorities {
            let certificates =
                Certificate::from_pem_bundle(pem).map_err(|error| failed(error.to_string()))?;
            client = client.tls_certs_merge(certificates);
        }
        let client = client.build().map_err(|error| failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, runtime, redirects })
    }

    async fn ask(
        &self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        if let Some(range) = &range {
            let last = range.end.saturating_sub(1);
            request = request.header(RANGE, format!("bytes={}-{last}", range.start));
        }
        let mut response =
            request.send().await.map_err(|error| FetchError::Unreachable(causes(&error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status(status.as_u16()));
        }
        let header = |name| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let content_type = header(CONTENT_TYPE);
        let gzipped = header(CONTENT_ENCODING).is_some_and(|coding| coding.contains("gzip"));
        let total = header(CONTENT_RANGE)
            .and_then(|range| range.rsplit('/').next().and_then(|total| total.parse().ok()));
        let mut body = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| FetchError::Unreachable(causes(&error)))?
        {
            if body.len() + chunk.len() > limit {
                return Err(FetchError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        let mut bytes = body.freeze();
        if gzipped {
            bytes = inflate(&bytes, limit)?;
        }
        if let Some(range) = range {
            let wanted = range.end - range.start;
            match status {
                StatusCode::PARTIAL_CONTENT if bytes.len() as u64 == wanted => {}
                StatusCode::PARTIAL_CONTENT => {
                    let what = format!("{} bytes instead of {wanted}", bytes.len());
                    return Err(FetchError::Range(what));
                }
                _ => bytes = part(&bytes, Some(range))?,
            }
        }
        Ok(Answer { bytes, content_type, gzipped: Some(gzipped), redirects: 0, total })
    }
}

impl Fetch for Http {
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        self.redirects.store(0, Ordering::Relaxed);
        let answer = self.runtime.block_on(self.ask(url, range, limit))?;
        Ok(Answer { redirects: self.redirects.load(Ordering::Relaxed), ..answer })
    }
}

fn inflate(bytes: &Bytes, limit: usize) -> Result<Bytes, FetchError> {
    let mut out = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]).take(limit as u64 + 1);
    reader
        .read_to_end(&mut out)
        .map_err(|error| FetchError::Unreachable(format!("gzip: {error}")))?;
    if out.len() > limit {
        return Err(FetchError::TooLarge(limit));
    }
    Ok(out.into())
}

/// An error with what caused it: reqwest's own words stop at "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
