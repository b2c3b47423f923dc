//! Sources on HTTP servers that break off, change their files, lie and dawdle.

#![cfg(feature = "http")]
#![cfg(feature = "http-source")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "kit/play.rs"]
mod play;
mod shell;

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use headwater_packager::source::{
    AnySource, BlockCache, HttpOptions, HttpSettingError, HttpSource, HttpStore, SourceError,
};
use headwater_packager::units::ByteRange;
use headwater_packager::{Assets, Source};
use http::{HeaderValue, header};
use play::{Act, Play};
use shell::{TINY, get, memory, packager, segment_urls};

fn options() -> HttpOptions {
    let mut options = HttpOptions::default();
    options.backoff = Duration::from_millis(1);
    options.max_backoff = Duration::from_millis(5);
    options.first_byte_timeout = Duration::from_millis(300);
    options.idle_timeout = Duration::from_millis(300);
    options
}

async fn open(play: &Play, options: HttpOptions) -> Result<HttpSource, SourceError> {
    HttpStore::new(options).unwrap().locate(&play.url()).unwrap().open("film.mp4").await
}

async fn read(source: &HttpSource, start: u64, len: u64) -> Result<Bytes, SourceError> {
    source.read(&[ByteRange { start, len }]).await.map(|mut read| read.remove(0))
}

#[tokio::test]
async fn a_file_is_read_by_exact_ranges_of_one_state() {
    let play = Play::start(TINY.to_vec()).await;
    let mut options = options();
    options.credential(header::HeaderName::from_static("x-api-key"), "s3cret".parse().unwrap());
    options.max_request_bytes = 1_000;
    let source = open(&play, options).await.unwrap();
    assert_eq!((source.id().size, source.id().etag.as_str()), (TINY.len() as u64, "one"));
    play.clear();
    assert_eq!(read(&source, 5, 10).await.unwrap(), TINY[5..15]);
    let seen = play.seen();
    assert_eq!(seen[0].header("range"), Some("bytes=5-14"));
    assert_eq!(seen[0].header("if-match"), Some("\"one\""));
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
    assert_eq!(seen[0].header("x-api-key"), Some("s3cret"));
    assert!(seen[0].header("authorization").unwrap().starts_with("basic "));
    play.clear();
    assert_eq!(read(&source, 100, 3_500).await.unwrap(), TINY[100..3_600]);
    assert_eq!(play.seen().len(), 4, "no request asks for more than is allowed");
    assert_eq!(read(&source, TINY.len() as u64, 1).await, Err(SourceError::Truncated));
}

#[tokio::test]
async fn what_breaks_is_tried_again_from_where_it_broke() {
    let play = Play::start(TINY.to_vec()).await;
    let source = open(&play, options()).await.unwrap();
    play.clear();
    play.then([Act::Hang, Act::BreakAfter(100), Act::StallAfter(50)]);
    assert_eq!(read(&source, 0, 4_000).await.unwrap(), TINY[..4_000]);
    let ranges: Vec<_> =
        play.seen().iter().map(|seen| seen.header("range").unwrap().to_owned()).collect();
    let expected = ["bytes=0-3999", "bytes=0-3999", "bytes=100-3999", "bytes=150-3999"];
    // A client may ask once more by itself where a kept connection was closed under it.
    let mut distinct = ranges.clone();
    distinct.dedup();
    assert_eq!(distinct, expected[1..], "{ranges:?}");
    play.clear();
    play.then([Act::Status(503, ""), Act::Status(429, "retry-after: 3\r\n"), Act::Silence]);
    assert_eq!(read(&source, 0, 10).await.unwrap(), TINY[..10]);
    assert_eq!(play.seen().len(), 4);
}

#[tokio::test]
async fn attempts_and_time_are_bounded() {
    let play = Play::start(TINY.to_vec()).await;
    let source = open(&play, options()).await.unwrap();
    play.clear();
    play.then(vec![Act::Status(502, ""); 100]);
    assert_eq!(read(&source, 0, 10).await, Err(SourceError::Io(ErrorKind::Other)));
    assert_eq!(play.seen().len(), 4, "one attempt and three more");
    let mut hasty = options();
    hasty.total_timeout = Duration::from_millis(100);
    let play = Play::start(TINY.to_vec()).await;
    let source = open(&play, hasty).await.unwrap();
    play.then(vec![Act::Silence; 100]);
    assert_eq!(read(&source, 0, 10).await, Err(SourceError::Io(ErrorKind::TimedOut)));
    let gone = HttpStore::new(options()).unwrap().locate("http://127.0.0.1:1/x").unwrap();
    assert_eq!(gone.open("x").await.err(), Some(SourceError::Io(ErrorKind::NotConnected)));
}

