//! What deploy/ offers for watching an edge speaks of what the edge tells: each metric that a panel or
//! a rule names is on the page of a running edge.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::process::{Edge, Files, Origin, ask, get, wait_for};

/// The names that a text speaks of.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("headwater_")).collect()
}

fn deployed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap()
}

/// An edge that tells all it can.
pub(crate) fn edge(origin: &Origin) -> (Files, Edge) {
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nlisten = '127.0.0.1:0'\n[server.tls]\n\
         self_signed = 'localhost'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n[[site.route]]\npath = '/**'\n\
         ignore_set_cookie = true\n[operator]\nlisten = '127.0.0.1:0'\n\
         [log]\naccess = 'access.log'\n[cache.disk]\nfolder = 'disk'\nsize = '256 MiB'\n\
         [sessions]\non = true\nreports = '/cmcd'\n",
        origin.url
    ));
    let edge = Edge::start(&files);
    (files, edge)
}

/// Asks for what is there, what is not, and what breaks, and tells what a player does.
pub(crate) fn load(edge: SocketAddr, n: usize) {
    get(edge, "a", "/film/1.m4s");
    get(edge, "a", "/missing");
    get(edge, "a", "/broken");
    let bitrate = 1000 * (1 + n % 4);
    let told = format!("CMCD=br%3D{bitrate}%2Cot%3Dv%2Csid%3D%22s{}%22%2Csf%3Dh", n / 4);
    get(edge, "a", &format!("/film/{n}.m4s?{told}"));
    let state = ["s", "p", "r", "p"][n % 4];
    let report = format!("v=2,e=ps,sta={state},sid=\"s{}\",ts={}000\n", n / 4, n + 1);
    // What asks adds a line feed to what it sends.
    let fields =
        format!("content-type: application/cmcd\r\ncontent-length: {}\r\n", report.len() + 2);
    assert_eq!(ask(edge, "POST", "a", "/cmcd", &format!("{fields}\r\n{report}")).status, 204);
}

#[test]
fn dashboard_and_rules_speak_of_what_an_edge_tells() {
    let origin = Origin::start("one");
    let (_files, edge) = edge(&origin);
    (0..4).for_each(|n| load(edge.addr("http"), n));
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
