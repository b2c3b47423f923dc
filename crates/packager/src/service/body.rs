//! A plan on its way to a client: windows of it are read, one ahead of the one being sent.
//!
//! Backpressure is the reader's: nothing is read unless the body is polled, and a dropped body
//! reads nothing more. A source that fails ends the body in an error, after what was read well.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use headwater_net::BodyError;
use http_body::{Frame, SizeHint};

use super::builds::Ready;
use super::metrics::Metrics;
use crate::plan::{Part, Plan, SourceRange};
use crate::source::{SourceError, read_coalesced};
use crate::units::ByteRange;

/// How much of a plan is read at a time, in bytes.
pub(super) const WINDOW_BYTES: u64 = 512 << 10;

/// The body of an answer that is read from sources.
pub(super) struct PlanBody {
    fetcher: Fetcher,
    /// Bytes still to be handed on.
    left: u64,
    /// Read, to be handed on.
    now: VecDeque<Bytes>,
    /// Being read, or read and waiting for its turn.
    next: Next,
}

enum Next {
    Idle,
    Reading(Reading),
    Read(VecDeque<Bytes>),
    Failed(SourceError),
}

type Reading = Pin<Box<dyn Future<Output = Result<VecDeque<Bytes>, SourceError>> + Send>>;

impl PlanBody {
    /// Reads the first window of a plan, so that what cannot be read is known before an answer
    /// begins.
    pub(super) async fn start(
        ready: Arc<Ready>,
        plan: Plan,
        metrics: Metrics,
    ) -> Result<Self, SourceError> {
        let left = plan.len;
        let mut fetcher = Fetcher { ready, parts: plan.parts.into(), metrics };
        let now = match fetcher.window() {
            Some(reading) => reading.await?,
            None => VecDeque::new(),
        };
        Ok(Self { fetcher, left, now, next: Next::Idle })
    }

    /// Moves the window after the present one along.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if matches!(self.next, Next::Idle)
            && let Some(reading) = self.fetcher.window()
        {
            self.next = Next::Reading(reading);
        }
        if let Next::Reading(reading) = &mut self.next
            && let Poll::Ready(outcome) = reading.as_mut().poll(cx)
        {
            self.next = match outcome {
                Ok(window) => Next::Read(window),
                Err(error) => Next::Failed(error),
            };
        }
    }
}

