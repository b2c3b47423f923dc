//! The body of a fill: taken in at the pace that it may, made readable, and stored once it came whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use headwater_net::body::Meter;
use headwater_net::{Body, BodyError};
use http::StatusCode;
use smallvec::SmallVec;

use super::{Slice, Work};
use crate::cache::MIN_WINDOW;
use crate::fill::buffer::CHUNK;
use crate::fill::pump::{Next, Pump};
use crate::fill::{End, Outcome};
use crate::object::{Head, Object};
use crate::policy::reuse::Failure;
use crate::sync::yield_now;

impl Work {
    pub(super) async fn stream(&mut self, head: Arc<Head>, body: Body) {
        let mut meter = Meter::new(head.len);
        let most = self.largest(head.status);
        let too_large = head.len.is_some_and(|len| len > most);
        if too_large {
            self.fill.windowed.store(true, Ordering::Release);
        }
        let open = self.slice.is_some() || head.is_shareable(self.inner.clock.now());
        self.fill.settle(Outcome::Shared { head: Arc::clone(&head), open, stored: !too_large });
        if let Some(begun) = self.slice.as_ref().and_then(Slice::begun) {
            let bytes = begun.len();
            let known = meter.add(bytes);
            debug_assert!(known.is_ok(), "less than the slice");
            self.publish(begun.clone().collect(), bytes, most);
        }
        let mut pump = Pump::new(body);
        let mut finishing = false;
        let mut since_yield = 0;
        let end = loop {
            let next = tokio::select! {
                biased;
                next = pump.next() => Some(next),
                () = self.fill.attention.notified(), if !finishing => None,
            };
            match next {
                None => {}
                Some(Next::Bytes(batch)) => {
                    let bytes = batch.iter().map(|piece| piece.len() as u64).sum();
                    if let Err(error) = meter.add(bytes) {
                        break End::Failed(error);
                    }
                    self.publish(batch, bytes, most);
                    since_yield += bytes;
                }
                Some(Next::End) => {
                    break meter.end().map_or_else(End::Failed, |()| End::Complete);
                }
                Some(Next::Failed(error)) => break End::Failed(error),
            }
            if !finishing && self.is_alone() {
                finishing = !self.fill.is_windowed() && meter.has_come(self.inner.finish_percent);
                if !finishing
                    && self.inner.fills.retire_if_idle(&self.fill, || self.keep_part(&head))
                {
                    return self.abandon();
                }
            }
            if self.fill.is_windowed() {
                finishing = false;
                // What is not kept is fetched for readers only.
                if self.background.take().is_some() {
                    self.pause(None, Failure::Error);
                }
                if self.keep_pace().await {
                    return self.abandon();
                }
            }
            // A body that is all there never waits: let readers have a turn.
            if since_yield >= 16 * CHUNK as u64 {
                since_yield = 0;
                yield_now().await;
            }
        };
        self.end_body(&head, end);
    }

    /// The largest body of a response with this status that is stored.
    fn largest(&self, status: StatusCode) -> u64 {
        let most = self.inner.max_object;
        self.inner.choices.max_body(status).map_or(most, |error| error.min(most))
    }

    fn end_body(&mut self, head: &Arc<Head>, end: End) {
        self.ended = true;
        match &end {
            End::Complete if !self.fill.is_windowed() => {
                let body = self.fill.state().buffer.whole();
                self.inner.fills.retire(&self.fill, || {
                    let Some(body) = body else { return };
                    let mut head = match head.len {
                        Some(_) => Head::clone(head),
                        None => head.with_len(body.len()),
                    };
                    // It is in one piece.
                    head.ends = None;
                    let charge = Arc::downgrade(&self.fill.charge);
                    self.keep(Arc::new(Object::new(head, body, charge)));
                });
                self.complete();
            }
            End::Failed(error) => {
                self.inner.metrics.fills_failed.inc();
                tracing::warn!(error = %error, "a fill broke off");
                self.pause(None, Failure::Error);
                // One that goes on past its end has not kept its word in what came, either.
                let kept = !matches!(error, BodyError::TooLarge { .. });
                self.inner.fills.retire(&self.fill, || {
                    if kept {
                        self.keep_part(head);
                    }
                });
            }
            _ => self.inner.fills.retire(&self.fill, || ()),
        }
        self.fill.finish(end);
    }

    /// Makes bytes readable, within the bounds on what one fill and all of them may hold.
    fn publish(&self, batch: SmallVec<[Bytes; 4]>, bytes: u64, most: u64) {
        self.fill.charge.add(bytes);
        {
            let mut state = self.fill.state_mut();
            for piece in batch {
                state.buffer.push(piece);
            }
            if state.buffer.held() > most || self.inner.budget.is_over() {
                self.fill.windowed.store(true, Ordering::Release);
            }
            self.fill.published.store(state.buffer.end(), Ordering::Release);
        }
        self.fill.changed.notify_waiters();
    }

    /// Lets go of what lies further than a window behind the furthest reader: it alone sets the
    /// pace, and when a body turns out too large to keep, it loses nothing.
    fn trim(&self) {
        let to = self.fill.pace().saturating_sub(self.window());
        if to > 0 {
            let released = self.fill.state_mut().buffer.trim(to);
            self.fill.charge.release(released);
        }
    }

    /// The window, which is the least there is while all fills together hold too much.
    fn window(&self) -> u64 {
        if self.inner.budget.is_over() { MIN_WINDOW } else { self.inner.window }
    }

    /// Waits until the furthest reader is at most half a window behind; says whether the fill was
    /// given up because there is none.
    async fn keep_pace(&self) -> bool {
        loop {
            self.trim();
            if self.is_alone() && self.inner.fills.retire_if_idle(&self.fill, || ()) {
                return true;
            }
            let came = self.fill.published.load(Ordering::Acquire);
            let ahead = came.saturating_sub(self.fill.pace());
            if ahead <= self.window() / 2 {
                return false;
            }
            self.fill.attention.notified().await;
        }
    }
}
