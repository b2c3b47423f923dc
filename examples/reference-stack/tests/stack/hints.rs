//! What an edge serves from its own cache its shield hears of, in one process and over sockets.

use std::time::{Duration, Instant};

use crate::support::{Stack, Three, video};
use reqwest::Client;

async fn text(client: &Client, url: &str) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

/// A counter among the metrics of a process; zero where it is not there.
async fn counted(client: &Client, stack: &Stack, name: &str) -> u64 {
    let metrics = text(client, stack.field("metrics")).await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_shield_hears_of_sessions_that_its_edge_serves_alone() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 6);
    let input = input.to_str().unwrap();
    let one = Stack::start(&dir.path().join("one"), &["--input", input]);
    let Three { edge, shield, packager } = Three::start(dir.path(), input);
    let client = Client::builder().build().unwrap();
    for (edge, shield) in [(&one, &one), (&edge, &shield)] {
        let base = edge.field("http");
        text(&client, &format!("{base}/media/clip/main.m3u8")).await;
        let playlist = text(&client, &format!("{base}/media/clip/v1.m3u8")).await;
        let segment = playlist.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
        let url = format!("{base}/media/clip/{}", segment.unwrap());
        let begun = Instant::now();
        // Each of these but the first is a hit at the edge.
        while counted(&client, shield, "headwater_origin_hints_taken_total").await == 0 {
            let told = "?CMCD=sid%3D%22secret%22%2Cmtp%3D2500";
            client.get(format!("{url}{told}")).send().await.unwrap().bytes().await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "the shield hears of nothing");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What a player names is in the shield before it asks for it: by the host that the edge says.
        let begun = Instant::now();
        for number in 1.. {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was fetched ahead");
            let next = format!("{}?n={number}", url.rsplit('/').next().unwrap());
            let named = next.replace('?', "%253F").replace('=', "%253D");
            let told = format!("{url}?CMCD=nor%3D%22{named}%22");
            client.get(told).send().await.unwrap().bytes().await.unwrap();
            tokio::time::sleep(Duration::from_millis(400)).await;
            let answer = client.get(format!("{url}?n={number}")).send().await.unwrap();
            let status = answer.headers().get_all("cache-status").iter();
            let status: Vec<_> = status.map(|value| value.to_str().unwrap()).collect();
            if status.join(", ").contains("shield; hit") {
                break;
            }
        }
        assert!(counted(&client, edge, "headwater_edge_hints_sent_total").await > 0);
        assert!(counted(&client, edge, "headwater_edge_hints_noted_total").await > 0);
        assert_eq!(counted(&client, shield, "headwater_origin_hints_refused_total").await, 0);
    }
    for stack in [edge, shield, packager, one] {
        assert_eq!(stack.end("-TERM"), Some(0));
    }
}
