//! The transport between h3 and quinn: what h3's `quic` traits ask for, and one thing more.
//!
//! h3 frames bodies into a buffer it does not let go of, so that a transport can only copy them.
//! Therefore h3 does the control streams and a request's HEADERS here, and then the sending side of
//! the stream is taken out of h3's hands ([`Shared::take`]) and fed with [`bytes::Bytes`].
//!
//! A sending side that is dropped before it was finished resets its stream: quinn alone would
//! end it cleanly, and an answer that was given up would look complete.

// By path, for a test includes this file as its client.
#[path = "quic_stream/control.rs"]
mod control;
#[path = "quic_stream/errors.rs"]
mod errors;
#[path = "quic_stream/frames.rs"]
mod frames;
#[path = "quic_stream/priority.rs"]
mod priority;
#[path = "quic_stream/sender.rs"]
mod sender;
#[path = "quic_stream/uni.rs"]
mod uni;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::stream::{Stream, StreamExt};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, VarInt};

use control::Control;
use errors::{connection_error, ended, internal, read_error, taken, write_error};
use frames::Frames;
use priority::Updates;
use uni::{Arrivals, Ended};

pub(super) use priority::Urgency;
pub(super) use sender::Sender;

/// The most that one read takes from quinn.
const READ: usize = 64 << 10;
/// The most that a control stream may carry in its life: 4 MiB are some 100,000 priority updates.
const UNI_BYTES: usize = 4 << 20;

type Arriving<T> = Pin<Box<dyn Stream<Item = Result<T, ConnectionError>> + Send + Sync>>;
pub(super) type Both = (quinn::SendStream, quinn::RecvStream);

/// A quinn connection as h3 sees it.
pub(super) struct Transport {
    accept: Arriving<Both>,
    uni: Arrivals,
    opener: Opener,
    max_unparsed: usize,
    latest: Latest,
    updates: Arc<Updates>,
}

/// The stream that was accepted last: h3 gives no other way to know which stream a request is on
/// before it is parsed.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<Mutex<Option<Arc<Shared>>>>);

