//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6 and §15.3.7.2).
//!
//! Its length is known before a byte of it is read: heads and parts are laid out first, and the
//! bodies of the parts follow one another as they come.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError, Chunks, range};
use http::HeaderValue;
use http_body::{Frame, SizeHint};

/// What separates parts, of 32 letters that nobody can know before: no stored body was made to
/// hold it.
pub(super) struct Boundary(String);

impl Boundary {
    pub(super) fn new() -> Self {
        let mut text = String::with_capacity(32);
        for _ in 0..2 {
            let _ = write!(text, "{:016x}", RandomState::new().build_hasher().finish());
        }
        Self(text)
    }

    /// The type of the whole answer.
    pub(super) fn content_type(&self) -> HeaderValue {
        HeaderValue::try_from(format!("multipart/byteranges; boundary={}", self.0))
            .unwrap_or(HeaderValue::from_static("multipart/byteranges"))
    }

    fn head(&self, part: &Range<u64>, len: u64, content_type: Option<&HeaderValue>) -> Bytes {
        let mut head = Vec::with_capacity(192);
        head.extend_from_slice(b"\r\n--");
        head.extend_from_slice(self.0.as_bytes());
        if let Some(content_type) = content_type {
            head.extend_from_slice(b"\r\nContent-Type: ");
            head.extend_from_slice(content_type.as_bytes());
        }
        head.extend_from_slice(b"\r\nContent-Range: ");
        head.extend_from_slice(range::content_range(part, Some(len)).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        head.into()
    }

    fn end(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.0).into()
    }
}

/// The body of an answer with these parts of a representation of `len` bytes.
pub(super) fn body(
    boundary: &Boundary,
    parts: &[Range<u64>],
    len: u64,
    content_type: Option<&HeaderValue>,
    mut of: impl FnMut(Range<u64>) -> Body,
) -> Body {
    let mut pieces = VecDeque::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        pieces.push_back(Body::from(boundary.head(part, len, content_type)));
        pieces.push_back(of(part.clone()));
    }
    pieces.push_back(Body::from(boundary.end()));
    let in_memory = |piece: &Body| !matches!(piece, Body::Stream(_));
    if pieces.iter().all(in_memory) {
        let chunks = pieces.into_iter().flat_map(|piece| match piece {
            Body::Full(chunks) => chunks,
            _ => Chunks::default(),
        });
        return Body::from(chunks.collect::<Chunks>());
    }
    Body::Stream(Box::pin(Sequence(pieces)))
}

/// Bodies one after the other; one that fails ends them all.
struct Sequence(VecDeque<Body>);

impl http_body::Body for Sequence {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Some(piece) = self.0.front_mut() {
            match std::task::ready!(Pin::new(piece).poll_frame(cx)) {
                None => {
                    self.0.pop_front();
                }
                Some(Err(error)) => {
                    self.0.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                frame => return Poll::Ready(frame),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let exact = self.0.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.exact_len()?));
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn rfc_9110_15_3_7_2_parts_between_boundaries_with_their_own_fields() {
        let boundary = Boundary("b".to_owned());
        let all = Bytes::from_static(b"0123456789");
        let content_type = HeaderValue::from_static("text/plain");
        let of = |part: Range<u64>| Body::from(all.slice(part.start as usize..part.end as usize));
        let whole = body(&boundary, &[7..10, 0..1], 10, Some(&content_type), of);
        let expected = "\r\n--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\
                        \r\n--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\
                        \r\n--b--\r\n";
        assert_eq!(whole.exact_len(), Some(expected.len() as u64));
        assert_eq!(whole.collect(1000).await.unwrap().to_bytes(), expected);
    }

    #[tokio::test]
    async fn a_part_that_fails_ends_the_whole_in_an_error() {
        struct Broken;
        impl http_body::Body for Broken {
            type Data = Bytes;
            type Error = BodyError;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
                Poll::Ready(Some(Err(BodyError::Aborted)))
            }
            fn size_hint(&self) -> SizeHint {
                SizeHint::with_exact(3)
            }
        }
        let boundary = Boundary::new();
        let of = |part: Range<u64>| match part.start {
            0 => Body::from("0"),
            _ => Body::Stream(Box::pin(Broken)),
        };
        let mut whole = body(&boundary, &[0..1, 7..10], 10, None, of);
        assert!(whole.exact_len().is_some_and(|len| len > 100));
        let mut ended = None;
        while let Some(frame) =
            std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut whole), cx)).await
        {
            ended = Some(frame.is_err());
        }
        assert_eq!(ended, Some(true));
    }
}
