//! The sending side of a request's stream.
//!
//! One that is dropped before it was finished resets its stream: quinn alone would end it cleanly,
//! and an answer that was given up would look complete. So does one whose request turned out to be
//! malformed (RFC 9114 §4.1.2).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use quinn::{VarInt, WriteError, Written};
use tokio::time::Instant;

use super::framing::code::Code;
use super::framing::control::Said;
use super::framing::priority::Urgency;
use super::received::Broken;
use super::turns::Turns;
use super::var_int;
use crate::server::pace::Pace;

/// The sending side of a stream, reset when dropped unfinished.
pub(super) struct Sender {
    stream: quinn::SendStream,
    ended: bool,
    said: Arc<Said>,
    /// How many changes of urgencies were looked at.
    seen: u64,
    /// Whether one of them was for this stream.
    told: bool,
    urgency: Urgency,
    turns: Arc<Turns>,
    pace: Pace,
    is_too_slow: bool,
    broken: Option<Broken>,
}

impl Sender {
    pub(super) fn new(
        stream: quinn::SendStream,
        said: Arc<Said>,
        turns: Arc<Turns>,
        pace: Pace,
    ) -> Self {
        let (urgency, is_too_slow) = (Urgency::DEFAULT, false);
        Self {
            stream,
            ended: false,
            said,
            seen: 0,
            told: false,
            urgency,
            turns,
            pace,
            is_too_slow,
            broken: None,
        }
    }

    /// Ends the stream by what is found wrong with its request meanwhile.
    pub(super) fn heed(&mut self, broken: Option<Broken>) {
        self.broken = broken;
    }

    fn found(&self) -> Option<Code> {
        self.broken.as_ref().and_then(|broken| broken.get()).copied()
    }

    /// The largest section of fields that the client takes, in bytes by the measure of RFC 9114
    /// §4.2.2.
    pub(super) fn largest_section(&self) -> u64 {
        self.said.largest_section()
    }

    /// Puts the stream in its place among the connection's; what the client said in a
    /// PRIORITY_UPDATE counts for more (RFC 9218 §7).
    pub(super) fn prioritise(&mut self, urgency: Urgency) {
        self.update();
        if !self.told && urgency != Urgency::DEFAULT {
            self.place(urgency);
        }
    }

    fn place(&mut self, urgency: Urgency) {
        self.urgency = urgency;
        let _ = self.stream.set_priority(urgency.order());
    }

    /// Whether the client takes the answer too slowly.
    pub(super) const fn is_too_slow(&self) -> bool {
        self.is_too_slow
    }

    /// Whether a more urgent answer waits for room to send.
    pub(super) fn is_behind(&self) -> bool {
        self.turns.is_behind(self.urgency)
    }

    /// Heeds what the client has said since of the stream's urgency.
    pub(super) fn update(&mut self) {
        let came = self.said.updates.came();
        if came == self.seen {
            return;
        }
        self.seen = came;
        if let Some(urgency) = self.said.updates.of(self.id()) {
            self.told = true;
            self.place(urgency);
        }
    }

    /// The stream's ID (RFC 9000 §2.1).
    pub(super) fn id(&self) -> u64 {
        VarInt::from(self.stream.id()).into_inner()
    }

    /// Waits until the client wants no more, has everything (after [`Sender::finish`]), or is gone.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.stream.stopped();
        async move {
            let _ = stopped.await;
        }
    }

    /// Hands as much of the chunks to quinn as it takes, and at least a byte, without copying them,
    /// when those have had their turn that are more urgent.
    pub(super) async fn write(&mut self, chunks: &mut [Bytes]) -> Result<Written, WriteError> {
        self.update();
        if !self.is_behind()
            && let Some(written) = self.try_write(chunks).await
        {
            return written;
        }
        let (said, turns) = (Arc::clone(&self.said), Arc::clone(&self.turns));
        let mut waits = None;
        let (since, mut was_behind) = (Instant::now(), false);
        loop {
            let mut another = pin!(said.updates.another());
            self.update();
            if self.is_behind() {
                was_behind = true;
                tokio::task::yield_now().await;
            }
            if let Some(written) = self.try_write(chunks).await {
                // What others were given of the time is not the client's.
                self.is_too_slow |= !was_behind && self.pace.is_too_slow(since.elapsed());
                return written;
            }
            waits.replace(turns.wait(self.urgency));
            // Woken, it has yet to look whose turn it is; or quinn holds some of it that has become
            // more urgent.
            let mut woken = false;
            poll_fn(|cx| {
                let again = std::mem::replace(&mut woken, true);
                if again { Poll::Ready(()) } else { another.as_mut().poll(cx) }
            })
            .await;
        }
    }

    /// Where there is no room, `None`: quinn wakes the task when there is.
    async fn try_write(&mut self, chunks: &mut [Bytes]) -> Option<Result<Written, WriteError>> {
        let mut writing = pin!(self.stream.write_chunks(chunks));
        poll_fn(|cx| {
            Poll::Ready(match writing.as_mut().poll(cx) {
                Poll::Ready(written) => Some(written),
                Poll::Pending => None,
            })
        })
        .await
        .inspect(|written| {
            if let Ok(written) = written {
                self.pace.moved(written.bytes as u64);
            }
        })
    }

    /// Ends the stream: what was written is all.
    pub(super) fn finish(&mut self) {
        if let Some(code) = self.found() {
            return self.reset(code);
        }
        self.ended = true;
        let _ = self.stream.finish();
    }

    /// Cuts the stream off for what is wrong with its request, else for a failure of ours.
    pub(super) fn fail(&mut self) {
        self.reset(self.found().unwrap_or(Code::InternalError));
    }

    /// Cuts the stream off.
    pub(super) fn reset(&mut self, code: Code) {
        self.ended = true;
        let _ = self.stream.reset(var_int(code));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.ended {
            self.fail();
        }
        self.said.updates.forget(self.id());
    }
}
