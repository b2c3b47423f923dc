//! `[trace]`: an edge, another that is its shield, a packager, and a collector that is told of all three.

use std::fs;
use std::path::Path;
use std::process::Command;

use headwater::edge::TraceLayer;
use headwater::edge::trace::Tracer;
use headwater::net::Clock;
use headwater::net::client::Upstream;
use headwater::net::server::{Server, ServerHandle};
use headwater::packager::{Assets, Packager};
use tower::Layer as _;

use crate::collector::Collector;
use crate::process::{Edge, Files, Origin, ask, wait_for};

fn config(upstream: &str, trace: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = '{upstream}'\n[[site]]\nhosts = '*'\nupstream = 'media'\n\
         [operator]\nlisten = '127.0.0.1:0'\n[trace]\n{trace}"
    )
}

/// A packager of the films in a folder, at a listener of its own: recorded where who asks says so.
fn packager(films: &Path, collector: &str) -> ServerHandle {
    let (tracer, exporter) = Tracer::new("packager", 0, true, 16, Clock::system());
    let client = Upstream::builder(collector).build().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(exporter.run(client));
    });
    let packager = Packager::builder(Assets::from_dir(films).unwrap()).build();
    let layer = TraceLayer::new(tracer);
    let server = Server::builder().http("127.0.0.1:0").workers(1);
    server.serve(move |_| layer.layer(packager.clone())).unwrap()
}

