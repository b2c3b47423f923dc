//! Answers from a response that is kept in slices ([`crate::slices`]): each slice is read from
//! store, or from the one fetch of it that all share; the next is fetched while one is read.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tower_service::Service;

use super::miss::{MAX_JOINS, TOO_MANY, order_of_slice};
use super::{Forward, Miss, disk_marks, hit_marks, is_usable, signed, usable};
use crate::Cache;
use crate::answer::{self, Marks, Shape};
use crate::fill::reader::Reader;
use crate::fill::table::{Joined, Joining};
use crate::fill::task::{self, Slice};
use crate::fill::{Interest, Outcome};
use crate::key::Key;
use crate::object::Object;
use crate::proxy_status::ProxyError;
use crate::purge::PurgeSeq;
use crate::slices::{self, Grid, holds};
use crate::status::{Fwd, Member};
use crate::upstream::{self, BoxError};

/// Why a slice is not to be had.
pub(super) enum Trouble {
    /// The response is not what upstream has now, or cannot be kept in slices: it was forgotten,
    /// and is to be asked for anew.
    Anew,
    /// Nothing that was fetched is for this request, or what came is for it alone: it is to be sent
    /// past the store.
    Alone,
    /// There are as many fetches as there may be.
    Refused,
    /// Upstream failed.
    Failed { status: StatusCode, retry_after: Option<HeaderValue>, error: Option<ProxyError> },
}

impl<S> Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Answers a hit on a response that is kept in slices.
    pub(crate) async fn sliced_hit(self, object: Arc<Object>, miss: Miss) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        let marks = || hit_marks(&inner, &object, &self.parts, inner.clock.now());
        match self.answer_stored_slices(&object, &miss, marks).await {
            Some(response) => response,
            None => self.miss(miss).await,
        }
    }

    /// The answer from a stored response: a hit, with its marks, if what is to be sent first is
    /// there; `None` where it is to be asked for anew.
    pub(super) async fn answer_stored_slices(
        &self,
        object: &Arc<Object>,
        miss: &Miss,
        hit: impl FnOnce() -> Marks,
    ) -> Option<Response<Body>> {
        let inner = self.cache.inner();
        let marks = |got: Got| {
            let now = inner.clock.now();
            let collapsed = match got {
                Got::InRam => return hit(),
                Got::OnDisk => return disk_marks(inner, object, &self.parts, now),
                Got::Fetched { collapsed } => collapsed,
            };
            inner.metrics.misses.inc();
            // RFC 9211 §2.2: what is stored did not have it all.
            let member = Member {
                fwd: Some(Fwd::Partial),
                fwd_status: Some(StatusCode::PARTIAL_CONTENT),
                ttl: Some(object.ttl(now)),
                stored: true,
                collapsed,
                ..Member::default()
            };
            let cache_status = signed(inner, &self.parts, &member);
            Marks { cache_status, age: Some(object.head.age(now)) }
        };
        self.answer_in_slices(object, miss, marks).await
    }

    /// The answer, marked by how its first bytes were got; `None` where the response is to be asked
    /// for anew.
    pub(super) async fn answer_in_slices(
        &self,
        object: &Arc<Object>,
        miss: &Miss,
        marks: impl FnOnce(Got) -> Marks,
    ) -> Option<Response<Body>> {
        let inner = self.cache.inner();
        let (grid, len) = (inner.grid.as_ref()?.of(&object.head), object.head.len?);
        let slices = Arc::new(Slices {
            cache: self.cache.clone(),
            service: self.service.clone(),
            request: self.parts.clone(),
            object: Arc::clone(object),
            key: Arc::clone(&miss.key),
            since: miss.since,
            grid,
            len,
        });
        let head = &object.head;
        let shape = answer::shape(head, Some(len), &self.parts.method, &self.parts.headers);
        let first = match &shape {
            Shape::Whole => Some(0..len),
            Shape::Part(part) => Some(part.clone()),
            Shape::Parts(parts) => parts.first().cloned(),
            _ => None,
        };
        // Nothing is promised before its first bytes are to be had.
        let (mut opened, mut got) = (None, Got::InRam);
        if let Some(first) = first {
            if miss.directives.only_if_cached {
                return None;
            }
            match slices.open(slices.piece(&first), None).await {
                Ok((body, how)) => (opened, got) = (Some(body), how),
                Err(Trouble::Anew) => return None,
                Err(Trouble::Alone) => {
                    return Some(self.clone().pass(miss.fwd, Body::empty()).await);
                }
                Err(Trouble::Refused) => return Some(self.refused(miss.fwd, TOO_MANY)),
                Err(Trouble::Failed { status, retry_after, error }) => {
                    let mut response = upstream::problem(status).into_response();
                    if let Some(retry_after) = retry_after {
                        response.headers_mut().insert(RETRY_AFTER, retry_after);
                    }
                    let member = Member { fwd: Some(miss.fwd), ..Member::default() };
                    return Some(self.sign_error(response, error, &member));
                }
            }
        }
        Some(answer::build(head, Some(len), &shape, marks(got), |part| {
            let part = part.unwrap_or(0..len);
            Body::Stream(Box::pin(SliceBody {
                slices: Arc::clone(&slices),
                offset: part.start,
                end: part.end,
                state: opened
                    .take()
                    .map_or(State::Between, |body| State::Reading(body, slices.piece(&part).end)),
                ahead: None,
            }))
        }))
    }
}

