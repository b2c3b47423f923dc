//! The unidirectional streams a client opens (RFC 9114 §6.2): its control stream, and QPACK's (RFC
//! 9204 §4.2).
//!
//! Promises: a connection has at most one stream of each kind, and none of them ends; QPACK's are
//! held to what they may say where no dynamic table is allowed, which is next to nothing; what is
//! opened and given up again is counted, and too much of it ends the connection. Constant memory for
//! each stream that is open, of which the transport allows a few.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::{Stream, StreamExt as _};
use futures_util::task::AtomicWaker;
use quinn::{ConnectionError, ReadError};

use super::framing::code::Code;
use super::framing::control::{Control, Said};
use super::framing::integer::read_var_int;
use super::var_int;

const CONTROL: u64 = 0;
const PUSH: u64 = 1;
const ENCODER: u64 = 2;
const DECODER: u64 = 3;

/// Unidirectional streams of one connection of HTTP/3 that a client ends before they have a type, or that
/// are of no type we know; with one more, the connection is closed (H3_EXCESSIVE_LOAD). Unit: streams.
/// Default 1,000. Bound: not to be set. Danger: none known: clients send one or none.
const STRANGE_STREAMS: u32 = 1000;
/// The most that the control stream of a client of HTTP/3, or one of its QPACK streams, carries in a
/// connection's life; with more, the connection is closed (H3_EXCESSIVE_LOAD). Unit: bytes. Default 4 MiB.
/// Bound: not to be set. Danger: none known: it is room for some 100,000 priority updates.
const MOST_BYTES: usize = 4 << 20;
/// The most that is read of one at once.
const READ: usize = 4 << 10;

type Arriving = Pin<Box<dyn Stream<Item = Result<quinn::RecvStream, ConnectionError>> + Send>>;

/// Why no more streams come.
pub(super) enum Ended {
    /// The client broke a rule: the connection is to be closed for it.
    Violation(Code),
    Connection(ConnectionError),
}

/// Streams as they arrive.
pub(super) struct Arrivals {
    accept: Arriving,
    untyped: Vec<Untyped>,
    control: Option<Read<Control>>,
    encoder: Option<Read<()>>,
    decoder: Option<Read<Decoder>>,
    said: Arc<Said>,
    strange: u32,
    woken: Arc<Woken>,
    waker: Waker,
}

/// A stream whose type has not come yet.
struct Untyped {
    stream: quinn::RecvStream,
    read: Vec<u8>,
}

impl Arrivals {
    /// Those of `conn`, and where to note what its client says.
    pub(super) fn new(conn: quinn::Connection, said: Arc<Said>) -> Self {
        let accept = futures_util::stream::unfold(conn, |conn| async move {
            Some((conn.accept_uni().await, conn))
        });
        let woken = Arc::new(Woken { flag: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&woken));
        Self {
            accept: Box::pin(accept),
            untyped: Vec::new(),
            control: None,
            encoder: None,
            decoder: None,
            said,
            strange: 0,
            woken,
            waker,
        }
    }

    /// Whether the client has said that it will ask for nothing more.
    pub(super) fn is_done(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.reader.is_done())
    }

    /// Reads what there is, and is ready when the connection is over. What has not been woken costs
    /// no lock.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Ended> {
        self.woken.task.register(cx.waker());
        if !self.woken.flag.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        match self.read() {
            Ok(()) => Poll::Pending,
            Err(ended) => Poll::Ready(ended),
        }
    }

    fn read(&mut self) -> Result<(), Ended> {
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            match self.accept.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    self.untyped.push(Untyped { stream, read: Vec::new() });
                }
                Poll::Ready(Some(Err(error))) => return Err(Ended::Connection(error)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let mut at = 0;
        while at < self.untyped.len() {
            match self.untyped[at].poll_type(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(kind) => {
                    let typed = self.untyped.swap_remove(at);
                    self.sort(kind, typed.stream).map_err(Ended::Violation)?;
                }
            }
        }
        let said = &self.said;
        let poll = |polled: Poll<Code>| match polled {
            Poll::Pending => Ok(()),
            Poll::Ready(code) => Err(Ended::Violation(code)),
        };
        if let Some(control) = &mut self.control {
            poll(control.poll(cx, |control, bytes| control.pass(bytes, said)))?;
        }
        if let Some(encoder) = &mut self.encoder {
            poll(encoder.poll(cx, |(), bytes| encoder_said(bytes)))?;
        }
        if let Some(decoder) = &mut self.decoder {
            poll(decoder.poll(cx, Decoder::pass))?;
        }
        Ok(())
    }

    /// Puts a stream where it belongs; `kind` is `None` when it ended before it had one.
    fn sort(&mut self, kind: Option<u64>, mut stream: quinn::RecvStream) -> Result<(), Code> {
        let is_first = match kind {
            Some(CONTROL) => self.control.replace(Read::new(stream)).is_none(),
            Some(ENCODER) => self.encoder.replace(Read::new(stream)).is_none(),
            Some(DECODER) => self.decoder.replace(Read::new(stream)).is_none(),
            // Only servers push (RFC 9114 §6.2.2).
            Some(PUSH) => false,
            strange => {
                if strange.is_some() {
                    let _ = stream.stop(var_int(Code::StreamCreation));
                }
                self.strange += 1;
                return if self.strange > STRANGE_STREAMS {
                    Err(Code::ExcessiveLoad)
                } else {
                    Ok(())
                };
            }
        };
        if is_first { Ok(()) } else { Err(Code::StreamCreation) }
    }
}

