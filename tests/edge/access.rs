//! Who is let in by where they come from, and whose pages may read, as an operator configures it: by
//! policies, with files that SIGHUP reads again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::process::{Edge, Files, Origin, ask, get, wait_for};

#[path = "../../crates/edge/tests/support/mmdb.rs"]
pub(crate) mod mmdb;

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
    edge.hears("key 'deny_file': cannot use ");
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

/// The first line of the answer to a request for `/a`, behind what comes in front of it and with these
/// fields; empty where there is none.
fn first_line(mut stream: impl Read + Write, front: &[u8], fields: &str) -> String {
    let asks = format!("GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n");
    let mut answer = Vec::new();
    // Who is not served may be closed while this is being sent.
    if stream.write_all(&[front, asks.as_bytes()].concat()).is_ok() {
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_client_is_whom_a_balancer_names_or_a_proxy_at_the_unix_socket() {
    let origin = Origin::start("one");
    let files = Files::new("");
    let socket = files.path("edge.sock");
    files.write(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nproxy_protocol_from = '127.0.0.1'\n\
         listen_unix = '{}'\nforwarded_by = 'unix'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [[site.route]]\npath = '/'\naddresses = {{ allow = '192.0.2.0/24' }}\n",
        socket.display(),
        origin.url
    ));
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    // PROXY, version 2: TCP over IPv4, from port 4711 to 198.51.100.2:443.
    let header = |client: [u8; 4]| {
        let ends = [198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb];
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &client, &ends].concat()
    };
    let by_tcp =
        |front: &[u8], fields: &str| first_line(TcpStream::connect(addr).unwrap(), front, fields);
    let ours = "x-forwarded-for: 192.0.2.1\r\n";
    assert!(by_tcp(&header([192, 0, 2, 1]), "").starts_with("HTTP/1.1 200 "));
    let stranger = header([203, 0, 113, 5]);
    assert!(by_tcp(&stranger, ours).starts_with("HTTP/1.1 403 "), "no proxy of ours");
    assert_eq!(by_tcp(b"", ""), "", "a balancer has to say whom it speaks for");
    let by_unix = |fields: &str| first_line(UnixStream::connect(&socket).unwrap(), b"", fields);
    assert!(by_unix(ours).starts_with("HTTP/1.1 200 "));
    assert!(by_unix("").starts_with("HTTP/1.1 403 "));
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    assert!(!socket.exists());
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
    edge.hears("edge.toml:8: key 'database': cannot use ");
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

#[test]
fn where_a_viewer_is_stands_in_metrics_and_in_the_view() {
    let origin = Origin::answering(|_| {
        let fields = "content-type: video/mp4\r\ncache-control: max-age=60\r\n".to_owned();
        (200, fields, "segment".to_owned())
    });
    let files = Files::new("");
    let (database, events) = (files.path("geo.mmdb"), files.path("events.jsonl"));
    fs::write(&database, mmdb::database(&[("192.0.2.0/24", "DE")])).unwrap();
    files.write(&config(
        &origin,
        &format!(
            "[operator]\nlisten = '127.0.0.1:0'\n[geo]\ndatabase = '{}'\n\
             [sessions]\non = true\nevents = '{}'\n\
             [[site]]\nhosts = '*'\nupstream = 'media'\n",
            database.display(),
            events.display()
        ),
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert_eq!(from(addr, "192.0.2.1", "/film/1.m4s?CMCD=sid%3D%22one%22"), 200);
    let page = get(edge.addr("operator"), "localhost", "/metrics").body;
    assert!(page.contains("country=\"DE\""), "{page}");
    let told = wait_for("an event", || {
        let text = fs::read_to_string(&events).unwrap_or_default();
        text.contains("\"begun\"").then_some(text)
    });
    assert!(told.contains("\"country\":\"DE\""), "{told}");
}

#[test]
fn a_limit_is_for_the_hosts_it_names_and_the_routes_that_name_it() {
    let origin = Origin::start("one");
    let files = Files::new("");
    files.write(&config(
        &origin,
        "[[limit]]\nname = 'host'\nhosts = 'a.example'\npath = '/api/'\nrequests = 1\nwindow = '1 h'\n\
         [[limit]]\nname = 'search'\nper = 'route'\nrequests = 1\nwindow = '1 h'\n\
         [[limit]]\nname = 'crowd'\nper = 'network'\nrequests = 2\nwindow = '1 h'\n\
         [[policy]]\nname = 'dear'\nlimit = 'search'\n\
         [[site]]\nhosts = ['a.example', 'b.example']\nupstream = 'media'\n\
         [[site.route]]\npath = '/search/'\npolicy = 'dear'\n\
         [[site.route]]\npath = '/crowd/'\nlimit = 'crowd'\n",
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let from = |address: &str, host: &str, path: &str| {
        ask(addr, "GET", host, path, &format!("x-forwarded-for: {address}\r\n")).status
    };
    assert_eq!(from("10.0.0.1", "a.example", "/api/x"), 200);
    assert_eq!(from("10.0.0.1", "a.example", "/api/x"), 429);
    // No other route holds there, so that the site lets them pass.
    for path in ["/%61pi/x", "/api%2Fx", "/%2Fapi/x"] {
        assert_eq!(from("10.0.0.1", "a.example", path), 429, "{path}");
    }
    assert_eq!(from("10.0.0.2", "a.example", "/api/x"), 200, "another address");
    assert_eq!(from("10.0.0.1", "b.example", "/api/x"), 200, "another host");
    assert_eq!(from("10.0.0.1", "b.example", "/search/x"), 200);
    assert_eq!(from("10.0.0.2", "a.example", "/search/x"), 429, "all together");
    assert_eq!(from("10.0.0.2", "b.example", "/other"), 200);
    for (address, status) in [
        ("10.1.0.1", 200),
        ("10.1.0.2", 200),
        ("10.1.0.3", 429),
        ("10.1.1.1", 200),
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:3::1", 200),
        ("2001:db8:1:4::1", 429),
        ("2001:db8:2::1", 200),
    ] {
        assert_eq!(from(address, "b.example", "/crowd/x"), status, "{address}");
    }
    // Named by a policy that no route has, it is for none.
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("policy = 'dear'\n", ""));
    edge.signal("HUP");
    edge.hears("was read again");
    assert_eq!(
        from("10.0.0.3", "a.example", "/search/x"),
        200,
        "no route names it through a policy"
    );
    assert_eq!(from("10.0.0.3", "a.example", "/search/x"), 200);
}
