//! Answers that need nobody behind: a redirect, a text, a refusal.

use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_cache::key::{host_of, name_of};
use headwater_net::{Body, Problem};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::Answer;
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;

/// What is answered, whatever is asked.
#[derive(Clone, Debug)]
pub struct FixedAnswer {
    status: StatusCode,
    location: Option<Box<str>>,
    body: Option<(Bytes, HeaderValue)>,
    detail: Option<&'static str>,
    by: RefusedBy,
}

impl FixedAnswer {
    /// The status alone; of an error, with a problem document (RFC 9457).
    pub const fn new(status: StatusCode) -> Self {
        Self { status, location: None, body: None, detail: None, by: RefusedBy::Answer }
    }

    /// Where to go instead (RFC 9110 §10.2.2). `{host}` stands for the host of the request, without its
    /// port, and `{target}` for its path and query: `https://{host}{target}`.
    #[must_use]
    pub fn location(mut self, location: &str) -> Self {
        self.location = Some(location.into());
        self
    }

    /// What the problem document of an error says.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Who refuses, where it is an error; by default its route's answer.
    #[must_use]
    pub const fn refused_by(mut self, by: RefusedBy) -> Self {
        self.by = by;
        self
    }

    /// A body, and what it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>, content_type: HeaderValue) -> Self {
        self.body = Some((body.into(), content_type));
        self
    }

    /// The answer to a request for `uri` with these fields.
    fn to(&self, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        let mut response = match &self.body {
            Some((body, content_type)) => {
                let mut response = Response::new(Body::from(body.clone()));
                response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
                response
            }
            None if self.status.as_u16() >= 400 => {
                let problem = Problem::new(self.status);
                self.detail.map_or(problem.clone(), |detail| problem.detail(detail)).into_response()
            }
            None => Response::new(Body::Empty),
        };
        *response.status_mut() = self.status;
        if self.status.as_u16() >= 400 {
            self.by.mark(&mut response);
        }
        if let Some(location) = &self.location {
            let target = uri.path_and_query().map_or("/", |target| target.as_str());
            let host = std::str::from_utf8(name_of(host_of(uri, headers))).unwrap_or_default();
            let location = location.replace("{host}", host).replace("{target}", target);
            // What a host and a target hold, a field may hold.
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
        }
        response
    }
}

/// Gives requests the answer of their route, where that has [one](RoutePolicy::answer); others go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedLayer;

impl<S> Layer<S> for FixedLayer {
    type Service = Fixed<S>;

    fn layer(&self, inner: S) -> Fixed<S> {
        Fixed { inner }
    }
}

/// The service of [`FixedLayer`].
#[derive(Clone, Debug)]
pub struct Fixed<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for Fixed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Answer<S::Future> {
        match RoutePolicy::of(request.extensions()).and_then(|policy| policy.answer.as_ref()) {
            Some(answer) => Answer::ready(answer.to(request.uri(), request.headers())),
            None => Answer::of(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn location(answer: &FixedAnswer, uri: &str, host: Option<&str>) -> String {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(()).unwrap();
        let response = answer.to(request.uri(), request.headers());
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_redirect_keeps_host_path_and_query() {
        let answer = FixedAnswer::new(StatusCode::PERMANENT_REDIRECT);
        let answer = answer.location("https://{host}{target}");
        assert_eq!(location(&answer, "/a?b=c", Some("h.example:8080")), "https://h.example/a?b=c");
        assert_eq!(location(&answer, "http://[::1]:80/", None), "https://[::1]/");
    }

    #[test]
    fn an_error_without_a_body_is_a_problem_document() {
        let uri = Uri::from_static("/a");
        let response = FixedAnswer::new(StatusCode::GONE).to(&uri, &HeaderMap::new());
        assert_eq!(response.status(), 410);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let text =
            FixedAnswer::new(StatusCode::OK).body("ok", HeaderValue::from_static("text/plain"));
        assert_eq!(text.to(&uri, &HeaderMap::new()).headers()["content-type"], "text/plain");
    }
}
