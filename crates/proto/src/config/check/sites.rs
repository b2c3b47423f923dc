//! Virtual hosts and their routes: each host is one site's, each route can be reached and leads
//! somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use crate::config::near;
use crate::config::site::{Device, Route, Site};
use crate::config::text::{Name, PathPattern};
use crate::config::tree::Step;

/// The most routes of one site: a request is compared with one after the other.
const MAX_ROUTES: usize = 255;

pub(super) fn check(found: &mut Found, sites: &[Site], upstreams: &BTreeSet<&str>) {
    if sites.is_empty() {
        found.section(&[], "there is no [[site]]: nothing would be served");
    }
    let mut hosts = BTreeMap::new();
    for (number, site) in sites.iter().enumerate() {
        let at = |key: &str| -> Vec<Step> { vec!["site".into(), number.into(), key.into()] };
        if site.hosts.is_empty() {
            let says = "[[site]] has no hosts: hosts = \"*\" takes all that no other has";
            found.section(&at("hosts"), says);
        }
        for (item, host) in site.hosts.iter().enumerate() {
            if let Some(other) = hosts.insert(&**host, number) {
                let mut path = at("hosts");
                path.push(item.into());
                let of = if other == number { "this site" } else { "another site" };
                found.add(&path, format!("'{host}' is a host of {of} already"));
            }
        }
        known(found, &at("upstream"), site.upstream.as_ref(), upstreams);
        parameters(found, &at("personal_parameters"), &site.personal_parameters);
        super::tokens::check(found, site, number);
        devices(found, number, &site.devices);
        if site.routes.len() > MAX_ROUTES {
            let says = format!("{} routes are more than {MAX_ROUTES}", site.routes.len());
            found.add(&at("route"), says);
        }
        for (route, of) in site.routes.iter().take(MAX_ROUTES).enumerate() {
            let path = vec!["site".into(), number.into(), "route".into(), route.into()];
            check_route(&mut Looked { found, path, upstreams, site }, of, route);
        }
    }
}

fn known(found: &mut Found, at: &[Step], name: Option<&Name>, upstreams: &BTreeSet<&str>) {
    if let Some(name) = name.filter(|name| !upstreams.contains(&***name)) {
        let hint = near::hint(name, upstreams.iter().copied());
        found.add(at, format!("there is no [[upstream]] '{name}'{hint}"));
    }
}

fn parameters(found: &mut Found, at: &[Step], names: &[String]) {
    for name in names.iter().filter(|name| name.is_empty() || name.contains(['&', '=', '?', '#'])) {
        found.add(at, format!("'{}' is no query parameter's name", name.escape_debug()));
    }
}

fn devices(found: &mut Found, site: usize, devices: &[Device]) {
    let mut classes = BTreeSet::new();
    for (number, device) in devices.iter().enumerate() {
        let section = vec!["site".into(), site.into(), "device".into(), number.into()];
        match &device.class {
            None => found.section(&section, "[[site.device]] needs a class"),
            Some(class) if !classes.insert(class) => {
                let says = format!("[[site.device]]: the class '{class}' is there already");
                found.section(&section, says);
            }
            Some(_) => {}
        }
        if device.agents.is_empty() || device.agents.iter().any(String::is_empty) {
            found.section(&section, "[[site.device]] needs agents, texts that User-Agent holds");
        }
    }
}

/// A route as it is looked at.
struct Looked<'f> {
    found: &'f mut Found,
    path: Vec<Step>,
    upstreams: &'f BTreeSet<&'f str>,
    site: &'f Site,
}

impl Looked<'_> {
    fn at(&self, key: &str) -> Vec<Step> {
        let mut path = self.path.clone();
        path.push(key.into());
        path
    }

    fn needs(&mut self, key: &str, says: &str) {
        let path = self.at(key);
        self.found.section(&path, says);
    }

    fn add(&mut self, key: &str, says: impl AsRef<str>) {
        let path = self.at(key);
        self.found.add(&path, says);
    }
}

fn check_route(at: &mut Looked<'_>, route: &Route, number: usize) {
    let before = at.site.routes.iter().take(number);
    match &route.path {
        None => at.needs("path", "[[site.route]] needs a path, such as path = \"/live/\""),
        Some(path) => {
            let covering = before.filter_map(|one| one.path.as_ref()).find(|one| covers(one, path));
            if let Some(covering) = covering {
                let says =
                    format!("'{path}' is never reached: the route '{covering}' before it takes it");
                at.add("path", says);
            }
        }
    }
    if route.upstream.is_none() && at.site.upstream.is_none() {
        let says = "[[site.route]] has no upstream, and neither has its [[site]]";
        at.needs("upstream", says);
    }
    let path = at.at("upstream");
    known(at.found, &path, route.upstream.as_ref(), at.upstreams);
    let ttls = [
        ("ttl", route.ttl),
        ("ttl_at_least", route.ttl_at_least),
        ("ttl_at_most", route.ttl_at_most),
    ];
    let mut given = ttls.iter().filter(|(_, ttl)| ttl.is_some()).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        at.add(second, format!("{first} says it already"));
    }
    uncached(at, route);
    if let Some(only) = &route.only_parameters {
        let path = at.at("only_parameters");
        parameters(at.found, &path, only);
        if !route.without_parameters.is_empty() {
            at.add("without_parameters", "only_parameters says it already");
        }
    }
    let path = at.at("without_parameters");
    parameters(at.found, &path, &route.without_parameters);
    if route.by_device && at.site.devices.is_empty() {
        at.add("by_device", "the site has no [[site.device]]");
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
        let path = at.at(key);
        at.found.fields(&path, fields.set.keys().chain(fields.remove.iter()));
        for name in fields.remove.iter().filter(|name| fields.set.contains_key(*name)) {
            at.add(key, format!("'{name}' is set and removed"));
        }
    }
}

/// Keys that say how what is not cached is cached.
fn uncached(at: &mut Looked<'_>, route: &Route) {
    if route.cache {
        return;
    }
    let times = [
        ("ttl", route.ttl),
        ("ttl_at_least", route.ttl_at_least),
        ("ttl_at_most", route.ttl_at_most),
        ("stale_while_revalidate", route.stale_while_revalidate),
        ("stale_if_error", route.stale_if_error),
    ];
    let times = times.iter().map(|(key, time)| (*key, time.is_some()));
    let more = [("error_ttl", !route.error_ttl.is_empty()), ("in_slices", route.in_slices)];
    for (key, _) in times.chain(more).filter(|(_, given)| *given) {
        at.add(key, "nothing here is cached: cache is false");
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
