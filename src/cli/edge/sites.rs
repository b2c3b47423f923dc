//! The virtual hosts of a configuration: which site a request is for, which of its routes, and what
//! the cache makes of it there.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headwater::cache::key::{Seen, host, name_of};
use headwater::cache::{KeyBuf, Lifetime, Overrides, Policy, Route, Rules};
use headwater::edge::compress::Level;
use headwater::edge::normalise::{checked, other_reading};
use headwater::edge::tokens::{TokenRules, TokensHere};
use headwater::edge::{FixedAnswer, RefusedBy, RoutePolicy};
use headwater::net::ConnInfo;
use headwater::origin::upstream::Origins;
use headwater::proto::config::Edge as Config;
use headwater::proto::config::route::{CompressLevel, Route as RouteConfig};
use headwater::proto::config::site::Site as SiteConfig;
use headwater::proto::config::text::PathPattern;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode, Uri};

use super::super::Error;
use super::route_policy::{self, Common};
use super::tokens;
use super::upstreams::Upstreams;

/// All sites.
#[derive(Debug)]
pub(super) struct Sites {
    all: Vec<Site>,
    named: HashMap<Box<[u8]>, usize>,
    /// By what follows the `*`, the longest first.
    below: Vec<(Box<[u8]>, usize)>,
    otherwise: Option<usize>,
}

#[derive(Debug)]
struct Site {
    only_https: bool,
    /// The name of all its hosts, in keys and upstream, where they are all known.
    one: Option<Box<str>>,
    rules: Rules,
    tokens: Option<Arc<TokenRules>>,
    routes: Vec<OfRoute>,
    otherwise: OfRoute,
    odd: Odd,
}

/// What layers find on requests that are on no route.
#[derive(Debug)]
struct Odd {
    /// The layers refuse the path.
    refused: Option<Arc<RoutePolicy>>,
    /// The path may be read as that of another route.
    ambiguous: Arc<RoutePolicy>,
    /// It comes by plain HTTP for a site that is served by HTTPS alone.
    plain: Arc<RoutePolicy>,
}

/// What a route says beside the cache's rules.
#[derive(Debug)]
struct OfRoute {
    target: Option<Target>,
    policy: Option<Arc<RoutePolicy>>,
}

/// Where the requests of a route go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) origins: Origins,
    /// How much time it is worth to make a text smaller, where that is done.
    pub(super) compress: Option<Level>,
    /// The upstream's name, where it is a shield.
    pub(super) shield: Option<Arc<str>>,
}

/// In a request's extensions: the sites that were in force when it came, and which it is for. All
/// that is decided of it is decided by these.
#[derive(Clone)]
pub(super) struct Pinned {
    sites: Arc<Sites>,
    site: Option<usize>,
}

/// In the extensions of a request that goes upstream: its route, and what it was for, before its path was
/// rewritten; by the name that its site has upstream.
#[derive(Clone)]
struct Came(Option<usize>, Uri);

impl Sites {
    /// The sites of a configuration whose upstreams are there.
    pub(super) fn new(config: &Config, upstreams: &Upstreams) -> Result<Self, Error> {
        let mut sites =
            Self { all: Vec::new(), named: HashMap::new(), below: Vec::new(), otherwise: None };
        let resolved = config.resolved();
        let mut common = Common::default();
        for (number, config) in resolved.sites.iter().enumerate() {
            for host in config.hosts.iter() {
                match host.strip_prefix('*') {
                    Some("") => sites.otherwise = Some(number),
                    Some(below) => sites.below.push((below.as_bytes().into(), number)),
                    None => drop(sites.named.insert(host.as_bytes().into(), number)),
                }
            }
            let otherwise = resolved.otherwise(config);
            sites.all.push(Site::new(config, &otherwise, upstreams, &mut common)?);
        }
        sites.below.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(sites)
    }

    /// The site of a host, with or without its port.
    fn find(&self, host: &[u8]) -> Option<usize> {
        let host = name_of(host);
        // As what normalises names it (`headwater::edge::normalise`), before that has seen it.
        let host = host.strip_suffix(b".").unwrap_or(host);
        let lower;
        let host = if host.iter().any(u8::is_ascii_uppercase) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        let below = || {
            let is = |name: &[u8]| host.len() > name.len() && host.ends_with(name);
            self.below.iter().find(|(name, _)| is(name)).map(|(_, site)| *site)
        };
        self.named.get(host).copied().or_else(below).or(self.otherwise)
    }
}

