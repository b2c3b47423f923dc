//! A source that is replaced while it plays.

use std::time::{Duration, Instant};

use crate::support::{Stack, video};

/// The URL of the last video segment, as the playlist has it now.
async fn last_segment(client: &reqwest::Client, base: &str) -> String {
    let playlist = format!("{base}/media/clip/v1.m3u8");
    let text = client.get(playlist).send().await.unwrap().text().await.unwrap();
    let last = text.lines().rfind(|line| !line.is_empty() && !line.starts_with('#')).unwrap();
    format!("{base}/media/clip/{last}")
}

#[tokio::test]
async fn old_urls_are_gone_and_new_ones_play_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    std::fs::create_dir(&videos).unwrap();
    video(&videos, "clip.mp4", 14);
    let replacement = video(dir.path(), "other.mp4", 10);
    let stack = Stack::start(&dir.path().join("state"), &["--input", videos.to_str().unwrap()]);
    let base = stack.field("http");
    let client = reqwest::Client::new();

    let old = last_segment(&client, base).await;
    std::fs::rename(replacement, videos.join("clip.mp4")).unwrap();
    let replaced = Instant::now();
    let new = loop {
        let now = last_segment(&client, base).await;
        if now != old {
            break now;
        }
        assert!(replaced.elapsed() < Duration::from_secs(60), "the playlist stays the old one");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Nobody had asked for it, so no cache holds it, and the packager has the bytes no more.
    let gone = client.get(&old).send().await.unwrap();
    assert_eq!(gone.status(), 410);
    assert_eq!(gone.headers()["content-type"], "application/problem+json");
    assert_eq!(gone.headers()["cache-control"], "no-store");
    let text = gone.text().await.unwrap();
    assert!(!text.contains(dir.path().to_str().unwrap()), "{text}");
    let there = client.get(&new).send().await.unwrap();
    assert_eq!(there.status(), 200);
    assert!(there.bytes().await.unwrap().len() > 1000);
    assert_eq!(stack.end("-TERM"), Some(0));
}
