//! What is noted of a request when it comes, and its record when its answer has ended.

use std::net::SocketAddr;
use std::sync::Arc;

use headwater_net::{Clock, ConnInfo, Protocol, Timestamp};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, header};
use prometheus_client::metrics::counter::Counter;

use super::address::Client;
use super::builder::Told;
use super::live::Count;
use super::record::{Facts, Words};
use super::writer::Queue;
use crate::cache_result::CacheResult;
use crate::route_policy::RoutePolicy;
use crate::tokens::{TokenRules, TokensHere};
use crate::watch::End;

/// Where a layer logs to, and by what time.
#[derive(Debug)]
pub(crate) struct Target {
    queue: Arc<Queue>,
    dropped: Counter,
    told: Arc<Told>,
    watchers: Count,
    clock: Clock,
    /// Those of the edge that logs here.
    tokens: Option<Arc<TokenRules>>,
}

impl Target {
    pub(super) fn new(
        queue: Arc<Queue>,
        dropped: Counter,
        told: Arc<Told>,
        watchers: Count,
        clock: Clock,
    ) -> Self {
        Self { queue, dropped, told, watchers, clock, tokens: None }
    }

    /// Masks the parameters by which tokens come, whatever else is masked.
    pub(crate) fn with_tokens(mut self, tokens: Option<Arc<TokenRules>>) -> Self {
        self.tokens = tokens;
        self
    }

    /// Whether anybody will read of a request that comes now.
    pub(crate) fn is_read(&self) -> bool {
        self.told.format.is_some() || self.watchers.is_watched()
    }

    /// Logs a request that has ended.
    pub(crate) fn log(&self, entry: &Entry, ended: &Ended) {
        let Ended { status, bytes, duration_us, cache, end } = *ended;
        let Entry { time, peer, .. } = *entry;
        let host = entry.host();
        let path = entry.path.as_ref().map_or(&b""[..], |path| path.path().as_bytes());
        let told = &self.told;
        let ip = peer.map(|(peer, _)| peer.ip());
        let takes = |_: &_| told.sample.takes(status, end, ip, host, path);
        let logged = told.format.filter(takes);
        if logged.is_none() && !self.watchers.is_watched() {
            return;
        }
        let client =
            peer.map(
                |(peer, _)| {
                    if told.anonymise { Client::anonymous(peer) } else { Client::At(peer) }
                },
            );
        let protocol = peer.map(|(_, protocol)| protocol);
        let facts =
            Facts { time, client, protocol, status, bytes, duration_us, cache, end, logged };
        let query = entry.path.as_ref().and_then(PathAndQuery::query).map(str::as_bytes);
        let words = Words {
            method: entry.method.as_str().as_bytes(),
            host,
            path,
            query: query.zip(told.query.as_ref()),
            tokens: entry
                .tokens
                .as_ref()
                .or(self.tokens.as_ref())
                .map(|rules| rules.places().parameters()),
            referer: entry.referer.as_ref().map_or(&b""[..], |value| before_query(value)),
            user_agent: entry.user_agent.as_ref().map_or(&b""[..], HeaderValue::as_bytes),
            route: entry.route.as_deref().map_or(&b""[..], str::as_bytes),
        };
        if !self.queue.push(facts, words) {
            self.dropped.inc();
        }
    }
}

/// Of a URL what names a page: its query may hold what is nobody's business.
fn before_query(url: &HeaderValue) -> &[u8] {
    let url = url.as_bytes();
    let end = url.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
    url.get(..end).unwrap_or_default()
}

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// 0 where there was no answer.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) duration_us: u64,
    pub(crate) cache: CacheResult,
    pub(crate) end: End,
}

/// What is kept of a request until its answer has ended: shares of what the request held anyway.
#[derive(Debug)]
pub(crate) struct Entry {
    time: Timestamp,
    peer: Option<(SocketAddr, Protocol)>,
    method: Method,
    host: Host,
    path: Option<PathAndQuery>,
    /// Noted where it is told.
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// Those of this request, where its query is told.
    tokens: Option<Arc<TokenRules>>,
    /// What the operator calls its route.
    route: Option<Arc<str>>,
}

#[derive(Debug)]
enum Host {
    Target(Authority),
    Field(HeaderValue),
    None,
}

impl Entry {
    pub(crate) fn open<A>(target: &Target, request: &Request<A>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let conn = request.extensions().get::<ConnInfo>();
        let tells_query = target.told.query.is_some() && uri.query().is_some();
        let tokens = tells_query.then(|| TokensHere::of(request.extensions())).flatten();
        Self {
            time: target.clock.now(),
            peer: conn.map(|conn| (conn.peer, conn.protocol)),
            method: request.method().clone(),
            host: match (uri.authority(), headers.get(header::HOST)) {
                (Some(authority), _) => Host::Target(authority.clone()),
                (None, Some(field)) => Host::Field(field.clone()),
                (None, None) => Host::None,
            },
            path: uri.path_and_query().cloned(),
            referer: target.told.referer().then(|| headers.get(header::REFERER).cloned()).flatten(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            tokens: tokens.map(|here| Arc::clone(here.rules())),
            route: RoutePolicy::of(request.extensions()).and_then(|policy| policy.name.clone()),
        }
    }

    /// The host that was asked for, without a user and a password before it.
    fn host(&self) -> &[u8] {
        let host = match &self.host {
            Host::Target(authority) => authority.as_str().as_bytes(),
            Host::Field(field) => field.as_bytes(),
            Host::None => b"",
        };
        host.rsplit(|byte| *byte == b'@').next().unwrap_or_default()
    }
}
