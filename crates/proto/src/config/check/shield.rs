//! `[shield]`: bounds, and what shields that share titles must agree on.

use super::upstreams::is_root;
use super::{Found, path};
use crate::config::Edge;
use crate::config::cache::Downstream;
use crate::config::quantity::{Size, Time};
use crate::config::tree::Step;

pub(super) fn check(found: &mut Found, edge: &Edge) {
    let shield = &edge.shield;
    let at = |key: &str| path(["shield", key]);
    found.within(&at("ahead"), shield.ahead, 0, 64);
    found.within(&at("heads"), shield.heads, 0, 256);
    found.within(&at("concurrency"), shield.concurrency, 1, 10_000);
    found.within(&at("queue"), shield.queue, 1, 100_000);
    found.within(&at("waiting_live"), shield.waiting_live, 0, 10_000);
    found.within(&at("share"), shield.share, 1, 100);
    found.at_least(&at("max_object"), shield.max_object, Size::bytes(1));
    found.within(&at("window"), shield.window, Time::secs(1), Time::secs(3600));
    found.within(&at("silence"), shield.silence, Time::secs(1), Time::secs(3600));
    found.positive(&at("timeout"), shield.timeout);
    found.at_least(&at("map"), shield.map, Size::bytes(1 << 20));
    found.within(&at("presentations"), shield.presentations, 1, 1_000_000);
    found.positive(&at("patience"), shield.patience);
    found.few(&at("hints_from"), &shield.hints_from);
    if shield.link_file.is_some() && !shield.hints_from.is_empty() {
        found.add(&at("link_file"), "hints_from says already who is believed");
    }
    peers(found, edge);
}

/// What is said of each peer, in their order.
fn shares(found: &mut Found, edge: &Edge) {
    let shield = &edge.shield;
    let at = path(["shield", "weights"]);
    if shield.weights.is_empty() {
        return;
    }
    if shield.weights.len() != shield.peers.len() {
        let (all, of) = (shield.weights.len(), shield.peers.len());
        found.add(&at, format!("there are {all} of them, of {of} peers"));
    } else if !shield.peers.iter().any(|peer| Some(peer) == shield.known_as.as_ref()) {
        found.add(&at, "known_as is not among peers: its own share is not said");
    }
    for (number, share) in found.few(&at, &shield.weights).iter().enumerate() {
        let mut item = at.to_vec();
        item.push(number.into());
        found.within(&item, *share, 0, 1000);
    }
}

const REWRITTEN: &str = "a peer of [shield] would rewrite it once more";

/// The shields beside this one.
fn peers(found: &mut Found, edge: &Edge) {
    let shield = &edge.shield;
    let at = |key: &str| path(["shield", key]);
    for (number, peer) in found.few(&at("peers"), &shield.peers).iter().enumerate() {
        let mut item = at("peers").to_vec();
        item.push(number.into());
        if !is_root(peer) {
            found.add(&item, format!("'{peer}' has a path, and is a shield's"));
        }
        if shield.peers.iter().take(number).any(|before| before == peer) {
            found.add(&item, format!("'{peer}' is there twice"));
        }
    }
    shares(found, edge);
    let encrypted = shield.peers.iter().any(|peer| peer.starts_with("https:"));
    match (&shield.client_certificate, &shield.client_key) {
        (Some(_), None) => found.add(&at("client_certificate"), "its client_key is missing"),
        (None, Some(_)) => found.add(&at("client_key"), "its client_certificate is missing"),
        (Some(_), Some(_)) if !encrypted => {
            found.add(&at("client_certificate"), "no peer is https");
        }
        _ => {}
    }
    if shield.ca.is_some() && !encrypted {
        found.add(&at("ca"), "no peer is https");
    }
    if shield.peers.is_empty() {
        return;
    }
    if shield.known_as.is_none() {
        found.section(&at("known_as"), "[shield] needs known_as where there are peers");
    }
    if edge.cache.downstream != Downstream::Caches {
        let says = "it is clients, and peers of [shield] are told of purges";
        found.add(&path(["cache", "downstream"]), says);
    }
    for (number, _) in edge.policies.iter().enumerate().filter(|(_, of)| of.rewrite.is_some()) {
        let item: [Step; 3] = ["policy".into(), number.into(), "rewrite".into()];
        found.add(&item, REWRITTEN);
    }
    let sites = edge.sites.iter().enumerate();
    let routes = sites.flat_map(|(site, of)| of.routes.iter().enumerate().map(move |r| (site, r)));
    for (site, (route, of)) in routes {
        if of.rewrite.is_some() {
            let item: [Step; 5] =
                ["site".into(), site.into(), "route".into(), route.into(), "rewrite".into()];
            found.add(&item, REWRITTEN);
        }
    }
}
