//! Where the process listens: somewhere, nowhere twice, and with a certificate.

use std::net::{IpAddr, SocketAddr};

use super::{Found, path};
use crate::config::Edge;
use crate::config::text::Address;
use crate::config::tree::Step;

pub(super) fn check(found: &mut Found, edge: &Edge) {
    let (server, operator) = (&edge.server, &edge.operator);
    if server.listen.is_empty() && server.listen_http.is_empty() && server.listen_unix.is_none() {
        let says =
            "[server] listens nowhere: give it listen = \"[::]:443\", listen_http or listen_unix";
        found.section(&path(["server", "listen"]), says);
    }
    tls(found, edge);
    overlaps(found, edge);
    for (section, key, file) in [
        ("server", "listen_unix", &server.listen_unix),
        ("operator", "listen_unix", &operator.listen_unix),
        ("process", "hand_over_socket", &edge.process.hand_over_socket),
    ] {
        found.absolute(&path([section, key]), file.as_deref());
    }
    let sockets = [&server.listen_unix, &operator.listen_unix, &edge.process.hand_over_socket];
    for (number, file) in sockets.iter().enumerate() {
        if file.is_some() && sockets.iter().take(number).any(|before| before == file) {
            let at = [path(["operator", "listen_unix"]), path(["process", "hand_over_socket"])];
            if let Some(at) = number.checked_sub(1).and_then(|number| at.get(number)) {
                found.add(at, "another key has this socket already");
            }
        }
    }
    let has_token = operator.token_file.is_some() || operator.token_env.is_some();
    for (number, address) in operator.listen.iter().enumerate() {
        let is_near = match address.socket() {
            Some(socket) => socket.ip().to_canonical().is_loopback(),
            None => address.starts_with("localhost:"),
        };
        if !is_near && !has_token {
            let says = format!("'{address}' is not on loopback: the operator needs a token_file");
            found.add(&item("operator", "listen", number), says);
        }
    }
}

fn item(section: &str, key: &str, number: usize) -> Vec<Step> {
    vec![section.into(), key.into(), number.into()]
}

fn tls(found: &mut Found, edge: &Edge) {
    let tls = &edge.server.tls;
    let at = |key: &str| path(["server", "tls", key]);
    let acme = edge.server.acme.directory.is_some();
    let given = tls.certificate.is_some() || tls.folder.is_some() || acme;
    if !edge.server.listen.is_empty() && !given && tls.self_signed.is_empty() {
        let says = "HTTPS needs a certificate: [server.tls] gives none by certificate and key, folder, \
                    or self_signed, and there is no [server.acme]";
        found.add(&path(["server", "listen"]), says);
    }
    if tls.certificate.is_some() && tls.key.is_none() {
        found.add(&at("certificate"), "its key is missing");
    }
    if tls.key.is_some() && tls.certificate.is_none() {
        found.add(&at("key"), "its certificate is missing");
    }
    if given && !tls.self_signed.is_empty() {
        found.add(&at("self_signed"), "there are other certificates already");
    }
    found.at_least(&at("reload_every"), tls.reload_every, crate::config::quantity::Time::secs(1));
}

/// The lists of listeners: those of one list may be a wildcard and one of its addresses.
fn overlaps(found: &mut Found, edge: &Edge) {
    let lists = [
        ("server", "listen", &edge.server.listen),
        ("server", "listen_http", &edge.server.listen_http),
        ("operator", "listen", &edge.operator.listen),
    ];
    let mut before: Vec<(usize, &Address)> = Vec::new();
    for (list, (section, key, addresses)) in lists.into_iter().enumerate() {
        let few = found.few(&path([section, key]), addresses);
        for (number, address) in few.iter().enumerate() {
            let overlapping =
                before.iter().find(|(of, other)| overlap(address, other, *of == list));
            if let Some((of, other)) = overlapping {
                let (section_of, key_of) =
                    lists.get(*of).map_or(("", ""), |(section, key, _)| (*section, *key));
                let says = format!("'{address}' overlaps '{other}' of {section_of}.{key_of}");
                found.add(&item(section, key, number), says);
            }
            before.push((list, address));
        }
    }
}

fn overlap(one: &Address, other: &Address, same_list: bool) -> bool {
    if one.port() != other.port() || one.port() == 0 {
        return false;
    }
    let (Some(one), Some(other)) = (one.socket(), other.socket()) else { return one == other };
    if one == other || same_list {
        return one == other;
    }
    takes(one, other) || takes(other, one)
}

/// Whether a listener takes what comes to another's address.
fn takes(one: SocketAddr, other: SocketAddr) -> bool {
    match one.ip() {
        IpAddr::V6(ip) => ip.is_unspecified(),
        IpAddr::V4(ip) => ip.is_unspecified() && other.is_ipv4(),
    }
}
