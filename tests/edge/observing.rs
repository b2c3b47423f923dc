//! What deploy/ offers for watching an edge speaks of what the edge tells: each metric that a panel or
//! a rule names is on the page of a running edge.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::process::{Edge, Files, Origin, get, wait_for};

/// The names that a text speaks of.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("headwater_")).collect()
}

fn deployed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap()
}

#[test]
fn dashboard_and_rules_speak_of_what_an_edge_tells() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n[operator]\nlisten = '127.0.0.1:0'\n\
         [log]\naccess = 'access.log'\n[cache.disk]\nfolder = 'disk'\nsize = '256 MiB'\n",
        origin.url
    ));
    let edge = Edge::start(&files);
    get(edge.addr("http"), "a", "/x");
    let operator = edge.addr("operator");
    let page = wait_for("the request to be counted", || {
        let page = get(operator, "localhost", "/metrics").body;
        page.contains("headwater_edge_requests_total{").then_some(page)
    });
    let told: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for file in ["grafana/headwater-edge.json", "prometheus/alerts.yml"] {
        let text = deployed(file);
        let named = named(&text);
        assert!(named.len() > 5, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&told).collect();
        assert!(unknown.is_empty(), "{file} speaks of {unknown:?}; an edge tells\n{page}");
    }
    let up = format!("headwater_upstream_up{{upstream=\"media\",origin=\"{}\"}} 1", origin.url);
    assert!(page.lines().any(|line| line == up), "{up} is not in\n{page}");
    serde_json::from_str::<serde_json::Value>(&deployed("grafana/headwater-edge.json")).unwrap();
}
