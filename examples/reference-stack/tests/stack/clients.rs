//! Who may come to an edge, by address and country, and whose pages may read there.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Client, Response};

use crate::manners::refusal;
use crate::mmdb;
use crate::support::{Stack, video};

/// A stack that plays `clip`, with its state in a folder.
fn start(dir: &Path, args: &[&str]) -> Stack {
    let input = video(dir, "clip.mp4", 2);
    Stack::start(&dir.join("state"), &[&["--input", input.to_str().unwrap()], args].concat())
}

async fn get(stack: &Stack, path: &str, page: Option<&str>) -> Response {
    let mut request = Client::new().get(format!("{}{path}", stack.field("http")));
    if let Some(page) = page {
        request = request.header("origin", page);
    }
    request.send().await.unwrap()
}

const HLS: &str = "/media/clip/main.m3u8";

#[tokio::test]
async fn pages_of_named_origins_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let stack = start(dir.path(), &["--cors", "https://video.example,https://*.other.example"]);
    for (page, may) in [
        ("https://video.example", true),
        ("https://tv.other.example", true),
        ("https://other.example", false),
        ("http://video.example", false),
    ] {
        let answer = get(&stack, HLS, Some(page)).await;
        assert_eq!(answer.status(), 200);
        let told = answer.headers().get("access-control-allow-origin");
        assert_eq!(told.map(|origin| origin.to_str().unwrap()), may.then_some(page), "{page}");
        let varies = answer.headers().get_all("vary");
        assert!(varies.iter().any(|line| line.as_bytes().eq_ignore_ascii_case(b"origin")));
    }
    let url = format!("{}/cmcd", stack.field("http"));
    let asks = Client::new().request(reqwest::Method::OPTIONS, url);
    let asks = asks.header("origin", "https://video.example");
    let asks = asks.header("access-control-request-method", "POST");
    let answer =
        asks.header("access-control-request-headers", "content-type").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-headers"], "content-type");

    let other = tempfile::tempdir().unwrap();
    let open = start(other.path(), &[]);
    let answer = get(&open, HLS, Some("https://anybody.example")).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "*", "as without the flag");
}

#[tokio::test]
async fn lists_of_addresses_hold_and_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (allow, deny) = (dir.path().join("allow"), dir.path().join("deny"));
    std::fs::write(&allow, "127.0.0.0/8 # here\n").unwrap();
    std::fs::write(&deny, "192.0.2.0/24\n").unwrap();
    let (allowed, denied) = (allow.to_str().unwrap(), deny.to_str().unwrap());
    let stack = start(dir.path(), &["--allow", allowed, "--deny", denied]);
    assert_eq!(get(&stack, HLS, None).await.status(), 200);
    let pid = stack.ready()["pid"].as_u64().unwrap().to_string();
    let reload = || assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let said = dir.path().join("state/stderr");
    let hears = async |what: &str| {
        let begun = Instant::now();
        while !std::fs::read_to_string(&said).unwrap().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not say: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    std::fs::write(&deny, "127.0.0.1\n").unwrap();
    reload();
    hears("lists of addresses were read again").await;
    assert_eq!(get(&stack, HLS, None).await.status(), 403, "the longest prefix decides");
    assert_eq!(get(&stack, "/", None).await.status(), 403);
    std::fs::write(&deny, "no address\n").unwrap();
    reload();
    hears("lists of addresses stay as they were: ").await;
    assert_eq!(get(&stack, HLS, None).await.status(), 403, "as before");
}

#[tokio::test]
async fn countries_are_served_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("geo.mmdb");
    std::fs::write(&database, mmdb::database(&[("127.0.0.0/8", "DE"), ("192.0.2.0/24", "FR")]))
        .unwrap();
    let database = database.to_str().unwrap();
    for (flags, status) in [
        (&[][..], 200),
        (&["--countries", "DE,AT"][..], 200),
        (&["--countries", "FR"][..], 403),
        (&["--not-countries", "FR"][..], 200),
        (&["--not-countries", "FR,DE"][..], 403),
    ] {
        let home = tempfile::tempdir().unwrap();
        let stack = start(home.path(), &[&["--geo", database], flags].concat());
        assert_eq!(get(&stack, HLS, None).await.status(), status, "{flags:?}");
        if flags.is_empty() {
            let asked = get(&stack, "/media/clip/v1.m3u8?CMCD=sid%3D%22one%22", None).await;
            assert_eq!(asked.status(), 200);
            let metrics = Client::new().get(stack.field("metrics")).send().await.unwrap();
            let metrics = metrics.text().await.unwrap();
            assert!(metrics.contains("country=\"DE\""), "{metrics}");
        }
    }
}

#[test]
fn what_is_wrong_about_clients_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "no address").unwrap();
    std::fs::write(path("one"), "192.0.2.1").unwrap();
    std::fs::write(path("geo"), mmdb::database(&[("127.0.0.0/8", "DE")])).unwrap();
    let (text, one, geo, none) = (path("text"), path("one"), path("geo"), path("none"));
    for (args, wanted) in [
        (&["--allow", &text][..], "line 1 is no address and no network"),
        (&["--deny", &none][..], "none cannot be used: No such file"),
        (&["--allow", &one, "--deny", &one][..], "192.0.2.1/32 is both allowed and denied"),
        (&["--geo", &text][..], "text cannot be used: this is no MaxMind DB"),
        (&["--geo", &geo, "--countries", "DEU"][..], "'DEU' is no country"),
    ] {
        let said = refusal(args);
        assert!(said.contains(wanted), "{said}");
    }
}
