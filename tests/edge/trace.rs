//! `[trace]`: two edges, one of which is the other's shield, and a collector that is told of both.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::process::{Edge, Files, Origin, ask, wait_for};

/// A collector: what it was sent, head and body.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Value)>>>);

impl Collector {
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let collector = Self::default();
        let keeps = collector.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = keeps.clone();
                std::thread::spawn(move || while keeps.take(&stream).is_some() {});
            }
        });
        (collector, url)
    }

    fn take(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let mut body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        self.0.lock().unwrap().push((lower, serde_json::from_slice(&body).unwrap()));
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").ok()
    }

    /// The spans of a service.
    fn spans(&self, of: &str) -> Vec<Value> {
        let told = self.0.lock().unwrap();
        let resources = told.iter().flat_map(|(_, body)| body["resourceSpans"].as_array().unwrap());
        let of_service = resources.filter(|resource| {
            let name = &resource["resource"]["attributes"][0];
            name["key"] == "service.name" && name["value"]["stringValue"] == of
        });
        let spans = of_service.flat_map(|of| of["scopeSpans"][0]["spans"].as_array().unwrap());
        spans.cloned().collect()
    }
}

fn config(upstream: &str, trace: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = '{upstream}'\n[[site]]\nhosts = '*'\nupstream = 'media'\n\
         [operator]\nlisten = '127.0.0.1:0'\n[trace]\n{trace}"
    )
}

#[test]
fn an_edge_and_the_one_behind_it_make_one_trace() {
    let origin = Origin::start("one");
    let (collector, url) = Collector::start();
    let behind = Files::new(&config(
        &origin.url,
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
    assert_eq!(ask(front.addr("http"), "GET", "a", "/film?token=SECRET", said).status, 200);
    // Who goes tells what it has not told yet.
    front.signal("TERM");
    assert!(front.ended().success());
    let [front_span, behind_span] =
        ["front", "behind"].map(|of| wait_for(of, || collector.spans(of).into_iter().next()));
    assert!(front_span.get("parentSpanId").is_none(), "strangers are not believed: {front_span}");
    assert_ne!(front_span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(behind_span["traceId"], front_span["traceId"]);
    assert_eq!(behind_span["parentSpanId"], front_span["spanId"]);
    let told = collector.0.lock().unwrap();
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
    files.write(&text.replace(&url, "http://127.0.0.1:1"));
    edge.signal("HUP");
    edge.hears("that takes a new process");
    let page = crate::process::get(edge.addr("operator"), "localhost", "/metrics").body;
    assert!(page.contains("\nheadwater_edge_spans_exported_total 1\n"), "{page}");
}
