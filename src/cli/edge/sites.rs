//! The virtual hosts of a configuration: which site a request is for, which of its routes, and what
//! the cache makes of it there.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headwater::cache::key::host;
use headwater::cache::{KeyBuf, Lifetime, Overrides, Policy, Route, Rules};
use headwater::edge::normalise::rewritten;
use headwater::edge::tokens::{Places, TokenRules};
use headwater::origin::upstream::Origins;
use headwater::proto::config::site::{Route as RouteConfig, Site as SiteConfig};
use headwater::proto::config::text::PathPattern;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};

use super::super::Error;
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
    rules: Rules,
    targets: Vec<Target>,
    otherwise: Option<Target>,
    tokens: Option<Arc<TokenRules>>,
    /// Of each route, whether it asks for no token.
    public: Vec<bool>,
}

/// Where the requests of a route go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) origins: Origins,
    pub(super) compress: bool,
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

/// In the extensions of a request that goes upstream: its route, before its path was rewritten.
#[derive(Clone, Copy)]
struct Came(Option<usize>);

impl Sites {
    /// The sites of a configuration whose upstreams are there.
    pub(super) fn new(configs: &[SiteConfig], upstreams: &Upstreams) -> Result<Self, Error> {
        let mut sites =
            Self { all: Vec::new(), named: HashMap::new(), below: Vec::new(), otherwise: None };
        for (number, config) in configs.iter().enumerate() {
            for host in config.hosts.iter() {
                match host.strip_prefix('*') {
                    Some("") => sites.otherwise = Some(number),
                    Some(below) => sites.below.push((below.as_bytes().into(), number)),
                    None => drop(sites.named.insert(host.as_bytes().into(), number)),
                }
            }
            sites.all.push(Site::new(config, upstreams)?);
        }
        sites.below.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(sites)
    }

    /// The site of a host, with or without its port.
    fn find(&self, host: &[u8]) -> Option<usize> {
        let host = without_port(host);
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

fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let end = host.len() - digits;
    match end.checked_sub(1).and_then(|colon| host.get(..colon).zip(host.get(colon))) {
        Some((name, b':')) => name,
        _ => host,
    }
}

impl Site {
    fn new(config: &SiteConfig, upstreams: &Upstreams) -> Result<Self, Error> {
        let target = |name: Option<&str>, compress| {
            let name = name?;
            let (config, origins) = upstreams.get(name)?;
            let shield = config.shield.then(|| name.into());
            Some(Target { origins: origins.clone(), compress, shield })
        };
        let of_site = config.upstream.as_deref();
        // Hosts that are all known are one site under the first of their names.
        let one =
            config.hosts.first().filter(|_| !config.hosts.iter().any(|host| host.contains('*')));
        let named = |route: Route| match one {
            Some(host) => route.as_host(host),
            None => route,
        };
        let mut rules = Rules::builder()
            .personal(config.personal_parameters.iter().map(String::as_str))
            .otherwise(named(Route::on("/**")));
        for device in &config.devices {
            let class = device.class.as_deref().unwrap_or_default();
            rules = rules.device(class, device.agents.iter().map(String::as_str));
        }
        let mut targets = Vec::new();
        for route in &config.routes {
            let path = route.path.as_ref().map(PathPattern::whole).unwrap_or_default();
            rules = rules.route(named(rule(route, path)));
            let name = route.upstream.as_deref().or(of_site);
            let no_upstream = || "a route has no upstream";
            targets.push(target(name, route.compress).ok_or_else(no_upstream)?);
        }
        let public = config.routes.iter().map(|route| route.public).collect();
        let tokens = config.tokens.as_ref().map(tokens::rules).transpose()?;
        let otherwise = target(of_site, true);
        Ok(Self { rules: rules.build()?, targets, otherwise, tokens, public })
    }

    fn target(&self, route: Option<usize>) -> Option<&Target> {
        match route {
            Some(route) => self.targets.get(route),
            None => self.otherwise.as_ref(),
        }
    }
}

/// What a route says, for the cache.
fn rule(config: &RouteConfig, path: String) -> Route {
    let mut route = Route::on(path);
    if let Some(only) = &config.only_parameters {
        route = route.only_parameters(only.iter().map(String::as_str));
    } else if !config.without_parameters.is_empty() {
        route = route.without_parameters(config.without_parameters.iter().map(String::as_str));
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
        (config.sort_parameters, Route::sort_parameters as fn(Route) -> Route),
        (config.by_device, Route::by_device),
        (config.in_slices, Route::in_slices),
        (config.ignore_set_cookie, Route::ignore_set_cookie),
        (!config.cache, Route::bypass),
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

    fn site(&self) -> Option<&Site> {
        self.sites.all.get(self.site?)
    }

    /// Where a request's token stands, if its site asks for tokens.
    pub(super) fn token_places(&self) -> Option<&Places> {
        Some(self.site()?.tokens.as_ref()?.places())
    }

    /// The tokens that a request needs, whose path has none any more. Its route is that of the path as
    /// it will be once it is normalised: else another spelling would choose a public one.
    pub(super) fn tokens(&self, request: &Parts) -> Option<Arc<TokenRules>> {
        let site = self.site()?;
        let rules = site.tokens.as_ref()?;
        let is_public = rewritten(&request.uri).is_some_and(|uri| {
            let mut normal = Request::new(()).into_parts().0;
            normal.uri = uri;
            let route = site.rules.position(&normal);
            route.and_then(|route| site.public.get(route)).is_some_and(|public| *public)
        });
        (!is_public).then(|| Arc::clone(rules))
    }

    /// Where a request goes that [`Policy::prepare`] has seen; `None` where no site or no route takes
    /// it.
    pub(super) fn target(&self, request: &Parts) -> Option<&Target> {
        let Came(route) = request.extensions.get::<Came>()?;
        self.site()?.target(*route)
    }

    /// Whether a site has this request's host.
    pub(super) fn is_served(&self) -> bool {
        self.site.is_some()
    }
}

/// Whether a request has been made ready for its upstream.
pub(super) fn is_prepared(request: &Parts) -> bool {
    request.extensions.get::<Came>().is_some()
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
            site.rules.prepare(request);
            request.extensions.insert(Came(route));
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
        let mut configs = Vec::new();
        for hosts in hosts {
            let mut config = SiteConfig::default();
            config.hosts =
                hosts.iter().map(|host| host.parse().unwrap()).collect::<Vec<_>>().into();
            configs.push(config);
        }
        Sites::new(&configs, &Upstreams::new()).unwrap()
    }

    #[test]
    fn the_nearest_name_counts_whatever_its_case_and_port() {
        let sites = sites(&[&["a.example"], &["*.example"], &["*.b.example", "[::1]"], &["*"]]);
        for (host, site) in [
            ("a.example", 0),
            ("A.Example:8443", 0),
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
