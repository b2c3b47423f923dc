//! A hand-over that fails: what the old process does after it. One that succeeds is another test's.

use std::path::Path;
use std::time::Duration;

use headwater_net::server::Inherited;
use reqwest::{Client, StatusCode};

use crate::support::{Stack, video};

const WITHIN: Duration = Duration::from_secs(60);

/// What a purge is answered after a hand-over that failed, by a stack with these arguments.
async fn purged_after_a_failure(dir: &Path, args: &[&str]) -> StatusCode {
    let door = dir.join("hand-over.sock");
    let input = video(dir, "clip.mp4", 2);
    let own = ["--input", input.to_str().unwrap(), "--hand-over-socket", door.to_str().unwrap()];
    let state = dir.join("state");
    let stack = Stack::start(&state, &[&own, args].concat());
    let purge = stack.field("metrics").replace("/metrics", "/purge?all");
    let client = Client::new();
    assert_eq!(client.post(&purge).send().await.unwrap().status(), StatusCode::OK);

    // It comes, and ends before it is ready.
    drop(Inherited::take_over(&door, WITHIN).await.unwrap());
    let told = async {
        while !std::fs::read_to_string(state.join("stderr")).unwrap().contains("serves on") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, told).await.unwrap();
    let page = client.get(format!("{}/watch", stack.field("http"))).send().await.unwrap();
    assert!(page.status() != StatusCode::SERVICE_UNAVAILABLE, "it serves on");
    client.post(&purge).send().await.unwrap().status()
}

#[tokio::test]
async fn the_disk_tier_comes_back_and_purges_are_taken_again() {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tier = with.path().join("tier");
    let args = ["--cache-dir", tier.to_str().unwrap(), "--cache-disk-mib", "64"];
    let status = purged_after_a_failure(with.path(), &args).await;
    assert_eq!(status, StatusCode::OK);
    // They lie where the next process finds them.
    let log = std::fs::metadata(tier.join("edge/purges.log")).unwrap();
    assert!(log.len() > 0);
    assert_eq!(purged_after_a_failure(without.path(), &[]).await, StatusCode::OK);
}
