//! From a kept response to an answer: preconditions (RFC 9110 §13), ranges (§14), `Age` and
//! `Cache-Status`.

mod multipart;

use std::ops::Range;

use headwater_net::conditional::{self, Outcome};
use headwater_net::range::{self, Parts};
use headwater_net::{Body, Problem};
use http::header::Entry;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::object::Head;
use crate::policy::freshness;
use crate::status::CACHE_STATUS;
use multipart::Boundary;

/// What is sent of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All of it.
    Whole,
    /// Its fields alone, for HEAD (RFC 9111 §4: a stored GET answers HEAD).
    Fields,
    /// These bytes, end exclusive, as 206.
    Part(Range<u64>),
    /// These, as 206 of several parts.
    Parts(Vec<Range<u64>>),
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Chooses the shape for a request. `len` is the body's length; where it is not known, no range
/// is chosen.
pub(crate) fn shape(head: &Head, len: Option<u64>, method: &Method, request: &HeaderMap) -> Shape {
    if head.status.is_success() {
        let dated = || freshness::date(&head.headers, &header::DATE);
        match conditional::evaluate_dated(method, request, head.validators(), dated) {
            Outcome::Proceed => {}
            Outcome::NotModified => return Shape::NotModified,
            Outcome::Failed => return Shape::Failed,
        }
    }
    if method == Method::HEAD {
        return Shape::Fields;
    }
    let Some(len) = len else { return Shape::Whole };
    let Some(asked) = range_of(head, request) else { return Shape::Whole };
    match range::select_parts(Some(asked), len) {
        Parts::Whole => Shape::Whole,
        Parts::Parts(parts) => match <[Range<u64>; 1]>::try_from(parts) {
            Ok([part]) => Shape::Part(part),
            Err(parts) => Shape::Parts(parts),
        },
        Parts::Unsatisfiable => Shape::Unsatisfiable,
    }
}

/// The request's `Range`, if it is to be obeyed: the response is a 200, and `If-Range` is absent
/// or names it (RFC 9110 §13.1.5).
pub(crate) fn range_of<'a>(head: &Head, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let asked = request.get(header::RANGE)?;
    if head.status != StatusCode::OK {
        return None;
    }
    let dated = freshness::date(&head.headers, &header::DATE);
    conditional::range_applies(request, head.validators(), dated).then_some(asked)
}

/// What is put into the fields of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// Our member of `Cache-Status`.
    pub(crate) cache_status: HeaderValue,
    /// `Age`; none in the answer to the very request that fetched it, unless a cache before us
    /// had it (RFC 9111 §5.1).
    pub(crate) age: Option<HeaderValue>,
}

/// Builds the answer. `len` is as for [`shape`]; `body` gives the bytes of a range of the body, or
/// all of it, and is asked once for each part that is sent.
pub(crate) fn build(
    head: &Head,
    len: Option<u64>,
    shape: &Shape,
    marks: Marks,
    mut body: impl FnMut(Option<Range<u64>>) -> Body,
) -> Response<Body> {
    let mut headers = head.headers.clone();
    match marks.age {
        Some(age) => headers.insert(header::AGE, age),
        None => headers.remove(header::AGE),
    };
    if let Entry::Occupied(mut members) = headers.entry(CACHE_STATUS)
        && let Some(last) = members.iter_mut().last()
    {
        *last = marks.cache_status;
    }
    let (status, body) = match shape {
        Shape::Whole => (head.status, body(None)),
        Shape::Fields => (head.status, Body::empty()),
        Shape::Part(part) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            headers.insert(header::CONTENT_RANGE, range::content_range(part, len));
            (StatusCode::PARTIAL_CONTENT, body(Some(part.clone())))
        }
        Shape::Parts(parts) => {
            let boundary = Boundary::new();
            let own = headers.insert(header::CONTENT_TYPE, boundary.content_type());
            let len = len.unwrap_or_default();
            let body =
                multipart::body(&boundary, parts, len, own.as_ref(), |part| body(Some(part)));
            if let Some(len) = body.exact_len() {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
            }
            (StatusCode::PARTIAL_CONTENT, body)
        }
        Shape::NotModified => {
            drop_content(&mut headers);
            (StatusCode::NOT_MODIFIED, Body::empty())
        }
        Shape::Failed => {
            let detail = "what is stored is not what the request's precondition names";
            refusal(&mut headers, StatusCode::PRECONDITION_FAILED, detail)
        }
        Shape::Unsatisfiable => {
            let detail = "the range lies outside of what there is";
            let refused = refusal(&mut headers, StatusCode::RANGE_NOT_SATISFIABLE, detail);
            let value = range::unsatisfied_range(len.unwrap_or_default());
            headers.insert(header::CONTENT_RANGE, value);
            refused
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer about the request and not about the object: a problem document, and no lifetime of the
/// object's. Its validators and who may read it stay.
fn refusal(headers: &mut HeaderMap, status: StatusCode, detail: &str) -> (StatusCode, Body) {
    drop_content(headers);
    for name in [header::CACHE_CONTROL, header::EXPIRES, header::AGE] {
        headers.remove(name);
    }
    let (problem, body) = Problem::new(status).detail(detail).into_response().into_parts();
    for (name, value) in &problem.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    (status, body)
}

/// Takes off what describes a body that is not sent (RFC 9110 §15.4.5).
fn drop_content(headers: &mut HeaderMap) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_RANGE,
    ] {
        headers.remove(name);
    }
}
