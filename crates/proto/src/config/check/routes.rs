//! Routes and policies: each can be reached, leads somewhere, and says nothing twice.

use std::collections::BTreeSet;

use super::{Found, Looked, known};
use crate::config::Edge;
use crate::config::bounded;
use crate::config::route::Route;
use crate::config::site::Site;
use crate::config::text::{Name, PathPattern};
use crate::config::tree::Step;

/// The most policies of a route, of a site, and of all.
const MAX_POLICIES: usize = 64;

/// What routes may name.
pub(super) struct Names<'a> {
    pub(super) upstreams: BTreeSet<&'a str>,
    pub(super) policies: BTreeSet<&'a str>,
    limits: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Checks the policies; returns what may be named.
    pub(super) fn of(found: &mut Found, edge: &'a Edge, upstreams: BTreeSet<&'a str>) -> Self {
        let limits = edge.limits.iter().filter_map(|limit| limit.name.as_deref()).collect();
        let mut names = Self { upstreams, policies: BTreeSet::new(), limits };
        for (number, policy) in
            found.bounded(&["policy".into()], &edge.policies, bounded::POLICIES).iter().enumerate()
        {
            let mut at = Looked::new(found, vec!["policy".into(), number.into()]);
            match &policy.name {
                None => at.section("name", "[[policy]] needs a name"),
                Some(name) if !names.policies.insert(&**name) => {
                    at.add("name", format!("'{name}' is the name of another policy already"));
                }
                Some(_) => {}
            }
            if policy.path.is_some() {
                at.add("path", "a policy has no path: routes that name it have");
            }
            if !policy.policies.is_empty() {
                at.add("policy", "a policy names no other: routes and sites do");
            }
            alone(&mut at, policy, edge, &names);
            if policy.cache == Some(false) {
                uncached(&mut at, policy);
            }
        }
        names
    }
}

/// Names of policies.
pub(super) fn policies(found: &mut Found, at: &[Step], named: &[Name], names: &Names<'_>) {
    if named.len() > MAX_POLICIES {
        found.add(at, format!("{} are more than {MAX_POLICIES}", named.len()));
    }
    for (item, name) in named.iter().take(MAX_POLICIES).enumerate() {
        let mut path = at.to_vec();
        path.push(item.into());
        known(found, &path, "policy", Some(name), &names.policies);
    }
}

/// One route of a site.
pub(super) fn check(found: &mut Found, edge: &Edge, names: &Names<'_>, site: usize, route: usize) {
    let Some(of) = edge.sites.get(site) else { return };
    let Some(written) = of.routes.get(route) else { return };
    let path = vec!["site".into(), site.into(), "route".into(), route.into()];
    let mut at = Looked::new(found, path);
    match &written.path {
        None => at.section("path", "[[site.route]] needs a path, such as path = \"/live/\""),
        Some(path) => {
            let before = of.routes.iter().take(route).filter_map(|one| one.path.as_ref());
            if let Some(covering) = before.into_iter().find(|one| covers(one, path)) {
                let says =
                    format!("'{path}' is never reached: the route '{covering}' before it takes it");
                at.add("path", says);
            }
        }
    }
    let named = at.path("policy");
    policies(at.found(), &named, &written.policies, names);
    alone(&mut at, written, edge, names);
    let resolved = edge.route(of, written);
    together(&mut at, &resolved, of);
    if resolved.cache == Some(false) {
        uncached(&mut at, written);
    }
}

