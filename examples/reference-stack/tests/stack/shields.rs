//! An edge and its shields: a title is one shield's, and another's when that is gone.

use std::time::{Duration, Instant};

use headwater_net::rendezvous::{Contender, key, order};
use http::Uri;
use reqwest::Client;

use crate::support::{Stack, video};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_title_is_asked_of_one_shield_and_of_the_other_when_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 8);
    let input = input.to_str().unwrap();
    let start = |name: &str, args: &[&str]| Stack::start(&dir.path().join(name), args);
    let packager = start("packager", &["--role", "packager", "--input", input]);
    let shield =
        |name: &str| start(name, &["--role", "shield", "--upstream", packager.field("http")]);
    let (first, second) = (shield("first"), shield("second"));
    let urls = [first.field("http").to_owned(), second.field("http").to_owned()];
    let edge = start("edge", &["--role", "edge", "--upstream", &urls[0], "--upstream", &urls[1]]);
    let client = Client::new();
    let get = async |path: &str| {
        let answer = client.get(format!("{}/media/clip/{path}", edge.field("http"))).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };
    let count = async |shield: &Stack, what: &str| {
        let page = client.get(shield.field("metrics")).send().await.unwrap().text().await.unwrap();
        let line = format!("headwater_origin_{what}_total ");
        let count = page.lines().find_map(|said| said.strip_prefix(line.as_str())).unwrap();
        count.parse::<u64>().unwrap()
    };
    let asked = async |shield: &Stack| count(shield, "manifests_learnt").await;

    let main = get("main.m3u8").await;
    let playlist = get("v1.m3u8").await;
    let counts = [asked(&first).await, asked(&second).await];
    assert!(counts.contains(&0) && counts.iter().any(|count| *count >= 2), "{counts:?}");

    // Each says of whom it asks how they stand.
    let standing = async |stack: &Stack, upstream: &str, origin: &str| {
        let page = client.get(stack.field("metrics")).send().await.unwrap().text().await.unwrap();
        let series = format!("{{upstream=\"{upstream}\",origin=\"{origin}/\"}} ");
        let told = |name: &str| {
            let line = format!("headwater_upstream_{name}{series}");
            page.lines().find_map(|said| said.strip_prefix(line.as_str())?.parse::<u64>().ok())
        };
        (told("up"), told("requests_total"))
    };
    for (url, count) in urls.iter().zip(counts) {
        let (up, requests) = standing(&edge, "shields", url).await;
        assert_eq!((up, requests.is_some_and(|asked| asked > 0)), (Some(1), count > 0), "{url}");
    }
    let (home, other) = if counts[0] > 0 { (first, second) } else { (second, first) };
    let (up, requests) = standing(&home, "origins", packager.field("http")).await;
    assert!(up == Some(1) && requests.is_some_and(|asked| asked > 0), "{up:?} {requests:?}");

    // Of what the edge serves alone, the title's own shield hears, and nobody else does.
    let segment = playlist.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    let begun = Instant::now();
    while count(&home, "hints_taken").await == 0 {
        let url = format!("{}/media/clip/{}", edge.field("http"), segment.unwrap());
        client.get(url).send().await.unwrap().bytes().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "the shield hears of nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(&other, "hint_messages").await, 0);
    assert_eq!(count(&home, "hints_refused").await, 0);

    // A third shield that shares with the first has the title from that, and not from the packager.
    let home_url: Uri = home.field("http").parse().unwrap();
    let owner = Contender::new(&home_url.to_string(), 1);
    let known_as = (0..1000)
        .map(|n| format!("http://third-{n}.invalid/"))
        .find(|name| order(key(b"/clip"), [&Contender::new(name, 1), &owner])[0] == 1);
    let known_as = known_as.unwrap();
    let peers = ["--peer", home.field("http"), "--known-as", &known_as];
    let behind = ["--role", "shield", "--upstream", packager.field("http")];
    let third = start("third", &[&behind[..], &peers].concat());
    let url = format!("{}/clip/main.m3u8", third.field("http"));
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("v1.m3u8"));
    assert!(count(&third, "peer_requests").await > 0);
    assert_eq!(count(&third, "requests").await, 0);

    let gone = home.field("http").to_owned();
    assert_eq!(home.end("-KILL"), None);
    assert!(main.contains("a1.m3u8"));
    get("a1.m3u8").await;
    assert!(asked(&other).await > 0);
    // What is in no cache, until it counts as down.
    let begun = Instant::now();
    for n in 0.. {
        let url = format!("{}/media/clip/none-{n}.mp4", edge.field("http"));
        client.get(url).send().await.unwrap().bytes().await.unwrap();
        if standing(&edge, "shields", &gone).await.0 == Some(0) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "who is gone is told to be up");
    }
    for stack in [edge, third, other, packager] {
        assert_eq!(stack.end("-TERM"), Some(0));
    }
}

/// A shield believes its edges; whoever else reaches it is not answered at all.
#[tokio::test]
async fn a_shield_answers_edges_alone() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody is home behind it: who is let in is answered so.
    let args =
        ["--role", "shield", "--upstream", "http://127.0.0.1:9", "--forwarded-by", "127.0.0.1"];
    let more = ["--edges", "198.51.100.0/24"];
    let own = Stack::start(&dir.path().join("own"), &args);
    let named = Stack::start(&dir.path().join("named"), &[&args[..], &more].concat());
    let client = Client::new();
    let ask = async |shield: &Stack, from: Option<&str>, hints: bool| {
        let mut request = if hints {
            let told = "headwater-hints 1\n//media/clip/1.mp4\n";
            client.post(format!("{}/.well-known/headwater-hints", shield.field("http"))).body(told)
        } else {
            client.get(format!("{}/clip/main.m3u8", shield.field("http")))
        };
        if let Some(from) = from {
            request = request.header("x-forwarded-for", from);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for (shield, from, let_in) in [
        (&own, None, true),
        (&own, Some("198.51.100.7"), false),
        (&named, None, false),
        (&named, Some("198.51.100.7"), true),
        (&named, Some("192.0.2.7"), false),
    ] {
        let answers = (ask(shield, from, false).await, ask(shield, from, true).await);
        assert_eq!(answers, if let_in { (502, 204) } else { (403, 403) }, "{from:?}");
    }
    for stack in [own, named] {
        assert_eq!(stack.end("-TERM"), Some(0));
    }
}
