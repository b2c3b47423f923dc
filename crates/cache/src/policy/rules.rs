//! The policy that most deployments need: rules by route, checked once, without an allocation for a
//! hit.
//!
//! ```
//! use std::time::Duration;
//! use headwater_cache::{Cache, Lifetime, Route, Rules};
//!
//! let rules = Rules::builder()
//!     .personal(["viewer"])
//!     .device("tv", ["Tizen", "Web0S"])
//!     .route(
//!         Route::on("*.example.com/live/**/*.m3u8")
//!             .ttl(Lifetime::AtMost(Duration::from_secs(1)))
//!             .stale_if_error(Duration::from_secs(30)),
//!     )
//!     .route(Route::on("/**/*.m4s").only_parameters(["v"]).as_host("media.example.com"))
//!     .route(Route::on("/api/**").bypass())
//!     .otherwise(
//!         Route::on("/**")
//!             .sort_parameters()
//!             .ignore_set_cookie()
//!             .error_ttl(404..=404, Duration::from_secs(10))
//!             .error_ttl(500..=599, Duration::from_secs(1)),
//!     )
//!     .build()?;
//! let cache = Cache::builder().policy(rules).build();
//!
//! let error = Rules::builder().route(Route::on("live/**/a/**")).build().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "the route `live/**/a/**` cannot be read: ** stands once and alone between slashes, and * \
//!      once in a segment"
//! );
//! # Ok::<_, headwater_cache::RuleError>(())
//! ```

use headwater_net::Secret;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::parameters::{Form, PERSONAL};
use super::pattern::Pattern;
use super::route::{Route, RuleError};
use super::{DEBUG, Overrides, Policy};
use crate::key::{self, KeyBuf, Seen};

/// What tells upstream the class of a device.
const DEVICE: HeaderName = HeaderName::from_static("headwater-device");

/// The most routes: a request is compared with one after the other.
const MAX_ROUTES: usize = 256;

/// A [`Policy`] of [`Route`]s: the first that matches a request holds. See the module's example.
#[derive(Clone, Debug)]
pub struct Rules {
    routes: Box<[(Pattern, Route)]>,
    otherwise: Route,
    personal: Box<[Box<str>]>,
    devices: Box<[Device]>,
    debug: Option<Secret>,
    bypasses: bool,
}

#[derive(Clone, Debug)]
struct Device {
    class: HeaderValue,
    agents: Box<[Box<str>]>,
}

/// Which route a request on its way upstream came by: its path may have been rewritten since.
#[derive(Clone, Copy, Debug)]
struct Came(usize);

impl Rules {
    /// Starts with no rules, and [`PERSONAL`] parameters.
    pub fn builder() -> RulesBuilder {
        RulesBuilder {
            routes: Vec::new(),
            otherwise: Route::on("/**"),
            personal: PERSONAL.map(Into::into).into(),
            devices: Vec::new(),
            debug: None,
        }
    }

    /// The number of the route that holds for a request, in the order in which they were added;
    /// `None` where no route matches it. To be asked before [`prepare`](Policy::prepare), which may
    /// rewrite its path.
    pub fn position(&self, request: &Parts) -> Option<usize> {
        self.position_of(request, request.uri.path())
    }

