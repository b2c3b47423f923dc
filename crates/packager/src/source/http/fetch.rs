//! One range of one file, by as many attempts as it takes.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::range::parse_content_range;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Response, Url};
use tokio::time::timeout;

use super::{HttpStore, NO_TAG, SourceError, State};
use crate::units::ByteRange;

/// Why an attempt failed.
enum Failure {
    /// It would fail again.
    Final(SourceError),
    /// It may pass; and how long the server asks to be left alone.
    Passing(SourceError, Option<Duration>),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Final(error)
    }
}

impl HttpStore {
    /// The bytes of a range as they came, of the state that is known, if one is; and the state.
    pub(super) async fn fetch(
        &self,
        url: &Url,
        range: ByteRange,
        known: Option<&State>,
    ) -> Result<(State, Vec<Bytes>), SourceError> {
        let fetching = self.attempts(url, range, known);
        let fetched = match timeout(self.inner.options.total_timeout, fetching).await {
            Ok(fetched) => fetched,
            Err(_) => Err(TIMED_OUT),
        };
        if fetched.is_err() {
            self.inner.metrics.failures.inc();
        }
        fetched
    }

    async fn attempts(
        &self,
        url: &Url,
        range: ByteRange,
        known: Option<&State>,
    ) -> Result<(State, Vec<Bytes>), SourceError> {
        let mut backoff = self.inner.backoff();
        let mut state = known.cloned();
        let mut pieces = Vec::new();
        let mut received = 0;
        let mut attempt = 0;
        loop {
            let left = ByteRange { start: range.start + received, len: range.len - received };
            let failure = self.attempt(url, left, &mut state, &mut pieces).await.err();
            received = pieces.iter().map(|piece: &Bytes| piece.len() as u64).sum();
            match (failure, state.take()) {
                (None, Some(state)) => return Ok((state, pieces)),
                // An attempt that succeeds has seen a state.
                (None, None) => return Err(NO_TAG),
                (Some(Failure::Final(error)), _) => return Err(error),
                (Some(Failure::Passing(error, asked)), seen) => {
                    state = seen;
                    if attempt >= self.inner.options.retries {
                        return Err(error);
                    }
                    self.inner.metrics.retries.inc();
                    tokio::time::sleep(backoff.after(attempt, asked)).await;
                    attempt += 1;
                }
            }
        }
    }

    /// One request; what comes of its body is kept even where it breaks off.
    async fn attempt(
        &self,
        url: &Url,
        range: ByteRange,
        state: &mut Option<State>,
        pieces: &mut Vec<Bytes>,
    ) -> Result<(), Failure> {
        let inner = &self.inner;
        // The semaphore is never closed.
        let _permit = inner.permits.acquire().await.map_err(|_| TIMED_OUT)?;
        inner.metrics.requests.inc();
        let mut request = inner
            .client
            .get(url.clone())
            .headers(inner.options.headers.clone())
            .header(header::RANGE, format!("bytes={}-{}", range.start, range.end() - 1))
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(state) = state {
            request = request.header(header::IF_MATCH, state.etag.clone());
        }
        let mut response = match timeout(inner.options.first_byte_timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::Passing(kind(&error), None)),
            Err(_) => return Err(Failure::Passing(TIMED_OUT, None)),
        };
        let seen = check(&response, range, state.as_ref())?;
        *state = Some(seen);
        let mut left = range.len;
        while left > 0 {
            let piece = match timeout(inner.options.idle_timeout, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Err(Failure::Passing(BROKEN_OFF, None)),
                Ok(Err(error)) => return Err(Failure::Passing(kind(&error), None)),
                Err(_) => return Err(Failure::Passing(TIMED_OUT, None)),
            };
            inner.metrics.received_bytes.inc_by(piece.len() as u64);
            left = left.checked_sub(piece.len() as u64).ok_or(TOO_MUCH)?;
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        Ok(())
    }
}

/// The state that an answer is of, if it is the answer to this request.
fn check(response: &Response, range: ByteRange, known: Option<&State>) -> Result<State, Failure> {
    let headers = response.headers();
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE if known.is_some() => {
            return Err(SourceError::Changed.into());
        }
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(SourceError::Truncated.into()),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(SourceError::NotFound.into()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(SourceError::Io(ErrorKind::PermissionDenied).into());
        }
        status if status.is_redirection() => {
            return Err(SourceError::Unfit("its server sends us to another one").into());
        }
        status if status.is_success() => {
            // The whole of another state, perhaps; of the same one, the server knows no ranges.
            let other =
                known.is_some_and(|known| strong_tag(headers).as_ref() != Some(&known.etag));
            let unfit = SourceError::Unfit("its server answers no ranges");
            return Err(if other { SourceError::Changed } else { unfit }.into());
        }
        status if may_pass(status) => {
            return Err(Failure::Passing(SourceError::Io(ErrorKind::Other), asked(headers)));
        }
        _ => return Err(SourceError::Io(ErrorKind::Other).into()),
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(SourceError::Unfit("its server changes it on the way").into());
    }
    let etag = strong_tag(headers).ok_or(NO_TAG)?;
    let (part, size) = headers
        .get(header::CONTENT_RANGE)
        .and_then(parse_content_range)
        .and_then(|(part, size)| Some((part, size?)))
        .ok_or(SourceError::Unfit("its server does not say which range it sent"))?;
    let seen = State { etag, size };
    if known.is_some_and(|known| *known != seen) {
        return Err(SourceError::Changed.into());
    }
    if part.start != range.start || part.end != range.end() {
        return Err(SourceError::Unfit("its server sent another range").into());
    }
    Ok(seen)
}

/// An entity tag that promises equal bytes (RFC 9110 §8.8.1).
fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(header::ETAG)?;
    let bytes = tag.as_bytes();
    let strong = bytes.len() >= 2 && bytes.starts_with(b"\"") && bytes.ends_with(b"\"");
    strong.then(|| tag.clone())
}

/// Whether the same request may be answered a moment later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is passed over.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// What went wrong, without the URL.
fn kind(error: &reqwest::Error) -> SourceError {
    let kind = if error.is_timeout() {
        ErrorKind::TimedOut
    } else if error.is_connect() {
        ErrorKind::NotConnected
    } else {
        ErrorKind::ConnectionAborted
    };
    SourceError::Io(kind)
}

const TIMED_OUT: SourceError = SourceError::Io(ErrorKind::TimedOut);

const BROKEN_OFF: SourceError = SourceError::Io(ErrorKind::UnexpectedEof);

const TOO_MUCH: SourceError = SourceError::Unfit("its server sent more than was asked for");
