//! `headwater log` and `headwater top`, on a running edge.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::process::{Edge, Files, Origin, get};

fn files(origin: &Origin) -> Files {
    let files = Files::new("");
    let socket = files.path("operator.sock");
    files.write(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [[site.route]]\npath = '/missing'\nname = 'gone'\n[operator]\nlisten_unix = '{}'\n\
         token_file = 'token'\n",
        origin.url,
        socket.display()
    ));
    fs::write(files.path("token"), "secret\n").unwrap();
    files
}

fn headwater(files: &Files, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.current_dir(files.folder()).args(arguments);
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn lines_are_seen_as_they_come_where_none_are_written() {
    let origin = Origin::start("one");
    let files = files(&origin);
    let edge = Edge::start(&files);
    let filter = "status = 404 and route = gone and (path ~ missing or host = \"x y\")";
    let mut child =
        headwater(&files, &["log", "--config", "edge.toml", "--filter", filter, "--count", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Until it watches, nothing is noted: ask until it has seen something.
    let addr = edge.addr("http");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let seen: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                get(addr, "a", "/present");
                get(addr, "a", "/missing?token=secret");
            }
        });
        let seen = lines.by_ref().take(2).map(Result::unwrap).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(seen.len(), 2);
    for line in &seen {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["path"], &line["status"]), (&"/missing".into(), &404.into()));
        assert!(line["route"] == "gone" && line.get("query").is_none(), "{line}");
    }
}

#[test]
fn top_counts_what_comes_and_tells_scripts() {
    let origin = Origin::start("one");
    let files = files(&origin);
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let arguments = ["top", "--config", "edge.toml", "--by", "route", "--once", "--json"];
    let top = headwater(&files, &arguments).args(["--every", "2"]).stdout(Stdio::piped()).spawn();
    let mut top = top.unwrap();
    while top.try_wait().unwrap().is_none() {
        get(addr, "a", "/x");
        get(addr, "a", "/missing");
    }
    let output = top.wait_with_output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let groups = told["groups"].as_array().unwrap();
    let routes: Vec<_> = groups.iter().map(|group| group["value"].as_str().unwrap()).collect();
    assert!(routes.contains(&"-") && routes.contains(&"gone"), "{told}");
    let sum: u64 = groups.iter().map(|group| group["requests"].as_u64().unwrap()).sum();
    assert_eq!(told["requests"].as_u64().unwrap(), sum);
    assert_eq!(told["lost"], 0);
}

#[test]
fn what_cannot_be_watched_is_said_in_a_sentence() {
    let origin = Origin::start("one");
    let files = files(&origin);
    let at = |arguments: &[&str]| said(&headwater(&files, arguments).output().unwrap());
    let (code, text) = at(&["log", "--config", "edge.toml"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("error: no edge answers at ") && text.lines().count() == 1, "{text}");
    let (code, text) = at(&["log"]);
    assert!(code == Some(2) && text.contains("<--config <FILE>|--at <PLACE>>"), "{text}");
    let (_, text) = at(&["log", "--at", "none.sock"]);
    assert!(text.starts_with("error: no edge answers at none.sock: No such file"), "{text}");
    let edge = Edge::start(&files);
    let (code, text) = at(&["log", "--config", "edge.toml", "--filter", "stauts = 1"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("error: at byte 0 of the filter: 'stauts' is no field"), "{text}");
    let socket = files.path("operator.sock").display().to_string();
    let (code, text) = at(&["top", "--at", &socket, "--once"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("refuses: this wants the operator's token"), "{text}");
    drop(edge);
}
