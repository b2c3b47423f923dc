//! `[upstream.store]`: the command before a stand-in for S3 that answers nobody whose signature it does not come
//! to itself.

#[allow(dead_code, clippy::print_stdout, reason = "tests of the crate ask for more, and read more")]
#[path = "../../crates/origin/tests/store/s3.rs"]
mod s3;

use std::fs;
use std::net::SocketAddr;

use s3::{BREAKS, KEY_ID, REGION, S3, SECRET, content};
use tokio::runtime::Runtime;

use crate::process::{Edge, Files, wait_for};

/// The files of an edge before the folder `film` of a store, whose key is in one of them.
fn files(store: &S3) -> Files {
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'films'\n\
         [upstream.store]\nurl = 's3://bucket/film'\nenvironment = false\n\
         settings = {{ region = '{REGION}', endpoint = '{}', allow_http = 'true', \
         access_key_id = '{KEY_ID}' }}\nsetting_files = {{ secret_access_key = 'key' }}\n\
         [[site]]\nhosts = '*'\nupstream = 'films'\n",
        store.url()
    ));
    fs::write(files.path("key"), format!("{SECRET}\n")).unwrap();
    files
}

/// A client, whose answers are bytes and no text.
struct Client {
    runtime: Runtime,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { runtime, client: reqwest::Client::new() }
    }

    fn get(&self, addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
        let asked = self.client.get(format!("http://{addr}{path}"));
        let asked = fields.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        self.runtime.block_on(async {
            let answer = asked.send().await.unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Answer { status, headers, body: answer.bytes().await.unwrap().to_vec() }
        })
    }
}

#[test]
fn a_store_is_asked_by_signed_requests_and_what_it_has_is_kept() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let edge = Edge::start(&files(&store));
    let addr = edge.addr("http");
    let expected = content("/bucket/film/1.m4s");
    let whole = client.get(addr, "/1.m4s", &[]);
    assert_eq!(whole.status, 200, "{}", edge.said());
    assert_eq!(whole.headers["etag"], "\"v1\"");
    assert!(whole.body == expected);
    let part = client.get(addr, "/1.m4s", &[("range", "bytes=10-19")]);
    assert_eq!((part.status, &part.body[..]), (206, &expected[10..20]));
    let asked = || store.asked.lock().unwrap().clone();
    assert_eq!(asked(), ["/bucket/film/1.m4s whole"], "the second is a hit");
    // A part of what is not there yet, and what breaks off.
    let part = client.get(addr, "/2.m4s", &[("range", "bytes=-10")]);
    assert_eq!((part.status, &part.body[..]), (206, &content("/bucket/film/2.m4s")[299_990..]));
    let name = BREAKS.strip_prefix("/bucket/film").unwrap();
    let whole = client.get(addr, name, &[]);
    assert!(whole.status == 200 && whole.body == content(BREAKS));
    let of_it = asked().iter().filter(|line| line.starts_with(BREAKS)).count();
    assert!(of_it > 1, "the rest was asked for: {:?}", asked());
    // Outside the folder there is nothing, and nobody lists it.
    for path in ["/missing.m4s", "/", "/?list-type=2", "/..%2Fother/1.m4s"] {
        let answer = client.get(addr, path, &[]);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    assert!(asked().iter().all(|line| line.starts_with("/bucket/film/")), "{:?}", asked());
}

#[test]
fn a_key_that_was_changed_counts_from_the_next_reload_on() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let files = files(&store);
    fs::write(files.path("key"), "another").unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let refused = client.get(addr, "/1.m4s", &[]);
    assert_eq!(refused.status, 403, "{}", edge.said());
    let said = String::from_utf8(refused.body).unwrap();
    assert!(!said.contains("another") && !said.contains(KEY_ID), "{said}");
    fs::write(files.path("key"), SECRET).unwrap();
    edge.signal("HUP");
    let mut segment = 1;
    wait_for("the new key", || {
        segment += 1;
        (client.get(addr, &format!("/{segment}.m4s"), &[]).status == 200).then_some(())
    });
    assert!(!edge.said().contains(SECRET), "{}", edge.said());
}
