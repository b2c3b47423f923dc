//! Limits that limit something, paths that are one place, and what needs something else to be on.

use std::collections::BTreeSet;

use super::{Found, near, path};
use crate::config::Edge;
use crate::config::bounded::LIMITS;
use crate::config::media::{Limit, LimitPer};
use crate::config::quantity::{Size, Time};
use crate::config::route::Route;
use crate::config::text::PathPattern;
use crate::config::tree::Step;

const DAY: Time = Time::secs(86_400);

pub(super) fn check(found: &mut Found, edge: &Edge) {
    sessions(found, edge);
    limits(found, edge);
    let shed = &edge.shed;
    let at = |key: &str| path(["shed", key]);
    found.within(&at("target"), shed.target, Time::millis(1), Time::secs(10));
    found.within(&at("interval"), shed.interval, Time::millis(10), Time::secs(60));
    if let Some(most) = edge.cmsd.max_bitrate {
        found.at_least(&path(["cmsd", "max_bitrate"]), most, 1);
    }
    steering(found, edge);
}

fn sessions(found: &mut Found, edge: &Edge) {
    let sessions = &edge.sessions;
    let at = |key: &str| path(["sessions", key]);
    found.within(&at("capacity"), sessions.capacity, 1, 1_000_000);
    found.within(&at("idle"), sessions.idle, Time::secs(1), Time::secs(3_600));
    place(found, &at("reports"), sessions.reports.as_ref());
    if let Some(origins) = &sessions.reports_from {
        found.few(&at("reports_from"), origins);
        if sessions.reports.is_none() {
            found.add(&at("reports_from"), "nothing is posted without reports");
        }
    }
    let asked = [("reports", sessions.reports.is_some()), ("events", sessions.events.is_some())];
    for (key, _) in asked.into_iter().filter(|(_, asked)| *asked && !sessions.on) {
        found.add(&at(key), "no sessions are noted: on = true is missing");
    }
}

/// A path that is one place.
fn place(found: &mut Found, at: &[Step], place: Option<&PathPattern>) {
    if place.is_some_and(|place| place.contains('*')) {
        found.add(at, "it is one path, without *");
    }
}

fn limits(found: &mut Found, edge: &Edge) {
    let mut names = BTreeSet::new();
    let sites: BTreeSet<&str> =
        edge.sites.iter().flat_map(|site| site.hosts.iter()).map(|host| &**host).collect();
    for (number, limit) in found.bounded(&["limit".into()], &edge.limits, LIMITS).iter().enumerate()
    {
        let at = |key: &str| -> Vec<Step> { vec!["limit".into(), number.into(), key.into()] };
        match limit.name.as_deref() {
            None => found.section(&at("name"), "[[limit]] has no name"),
            Some(name) if name.contains('.') => {
                found.add(&at("name"), "it is of letters, digits, - and _");
            }
            Some(name) if !names.insert(name) => {
                found.add(&at("name"), format!("'{name}' is the name of another [[limit]]"));
            }
            Some(_) => {}
        }
        if limit.requests.is_none() && limit.bytes_per_second.is_none() {
            let says = "[[limit]] limits nothing: it has neither requests nor bytes_per_second";
            found.section(&at("requests"), says);
        }
        for (key, number) in [("requests", limit.requests), ("burst", limit.burst)] {
            if let Some(number) = number {
                found.at_least(&at(key), number, 1);
            }
        }
        let sizes =
            [("bytes_per_second", limit.bytes_per_second), ("byte_burst", limit.byte_burst)];
        for (key, size) in sizes {
            if let Some(size) = size {
                found.at_least(&at(key), size, Size::bytes(1));
            }
        }
        if let Some(hosts) = &limit.hosts {
            if hosts.is_empty() {
                found.add(&at("hosts"), "it is for no host");
            }
            for (item, host) in found.few(&at("hosts"), hosts).iter().enumerate() {
                if !is_served(host, &sites) {
                    let mut path = at("hosts");
                    path.push(item.into());
                    let hint = near::hint(host, sites.iter().copied());
                    found.add(&path, format!("no [[site]] has the host '{host}'{hint}"));
                }
            }
        }
        if limit.per == LimitPer::Token && !knows_holders(edge, limit) {
            found.add(&at("per"), "it holds nobody: no site that it is for has [site.tokens]");
        }
        found.within(&at("window"), limit.window, Time::millis(1), DAY);
        found.within(&at("clients"), limit.clients, 1, 10_000_000);
    }
}

/// Whether some site that a limit is for asks for tokens: where none is, nobody holds one.
fn knows_holders(edge: &Edge, limit: &Limit) -> bool {
    let names = |route: &Route| {
        let limits = route.limits.as_deref().unwrap_or_default();
        limits.iter().any(|name| limit.name.as_ref() == Some(name))
    };
    let is_named =
        edge.sites.iter().flat_map(|site| &site.routes).chain(&edge.policies).any(&names);
    let wanted: Option<BTreeSet<&str>> =
        limit.hosts.as_ref().map(|hosts| hosts.iter().map(|host| &**host).collect());
    edge.sites.iter().filter(|site| site.tokens.is_some()).any(|site| {
        let hosts: BTreeSet<&str> = site.hosts.iter().map(|host| &**host).collect();
        let is_for_it = wanted.as_ref().is_none_or(|wanted| {
            wanted.iter().any(|host| is_served(host, &hosts))
                || hosts.iter().any(|host| is_served(host, wanted))
        });
        let routes = || site.routes.iter().map(|route| edge.route(site, route));
        let mut all = routes().chain([edge.otherwise(site)]);
        is_for_it && (!is_named || all.any(|route| names(&route)))
    })
}

/// Whether some site has a host, by its name or by a pattern.
fn is_served(host: &str, sites: &BTreeSet<&str>) -> bool {
    let by_pattern = |site: &&str| {
        site.strip_prefix('*')
            .is_some_and(|below| host.ends_with(below) && host.len() > below.len())
    };
    sites.contains(host) || sites.iter().any(by_pattern)
}

fn steering(found: &mut Found, edge: &Edge) {
    let steering = &edge.steering;
    let at = |key: &str| path(["steering", key]);
    found.within(&at("ttl"), steering.ttl, Time::secs(1), DAY);
    place(found, &at("path"), steering.path.as_ref());
    let different: BTreeSet<&str> = steering.pathways.iter().map(|one| &**one).collect();
    if different.len() != steering.pathways.len() {
        found.add(&at("pathways"), "one of them is there twice");
    }
    if steering.pathways.len() > 16 {
        found.add(&at("pathways"), format!("{} are more than 16", steering.pathways.len()));
    }
    if steering.path.is_some() && steering.pathways.is_empty() {
        found.add(&at("path"), "nobody is told anything there: there are no pathways");
    }
    if let Some(here) = steering.here.as_deref().filter(|here| !different.contains(here)) {
        found.add(&at("here"), format!("'{here}' is none of the pathways"));
    }
    let needs = [
        ("most_sessions", steering.most_sessions.is_some(), edge.sessions.on, "sessions"),
        ("when_shedding", steering.when_shedding, edge.shed.on, "shed"),
    ];
    for (key, asked, on, section) in needs {
        if asked && !on {
            found.add(&at(key), format!("on = true of [{section}] is missing"));
        }
        if asked && steering.here.is_none() {
            found.add(&at(key), "it takes here, which is missing");
        }
    }
}
