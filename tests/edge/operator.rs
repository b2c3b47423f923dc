//! The operator's listener: health, metrics, purges.

use std::fs;

use crate::process::{Edge, Files, Origin, ask, get};

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
