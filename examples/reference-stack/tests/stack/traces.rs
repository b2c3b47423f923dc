//! `--trace`: one request of a viewer is one trace over edge, shield and packager, in one process or three.

use reqwest::Client;

use crate::collector::Collector;
use crate::support::{Stack, video};

#[tokio::test]
async fn what_a_viewer_asks_is_one_trace_over_all_roles() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 2);
    let input = input.to_str().unwrap();
    for processes in ["one", "three"] {
        let (collector, url) = Collector::start();
        let start = |name: &str, args: &[&str]| {
            let args = [&["--trace", &url], args].concat();
            Stack::start(&dir.path().join(processes).join(name), &args)
        };
        let stacks = if processes == "one" {
            vec![start("all", &["--input", input])]
        } else {
            let packager = start("packager", &["--role", "packager", "--input", input]);
            let shield =
                start("shield", &["--role", "shield", "--upstream", packager.field("http")]);
            let edge = start("edge", &["--role", "edge", "--upstream", shield.field("http")]);
            vec![edge, shield, packager]
        };
        let manifest = format!("{}/media/clip/main.m3u8", stacks[0].field("http"));
        let strangers = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let asked = Client::new().get(manifest).header("traceparent", strangers).send().await;
        assert_eq!(asked.unwrap().status(), 200);
        // Who goes tells what it has not told yet.
        for stack in stacks {
            assert_eq!(stack.end("-TERM"), Some(0));
        }
        let span = |role: &str| {
            let spans = collector.spans(role);
            let of = |span: &&serde_json::Value| span.to_string().contains("main.m3u8");
            spans
                .iter()
                .find(of)
                .cloned()
                .unwrap_or_else(|| panic!("{processes}: no {role}: {spans:?}"))
        };
        let told = collector.told().clone();
        let at = |(head, _): &(String, _)| head.starts_with("post /base/v1/traces http/1.1\r\n");
        assert!(told.iter().all(at), "{told:?}");
        let [edge, shield, packager] = ["edge", "shield", "packager"].map(span);
        assert!(edge.get("parentSpanId").is_none(), "strangers are not believed: {edge}");
        for (child, parent) in [(&shield, &edge), (&packager, &shield)] {
            assert_eq!(child["traceId"], parent["traceId"], "{processes}");
            assert_eq!(child["parentSpanId"], parent["spanId"], "{processes}");
        }
    }
}
