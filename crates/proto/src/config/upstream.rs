//! `[[upstream]]`: origins that hold the same, and how they are asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::{Size, Time};
use super::store::Store;
use super::text::{Authority, Field, FieldValue, List, Name, NameServer, PathQuery, Statuses, Url};

/// A group of origins with the same content, which routes name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Upstream {
    /// What routes call it. Default none. Bound: each has one of its own. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The origins, `http://HOST[:PORT][/PATH]` or `https://…`, the one to ask first in front: the
    /// first that is not known to be down is asked, and for a GET or HEAD that it fails the next. A
    /// path is put before each request's. Default none. Bound: at least one. Danger: those behind must
    /// hold the same as the first.
    pub origins: List<Url>,
    /// Which of the origins is asked: `in_turn`, the first that is up; or `by_title`, each for its own
    /// share of titles, as docs/upstreams.md tells, and another's when that is down or full. Default `in_turn`. Bound: `in_turn` or `by_title`. Danger: with `by_title`, edges
    /// that are given other URLs choose otherwise.
    pub choose: Choose,
    /// How many segments of a path name a title: what one origin is asked for the whole of where `choose` is
    /// `by_title`, and one of the `peers` of `[shield]`. With 2, `/vod/film/1.m4s` belongs to `/vod/film`.
    /// Unit: path segments. Default 1. Bound: 1 to 16. Danger: with fewer than there are folders before titles,
    /// one origin gets all of them.
    pub title_depth: u16,
    /// How much more than its share of what this edge has under way an origin may have, in percent of that,
    /// where `choose` is `by_title`; beyond it, and beyond `load_slack`, the next of the title's order is
    /// asked. Unit: percent. Default 125. Bound: 100 to 1000. Danger: near 100, titles move from where they are
    /// known.
    pub load_percent: u32,
    /// Requests that an origin may have under way whatever its share. Unit: requests. Default 32. Bound: none.
    /// Danger: with few, titles move while there is hardly any load.
    pub load_slack: u32,
    /// Requests for a title within ten seconds that make it hot: then `hot_members` share it, the least loaded
    /// of them being asked. Unit: requests. Default 2000. Bound: at least 1. Danger: low ones have each title
    /// fetched by several.
    pub hot_requests: u32,
    /// Origins that share a hot title. Unit: origins. Default 2. Bound: 1 to 64; with 1, none is. Danger: each
    /// fetches it for itself.
    pub hot_members: u16,
    /// The shares of the origins, in the order of `origins`, where `choose` is `by_title`; without them all are
    /// alike. Unit: shares. Default none. Bound: as many as there are origins, each from 0 to 1000; 0 is asked
    /// when all others are down. Danger: edges that are given other ones choose otherwise.
    pub weights: List<u32>,
    /// Which origins are asked before others, in the order of `origins`, where `choose` is `by_title`: those
    /// with the least number, and the next only when all of those are down. Unit: none. Default none. Bound: as
    /// many as there are origins, each from 0 to 1000. Danger: none.
    pub priorities: List<u32>,
    /// The statuses by which an origin says that it cannot answer: another is asked, and they count
    /// against it. Default `502-504`. Bound: statuses from 400 to 599, at most 64. Danger: what is there,
    /// an answer that all origins give is asked of each.
    pub failover_on: List<Statuses>,
    /// What becomes of requests while all origins are down: `ask`, one of them is asked all the same; or
    /// `refuse`, the cache answers at once from what may be stale, and else it is 502. Default `ask`.
    /// Bound: `ask` or `refuse`. Danger: with `refuse`, one that is well again is asked only when its
    /// time to be left alone ends.
    pub when_down: WhenDown,
    /// What becomes of an answer that says to ask elsewhere (301, 302, 303, 307, 308): `pass`, it is the
    /// answer; `refuse`, it is 502; or `follow`, a GET or HEAD is asked there, of the same origin or of one
    /// of `redirects_to`, ten times at most, and all else is 502. Default `pass`. Bound: `pass`, `refuse` or
    /// `follow`. Danger: with `pass`, clients are told of what is behind this edge.
    pub redirects: Redirects,
    /// Where redirects may lead besides, such as a storage behind a front; it is not sent `fields`,
    /// cookies or authorizations. Default none. Bound: `redirects` is `follow`; at most 64. Danger: what
    /// is there, an origin can have this edge fetch.
    pub redirects_to: List<Url>,
    /// Fields that origins are sent, by their names, in the place of a client's. Default none. Bound: none
    /// that frames a message. Danger: who can read this file reads them.
    pub fields: BTreeMap<Field, FieldValue>,
    /// Such fields whose values are in files, as the secret by which an origin knows this edge: read when
    /// the configuration is, without space around them, and told in no log. Default none. Bound: as for
    /// `fields`, and not there too. Danger: without `https`, everybody on the way reads them.
    pub field_files: BTreeMap<Field, PathBuf>,
    /// Whether the origins are shields of your own, in Headwater: then they are told the newest purge
    /// that this edge has seen (docs/purging.md), and what it answers from its cache (docs/shield.md).
    /// Default false. Bound: their URLs have no path. Danger: with true, anybody else would learn of
    /// purges and of what is watched; with false, a shield can give back what was purged here alone.
    pub shield: bool,
    /// The file of the secret by which shields know this edge, as `Headwater-Link`: by default they take
    /// hints from nobody else. Default none. Bound: `shield` is true. Danger: without `https`, everybody
    /// on the way reads it, and can then have the shield fetch ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_file: Option<PathBuf>,
    /// What origins are told the host is: `origin`, that of their URL; or `client`, that which the
    /// client asked for, over HTTP/1.1. Default `origin`. Bound: `origin` or `client`. Danger: with
    /// `client`, an origin that trusts any host is told any.
    pub host: HostOf,
    /// What origins are told the host is in the place of that of their URL, with a port or without one, over
    /// every protocol. Default none. Bound: `host` is `origin`, and `shield` is false. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<Authority>,
    /// The name that origins are asked for a certificate by, and must show one of, in the place of the host
    /// of their URL. Default none. Bound: some origin is `https`; without a port. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<Authority>,
    /// The file of authorities in PEM that origins' certificates are signed by, in the place of the
    /// system's. Default none. Bound: some origin is `https`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The file of a certificate chain that origins are shown that ask for one. Default none. Bound:
    /// `client_key` must be there, too. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The file of its private key. Default none. Bound: it is that of `client_certificate`. Danger:
    /// who can read it can be this edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Whether HTTP/2 is spoken without asking, also in the clear. Default false. Bound: none. Danger:
    /// an origin that does not know it fails every request.
    pub http2: bool,
    /// Whether HTTP/3 is asked first, on the port of the URL, by GET, HEAD and OPTIONS; TCP is asked for
    /// the rest, and for all while HTTP/3 fails. Default false. Bound: some origin is `https`, and `host` is
    /// `origin`. Danger: where a network lets no UDP through, requests wait for half of `connect_timeout` in
    /// the beginning, and now and then.
    pub http3: bool,
    /// Time for a connection, TLS included. Default 5 s. Bound: more than zero. Danger: too short fails
    /// far origins, too long holds up the turn to the next.
    pub connect_timeout: Time,
    /// Time for which the addresses of an origin's name count: then it is resolved again, and connections to
    /// addresses that it has no more are used no more. Default 30 s. Bound: from 1 s to 1 h. Danger: long
    /// ones ask who has moved away.
    pub dns_ttl: Time,
    /// The name servers (DNS, RFC 1035) that are asked for the addresses of origins' names, over UDP and, for
    /// what does not fit, TCP: their answers count for their own TTL, from 1 s to 1 h, in the place of
    /// `dns_ttl`. Default none: the system's resolver, which tells no TTL. Bound: addresses, not names, at most
    /// 64; there are `origins`. Danger: `/etc/hosts`, `/etc/resolv.conf` and search domains do not count then,
    /// and who answers in their place leads requests elsewhere, but for `https`.
    pub name_servers: List<NameServer>,
    /// Time from sending a request to the head of its answer, which begins anew with each part of the
    /// request's body that is taken; for a playlist that the origin holds until it has it (`_HLS_msn`), three
    /// of its target durations at least, or a minute where none is known. Default 10 s. Bound: more than zero.
    /// Danger: too short cuts off slow origins, and uploads that pause.
    pub first_byte_timeout: Time,
    /// Longest silence inside a body that somebody waits for. Default 30 s. Bound: more than zero.
    /// Danger: too long holds clients that get nothing.
    pub idle_timeout: Time,
    /// Time from sending a request to the last byte of its answer; what is left then is asked for again
    /// where it can be. Default none. Bound: more than zero. Danger: it ends what is long, and what is live
    /// and has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_timeout: Option<Time>,
    /// The largest body of an answer; a larger one is 502, or ends in an error where it did not say its
    /// length. Default none. Bound: none. Danger: ranges count by their own length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// The fields of answers that are taken, besides those without which an answer cannot be read, kept,
    /// asked for again or followed; without it, all are. Default none. Bound: at most 64. Danger: what is
    /// not named is gone, such as `set-cookie`, `surrogate-key` and those of CORS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_fields: Option<List<Field>>,
    /// How long an unused connection is kept. Default 60 s. Bound: none. Danger: longer than the
    /// origin keeps it makes requests meet dead connections.
    pub keep_alive: Time,
    /// Unused connections of HTTP/1.1 kept for each origin. Unit: connections. Default 64. Bound: none. Danger:
    /// few make requests wait for handshakes.
    pub max_idle: u32,
    /// Requests that one origin answers at a time. Unit: requests. Default 1024. Bound: at least 1. Danger:
    /// more than it can take fails it.
    pub max_requests: u32,
    /// Requests that may wait for that; one more is answered 503. Unit: requests. Default 1024. Bound: none.
    /// Danger: none.
    pub max_waiting: u32,
    /// How long one may wait. Default 5 s. Bound: none. Danger: none.
    pub max_wait: Time,
    /// WebSockets that are open to each origin at a time, where `websockets` of `[server]` lets them pass; one
    /// more is answered 503. Unit: WebSockets. Default 1024. Bound: none; 0 allows none. Danger: each is a
    /// connection to the origin, which nobody shares, and holds 32 KiB here.
    pub max_websockets: u32,
    /// Silence of both sides after which a WebSocket is ended, at most twice as late. Default 120 s. Bound:
    /// more than zero. Danger: shorter than the pings of clients and origin (often 20 to 60 s) it ends what
    /// is only quiet; too long keeps places for clients that left.
    pub websocket_idle_timeout: Time,
    /// Failures in a row that take an origin down. Unit: failures. Default 3. Bound: at least 1. Danger: with
    /// 1, one lost packet does.
    pub failures: u32,
    /// Requests in a row that try an origin which is down, and must come back well to bring it up. Unit:
    /// requests. Default 1. Bound: at least 1. Danger: many keep away from one that is well again.
    pub successes: u32,
    /// How long an origin that is down is left alone at first; twice as long each time. Default 2 s.
    /// Bound: more than zero. Danger: long ones keep away from one that is well again.
    pub cool_off: Time,
    /// The longest it is left alone. Default 30 s. Bound: at least `cool_off`. Danger: as for
    /// `cool_off`.
    pub longest_cool_off: Time,
    /// Requests that may be asked again of another origin, in percent of all. Unit: percent. Default 20. Bound:
    /// 0 to 100. Danger: high ones double the load of those that are left.
    pub retry_percent: u8,
    /// Requests that are asked of another origin at the same time since the first is unusually slow, in percent
    /// of all; 0 for none. Unit: percent. Default 5. Bound: 0 to 100. Danger: as for `retry_percent`.
    pub hedge_percent: u8,
    /// How long one that is slow is waited for alone at least, whatever its last answers took. Default
    /// 50 ms. Bound: none. Danger: short ones ask twice for what was about to come.
    pub hedge_after: Time,
    /// Checks of the origins besides what requests show; without it, there are none. Default none. Bound:
    /// none. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Signs requests for stores that speak S3's language (AWS Signature Version 4): S3, Google's with HMAC
    /// keys, MinIO. A request's query and `x-amz-` fields go no further then. Default none. Bound: `host` is
    /// `origin`. Danger: who reaches this edge reads what the key may read below the path of the origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// An object store in the place of `origins`; without it, there is none. Default none. Bound: there are no
    /// `origins` and no `sign`, `shield` is false, and none of `redirects`, `fields`, `field_files`, `host`,
    /// `host_name`, `ca`, `client_certificate`, `client_key`, `http2`, `dns_ttl` and `name_servers` is said.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: None,
            origins: List::default(),
            choose: Choose::InTurn,
            title_depth: 1,
            load_percent: 125,
            load_slack: 32,
            hot_requests: 2000,
            hot_members: 2,
            failover_on: List::from(vec![Statuses::new(502, 504)]),
            when_down: WhenDown::Ask,
            weights: List::default(),
            priorities: List::default(),
            redirects: Redirects::Pass,
            redirects_to: List::default(),
            fields: BTreeMap::new(),
            field_files: BTreeMap::new(),
            shield: false,
            link_file: None,
            host: HostOf::Origin,
            host_name: None,
            tls_name: None,
            ca: None,
            client_certificate: None,
            client_key: None,
            http2: false,
            http3: false,
            connect_timeout: Time::secs(5),
            dns_ttl: Time::secs(30),
            name_servers: List::default(),
            first_byte_timeout: Time::secs(10),
            idle_timeout: Time::secs(30),
            whole_timeout: None,
            max_body: None,
            response_fields: None,
            keep_alive: Time::secs(60),
            max_idle: 64,
            max_requests: 1024,
            max_waiting: 1024,
            max_wait: Time::secs(5),
            max_websockets: 1024,
            websocket_idle_timeout: Time::secs(120),
            failures: 3,
            successes: 1,
            cool_off: Time::secs(2),
            longest_cool_off: Time::secs(30),
            retry_percent: 20,
            hedge_percent: 5,
            hedge_after: Time::millis(50),
            check: None,
            sign: None,
            store: None,
        }
    }
}

