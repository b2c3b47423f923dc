//! What deploy/ offers for watching an edge speaks of what the edge tells: each metric that a panel or
//! a rule names is on the page of a running edge.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

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
         [sessions]\non = true\nreports = '/cmcd'\n\
         [steering]\npath = '/steer'\npathways = ['a', 'b']\nhere = 'a'\n",
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
    get(edge, "a", "/steer");
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
    dashboard_is_in_order(&page);
}

/// Whether a line of a page names a family of metrics, whole or, after another of its beginning, as `…_end`.
fn is_named_in(line: &str, family: &str) -> bool {
    let words = || line.split('`').skip(1).step_by(2).map(|word| word.trim_end_matches("_total"));
    let is_begun = |beginning: &str| words().any(|word| word.starts_with(&format!("{beginning}_")));
    words().any(|word| match word.strip_prefix('…') {
        Some(end) => family.strip_suffix(end).is_some_and(is_begun),
        None => word == family,
    })
}

#[test]
fn each_family_of_an_edge_stands_on_the_page_about_observing() {
    let origin = Origin::start("one");
    let (_files, edge) = edge(&origin);
    let metrics = get(edge.addr("operator"), "localhost", "/metrics").body;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let told = types.map(|name| name.trim_end_matches("_total"));
    // Those that are not there before something happened.
    let told: BTreeSet<&str> =
        told.chain(["headwater_edge_shed", "headwater_edge_steered"]).collect();
    let own: Vec<_> = told.into_iter().filter(|name| name.starts_with("headwater_edge_")).collect();
    assert!(own.contains(&"headwater_edge_sessions") && own.len() > 15, "{own:?}");
    let page = include_str!("../../docs/observing.md");
    let named = |family: &&str| page.lines().any(|line| is_named_in(line, family));
    let missing: Vec<_> = own.into_iter().filter(|family| !named(family)).collect();
    assert!(missing.is_empty(), "docs/observing.md does not name {missing:?}");
    let refusals = metrics.lines().filter_map(|line| {
        line.strip_prefix("headwater_edge_refused_total{by=\"")?.split_once('"')
    });
    let refusals: Vec<&str> = refusals.map(|(by, _)| by).collect();
    assert!(refusals.len() > 10, "{metrics}");
    for by in refusals {
        assert!(page.contains(&format!("`{by}`")), "docs/observing.md does not name {by}");
    }
    let line = "`headwater_a_b_total`, `…_c_total`";
    let found = ["b", "c", "d"].map(|end| is_named_in(line, &format!("headwater_a_{end}")));
    assert_eq!((found, is_named_in(line, "headwater_x_c")), ([true, true, false], false));
}

/// Panels stand beside one another, each with a title, a unit that fits what it shows, and legends of labels
/// that are there.
fn dashboard_is_in_order(page: &str) {
    let dashboard: Value = serde_json::from_str(&deployed("grafana/headwater-edge.json")).unwrap();
    let (mut ids, mut titles, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()) && titles.insert(title), "{title}");
        assert!(panel["description"].as_str().is_some_and(|says| says.ends_with('.')), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && places.insert((x, y)), "{title} stands over another");
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            assert_eq!(unit(panel, target), fitting(expr), "{title}: {expr}");
            let by = expr.split_once("by (").and_then(|(_, rest)| rest.split_once(')'));
            let by: Vec<&str> = by.map(|(by, _)| by.split(", ").collect()).unwrap_or_default();
            let legend = target["legendFormat"].as_str().unwrap();
            let shown = legend.split("{{").skip(1).map(|rest| rest.split_once("}}").unwrap().0);
            for label in shown.clone() {
                assert!(by.contains(&label) || label == "instance", "{title}: {legend}");
            }
            let others = by.iter().filter(|label| **label != "le").count();
            assert_eq!(shown.filter(|label| *label != "instance").count(), others, "{title}");
            for name in named(expr) {
                let line = |line: &&str| line.split(['{', ' ']).next() == Some(name);
                let series = page.lines().find(line).unwrap();
                for label in &by {
                    let has = series.contains(&format!("{label}=\""));
                    assert!(has, "{title}: {series} has no label {label}");
                }
            }
        }
    }
}

/// The unit that a panel shows a target's numbers in.
fn unit<'p>(panel: &'p Value, target: &Value) -> &'p str {
    let fields = &panel["fieldConfig"];
    let own = fields["overrides"].as_array().unwrap().iter().find(|one| {
        one["matcher"]["id"] == "byFrameRefID" && one["matcher"]["options"] == target["refId"]
    });
    let set = |one: &'p Value| {
        one["properties"].as_array()?.iter().find(|property| property["id"] == "unit")
    };
    let value = own.and_then(set).map_or(&fields["defaults"]["unit"], |unit| &unit["value"]);
    value.as_str().unwrap()
}

/// The unit of what an expression gives: shares, bits, seconds, bytes, requests or other events a second, or
/// a number of something.
fn fitting(expr: &str) -> &'static str {
    let of_requests = [
        "_requests_total",
        "responses_cut",
        "headwater_origin_",
        "tickets_refused",
        "edge_refused",
    ];
    let is_rate = expr.contains("rate(");
    match expr {
        _ if expr.contains(") / ") => "percentunit",
        _ if expr.starts_with("8 * ") => "bps",
        _ if expr.contains("_seconds") => "s",
        _ if expr.contains("_bytes{") && !is_rate => "bytes",
        _ if is_rate && expr.contains("_prefetch_") => "ops",
        _ if is_rate && of_requests.iter().any(|part| expr.contains(part)) => "reqps",
        _ if is_rate => "ops",
        _ => "short",
    }
}
