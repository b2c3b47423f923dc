//! What the edge refuses is on the page of metrics, by what refuses it, whichever part of it that is.

use crate::process::{Edge, Files, Origin, ask, get};

#[test]
fn each_refusal_is_counted_under_the_key_that_has_it_refused() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[operator]\nlisten = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[limit]]\nname = 'few'\nper = 'route'\nrequests = 1\nwindow = '1 h'\n\
         [[site]]\nhosts = 'a.example'\nupstream = 'media'\n\
         [[site.route]]\npath = '/few/'\nlimit = 'few'\n\
         [[site.route]]\npath = '/ours/'\naddresses = {{ deny = '127.0.0.0/8' }}\n\
         [[site.route]]\npath = '/gone/'\nanswer = {{ status = 410 }}\n",
        origin.url
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    for (method, host, path, status) in [
        ("GET", "a.example", "/x", 200),
        ("GET", "a.example", "/x", 200),
        ("GET", "a.example", "/missing", 404),
        ("GET", "b.example", "/x", 421),
        ("GET", "b.example", "/y", 421),
        ("DELETE", "a.example", "/x", 405),
        ("GET", "a.example", "/few/x", 200),
        ("GET", "a.example", "/few/x", 429),
        ("GET", "a.example", "/ours/x", 403),
        ("GET", "a.example", "/gone/x", 410),
        ("GET", "a.example", "/a/%2e%2e/x", 400),
        ("GET", "a.example", "/%2Fours/x", 400),
    ] {
        assert_eq!(ask(addr, method, host, path, "").status, status, "{method} {host} {path}");
    }
    let page = get(edge.addr("operator"), "localhost", "/metrics").body;
    let counts = page.lines().filter_map(|line| {
        let (by, count) =
            line.strip_prefix("headwater_edge_refused_total{by=\"")?.split_once("\"} ")?;
        (count != "0").then_some((by, count))
    });
    let expected = [
        ("addresses", "1"),
        ("answer", "1"),
        ("host", "2"),
        ("limit_route", "1"),
        ("methods", "1"),
        ("target", "2"),
    ];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
}