impl Latest {
    /// The stream accepted last, once.
    pub(super) fn take(&self) -> Option<Arc<Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Transport {
    /// A transport over `conn`, of whose streams the `first` was accepted already. A stream whose
    /// client sends more than `max_unparsed` bytes (and one read) without completing a frame header
    /// or HEADERS frame is stopped.
    pub(super) fn new(conn: quinn::Connection, first: Option<Both>, max_unparsed: usize) -> Self {
        let next = (first, conn.clone());
        let bidi = futures_util::stream::unfold(next, |(first, conn)| async move {
            let accepted = match first {
                Some(first) => Ok(first),
                None => conn.accept_bi().await,
            };
            Some((accepted, (None, conn)))
        });
        let uni = futures_util::stream::unfold(conn.clone(), |conn| async move {
            Some((conn.accept_uni().await, conn))
        });
        Self {
            accept: Box::pin(bidi),
            uni: Arrivals::new(Box::pin(uni)),
            opener: Opener { conn, bidi: None, uni: None },
            max_unparsed,
            latest: Latest::default(),
            updates: Arc::default(),
        }
    }

    /// Where the stream of each request accepted from now on is found.
    pub(super) fn latest(&self) -> Latest {
        self.latest.clone()
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvHalf, ConnectionErrorIncoming>> {
        Poll::Ready(match ready!(self.uni.poll_control(cx)) {
            Ok(control) => {
                let mut recv = RecvHalf::new(control.stream, Shared::new(None, false, UNI_BYTES));
                recv.first = Some(Bytes::from(control.read));
                let control = Control::new(self.opener.conn.clone(), Arc::clone(&self.updates));
                recv.control = Some(Box::new(control));
                Ok(recv)
            }
            Err(Ended::Connection(error)) => Err(connection_error(error)),
            Err(Ended::Violation(code)) => {
                self.opener.conn.close(var_int(code.value()), b"");
                Err(ended())
            }
        })
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, ConnectionErrorIncoming>> {
        Poll::Ready(match ready!(self.accept.poll_next_unpin(cx)) {
            Some(Ok((send, recv))) => {
                let sender = Sender::of_request(send, Arc::clone(&self.updates));
                let both = BothHalves::new(sender, recv, self.max_unparsed);
                *self.latest.0.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&both.send.shared));
                Ok(both)
            }
            Some(Err(error)) => Err(connection_error(error)),
            None => Err(ended()),
        })
    }

    fn opener(&self) -> Opener {
        Opener { conn: self.opener.conn.clone(), bidi: None, uni: None }
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = BothHalves;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens streams.
pub(super) struct Opener {
    conn: quinn::Connection,
    bidi: Option<Arriving<Both>>,
    uni: Option<Arriving<quinn::SendStream>>,
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = BothHalves;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, StreamErrorIncoming>> {
        let conn = &self.conn;
        let opening = self.bidi.get_or_insert_with(|| {
            Box::pin(futures_util::stream::unfold(conn.clone(), |conn| async move {
                Some((conn.open_bi().await, conn))
            }))
        });
        let (send, recv) = ready!(poll_open(opening, cx))?;
        Poll::Ready(Ok(BothHalves::new(Sender::new(send), recv, usize::MAX)))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        let conn = &self.conn;
        let opening = self.uni.get_or_insert_with(|| {
            Box::pin(futures_util::stream::unfold(conn.clone(), |conn| async move {
                Some((conn.open_uni().await, conn))
            }))
        });
        let stream = ready!(poll_open(opening, cx))?;
        Poll::Ready(Ok(SendHalf::new(stream)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.conn.close(var_int(code.value()), reason);
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self { conn: self.conn.clone(), bidi: None, uni: None }
    }
}

fn poll_open<T>(
    opening: &mut (impl Stream<Item = Result<T, ConnectionError>> + Unpin),
    cx: &mut Context<'_>,
) -> Poll<Result<T, StreamErrorIncoming>> {
    Poll::Ready(match ready!(opening.poll_next_unpin(cx)) {
        Some(Ok(opened)) => Ok(opened),
        Some(Err(error)) => Err(StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: connection_error(error),
        }),
        None => Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error: ended() }),
    })
}

/// What h3's halves of a stream and the request's task share.
pub(super) struct Shared {
    sender: Mutex<Option<Sender>>,
    paused: AtomicBool,
    unparsed: AtomicUsize,
    max_unparsed: usize,
    /// Empty DATA frames that h3 has yet to pass.
    empty: AtomicUsize,
    truncated: AtomicBool,
    misplaced: AtomicBool,
    early: bool,
}

impl Shared {
    fn new(sender: Option<Sender>, early: bool, max_unparsed: usize) -> Arc<Self> {
        Arc::new(Self {
            early,
            sender: Mutex::new(sender),
            paused: AtomicBool::new(false),
            unparsed: AtomicUsize::new(0),
            max_unparsed,
            empty: AtomicUsize::new(0),
            truncated: AtomicBool::new(false),
            misplaced: AtomicBool::new(false),
        })
    }

    /// Whether the end of data that h3 has just told of is only that of an empty DATA frame, which
    /// it does not tell from the end of all.
    pub(super) fn was_empty_frame(&self) -> bool {
        let one_less = |empty: usize| empty.checked_sub(1);
        self.empty.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Whether the stream ended inside a frame, which h3 lets pass between a frame's head and its
    /// data.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Whether a frame came that has no place on a request's stream, and that h3 does not know.
    pub(super) fn has_misplaced(&self) -> bool {
        self.misplaced.load(Ordering::Relaxed)
    }

    /// Whether the stream was opened before the handshake was done (0-RTT).
    pub(super) fn is_early(&self) -> bool {
        self.early
    }

    /// Takes the sending side out of h3's hands. Everything h3 was told to send is in quinn by then
    /// if the caller awaited it.
    pub(super) fn take(&self) -> Option<Sender> {
        self.lock().take()
    }

    /// Gives the sending side back to h3, for trailers.
    pub(super) fn put_back(&self, sender: Sender) {
        *self.lock() = Some(sender);
    }

    /// Waits until the client wants no more of the stream, or the connection is lost. To be polled
    /// first while the sending side is here.
    pub(super) async fn stopped(&self) {
        let stopped = self.lock().as_ref().map(Sender::stopped);
        match stopped {
            Some(stopped) => stopped.await,
            None => std::future::pending().await,
        }
    }

    /// What came so far has been understood: the count of [`Transport::new`] starts again.
    pub(super) fn parsed(&self) {
        self.unparsed.store(0, Ordering::Relaxed);
    }

    /// While paused, h3 works off what it has buffered and reads nothing new. It would otherwise
    /// read one chunk for each frame it hands out, and hoard what comes in small frames.
    pub(super) fn pause_reading(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream on which both sides send.
pub(super) struct BothHalves {
    send: SendHalf,
    recv: RecvHalf,
}

impl BothHalves {
    fn new(sender: Sender, recv: quinn::RecvStream, max_unparsed: usize) -> Self {
        let id = stream_id(sender.stream.id());
        let shared = Shared::new(Some(sender), recv.is_0rtt(), max_unparsed);
        let send = SendHalf { shared: Arc::clone(&shared), id, writing: None };
        let mut recv = RecvHalf::new(recv, shared);
        recv.frames = Some(Frames::default());
        Self { send, recv }
    }
}

impl quic::BidiStream<Bytes> for BothHalves {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }
}

impl quic::SendStream<Bytes> for BothHalves {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }
    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }
    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }
    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl quic::RecvStream for BothHalves {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }
    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }
    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

/// The sending side as h3 sees it: frames are small here, and copied.
pub(super) struct SendHalf {
    shared: Arc<Shared>,
    id: StreamId,
    // Boxed, as it is large and hardly ever there: each request is moved several times.
    writing: Option<Box<WriteBuf<Bytes>>>,
}

impl SendHalf {
    fn new(stream: quinn::SendStream) -> Self {
        let id = stream_id(stream.id());
        let shared = Shared::new(Some(Sender::new(stream)), false, 0);
        Self { shared, id, writing: None }
    }
}

impl quic::SendStream<Bytes> for SendHalf {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let mut sender = self.shared.lock();
        let Some(sender) = sender.as_mut() else { return Poll::Ready(Err(taken())) };
        while writing.has_remaining() {
            let written = ready!(Pin::new(&mut sender.stream).poll_write(cx, writing.chunk()))
                .map_err(write_error)?;
            writing.advance(written);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(internal("a frame is still being written"));
        }
        self.writing = Some(Box::new(data.into()));
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(match self.shared.lock().as_mut() {
            Some(sender) => {
                sender.finish();
                Ok(())
            }
            None => Err(taken()),
        })
    }

