//! SIGHUP: all of a new configuration or nothing, and what it says.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use headwater::net::server::{Server, ServerHandle, Tls};
use headwater::net::{Body, Clock};
use http::{Request, Response};
use serde_json::Value;

use crate::authority::Authority;
use crate::process::{Edge, Files, Origin, ask, get, wait_for};

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

/// Of a group that another takes the place of, nobody is down any more, though its requests are not at their end.
#[test]
fn who_is_down_in_a_group_that_is_replaced_is_not_counted_on() {
    let one = Origin::start("one");
    let more = "[operator]\nlisten = '127.0.0.1:0'\n";
    // Nobody listens there.
    let origins = format!(
        "['{}', 'http://127.0.0.1:9']\nfailures = 1\ncheck = {{ path = '/', every = '100 ms' }}",
        one.url
    );
    let files = Files::new(&config(&origins, more));
    let edge = Edge::start(&files);
    let down = |count: u32| {
        let line = format!("headwater_origin_down {count}");
        wait_for(&line, || {
            let page = get(edge.addr("operator"), "localhost", "/metrics").body;
            page.lines().any(|one| one == line).then_some(())
        });
    };
    down(1);
    files.write(&config(&format!("'{}'", one.url), more));
    edge.signal("HUP");
    edge.hears("is in force:\n");
    down(0);
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
        "edge.toml: cache.ram: \"256 MiB\" became \"1 GiB\"; that needs a restart\n\
         SIGUSR2 restarts without a lost request\n\
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
    edge.hears("edge.toml:6: key 'ca': cannot use none.pem: ");
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
}

#[test]
fn the_access_log_begins_and_ends_and_tells_something_else() {
    let one = Origin::start("one");
    let text = |log: &str| config(&format!("'{}'", one.url), log);
    let files = Files::new(&text(""));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let lines = || fs::read_to_string(files.path("access.log")).unwrap_or_default();
    assert_eq!(get(addr, "a", "/silent").status, 200);
    files.write(&text("[log]\naccess = 'access.log'\nquery = true\n"));
    edge.signal("HUP");
    edge.hears("  log.access: nothing became \"access.log\"\n");
    get(addr, "a", "/json?b=c&token=x");
    wait_for("a line", || lines().contains("/json").then_some(()));
    let first = lines();
    assert!(first.contains("\"query\":\"b=c&token=***\""), "{first}");
    assert!(!first.contains("/silent"), "{first}");

    let combined = "[log]\naccess = 'access.log'\nformat = 'combined'\nanonymise = true\n";
    files.write(&text(&format!("{combined}sample = 1000000\nqueue = 16\n")));
    edge.signal("HUP");
    edge.hears("  log.queue: 8192 became 16\n");
    // Of a million one has a line, and errors all have.
    assert_eq!(ask(addr, "DELETE", "a", "/refused", "").status, 405);
    wait_for("a line", || lines().contains("/refused").then_some(()));
    let second = lines();
    let line = second.lines().last().unwrap();
    assert!(line.starts_with("127.0.0.0 - - [") && line.contains("\"DELETE /refused"), "{line}");

    files.write(&text(""));
    edge.signal("HUP");
    edge.hears("  log.access: \"access.log\" became nothing\n");
    get(addr, "a", "/silent-again");
    files.write(&text("[log]\naccess = 'again.log'\n"));
    edge.signal("HUP");
    edge.hears("  log.access: nothing became \"again.log\"\n");
    get(addr, "a", "/last");
    let again = || fs::read_to_string(files.path("again.log")).unwrap_or_default();
    wait_for("a line", || again().contains("/last").then_some(()));
    assert!(!(lines() + &again()).contains("/silent"), "{}{}", lines(), again());
}

/// What is said of a file that is refused.
fn refused(edge: &Edge, files: &Files, text: &str) -> String {
    files.write(text);
    let before = edge.said().len();
    edge.signal("HUP");
    wait_for("a refusal", || {
        let said = edge.said().split_off(before);
        said.contains("edge.toml: nothing was changed\n").then_some(said)
    })
}

