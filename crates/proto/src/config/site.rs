//! `[[site]]`: virtual hosts, and what holds for the paths of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quantity::Time;
use super::text::{Field, FieldValue, Host, List, Name, PathPattern, Statuses};
use super::tokens::Tokens;

/// What is served under some hosts. A request for a host that no site has is answered 421.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Site {
    /// The names it is called by, without ports: a host, `*.` and a host for all below it, or `*` for
    /// whatever no other site has. Where all are hosts, the first stands for all in keys and upstream,
    /// so that they share what is cached. Default none. Bound: at least one; each is of one site.
    /// Danger: with `*`, whoever makes up hosts makes the cache hold everything as often.
    pub hosts: List<Host>,
    /// The group of origins for what no route takes. Default none: that is answered 404. Bound: the name
    /// of an `[[upstream]]`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Name>,
    /// More query parameters that tell of who asks: no key and no upstream sees them. CMCD, CAT, `token`
    /// and their like are so already. Default none. Bound: none. Danger: a parameter that changes the
    /// answer gives one viewer another's.
    pub personal_parameters: List<String>,
    /// Tokens that requests need; without, none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Classes of devices, by what `User-Agent` holds; the first that does counts.
    #[serde(rename = "device", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// What holds for some paths; the first route that takes a request counts.
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// A class of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Device {
    /// What upstream is told in `Headwater-Device`. Default none. Bound: each has one of its own.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Name>,
    /// Texts of which `User-Agent` holds one. Default none. Bound: at least one. Danger: none.
    pub agents: List<String>,
}

/// What holds for the requests that a path matches. Without keys of its own, RFC 9111 holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Route {
    /// The path: `*` stands for any bytes of one segment, `**` for any number of segments; one that
    /// ends in `/` takes in all below it. Default none. Bound: no route before it takes all that it
    /// does. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPattern>,
    /// The group of origins. Default the site's `upstream`. Bound: the name of an `[[upstream]]`.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Name>,
    /// Whether requests here need no token. Default false. Bound: the site has `[site.tokens]`. Danger: with
    /// true, whoever asks is answered.
    pub public: bool,
    /// Whether the cache is asked. Default true. Bound: with false, no key that is for what is cached.
    /// Danger: with false, each request goes upstream.
    pub cache: bool,
    /// How long responses that are no errors are fresh, whatever the origin says. Default none. Bound:
    /// one of `ttl`, `ttl_at_least` and `ttl_at_most`. Danger: what is replaced is served for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Time>,
    /// As the origin says, but no less than this. Default none. Bound: as for `ttl`. Danger: as for
    /// `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_at_least: Option<Time>,
    /// As the origin says, but no more than this. Default none. Bound: as for `ttl`. Danger: short ones
    /// ask the origin often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_at_most: Option<Time>,
    /// How long they may answer stale while they are revalidated. Default as the origin says. Bound:
    /// none. Danger: clients see what is older than it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Time>,
    /// How long they may answer stale when the origin fails. Default as the origin says. Bound: none.
    /// Danger: as for `stale_while_revalidate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Time>,
    /// How long errors are kept, whether or not the origin says so: `{ "404" = "10 s", "500-599" = "1 s"
    /// }`. Default none. Bound: statuses from 400 to 599, each once. Danger: what is put right stays
    /// wrong for this long.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_ttl: BTreeMap<Statuses, Time>,
    /// Query parameters that tell resources apart, all others being left out of keys and upstream
    /// requests; LL-HLS directives always do. Default all. Bound: not beside `without_parameters`.
    /// Danger: one that is left out and changes the answer gives one viewer another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_parameters: Option<List<String>>,
    /// Query parameters that are left out. Default none. Bound: not beside `only_parameters`. Danger: as
    /// for `only_parameters`.
    pub without_parameters: List<String>,
    /// Whether the order of parameters does not count. Default false. Bound: none. Danger: none.
    pub sort_parameters: bool,
    /// Whether each class of devices has answers of its own. Default false. Bound: the site has
    /// `device`. Danger: each class is fetched and stored for itself.
    pub by_device: bool,
    /// Whether what is here is large: the first fetch asks for one slice and not for the whole. Default
    /// false. Bound: none. Danger: an origin that does not know ranges is asked twice.
    pub in_slices: bool,
    /// Whether `Set-Cookie` is taken off what the origin answers, so that it can be stored. Default
    /// false. Bound: none. Danger: sessions that begin here do not.
    pub ignore_set_cookie: bool,
    /// Whether text is compressed on its way into the cache: brotli, zstd or gzip. Default true. Bound:
    /// none. Danger: up to four variants of a text are stored.
    pub compress: bool,
    /// The path that origins are asked for: `{ from = "/live/", to = "/" }` has `/live/a` asked for as
    /// `/a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Fields of what origins are asked.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub request_headers: Fields,
    /// Fields of what origins answer, before anything is made of it: `cache-control`, too.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub response_headers: Fields,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            path: None,
            upstream: None,
            public: false,
            cache: true,
            ttl: None,
            ttl_at_least: None,
            ttl_at_most: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            error_ttl: BTreeMap::new(),
            only_parameters: None,
            without_parameters: List::default(),
            sort_parameters: false,
            by_device: false,
            in_slices: false,
            ignore_set_cookie: false,
            compress: true,
            rewrite: None,
            request_headers: Fields::default(),
            response_headers: Fields::default(),
        }
    }
}

/// Which path origins are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rewrite {
    /// What the client's path begins with. Default empty. Bound: it begins with `/`. Danger: a path that
    /// begins otherwise stays as it is.
    pub from: String,
    /// What stands there instead. Default empty. Bound: empty, or it begins with `/`. Danger: none.
    pub to: String,
}

/// Fields that are set or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Fields {
    /// Fields that are there, with this value and no other. Default none. Bound: fields that frame a
    /// message are refused. Danger: none.
    pub set: BTreeMap<Field, FieldValue>,
    /// Fields that are not. Default none. Bound: as for `set`. Danger: none.
    pub remove: List<Field>,
}

impl Fields {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}
