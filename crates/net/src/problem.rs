//! Errors as HTTP answers: problem documents (RFC 9457).

use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};

use crate::Body;

/// A problem document: what went wrong, in words a caller may see.
///
/// Details never hold paths, addresses or secrets: what is put in here reaches strangers.
#[derive(Clone, Debug)]
#[must_use = "a problem does nothing until it is turned into a response"]
pub struct Problem {
    status: StatusCode,
    title: Option<String>,
    detail: Option<String>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of the generic type `about:blank` with the given status.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, title: None, detail: None, retry_after: None }
    }

    /// Replaces the title, by default the status's reason phrase (RFC 9457 §4.2.1).
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a sentence about this occurrence (RFC 9457 §3.1.4).
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds `Retry-After` in seconds (RFC 9110 §10.2.3).
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer: `application/problem+json`, `Cache-Control: no-store`, and any origin may read
    /// it, so that a player's script sees the reason.
    pub fn into_response(self) -> Response<Body> {
        let title =
            self.title.as_deref().or(self.status.canonical_reason()).unwrap_or("Unknown status");
        let mut document = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
        });
        if let Some(detail) = self.detail {
            document["detail"] = detail.into();
        }
        let document = document.to_string();
        let length = HeaderValue::from(document.len());
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The detail, or where there is none the title: what a person at a terminal is told.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.detail.as_deref().or(self.title.as_deref());
        f.write_str(words.or(self.status.canonical_reason()).unwrap_or("unknown status"))
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn the_document_holds_status_title_and_detail() {
        let response = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail("the index is being built")
            .retry_after(2)
            .into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let body = response.into_body().collect(1000).await.unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["status"], 503);
        assert_eq!(json["title"], "Service Unavailable");
        assert_eq!(json["detail"], "the index is being built");
    }
}