    /// As [`position`](Self::position), if the request's path were this one.
    pub fn position_of<'r>(&self, request: impl Into<Seen<'r>>, path: &str) -> Option<usize> {
        Some(self.find_by(request.into(), path)).filter(|index| *index < self.routes.len())
    }

    fn find(&self, request: &Parts) -> usize {
        self.find_by(request.into(), request.uri.path())
    }

    fn find_by(&self, request: Seen<'_>, path: &str) -> usize {
        let found = self.routes.iter().position(|(pattern, _)| pattern.matches(request, path));
        found.unwrap_or(self.routes.len())
    }

    fn route(&self, index: usize) -> &Route {
        self.routes.get(index).map_or(&self.otherwise, |(_, route)| route)
    }

    /// The route of a request that [`prepare`](Policy::prepare) has seen.
    fn came(&self, request: &Parts) -> &Route {
        let came = request.extensions.get::<Came>().map(|came| came.0);
        self.route(came.unwrap_or_else(|| self.find(request)))
    }

    fn form<'a>(&'a self, route: &'a Route) -> Form<'a> {
        Form { parameters: &route.parameters, personal: &self.personal, sorted: route.sorted }
    }

    fn device(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
        let is = |device: &&Device| device.agents.iter().any(|part| agent.contains(&**part));
        self.devices.iter().find(is).map(|device| &device.class)
    }

    /// Writes a key as far as it is the URL's.
    fn write_url(&self, route: &Route, request: &Parts, key: &mut KeyBuf) {
        match &route.host {
            Some(host) => key.push(host.as_bytes()),
            None if route.any_port => key.push_lowercase(key::name_of(key::host(request))),
            None => key.push_lowercase(key::normal_host(request)),
        }
        key::write_path(request, key);
        if let Some(query) = request.uri.query() {
            self.form(route).write(query, |piece| key.push(piece.as_bytes()));
        }
    }

    /// The URI that upstream is asked for; `None` where that is the client's.
    fn upstream_uri(&self, route: &Route, uri: &Uri) -> Option<Uri> {
        let (path, query) = (uri.path(), uri.query());
        let rewritten =
            route.rewrite.as_ref().and_then(|(from, to)| Some((to, path.strip_prefix(&**from)?)));
        let form = self.form(route);
        let same = query.is_none_or(|query| form.is_same(query));
        if rewritten.is_none() && same && (route.host.is_none() || uri.authority().is_none()) {
            return None;
        }
        let mut target = String::with_capacity(path.len() + query.map_or(0, str::len) + 16);
        match rewritten {
            Some((to, rest)) => {
                target.push_str(to);
                if !target.ends_with('/') && !rest.starts_with('/') {
                    target.push('/');
                }
                target.push_str(rest);
            }
            None => target.push_str(path),
        }
        if let Some(query) = query {
            form.write(query, |piece| target.push_str(piece));
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(target.parse().ok()?);
        if let Some(host) = &route.host
            && parts.authority.is_some()
        {
            parts.authority = Some(host.to_str().ok()?.parse().ok()?);
        }
        Uri::from_parts(parts).ok()
    }
}

/// Appends a class of devices, or that of all others, to a key.
fn push_class(key: &mut KeyBuf, class: Option<&HeaderValue>) {
    key.push_beside(class.map_or(b"", HeaderValue::as_bytes));
}

impl Policy for Rules {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        let route = self.route(self.find(request));
        self.write_url(route, request, key);
        if route.by_device {
            push_class(key, self.device(&request.headers));
        }
    }

    fn keys(&self, request: &Parts, each: &mut dyn FnMut(&KeyBuf)) {
        let route = self.route(self.find(request));
        let mut url = KeyBuf::new();
        self.write_url(route, request, &mut url);
        if !route.by_device {
            return each(&url);
        }
        let classes = self.devices.iter().map(|device| Some(&device.class));
        for class in classes.chain([None]) {
            let mut key = KeyBuf::new();
            key.push(url.as_bytes());
            push_class(&mut key, class);
            each(&key);
        }
    }

    fn bypass(&self, request: &Parts) -> bool {
        self.bypasses && self.route(self.find(request)).bypass
    }

    fn in_slices(&self, request: &Parts) -> bool {
        self.route(self.find(request)).in_slices
    }

    fn prepare(&self, request: &mut Parts) {
        let index = self.find(request);
        let route = self.route(index);
        if route.any_port && route.host.is_none() {
            key::name_without_port(request);
        }
        if let Some(uri) = self.upstream_uri(route, &request.uri) {
            request.uri = uri;
        }
        if let Some(host) = &route.host
            && request.headers.contains_key(header::HOST)
        {
            request.headers.insert(header::HOST, host.clone());
        }
        if !self.devices.is_empty() {
            let class = self.device(&request.headers).filter(|_| route.by_device).cloned();
            match class {
                Some(class) => request.headers.insert(DEVICE, class),
                None => request.headers.remove(DEVICE),
            };
        }
        route.edit_request(&mut request.headers);
        request.extensions.insert(Came(index));
    }

    fn receive(&self, request: &Parts, status: StatusCode, headers: &mut HeaderMap) {
        let _ = status;
        self.came(request).edit_response(headers);
    }

    fn overrides(&self, request: &Parts, status: StatusCode, headers: &HeaderMap) -> Overrides {
        let _ = headers;
        self.came(request).overrides(status)
    }

    fn debug(&self, request: &Parts) -> bool {
        let Some(secret) = &self.debug else { return false };
        request.headers.get(DEBUG).is_some_and(|guess| secret.is(guess.as_bytes()))
    }
}

