//! `[[site.route]]` and `[[policy]]`: what holds for the requests of some paths, and what several
//! routes share.
//!
//! A policy is a route without a path: whatever a route can say, a policy can. What a route says counts
//! before what its policies say, and that before what the policies of its site say
//! ([`Edge::resolved`](super::Edge::resolved)).
//!
//! What a layer of the edge does by route has a table of its own here, such as [`Answer`]: a structure
//! in a file of its own with a `check`, a key of [`Route`] that is an `Option` of it and one word in
//! `or`, and one line in `check/routes.rs`. Where it is `None` the layer does nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::clients::{Addresses, Countries, Referrers};
use super::cors::Cors;
use super::quantity::Time;
use super::security::Security;
use super::text::{Field, FieldValue, List, Name, PathPattern, Statuses, Verb};

/// What holds for the requests that a path matches. Without keys of its own, RFC 9111 holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Route {
    /// What the access log calls it (`route` of its JSON lines, of which 64 bytes are told), and of a policy,
    /// what routes call it. Default none. Bound: each policy has one of its own. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The path: `*` stands for any bytes of one segment, `**` for any number of segments; one that
    /// ends in `/` takes in all below it. Default none. Bound: no route before it takes all that it
    /// does; a policy has none. Danger: upper and lower case are two paths, also where the origin takes
    /// them for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPattern>,
    /// Policies that hold where the route itself says nothing; those of the site hold under them. Default
    /// none. Bound: names of `[[policy]]`; the first that says a thing counts; a policy names none.
    /// Danger: none.
    #[serde(rename = "policy")]
    pub policies: List<Name>,
    /// The group of origins. Default the site's `upstream`. Bound: the name of an `[[upstream]]`.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Name>,
    /// Whether requests here need no token. Default false. Bound: the site has `[site.tokens]`. Danger:
    /// with true, whoever asks is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Methods that are let in. Default as `server.methods`. Bound: at least one. Danger: as for
    /// `server.methods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<List<Verb>>,
    /// Whose pages may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What browsers are told to be careful with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// Addresses that are let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,
    /// Countries that are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countries: Option<Countries>,
    /// Pages that may show what is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrers: Option<Referrers>,
    /// Limits that are for this route, beside those that no route names. Default none. Bound: names of
    /// `[[limit]]`. Danger: one that is named here is for no route that does not name it.
    #[serde(rename = "limit", skip_serializing_if = "Option::is_none")]
    pub limits: Option<List<Name>>,
    /// Whether the cache is asked. Default true. Bound: with false, no key that is for what is cached.
    /// Danger: with false, each request goes upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_parameters: Option<List<String>>,
    /// Whether the order of parameters does not count. Default false. Bound: none. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_parameters: Option<bool>,
    /// Whether each class of devices has answers of its own. Default false. Bound: the site has
    /// `device`. Danger: each class is fetched and stored for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_device: Option<bool>,
    /// Whether what is here is large: the first fetch asks for one slice and not for the whole. Default
    /// false. Bound: none. Danger: an origin that does not know ranges is asked twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_slices: Option<bool>,
    /// Whether `Set-Cookie` is taken off what the origin answers, so that it can be stored. Default
    /// false. Bound: none. Danger: sessions that begin here do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_set_cookie: Option<bool>,
    /// Whether text is compressed on its way into the cache: brotli, zstd or gzip. Default true. Bound:
    /// none. Danger: up to four variants of a text are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How much time that is worth: `fast`, `balanced` or `small`. Default `balanced`. Bound: none; it
    /// means nothing where `compress` is false. Danger: the worker does nothing else meanwhile, 1 to 2
    /// milliseconds for the manifest of a long title, 4 with `small`, which takes 10 MiB then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress_level: Option<CompressLevel>,
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
    /// What all requests are answered without anybody behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl Route {
    /// What holds where nobody says anything.
    fn standard() -> Self {
        Self {
            public: Some(false),
            cache: Some(true),
            sort_parameters: Some(false),
            by_device: Some(false),
            in_slices: Some(false),
            ignore_set_cookie: Some(false),
            compress: Some(true),
            compress_level: Some(CompressLevel::default()),
            ..Self::default()
        }
    }

    /// With what `under` says where this says nothing. Keys of which one alone may be there count as
    /// one; tables of fields and of statuses are joined entry by entry, and other tables are taken
    /// whole.
    fn or(mut self, under: &Self) -> Self {
        macro_rules! fill {
            ($($key:ident)*) => { $(self.$key = self.$key.or_else(|| under.$key.clone());)* };
        }
        if self.ttl.or(self.ttl_at_least).or(self.ttl_at_most).is_none() {
            fill!(ttl ttl_at_least ttl_at_most);
        }
        if self.only_parameters.is_none() && self.without_parameters.is_none() {
            fill!(only_parameters without_parameters);
        }
        fill!(upstream public cache stale_while_revalidate stale_if_error sort_parameters by_device);
        fill!(in_slices ignore_set_cookie compress compress_level rewrite answer methods cors);
        fill!(security addresses countries referrers limits);
        for (statuses, time) in &under.error_ttl {
            let range = statuses.range();
            let is_said = |own: &Statuses| {
                own.range().start() <= range.end() && range.start() <= own.range().end()
            };
            if !self.error_ttl.keys().any(is_said) {
                self.error_ttl.insert(*statuses, *time);
            }
        }
        self.request_headers.join(&under.request_headers);
        self.response_headers.join(&under.response_headers);
        self
    }

    /// All that holds for a route of a site: what it says, under that what its policies say, then those
    /// of the site, then the defaults. Policies that are not there say nothing.
    pub(super) fn resolved(&self, of_site: &[Name], policies: &[Self]) -> Self {
        let named = |name: &Name| policies.iter().find(|one| one.name.as_ref() == Some(name));
        let under = self.policies.iter().chain(of_site).filter_map(named);
        let resolved = under.fold(self.clone(), Self::or).or(&Self::standard());
        if resolved.cache == Some(false) { resolved.uncached() } else { resolved }
    }

    /// Without what is for what is cached.
    fn uncached(self) -> Self {
        Self {
            ttl: None,
            ttl_at_least: None,
            ttl_at_most: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            error_ttl: BTreeMap::new(),
            in_slices: Some(false),
            ..self
        }
    }
}

/// How much time it is worth to make a text smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CompressLevel {
    /// The least: for what lives a second.
    Fast,
    /// So much that more would win little.
    #[default]
    Balanced,
    /// As much as one text may take without holding up the worker for long.
    Small,
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
    /// With those of another that are not told of here.
    fn join(&mut self, under: &Self) {
        let own = self.clone();
        let is_told = |name: &Field| own.set.contains_key(name) || own.remove.contains(name);
        let set = under.set.iter().filter(|(name, _)| !is_told(name));
        self.set.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        let remove = under.remove.iter().filter(|name| !is_told(name)).cloned();
        self.remove = own.remove.iter().cloned().chain(remove).collect::<Vec<_>>().into();
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}
