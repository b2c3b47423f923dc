//! Where players post reports of their own (CTA-5004-A, event mode): dictionaries, one on a line.
//!
//! Pages may post from the origins that are allowed (the Fetch standard's CORS protocol), without
//! credentials. What is too long is refused before it is read to its end; a line that is none is
//! passed over and counted. A message of which nothing can be used is answered 400.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Problem};
use headwater_proto::cmcd::{MEDIA_TYPE, Reports};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;

use crate::answer::wrong_method;
use crate::refusals::RefusedBy;
use crate::sessions::{By, Sessions};

/// The longest message of reports, in bytes.
pub const MAX_MESSAGE: u64 = 64 << 10;

/// Types that a message may have: the standard's, that of its drafts, and what a page's beacon sends.
const TYPES: [&str; 3] = [MEDIA_TYPE, "text/cmcd", "text/plain"];

/// The path, and who may post there.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) path: Box<str>,
    /// All, where it names none.
    pub(super) origins: Arc<[HeaderValue]>,
}

impl Route {
    /// Answers a request for the path.
    pub(super) fn take<A>(
        &self,
        sessions: Sessions,
        request: Request<A>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>>
    where
        A: HttpBody<Data = Bytes> + Send + 'static,
        A::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let allowed = self.allowed(&parts.headers);
        let body = Body::stream(body);
        Box::pin(async move {
            let mut response = match parts.method {
                Method::POST => match read(&parts.headers, body).await {
                    Ok(reports) => hear(&sessions, &reports),
                    Err(problem) => refused(problem),
                },
                Method::OPTIONS => empty(),
                _ => wrong_method(HeaderValue::from_static("POST, OPTIONS")),
            };
            let headers = response.headers_mut();
            // A problem says that all may read it; of this one that is the operator's choice.
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = allowed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                if parts.method == Method::OPTIONS {
                    for (name, value) in [
                        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
                        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
                        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
                    ] {
                        headers.insert(name, HeaderValue::from_static(value));
                    }
                }
            }
            response
        })
    }

    /// What is said of who may read the answer.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return Some(HeaderValue::from_static("*"));
        }
        headers.get(header::ORIGIN).filter(|origin| self.origins.contains(origin)).cloned()
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Reports, Problem> {
    let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !TYPES.iter().any(|known| media.eq_ignore_ascii_case(known.as_bytes())) {
        let detail = "reports are of the type application/cmcd";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail));
    }
    let body = body.collect(MAX_MESSAGE).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail("reports have at most 64 KiB")
    })?;
    let bytes = body.to_bytes();
    let text = std::str::from_utf8(&bytes);
    let text =
        text.map_err(|_| Problem::new(StatusCode::BAD_REQUEST).detail("reports are text"))?;
    Ok(Reports::read(text))
}

/// Tells the sessions that are served here.
fn hear(sessions: &Sessions, reports: &Reports) -> Response<Body> {
    let counts = sessions.counts();
    counts.refused(By::Report, reports.refused);
    for told in &reports.read {
        let heard = told.session.as_deref().is_some_and(|id| {
            sessions.look(sessions.key_of_id(id), |session, now, happened| {
                session.told(told, true, now, |what| happened.push(what));
            })
        });
        if heard {
            counts.read(By::Report);
        } else {
            counts.unknown(By::Report);
        }
    }
    if reports.read.is_empty() {
        let detail = "no line of it is a report: a dictionary of structured fields with the key e";
        return refused(Problem::new(StatusCode::BAD_REQUEST).detail(detail));
    }
    empty()
}

fn refused(problem: Problem) -> Response<Body> {
    let mut response = problem.into_response();
    RefusedBy::Reports.mark(&mut response);
    response
}

fn empty() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
