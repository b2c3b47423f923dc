//! Lists of sections are read up to their bounds, from a file and as what a control plane pushes.

use headwater_proto::config::Edge;
use headwater_proto::config::route::Route;
use headwater_proto::config::site::{Device, Site};

/// A list: how many it takes of what, which key holds it, and a value with so many.
type List = (usize, &'static str, &'static str, fn(usize) -> serde_json::Value);

fn sections(many: usize) -> serde_json::Value {
    vec![serde_json::json!({}); many].into()
}

/// Sites, all but the last with as many routes as one may have.
fn routes(many: usize) -> serde_json::Value {
    let full = std::iter::repeat_n(255, many / 255).chain([many % 255]);
    full.map(|many| serde_json::json!({ "route": sections(many) })).collect::<Vec<_>>().into()
}

const LISTS: [List; 8] = [
    (4_096, "[[upstream]]", "upstream", |many| serde_json::json!({ "upstream": sections(many) })),
    (10_000, "[[site]]", "site", |many| serde_json::json!({ "site": sections(many) })),
    (
        255,
        "[[site.route]]",
        "route",
        |many| serde_json::json!({ "site": [{}, { "route": sections(many) }] }),
    ),
    (
        16_384,
        "[[site.route]] of all sites",
        "site",
        |many| serde_json::json!({ "site": routes(many) }),
    ),
    (
        64,
        "[[site.device]]",
        "device",
        |many| serde_json::json!({ "site": [{ "device": sections(many) }] }),
    ),
    (
        32,
        "[[site.tokens.key]]",
        "key",
        |many| serde_json::json!({ "site": [{ "tokens": { "key": sections(many) } }] }),
    ),
    (64, "[[limit]]", "limit", |many| serde_json::json!({ "limit": sections(many) })),
    (64, "[[policy]]", "policy", |many| serde_json::json!({ "policy": sections(many) })),
];

#[test]
fn a_list_of_sections_is_pushed_with_as_many_as_it_takes_and_no_more() {
    for (most, called, _, list) in LISTS {
        let read = |many| serde_json::from_str::<Edge>(&list(many).to_string());
        assert!(read(most).is_ok(), "{called}");
        let error = read(most + 1).unwrap_err().to_string();
        let says = format!("invalid length {}, expected at most {most} {called} at", most + 1);
        assert!(error.starts_with(&says), "{error}");
    }
}

#[test]
fn a_list_of_sections_is_written_with_as_many_as_it_takes_and_no_more() {
    for (most, called, key, list) in LISTS {
        // JSON's objects, as TOML writes tables in a line.
        let file = |many| {
            let value = list(many);
            let (key, list) = value.as_object().unwrap().iter().next().unwrap();
            format!("{key} = {}", list.to_string().replace(':', " = "))
        };
        let wrongs = |many| Edge::parse("edge.toml", &file(many), []).unwrap_err().to_string();
        let says = format!("edge.toml:1: key '{key}': it takes at most {most} {called}");
        assert!(!wrongs(most).contains("it takes at most"), "{called}");
        assert_eq!(wrongs(most + 1), says);
    }
}

#[test]
fn what_a_program_puts_together_has_the_same_bounds() {
    let site = |routes, devices| {
        let mut site = Site::default();
        site.routes = vec![Route::default(); routes];
        site.devices = vec![Device::default(); devices];
        site
    };
    let of = |sites| {
        let mut edge = Edge::default();
        edge.sites = sites;
        edge
    };
    let mut policies = Edge::default();
    policies.policies = vec![Route::default(); 65];
    for (edge, says) in [
        (policies, "key 'policy': it takes at most 64 [[policy]]"),
        (of(vec![site(256, 0)]), "key 'route': it takes at most 255 [[site.route]]"),
        (of(vec![site(0, 65)]), "key 'device': it takes at most 64 [[site.device]]"),
        (
            of(vec![site(255, 0); 65]),
            "key 'site': it takes at most 16384 [[site.route]] of all sites",
        ),
    ] {
        let wrongs = edge.check();
        assert!(wrongs.iter().any(|wrong| wrong.says() == says), "{says}: {wrongs:?}");
    }
}