/// A response in slices, and how to get them for one request.
struct Slices<S> {
    cache: Cache,
    service: S,
    request: Parts,
    /// The response, stored without its body.
    object: Arc<Object>,
    /// The key it is stored under.
    key: Key,
    since: PurgeSeq,
    grid: Grid,
    len: u64,
}

/// A stake in the fetch of a slice.
struct Fetch {
    interest: Interest,
    /// It was begun for this request, with its fields.
    leader: bool,
}

/// How the bytes of a slice were got.
#[derive(Clone, Copy)]
pub(super) enum Got {
    /// They were there, or none are needed.
    InRam,
    /// They were read from disk.
    OnDisk,
    /// Upstream was asked for them, by this request or, `collapsed`, by another.
    Fetched { collapsed: bool },
}

/// What came of looking for bytes of a slice.
type Opened = Result<(Body, Got), Trouble>;

/// Where the bytes of a slice come from.
enum Found {
    Stored(Body),
    Fill(Fetch),
    Refused,
}

impl<S> Slices<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// As much of a range as lies in the slice that it begins in.
    fn piece(&self, range: &Range<u64>) -> Range<u64> {
        let slice = self.grid.range(self.grid.number(range.start), self.len);
        range.start..range.end.min(slice.end)
    }

    /// The bytes of a range that lies in one slice, whose fetch may be `ahead` already. Cancel safe.
    async fn open(&self, range: Range<u64>, mut ahead: Option<Fetch>) -> Opened {
        let number = self.grid.number(range.start);
        let start = self.grid.range(number, self.len).start;
        let within = range.start - start..range.end - start;
        if ahead.is_none()
            && let Some(slice) = self.find_on_disk(&range).await
        {
            return Ok((slice.body.body(Some(within)), Got::OnDisk));
        }
        for _ in 0..MAX_JOINS {
            let found = ahead.take().map_or_else(|| self.find(&range), Found::Fill);
            let Fetch { interest, leader } = match found {
                Found::Stored(body) => return Ok((body, Got::InRam)),
                Found::Refused => return Err(Trouble::Refused),
                Found::Fill(fetch) => fetch,
            };
            interest.fill().tell(&self.request);
            match interest.fill().settled().await {
                // Late for one that is not kept: the next is begun for us.
                Outcome::Shared { .. } => {
                    if let Some(reader) = Reader::new(interest, within.start, Some(within.end)) {
                        let got = Got::Fetched { collapsed: !leader };
                        return Ok((Body::Stream(Box::pin(reader)), got));
                    }
                }
                Outcome::Failed { status, retry_after, error } => {
                    return Err(Trouble::Failed { status, retry_after, error });
                }
                Outcome::Alone if leader => break,
                // It says nothing to us: the next may be ours.
                Outcome::Alone => {}
                _ => return Err(Trouble::Anew),
            }
        }
        Err(Trouble::Alone)
    }

    /// Reads the slice that a range lies in from disk, where RAM does not have it.
    async fn find_on_disk(&self, range: &Range<u64>) -> Option<Arc<Object>> {
        let inner = self.cache.inner();
        let key = self.slice_key(self.grid.number(range.start));
        let headers = &self.request.headers;
        if usable(inner, &key, headers, self.since).is_some() {
            return None;
        }
        let slice = inner.store.find_on_disk(&key, headers).await?;
        (holds(&slice, range) && is_usable(inner, &slice, &key, self.since)).then_some(slice)
    }

    fn slice_key(&self, number: u64) -> Key {
        self.grid.key(&self.key, &self.object.head, number)
    }

    /// Finds the slice that a range lies in in store, as much of it as is wanted; or joins its
    /// fetch, or begins it.
    fn find(&self, range: &Range<u64>) -> Found {
        let inner = self.cache.inner();
        let headers = &self.request.headers;
        let number = self.grid.number(range.start);
        let key = self.slice_key(number);
        let slice = self.grid.range(number, self.len);
        let stored = || {
            let found = usable(inner, &key, headers, self.since);
            if let Some(found) = found.filter(|found| holds(found, range)) {
                let within = range.start - slice.start..range.end - slice.start;
                return Some(found.body.body(Some(within)));
            }
            // Its slices have become one piece since.
            let whole = usable(inner, &self.key, headers, self.since);
            let whole = whole.filter(|one| slices::is_joined(one, &self.object.head))?;
            Some(whole.body.body(Some(range.clone())))
        };
        if let Some(body) = stored() {
            return Found::Stored(body);
        }
        let joining = Joining {
            key: &key,
            headers,
            variants: None,
            only_unsettled: false,
            ledger: inner.purges.ledger(),
            since: self.since,
        };
        let cache = Some(&self.cache);
        let joined = inner.fills.join(&joining, cache, &inner.budget, &inner.metrics, stored);
        match joined {
            Err(body) => Found::Stored(body),
            Ok(Joined::Refused) => Found::Refused,
            Ok(Joined::Follower(interest)) => {
                inner.metrics.collapsed.inc();
                Found::Fill(Fetch { interest, leader: false })
            }
            Ok(Joined::Leader(interest)) => {
                let fill = Arc::clone(interest.fill());
                let slice = Slice {
                    whole: Arc::clone(&self.object),
                    key: Arc::clone(&self.key),
                    begun: usable(inner, &key, headers, self.since)
                        .filter(|found| !holds(found, &slice)),
                    range: slice,
                };
                let order = order_of_slice(inner, &self.request, slice, fill.purge_seq());
                let service = self.service.clone();
                inner.spawn(task::run(Arc::clone(inner), fill, service, order));
                Found::Fill(Fetch { interest, leader: true })
            }
        }
    }
}

