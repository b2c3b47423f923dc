//! Fills of slices, and of responses that turn out to be kept in slices; see [`crate::slices`].

use std::ops::Range;
use std::sync::{Arc, Weak};

use headwater_net::{Body, Chunks, Timestamp};
use http::request::Parts;
use http::{Response, StatusCode, header};
use tower_service::Service;

use super::{Answer, Order, Work, request};
use crate::cache::Inner;
use crate::fill::Outcome;
use crate::fill::length;
use crate::fill::table::{Joined, Joining};
use crate::key::Key;
use crate::object::{Content, Head, Object};
use crate::slices::{self, Ends, Grid, Verdict};
use crate::sync::yield_now;
use crate::upstream::{self, BoxError};

/// What a fill is to fetch of the response that its key names.
#[derive(Clone)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// A slice first, where upstream gives parts: the route says that what it names is large, or the
    /// client wants what lies far within, and nothing is known of it yet.
    First(First),
    /// A slice.
    Slice(Slice),
}

/// A slice of a response of which nothing is known yet.
#[derive(Clone)]
pub(crate) struct First {
    /// Its bytes, unless the response is shorter.
    pub(crate) range: Range<u64>,
    /// Where the response's slices end, if that is known already.
    ends: Option<Ends>,
}

impl First {
    /// The slice that the byte `at` lies in, of what a request names as it goes upstream, and of which
    /// `stale` is stored.
    pub(crate) fn at(
        at: u64,
        inner: &Inner,
        grid: &Grid,
        request: &Parts,
        stale: Option<&Object>,
    ) -> Self {
        let known = match stale.filter(|stale| slices::is_sliced(stale)) {
            Some(stale) => Some(grid.of(&stale.head)),
            None => joints(inner, request).and_then(|joints| grid.aligned(&joints, None)),
        };
        let grid = known.as_ref().unwrap_or(grid);
        Self { range: grid.range(grid.number(at), u64::MAX), ends: grid.ends().cloned() }
    }
}

/// Where what lies in the response to a request begins and ends, as far as somebody knows.
fn joints(inner: &Inner, request: &Parts) -> Option<Vec<u64>> {
    inner.joints.get()?.joints(request)
}

/// A slice of a response.
#[derive(Clone)]
pub(crate) struct Slice {
    /// The response, stored without its body.
    pub(crate) whole: Arc<Object>,
    /// The key it is stored under.
    pub(crate) key: Key,
    /// The bytes wanted, as long as a slice.
    pub(crate) range: Range<u64>,
    /// What is held of them, if that is their beginning only: the rest is fetched.
    pub(crate) begun: Option<Arc<Object>>,
}

impl Slice {
    /// The bytes that are there already.
    pub(super) fn begun(&self) -> Option<&Chunks> {
        match &self.begun.as_ref()?.body {
            Content::Memory(chunks) => Some(chunks),
            Content::Disk(_) => None,
        }
    }

    /// The bytes to be asked for.
    fn rest(&self) -> Range<u64> {
        let begun = self.begun().map_or(0, Chunks::len);
        self.range.start.saturating_add(begun).min(self.range.end)..self.range.end
    }
}

