//! A plan on its way to a client: windows of it are read, one ahead of the one being sent.
//!
//! Backpressure is the reader's: nothing is read unless the body is polled, and a dropped body
//! reads nothing more. A source that fails ends the body in an error, after what was read well.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::BodyError;
use http_body::{Frame, SizeHint};

use super::builds::Ready;
use super::cipher::{Cipher, Sealing};
use super::fault::Fault;
use super::frames::{Frames, Rope};
use super::making::{make, make_sealed};
use super::metrics::Metrics;
use super::open::{OpenBodies, OpenBody};
use crate::aes128::encrypted_len;
use crate::download::Download;
use crate::plan::{Part, Plan, SourceRange};
use crate::resource::Resource;
use crate::source::{BufferPool, Coalescing, Source, SourceError};
use crate::units::ByteRange;

/// How much of a plan is read before anything is sent, in bytes: little, so that the first byte
/// leaves early, and enough to know that the source can be read.
const FIRST_WINDOW_BYTES: u64 = 16 << 10;

/// A frame of this many bytes is worth a write of its own.
const FULL_BYTES: u64 = 96 << 10;

/// What bodies share.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) metrics: Metrics,
    pub(super) open: OpenBodies,
    /// For bytes that are made on the way.
    pub(super) buffers: Arc<BufferPool>,
}

/// The body of an answer that is read from sources.
pub(super) struct PlanBody {
    fetcher: Fetcher,
    /// Bytes still to be handed on.
    left: u64,
    /// Read, to be handed on.
    now: VecDeque<Bytes>,
    /// Being read, or read and waiting for its turn.
    next: Next,
    /// Whether the last window had to be waited for. Then the one after it is read while it is
    /// sent; what is in memory anyway is read when its turn comes, into the buffer just sent.
    waits: bool,
    /// Whether it goes through a cipher. Then a window is made while the one before it is sent, and
    /// waits for those of others meanwhile.
    sealed: bool,
    /// Whether a window was handed on whole since the connection had its turn.
    full: bool,
    open: OpenBody,
}

enum Next {
    Idle,
    Reading(Reading),
    Sealing(Sealing),
    Read(VecDeque<Bytes>),
    Failed(SourceError),
}

type Reading = Pin<Box<dyn Future<Output = Result<Window, SourceError>> + Send>>;

/// What a window was made.
enum Window {
    Ready(VecDeque<Bytes>),
    /// On its way through the cipher.
    Sealing(Sealing),
}

impl From<Window> for Next {
    fn from(window: Window) -> Self {
        match window {
            Window::Ready(frames) => Self::Read(frames),
            Window::Sealing(sealing) => Self::Sealing(sealing),
        }
    }
}

impl PlanBody {
    /// Reads the first window of a plan, so that what cannot be read is known before an answer
    /// begins. With a cipher, all of it is encrypted.
    pub(super) async fn start(
        ready: Arc<Ready>,
        plan: Plan,
        rest: Option<Rest>,
        cipher: Option<Cipher>,
        outlet: &Arc<Outlet>,
    ) -> Result<Self, Fault> {
        let open = outlet.open.enter(&outlet.metrics).ok_or(Fault::Crowded)?;
        let clear = plan.len + rest.as_ref().map_or(0, Rest::len);
        let left = if cipher.is_some() { encrypted_len(clear) } else { clear };
        let sealed = cipher.is_some();
        let mut fetcher =
            Fetcher { ready, parts: plan.parts.into(), rest, cipher, outlet: Arc::clone(outlet) };
        let mut waits = sealed;
        let next = match fetcher.window(FIRST_WINDOW_BYTES) {
            Some(mut reading) => {
                let read = poll_fn(|cx| {
                    let polled = reading.as_mut().poll(cx);
                    waits |= polled.is_pending();
                    polled
                });
                read.await?.into()
            }
            None => Next::Idle,
        };
        Ok(Self { fetcher, left, now: VecDeque::new(), next, waits, sealed, full: false, open })
    }