#[tokio::test]
async fn another_state_is_never_mixed_in() {
    for acts in [
        vec![Act::Replace("\"two\"")],
        vec![Act::BreakAfter(100), Act::Replace("\"two\"")],
        vec![Act::Status(416, "")],
    ] {
        let play = Play::start(TINY.to_vec()).await;
        let source = open(&play, options()).await.unwrap();
        play.then(acts.clone());
        assert_eq!(read(&source, 0, 4_000).await, Err(SourceError::Changed), "{acts:?}");
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_what_was_asked_are_refused() {
    for act in [Act::Whole, Act::OtherRange, Act::Weak, Act::Compressed] {
        let play = Play::start(TINY.to_vec()).await;
        play.then([act.clone()]);
        let refused = open(&play, options()).await.err();
        assert!(matches!(refused, Some(SourceError::Unfit(_))), "{act:?}: {refused:?}");
        // Also later: what was well once need not stay so.
        let source = open(&play, options()).await.unwrap();
        play.clear();
        play.then([act.clone()]);
        let refused = read(&source, 10, 10).await;
        assert!(matches!(refused, Err(SourceError::Unfit(_))), "{act:?}: {refused:?}");
        assert_eq!(play.seen().len(), 1, "{act:?} is not tried again");
    }
    for (status, error) in [
        (404, SourceError::NotFound),
        (410, SourceError::NotFound),
        (401, SourceError::Io(ErrorKind::PermissionDenied)),
        (400, SourceError::Io(ErrorKind::Other)),
    ] {
        let play = Play::start(TINY.to_vec()).await;
        play.then([Act::Status(status, "")]);
        assert_eq!(open(&play, options()).await.err(), Some(error));
        assert_eq!(play.seen().len(), 1);
    }
}

#[tokio::test]
async fn redirects_lead_only_where_they_may() {
    let (near, far) = (Play::start(TINY.to_vec()).await, Play::start(TINY.to_vec()).await);
    let redirect = || Act::Redirect(format!("http://{}/elsewhere.mp4", far.addr));
    near.then([redirect()]);
    let refused = open(&near, options()).await.err();
    assert!(matches!(refused, Some(SourceError::Unfit(_))), "{refused:?}");
    assert!(far.seen().is_empty());
    let mut allowed = options();
    allowed.redirect_origins = vec![format!("http://{}", far.addr)];
    near.then([redirect()]);
    assert!(open(&near, allowed).await.is_ok());
    assert_eq!(far.seen().len(), 1);
    // Home is always allowed, but not for ever.
    near.then(vec![Act::Redirect("/other.mp4".to_owned()); 2]);
    assert!(open(&near, options()).await.is_ok());
    near.clear();
    near.then(vec![Act::Redirect("/other.mp4".to_owned()); 50]);
    assert!(open(&near, options()).await.is_err());
    assert!(near.seen().len() < 10, "{}", near.seen().len());
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let play = Play::start(TINY.to_vec()).await;
    let mut options = options();
    options.headers.insert("x-api-key", HeaderValue::from_static("s3cret"));
    let store = HttpStore::new(options.clone()).unwrap();
    let location = store.locate(&play.url()).unwrap();
    let source = location.open("film.mp4").await.unwrap();
    let any = AnySource::new(source.clone());
    let shown = format!("{options:?} {store:?} {location:?} {source:?} {any:?}");
    for secret in ["s3cret", "pass", "token", "films"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("x-api-key"), "{shown}");
    for bad in ["film.mp4", "ftp://h/x", "http://", "file:///etc/passwd", "http://user:pass@"] {
        let error = store.locate(bad).unwrap_err();
        assert_eq!(error, HttpSettingError::Url, "{bad}");
        assert!(!error.to_string().contains("pass"));
    }
}

#[tokio::test]
async fn a_packager_serves_the_same_from_afar() {
    let play = Play::start(TINY.to_vec()).await;
    let source = open(&play, options()).await.unwrap();
    let cache = BlockCache::new(64 << 20);
    let far = AnySource::new(cache.wrap(source));
    let assets = Assets::from_sources([("film".to_owned(), vec![far])]).unwrap();
    let ((far, _), (near, _)) = (packager(assets), packager(memory("film", TINY)));
    play.clear();
    play.then([Act::Hang, Act::BreakAfter(7)]);
    for track in ["v1", "a1"] {
        let urls = segment_urls(&far, "film", track).await;
        for (far_url, near_url) in urls.iter().zip(segment_urls(&near, "film", track).await) {
            assert_eq!(get(&far, far_url).await.body, get(&near, &near_url).await.body);
        }
    }
    // The file is smaller than a block.
    assert!(play.seen().len() <= 4, "{:?}", play.seen());
}