impl Work {
    /// Asks for a slice.
    pub(super) async fn ask_slice<S>(
        &self,
        service: &mut S,
        order: &Order,
        slice: &Slice,
    ) -> Option<Answer>
    where
        S: Service<http::Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let whole = &slice.whole.head;
        let mut request = request(&order.request, None);
        let rest = slice.rest();
        slices::ask(request.headers_mut(), &rest);
        if let Some(validator) = slices::validator(whole) {
            request.headers_mut().insert(header::IF_RANGE, validator.clone());
        }
        let response = match upstream::ask(service, request).await {
            Ok(response) => response,
            Err(error) => return Some(self.failed(&error, order)),
        };
        let now = self.inner.clock.now();
        let (mut parts, body) = response.into_parts();
        self.inner.policy.receive(&order.request, parts.status, &mut parts.headers);
        let targets = self.inner.choices.targets();
        Some(match slices::judge(whole, &rest, parts.status, &parts.headers, targets) {
            Verdict::Slice => {
                // What is joined is as old as its oldest part.
                let begun = slice.begun.as_ref().map(|begun| begun.head.purge_seq);
                let seq = begun.unwrap_or(self.fill.purge_seq).min(self.fill.purge_seq);
                let head = slices::head_of(whole, &slice.range, seq);
                Answer::Stream(Arc::new(head), body)
            }
            Verdict::Changed => {
                tracing::debug!(status = %parts.status, "a slice of another representation came");
                self.inner.remembered.note_change(&slice.key, now);
                self.forget(slice);
                Answer::Settled(Outcome::Changed)
            }
            Verdict::NoPart => {
                self.inner.remembered.note_whole(&slice.key, now);
                self.forget(slice);
                Answer::Settled(Outcome::NoParts)
            }
            Verdict::Alone => Answer::Settled(Outcome::Alone),
            Verdict::Failed => {
                self.inner.metrics.fills_failed.inc();
                let status = if parts.status.is_server_error() {
                    parts.status
                } else {
                    StatusCode::BAD_GATEWAY
                };
                let retry_after = parts.headers.get(header::RETRY_AFTER).cloned();
                Answer::Settled(Outcome::Failed { status, retry_after, error: None })
            }
        })
    }

    /// Forgets a response whose slices are not to be had any more, unless another has its place,
    /// and its slices.
    fn forget(&self, slice: &Slice) {
        let (inner, head) = (&self.inner, &slice.whole.head);
        inner.fills.guarded(&slice.key, || {
            let stored = inner.store.get(&slice.key);
            let same = |object: &Arc<Object>| slices::is_whole_of(object, head);
            if stored.is_some_and(|variants| variants.iter().any(same))
                || inner.store.still_on_disk(&slice.key, &slice.whole)
            {
                inner.store.remove(&slice.key);
            }
        });
        forget_slices(inner, &slice.key, head);
    }

    /// How a response is cut, where it is to be kept in slices.
    pub(super) fn cuts(&self, head: &Head) -> Option<Grid> {
        let grid = self.inner.grid.as_ref()?.of(head);
        let now = self.inner.clock.now();
        let whole = || self.inner.remembered.is_whole(&self.fill.key, now);
        (grid.cuts(head) && !whole()).then_some(grid)
    }

    /// Settles where the slices of a response end that has just come, of which those bytes are `begun`;
    /// says whether it can be cut.
    ///
    /// The slices of one that is stored stay as they are: so no byte of it is fetched again for what
    /// somebody has learnt since.
    pub(super) fn settle_ends(
        &self,
        head: &mut Head,
        order: &Order,
        begun: Option<&Range<u64>>,
    ) -> bool {
        let Some(grid) = self.cuts(head) else { return false };
        if begun.is_none() && head.len.is_none_or(|len| grid.count(len) < 2) {
            return true;
        }
        let variants = self.inner.store.peek(&self.fill.key);
        let stored = variants.as_ref().and_then(|all| all.select(self.request()));
        let stored = stored.or(order.stale.as_ref());
        let stored = stored.filter(|stored| slices::is_whole_of(stored, head));
        let grid = match (stored, &order.part) {
            (Some(stored), _) => grid.of(&stored.head),
            (None, Part::First(First { ends: Some(ends), .. })) if begun.is_some() => {
                grid.with(Some(Arc::clone(ends)))
            }
            _ => {
                let joints = joints(&self.inner, &order.request);
                joints.and_then(|joints| grid.aligned(&joints, begun)).unwrap_or(grid)
            }
        };
        head.ends = grid.ends().cloned();
        if !grid.cuts(head) {
            head.ends = None;
        }
        true
    }

    /// A 206 to a fill that asked for the first slice of something unknown. `None` where it is
    /// nothing to begin with: then the whole is asked for.
    pub(super) fn begun(
        &self,
        response: Response<Body>,
        range: &Range<u64>,
        requested: Timestamp,
        order: &Order,
    ) -> Option<Answer> {
        let (mut parts, body) = response.into_parts();
        let (part, len) = slices::first_part(&parts.headers)?;
        if part.start != range.start || part.end != range.end.min(len) {
            return None;
        }
        parts.status = StatusCode::OK;
        self.inner.policy.receive(&order.request, parts.status, &mut parts.headers);
        parts.headers.remove(header::CONTENT_RANGE);
        let mut head = Head::receive(&parts, Some(len), self.exchange(order, requested)).ok()?;
        if self.anonymous.is_some() && !head.vary.matches(&self.fill.request) {
            return None;
        }
        if part == (0..len) {
            return Some(Answer::Stream(Arc::new(head), body));
        }
        self.settle_ends(&mut head, order, Some(range)).then(|| {
            // Not where the slices of what is stored are others.
            let slice = self.inner.grid.as_ref().map(|grid| grid.of(&head));
            let fits = slice.is_some_and(|grid| grid.range(grid.number(part.start), len) == part);
            Answer::Sliced(Box::new(head), fits.then_some((part, body)))
        })
    }

    /// Stores a response without its body, and begins its first slice where that is coming.
    pub(super) fn keep_in_slices(&mut self, head: Head, begun: Option<(Range<u64>, Body)>) {
        let status = if begun.is_some() { StatusCode::PARTIAL_CONTENT } else { head.status };
        let open = head.is_shareable(self.inner.clock.now());
        let object = Arc::new(Object::new(head, Chunks::default(), Weak::new()));
        if let Some((range, body)) = begun {
            self.begin_slice(&object, range, body);
        }
        self.inner.fills.retire(&self.fill, || self.keep(Arc::clone(&object)));
        let fwd_status = Some(status);
        self.settle_without_body(Outcome::Stored { object, fwd_status, open });
    }

    /// Begins the fill of a slice with a body that is there already.
    fn begin_slice(&self, object: &Arc<Object>, range: Range<u64>, body: Body) {
        let Some(grid) = self.inner.grid.as_ref().map(|grid| grid.of(&object.head)) else { return };
        let key = grid.key(&self.fill.key, &object.head, grid.number(range.start));
        let joining = Joining {
            key: &key,
            headers: self.request(),
            variants: None,
            only_unsettled: false,
            ledger: self.inner.purges.ledger(),
            since: self.fill.purge_seq,
        };
        let inner = &self.inner;
        // A purge that came since the request left is older than this fill, and not than its bytes.
        let joined = inner.fills.join(&joining, None, &inner.budget, &inner.metrics, || {
            (!object.holds(inner.purges.ledger(), &self.fill.key)).then_some(())
        });
        let Ok(Joined::Leader(interest)) = joined else { return };
        inner.metrics.fills.inc();
        let fill = Arc::clone(interest.fill());
        let head = Arc::new(slices::head_of(&object.head, &range, fill.purge_seq));
        let (whole, key) = (Arc::clone(object), Arc::clone(&self.fill.key));
        let slice = Slice { whole, key, range, begun: None };
        let len = slice.range.end - slice.range.start;
        let mut work = Work {
            inner: Arc::clone(inner),
            fill,
            stale: None,
            anonymous: None,
            background: Some(interest),
            slice: Some(slice),
            began: self.began,
            ended: false,
        };
        inner.spawn(async move { work.stream(head, length::cut(body, len)).await });
    }

    /// Keeps what came of a body that broke off or was given up, where the rest of it can be asked
    /// for (RFC 9111 §3.3): as slices, the last of them in part. To be called as a fill is retired.
    pub(super) fn keep_part(&self, head: &Head) {
        if self.fill.is_windowed() {
            return;
        }
        let Some(body) = self.fill.state().buffer.whole() else { return };
        if let Some(slice) = &self.slice {
            if body.len() > slice.begun().map_or(0, Chunks::len) {
                let part = slice.range.start..slice.range.start + body.len();
                let head = slices::head_of(&slice.whole.head, &part, head.purge_seq);
                self.keep(Arc::new(Object::new(head, body, Weak::new())));
            }
            return;
        }
        let Some(grid) = self.cuts(head).filter(|_| !body.is_empty()) else { return };
        for number in 0..grid.count(body.len()) {
            let part = grid.range(number, body.len());
            let slice = slices::head_of(head, &part, head.purge_seq);
            let slice = Object::new(slice, body.slice(part), Weak::new());
            let key = grid.key(&self.fill.key, head, number);
            self.inner.store.insert(&key, Arc::new(slice), self.request());
        }
        self.keep(Arc::new(Object::new(head.clone(), Chunks::default(), Weak::new())));
    }

    /// Once a slice has come: where it was the last that a response small enough to be kept in one
    /// piece had wanted, that is what becomes of it (RFC 9111 §3.4).
    pub(super) fn complete(&self) {
        let (inner, Some(slice)) = (&self.inner, &self.slice) else { return };
        let whole = &slice.whole.head;
        let (Some(grid), Some(len)) = (&inner.grid, whole.len) else { return };
        let grid = grid.of(whole);
        if len > inner.max_object {
            return;
        }
        let ledger = inner.purges.ledger();
        inner.fills.guarded(&slice.key, || {
            let Some(variants) = inner.store.get(&slice.key) else { return };
            let same = |object: &&Arc<Object>| slices::is_whole_of(object, whole);
            let Some(stored) = variants.select(self.request()).filter(same) else { return };
            let mut purge_seq = stored.head.purge_seq;
            let mut pieces = Vec::new();
            for number in 0..grid.count(len) {
                let part = inner.store.get(&grid.key(&slice.key, whole, number));
                let part = part.as_ref().and_then(|all| all.iter().next());
                let Some(part) = part.filter(|part| part.holds(ledger, &slice.key)) else { return };
                purge_seq = purge_seq.min(part.head.purge_seq);
                let Content::Memory(piece) = &part.body else { return };
                pieces.extend(piece.clone());
            }
            let body = Chunks::from(pieces);
            if body.len() != len {
                return;
            }
            let mut head = stored.head.clone();
            (head.purge_seq, head.ends) = (purge_seq, None);
            let object = Arc::new(Object::new(head, body, Weak::new()));
            if object.holds(ledger, &slice.key) {
                inner.store.insert(&slice.key, object, self.request());
            }
        });
        if inner
            .store
            .get(&slice.key)
            .is_some_and(|all| all.iter().any(|one| !slices::is_sliced(one)))
        {
            forget_slices(inner, &slice.key, whole);
        }
    }
}

/// Forgets all slices of a response.
fn forget_slices(inner: &Arc<Inner>, key: &Key, whole: &Head) {
    let (Some(grid), Some(len)) = (&inner.grid, whole.len) else { return };
    let (this, key, whole) = (Arc::clone(inner), Arc::clone(key), whole.clone());
    let grid = grid.of(&whole);
    inner.spawn(async move {
        for number in 0..grid.count(len) {
            this.store.remove(&grid.key(&key, &whole, number));
            if number % 256 == 255 {
                yield_now().await;
            }
        }
    });
}
