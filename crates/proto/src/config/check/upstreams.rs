//! Groups of origins: each has a name of its own and somebody to ask.

use std::collections::BTreeSet;

use super::Found;
use crate::config::bounded::UPSTREAMS;
use crate::config::quantity::Time;
use crate::config::tree::Step;
use crate::config::upstream::{Choose, HostOf, Redirects, Upstream};

/// Checks them; returns their names.
pub(super) fn check<'a>(found: &mut Found, upstreams: &'a [Upstream]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let upstreams = found.bounded(&["upstream".into()], upstreams, UPSTREAMS);
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
        stored(found, number, upstream);
        if upstream.origins.is_empty() && upstream.store.is_none() {
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
        found.few(&at("failover_on"), &upstream.failover_on);
        let few = found.few(&at("name_servers"), &upstream.name_servers);
        for (item, server) in few.iter().enumerate() {
            if few.iter().take(item).any(|before| before.socket() == server.socket()) {
                let mut path = at("name_servers").to_vec();
                path.push(item.into());
                found.add(&path, format!("'{server}' is there twice"));
            }
        }
        named(found, number, upstream);
        signed(found, number, upstream);
        shares(found, number, upstream);
        spread(found, number, upstream);
        elsewhere(found, number, upstream);
        if let Some(check) = &upstream.check {
            let at = |key: &str| -> [Step; 4] {
                ["upstream".into(), number.into(), "check".into(), key.into()]
            };
            found.positive(&at("every"), check.every);
            found.positive(&at("timeout"), check.timeout);
            found.few(&at("failed_by"), &check.failed_by);
            found.at_least(&at("failures"), check.failures, 1);
            found.at_least(&at("successes"), check.successes, 1);
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
            ("websocket_idle_timeout", upstream.websocket_idle_timeout),
            ("cool_off", upstream.cool_off),
        ] {
            found.positive(&at(key), time);
        }
        if let Some(whole) = upstream.whole_timeout {
            found.positive(&at("whole_timeout"), whole);
        }
        if let Some(taken) = &upstream.response_fields {
            found.few(&at("response_fields"), taken);
        }
        found.within(&at("dns_ttl"), upstream.dns_ttl, Time::secs(1), Time::secs(3600));
        found.at_least(&at("longest_cool_off"), upstream.longest_cool_off, upstream.cool_off);
        found.at_least(&at("max_requests"), upstream.max_requests, 1);
        found.at_least(&at("failures"), upstream.failures, 1);
        found.at_least(&at("successes"), upstream.successes, 1);
        found.within(&at("retry_percent"), upstream.retry_percent, 0, 100);
        found.within(&at("hedge_percent"), upstream.hedge_percent, 0, 100);
    }
    names
}

/// What origins are called.
fn named(found: &mut Found, number: usize, upstream: &Upstream) {
    let at = |key: &str| -> [Step; 3] { ["upstream".into(), number.into(), key.into()] };
    if upstream.host_name.is_some() && upstream.host == HostOf::Client {
        found.add(&at("host_name"), "host is client: it is the client that says it");
    } else if upstream.host_name.is_some() && upstream.shield {
        found.add(&at("host_name"), "shield is true: shields are called by their URLs");
    }
    let encrypted = upstream.origins.iter().any(|origin| origin.starts_with("https:"));
    if upstream.http3 && !encrypted {
        found.add(&at("http3"), "no origin of this upstream is https");
    } else if upstream.http3 && upstream.host == HostOf::Client {
        found.add(&at("http3"), "host is client, which goes over HTTP/1.1 alone");
    }
    let Some(name) = &upstream.tls_name else { return };
    if name.contains(':') {
        found.add(&at("tls_name"), format!("'{name}' has a port: certificates are of names"));
    } else if !encrypted {
        found.add(&at("tls_name"), "no origin of this upstream is https");
    }
}

/// Who signs.
fn signed(found: &mut Found, number: usize, upstream: &Upstream) {
    let at =
        |key: &str| -> [Step; 4] { ["upstream".into(), number.into(), "sign".into(), key.into()] };
    let Some(sign) = &upstream.sign else { return };
    if upstream.host == HostOf::Client {
        let host: [Step; 3] = ["upstream".into(), number.into(), "host".into()];
        found.add(&host, "it is client, and requests are signed for one host");
    }
    for (key, missing) in [("region", sign.region.is_none()), ("key_id", sign.key_id.is_none())] {
        if missing {
            found.section(&at(key), format!("[upstream.sign] needs a {key}"));
        }
    }
    match (&sign.secret_file, &sign.secret_env) {
        (None, None) => {
            found
                .section(&at("secret_file"), "[upstream.sign] needs a secret_file or a secret_env");
        }
        (Some(_), Some(_)) => {
            found.add(&at("secret_env"), "the secret is given twice: secret_file says it, too");
        }
        _ => {}
    }
}