    fn reset(&mut self, reset_code: u64) {
        if let Some(sender) = self.shared.lock().as_mut() {
            sender.ended = true;
            let _ = sender.stream.reset(var_int(reset_code));
        }
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// The receiving side of a stream; what is not read when it is dropped is declined.
pub(super) struct RecvHalf {
    stream: quinn::RecvStream,
    shared: Arc<Shared>,
    id: StreamId,
    ended: bool,
    /// Only on a request's stream.
    frames: Option<Frames>,
    /// Only on the control stream.
    control: Option<Box<Control>>,
    /// What was read before h3 got the stream.
    first: Option<Bytes>,
}

impl RecvHalf {
    fn new(stream: quinn::RecvStream, shared: Arc<Shared>) -> Self {
        let id = stream_id(stream.id());
        Self { stream, shared, id, ended: false, frames: None, control: None, first: None }
    }
}

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.shared.paused.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        if self.shared.unparsed.load(Ordering::Relaxed) > self.shared.max_unparsed {
            if let Some(control) = &self.control {
                return Poll::Ready(Err(control.close(Code::H3_EXCESSIVE_LOAD)));
            }
            self.stop_sending(Code::H3_EXCESSIVE_LOAD.value());
            return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated {
                error_code: Code::H3_EXCESSIVE_LOAD.value(),
            }));
        }
        Poll::Ready(match ready!(pin!(self.stream.read_chunk(READ, true)).poll(cx)) {
            Ok(Some(chunk)) => {
                self.shared.unparsed.fetch_add(chunk.bytes.len(), Ordering::Relaxed);
                if let Some(control) = &mut self.control {
                    control.pass(&chunk.bytes)?;
                }
                if let Some(frames) = &mut self.frames {
                    let empty = frames.pass(&chunk.bytes);
                    if empty > 0 {
                        self.shared.empty.fetch_add(empty, Ordering::Relaxed);
                    }
                    if frames.is_misplaced() {
                        self.shared.misplaced.store(true, Ordering::Relaxed);
                        return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated {
                            error_code: Code::H3_FRAME_UNEXPECTED.value(),
                        }));
                    }
                }
                Ok(Some(chunk.bytes))
            }
            Ok(None) => {
                self.ended = true;
                if self.frames.as_ref().is_some_and(|frames| !frames.at_boundary()) {
                    self.shared.truncated.store(true, Ordering::Relaxed);
                }
                Ok(None)
            }
            Err(error) => {
                self.ended = true;
                Err(read_error(error))
            }
        })
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.ended = true;
        let _ = self.stream.stop(var_int(error_code));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

impl Drop for RecvHalf {
    /// RFC 9114 §4.1: a server that needs no more of a request says so with H3_NO_ERROR.
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.stop(var_int(Code::H3_NO_ERROR.value()));
        }
    }
}

fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[expect(clippy::expect_used, reason = "both are 62-bit integers of RFC 9000 §2.1")]
fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(VarInt::from(id))).expect("62 bits")
}
