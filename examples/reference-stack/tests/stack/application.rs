//! An application beside the videos: what is below its path is passed to it, whatever it is, and nothing else
//! of the stack is sent anything.

use std::process::Command;

use crate::app::{self, ECHO, SINK, Sum, TELLS};
use crate::support::{Stack, binary};

/// An edge alone needs no video.
const EDGE: [&str; 4] = ["--role", "edge", "--upstream", "http://127.0.0.1:1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_gets_what_is_below_its_path_and_media_get_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = app::start().await;
    let with = Stack::start(&dir.path().join("with"), &[&EDGE[..], &["--app", &app]].concat());
    let without = Stack::start(&dir.path().join("without"), &EDGE);
    // A connection each: one that was refused a body is at its end.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let body = vec![7; 300_000];
    let send = async |stack: &Stack, path: &str, body: Vec<u8>| {
        let url = format!("{}{path}", stack.field("http"));
        let answer = client.post(url).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    };
    let sum = Sum::of(&body);
    assert_eq!(send(&with, SINK, body.clone()).await, (200, sum.text().into_bytes()));
    assert_eq!(send(&with, ECHO, body.clone()).await, (200, body.clone()));
    let nothing = client.get(format!("{}/app/nothing", with.field("http"))).send().await.unwrap();
    assert_eq!(nothing.text().await.unwrap(), "there is no /app/nothing", "the application's word");
    for path in ["/media/clip/main.m3u8", "/", "/application"] {
        // Little: who refuses a body need not read it, and a large one would break on the end of the connection.
        assert_eq!(send(&with, path, vec![7]).await.0, 405, "{path}");
    }
    assert_eq!(send(&without, SINK, vec![7]).await.0, 405);

    let told = client.get(format!("{}{TELLS}", with.field("http"))).send().await.unwrap();
    let events: String = (0..app::EVENTS).map(app::event).collect();
    assert_eq!(told.text().await.unwrap(), events);
    let none = client.get(format!("{}{TELLS}", without.field("http"))).send().await.unwrap();
    assert_eq!(none.status(), 404);
}

#[test]
fn an_application_is_beside_an_edge_alone() {
    let mut command = Command::new(binary());
    command.args(["--role", "packager", "--app", "http://127.0.0.1:1", "--port", "0"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "error: --app is for --role all and --role edge";
    assert_eq!((output.status.code(), said.trim_end()), (Some(1), expected));
}
