//! What an operator does to a running stack: purges through both tiers, and explanations.

use crate::support::{Stack, video};
use reqwest::{Client, StatusCode};
use serde_json::Value;

async fn cache_status(client: &Client, url: &str) -> String {
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let lines = response.headers().get_all("cache-status").iter();
    let status = lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(", ");
    response.bytes().await.unwrap();
    status
}

async fn json(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Asks until an answer comes from the edge's store: what was just fetched is stored a moment later.
async fn until_hit(client: &Client, url: &str) {
    for _ in 0..1000 {
        if cache_status(client, url).await.contains("edge; hit") {
            return;
        }
    }
    panic!("{url} does not become a hit");
}

#[tokio::test]
async fn a_purge_goes_through_both_tiers_and_an_explanation_tells_of_both() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 4);
    let token = dir.path().join("token");
    std::fs::write(&token, "let me in\n").unwrap();
    let token = token.to_str().unwrap();
    let args = ["--input", input.to_str().unwrap(), "--operator-token", token];
    let stack = Stack::start(&dir.path().join("state"), &args);
    let operator = stack.field("metrics").trim_end_matches("/metrics").to_owned();
    let client = Client::new();
    let page = |path: &str| format!("{}{path}", stack.field("http"));
    let playlist = page("/media/clip/main.m3u8");
    let post = |query: &str| client.post(format!("{operator}/purge?{query}"));
    until_hit(&client, &playlist).await;

    // Strangers may not.
    let refused = post("all").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    let guess = post("all").bearer_auth("let me").send().await.unwrap();
    assert_eq!(guess.status(), StatusCode::UNAUTHORIZED);
    // A wrong field is named.
    let wrong = post("tga=x").bearer_auth("let me in").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(wrong.headers()["content-type"], "application/problem+json");
    let problem: Value = json(wrong).await;
    assert_eq!(problem["detail"], "tga: a purge has no such field");

    let explain = async || -> Value {
        let asked = client.get(format!("{operator}/explain?url=/media/clip/main.m3u8"));
        let answer = asked.bearer_auth("let me in").send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        json(answer).await
    };
    let told = explain().await;
    assert_eq!(told["edge"]["key"], "/media/clip/main.m3u8");
    assert_eq!(told["shield"]["key"], "media/clip/main.m3u8");
    for tier in ["edge", "shield"] {
        assert_eq!(told[tier]["variants"][0]["status"], 200, "{told}");
    }

    let metrics = client.get(stack.field("metrics")).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("headwater_server_connections_open{protocol=\"h1\"} 1\n"),
        "{metrics}"
    );
    // Its packager is a part of it: it asks nobody, and the live page has nobody to tell of.
    assert!(!metrics.contains("headwater_upstream_up"), "{metrics}");

    for purge in ["url=/media/clip/main.m3u8", "prefix=/media/clip/", "host=localhost", "all"] {
        until_hit(&client, &playlist).await;
        let purged = post(purge).bearer_auth("let me in").send().await.unwrap();
        let purged: Value = json(purged).await;
        assert_eq!(purged["caches"], serde_json::json!(["shield", "edge"]));
        let because = format!("purge {} took it", purged["sequence"]);
        let told = explain().await;
        for tier in ["edge", "shield"] {
            let tier = &told[tier];
            assert_eq!(
                (&tier["decision"], &tier["because"]),
                (&"miss".into(), &because.clone().into())
            );
            assert_eq!(tier["purge_sequence"], purged["sequence"]);
        }
        let status = cache_status(&client, &playlist).await;
        assert!(
            status.contains("shield; fwd=uri-miss") && status.contains("edge; fwd=uri-miss"),
            "{status}"
        );
    }
    // What is elsewhere stays.
    until_hit(&client, &playlist).await;
    let body = serde_json::json!({"url": page("/media/other/main.m3u8"), "soft": true});
    let elsewhere = client.post(format!("{operator}/purge")).body(body.to_string());
    assert_eq!(elsewhere.bearer_auth("let me in").send().await.unwrap().status(), StatusCode::OK);
    assert!(cache_status(&client, &playlist).await.contains("edge; hit"));
}

#[tokio::test]
async fn without_a_token_pages_in_browsers_may_not_purge() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 2);
    let stack = Stack::start(&dir.path().join("state"), &["--input", input.to_str().unwrap()]);
    let purge = stack.field("metrics").replace("/metrics", "/purge?all");
    let client = Client::new();
    let page = client.post(&purge).header("origin", "https://elsewhere.example");
    assert_eq!(page.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(client.post(&purge).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(client.get(&purge).send().await.unwrap().headers()["allow"], "POST");
}