/// Who signs requests to a store, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Sign {
    /// Where the store is, such as `eu-central-1`; `auto` where it has no regions. Default none. Bound: it
    /// must be there. Danger: with a wrong one everything is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Name>,
    /// The name of the key. Default none. Bound: it must be there. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Name>,
    /// The file of the key, without space around it. Default none. Bound: this or `secret_env` must be
    /// there. Danger: who can read it can do what the key may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The variable of the environment that holds the key. Default none. Bound: not with `secret_file`.
    /// Danger: as for `secret_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file of the session's token, where the key is a temporary one. Default none. Bound: none.
    /// Danger: it is read again at SIGHUP alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// How origins are asked whether they are well, by themselves: checks take an origin down, and bring it up
/// again also where requests took it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Check {
    /// What is asked for, below the path of each origin's URL. Default `/`. Bound: it begins with `/`.
    /// Danger: what is dear to make loads the origin.
    pub path: PathQuery,
    /// The time between two checks of one origin, a fifth more or less each time. Default 5 s. Bound: more
    /// than zero. Danger: short ones load the origin, long ones find out late.
    pub every: Time,
    /// How long an answer may take, body and all. Default 2 s. Bound: more than zero. Danger: shorter than
    /// a slow origin takes, it is down for ever.
    pub timeout: Time,
    /// The statuses of an origin that is not well. Default `400-599`. Bound: statuses from 400 to 599, at
    /// most 64. Danger: without some that an ill origin answers, checks bring it up.
    pub failed_by: List<Statuses>,
    /// Checks in a row that fail and take it down. Unit: checks. Default 2. Bound: at least 1. Danger: with 1,
    /// one lost packet does.
    pub failures: u32,
    /// Checks in a row that succeed and bring it up. Unit: checks. Default 3. Bound: at least 1. Danger: many
    /// keep away from one that is well again.
    pub successes: u32,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: PathQuery::fixed("/"),
            every: Time::secs(5),
            timeout: Time::secs(2),
            failed_by: List::from(vec![Statuses::new(400, 599)]),
            failures: 2,
            successes: 3,
        }
    }
}

/// What becomes of an answer that says to ask elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Redirects {
    /// It is the answer.
    #[default]
    Pass,
    /// It is an error.
    Refuse,
    /// It is asked there, where that is known.
    Follow,
}

/// Which of several origins is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Choose {
    /// The first that is up.
    #[default]
    InTurn,
    /// Each for its share of titles.
    ByTitle,
}

/// What becomes of requests while all origins are down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenDown {
    /// One is asked all the same.
    #[default]
    Ask,
    /// None is.
    Refuse,
}

/// Whose host origins are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostOf {
    /// That of the origin's URL.
    #[default]
    Origin,
    /// That which the client asked for.
    Client,
}
