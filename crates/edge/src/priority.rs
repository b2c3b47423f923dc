//! What goes first on a connection where the client does not say (RFC 9218): manifests and keys before
//! sound and init segments, these before pictures, and what a browser fetches ahead last.
//!
//! What an object is, its player says best: where one does (CMCD's `ot`) and
//! [`CmcdLayer`](crate::CmcdLayer), further out, has read it, that counts, so that sound in a `.m4s` of
//! type `video/mp4` is known for what it is. Else its name and type tell.
//!
//! The answer says it in `Priority` (§5), by which HTTP/3 orders its streams; HTTP/2 and HTTP/1.1 do not
//! heed it. A request that has the field, and an answer that has it already, stay as they are. It costs
//! a field of static text where the urgency is not the usual one.

use std::task::{Context, Poll};

use headwater_net::{ConnInfo, Protocol};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::amend::{Amend, Amended};
use crate::cmcd::Told;
use crate::kind::Kind;

const PRIORITY: HeaderName = HeaderName::from_static("priority");
/// What browsers say of what they fetch ahead; the second by older ones.
const PURPOSE: [&str; 2] = ["sec-purpose", "purpose"];

/// Says how urgent answers are; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityLayer {
    on: bool,
}

impl PriorityLayer {
    /// Says it.
    pub const fn by_kind() -> Self {
        Self { on: true }
    }
}

/// The field of an answer; `None` for the usual urgency.
fn urgency(kind: Kind, prefetch: bool) -> Option<HeaderValue> {
    Some(HeaderValue::from_static(match kind {
        _ if prefetch => "u=6",
        Kind::Manifest | Kind::Key => "u=1",
        Kind::Init | Kind::Audio | Kind::Text => "u=2",
        Kind::Video | Kind::Other => return None,
    }))
}

impl<S> Layer<S> for PriorityLayer {
    type Service = Prioritised<S>;

    fn layer(&self, inner: S) -> Prioritised<S> {
        Prioritised { inner, on: self.on }
    }
}

/// The service of [`PriorityLayer`].
#[derive(Clone, Debug)]
pub struct Prioritised<S> {
    inner: S,
    on: bool,
}

impl<S, A, B> Service<Request<A>> for Prioritised<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Amended<S::Future, Silent>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let heeds = |conn: &ConnInfo| conn.protocol == Protocol::H3;
        let silent = self.on
            && request.extensions().get::<ConnInfo>().is_some_and(heeds)
            && !request.headers().contains_key(PRIORITY);
        let silent = silent.then(|| {
            let said = PURPOSE.iter().find_map(|name| request.headers().get(*name));
            let prefetch = said.is_some_and(|said| said.as_bytes().starts_with(b"prefetch"));
            let told = request.extensions().get::<Told>().and_then(|Told(cmcd)| cmcd.object);
            let told = told.map(Kind::of_object);
            Silent { told, guess: Kind::of_path(request.uri().path()), prefetch }
        });
        Amended::new(self.inner.call(request), silent)
    }
}

/// A request that does not say how urgent it is.
#[derive(Debug)]
pub struct Silent {
    /// What the player says that it asks for.
    told: Option<Kind>,
    guess: Kind,
    prefetch: bool,
}

impl Amend for Silent {
    fn amend(self, headers: &mut HeaderMap) {
        if headers.contains_key(PRIORITY) {
            return;
        }
        let kind = self.told.unwrap_or_else(|| Kind::of_answer(headers, self.guess));
        if let Some(field) = urgency(kind, self.prefetch) {
            headers.insert(PRIORITY, field);
        }
    }
}