impl Untyped {
    /// The stream's type, of which nothing more is read; `None` when it ended before.
    fn poll_type(&mut self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        loop {
            // A byte at a time: at most eight, once in a stream's life.
            match pin!(self.stream.read_chunk(1, true)).poll(cx) {
                Poll::Ready(Ok(Some(chunk))) => self.read.extend_from_slice(&chunk.bytes),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
            if let Some((kind, _)) = read_var_int(&self.read) {
                return Poll::Ready(Some(kind));
            }
        }
    }
}

/// A stream that is read as long as the connection lives, and what reads it.
struct Read<R> {
    stream: quinn::RecvStream,
    came: usize,
    reader: R,
}

impl<R: Default> Read<R> {
    fn new(stream: quinn::RecvStream) -> Self {
        Self { stream, came: 0, reader: R::default() }
    }

    /// Lets what there is pass by the reader; ready with what the client did wrong.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut pass: impl FnMut(&mut R, &[u8]) -> Result<(), Code>,
    ) -> Poll<Code> {
        loop {
            let bytes = match pin!(self.stream.read_chunk(READ, true)).poll(cx) {
                Poll::Ready(Ok(Some(chunk))) => chunk.bytes,
                Poll::Pending | Poll::Ready(Err(ReadError::ConnectionLost(_))) => {
                    return Poll::Pending;
                }
                // RFC 9114 §6.2.1, RFC 9204 §4.2.
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Code::ClosedCriticalStream),
            };
            self.came += bytes.len();
            if self.came > MOST_BYTES {
                return Poll::Ready(Code::ExcessiveLoad);
            }
            if let Err(code) = pass(&mut self.reader, &bytes) {
                return Poll::Ready(code);
            }
        }
    }
}

/// What came on the encoder's stream of a client that was allowed no dynamic table.
fn encoder_said(bytes: &[u8]) -> Result<(), Code> {
    // Set Dynamic Table Capacity 0 (RFC 9204 §4.3.1): all that a table of no size allows.
    if bytes.iter().any(|&byte| byte != 0x20) { Err(Code::EncoderStream) } else { Ok(()) }
}

/// The decoder's stream of a client that saw no dynamic table used.
#[derive(Default)]
struct Decoder {
    /// Bytes of a Stream Cancellation's number so far, where one is not complete.
    in_integer: usize,
}

impl Decoder {
    fn pass(&mut self, bytes: &[u8]) -> Result<(), Code> {
        bytes.iter().try_for_each(|&byte| self.pass_byte(byte))
    }

    /// Stream Cancellation (RFC 9204 §4.4.2) alone may come: there is nothing to acknowledge, and
    /// nothing was inserted.
    fn pass_byte(&mut self, byte: u8) -> Result<(), Code> {
        let wrong = Err(Code::DecoderStream);
        if self.in_integer > 0 {
            self.in_integer += 1;
            return match byte & 0x80 {
                0 => {
                    self.in_integer = 0;
                    Ok(())
                }
                _ if self.in_integer < 10 => Ok(()),
                _ => wrong,
            };
        }
        if byte & 0xc0 != 0x40 {
            return wrong;
        }
        self.in_integer = usize::from(byte & 0x3f == 0x3f);
        Ok(())
    }
}

/// Notes that something happened on one of the streams, for the task that polls them.
struct Woken {
    flag: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.task.wake();
    }
}
