//! What the access log tells and does not tell, by its options, and its file under rotation.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may fail loudly")]

mod support;

use std::io::Write as _;

use headwater_edge::AccessLog;
use headwater_edge::access_log::{AccessLogBuilder, Format, LogFile, Masked};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::Request;
use support::{Lines, Origin, get};
use tower::{Layer, ServiceExt};

/// What a log of these options says of some requests.
async fn logged(log: AccessLogBuilder, requests: Vec<Request<Body>>) -> Lines {
    let lines = Lines::default();
    let (log, writer) = log.start(lines.clone(), 1_000).unwrap();
    let clock = Clock::manual(Timestamp::from_secs(1_795_446_184));
    let service = log.layer(clock).layer(Origin::default());
    for request in requests {
        service.clone().oneshot(request).await.unwrap();
    }
    writer.finish();
    lines
}

fn visit(path: &str) -> Request<Body> {
    let mut request = get(path, Protocol::H2);
    let page = "https://page.example/watch?invite=SECRET".parse().unwrap();
    request.headers_mut().insert("referer", page);
    request.headers_mut().insert("authorization", "Bearer SECRET".parse().unwrap());
    request.headers_mut().insert("cookie", "session=SECRET".parse().unwrap());
    request
}

#[tokio::test]
async fn the_combined_format_is_as_other_servers_write_it() {
    let log = AccessLog::builder().format(Format::Combined).query(Masked::default());
    let lines = logged(log, vec![visit("/small?a=1&token=SECRET")]).await;
    assert_eq!(
        lines.text(),
        "192.0.2.7 - - [23/Nov/2026:15:03:04 +0000] \"GET /small?a=1&token=*** HTTP/2.0\" 200 5 \
         \"https://page.example/watch\" \"test \\\"player\\\"\"\n"
    );
}

#[tokio::test]
async fn no_option_makes_a_log_tell_a_secret() {
    for log in [
        AccessLog::builder(),
        AccessLog::builder().query(Masked::default()),
        AccessLog::builder().format(Format::Combined),
        AccessLog::builder().format(Format::Combined).query(Masked::default()),
    ] {
        let mut with_user = visit("/small?CAT=SECRET&%73ig=SECRET");
        *with_user.uri_mut() = "http://user:SECRET@h/small?x-amz-signature=SECRET".parse().unwrap();
        let lines = logged(log, vec![visit("/small?CAT=SECRET&%73ig=SECRET"), with_user]).await;
        assert_eq!(lines.text().lines().count(), 2);
        assert!(!lines.text().contains("SECRET"), "{}", lines.text());
    }
}

#[tokio::test]
async fn an_anonymous_log_names_networks() {
    for (log, said) in [
        (AccessLog::builder(), r#""peer":"192.0.2.7:4711""#),
        (AccessLog::builder().anonymise(true), r#""peer":"192.0.2.0""#),
        (AccessLog::builder().anonymise(true).format(Format::Combined), "192.0.2.0 - - ["),
    ] {
        let text = logged(log, vec![get("/small", Protocol::H3)]).await.text();
        assert!(text.contains(said), "{text}");
        assert_eq!(text.contains("4711"), said.contains("4711"));
    }
}

#[tokio::test]
async fn of_many_answers_some_are_logged_and_all_errors() {
    let requests = || {
        let missing = (0..100).map(|n| get(&format!("/missing/{n}"), Protocol::H1));
        let mut all: Vec<_> = missing.collect();
        all.extend((0..100).map(|_| get("/small", Protocol::H1)));
        all
    };
    let counted = |lines: &Lines| {
        let json = lines.json();
        let small = json.iter().filter(|line| line["path"] == "/small").count();
        (json.len() - small, small)
    };
    let few = logged(AccessLog::builder().sample(u32::MAX), requests()).await;
    assert_eq!(counted(&few), (100, 0), "errors alone");
    let none = logged(AccessLog::builder().sample(u32::MAX).all_errors(false), requests()).await;
    assert_eq!(counted(&none), (0, 0));
    let half = || logged(AccessLog::builder().sample(2).all_errors(false), requests());
    let (errors, small) = counted(&half().await);
    assert!((20..80).contains(&errors), "{errors}");
    assert!(small == 0 || small == 100, "the same is always chosen alike");
    assert_eq!(counted(&half().await), (errors, small));
}

#[tokio::test]
async fn one_log_tells_by_each_layers_own_description() {
    let lines = Lines::default();
    let (json, writer) = AccessLog::start(lines.clone(), 1_000).unwrap();
    let combined = json.again(AccessLog::builder().format(Format::Combined).anonymise(true), 1);
    let silent = json.again(AccessLog::builder().unwritten(), 1_000);
    for log in [&json, &combined, &silent] {
        let service = log.layer(Clock::system()).layer(Origin::default());
        service.oneshot(get("/small", Protocol::H1)).await.unwrap();
    }
    writer.finish();
    let text = lines.text();
    let kinds = [r#","peer":"192.0.2.7:4711","#, "192.0.2.0 - - ["];
    let told = kinds.map(|kind| text.lines().filter(|line| line.contains(kind)).count());
    assert_eq!((told, text.lines().count()), ([1, 1], 2), "{text}");
    assert_eq!(json.written(), 2, "they count together");
}

#[test]
fn a_file_that_was_moved_away_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let file = LogFile::open(&path).unwrap();
    let mut sink = file.clone();
    sink.write_all(b"one\n").unwrap();
    std::fs::rename(&path, &moved).unwrap();
    sink.write_all(b"two\n").unwrap();
    let reopened = file.reopen().unwrap();
    sink.write_all(b"three\n").unwrap();
    file.put(reopened);
    sink.write_all(b"four\n").unwrap();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
}

#[test]
fn a_file_that_was_made_and_never_written_to_goes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    drop(LogFile::reopen_at(&path).unwrap());
    assert!(!path.exists());
    let reopened = LogFile::reopen_at(&path).unwrap();
    std::fs::write(&path, "another's\n").unwrap();
    drop(reopened);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "another's\n");
    std::fs::write(&path, "").unwrap();
    drop(LogFile::reopen_at(&path).unwrap());
    assert!(path.exists(), "it was there before");
    let file = LogFile::nowhere();
    std::fs::remove_file(&path).unwrap();
    file.put(LogFile::reopen_at(&path).unwrap());
    drop(file);
    assert!(path.exists(), "it was put in its place");
}