fn film(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"])
        .args(["-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .arg(folder.join("film.mp4"))
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn edge_shield_and_packager_make_one_trace() {
    let (collector, url) = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("films");
    film(&films);
    let packager = packager(&films, &url);
    let packager = format!("http://{}", packager.http_addrs()[0]);
    let behind = Files::new(&config(
        &packager,
        &format!(
            "endpoint = '{url}'\nservice = 'behind'\nbelieve = true\nsample = 0\n\
             [cache]\nname = 'behind'\n"
        ),
    ));
    let behind_it = Edge::start(&behind);
    let upstream = format!("http://{}", behind_it.addr("http"));
    let files = Files::new(&config(
        &upstream,
        &format!(
            "endpoint = '{url}'\nservice = 'front'\nsample = 1\n\
             header_files = {{ authorization = 'secret' }}\nheader_envs = {{ x-tenant = 'TENANT' }}\n"
        ),
    ));
    fs::write(files.path("secret"), "Bearer s3cret\n").unwrap();
    let mut command = crate::process::command(&files, &[]);
    let mut front = Edge::spawn(command.env("TENANT", "video"));
    let said = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let answer = ask(front.addr("http"), "GET", "a", "/film/main.m3u8?token=SECRET", said);
    assert!(answer.status == 200 && answer.body.starts_with("#EXTM3U"), "{answer:?}");
    // Who goes tells what it has not told yet.
    front.signal("TERM");
    assert!(front.ended().success());
    let [front, behind, packager] = ["front", "behind", "packager"]
        .map(|of| wait_for(of, || collector.spans(of).into_iter().next()));
    assert!(front.get("parentSpanId").is_none(), "strangers are not believed: {front}");
    assert_ne!(front["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    for (child, parent) in [(&behind, &front), (&packager, &behind)] {
        assert_eq!(child["traceId"], parent["traceId"]);
        assert_eq!(child["parentSpanId"], parent["spanId"]);
    }
    let told = collector.told();
    let (head, _) = told.iter().find(|(_, body)| body.to_string().contains("\"front\"")).unwrap();
    assert!(head.starts_with("post /base/v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer s3cret\r\n"), "{head}");
    assert!(head.contains("\r\nx-tenant: video\r\n"), "{head}");
    assert!(!told.iter().any(|(_, body)| body.to_string().contains("SECRET")));
}

#[test]
fn what_is_recorded_changes_by_a_signal() {
    let origin = Origin::start("one");
    let (collector, url) = Collector::start();
    let text = config(&origin.url, &format!("endpoint = '{url}'\nsample = 0\n"));
    let files = Files::new(&text);
    let edge = Edge::start(&files);
    assert_eq!(ask(edge.addr("http"), "GET", "a", "/unseen", "").status, 200);
    files.write(&text.replace("sample = 0", "sample = 1"));
    edge.signal("HUP");
    edge.hears("trace.sample: 0 became 1");
    assert_eq!(ask(edge.addr("http"), "GET", "a", "/seen", "").status, 200);
    let span = wait_for("the span", || collector.spans("headwater-edge").into_iter().next());
    assert!(span.to_string().contains("\"/seen\""), "{span}");
    files.write(&text.replace("sample = 0", "sample = 1\nservice = 'other'\nqueue = 1"));
    edge.signal("HUP");
    edge.hears("trace.queue: 4096 became 1");
    assert_eq!(ask(edge.addr("http"), "GET", "a", "/renamed", "").status, 200);
    let span = wait_for("the span", || collector.spans("other").into_iter().next());
    assert!(span.to_string().contains("\"/renamed\""), "{span}");
    assert_eq!(collector.spans("headwater-edge").len(), 1);
    // One is taken and waits for others, and one waits for it: what more comes in that second is dropped.
    let page = || crate::process::get(edge.addr("operator"), "localhost", "/metrics").body;
    let number = |name: &str| -> u64 {
        let page = page();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
    };
    let dropped = || {
        for _ in 0..20 {
            assert_eq!(ask(edge.addr("http"), "GET", "a", "/many", "").status, 200);
        }
        (number("headwater_edge_spans_dropped_total") > 0).then_some(())
    };
    wait_for("a span that has no place", dropped);
    files.write(&text.replace("sample = 0", "sample = 1\nservice = 'other'"));
    edge.signal("HUP");
    edge.hears("trace.queue: 1 became 4096");
    let before = number("headwater_edge_spans_dropped_total");
    for _ in 0..100 {
        assert_eq!(ask(edge.addr("http"), "GET", "a", "/many", "").status, 200);
    }
    assert_eq!(number("headwater_edge_spans_dropped_total"), before, "all have a place now");
}

#[test]
fn another_collector_is_told_from_a_signal_on() {
    let origin = Origin::start("one");
    let ((first, one), (second, two)) = (Collector::start(), Collector::start());
    let off = config(&origin.url, "sample = 1\n");
    let on = |url: &str, more: &str| {
        off.replace("[trace]\n", &format!("[trace]\nendpoint = '{url}'\n{more}"))
    };
    let files = Files::new(&off);
    fs::write(files.path("secret"), "Bearer one\n").unwrap();
    let edge = Edge::start(&files);
    let seen = |path: &str, by: &Collector| {
        assert_eq!(ask(edge.addr("http"), "GET", "a", path, "").status, 200);
        let told =
            || by.spans("headwater-edge").into_iter().find(|span| span.to_string().contains(path));
        wait_for("the span", told)
    };
    assert_eq!(ask(edge.addr("http"), "GET", "a", "/unseen", "").status, 200);
    let headers = "header_files = { authorization = 'secret' }\n";
    files.write(&on(&one, headers));
    edge.signal("HUP");
    edge.hears("trace.endpoint: nothing became ");
    seen("/first", &first);
    let heads = |of: &Collector| of.told().iter().map(|(head, _)| head.clone()).collect::<String>();
    assert!(heads(&first).contains("authorization: bearer one\r\n"), "{}", heads(&first));

    // What the file holds by now goes with the next message.
    fs::write(files.path("secret"), "Bearer two\n").unwrap();
    files.write(&on(&two, &format!("{headers}timeout = '5 s'\n")));
    edge.signal("HUP");
    edge.hears("trace.timeout: \"10 s\" became \"5 s\"");
    seen("/second", &second);
    assert!(heads(&second).contains("authorization: bearer two\r\n"), "{}", heads(&second));
    assert!(!first.spans("headwater-edge").iter().any(|span| span.to_string().contains("/second")));

    // All or nothing.
    fs::write(files.path("secret"), "").unwrap();
    files.write(&on(&one, headers));
    edge.signal("HUP");
    edge.hears("key 'authorization': the file secret holds no secret");
    edge.hears("edge.toml: nothing was changed");
    seen("/third", &second);

    files.write(&off);
    edge.signal("HUP");
    edge.hears(" became nothing");
    assert_eq!(ask(edge.addr("http"), "GET", "a", "/unseen", "").status, 200);
    files.write(&on(&one, "timeout = '7 s'\n"));
    edge.signal("HUP");
    edge.hears("trace.timeout: \"10 s\" became \"7 s\"");
    seen("/fourth", &first);
    for of in [&first, &second] {
        assert!(
            !of.spans("headwater-edge").iter().any(|span| span.to_string().contains("/unseen"))
        );
    }
}
