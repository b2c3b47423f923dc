//! What an edge asks of its viewers and knows of them: tokens, limits, sessions, reports, steering.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use crate::crowd::Crowd;
use crate::manners::refusal;
use crate::support::{Stack, video};

const SECRET: &str = "a secret of thirty-two bytes, or more\n";

struct Playing {
    stack: Stack,
    client: Client,
    dir: tempfile::TempDir,
}

impl Playing {
    /// A stack with these flags that plays `clip`, and a file `secret` in its state.
    fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = video(dir.path(), "clip.mp4", 4);
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.strip_prefix("in:").map_or_else(|| (*arg).to_owned(), path))
            .collect();
        let mut all = vec!["--input", input.to_str().unwrap()];
        all.extend(args.iter().map(String::as_str));
        let stack = Stack::start(&dir.path().join("state"), &all);
        Self { stack, client: Client::new(), dir }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.stack.field("http"))).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        let response = self.get(path).await;
        let status = response.status().as_u16();
        response.bytes().await.unwrap();
        status
    }

    async fn report(&self, text: &'static str) -> StatusCode {
        let url = format!("{}/cmcd", self.stack.field("http"));
        let post = self.client.post(url).header("content-type", "application/cmcd").body(text);
        post.send().await.unwrap().status()
    }

    fn operator(&self, path: &str) -> String {
        self.stack.field("metrics").replace("/metrics", path)
    }

    async fn told(&self, path: &str) -> String {
        self.client.get(self.operator(path)).send().await.unwrap().text().await.unwrap()
    }
}

/// The path of a URL of the ready file.
fn path_of(url: &str) -> &str {
    let (_, after) = url.split_once("//").unwrap();
    after.find('/').map_or("/", |at| &after[at..])
}

#[tokio::test]
async fn media_needs_a_token_where_there_is_a_secret() {
    let playing = Playing::start(&["--token-secret", "in:secret"]);
    for path in ["/media/clip/main.m3u8", "/media/", "/%6dedia/clip/main.m3u8", "/t/x/media/"] {
        assert_eq!(playing.status(path).await, 401, "{path}");
    }
    // What is printed plays, and what it names by relative URLs.
    let hls = path_of(playing.stack.ready()["assets"][0]["hls"].as_str().unwrap()).to_owned();
    assert!(hls.starts_with("/t/hw1.") && hls.ends_with("/media/clip/main.m3u8"), "{hls}");
    assert_eq!(playing.status(&hls).await, 200);
    assert_eq!(playing.status(&hls.replace("main.m3u8", "v1.m3u8")).await, 200);
    // A page gives its browser what it plays with; a file of the pages, and what is not there, do not.
    let page = playing.get("/").await;
    let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert_eq!(page.headers()["cache-control"], "private, no-cache");
    assert!(cookie.ends_with("; Path=/media/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let url = format!("{}/media/clip/main.m3u8", playing.stack.field("http"));
    let asked = playing.client.get(url).header("cookie", cookie);
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK);
    for path in ["/stack.json", "/none.html"] {
        assert!(!playing.get(path).await.headers().contains_key("set-cookie"), "{path}");
    }
    // Reports are everybody's.
    assert_eq!(playing.report("e=t,sid=\"nobody\"").await, StatusCode::NO_CONTENT);
}

#[test]
fn what_is_wrong_about_viewers_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    std::fs::write(&short, "short").unwrap();
    let short = short.to_str().unwrap();
    for (args, wanted) in [
        (&["--token-secret-env", "HEADWATER_NO_SUCH_VARIABLE"][..], "HEADWATER_NO_SUCH_VARIABLE"),
        (&["--token-secret", short], "the secret of tokens: "),
        (&["--pathways", "a,b", "--pathway", "c"], "--pathways: the pathway `c`"),
    ] {
        // Found before a minute of demo video is made.
        let said = refusal(args);
        assert!(said.contains(wanted), "{said}");
    }
}