impl Site {
    fn new(
        config: &SiteConfig,
        otherwise: &RouteConfig,
        upstreams: &Upstreams,
        common: &mut Common,
    ) -> Result<Self, Error> {
        // Hosts that are all known are one site under the first of their names.
        let one =
            config.hosts.first().filter(|_| !config.hosts.iter().any(|host| host.contains('*')));
        let named = |route: Route| match one {
            Some(host) => route.as_host(host),
            None => route.any_port(),
        };
        let mut rules = Rules::builder()
            .personal(config.personal_parameters.iter().map(String::as_str))
            .otherwise(named(rule(otherwise, "/**".to_owned())));
        for device in &config.devices {
            let class = device.class.as_deref().unwrap_or_default();
            rules = rules.device(class, device.agents.iter().map(String::as_str));
        }
        let tokens = config.tokens.as_ref().map(tokens::rules).transpose()?;
        let mut routes = Vec::new();
        for route in &config.routes {
            let path = route.path.as_ref().map(PathPattern::whole).unwrap_or_default();
            rules = rules.route(named(rule(route, path)));
            routes.push(OfRoute::new(route, tokens.as_ref(), upstreams, common)?);
        }
        Ok(Self {
            only_https: config.only_https,
            one: one.map(|host| host.to_ascii_lowercase().into()),
            rules: rules.build()?,
            odd: Odd::new(tokens.as_ref()),
            otherwise: OfRoute::new(otherwise, tokens.as_ref(), upstreams, common)?,
            tokens,
            routes,
        })
    }

    fn of(&self, route: Option<usize>) -> &OfRoute {
        route.and_then(|route| self.routes.get(route)).unwrap_or(&self.otherwise)
    }

    /// The route of a request that comes in, by its path as the layers make it (RFC 3986 §6.2.2); `None`
    /// where they refuse it. `Err` where an origin might read the path as one for which another route
    /// holds.
    fn came(&self, request: Seen<'_>) -> Result<Option<&OfRoute>, ()> {
        let Some(uri) = checked(request.uri) else { return Ok(None) };
        let route = self.rules.position_of(request, uri.path());
        match other_reading(uri.path()) {
            Ok(None) => {}
            Ok(Some(other)) if self.rules.position_of(request, &other) == route => {}
            _ => return Err(()),
        }
        Ok(Some(self.of(route)))
    }
}

impl Odd {
    fn new(tokens: Option<&Arc<TokenRules>>) -> Self {
        let policy = |here: fn(_) -> TokensHere, answer| {
            let mut policy = RoutePolicy::default();
            policy.tokens = tokens.cloned().map(here);
            policy.answer = answer;
            policy
        };
        let ambiguous = FixedAnswer::new(StatusCode::BAD_REQUEST)
            .detail("the path may be read as that of another route")
            .refused_by(RefusedBy::Target);
        let plain = FixedAnswer::new(StatusCode::PERMANENT_REDIRECT);
        // A token in the query goes along to where it is asked for.
        let plain = plain.location("https://{host}{target}");
        let refused = policy(TokensHere::Needed, None);
        Self {
            refused: (!refused.is_empty()).then(|| Arc::new(refused)),
            ambiguous: Arc::new(policy(TokensHere::Needed, Some(ambiguous))),
            plain: Arc::new(policy(TokensHere::Elsewhere, Some(plain))),
        }
    }
}

impl OfRoute {
    fn new(
        config: &RouteConfig,
        tokens: Option<&Arc<TokenRules>>,
        upstreams: &Upstreams,
        common: &mut Common,
    ) -> Result<Self, Error> {
        let target = config.upstream.as_deref().and_then(|name| {
            let (of, origins) = upstreams.get(name)?;
            let shield = of.shield.then(|| name.into());
            let compress = (config.compress != Some(false)).then(|| level(config.compress_level));
            Some(Target { origins: origins.clone(), compress, shield })
        });
        let here = match config.public {
            Some(true) => TokensHere::Public,
            _ => TokensHere::Needed,
        };
        Ok(Self { target, policy: route_policy::make(config, tokens.cloned().map(here), common)? })
    }
}

const fn level(config: Option<CompressLevel>) -> Level {
    match config {
        Some(CompressLevel::Fast) => Level::Fast,
        Some(CompressLevel::Small) => Level::Small,
        _ => Level::Balanced,
    }
}

