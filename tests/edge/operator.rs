//! The operator's listener: health, metrics, purges.

use std::fs;

use crate::process::{Edge, Files, Origin, ask, command, get, wait_for};

#[test]
fn health_metrics_and_purges_are_the_operators() {
    let one = Origin::start("one");
    let text = format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = ['a.example', 'b.example']\n[[site.route]]\npath = '/'\n\
         upstream = 'media'\nignore_set_cookie = true\n\
         [operator]\nlisten = '127.0.0.1:0'\ntoken_file = 'token'\n",
        one.url
    );
    let files = Files::new(&text);
    fs::write(files.path("token"), "secret\n").unwrap();
    let edge = Edge::start(&files);
    let (addr, operator) = (edge.addr("http"), edge.addr("operator"));
    get(addr, "a.example", "/x");
    assert!(get(addr, "b.example", "/x").field("cache-status").contains("hit"));
    assert_eq!(get(operator, "localhost", "/health").body, "ok\n");
    let metrics = get(operator, "localhost", "/metrics").body;
    for name in ["headwater_edge_requests_total{", "headwater_origin_requests_total 1"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    let target = "/purge?url=http://b.example/x";
    let none = "content-length: 0\r\n";
    assert_eq!(ask(operator, "POST", "localhost", target, none).status, 401);
    let token = format!("{none}authorization: Bearer secret\r\n");
    let purged = ask(operator, "POST", "localhost", target, &token);
    assert_eq!(purged.status, 200, "{purged:?}");
    assert!(!get(addr, "a.example", "/x").field("cache-status").contains("hit"));
    assert_eq!(one.asked(), 2);
}

/// Without an authority that answers, the edge serves by a certificate that stands in, and tells so.
#[test]
fn certificates_of_an_authority_are_asked_for_and_told_of() {
    let one = Origin::start("one");
    let text = format!(
        "[server]\nlisten = '127.0.0.1:0'\nlisten_http = '127.0.0.1:0'\n[server.acme]\n\
         directory = 'https://127.0.0.1:1/dir'\ndomains = ['a.example', 'b.example']\n\
         contact = 'mailto:me@a.example'\nfolder = 'FOLDER'\neab_key_id = 'me'\n\
         eab_key_env = 'EAB_KEY'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n[operator]\nlisten = '127.0.0.1:0'\n",
        one.url
    );
    let files = Files::new("");
    files.write(&text.replace("FOLDER", files.path("acme").to_str().unwrap()));
    let edge = Edge::spawn(command(&files, &[]).env("EAB_KEY", "c2VjcmV0\n"));
    let operator = edge.addr("operator");
    let metrics = wait_for("failures", || {
        let page = get(operator, "localhost", "/metrics").body;
        page.contains("headwater_server_certificate_orders_total{outcome=\"failed\"} 2")
            .then_some(page)
    });
    let name = "headwater_server_certificate_expires_seconds{name=\"b.example\"} 0";
    assert!(metrics.contains(name), "{metrics}");
    assert!(!edge.said().contains("c2VjcmV0"));
}
