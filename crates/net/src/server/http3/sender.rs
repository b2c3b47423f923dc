//! The sending side of a request's stream.
//!
//! One that is dropped before it was finished resets its stream: quinn alone would end it cleanly,
//! and an answer that was given up would look complete.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use quinn::{VarInt, WriteError};

use super::framing::code::Code;
use super::framing::control::Said;
use super::framing::priority::Urgency;
use super::var_int;

/// The sending side of a stream, reset when dropped unfinished.
pub(super) struct Sender {
    stream: quinn::SendStream,
    ended: bool,
    said: Arc<Said>,
    /// How many changes of urgencies were looked at.
    seen: u64,
}

impl Sender {
    pub(super) fn new(stream: quinn::SendStream, said: Arc<Said>) -> Self {
        Self { stream, ended: false, said, seen: 0 }
    }

    /// The largest section of fields that the client takes, in bytes by the measure of RFC 9114
    /// §4.2.2.
    pub(super) fn largest_section(&self) -> u64 {
        self.said.largest_section()
    }

    /// Puts the stream in its place among the connection's; what the client said in a
    /// PRIORITY_UPDATE counts for more (RFC 9218 §7).
    pub(super) fn prioritise(&mut self, urgency: Urgency) {
        if !self.update() && urgency != Urgency::DEFAULT {
            let _ = self.stream.set_priority(urgency.order());
        }
    }

    /// Heeds what the client has said since; says whether it has ever.
    fn update(&mut self) -> bool {
        let came = self.said.updates.came();
        if came == self.seen {
            return false;
        }
        self.seen = came;
        let urgency = self.said.updates.of(self.id());
        if let Some(urgency) = urgency {
            let _ = self.stream.set_priority(urgency.order());
        }
        urgency.is_some()
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

    /// Hands as much of the chunks to quinn as it takes, and at least a byte, without copying them;
    /// gives back how many it took whole.
    pub(super) async fn write(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        self.update();
        self.stream.write_chunks(chunks).await.map(|written| written.chunks)
    }

    /// Ends the stream: what was written is all.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        let _ = self.stream.finish();
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
            self.reset(Code::InternalError);
        }
        self.said.updates.forget(self.id());
    }
}
