//! The rules every answer obeys, whatever the protocol: which answers have no body (RFC 9110
//! §6.4.1), that a body is never shorter or longer than its `Content-Length` (§8.6), and that an upstream's
//! version is none of its answer here.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::control::Busy;
use super::malformed::one_length;
use crate::{Body, BodyError, Problem};

/// Takes the body from an answer that must not have one, and tells the length of every other
/// where it is known: to HEAD, the length that GET would have. Gives the bytes of body that the
/// answer promises, if it does. An answer that says a length which is none becomes a 500: clients
/// would not agree on where it ends.
pub(super) fn settle(response: &mut Response<Body>, to_head: bool) -> Option<u64> {
    if response.version() > Version::HTTP_2 {
        // That of an upstream which gave this answer; hyper's HTTP/1.1 panics at it.
        *response.version_mut() = Version::HTTP_11;
    }
    let status = response.status();
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::Empty;
        return None;
    }
    let Ok(said) = one_length(response.headers_mut()) else {
        tracing::error!("a service gave an answer with a Content-Length that is none");
        *response = Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        return settle(response, to_head);
    };
    if status == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::Empty;
        return None;
    }
    let promised = match said {
        Some(said) => Some(said),
        None => response.body().exact_len().inspect(|&len| {
            // To HEAD, an empty body says nothing: services may leave it out themselves.
            if len > 0 || !to_head {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
            }
        }),
    };
    if to_head {
        *response.body_mut() = Body::Empty;
        return None;
    }
    promised
}

/// Whether the method is HEAD.
pub(super) fn is_head(method: &Method) -> bool {
    *method == Method::HEAD
}

/// A response's body under way: keeps its connection busy and holds it to the promised length.
pub(super) struct Outgoing {
    body: Body,
    length: Length,
    busy: Busy,
}

/// Compares what was promised with what comes.
pub(super) struct Length {
    promised: Option<u64>,
    sent: u64,
}

impl Length {
    pub(super) const fn new(promised: Option<u64>) -> Self {
        Self { promised, sent: 0 }
    }

    /// Counts data about to be sent.
    ///
    /// # Errors
    /// When it is more than was promised.
    pub(super) fn add(&mut self, len: usize) -> Result<(), BodyError> {
        self.sent += len as u64;
        match self.promised {
            Some(promised) if self.sent > promised => Err(BodyError::Source(
                format!("more than the {promised} bytes that were promised").into(),
            )),
            _ => Ok(()),
        }
    }

    /// What is still to come, where a length was promised.
    pub(super) fn left(&self) -> Option<u64> {
        self.promised.map(|promised| promised.saturating_sub(self.sent))
    }

    /// Whether all that was promised has been sent.
    pub(super) fn is_met(&self) -> bool {
        self.promised.is_none_or(|promised| promised == self.sent)
    }

    /// At the body's end.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] when less came than was promised.
    pub(super) fn end(&self) -> Result<(), BodyError> {
        match self.promised {
            Some(expected) if !self.is_met() => {
                Err(BodyError::Truncated { expected, received: self.sent })
            }
            _ => Ok(()),
        }
    }
}

impl Outgoing {
    /// `response`, which has been settled and promises so much, with its body watched.
    pub(super) fn wrap(
        response: Response<Body>,
        promised: Option<u64>,
        mut busy: Busy,
    ) -> Response<Self> {
        busy.hold(!response.body().is_end_stream());
        response.map(|body| Self { body, length: Length::new(promised), busy })
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        std::task::ready!(this.busy.poll_room(cx));
        this.busy.hold(false);
        Poll::Ready(match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                this.busy.made(len);
                match this.length.add(len) {
                    Ok(()) => {
                        this.busy.hold(!this.body.is_end_stream());
                        Some(Ok(frame))
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            Some(Err(error)) => Some(Err(error)),
            None => this.length.end().err().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.length.is_met()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::server::control::Activity;
    use std::sync::Arc;

    #[test]
    fn head_tells_the_length_and_sends_nothing() {
        let mut response = Response::new(Body::from("12345"));
        settle(&mut response, true);
        assert_eq!(response.headers()["content-length"], "5");
        assert!(matches!(response.body(), Body::Empty));
    }

    #[test]
    fn no_content_has_no_length() {
        let mut response = Response::builder()
            .status(204)
            .header("content-length", "5")
            .body(Body::from("12345"))
            .unwrap();
        settle(&mut response, false);
        assert!(!response.headers().contains_key("content-length"));
        assert!(matches!(response.body(), Body::Empty));
    }

    #[test]
    fn rfc_9110_8_6_equal_lengths_are_one_and_what_is_none_is_a_500() {
        for (lines, becomes) in [
            (&["5"][..], Some("5")),
            (&["5", "5"], Some("5")),
            (&["5, 5"], Some("5")),
            (&["5", "6"], None),
            (&["5,"], None),
            (&[""], None),
            (&["-5"], None),
            (&["0x5"], None),
            (&["99999999999999999999"], None),
        ] {
            for (status, to_head) in [(200, false), (200, true), (304, false)] {
                let mut builder = Response::builder().status(status);
                for line in lines {
                    builder = builder.header("content-length", *line);
                }
                let mut response = builder.body(Body::from("12345")).unwrap();
                let promised = settle(&mut response, to_head);
                let said: Vec<_> = response.headers().get_all("content-length").iter().collect();
                assert_eq!(said.len(), 1, "{lines:?}");
                if let Some(length) = becomes {
                    assert_eq!(response.status().as_u16(), status);
                    assert_eq!(said[0], length);
                    assert_eq!(promised, (status == 200 && !to_head).then_some(5));
                } else {
                    assert_eq!(response.status(), 500, "{lines:?}");
                    assert_eq!(response.headers()["content-type"], "application/problem+json");
                    assert_eq!(promised.is_some(), !to_head);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_short_of_its_length_ends_in_an_error() {
        for (promised, fine) in [("4", false), ("5", true), ("6", false)] {
            let mut response = Response::builder()
                .header("content-length", promised)
                .body(Body::from("12345"))
                .unwrap();
            let busy = Arc::<Activity>::default().begin();
            let settled = settle(&mut response, false);
            let body = Outgoing::wrap(response, settled, busy).into_body();
            let all = Body::stream(body).collect(100).await;
            assert_eq!(all.is_ok(), fine, "{promised}: {all:?}");
        }
    }
}