/// What is wrong with what a route or a policy says, whatever else holds there.
fn alone(at: &mut Looked<'_>, route: &Route, edge: &Edge, names: &Names<'_>) {
    let path = at.path("upstream");
    known(at.found(), &path, "upstream", route.upstream.as_ref(), &names.upstreams);
    let path = at.path("limit");
    let limits = route.limits.as_deref().unwrap_or_default();
    for (item, name) in at.found().few(&path, limits).iter().enumerate() {
        let mut path = path.clone();
        path.push(item.into());
        known(at.found(), &path, "limit", Some(name), &names.limits);
    }
    let ttls = [
        ("ttl", route.ttl),
        ("ttl_at_least", route.ttl_at_least),
        ("ttl_at_most", route.ttl_at_most),
    ];
    let mut given = ttls.iter().filter(|(_, ttl)| ttl.is_some()).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        at.add(second, format!("{first} says it already"));
    }
    for (key, names) in [
        ("only_parameters", &route.only_parameters),
        ("without_parameters", &route.without_parameters),
    ] {
        let path = at.path(key);
        parameters(at.found(), &path, names.as_deref().unwrap_or_default());
    }
    let without = route.without_parameters.as_deref().unwrap_or_default();
    if route.only_parameters.is_some() && !without.is_empty() {
        at.add("without_parameters", "only_parameters says it already");
    }
    let mut last = 0;
    for statuses in route.error_ttl.keys() {
        if *statuses.range().start() <= last {
            at.add("error_ttl", format!("'{statuses}' overlaps what is before it"));
        }
        last = last.max(*statuses.range().end());
    }
    if let Some(rewrite) = &route.rewrite {
        let to_path = rewrite.to.is_empty() || rewrite.to.starts_with('/');
        if !rewrite.from.starts_with('/') || !to_path || rewrite.to.contains(['?', '#']) {
            at.add("rewrite", "it is { from = \"/…\", to = \"/…\" }, from a path to a path");
        }
    }
    for (key, fields) in
        [("request_headers", &route.request_headers), ("response_headers", &route.response_headers)]
    {
        let path = at.path(key);
        at.found().fields(&path, fields.set.keys().chain(fields.remove.iter()));
        for name in fields.remove.iter().filter(|name| fields.set.contains_key(*name)) {
            at.add(key, format!("'{name}' is set and removed"));
        }
    }
    if let Some(answer) = &route.answer {
        answer.check(&mut at.within("answer"));
    }
    if route.methods.as_ref().is_some_and(|methods| methods.is_empty()) {
        at.add("methods", "no method is let in");
    }
    if let Some(cors) = &route.cors {
        cors.check(&mut at.within("cors"));
    }
    if let Some(security) = &route.security {
        security.check(&mut at.within("security"));
    }
    if let Some(addresses) = &route.addresses {
        addresses.check(&mut at.within("addresses"));
    }
    if let Some(countries) = &route.countries {
        countries.check(&mut at.within("countries"));
        if edge.geo.database.is_none() {
            at.add("countries", "[geo] has no database: nobody's country is known");
        }
    }
    if let Some(referrers) = &route.referrers {
        referrers.check(&mut at.within("referrers"));
    }
}

/// What does not go together of all that holds for a route.
fn together(at: &mut Looked<'_>, route: &Route, site: &Site) {
    if route.upstream.is_none() && route.answer.is_none() {
        let says = "[[site.route]] has no upstream and no answer, and its [[site]] no upstream";
        at.section("upstream", says);
    }
    if route.by_device == Some(true) && site.devices.is_empty() {
        at.add("by_device", "the site has no [[site.device]]");
    }
    if route.public == Some(true) && site.tokens.is_none() {
        at.add("public", "the site has no [site.tokens]: all of it is public");
    }
}

/// What a route or a policy says of what is cached, where nothing is. What a route that is not cached
/// has from policies counts for nothing, and is not wrong.
fn uncached(at: &mut Looked<'_>, route: &Route) {
    let times = [
        ("ttl", route.ttl),
        ("ttl_at_least", route.ttl_at_least),
        ("ttl_at_most", route.ttl_at_most),
        ("stale_while_revalidate", route.stale_while_revalidate),
        ("stale_if_error", route.stale_if_error),
    ];
    let times = times.iter().map(|(key, time)| (*key, time.is_some()));
    let in_slices = route.in_slices == Some(true);
    let more = [("error_ttl", !route.error_ttl.is_empty()), ("in_slices", in_slices)];
    for (key, _) in times.chain(more).filter(|(_, given)| *given) {
        at.add(key, "nothing here is cached: cache is false");
    }
}

/// Names of query parameters.
pub(super) fn parameters(found: &mut Found, at: &[Step], names: &[String]) {
    for name in names.iter().filter(|name| name.is_empty() || name.contains(['&', '=', '?', '#'])) {
        found.add(at, format!("'{}' is no query parameter's name", name.escape_debug()));
    }
}

/// Whether a pattern takes all that another does, as far as that is seen by their beginnings.
fn covers(one: &PathPattern, other: &PathPattern) -> bool {
    let (one, other) = (one.whole(), other.whole());
    match one.strip_suffix("**") {
        Some(begin) if !begin.contains('*') => {
            // `/live/**` takes `/live`, too.
            other.starts_with(begin) || other == begin.trim_end_matches('/')
        }
        _ => one == other,
    }
}
