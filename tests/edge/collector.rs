//! An OpenTelemetry collector that keeps what it is told, for tests: OTLP over HTTP/1.1 in JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

/// A collector: what it was sent, head and body.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<(String, Value)>>>);

impl Collector {
    /// One in a thread that ends with the test's process, and its URL.
    pub(crate) fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let collector = Self::default();
        let keeps = collector.clone();
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

    /// What it was sent so far.
    pub(crate) fn told(&self) -> MutexGuard<'_, Vec<(String, Value)>> {
        self.0.lock().unwrap()
    }

    /// The spans of a service.
    pub(crate) fn spans(&self, of: &str) -> Vec<Value> {
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
