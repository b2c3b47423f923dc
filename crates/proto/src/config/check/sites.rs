//! Virtual hosts: each host is one site's.

use std::collections::{BTreeMap, BTreeSet};

use super::routes::{self, Names};
use super::{Found, known};
use crate::config::Edge;
use crate::config::bounded::{ALL_ROUTES, DEVICES, ROUTES, SITES};
use crate::config::site::Device;
use crate::config::tree::Step;

pub(super) fn check(found: &mut Found, edge: &Edge, names: &Names<'_>) {
    let sites = found.bounded(&["site".into()], &edge.sites, SITES);
    let routes = sites.iter().map(|site| site.routes.len()).fold(0, usize::saturating_add);
    if let Some(says) = ALL_ROUTES.wrong(routes) {
        found.add(&["site".into()], says);
        return;
    }
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
        known(found, &at("upstream"), "upstream", site.upstream.as_ref(), &names.upstreams);
        routes::policies(found, &at("policy"), &site.policies, names);
        routes::parameters(found, &at("personal_parameters"), &site.personal_parameters);
        super::tokens::check(found, site, number);
        devices(found, number, &site.devices);
        for route in 0..found.bounded(&at("route"), &site.routes, ROUTES).len() {
            routes::check(found, edge, names, number, route);
        }
    }
}

fn devices(found: &mut Found, site: usize, devices: &[Device]) {
    let mut classes = BTreeSet::new();
    let at: [Step; 3] = ["site".into(), site.into(), "device".into()];
    for (number, device) in found.bounded(&at, devices, DEVICES).iter().enumerate() {
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