/// What a route says, for the cache.
fn rule(config: &RouteConfig, path: String) -> Route {
    let mut route = Route::on(path);
    if let Some(only) = &config.only_parameters {
        route = route.only_parameters(only.iter().map(String::as_str));
    } else if let Some(without) = &config.without_parameters {
        route = route.without_parameters(without.iter().map(String::as_str));
    }
    let lifetime = match (config.ttl, config.ttl_at_least, config.ttl_at_most) {
        (Some(ttl), _, _) => Some(Lifetime::Exactly(ttl.get())),
        (None, Some(least), _) => Some(Lifetime::AtLeast(least.get())),
        (None, None, most) => most.map(|most| Lifetime::AtMost(most.get())),
    };
    if let Some(lifetime) = lifetime {
        route = route.ttl(lifetime);
    }
    if let Some(time) = config.stale_while_revalidate {
        route = route.stale_while_revalidate(time.get());
    }
    if let Some(time) = config.stale_if_error {
        route = route.stale_if_error(time.get());
    }
    for (statuses, time) in &config.error_ttl {
        route = route.error_ttl(statuses.range(), time.get());
    }
    for (is_on, with) in [
        (config.sort_parameters == Some(true), Route::sort_parameters as fn(Route) -> Route),
        (config.by_device == Some(true), Route::by_device),
        (config.in_slices == Some(true), Route::in_slices),
        (config.ignore_set_cookie == Some(true), Route::ignore_set_cookie),
        (config.cache == Some(false), Route::bypass),
    ] {
        if is_on {
            route = with(route);
        }
    }
    if let Some(rewrite) = &config.rewrite {
        route = route.rewrite(rewrite.from.as_str(), rewrite.to.as_str());
    }
    for (name, value) in &config.request_headers.set {
        route = route.set_request_header(name, value);
    }
    for name in config.request_headers.remove.iter() {
        route = route.remove_request_header(name);
    }
    for (name, value) in &config.response_headers.set {
        route = route.set_response_header(name, value);
    }
    for name in config.response_headers.remove.iter() {
        route = route.remove_response_header(name);
    }
    route
}

impl Pinned {
    /// The site of a request that has come.
    pub(super) fn new(sites: &Arc<Sites>, host: &[u8]) -> Self {
        Self { sites: Arc::clone(sites), site: sites.find(host) }
    }

    /// Takes a token off the path of a request that comes in, where its site has tokens there: what the
    /// request is for is told by the rest.
    pub(super) fn take_path<B>(&self, request: &mut Request<B>) {
        if let Some(tokens) = self.site().and_then(|site| site.tokens.as_ref()) {
            tokens.places().take_path(request);
        }
    }

    /// Has a request that comes in, whose path has no token any more, belong to the site of its host, and
    /// find there what its route wants of the layers.
    pub(super) fn enter<B>(self, request: &mut Request<B>) {
        if let Some(site) = self.site() {
            let is_plain = || request.extensions().get::<ConnInfo>().is_some_and(|conn| !conn.tls);
            let policy = match site.came((&*request).into()) {
                _ if site.only_https && is_plain() => Some(&site.odd.plain),
                Ok(Some(route)) => route.policy.as_ref(),
                Ok(None) => site.odd.refused.as_ref(),
                Err(()) => Some(&site.odd.ambiguous),
            };
            if let Some(policy) = policy {
                request.extensions_mut().insert(Arc::clone(policy));
            }
        }
        request.extensions_mut().insert(self);
    }

    fn site(&self) -> Option<&Site> {
        self.sites.all.get(self.site?)
    }

    /// What the host of a request of this site is called in keys and upstream, whichever of the site's names
    /// and whatever port it has; `None` where no site has it.
    pub(super) fn called<'h>(&'h self, host: &'h [u8]) -> Option<&'h str> {
        let one = self.site()?.one.as_deref();
        one.or_else(|| std::str::from_utf8(name_of(host)).ok())
    }

    /// Where a request goes that [`Policy::prepare`] has seen; `None` where no site or no route takes
    /// it.
    pub(super) fn target(&self, request: &Parts) -> Option<&Target> {
        let Came(route, _) = request.extensions.get::<Came>()?;
        self.site()?.of(*route).target.as_ref()
    }

    /// Whether a site has this request's host.
    pub(super) fn is_served(&self) -> bool {
        self.site.is_some()
    }
}

