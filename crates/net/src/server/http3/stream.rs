//! The receiving side of a request's stream; what is not read when it is dropped is declined.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::ReadError;

use super::framing::code::{Code, Wrong};
use super::framing::frames::{Event, Frames};
use super::var_int;

/// Packets' worth of a stream that are taken from quinn at once: mostly one holds a whole request,
/// and a second place lets the end of the stream be seen with it.
const AT_ONCE: usize = 2;

/// The receiving side of a stream.
pub(super) struct Incoming {
    stream: quinn::RecvStream,
    frames: Frames,
    chunks: [Bytes; AT_ONCE],
    /// The chunk that is being read, and how many there are.
    at: usize,
    there: usize,
    ended: bool,
}

/// Why no more comes.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The client broke a rule.
    Wrong(Wrong),
    /// It took the request back, or is gone.
    Lost(ReadError),
}

impl Incoming {
    /// `limit` is that of [`Frames::new`].
    pub(super) fn new(stream: quinn::RecvStream, limit: usize) -> Self {
        let frames = Frames::new(limit);
        Self { stream, frames, chunks: Default::default(), at: 0, there: 0, ended: false }
    }

    /// Whether it was opened before the handshake was done (0-RTT).
    pub(super) fn is_early(&self) -> bool {
        self.stream.is_0rtt()
    }

    /// The section of the request's fields.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) async fn section(&mut self) -> Result<Bytes, Trouble> {
        match poll_fn(|cx| self.poll_next(cx)).await? {
            Some(Event::Section(section)) => Ok(section),
            // Nothing else comes first: `Frames` sees to it.
            _ => Err(Trouble::Wrong(Wrong::Stream(Code::RequestIncomplete))),
        }
    }

    /// What comes next; `None` at the end of the stream.
    ///
    /// # Errors
    /// Where no more will come, now or later.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Event>, Trouble>> {
        loop {
            while self.at < self.there
                && let Some(chunk) = self.chunks.get_mut(self.at)
            {
                if let Some(event) = self.frames.next(chunk).map_err(Trouble::Wrong)? {
                    return Poll::Ready(Ok(Some(event)));
                }
                self.at += 1;
            }
            if self.ended {
                return Poll::Ready(self.frames.end().map(|()| None).map_err(Trouble::Wrong));
            }
            match ready!(pin!(self.stream.read_chunks(&mut self.chunks)).poll(cx)) {
                Ok(Some(there)) => (self.at, self.there) = (0, there),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(Trouble::Lost(error)));
                }
            }
        }
    }

    /// Has the client send no more, for this reason.
    pub(super) fn stop(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            let _ = self.stream.stop(var_int(code));
        }
    }
}

impl Drop for Incoming {
    /// RFC 9114 §4.1: a server that needs no more of a request says so with H3_NO_ERROR.
    fn drop(&mut self) {
        self.stop(Code::NoError);
    }
}
