//! What the edge says of itself to players: Common Media Server Data (CTA-5006), as structured fields
//! (RFC 9651).
//!
//! `CMSD-Static` tells of the object and is its origin's: it passes as it is, and is kept with what is
//! cached. `CMSD-Dynamic` tells of this answer, a member for each server on the way, the nearest last:
//!
//! | key | what |
//! |---|---|
//! | `etp` | what the path to the client takes, in kbit/s, to the nearest: the congestion window in each round trip |
//! | `rtt` | the round trip, in milliseconds, to the nearest |
//! | `rd` | from the request to the head of the answer, in milliseconds |
//! | `mb` | the most that a player should ask for, in kbit/s, where the operator says so |
//! | `du` | this edge is under duress: [`Pressure`] is above zero |
//!
//! The path's figures are those of its connection when the request comes ([`ConnInfo::path`]), and are
//! left out where it does not know them. What servers further in said of another answer is taken off
//! what comes from the cache. An answer costs one field when it is on, and nothing when it is off.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut as _;
use headwater_net::clock::moment;
use headwater_net::{ConnInfo, Path};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::access_log::numbers::decimal;
use crate::amend::{Amend, Amended};
use crate::cache_result::CacheResult;
use crate::kind::Kind;
use crate::shed::Pressure;

const DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

/// The longest name of a server, in bytes.
pub const MAX_NAME: usize = 64;

/// Says how this edge and the path to a client do; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct CmsdLayer {
    on: Option<Arc<On>>,
}

#[derive(Clone, Debug)]
struct On {
    /// As a string of structured fields.
    name: Box<str>,
    most: Option<u64>,
    pressure: Option<Pressure>,
}

impl CmsdLayer {
    /// Says it under this name; what a string of structured fields cannot hold is left out of it, and
    /// what is beyond [`MAX_NAME`].
    pub fn new(name: &str) -> Self {
        let plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let name: String = name.chars().filter(plain).take(MAX_NAME).collect();
        let on = On { name: format!("\"{name}\"").into(), most: None, pressure: None };
        Self { on: Some(Arc::new(on)) }
    }

    /// The highest bit rate that players should ask for, in kbit/s.
    #[must_use]
    pub fn max_bitrate(mut self, kbps: u64) -> Self {
        if let Some(on) = &mut self.on {
            Arc::make_mut(on).most = Some(kbps);
        }
        self
    }

    /// Says `du` while this is above zero.
    #[must_use]
    pub fn duress(mut self, pressure: Pressure) -> Self {
        if let Some(on) = &mut self.on {
            Arc::make_mut(on).pressure = Some(pressure);
        }
        self
    }
}

impl On {
    /// Our member.
    fn member(&self, path: Option<Path>, delay: u64) -> Option<HeaderValue> {
        // The name, and 81 bytes where all is said.
        let mut room = [0; MAX_NAME + 96];
        let mut left = &mut room[..];
        left.put_slice(self.name.as_bytes());
        let mut say = |key: &[u8], number: u64| {
            left.put_slice(key);
            decimal(&mut left, number.min(LARGEST), 1);
        };
        if let Some(path) = path {
            let micros = path.rtt.as_micros().max(1);
            // Eight bits a byte; a kilobit in a millisecond is 1,000 of them.
            say(b";etp=", nearest(u128::from(path.window) * 8_000, micros));
            say(b";rtt=", nearest(path.rtt.as_micros(), 1_000));
        }
        say(b";rd=", delay);
        if let Some(most) = self.most {
            say(b";mb=", most);
        }
        if self.pressure.as_ref().is_some_and(|pressure| pressure.level() > 0) {
            left.put_slice(b";du");
        }
        let unused = left.len();
        HeaderValue::from_bytes(&room[..room.len() - unused]).ok()
    }
}

/// A fraction as the nearest whole number; `LARGEST` where that is too large.
fn nearest(number: u128, of: u128) -> u64 {
    u64::try_from((number + of / 2) / of).unwrap_or(LARGEST)
}

/// The largest number of structured fields (RFC 9651 §3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// Says `member` of an answer to what was asked at `uri`.
fn say(headers: &mut HeaderMap, member: HeaderValue) {
    // What is stored told of the fill.
    if matches!(CacheResult::of(headers), CacheResult::Miss | CacheResult::Pass | CacheResult::None)
    {
        headers.append(DYNAMIC, member);
    } else {
        headers.insert(DYNAMIC, member);
    }
}

impl<S> Layer<S> for CmsdLayer {
    type Service = Cmsd<S>;

    fn layer(&self, inner: S) -> Cmsd<S> {
        Cmsd { inner, on: self.on.clone() }
    }
}

/// The service of [`CmsdLayer`].
#[derive(Clone, Debug)]
pub struct Cmsd<S> {
    inner: S,
    on: Option<Arc<On>>,
}

impl<S, A, B> Service<Request<A>> for Cmsd<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Amended<S::Future, Asked>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let asked = self.on.as_ref().map(|on| Asked {
            on: Arc::clone(on),
            guess: Kind::of_path(request.uri().path()),
            path: request.extensions().get::<ConnInfo>().and_then(ConnInfo::path),
            at: moment(),
        });
        Amended::new(self.inner.call(request), asked)
    }
}

/// What was asked, and over what.
#[derive(Debug)]
pub struct Asked {
    on: Arc<On>,
    guess: Kind,
    path: Option<Path>,
    at: Instant,
}

impl Amend for Asked {
    fn amend(self, headers: &mut HeaderMap) {
        let kind = Kind::of_answer(headers, self.guess);
        let delay = u64::try_from((moment() - self.at).as_millis()).unwrap_or(u64::MAX);
        if (kind.is_segment() || kind == Kind::Manifest)
            && let Some(member) = self.on.member(self.path, delay)
        {
            say(headers, member);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_member_says_what_is_known_and_nothing_else() {
        let layer = CmsdLayer::new("my \"edge\"\n").max_bitrate(5_000);
        let member = layer.on.unwrap().member(None, 3).unwrap();
        assert_eq!(member, "\"my edge\";rd=3;mb=5000");
        let plain = CmsdLayer::new("e").duress(Pressure::default());
        assert_eq!(
            plain.on.unwrap().member(None, u64::MAX).unwrap(),
            format!("\"e\";rd={LARGEST}")
        );
        assert_eq!(CmsdLayer::new(&"n".repeat(500)).on.unwrap().name.len(), MAX_NAME + 2);
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        assert_eq!(
            [1_499, 1_500, 1_501, 499, 0].map(|micros| nearest(micros, 1_000)),
            [1, 2, 2, 0, 0]
        );
        assert_eq!(nearest(u128::from(u64::MAX) * 8_000, 1), LARGEST);
    }

    #[test]
    fn what_servers_said_of_another_answer_is_taken_off_a_hit() {
        let said = |status: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DYNAMIC, HeaderValue::from_static("\"shield\";rd=9"));
            headers.insert("cache-status", HeaderValue::from_static(status));
            say(&mut headers, HeaderValue::from_static("\"edge\";rd=0"));
            let all = headers.get_all(DYNAMIC).iter().map(|line| line.to_str().unwrap().to_owned());
            all.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(said("edge; hit; ttl=3"), "\"edge\";rd=0");
        assert_eq!(said("edge; fwd=uri-miss; collapsed"), "\"edge\";rd=0");
        assert_eq!(said("edge; fwd=uri-miss; stored"), "\"shield\";rd=9, \"edge\";rd=0");
    }
}
