//! The requests of one connection: begun at once, and kept until their answers have arrived.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::ReusableBoxFuture;

use super::sender::Sender;
use crate::interim::Room;

/// How a request ended: with the sending side of its stream when all was sent, or a panic.
type Ended = std::thread::Result<Option<Sender>>;

/// Where each request of a worker begins. Most are answered at once, from memory, and need no task;
/// the room for one is kept, and since all that use it run on one thread, it is never waited for.
#[derive(Clone)]
pub(super) struct Start(Arc<Mutex<ReusableBoxFuture<'static, Ended>>>);

impl Start {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(nothing())))
    }
}

fn nothing() -> ReusableBoxFuture<'static, Ended> {
    ReusableBoxFuture::new(std::future::pending())
}

/// The requests of a connection.
pub(super) struct Requests {
    pub(super) running: JoinSet<Ended>,
    start: Start,
    /// For the next one.
    room: Arc<Room>,
    sent: Unacknowledged,
}

impl Requests {
    pub(super) fn new(max_streams: usize, start: Start) -> Self {
        let sent = Unacknowledged::new(max_streams);
        Self { running: JoinSet::new(), start, room: Arc::default(), sent }
    }

    /// Runs the request as far as it gets without waiting, and what is left of it as a task.
    pub(super) fn begin<F>(&mut self, request: impl FnOnce(Arc<Room>) -> F)
    where
        F: Future<Output = Option<Sender>> + Send + 'static,
    {
        let request = request(Arc::clone(&self.room));
        let mut start = self.start.0.lock().unwrap_or_else(PoisonError::into_inner);
        start.set(AssertUnwindSafe(request).catch_unwind());
        // No waker: a task polls the request again at once.
        match start.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => self.sent.push(ended),
            Poll::Pending => {
                self.running.spawn(std::mem::replace(&mut *start, nothing()));
                // It has that for itself.
                self.room = Arc::default();
            }
        }
    }

    /// Waits until a running request has ended, forever when there is none.
    pub(super) async fn one_ended(&mut self) {
        match self.running.join_next().await {
            Some(Ok(ended)) => self.sent.push(ended),
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// Heeds what the client has said since of answers that are still on their way; those under way
    /// heed it themselves.
    pub(super) fn update(&mut self) {
        self.sent.streams.iter_mut().for_each(Sender::update);
    }

    /// Waits until all have ended and the client has all of their answers.
    pub(super) async fn all_arrived(&mut self) {
        while !self.running.is_empty() {
            self.one_ended().await;
        }
        self.sent.all_acknowledged().await;
    }
}

/// Finished streams whose data may still be on its way. Closing a QUIC connection drops what is
/// unacknowledged, so a drain waits for these.
///
/// A stream counts against the client's limit until all of it is acknowledged: the last `limit`
/// streams are all there can be.
struct Unacknowledged {
    streams: VecDeque<Sender>,
    limit: usize,
}

impl Unacknowledged {
    fn new(limit: usize) -> Self {
        Self { streams: VecDeque::new(), limit: limit.max(1) }
    }

    fn push(&mut self, ended: Ended) {
        let Ok(Some(sender)) = ended else { return };
        if self.streams.len() >= self.limit {
            self.streams.pop_front();
        }
        self.streams.push_back(sender);
    }

    async fn all_acknowledged(&mut self) {
        while let Some(sender) = self.streams.pop_front() {
            sender.stopped().await;
        }
    }
}
