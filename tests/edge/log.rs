//! `[log]`: what is written, and rotation by a signal.

use std::fs;

use crate::process::{Edge, Files, Origin, get, wait_for};

fn config(origin: &Origin, log: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n[log]\naccess = 'access.log'\n{log}",
        origin.url
    )
}

#[test]
fn a_rotation_moves_the_log_away_and_sends_a_signal() {
    let origin = Origin::start("one");
    let files = Files::new(&config(&origin, ""));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let lines = |name: &str| fs::read_to_string(files.path(name)).unwrap_or_default();
    get(addr, "a", "/before");
    wait_for("the first line", || lines("access.log").contains("/before").then_some(()));
    fs::rename(files.path("access.log"), files.path("access.log.1")).unwrap();
    // What the configuration says by now does not keep a log from being rotated.
    files.write("this is no TOML");
    edge.signal("USR1");
    wait_for("the new file", || files.path("access.log").exists().then_some(()));
    get(addr, "a", "/after");
    wait_for("the second line", || lines("access.log").contains("/after").then_some(()));
    assert!(!lines("access.log.1").contains("/after"));
}

#[test]
fn a_line_has_the_name_of_its_route_where_that_has_one() {
    let origin = Origin::start("one");
    let routes = "[[policy]]\nname = 'shared'\ncompress = false\n\
                  [[site.route]]\npath = '/films/'\nname = 'films'\n\
                  [[site.route]]\npath = '/live/'\npolicy = 'shared'\n";
    let files = Files::new(&config(&origin, routes));
    let mut edge = Edge::start(&files);
    for path in ["/films/a", "/live/a", "/a"] {
        get(edge.addr("http"), "a", path);
    }
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    let log = fs::read_to_string(files.path("access.log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let named: Vec<_> = lines.map(|line| (line["path"].clone(), line["route"].clone())).collect();
    let none = serde_json::Value::Null;
    let expected = [
        ("/films/a".into(), "films".into()),
        ("/live/a".into(), none.clone()),
        ("/a".into(), none),
    ];
    assert_eq!(named, expected);
}

#[test]
fn the_log_is_as_it_is_configured() {
    let origin = Origin::start("one");
    let log = "format = 'combined'\nanonymise = true\nquery = true\nmasked = 'viewer'\n\
               sample = 1000000\n";
    let files = Files::new(&config(&origin, log));
    let edge = Edge::start(&files);
    get(edge.addr("http"), "a", "/present?viewer=me");
    get(edge.addr("http"), "a", "/missing?viewer=me&b=1");
    let said = wait_for("a line", || {
        let text = fs::read_to_string(files.path("access.log")).ok()?;
        text.ends_with('\n').then_some(text)
    });
    assert!(said.starts_with("127.0.0.0 - - ["), "{said}");
    assert!(said.contains("\"GET /missing?viewer=***&b=1 HTTP/1.1\" 404 "), "{said}");
    assert_eq!(said.lines().count(), 1, "of what went well, one in a million has a line");
}