impl http_body::Body for PlanBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            this.read_ahead(cx);
            if let Some(bytes) = this.now.pop_front() {
                this.left = this.left.saturating_sub(bytes.len() as u64);
                this.fetcher.metrics.sent_bytes.inc_by(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match mem::replace(&mut this.next, Next::Idle) {
                Next::Read(window) => this.now = window,
                Next::Idle => return Poll::Ready(None),
                Next::Failed(error) => {
                    // Nothing more: neither bytes nor a clean end.
                    this.fetcher.parts.clear();
                    return Poll::Ready(Some(Err(BodyError::source(error))));
                }
                reading @ Next::Reading(_) => {
                    this.next = reading;
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What is left of a plan, and where to read it.
struct Fetcher {
    ready: Arc<Ready>,
    parts: VecDeque<Part>,
    metrics: Metrics,
}

impl Fetcher {
    /// Takes the next window off the plan; `None` at its end.
    fn window(&mut self) -> Option<Reading> {
        let mut room = WINDOW_BYTES;
        let mut window = Vec::new();
        while room > 0
            && let Some(part) = self.parts.pop_front()
        {
            let (head, tail) = split(part, room);
            room -= head.len();
            window.push(head);
            if let Some(tail) = tail {
                self.parts.push_front(tail);
            }
        }
        if window.is_empty() {
            return None;
        }
        let (ready, metrics) = (Arc::clone(&self.ready), self.metrics.clone());
        Some(Box::pin(async move { read(&ready, window, &metrics).await }))
    }
}

/// Reads a window: the ranges of each source together.
async fn read(
    ready: &Ready,
    window: Vec<Part>,
    metrics: &Metrics,
) -> Result<VecDeque<Bytes>, SourceError> {
    let mut pieces: Vec<Bytes> = Vec::with_capacity(window.len());
    let mut wanted: Vec<(usize, SourceRange)> = Vec::new();
    for part in window {
        match part {
            Part::Bytes(bytes) => pieces.push(bytes),
            Part::Copy(copy) => {
                wanted.push((pieces.len(), copy));
                pieces.push(Bytes::new());
            }
        }
    }
    for (number, source) in ready.sources.iter().enumerate() {
        let mine = || wanted.iter().filter(|(_, copy)| copy.source == number);
        let ranges: Vec<ByteRange> = mine().map(|(_, copy)| copy.range).collect();
        if ranges.is_empty() {
            continue;
        }
        let (read, total) = read_coalesced(source, &ranges).await?;
        metrics.source_read_bytes.inc_by(total);
        for ((place, _), bytes) in mine().zip(read) {
            pieces[*place] = bytes;
        }
    }
    // A plan that names a source which is not there leaves a hole: never send that.
    let whole = wanted.iter().all(|(place, copy)| pieces[*place].len() as u64 == copy.range.len);
    if whole { Ok(pack(pieces)) } else { Err(SourceError::NotFound) }
}

/// Joins small neighbours, such as a sound's chunks between pictures, into frames worth sending;
/// larger pieces stay as they are, uncopied.
fn pack(pieces: Vec<Bytes>) -> VecDeque<Bytes> {
    let mut packed = VecDeque::new();
    let mut joint = BytesMut::new();
    for piece in pieces {
        if piece.len() >= SMALL || joint.len() + piece.len() > FRAME {
            if !joint.is_empty() {
                packed.push_back(joint.split().freeze());
            }
            if piece.len() >= SMALL {
                packed.push_back(piece);
                continue;
            }
        }
        joint.extend_from_slice(&piece);
    }
    if !joint.is_empty() {
        packed.push_back(joint.freeze());
    }
    packed
}

/// Pieces below this many bytes are joined.
const SMALL: usize = 8 << 10;

/// Joined pieces grow to this many bytes.
const FRAME: usize = 64 << 10;

/// The bytes `part.start..part.end` of a plan, which lie within it.
pub(super) fn cut(plan: Plan, part: &Range<u64>) -> Plan {
    let mut piece = Plan::new(plan.content_type);
    let mut at = 0;
    for whole in plan.parts {
        let (from, to) = (at, at + whole.len());
        at = to;
        let (from, to) = (from.max(part.start) - from, to.min(part.end).saturating_sub(from));
        if from >= to {
            continue;
        }
        match whole {
            Part::Bytes(bytes) => piece.push_bytes(bytes.slice(from as usize..to as usize)),
            Part::Copy(SourceRange { source, range }) => {
                piece.push_copy(source, ByteRange { start: range.start + from, len: to - from });
            }
        }
    }
    piece
}

/// Splits a part after at most `room` bytes, where `room` is not 0.
fn split(part: Part, room: u64) -> (Part, Option<Part>) {
    if part.len() <= room {
        return (part, None);
    }
    match part {
        Part::Bytes(mut bytes) => {
            let head = bytes.split_to(room as usize);
            (Part::Bytes(head), Some(Part::Bytes(bytes)))
        }
        Part::Copy(SourceRange { source, range }) => {
            let copy =
                |start, len| Part::Copy(SourceRange { source, range: ByteRange { start, len } });
            (copy(range.start, room), Some(copy(range.start + room, range.len - room)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    /// Byte `n` of every source is `n % 251`.
    fn bytes_of(plan: &Plan) -> Vec<u8> {
        let mut all = Vec::new();
        for part in &plan.parts {
            match part {
                Part::Bytes(bytes) => all.extend_from_slice(bytes),
                Part::Copy(copy) => {
                    all.extend((copy.range.start..copy.range.end()).map(|n| (n % 251) as u8));
                }
            }
        }
        all
    }

    fn plan_of(parts: &[(bool, u64, u64)]) -> Plan {
        let mut plan = Plan::new("video/mp4");
        for &(copy, start, len) in parts {
            if copy {
                plan.push_copy((start % 2) as usize, ByteRange { start, len });
            } else {
                plan.push_bytes(vec![start as u8; len as usize].into());
            }
        }
        plan
    }

    proptest! {
        #[test]
        fn a_cut_plan_is_the_cut_of_the_bytes(
            parts in proptest::collection::vec((any::<bool>(), 0u64..1_000, 0u64..50), 0..12),
            a in 0u64..400, b in 0u64..400,
        ) {
            let plan = plan_of(&parts);
            let (from, to) = (a.min(b).min(plan.len), a.max(b).min(plan.len));
            let expected = bytes_of(&plan)[from as usize..to as usize].to_vec();
            let piece = cut(plan, &(from..to));
            prop_assert_eq!(piece.len, to - from);
            prop_assert_eq!(bytes_of(&piece), expected);
        }

        #[test]
        fn packing_loses_nothing_and_copies_only_small_pieces(
            lens in proptest::collection::vec(
                prop_oneof![0usize..2_000, SMALL - 2..SMALL + 2, Just(100_000)], 0..60),
        ) {
            let pieces: Vec<Bytes> =
                lens.iter().enumerate().map(|(i, len)| vec![i as u8; *len].into()).collect();
            let expected = pieces.concat();
            let addresses: Vec<_> =
                pieces.iter().filter(|p| p.len() >= SMALL).map(|p| p.as_ptr()).collect();
            let packed = pack(pieces);
            prop_assert!(packed.iter().all(|frame| !frame.is_empty()));
            let kept: Vec<_> = packed.iter().map(|p| p.as_ptr()).collect();
            prop_assert!(addresses.iter().all(|address| kept.contains(address)));
            prop_assert_eq!(packed.into_iter().collect::<Vec<_>>().concat(), expected);
        }
    }

    #[test]
    fn parts_split_exactly() {
        let plan = plan_of(&[(false, 1, 10), (true, 7, 20)]);
        let all = bytes_of(&plan);
        for room in 1..10 {
            let mut whole = Plan::new("video/mp4");
            let mut rest: VecDeque<Part> = plan.parts.clone().into();
            while let Some(part) = rest.pop_front() {
                let (head, tail) = split(part, room);
                assert!(head.len() <= room);
                whole.parts.push(head);
                if let Some(tail) = tail {
                    rest.push_front(tail);
                }
            }
            assert_eq!(bytes_of(&whole), all);
        }
    }
}