#[tokio::test]
async fn the_operator_sees_sessions_reports_and_lines() {
    let playing = Playing::start(&["--events", "in:events", "--edge-name", "e1", "--cmsd"]);
    let mut lines = playing.client.get(playing.operator("/log")).send().await.unwrap();
    assert_eq!(lines.status(), StatusCode::OK);
    let asked = playing.get("/media/clip/v1.m3u8?CMCD=bl%3D4000%2Csid%3D%22one%22").await;
    let told = asked.headers()["cmsd-dynamic"].to_str().unwrap();
    assert!(told.starts_with("\"e1\";etp=") && told.contains(";rtt="), "{told}");
    assert_eq!(playing.report("v=2,e=ps,sta=r,sid=\"one\",ts=5").await, StatusCode::NO_CONTENT);

    let view: Value = serde_json::from_str(&playing.told("/sessions").await).unwrap();
    let one = &view["sessions"][0];
    assert_eq!((&view["known"], &one["id"]), (&1.into(), &"one".into()));
    assert_eq!((&one["title"], &one["rebuffers"]), (&"/media/clip".into(), &1.into()));
    let metrics = playing.told("/metrics").await;
    for line in [
        "headwater_edge_cmcd_total{by=\"report\",read=\"yes\"} 1",
        "headwater_edge_playback_rebuffers_total{title=\"/media/clip\",country=\"\",edge=\"e1\"} 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}\n{metrics}");
    }
    assert!(playing.told("/").await.contains("live.js"));
    let line = lines.chunk().await.unwrap().unwrap();
    let line = std::str::from_utf8(&line).unwrap();
    assert!(line.contains("/media/clip/v1.m3u8"), "{line}");
    let begun = Instant::now();
    while playing.file("events").lines().count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", playing.file("events"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first: Value =
        serde_json::from_str(playing.file("events").lines().next().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["edge"]), (&"begun".into(), &"e1".into()));

    let silent = Playing::start(&["--no-sessions"]);
    let view = silent.client.get(silent.operator("/sessions")).send().await.unwrap();
    assert_eq!(view.status(), StatusCode::NOT_FOUND);
    assert_eq!(silent.report("e=t").await, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_guesses_tokens_and_who_reports_too_much_is_held() {
    let flags = ["--token-secret", "in:secret", "--max-requests", "1", "--max-reports", "2"];
    let playing = Playing::start(&flags);
    let mut seen = Vec::new();
    for guess in 0..100 {
        let response = playing.get(&format!("/t/hw1.x{guess}/media/clip/main.m3u8")).await;
        let status = response.status().as_u16();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        if status == 429 {
            assert!(response.headers().contains_key("retry-after"));
            break;
        }
    }
    assert_eq!(seen, [401, 429], "ten may guess at once");

    let playing = Playing::start(&["--max-reports", "2"]);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(playing.report("e=t,sid=\"nobody\"").await.as_u16());
    }
    assert_eq!(answers, [204, 204, 429]);
    assert_eq!(playing.status("/media/clip/main.m3u8").await, 200, "only reports are limited");
}

#[tokio::test]
async fn players_are_sent_away_from_an_edge_that_has_too_many() {
    let flags = ["--pathways", "a,b", "--pathway", "a", "--steer-above", "0", "--steer-ttl", "1"];
    let playing = Playing::start(&flags);
    let order = async || -> Value {
        let text = playing.get("/steering?_HLS_pathway=a").await.bytes().await.unwrap();
        let said: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&said["VERSION"], &said["TTL"]), (&1.into(), &1.into()));
        said["PATHWAY-PRIORITY"].clone()
    };
    assert_eq!(order().await, serde_json::json!(["a", "b"]));
    assert_eq!(playing.status("/media/clip/v1.m3u8?CMCD=sid%3D%22one%22").await, 200);
    // By a quarter of all players in each second.
    let begun = Instant::now();
    while order().await != serde_json::json!(["b", "a"]) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody is sent away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whatever a client takes beyond two seconds' worth takes its time, but for the last piece.
#[tokio::test]
async fn a_client_gets_no_more_bits_than_it_may() {
    const RATE: u64 = 400 * 125;
    let playing = Playing::start(&["--max-rate", "400"]);
    let playlist = playing.get("/media/clip/v1.m3u8").await.text().await.unwrap();
    let is_uri = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let segment = format!("/media/clip/{}", playlist.lines().find(is_uri).unwrap());
    let (begun, mut sum, mut largest) = (Instant::now(), 0, 0);
    let least = loop {
        let got = playing.get(&segment).await;
        assert_eq!(got.status(), StatusCode::OK);
        let length = got.bytes().await.unwrap().len() as u64;
        (sum, largest) = (sum + length, length.max(largest));
        let beyond = sum.saturating_sub(largest + 2 * RATE);
        let least = Duration::from_millis(beyond * 1_000 / RATE);
        if least >= Duration::from_secs(2) {
            break least;
        }
    };
    let took = begun.elapsed();
    assert!(took >= least, "{sum} bytes in {took:?} and not {least:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_turned_away_while_workers_are_too_late() {
    let playing = Playing::start(&["--shed-above", "1"]);
    let addr = playing.stack.field("http").strip_prefix("http://").unwrap().parse().unwrap();
    assert!(playing.told("/metrics").await.contains("headwater_edge_shed_level 0\n"));
    let crowd = Crowd::begin(addr, "localhost", "/");
    let begun = Instant::now();
    let refusal = loop {
        if let Some(refusal) = crowd.refusal() {
            break refusal;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody is turned away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refusal.contains("retry-after: "), "{refusal}");
    drop(crowd);
    let metrics = playing.told("/metrics").await;
    assert!(metrics.contains("headwater_edge_shed_total{level=\""), "{metrics}");

    let playing = Playing::start(&[]);
    assert!(!playing.told("/metrics").await.contains("headwater_edge_shed_level"));
}