/// Describes [`Rules`].
#[derive(Debug)]
#[must_use = "a builder does nothing until build is called"]
pub struct RulesBuilder {
    routes: Vec<Route>,
    otherwise: Route,
    personal: Vec<Box<str>>,
    devices: Vec<(String, Box<[Box<str>]>)>,
    debug: Option<Secret>,
}

impl RulesBuilder {
    /// Adds a route. The first that matches holds; at most 256.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// The rules for what no route matches; the pattern does not count.
    pub fn otherwise(mut self, route: Route) -> Self {
        self.otherwise = route;
        self
    }

    /// More query parameters that tell of who asks: no key and no upstream URL holds them. Those of
    /// [`PERSONAL`] are there already.
    pub fn personal<S: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.personal.extend(names.into_iter().map(Into::into));
        self
    }

    /// These query parameters, and only these, tell of who asks: in the place of [`PERSONAL`],
    /// where an origin uses one of those names for something else.
    pub fn only_personal<S: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.personal.clear();
        self.personal(names)
    }

    /// A class of devices: those whose `User-Agent` holds one of these. The first that does counts;
    /// it does so on routes that are told [apart by device](Route::by_device).
    pub fn device<S: Into<Box<str>>>(
        mut self,
        class: impl Into<String>,
        agents: impl IntoIterator<Item = S>,
    ) -> Self {
        self.devices.push((class.into(), agents.into_iter().map(Into::into).collect()));
        self
    }

    /// Who sends this in `Headwater-Debug` is told, in `Headwater-Explain`, what the cache makes of
    /// the request; default nobody.
    pub fn debug_secret(mut self, secret: Secret) -> Self {
        self.debug = Some(secret);
        self
    }

    /// The rules.
    ///
    /// # Errors
    /// A [`RuleError`] that says in one sentence what is wrong with which route.
    pub fn build(self) -> Result<Rules, RuleError> {
        let wrong = |rule, why: &str| RuleError::Rule {
            pattern: "/**".to_owned(),
            rule,
            why: why.to_owned(),
        };
        if self.routes.len() > MAX_ROUTES {
            return Err(wrong("number", "there are at most 256 routes"));
        }
        let routes: Box<[(Pattern, Route)]> = self
            .routes
            .into_iter()
            .map(|route| {
                route.check()?;
                Ok((Pattern::read(&route.pattern)?, route))
            })
            .collect::<Result<_, RuleError>>()?;
        self.otherwise.check()?;
        let devices = self
            .devices
            .into_iter()
            .map(|(class, agents)| match HeaderValue::from_str(&class) {
                Ok(class) if !class.is_empty() => Ok(Device { class, agents }),
                _ => Err(wrong("device", "a class has a name of visible characters")),
            })
            .collect::<Result<_, RuleError>>()?;
        Ok(Rules {
            bypasses: self.otherwise.bypass || routes.iter().any(|(_, route)| route.bypass),
            routes,
            otherwise: self.otherwise,
            personal: self.personal.into(),
            devices,
            debug: self.debug,
        })
    }
}

#[cfg(test)]
mod tests;