    /// Moves the window after the present one along.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if matches!(self.next, Next::Idle) {
            let room = self.fetcher.window_bytes();
            let Some(reading) = self.fetcher.window(room) else { return };
            self.next = Next::Reading(reading);
            self.waits = self.sealed;
        }
        if let Next::Reading(reading) = &mut self.next {
            self.next = match reading.as_mut().poll(cx) {
                Poll::Ready(Ok(window)) => window.into(),
                Poll::Ready(Err(error)) => Next::Failed(error),
                Poll::Pending => {
                    self.waits = true;
                    return;
                }
            };
        }
        if let Next::Sealing(sealing) = &mut self.next
            && self.now.is_empty()
            && let Poll::Ready((cipher, sealed)) = Pin::new(sealing).poll(cx)
        {
            self.fetcher.cipher = Some(cipher);
            self.next = Next::Read(VecDeque::from([Bytes::from_owner(sealed)]));
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
        if mem::take(&mut this.full) && this.now.is_empty() && this.left > 0 {
            // The connection would take more before it writes any. Written first, a window is still
            // in the core's own cache, and the next one is read into the same buffer.
            if this.sealed {
                // Unlike one that wakes itself, a task that yields lets the runtime find whose
                // connections take more: the more there are, the more share the lanes. Polled once,
                // it leaves the waker with the runtime.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
            } else {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        loop {
            if this.waits || this.now.is_empty() {
                this.read_ahead(cx);
            }
            if let Some(bytes) = this.now.pop_front() {
                this.left = this.left.saturating_sub(bytes.len() as u64);
                if this.left == 0 {
                    this.open.finish();
                }
                this.full = bytes.len() as u64 >= FULL_BYTES;
                this.fetcher.outlet.metrics.sent_bytes.inc_by(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match mem::replace(&mut this.next, Next::Idle) {
                Next::Read(window) => this.now = window,
                Next::Idle if this.left > 0 => {
                    // The rest could not be planned, which it could when the answer began.
                    this.left = 0;
                    let error = BodyError::source(SourceError::Truncated);
                    return Poll::Ready(Some(Err(error)));
                }
                Next::Idle => return Poll::Ready(None),
                Next::Failed(error) => {
                    // Nothing more: neither bytes nor a clean end.
                    this.fetcher.parts.clear();
                    this.fetcher.rest = None;
                    this.left = 0;
                    return Poll::Ready(Some(Err(BodyError::source(error))));
                }
                made @ (Next::Reading(_) | Next::Sealing(_)) => {
                    this.next = made;
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

/// What comes after a plan, of a resource that is planned piece by piece: its plan as a whole would
/// be large.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) large: Large,
    /// Which of its bytes.
    pub(super) range: Range<u64>,
}

/// What may be as large as its sources, and so is planned piece by piece.
#[derive(Debug, Clone)]
pub(super) enum Large {
    Resource(Resource),
    Download(Arc<Download>),
}

impl Large {
    /// The plan of some of its bytes.
    pub(super) fn plan(&self, ready: &Ready, range: Range<u64>) -> Option<Plan> {
        match self {
            Self::Resource(resource) => ready.presentation.plan_part(*resource, range),
            Self::Download(download) => Some(download.part(range)),
        }
    }
}

impl Rest {
    /// How much is planned at a time, in bytes.
    pub(super) const PIECE_BYTES: u64 = 4 << 20;

    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// What is left of a plan, and where to read it.
struct Fetcher {
    ready: Arc<Ready>,
    parts: VecDeque<Part>,
    rest: Option<Rest>,
    /// What all of it goes through; away while a window is.
    cipher: Option<Cipher>,
    outlet: Arc<Outlet>,
}

impl Fetcher {
    /// The next part, planned now where it was not yet.
    fn part(&mut self) -> Option<Part> {
        if self.parts.is_empty()
            && let Some(rest) = self.rest.as_mut().filter(|rest| rest.len() > 0)
        {
            let end = rest.range.end.min(rest.range.start.saturating_add(Rest::PIECE_BYTES));
            // What cannot be planned ends the body: nothing after it is sent.
            let plan = rest.large.plan(&self.ready, rest.range.start..end)?;
            rest.range.start = end;
            self.parts = plan.parts.into();
        }
        self.parts.pop_front()
    }

    /// How much is read at a time of what comes next.
    fn window_bytes(&self) -> u64 {
        let first = self.parts.iter().find_map(|part| part.inputs().first());
        let source = first.and_then(|input| self.ready.sources.get(input.source));
        source.map_or(Coalescing::LOCAL, Source::coalescing).window_bytes.max(1)
    }

    /// How much of `room` to read: up to where the plan last goes back in a file, if that is in the
    /// later half. Sound and pictures that are sent in turns lie side by side in the file: whole
    /// turns are one read, but of a turn that is cut the sound lies scattered.
    fn whole_turns(&self, room: u64) -> u64 {
        let (mut at, mut end, mut last) = (0, room, None);
        for part in &self.parts {
            if at > room {
                return end;
            }
            if let Part::Copy(copy) = part {
                let back = last.is_some_and(|before: SourceRange| {
                    before.source == copy.source && copy.range.start < before.range.start
                });
                if back && at >= room / 2 {
                    end = at;
                }
                last = Some(*copy);
            }
            at += part.len();
        }
        if at > room { end } else { room }
    }

    /// Takes the next window off the plan, `room` bytes of it or some less; `None` at its end.
    fn window(&mut self, room: u64) -> Option<Reading> {
        let mut window = Vec::new();
        let mut room = self.whole_turns(room);
        while room > 0
            && let Some(part) = self.part()
        {
            // A map is made whole: it waits for the next window unless it is the first of this.
            if matches!(part, Part::Map(_)) && part.len() > room && !window.is_empty() {
                self.parts.push_front(part);
                break;
            }
            let (head, tail) = split(part, room);
            room = room.saturating_sub(head.len());
            window.push(head);
            if let Some(tail) = tail {
                self.parts.push_front(tail);
            }
        }
        if window.is_empty() {
            return None;
        }
        let (ready, outlet) = (Arc::clone(&self.ready), Arc::clone(&self.outlet));
        let Some(cipher) = self.cipher.take() else {
            return Some(Box::pin(async move {
                read(&ready, window, &outlet).await.map(Window::Ready)
            }));
        };
        let ends = self.parts.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.len() == 0);
        Some(Box::pin(async move {
            make_sealed(&ready, window, cipher, ends, &outlet).await.map(Window::Sealing)
        }))
    }
}

/// Reads a window and makes of it what is to be sent.
async fn read(
    ready: &Ready,
    window: Vec<Part>,
    outlet: &Outlet,
) -> Result<VecDeque<Bytes>, SourceError> {
    if window.iter().any(|part| matches!(part, Part::Map(_))) {
        return make(ready, window, outlet).await;
    }
    let mut ropes = Ropes::read(ready, &window, &outlet.metrics).await?;
    let mut frames = Frames::default();
    let mut window = window.into_iter().peekable();
    while let Some(part) = window.next() {
        match part {
            Part::Bytes(bytes) => frames.push(bytes),
            Part::Copy(SourceRange { source, range }) => {
                // Ranges that follow each other here are one piece, if they were read as one.
                let mut len = range.len;
                while let Some(Part::Copy(more)) = window.peek()
                    && more.source == source
                {
                    len += more.range.len;
                    window.next();
                }
                ropes.of(source)?.take(len, &mut frames).ok_or(SourceError::Truncated)?;
            }
            // Such windows are made elsewhere.
            Part::Map(_) => return Err(SourceError::Truncated),
        }
    }
    let (frames, copied) = frames.finish();
    outlet.metrics.copied_bytes.inc_by(copied);
    Ok(frames)
}

/// What was read of each source, in the order of the window.
struct Ropes(Vec<(usize, Rope)>);

impl Ropes {
    /// Reads the ranges of each source together.
    async fn read(ready: &Ready, window: &[Part], metrics: &Metrics) -> Result<Self, SourceError> {
        let mut ropes = Vec::with_capacity(1);
        for (number, source) in ready.sources.iter().enumerate() {
            let ranges: Vec<ByteRange> = window
                .iter()
                .flat_map(Part::inputs)
                .filter(|input| input.source == number)
                .map(|input| input.range)
                .collect();
            if ranges.is_empty() {
                continue;
            }
            let gathered = source.gather(&ranges).await?;
            metrics.source_read_bytes.inc_by(gathered.read_bytes);
            metrics.source_reads.inc_by(gathered.reads);
            ropes.push((number, Rope::new(gathered.pieces)));
        }
        Ok(Self(ropes))
    }

    /// A plan that names a source which is not there leaves a hole: never send that.
    fn of(&mut self, source: usize) -> Result<&mut Rope, SourceError> {
        let rope = self.0.iter_mut().find(|(number, _)| *number == source);
        rope.map(|(_, rope)| rope).ok_or(SourceError::NotFound)
    }
}

/// Splits a part after at most `room` bytes, where `room` is not 0. A map stays whole.
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
        map @ Part::Map(_) => (map, None),
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
                Part::Map(_) => unreachable!("none is in these plans"),
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
            let piece = plan.cut(&(from..to));
            prop_assert_eq!(piece.len, to - from);
            prop_assert_eq!(bytes_of(&piece), expected);
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
