//! What is asked of an authority: all that it needs, and nothing that it would refuse.

use std::net::Ipv4Addr;

use super::{Found, path};
use crate::config::acme::{Acme, Challenge};
use crate::config::server::Server;
use crate::config::tree::Step;

/// The most names.
const MAX_DOMAINS: usize = 100;

pub(super) fn check(found: &mut Found, server: &Server) {
    let acme = &server.acme;
    let at = |key: &str| path(["server", "acme", key]);
    let Some(_) = &acme.directory else {
        if *acme != Acme::default() {
            let says = "[server.acme] has no directory: whom to ask";
            found.section(&path(["server", "acme"]), says);
        }
        return;
    };
    if acme.domains.is_empty() {
        found.add(&at("directory"), "its domains are missing: what to ask for");
    }
    if acme.domains.len() > MAX_DOMAINS {
        let says = format!("{} are more than {MAX_DOMAINS}", acme.domains.len());
        found.add(&at("domains"), says);
    }
    for (number, name) in acme.domains.iter().take(MAX_DOMAINS).enumerate() {
        let is_host = name.contains('.') && !name.contains(['*', '_', '[']);
        if !is_host || name.parse::<Ipv4Addr>().is_ok() {
            let steps: Vec<Step> =
                vec!["server".into(), "acme".into(), "domains".into(), number.into()];
            found.add(&steps, format!("'{name}' is no name of a host, spelt out"));
        } else if acme.domains.iter().take(number).any(|before| before == name) {
            let steps: Vec<Step> =
                vec!["server".into(), "acme".into(), "domains".into(), number.into()];
            found.add(&steps, format!("'{name}' is there twice"));
        }
    }
    if acme.folder.is_none() {
        found.add(&at("directory"), "its folder is missing: where keys are kept");
    }
    found.absolute(&at("folder"), acme.folder.as_deref());
    for contact in acme.contact.iter() {
        let address = contact.strip_prefix("mailto:");
        if !address.is_some_and(|address| address.contains('@')) {
            let says = format!("'{contact}' is no address to write to; one is 'mailto:NAME@HOST'");
            found.add(&at("contact"), says);
        }
    }
    if acme.challenge == Challenge::TlsAlpn01 && server.listen.is_empty() {
        found.add(&at("challenge"), "tls-alpn-01 needs listen of [server]");
    }
    if acme.challenge == Challenge::Http01 && server.listen_http.is_empty() {
        found.add(&at("challenge"), "http-01 needs listen_http of [server]");
    }
    let has_key = acme.eab_key_file.is_some() || acme.eab_key_env.is_some();
    if acme.eab_key_file.is_some() && acme.eab_key_env.is_some() {
        found.add(&at("eab_key_env"), "the key is given twice: eab_key_file says it, too");
    }
    if acme.eab_key_id.is_some() && !has_key {
        found.add(&at("eab_key_id"), "its key is missing: eab_key_file or eab_key_env");
    }
    if acme.eab_key_id.is_none() && has_key {
        let key = if acme.eab_key_file.is_some() { "eab_key_file" } else { "eab_key_env" };
        found.add(&at(key), "eab_key_id, whose key it is, is missing");
    }
}