/// A target that names an authority, with the one that its site has upstream.
fn called_as(uri: Uri, authority: Option<&Authority>) -> Uri {
    if authority.is_none() || uri.authority().is_none() || uri.authority() == authority {
        return uri;
    }
    let mut parts = uri.clone().into_parts();
    parts.authority = authority.cloned();
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Whether a request has been made ready for its upstream.
pub(super) fn is_prepared(request: &Parts) -> bool {
    request.extensions.get::<Came>().is_some()
}

/// What a request was for that has been made ready for its upstream.
pub(super) fn came_for(request: &Parts) -> Option<&Uri> {
    request.extensions.get().map(|Came(_, uri)| uri)
}

/// The cache's policy: the rules of the site that a request is for. What no site has goes past the
/// cache, to be refused where the sites are.
#[derive(Clone, Debug)]
pub(super) struct SitePolicy {
    /// For what did not come by the entrance, such as an operator's purge.
    current: Arc<ArcSwap<Sites>>,
}

impl SitePolicy {
    /// By the sites that are put there.
    pub(super) fn new(sites: Sites) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(sites)) }
    }

    /// The sites that are in force.
    pub(super) fn current(&self) -> Arc<Sites> {
        self.current.load_full()
    }

    /// Puts others in force.
    pub(super) fn put(&self, sites: Sites) -> Arc<Sites> {
        let sites = Arc::new(sites);
        self.current.store(Arc::clone(&sites));
        sites
    }

    fn with<R>(&self, request: &Parts, of: impl FnOnce(Option<&Site>) -> R) -> R {
        match request.extensions.get::<Pinned>() {
            Some(pinned) => of(pinned.site()),
            None => of(Pinned::new(&self.current(), host(request)).site()),
        }
    }
}

impl Policy for SitePolicy {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        self.with(request, |site| match site {
            Some(site) => site.rules.key(request, key),
            None => headwater::cache::DefaultPolicy.key(request, key),
        });
    }

    fn keys(&self, request: &Parts, each: &mut dyn FnMut(&KeyBuf)) {
        self.with(request, |site| match site {
            Some(site) => site.rules.keys(request, each),
            None => headwater::cache::DefaultPolicy.keys(request, each),
        });
    }

    fn bypass(&self, request: &Parts) -> bool {
        self.with(request, |site| site.is_none_or(|site| site.rules.bypass(request)))
    }

    fn in_slices(&self, request: &Parts) -> bool {
        self.with(request, |site| site.is_some_and(|site| site.rules.in_slices(request)))
    }

    fn prepare(&self, request: &mut Parts) {
        let pinned = match request.extensions.get::<Pinned>() {
            Some(pinned) => pinned.clone(),
            None => Pinned::new(&self.current(), host(request)),
        };
        if let Some(site) = pinned.site() {
            let route = site.rules.position(request);
            let came = request.uri.clone();
            site.rules.prepare(request);
            request.extensions.insert(Came(route, called_as(came, request.uri.authority())));
        }
        request.extensions.insert(pinned);
    }

    fn receive(&self, request: &Parts, status: StatusCode, headers: &mut HeaderMap) {
        self.with(request, |site| {
            if let Some(site) = site {
                site.rules.receive(request, status, headers);
            }
        });
    }

    fn overrides(&self, request: &Parts, status: StatusCode, headers: &HeaderMap) -> Overrides {
        self.with(request, |site| {
            site.map(|site| site.rules.overrides(request, status, headers)).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn sites(hosts: &[&[&str]]) -> Sites {
        let mut config = Config::default();
        for hosts in hosts {
            let mut site = SiteConfig::default();
            site.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect::<Vec<_>>().into();
            config.sites.push(site);
        }
        Sites::new(&config, &Upstreams::new()).unwrap()
    }

    #[test]
    fn the_nearest_name_counts_whatever_its_case_and_port() {
        let sites = sites(&[&["a.example"], &["*.example"], &["*.b.example", "[::1]"], &["*"]]);
        for (host, site) in [
            ("a.example", 0),
            ("A.Example:8443", 0),
            ("a.example.", 0),
            ("a.example.:443", 0),
            ("x.example", 1),
            ("x.b.example", 2),
            ("b.example", 1),
            ("[::1]:443", 2),
            ("[::1]", 2),
            ("example", 3),
            ("", 3),
        ] {
            assert_eq!(sites.find(host.as_bytes()), Some(site), "{host}");
        }
    }

    #[test]
    fn a_host_that_no_site_has_is_nobodys() {
        assert_eq!(sites(&[&["a.example"]]).find(b"b.example"), None);
        assert_eq!(sites(&[&["*.example"]]).find(b".example"), None);
    }
}
