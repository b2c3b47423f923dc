//! SIGHUP: all of a new configuration or nothing, and what it says.

use std::fs;

use crate::process::{Edge, Files, Origin, get, wait_for};

fn config(origins: &str, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = {origins}\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n{more}"
    )
}

#[test]
fn a_good_file_is_put_in_force_and_what_changed_is_said() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let files = Files::new(&config(&format!("'{}'", one.url), ""));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert!(get(addr, "a", "/x").body.starts_with("one "));
    let route = "[[site.route]]\npath = '/gone/'\nupstream = 'media'\ncache = false\n";
    files.write(&config(&format!("'{}'", two.url), route));
    edge.signal("HUP");
    edge.hears("edge.toml was read again and is in force:\n");
    edge.hears(&format!("  upstream[0].origins: [\"{}\"] became [\"{}\"]\n", one.url, two.url));
    edge.hears("  site[0].route: nothing became one entry\n");
    assert!(get(addr, "a", "/y").body.starts_with("two "));
    edge.signal("HUP");
    edge.hears("edge.toml was read again: nothing in it changed\n");
}

#[test]
fn a_bad_file_changes_nothing_and_every_fault_is_said() {
    let one = Origin::start("one");
    let good = config(&format!("'{}'", one.url), "");
    let files = Files::new(&good);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    files.write(&good.replace("hosts", "hsts").replace("origins", "orgins"));
    edge.signal("HUP");
    edge.hears("edge.toml:5: key 'orgins' is unknown; did you mean 'origins'?\n");
    edge.hears("edge.toml:7: key 'hsts' is unknown; did you mean 'hosts'?\n");
    edge.hears("edge.toml: nothing was changed\n");
    assert!(get(addr, "a", "/x").body.starts_with("one "));
}

#[test]
fn what_takes_a_new_process_changes_nothing_of_the_rest() {
    let one = Origin::start("one");
    let good = config(&format!("'{}'", one.url), "");
    let files = Files::new(&good);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    files.write(&(good.replace("hosts = '*'", "hosts = 'b'") + "[cache]\nram = '1 GiB'\n"));
    edge.signal("HUP");
    edge.hears(
        "edge.toml: cache.ram: \"256 MiB\" became \"1 GiB\"; that takes a new process\n\
         edge.toml: nothing was changed\n",
    );
    assert_eq!(get(addr, "a", "/x").status, 200, "the site is still there");
}

#[test]
fn an_upstream_whose_authorities_are_missing_changes_nothing() {
    let one = Origin::start("one");
    let files = Files::new(&config(&format!("'{}'", one.url), ""));
    let edge = Edge::start(&files);
    files.write(&config("'https://a.example'\nca = 'none.pem'", ""));
    edge.signal("HUP");
    edge.hears("cannot use none.pem: ");
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!(get(edge.addr("http"), "a", "/x").status, 200);
}

#[test]
fn the_access_log_is_opened_again() {
    let one = Origin::start("one");
    let text = config(&format!("'{}'", one.url), "[log]\naccess = 'access.log'\n");
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    get(addr, "a", "/before");
    let lines = |name: &str| fs::read_to_string(files.path(name)).unwrap_or_default();
    wait_for("a line", || lines("access.log").contains("/before").then_some(()));
    fs::rename(files.path("access.log"), files.path("access.log.1")).unwrap();
    edge.signal("HUP");
    edge.hears("was read again");
    get(addr, "a", "/after");
    wait_for("a line", || lines("access.log").contains("/after").then_some(()));
    assert!(!lines("access.log.1").contains("/after"));
}

#[test]
fn the_access_log_moves_to_another_file() {
    let one = Origin::start("one");
    let text = config(&format!("'{}'", one.url), "[log]\naccess = 'one.log'\n");
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    files.write(&text.replace("one.log", "two.log"));
    edge.signal("HUP");
    edge.hears("  log.access: \"one.log\" became \"two.log\"\n");
    get(edge.addr("http"), "a", "/after");
    let lines = || fs::read_to_string(files.path("two.log")).unwrap_or_default();
    wait_for("a line", || lines().contains("/after").then_some(()));
    files.write(&config(&format!("'{}'", one.url), ""));
    edge.signal("HUP");
    edge.hears("log.access: \"two.log\" became nothing; that takes a new process\n");
}

#[test]
fn a_policy_changes_what_its_routes_do() {
    let one = Origin::start("one");
    let route = "[[site.route]]\npath = '/a/'\npolicy = 'p'\n[[policy]]\nname = 'p'\n";
    let text = config(&format!("'{}'", one.url), route);
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert_eq!(get(addr, "h", "/a/x").status, 200);
    files.write(&(text + "answer = { status = 410 }\n"));
    edge.signal("HUP");
    edge.hears("  policy[0].answer: nothing became a section\n");
    assert_eq!(get(addr, "h", "/a/x").status, 410, "also of what is in the cache");
}
