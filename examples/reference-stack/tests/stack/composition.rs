//! One process or three: the same bytes and the same headers.
//!
//! The edge, shield and packager of one process call each other without sockets; here the same
//! roles also run as three processes over HTTP, and every answer of both is compared.

use std::collections::BTreeMap;

use crate::support::{Stack, Three, video};
use reqwest::{Client, Method};

/// One question and the request headers that go with it.
struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
}

fn get(path: impl Into<String>) -> Ask {
    Ask { method: Method::GET, path: path.into(), headers: Vec::new() }
}

impl Ask {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What came back, but for what the time or the port decides.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

async fn ask(client: &Client, base: &str, ask: &Ask) -> Answer {
    let mut request = client.request(ask.method.clone(), format!("{base}{}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let response = request.send().await.unwrap();
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap();
        let kept = match name.as_str() {
            "date" | "age" | "alt-svc" => continue,
            // What the edge did is the same; what the shield did depends on whether its prefetch
            // came first, and lifetimes on the second.
            "cache-status" if value.starts_with("shield") => continue,
            "cache-status" => edge_member(value),
            _ => value.to_owned(),
        };
        headers.entry(name.to_string()).or_default().push(kept);
    }
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap().to_vec();
    Answer { status, headers, body }
}

/// The edge's member of Cache-Status, without its lifetime.
fn edge_member(value: &str) -> String {
    let member = value.rsplit(", ").next().unwrap_or_default();
    member.split("; ").filter(|part| !part.starts_with("ttl=")).collect::<Vec<_>>().join("; ")
}

/// The URLs of a playlist's segments and init segment, relative to it.
fn uris(playlist: &str) -> Vec<String> {
    let map = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\""))
        .filter_map(|rest| rest.split('"').next());
    let segments = playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    map.chain(segments).map(str::to_owned).collect()
}

#[tokio::test]
async fn one_process_and_three_give_the_same_bytes_and_headers() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 14);
    let input = input.to_str().unwrap();
    let one = Stack::start(&dir.path().join("one"), &["--input", input]);
    let Three { edge, shield, packager } = Three::start(dir.path(), input);

    let client = Client::builder().build().unwrap();
    let bases = [one.field("http"), edge.field("http")];
    let main = ask(&client, bases[0], &get("/media/clip/main.m3u8")).await;
    assert_eq!(main.status, 200);
    let etag = main.headers["etag"][0].clone();
    let mut asks = vec![
        get("/media/"),
        get("/media/clip/main.m3u8"),
        get("/media/clip/main.m3u8").with("accept-encoding", "gzip"),
        get("/media/clip/main.m3u8").with("if-none-match", etag),
        get("/media/clip/manifest.mpd"),
        get("/media/clip/report.json"),
        get("/media/none/main.m3u8"),
        get("/media/clip/0000000000000000/v1/1.m4s"),
        get("/media/clip/v9.m3u8"),
        Ask { method: Method::HEAD, ..get("/media/clip/manifest.mpd") },
        Ask { method: Method::OPTIONS, ..get("/media/clip/main.m3u8") },
        Ask { method: Method::DELETE, ..get("/media/clip/main.m3u8") },
    ];
    let mut media = 0;
    for track in ["v1", "a1"] {
        let playlist = format!("/media/clip/{track}.m3u8");
        let answer = ask(&client, bases[0], &get(&playlist)).await;
        let text = String::from_utf8(answer.body).unwrap();
        asks.push(get(playlist));
        for uri in uris(&text) {
            media += 1;
            let url = format!("/media/clip/{uri}");
            asks.push(get(&url).with("range", "bytes=100-299"));
            asks.push(get(&url));
            asks.push(Ask { method: Method::HEAD, ..get(&url) });
            asks.push(get(&url).with("range", "bytes=99999999-"));
            asks.push(get(&url).with("range", "bytes=-5").with("if-range", "\"other\""));
        }
    }
    assert!(media >= 6, "init and segments of two tracks: {media}");
    // Twice: the second time from the edge's cache.
    for round in 0..2 {
        for question in &asks {
            let [ours, theirs] =
                [ask(&client, bases[0], question).await, ask(&client, bases[1], question).await];
            // The first process was asked for a few playlists above: its first round has hits.
            let settle = |mut answer: Answer| {
                if round == 0 {
                    answer.headers.remove("cache-status");
                }
                answer
            };
            let (ours, theirs) = (settle(ours), settle(theirs));
            assert_eq!(
                (ours.status, &ours.headers),
                (theirs.status, &theirs.headers),
                "round {round}: {} {} {:?}",
                question.method,
                question.path,
                question.headers
            );
            assert!(ours.body == theirs.body, "{} {}", question.method, question.path);
        }
    }
    for stack in [edge, shield, packager, one] {
        assert_eq!(stack.end("-TERM"), Some(0));
    }
}
