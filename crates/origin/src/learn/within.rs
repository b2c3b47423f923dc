//! Listening for the index within a file that passes, whole or in part (RFC 9110 §15.3.7.1): its bytes
//! are copied as they flow by, [`MAX_INDEX`](crate::map::MAX_INDEX) at most, and read when they are
//! complete. The body is not changed. An answer is held back until the index has passed, where that is
//! among its first bytes, for a moment at most.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::range::parse_content_range;
use headwater_net::{Body, BodyError};
use http::request::Parts;
use http::{Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::SharedMap;
use super::hold::Released;
use crate::map::{MAX_INDEX, Url};

/// The bytes of a body that are held back for an index, at most, and for how long.
const HELD: u64 = 2 * MAX_INDEX;
const HOLDING: Duration = Duration::from_millis(250);

/// An answer with the ear on it.
pub(super) enum Heard {
    /// It goes on as it comes.
    Passes(Response<Body>),
    /// Its index is at the front.
    Holds(Box<Holding>),
}

/// Puts the ear on an answer for the file at `url`, where the map wants its index and it begins early
/// enough; `like` is how it was asked for.
pub(super) fn listen(
    response: Response<Body>,
    url: Url,
    like: Option<Parts>,
    map: SharedMap,
) -> Heard {
    let index = map.lock().index_of(&url);
    let (Some(index), Some(begins)) = (index, begins(&response)) else {
        return Heard::Passes(response);
    };
    let (Some(first), Some(end)) = (index.start.checked_sub(begins), index.end.checked_sub(begins))
    else {
        return Heard::Passes(response);
    };
    let lesson = Lesson { url, like, map };
    let (head, body) = response.into_parts();
    let body = match body {
        Body::Empty => Body::Empty,
        Body::Full(chunks) => {
            if chunks.len() >= end {
                let bytes = chunks.slice(first..end).collect::<Vec<_>>().concat();
                lesson.learn(&bytes);
            }
            Body::Full(chunks)
        }
        inner @ Body::Stream(_) => {
            let (heard, lesson) = (Vec::new(), Some(lesson));
            let ear = Ear { inner, at: 0, index: first..end, heard, lesson };
            if end <= HELD {
                return Heard::Holds(Box::new(Holding { head, ear }));
            }
            Body::Stream(Box::pin(ear))
        }
    };
    Heard::Passes(Response::from_parts(head, body))
}

/// Which byte of the file a response begins with; `None` where its bytes are not those of the file.
fn begins(response: &Response<Body>) -> Option<u64> {
    let fields = response.headers();
    if fields.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    match response.status() {
        StatusCode::OK => Some(0),
        StatusCode::PARTIAL_CONTENT => {
            Some(parse_content_range(fields.get(header::CONTENT_RANGE)?)?.0.start)
        }
        _ => None,
    }
}

struct Lesson {
    url: Url,
    like: Option<Parts>,
    map: SharedMap,
}

impl Lesson {
    fn learn(self, bytes: &[u8]) {
        let learnt = self.map.lock().learn_index(&self.url, bytes);
        self.map.tell_of(learnt, &self.url, self.like.as_ref());
    }
}

/// An answer that is held back.
pub(super) struct Holding {
    head: http::response::Parts,
    ear: Ear,
}

impl Holding {
    /// The answer once its index was heard, or will not be soon.
    pub(super) async fn until_heard(self: Box<Self>) -> Response<Body> {
        let Self { head, mut ear } = *self;
        let mut held = Vec::new();
        let hearing = async {
            // No more than the index and what came with its end.
            while ear.lesson.is_some() {
                match poll_fn(|cx| Pin::new(&mut ear).poll_frame(cx)).await {
                    Some(Ok(frame)) => held.extend(frame.into_data().ok()),
                    Some(Err(error)) => return End::Failed(error),
                    None => return End::Over,
                }
            }
            End::Heard
        };
        let rest = match tokio::time::timeout(HOLDING, hearing).await {
            Ok(End::Heard) | Err(_) => Ok(Body::Stream(Box::pin(ear))),
            Ok(End::Over) => Ok(Body::Empty),
            Ok(End::Failed(error)) => Err(error),
        };
        Response::from_parts(head, Body::stream(Released::new(held, rest)))
    }
}

/// How holding ended.
enum End {
    Heard,
    /// With the body.
    Over,
    Failed(BodyError),
}

/// Passes a body on and keeps of it the bytes of the index.
struct Ear {
    inner: Body,
    /// Bytes that have passed.
    at: u64,
    /// Where in the body the index is.
    index: Range<u64>,
    heard: Vec<u8>,
    lesson: Option<Lesson>,
}

impl Ear {
    fn hear(&mut self, data: &Bytes) {
        let from = self.at;
        self.at = from.saturating_add(data.len() as u64);
        if self.lesson.is_none() {
            return;
        }
        let within = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX);
        let (first, end) = (within(self.index.start), within(self.index.end.min(self.at)));
        self.heard.extend_from_slice(data.get(first..end).unwrap_or(&[]));
        if self.at >= self.index.end
            && let Some(lesson) = self.lesson.take()
        {
            lesson.learn(&std::mem::take(&mut self.heard));
        }
    }
}

impl HttpBody for Ear {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.hear(data);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
