//! The unidirectional streams a client opens (RFC 9114 §6.2): sorted by their type before h3 sees
//! any, since h3 keeps QPACK's (RFC 9204 §4.2) without reading them and lets others pass.
//!
//! Promises: a connection has at most one stream of each kind; QPACK's are read and held to what
//! they may say where no dynamic table is allowed, which is next to nothing; what is opened and
//! given up again is counted, and too much of it ends the connection. Constant memory for each
//! stream that is open, of which the transport allows a few.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::StreamExt as _;
use futures_util::task::AtomicWaker;
use h3::error::Code;
use quinn::{ConnectionError, ReadError};

use super::frames::read_var_int;
use super::{Arriving, UNI_BYTES, var_int};

const CONTROL: u64 = 0;
const PUSH: u64 = 1;
const ENCODER: u64 = 2;
const DECODER: u64 = 3;

/// Streams that a client may open and end, or that are of no type we know, in a connection's life.
const STRANGE: u32 = 1000;

/// Why no more streams come.
pub(super) enum Ended {
    /// The client broke a rule: the connection is to be closed for it.
    Violation(Code),
    Connection(ConnectionError),
}

/// Streams as they arrive.
pub(super) struct Arrivals {
    accept: Arriving<quinn::RecvStream>,
    untyped: Vec<Untyped>,
    control_came: bool,
    encoder: Option<Qpack>,
    decoder: Option<Qpack>,
    strange: u32,
    woken: Arc<Woken>,
    waker: Waker,
}

/// A control stream, and what was read of it.
pub(super) struct Control {
    pub(super) stream: quinn::RecvStream,
    pub(super) read: Vec<u8>,
}

/// A stream whose type has not come yet.
struct Untyped {
    stream: quinn::RecvStream,
    read: Vec<u8>,
}

impl Arrivals {
    pub(super) fn new(accept: Arriving<quinn::RecvStream>) -> Self {
        let woken = Arc::new(Woken { flag: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&woken));
        Self {
            accept,
            untyped: Vec::new(),
            control_came: false,
            encoder: None,
            decoder: None,
            strange: 0,
            woken,
            waker,
        }
    }

    /// The control stream, once; reads along on QPACK's for as long as it is polled. What has not
    /// been woken costs no lock.
    pub(super) fn poll_control(&mut self, cx: &Context<'_>) -> Poll<Result<Control, Ended>> {
        self.woken.task.register(cx.waker());
        if !self.woken.flag.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            match self.accept.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    self.untyped.push(Untyped { stream, read: Vec::new() });
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Ended::Connection(error))),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let mut at = 0;
        while at < self.untyped.len() {
            match self.untyped[at].poll_type(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(kind) => {
                    let typed = self.untyped.swap_remove(at);
                    match self.sort(kind, typed) {
                        Ok(None) => {}
                        Ok(Some(control)) => {
                            // There may be more.
                            self.woken.flag.store(true, Ordering::Release);
                            return Poll::Ready(Ok(control));
                        }
                        Err(code) => return Poll::Ready(Err(Ended::Violation(code))),
                    }
                }
            }
        }
        for qpack in [&mut self.encoder, &mut self.decoder].into_iter().flatten() {
            if let Poll::Ready(code) = qpack.poll(cx) {
                return Poll::Ready(Err(Ended::Violation(code)));
            }
        }
        Poll::Pending
    }

    /// Puts a stream where it belongs; `kind` is `None` when it ended before it had one.
    fn sort(&mut self, kind: Option<u64>, typed: Untyped) -> Result<Option<Control>, Code> {
        let Untyped { mut stream, read } = typed;
        match kind {
            Some(CONTROL) => {
                if std::mem::replace(&mut self.control_came, true) {
                    return Err(Code::H3_STREAM_CREATION_ERROR);
                }
                return Ok(Some(Control { stream, read }));
            }
            // Only servers push (RFC 9114 §6.2.2).
            Some(PUSH) => return Err(Code::H3_STREAM_CREATION_ERROR),
            Some(kind @ (ENCODER | DECODER)) => {
                let place = if kind == ENCODER { &mut self.encoder } else { &mut self.decoder };
                if place.is_some() {
                    return Err(Code::H3_STREAM_CREATION_ERROR);
                }
                *place = Some(Qpack { stream, kind, came: 0, in_integer: 0 });
            }
            strange => {
                if strange.is_some() {
                    let _ = stream.stop(var_int(Code::H3_STREAM_CREATION_ERROR.value()));
                }
                self.strange += 1;
                if self.strange > STRANGE {
                    return Err(Code::H3_EXCESSIVE_LOAD);
                }
            }
        }
        Ok(None)
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

/// One of QPACK's streams, of a client that was allowed no dynamic table and saw none used.
struct Qpack {
    stream: quinn::RecvStream,
    kind: u64,
    came: usize,
    /// Bytes of a Stream Cancellation's number so far, where one is not complete.
    in_integer: usize,
}

impl Qpack {
    /// Ready with what the client did wrong.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Code> {
        loop {
            let bytes = match pin!(self.stream.read_chunk(4096, true)).poll(cx) {
                Poll::Ready(Ok(Some(chunk))) => chunk.bytes,
                Poll::Pending | Poll::Ready(Err(ReadError::ConnectionLost(_))) => {
                    return Poll::Pending;
                }
                // RFC 9204 §4.2.
                Poll::Ready(Ok(None) | Err(_)) => {
                    return Poll::Ready(Code::H3_CLOSED_CRITICAL_STREAM);
                }
            };
            self.came += bytes.len();
            if self.came > UNI_BYTES {
                return Poll::Ready(Code::H3_EXCESSIVE_LOAD);
            }
            if let Err(code) = self.pass(&bytes) {
                return Poll::Ready(code);
            }
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), Code> {
        for &byte in bytes {
            if self.kind == ENCODER {
                // Set Dynamic Table Capacity 0 (RFC 9204 §4.3.1): all that a table of no size allows.
                if byte != 0x20 {
                    return Err(Code::QPACK_ENCODER_STREAM_ERROR);
                }
            } else {
                self.pass_decoder(byte)?;
            }
        }
        Ok(())
    }

    /// Stream Cancellation (RFC 9204 §4.4.2) alone may come: there is nothing to acknowledge, and
    /// nothing was inserted.
    fn pass_decoder(&mut self, byte: u8) -> Result<(), Code> {
        let wrong = Err(Code::QPACK_DECODER_STREAM_ERROR);
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
