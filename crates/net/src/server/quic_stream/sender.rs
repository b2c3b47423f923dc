//! The sending side of a stream, which the task of a request takes over from h3.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use h3::error::Code;
use quinn::{VarInt, WriteError};

use super::priority::{Updates, Urgency};
use super::var_int;

/// The sending side of a stream, reset when dropped unfinished.
pub(in super::super) struct Sender {
    pub(super) stream: quinn::SendStream,
    pub(super) ended: bool,
    /// What the client says later of its urgency, and how much of that was looked at.
    updates: Option<(Arc<Updates>, u64)>,
}

impl Sender {
    pub(super) fn new(stream: quinn::SendStream) -> Self {
        Self { stream, ended: false, updates: None }
    }

    pub(super) fn of_request(stream: quinn::SendStream, updates: Arc<Updates>) -> Self {
        Self { stream, ended: false, updates: Some((updates, 0)) }
    }

    /// Puts the stream in its place among the connection's; what the client said in a
    /// PRIORITY_UPDATE counts for more (RFC 9218 §7).
    pub(in super::super) fn prioritise(&mut self, urgency: Urgency) {
        if !self.update() && urgency != Urgency::DEFAULT {
            let _ = self.stream.set_priority(urgency.order());
        }
    }

    /// Heeds what the client has said since; says whether it has ever.
    fn update(&mut self) -> bool {
        let Some((updates, seen)) = &mut self.updates else { return false };
        let came = updates.came();
        if came == *seen {
            return false;
        }
        *seen = came;
        let urgency = updates.of(VarInt::from(self.stream.id()).into_inner());
        if let Some(urgency) = urgency {
            let _ = self.stream.set_priority(urgency.order());
        }
        urgency.is_some()
    }

    /// Waits until the client wants no more, has everything (after [`Sender::finish`]), or is gone.
    pub(in super::super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.stream.stopped();
        async move {
            let _ = stopped.await;
        }
    }

    /// Hands as much of the chunks to quinn as it takes, and at least a byte, without copying them;
    /// gives back how many it took whole.
    pub(in super::super) async fn write(
        &mut self,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        self.update();
        self.stream.write_chunks(chunks).await.map(|written| written.chunks)
    }

    /// Ends the stream: what was written is all.
    pub(in super::super) fn finish(&mut self) {
        self.ended = true;
        let _ = self.stream.finish();
    }

    /// Cuts the stream off.
    pub(in super::super) fn reset(&mut self, code: Code) {
        self.ended = true;
        let _ = self.stream.reset(var_int(code.value()));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(Code::H3_INTERNAL_ERROR);
        }
        if let Some((updates, _)) = &self.updates {
            updates.forget(VarInt::from(self.stream.id()).into_inner());
        }
    }
}
