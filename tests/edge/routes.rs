//! Which route a request is for, however its path is written, and what the route answers.

use crate::process::{Edge, Files, Origin, ask, get, get_https};

fn start(origin: &Origin, rest: &str) -> Edge {
    let url = &origin.url;
    Edge::start(&Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{url}'\nhost = 'client'\n{rest}"
    )))
}

#[test]
fn no_way_to_write_a_path_gets_past_its_route() {
    let origin = Origin::start("one");
    let edge = start(
        &origin,
        "[[policy]]\nname = 'closed'\nanswer = { status = 403 }\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [[site.route]]\npath = '/api/'\npolicy = 'closed'\n\
         [[site.route]]\npath = '/open/*.m4s'\n\
         [[site.route]]\npath = '/open/'\npolicy = 'closed'\n",
    );
    let addr = edge.addr("http");
    for (target, status) in [
        ("/api", 403),
        ("/api/me", 403),
        ("/%61pi/me", 403),
        ("/ap%69/me?x=%2F", 403),
        ("/api%2Fme", 400),
        ("/api%2fme", 400),
        ("/x/../api/me", 400),
        ("/x/%2e%2E/api/me", 400),
        ("/x%2F..%2Fapi/me", 400),
        ("/./api/me", 400),
        ("//api/me", 400),
        ("/%2Fapi/me", 400),
        ("/api//me", 403),
        ("/api/%2Fme", 403),
        ("/open//1.m4s", 400),
        ("/open/a%2F1.m4s", 400),
        ("/open/1.m4s", 200),
        // Two paths (RFC 3986 §6.2.2.1): an origin that takes them for one has to be told by a route.
        ("/API/me", 200),
        ("/films%2Fone", 200),
        ("/films//one", 200),
        ("/a:b%40", 200),
    ] {
        assert_eq!(get(addr, "h", target).status, status, "{target}");
    }
    assert_eq!(ask(addr, "GET", "h", "http://H/%61pi/me", "").status, 403);
    assert_eq!(origin.asked(), 5, "the origin saw what was let in");
}

#[test]
fn a_route_answers_without_anybody_behind() {
    let origin = Origin::start("one");
    let edge = start(
        &origin,
        "[[site]]\nhosts = '*'\n\
         [[site.route]]\npath = '/old/'\nanswer = { status = 308, location = 'https://{host}{target}' }\n\
         [[site.route]]\npath = '/health'\nanswer = { status = 200, body = 'ok' }\n",
    );
    let addr = edge.addr("http");
    let moved = get(addr, "h:8080", "/old/a?b=c");
    assert_eq!((moved.status, moved.field("location")), (308, "https://h/old/a?b=c"));
    let fine = get(addr, "h", "/health");
    assert_eq!((fine.status, fine.body.as_str()), (200, "ok"));
    assert_eq!(fine.field("content-type"), "text/plain; charset=utf-8");
    assert_eq!(fine.field("x-content-type-options"), "nosniff");
    assert_eq!(get(addr, "h", "/else").status, 404);
    assert_eq!(origin.asked(), 0);
}

#[test]
fn a_site_below_a_name_is_the_same_on_all_ports() {
    let origin = Origin::start("one");
    let edge = start(
        &origin,
        "[[site]]\nhosts = '*.b.example'\nupstream = 'media'\n[[site.route]]\npath = '/'\n\
         ignore_set_cookie = true\n",
    );
    let addr = edge.addr("http");
    assert_eq!(get(addr, "a.b.example:8443", "/x").body, "one a.b.example /x\n");
    let again = get(addr, "A.b.example", "/x");
    assert!(again.field("cache-status").contains("hit"), "{again:?}");
    assert_eq!(get(addr, "c.b.example:8443", "/x").body, "one c.b.example /x\n");
}

#[test]
fn plain_http_is_sent_to_https_where_the_site_says_so() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten = '127.0.0.1:0'\nlisten_http = '127.0.0.1:0'\n\
         [server.tls]\nself_signed = 'a.example'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = 'a.example'\nupstream = 'media'\nonly_https = true\n\
         [[site]]\nhosts = 'b.example'\nupstream = 'media'\n",
        origin.url
    ));
    let edge = Edge::start(&files);
    let moved = get(edge.addr("http"), "a.example:80", "/x?y");
    assert_eq!((moved.status, moved.field("location")), (308, "https://a.example/x?y"));
    assert_eq!(get(edge.addr("http"), "b.example", "/x").status, 200);
    assert_eq!(get_https(edge.addr("https"), "a.example", "/x").0, 200);
}
