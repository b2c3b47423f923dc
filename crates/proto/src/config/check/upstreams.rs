//! Groups of origins: each has a name of its own and somebody to ask.

use std::collections::BTreeSet;

use super::Found;
use crate::config::tree::Step;
use crate::config::upstream::Upstream;

/// Checks them; returns their names.
pub(super) fn check<'a>(found: &mut Found, upstreams: &'a [Upstream]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (number, upstream) in upstreams.iter().enumerate() {
        let at = |key: &str| -> [Step; 3] { ["upstream".into(), number.into(), key.into()] };
        match &upstream.name {
            None => found.section(&at("name"), "[[upstream]] needs a name"),
            Some(name) if !names.insert(&**name) => {
                found.add(&at("name"), format!("'{name}' is the name of another upstream already"));
            }
            Some(_) => {}
        }
        let called = upstream.name.as_deref().unwrap_or_default();
        if upstream.origins.is_empty() {
            found.add(&at("origins"), format!("the upstream '{called}' has no origins"));
        }
        let few = found.few(&at("origins"), &upstream.origins);
        for (item, origin) in few.iter().enumerate() {
            if upstream.origins.iter().take(item).any(|before| before == origin) {
                let mut path = at("origins").to_vec();
                path.push(item.into());
                found.add(&path, format!("'{origin}' is there twice"));
            }
        }
        if upstream.shield {
            for (item, origin) in few.iter().enumerate().filter(|(_, origin)| !is_root(origin)) {
                let mut path = at("origins").to_vec();
                path.push(item.into());
                found.add(&path, format!("'{origin}' has a path, and is a shield's"));
            }
        } else if upstream.link_file.is_some() {
            found.add(&at("link_file"), "shield is false: there is nobody to be known by");
        }
        let encrypted = upstream.origins.iter().any(|origin| origin.starts_with("https:"));
        if upstream.ca.is_some() && !encrypted && !upstream.origins.is_empty() {
            found.add(&at("ca"), "no origin of this upstream is https");
        }
        match (&upstream.client_certificate, &upstream.client_key) {
            (Some(_), None) => found.add(&at("client_certificate"), "its client_key is missing"),
            (None, Some(_)) => found.add(&at("client_key"), "its client_certificate is missing"),
            _ => {}
        }
        for (key, time) in [
            ("connect_timeout", upstream.connect_timeout),
            ("first_byte_timeout", upstream.first_byte_timeout),
            ("idle_timeout", upstream.idle_timeout),
            ("cool_off", upstream.cool_off),
        ] {
            found.positive(&at(key), time);
        }
        found.at_least(&at("longest_cool_off"), upstream.longest_cool_off, upstream.cool_off);
        found.at_least(&at("max_requests"), upstream.max_requests, 1);
        found.at_least(&at("failures"), upstream.failures, 1);
        found.within(&at("retry_percent"), upstream.retry_percent, 0, 100);
        found.within(&at("hedge_percent"), upstream.hedge_percent, 0, 100);
    }
    names
}

/// Whether a URL has no path: a shield is told of what it is asked for as it is asked for it.
fn is_root(origin: &str) -> bool {
    let rest = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    rest.split_once('/').is_none_or(|(_, path)| path.is_empty())
}
