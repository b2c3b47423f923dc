//! Who is let in by where they come from, and whose pages may read, as an operator configures it: by
//! policies, with files that SIGHUP reads again.

use std::fs;

use crate::process::{Edge, Files, Origin, ask, get};

#[path = "../../crates/edge/tests/support/mmdb.rs"]
mod mmdb;

fn config(origin: &Origin, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nforwarded_by = '127.0.0.1'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n{more}",
        origin.url
    )
}

/// The status of a request from an address.
fn from(addr: std::net::SocketAddr, address: &str, path: &str) -> u16 {
    ask(addr, "GET", "h", path, &format!("x-forwarded-for: {address}\r\n")).status
}

#[test]
fn lists_of_addresses_are_read_again_all_or_nothing() {
    let origin = Origin::start("one");
    let files = Files::new("");
    let list = files.path("denied");
    files.write(&config(
        &origin,
        &format!(
            "[[policy]]\nname = 'ours'\naddresses = {{ allow = ['10.0.0.0/8', '2001:db8::/32'], \
             deny_file = '{}' }}\n\
             [[site]]\nhosts = '*'\nupstream = 'media'\npolicy = 'ours'\n\
             [[site.route]]\npath = '/open/'\naddresses = {{ deny = '10.9.9.9' }}\n",
            list.display()
        ),
    ));
    fs::write(&list, "# theirs\n10.1.0.0/16\n").unwrap();
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert_eq!(from(addr, "10.2.0.1", "/a"), 200);
    assert_eq!(from(addr, "2001:db8::1", "/a"), 200);
    assert_eq!(from(addr, "10.1.0.1", "/a"), 403);
    assert_eq!(from(addr, "192.0.2.1", "/a"), 403);
    assert_eq!(from(addr, "192.0.2.1", "/open/a"), 200);
    assert_eq!(from(addr, "10.9.9.9", "/open/a"), 403);

    fs::write(&list, "10.2.0.0/16\nnonsense\n").unwrap();
    edge.signal("HUP");
    edge.hears("denied: line 2 is no address and no network such as 192.0.2.0/24\n");
    assert_eq!(from(addr, "10.2.0.1", "/a"), 200, "nothing changed");
    assert_eq!(from(addr, "10.1.0.1", "/a"), 403, "nothing changed");
    fs::write(&list, "10.2.0.0/16\n").unwrap();
    edge.signal("HUP");
    edge.hears("was read again: nothing in it changed\n");
    assert_eq!(from(addr, "10.2.0.1", "/a"), 403);
    assert_eq!(from(addr, "10.1.0.1", "/a"), 200);
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
}

#[test]
fn countries_pages_methods_and_fields_are_a_routes() {
    let origin = Origin::start("one");
    let files = Files::new("");
    let database = files.path("geo.mmdb");
    fs::write(&database, mmdb::database(&[("192.0.2.0/24", "DE"), ("198.51.100.0/24", "FR")]))
        .unwrap();
    files.write(&config(
        &origin,
        &format!(
            "[geo]\ndatabase = '{}'\n\
             [[site]]\nhosts = '*'\nupstream = 'media'\n\
             [[site.route]]\npath = '/de/'\ncountries = {{ only = 'DE' }}\n\
             [[site.route]]\npath = '/not-fr/'\ncountries = {{ but = ['FR'] }}\n\
             [[site.route]]\npath = '/ours/'\nreferrers = {{ hosts = '*.video.example' }}\n\
             [[site.route]]\npath = '/read/'\nmethods = 'GET'\n\
             cors = {{ origins = ['https://*.video.example'], credentials = true }}\n\
             security = {{ hsts = '365 d', frames = 'deny', loads = 'same-site' }}\n",
            database.display()
        ),
    ));
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    for (address, path, status) in [
        ("192.0.2.1", "/de/a", 200),
        ("198.51.100.1", "/de/a", 403),
        ("203.0.113.1", "/de/a", 403),
        ("198.51.100.1", "/not-fr/a", 403),
        ("203.0.113.1", "/not-fr/a", 200),
        ("198.51.100.1", "/a", 200),
    ] {
        assert_eq!(from(addr, address, path), status, "{address} {path}");
    }
    let page =
        |page: &str| ask(addr, "GET", "h", "/ours/a", &format!("referer: {page}\r\n")).status;
    assert_eq!(page("https://www.video.example/watch"), 200);
    assert_eq!(page("https://thief.example/"), 403);
    assert_eq!(get(addr, "h", "/ours/a").status, 403);

    let origin_of_page = "origin: https://tv.video.example\r\n";
    let answer = ask(addr, "GET", "h", "/read/a", origin_of_page);
    assert_eq!(answer.field("access-control-allow-origin"), "https://tv.video.example");
    assert_eq!(answer.field("vary"), "Origin");
    assert_eq!(answer.field("x-frame-options"), "DENY");
    assert_eq!(answer.field("cross-origin-resource-policy"), "same-site");
    assert_eq!(answer.field("strict-transport-security"), "", "this was no TLS");
    let question = format!("{origin_of_page}access-control-request-method: GET\r\n");
    assert_eq!(ask(addr, "OPTIONS", "h", "/read/a", &question).status, 204);
    assert_eq!(ask(addr, "HEAD", "h", "/read/a", "").status, 405);
    assert_eq!(ask(addr, "HEAD", "h", "/a", "").status, 200);

    // A database that was cut short is not taken.
    let whole = fs::read(&database).unwrap();
    fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    edge.signal("HUP");
    edge.hears("geo.mmdb: this is no MaxMind DB");
    assert_eq!(from(addr, "192.0.2.1", "/de/a"), 200, "nothing changed");
    fs::write(&database, mmdb::database(&[("198.51.100.0/24", "DE")])).unwrap();
    edge.signal("HUP");
    edge.hears("was read again: nothing in it changed\n");
    assert_eq!(from(addr, "192.0.2.1", "/de/a"), 403);
    assert_eq!(from(addr, "198.51.100.1", "/de/a"), 200);
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
}