/// What is said of each origin, in their order.
fn shares(found: &mut Found, number: usize, upstream: &Upstream) {
    for (key, list) in [("weights", &upstream.weights), ("priorities", &upstream.priorities)] {
        let at: [Step; 3] = ["upstream".into(), number.into(), key.into()];
        if list.is_empty() {
            continue;
        }
        if upstream.choose != Choose::ByTitle {
            found.add(&at, "choose is in_turn: origins are asked in the order of origins");
        } else if list.len() != upstream.origins.len() {
            let of = upstream.origins.len();
            found.add(&at, format!("there are {} of them, of {of} origins", list.len()));
        }
        for (item, share) in found.few(&at, list).iter().enumerate() {
            let mut path = at.to_vec();
            path.push(item.into());
            found.within(&path, *share, 0, 1000);
        }
    }
}

const NO_FIELDS: &str = "a store is sent no fields but its own";
const OWN_HOST: &str = "a store is told its own host, that of its endpoint";
const KNOWS_US: &str = "a store knows us by the credentials of its settings";
const RESOLVED: &str = "a store is found by the system's resolver";

/// What is asked in the place of origins.
fn stored(found: &mut Found, number: usize, upstream: &Upstream) {
    let at = |key: &str| -> [Step; 3] { ["upstream".into(), number.into(), key.into()] };
    let Some(store) = &upstream.store else { return };
    if !upstream.origins.is_empty() {
        found.add(&at("origins"), "there is a store, which is asked in their place");
    }
    if upstream.shield {
        found.add(&at("shield"), "a store is no shield");
    }
    if !upstream.name_servers.is_empty() {
        found.add(&at("name_servers"), RESOLVED);
    }
    if upstream.sign.is_some() {
        found.section(&at("sign"), "[upstream.sign] is for origins, and there is a store");
    }
    let usual = Upstream::default();
    for (key, is_said, says) in [
        (
            "redirects",
            upstream.redirects != usual.redirects,
            "those of a store are refused in any case",
        ),
        ("fields", !upstream.fields.is_empty(), NO_FIELDS),
        ("field_files", !upstream.field_files.is_empty(), NO_FIELDS),
        ("host", upstream.host != usual.host, OWN_HOST),
        ("host_name", upstream.host_name.is_some(), OWN_HOST),
        ("ca", upstream.ca.is_some(), "the system's authorities vouch for a store"),
        ("client_certificate", upstream.client_certificate.is_some(), KNOWS_US),
        ("client_key", upstream.client_key.is_some(), KNOWS_US),
        ("http2", upstream.http2, "of a store, http2_only of its settings says it"),
        ("dns_ttl", upstream.dns_ttl != usual.dns_ttl, RESOLVED),
    ] {
        if is_said {
            found.add(&at(key), says);
        }
    }
    let at =
        |key: &str| -> [Step; 4] { ["upstream".into(), number.into(), "store".into(), key.into()] };
    if store.url.is_none() {
        found.section(&at("url"), "[upstream.store] needs a url");
    }
    for name in store.setting_files.keys().filter(|name| store.settings.contains_key(*name)) {
        found.add(&at("setting_files"), format!("'{name}' is among settings, too"));
    }
}

/// How titles are told apart, and spread.
fn spread(found: &mut Found, number: usize, upstream: &Upstream) {
    let at = |key: &str| -> [Step; 3] { ["upstream".into(), number.into(), key.into()] };
    found.within(&at("title_depth"), upstream.title_depth, 1, 16);
    found.within(&at("load_percent"), upstream.load_percent, 100, 1000);
    found.within(&at("hot_members"), upstream.hot_members, 1, 64);
    found.at_least(&at("hot_requests"), upstream.hot_requests, 1);
}

/// What is asked besides the origins, and what is said to them.
fn elsewhere(found: &mut Found, number: usize, upstream: &Upstream) {
    let at = |key: &str| -> [Step; 3] { ["upstream".into(), number.into(), key.into()] };
    let others = found.few(&at("redirects_to"), &upstream.redirects_to);
    if upstream.redirects != Redirects::Follow && !others.is_empty() {
        found.add(&at("redirects_to"), "redirects is not follow: nobody is asked elsewhere");
    }
    found.fields(&at("fields"), upstream.fields.keys());
    found.fields(&at("field_files"), upstream.field_files.keys());
    for name in upstream.field_files.keys().filter(|name| upstream.fields.contains_key(*name)) {
        found.add(&at("field_files"), format!("'{name}' is among fields, too"));
    }
}

/// Whether a URL has no path: a shield is told of what it is asked for as it is asked for it.
pub(super) fn is_root(origin: &str) -> bool {
    let rest = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    rest.split_once('/').is_none_or(|(_, path)| path.is_empty())
}