#[test]
fn an_access_log_that_cannot_be_written_changes_nothing() {
    let one = Origin::start("one");
    let text = config(&format!("'{}'", one.url), "[log]\naccess = 'one.log'\n");
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let lines = || fs::read_to_string(files.path("one.log")).unwrap_or_default();
    let asks = |path: &str| {
        assert_eq!(get(edge.addr("http"), "a", path).status, 200);
        wait_for("a line", || lines().contains(path).then_some(()));
    };
    asks("/before");
    // Nobody can write there, root neither.
    for log in ["/nowhere/two.log", "one.log/two.log"] {
        let other = text.replace("one.log", log).replace("hosts = '*'", "hosts = 'b'");
        let said = refused(&edge, &files, &other);
        assert!(said.contains(&format!("the access log cannot be written to {log}: ")), "{said}");
        asks(&format!("/after/{log}"));
    }
    files.write(&text);
    edge.signal("HUP");
    edge.hears("edge.toml was read again: nothing in it changed\n");
    asks("/last");
}

#[test]
fn a_reload_that_is_refused_leaves_no_new_file() {
    let one = Origin::start("one");
    let text = config(
        &format!("'{}'", one.url),
        "[operator]\nlisten = '127.0.0.1:0'\n[sessions]\non = true\nevents = 'one.jsonl'\n\
         [log]\naccess = 'one.log'\n",
    );
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let there = || {
        let names = fs::read_dir(files.folder()).unwrap().map(|file| file.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    let changes = |text: &str, why: &str| {
        let before = there();
        let said = refused(&edge, &files, text);
        assert!(said.contains(why), "{why} is not in\n{said}");
        assert_eq!(there(), before, "{why}");
    };
    let log = text.replace("one.log", "two.log");
    let both = log.replace("one.jsonl", "two.jsonl");
    changes(&format!("{both}[cache]\nram = '1 GiB'\n"), "that needs a restart");
    changes(&both.replace("[operator]\n", "[operator]\ntoken_file = 'none'\n"), "none");
    changes(&log.replace("one.jsonl", "/nowhere/two.jsonl"), "/nowhere/two.jsonl: ");
    // One that was there before stays.
    fs::write(files.path("two.log"), "").unwrap();
    changes(&log.replace("one.jsonl", "/nowhere/two.jsonl"), "/nowhere/two.jsonl: ");
    files.write(&both);
    edge.signal("HUP");
    edge.hears("  log.access: \"one.log\" became \"two.log\"\n");
    assert!(there().contains(OsStr::new("two.jsonl")));
}

#[test]
fn events_of_sessions_move_to_another_file() {
    let one = Origin::start("one");
    let text =
        |sessions: &str| config(&format!("'{}'", one.url), &format!("[sessions]\n{sessions}"));
    let files = Files::new(&text("on = true\nevents = 'one.jsonl'\n"));
    let edge = Edge::start(&files);
    let lines = |name: &str| fs::read_to_string(files.path(name)).unwrap_or_default();
    let begins = |title: &str, name: &str| {
        let asked = format!("/{title}/v.m3u8?CMCD=sid%3D%22{title}%22");
        assert_eq!(get(edge.addr("http"), "a", &asked).status, 200);
        wait_for("an event", || lines(name).contains(&format!("/{title}\"")).then_some(()));
    };
    begins("a", "one.jsonl");
    fs::rename(files.path("one.jsonl"), files.path("one.jsonl.1")).unwrap();
    edge.signal("USR1");
    wait_for("the file", || files.path("one.jsonl").exists().then_some(()));
    begins("b", "one.jsonl");
    files.write(&text("on = true\nevents = 'two.jsonl'\n"));
    edge.signal("HUP");
    edge.hears("  sessions.events: \"one.jsonl\" became \"two.jsonl\"\n");
    begins("c", "two.jsonl");
    assert!(!lines("one.jsonl").contains("/c\""), "{}", lines("one.jsonl"));
    files.write(&text("on = true\nevents = '/nowhere/three.jsonl'\n"));
    edge.signal("HUP");
    edge.hears("the events of sessions cannot be written to /nowhere/three.jsonl: ");
    edge.hears("edge.toml: nothing was changed\n");
    begins("d", "two.jsonl");
    files.write(&text("on = true\n"));
    edge.signal("HUP");
    edge.hears("  sessions.events: \"two.jsonl\" became nothing\n");

    // Where there was none at the start, they begin now.
    let files = Files::new(&text("on = true\n"));
    let edge = Edge::start(&files);
    let watch = |title: &str| {
        let asked = format!("/{title}/v.m3u8?CMCD=sid%3D%22{title}%22");
        assert_eq!(get(edge.addr("http"), "a", &asked).status, 200);
    };
    watch("unseen");
    files.write(&text("on = true\nevents = 'one.jsonl'\n"));
    edge.signal("HUP");
    edge.hears("  sessions.events: nothing became \"one.jsonl\"\n");
    watch("seen");
    let lines = || fs::read_to_string(files.path("one.jsonl")).unwrap_or_default();
    wait_for("an event", || lines().contains("/seen\"").then_some(()));
    assert!(!lines().contains("/unseen\""), "{}", lines());
}

#[test]
fn sessions_begin_and_end_and_change_while_they_are_watched() {
    let one = Origin::start("one");
    let text = |sessions: &str| {
        let more = format!("[operator]\nlisten = '127.0.0.1:0'\n[sessions]\n{sessions}");
        config(&format!("'{}'", one.url), &more)
    };
    let files = Files::new(&text(""));
    let edge = Edge::start(&files);
    let watch = |title: &str| {
        let asked = format!("/{title}/v.m3u8?CMCD=sid%3D%22{title}%22");
        assert_eq!(get(edge.addr("http"), "a", &asked).status, 200);
    };
    let asked = |path: &str| get(edge.addr("operator"), "localhost", path);
    let view = || -> Value { serde_json::from_str(&asked("/sessions").body).unwrap() };
    let ids = |view: &Value| -> Vec<String> {
        let all = view["sessions"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let reload = |sessions: &str, says: &str| {
        files.write(&text(sessions));
        edge.signal("HUP");
        edge.hears(says);
    };
    watch("a");
    assert_eq!(asked("/sessions").status, 404);
    assert!(!asked("/metrics").body.contains("headwater_edge_sessions "));

    reload("on = true\ncapacity = 8\n", "  sessions.on: false became true\n");
    watch("b");
    assert_eq!(ids(&view()), ["b"]);
    assert_eq!(
        (&view()["edge"], &view()["sessions"][0]["address"]),
        (&"edge".into(), &"127.0.0.0".into())
    );

    let named = "on = true\nedge = 'e2'\naddresses = true\n";
    reload(
        named,
        "  sessions.addresses: false became true\n  sessions.capacity: 8 became 10000\n  \
         sessions.edge: \"edge\" became \"e2\"\n",
    );
    assert_eq!(
        (&view()["edge"], &view()["sessions"][0]["address"]),
        (&"e2".into(), &"127.0.0.1".into())
    );
    for number in 0..20 {
        watch(&number.to_string());
    }
    assert_eq!((ids(&view()).len(), &view()["known"]), (21, &21.into()));
    let page = asked("/metrics").body;
    assert!(
        page.contains("playback_sessions_total{title=\"/b\",country=\"\",edge=\"e2\"} 1\n"),
        "{page}"
    );

    reload(&format!("{named}capacity = 1\n"), "  sessions.capacity: 10000 became 1\n");
    assert_eq!(ids(&view()).len(), 8, "a set of them is the least");
    reload(&format!("{named}idle = '1 s'\n"), "  sessions.idle: \"1 min\" became \"1 s\"\n");
    wait_for("the end of all", || ids(&view()).is_empty().then_some(()));

    reload(named, "  sessions.idle: \"1 s\" became \"1 min\"\n");
    watch("c");
    reload("", "  sessions.on: true became false\n");
    watch("d");
    assert_eq!(asked("/sessions").status, 404);
    assert!(!asked("/metrics").body.contains("headwater_edge_sessions "));
    let again = format!("{named}capacity = 9999\n");
    reload(&again, "  sessions.capacity: 10000 became 9999\n");
    assert!(ids(&view()).is_empty(), "those of before have ended");
    watch("c");
    assert_eq!(view()["sessions"][0]["requests"], 1);
}

#[test]
fn every_bad_line_of_a_list_of_addresses_is_said_and_changes_nothing() {
    let one = Origin::start("one");
    let folder = tempfile::tempdir().unwrap();
    let denied = folder.path().join("denied");
    let list = format!("addresses = {{ deny_file = '{}' }}", denied.display());
    let route = format!("[[site.route]]\npath = '/a/'\n{list}\n");
    let files = Files::new(&config(&format!("'{}'", one.url), &route));
    fs::write(&denied, "127.0.0.1\n").unwrap();
    let edge = Edge::start(&files);
    let asked = || get(edge.addr("http"), "h", "/a/x").status;
    assert_eq!(asked(), 403);
    fs::write(&denied, "10.0.0.0/8\nnone\n# a comment\n::1/129\n10.1\n").unwrap();
    edge.signal("HUP");
    edge.hears(&format!(
        "edge.toml:11: key 'deny_file': cannot use {}: lines 2, 4 and 5 are no address and no \
         network such as 192.0.2.0/24\nedge.toml: nothing was changed\n",
        denied.display()
    ));
    assert_eq!(asked(), 403, "the list of before holds");
    fs::write(&denied, "10.0.0.0/8\n").unwrap();
    edge.signal("HUP");
    edge.hears("edge.toml was read again: nothing in it changed\n");
    assert_eq!(asked(), 200);
}

#[test]
fn what_players_are_told_changes() {
    let one = Origin::start("one");
    let text = |more: &str| config(&format!("'{}'", one.url), more);
    let files = Files::new(&text("[operator]\nlisten = '127.0.0.1:0'\n"));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let before = get(addr, "a", "/x");
    assert_eq!(before.field("cmsd-dynamic"), "", "{before:?}");
    let steers = |ttl: &str| {
        text(&format!(
            "[operator]\nlisten = '127.0.0.1:0'\n[shed]\non = true\n[cmsd]\non = true\n\
             [steering]\npath = '/steer'\npathways = ['a', 'b']\nttl = '{ttl}'\n"
        ))
    };
    files.write(&steers("5 s"));
    edge.signal("HUP");
    edge.hears("  steering.ttl: \"30 s\" became \"5 s\"\n");
    assert_ne!(get(addr, "a", "/x").field("cmsd-dynamic"), "");
    assert!(get(addr, "a", "/steer").body.contains("\"TTL\":5"));
    files.write(&steers("9 s"));
    edge.signal("HUP");
    edge.hears("  steering.ttl: \"5 s\" became \"9 s\"\n");
    assert!(get(addr, "a", "/steer").body.contains("\"TTL\":9"));
    let metrics = get(edge.addr("operator"), "localhost", "/metrics").body;
    assert!(metrics.contains("headwater_edge_steered_total{sent=\"usual\"} 2\n"), "{metrics}");
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

/// An origin over TLS, with a certificate of its own, which lies in the folder.
fn secure_origin(folder: &Path) -> ServerHandle {
    let tls = Tls::self_signed(["localhost"], Some(folder), &Clock::system()).unwrap();
    let answer = |_: Request<Body>| async {
        let answer = Response::builder().header("cache-control", "no-store");
        Ok::<_, Infallible>(answer.body(Body::from("secure\n")).unwrap())
    };
    let server = Server::builder().https("127.0.0.1:0").without_quic().tls(tls).workers(1);
    server.serve(move |_| tower::service_fn(answer)).unwrap()
}

#[test]
fn the_authorities_of_an_upstream_are_read_again() {
    let own = tempfile::tempdir().unwrap();
    let (origin, other) = (own.path().join("origin"), own.path().join("other"));
    let server = secure_origin(&origin);
    Tls::self_signed(["localhost"], Some(&other), &Clock::system()).unwrap();
    let url = format!("https://localhost:{}", server.https_addrs()[0].port());
    let files = Files::new(&config(&format!("'{url}'\nca = 'ca.pem'"), ""));
    let put = |of: &Path| fs::copy(of.join("dev-cert.pem"), files.path("ca.pem")).unwrap();
    put(&other);
    let edge = Edge::start(&files);
    let asked = || get(edge.addr("http"), "a", "/x").status;
    assert_eq!(asked(), 502, "nobody it believes signed the origin's certificate");
    put(&origin);
    edge.signal("HUP");
    edge.hears("edge.toml was read again: nothing in it changed\n");
    assert_eq!(asked(), 200);
    fs::write(files.path("ca.pem"), "no authority").unwrap();
    edge.signal("HUP");
    edge.hears("edge.toml:6: key 'ca': ");
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!(asked(), 200);
    put(&other);
    edge.signal("HUP");
    wait_for("the end of belief", || (asked() == 502).then_some(()));
}

#[test]
fn limits_of_connections_change_but_for_what_clients_were_promised() {
    let one = Origin::start("one");
    let text = config(&format!("'{}'", one.url), "[server.limits]\nmax_body = '1 MiB'\n");
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    files.write(&text.replace("1 MiB", "10 B"));
    edge.signal("HUP");
    edge.hears("  server.limits.max_body: \"1 MiB\" became \"10 B\"\n");
    assert_eq!(ask(addr, "GET", "h", "/x", "content-length: 11\r\n").status, 413);
    files.write(&(text + "max_header_bytes = '8 KiB'\n"));
    edge.signal("HUP");
    edge.hears(
        "server.limits.max_header_bytes: \"32 KiB\" became \"8 KiB\"; that needs a restart\n",
    );
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!(ask(addr, "GET", "h", "/x", "content-length: 11\r\n").status, 413);
}

#[test]
fn certificates_come_from_elsewhere() {
    let one = Origin::start("one");
    let text = config(&format!("'{}'", one.url), "[server.tls]\nself_signed = 'a.example'\n");
    let text = text.replace("listen_http", "listen = '127.0.0.1:0'\nlisten_http");
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let authority = Authority::new();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let https = edge.addr("https");
    // Trusts nobody but the authority.
    let is_trusted = || {
        let client = reqwest::Client::builder().tls_certs_only([root.clone()]);
        let client = client.resolve("a.example", https).build().unwrap();
        let url = format!("https://a.example:{}/x", https.port());
        runtime.block_on(async { client.get(url).send().await.is_ok() })
    };
    assert!(!is_trusted());
    let of_files =
        text.replace("self_signed = 'a.example'", "certificate = 'a.pem'\nkey = 'a.key'");
    files.write(&of_files.replace("hosts = '*'", "hosts = 'b'"));
    edge.signal("HUP");
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!(get(edge.addr("http"), "a", "/x").status, 200, "the site is still there");
    authority.issue(&files, "a", &["a.example"]);
    files.write(&of_files);
    edge.signal("HUP");
    edge.hears("  server.tls.certificate: nothing became \"a.pem\"\n");
    edge.hears("  certificates: 1 in force, 1 of them new\n");
    assert!(is_trusted());
    authority.write(&files);
    files.write(&format!("{of_files}client_ca = 'ca.pem'\n"));
    edge.signal("HUP");
    edge.hears("  server.tls.client_ca: nothing became \"ca.pem\"\n");
    assert!(!is_trusted(), "who shows no certificate is not let in");
    files.write(&format!("{of_files}client_ca = 'ca.pem'\nclients = 'optional'\n"));
    edge.signal("HUP");
    edge.hears("  server.tls.clients: \"required\" became \"optional\"\n");
    assert!(is_trusted());
    files.write(&format!("{of_files}reload_every = '1 min'\n"));
    edge.signal("HUP");
    edge.hears("server.tls.reload_every: \"10 s\" became \"1 min\"; that needs a restart\n");
}

/// The certificate is good when the files are looked at, and is none when it is put in force: the reload waits for
/// a list between the two.
#[test]
fn a_certificate_that_fails_at_last_leaves_limits_steering_and_tokens_as_they_were() {
    let one = Origin::start("one");
    let files = Files::new("");
    let authority = Authority::new();
    authority.issue(&files, "a", &["a.example"]);
    let denied = files.path("denied");
    let text = format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nlisten = '127.0.0.1:0'\n[server.tls]\n\
         certificate = 'a.pem'\nkey = 'a.key'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[limit]]\nname = 'few'\npath = '/few/'\nrequests = 1\nwindow = '1 h'\n\
         [steering]\npath = '/steer'\npathways = ['a', 'b']\nttl = '5 s'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [[site.route]]\npath = '/ours/'\naddresses = {{ deny_file = '{}' }}\n",
        one.url,
        denied.display()
    );
    files.write(&text);
    fs::write(&denied, "10.0.0.0/8\n").unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let steered = || get(addr, "a", "/steer").body.contains("\"TTL\":5,");
    assert_eq!(get(addr, "a", "/few/a").status, 200);
    assert_eq!(get(addr, "a", "/few/b").status, 429);
    assert!(steered());

    fs::remove_file(&denied).unwrap();
    assert!(Command::new("mkfifo").arg(&denied).status().unwrap().success());
    fs::write(files.path("secret"), "a secret of thirty-two bytes, or more").unwrap();
    let other = text.replace("requests = 1", "requests = 2").replace("'5 s'", "'9 s'");
    let other = other.replace(
        "[[site.route]]",
        "[site.tokens]\n[[site.tokens.key]]\nsecret_file = 'secret'\n[[site.route]]",
    );
    let other = format!("{other}[log]\naccess = 'new.log'\n");
    files.write(&other);
    edge.signal("HUP");
    // Until somebody reads.
    let mut list = fs::OpenOptions::new().write(true).open(&denied).unwrap();
    let good = fs::read(files.path("a.pem")).unwrap();
    fs::write(files.path("a.pem"), "no certificate").unwrap();
    list.write_all(b"10.0.0.0/8\n").unwrap();
    drop(list);
    let again = denied.clone();
    // It is read more than once. Ends with the test's process.
    std::thread::spawn(move || {
        while let Ok(mut list) = fs::OpenOptions::new().write(true).open(&again) {
            let _ = list.write_all(b"10.0.0.0/8\n");
            drop(list);
            // Who reads comes to an end in between.
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    edge.hears("edge.toml: nothing was changed\n");
    assert!(edge.said().contains("a.pem"), "{}", edge.said());
    assert!(!edge.said().contains("key 'certificate'"), "looked at too late: {}", edge.said());
    assert_eq!(get(addr, "a", "/few/c").status, 429);
    assert!(steered());
    assert_eq!(get(addr, "a", "/x").status, 200, "without a token");
    assert!(!files.path("new.log").exists(), "it was made for nothing");

    // And what was counted goes on, too.
    fs::remove_file(&denied).unwrap();
    fs::write(&denied, "10.0.0.0/8\n").unwrap();
    fs::write(files.path("a.pem"), good).unwrap();
    files.write(&text);
    edge.signal("HUP");
    edge.hears("edge.toml was read again: nothing in it changed\n");
    assert_eq!(get(addr, "a", "/few/d").status, 429);
    assert!(steered());
}

/// As the page says of `[[limit]]`.
#[test]
fn limits_count_on_until_they_change() {
    let one = Origin::start("one");
    let limits = "[[limit]]\nname = 'few'\npath = '/few/'\nrequests = 1\nwindow = '1 h'\n\
                  [[limit]]\nname = 'other'\npath = '/other/'\nrequests = 1\nwindow = '1 h'\n";
    let text = config(&format!("'{}'", one.url), limits);
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    let status = |path: &str| get(edge.addr("http"), "a", path).status;
    assert_eq!((status("/few/a"), status("/few/b")), (200, 429));
    let text = format!("{text}[cmsd]\non = true\n");
    files.write(&text);
    edge.signal("HUP");
    edge.hears("  cmsd.on: false became true\n");
    assert_eq!(status("/few/c"), 429);
    assert_eq!((status("/other/a"), status("/other/b")), (200, 429));
    files.write(&text.replace("path = '/other/'", "path = '/other*/'"));
    edge.signal("HUP");
    edge.hears("  limit[1].path: \"/other/\" became \"/other*/\"\n");
    assert_eq!(status("/few/d"), 429, "that one is as it was");
    assert_eq!((status("/other/c"), status("/other/d")), (200, 429), "and that one is another");
}

#[test]
fn the_operators_token_is_read_again() {
    let one = Origin::start("one");
    let more = "[operator]\nlisten = '127.0.0.1:0'\ntoken_file = 'token'\n";
    let files = Files::new(&config(&format!("'{}'", one.url), more));
    let write = |token: &str| fs::write(files.path("token"), token).unwrap();
    write("first\n");
    let edge = Edge::start(&files);
    let addr = edge.addr("operator");
    let asked = |token: &str| {
        let field = format!("authorization: Bearer {token}\r\n");
        ask(addr, "GET", "localhost", "/explain?url=http://a/x", &field).status
    };
    assert_eq!((asked("first"), asked("second")), (200, 401));
    write("second\n");
    edge.signal("HUP");
    edge.hears("was read again: nothing in it changed\n");
    assert_eq!((asked("first"), asked("second")), (401, 200));
    write(" ");
    edge.signal("HUP");
    edge.hears("edge.toml:11: key 'token_file': the file token holds no secret\n");
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!((asked(""), asked("second")), (401, 200));
    fs::write(files.path("other"), "third").unwrap();
    files.write(&config(&format!("'{}'", one.url), &more.replace("'token'", "'other'")));
    edge.signal("HUP");
    edge.hears("  operator.token_file: \"token\" became \"other\"\n");
    assert_eq!((asked("second"), asked("third")), (401, 200));
}

#[test]
fn one_bad_file_keeps_all_others_from_being_used() {
    let own = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let folder = own.path().join(name);
        Tls::self_signed(["localhost"], Some(&folder), &Clock::system()).unwrap();
        folder.join("dev-cert.pem")
    };
    let one = Origin::start("one");
    let good = config(
        &format!("'{}'", one.url),
        "[operator]\nlisten = '127.0.0.1:0'\ntoken_file = 'token'\n",
    );
    let good = good.replace(
        "[server]\n",
        "[server]\nlisten = '127.0.0.1:0'\n\
         tls = { self_signed = 'localhost', client_ca = 'clients.pem', clients = 'optional' }\n",
    );
    let files = Files::new(&good);
    fs::copy(authority("clients"), files.path("clients.pem")).unwrap();
    fs::write(files.path("token"), "first").unwrap();
    let edge = Edge::start(&files);
    let operator = edge.addr("operator");
    let asked = |token: &str| {
        let field = format!("authorization: Bearer {token}\r\n");
        ask(operator, "GET", "localhost", "/explain?url=http://a/x", &field).status
    };
    fs::write(files.path("clients.pem"), "no authority").unwrap();
    fs::write(files.path("token"), "second").unwrap();
    files.write(&good.replace("hosts = '*'", "hosts = 'b'"));
    edge.signal("HUP");
    edge.hears("edge.toml:3: key 'client_ca': clients.pem holds no certificate in PEM form\n");
    edge.hears("edge.toml: nothing was changed\n");
    assert_eq!((asked("first"), asked("second")), (200, 401));
    assert_eq!(get(edge.addr("http"), "a", "/x").status, 200, "the site is still there");
    fs::copy(authority("more"), files.path("clients.pem")).unwrap();
    edge.signal("HUP");
    edge.hears("edge.toml was read again and is in force:\n");
    assert_eq!((asked("first"), asked("second")), (401, 200));
    assert_ne!(get(edge.addr("http"), "a", "/x").status, 200);
}