/// A range of a response, slice after slice.
struct SliceBody<S> {
    slices: Arc<Slices<S>>,
    offset: u64,
    end: u64,
    state: State,
    /// The fetch of the next slice.
    ahead: Option<(u64, Option<Fetch>)>,
}

enum State {
    Between,
    /// With where the slice, or what is wanted of it, ends.
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>, u64),
    Reading(Body, u64),
    Ended,
}

impl<S> SliceBody<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Begins to fetch the next slice once half of one is read: who only looks into the beginning
    /// costs no more than that.
    fn look_ahead(&mut self) {
        let number = self.slices.grid.number(self.offset.saturating_sub(1));
        let slice = self.slices.grid.range(number, self.slices.len);
        let near = self.offset >= slice.start + (slice.end - slice.start) / 2;
        if near && slice.end < self.end && self.ahead.as_ref().is_none_or(|(at, _)| *at <= number) {
            let store = &self.slices.cache.inner().store;
            // What lies on disk is read soon enough when its turn comes.
            let on_disk = store.may_be_on_disk(&self.slices.slice_key(number + 1));
            let next = self.slices.piece(&(slice.end..self.end));
            let fetch = match (!on_disk).then(|| self.slices.find(&next)) {
                Some(Found::Fill(fetch)) => Some(fetch),
                _ => None,
            };
            self.ahead = Some((number + 1, fetch));
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.state = State::Ended;
        self.ahead = None;
        Poll::Ready(Some(Err(error)))
    }
}

// Nothing in it is pinned but boxes.
impl<S> Unpin for SliceBody<S> {}

impl<S> http_body::Body for SliceBody<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Between if this.offset >= this.end => {
                    this.state = State::Ended;
                }
                State::Between => {
                    let piece = this.slices.piece(&(this.offset..this.end));
                    let slices = Arc::clone(&this.slices);
                    let (number, end) = (slices.grid.number(piece.start), piece.end);
                    // Held until it is read: what is fetched ahead need not have found a place in
                    // the store.
                    let ahead = this.ahead.as_mut().filter(|(at, _)| *at == number);
                    let ahead = ahead.and_then(|(_, fetch)| fetch.take());
                    let opening = Box::pin(async move { slices.open(piece, ahead).await });
                    this.state = State::Opening(opening, end);
                }
                State::Opening(opening, end) => match ready!(opening.as_mut().poll(cx)) {
                    Ok((body, _)) => this.state = State::Reading(body, *end),
                    // What was sent cannot be taken back: the answer breaks off.
                    Err(Trouble::Anew) => {
                        return this.fail(BodyError::source("upstream has another version now"));
                    }
                    Err(Trouble::Refused) => return this.fail(BodyError::Aborted),
                    Err(Trouble::Alone | Trouble::Failed { .. }) => {
                        return this.fail(BodyError::source("upstream failed"));
                    }
                },
                State::Reading(body, end) => {
                    let end = *end;
                    match ready!(http_body::Body::poll_frame(Pin::new(body), cx)) {
                        Some(Ok(frame)) => {
                            let Ok(data) = frame.into_data() else { continue };
                            this.offset += data.len() as u64;
                            this.look_ahead();
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Some(Err(error)) => return this.fail(error),
                        None if this.offset < end => {
                            let received = this.offset;
                            return this.fail(BodyError::Truncated { expected: end, received });
                        }
                        None => this.state = State::Between,
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.offset >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.offset))
    }
}
