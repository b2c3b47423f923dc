//! Files that change, break or are no video, and folders of them, through the service.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use headwater_packager::assets::AssetsError;
use headwater_packager::source::{AnySource, SourceError};
use headwater_packager::{
    Assets, ByteRange, MemorySource, Packager, ServiceLimits, Source, SourceId,
};
use http::Method;
use shell::{Reply, TINY, encode, get, options, packager, request, segment_urls};
use tokio::sync::Barrier;

const MOMENT: Duration = Duration::from_millis(1_100);

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn assert_problem(reply: &Reply, status: u16, words: &str, dir: &Path) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(words), "{detail:?} does not say {words:?}");
    let dir = dir.to_str().unwrap();
    assert!(!reply.text().contains(dir) && !reply.text().contains(".mp4"), "{}", reply.text());
}

#[tokio::test]
async fn a_replaced_source_never_mixes_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    write(&path, TINY);
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let old = segment_urls(&packager, "film", "v1").await;
    let old_playlist = get(&packager, "/film/v1.m3u8").await;
    let old_bytes = get(&packager, &old[1]).await.body;

    // Another file is renamed over it: the same pictures with a byte more behind them.
    let next = dir.path().join(".next");
    write(&next, &[TINY, b"\0\0\0\x08free"].concat());
    fs::rename(&next, &path).unwrap();
    // Until the file is looked at again, what is sent is the old file, whole.
    assert_eq!(get(&packager, &old[1]).await.body, old_bytes);
    clock.advance(MOMENT);
    for url in &old {
        let gone = get(&packager, url).await;
        assert_problem(&gone, 410, "replaced", dir.path());
    }
    let new = segment_urls(&packager, "film", "v1").await;
    assert_ne!(new[1], old[1]);
    assert_eq!(get(&packager, &new[1]).await.status, 200);
    let tag = [("if-none-match", old_playlist.header("etag"))];
    assert_eq!(request(&packager, Method::GET, "/film/v1.m3u8", &tag).await.status, 200);
    assert_eq!(packager.metrics().index_builds.get(), 2);

    // It vanishes.
    fs::remove_file(&path).unwrap();
    clock.advance(MOMENT);
    assert_problem(&get(&packager, &new[1]).await, 404, "no such asset", dir.path());
    assert_problem(&get(&packager, "/film/main.m3u8").await, 404, "no such asset", dir.path());
    assert_eq!(get(&packager, "/").await.json()["assets"].as_array().unwrap().len(), 0);
}

/// As `write`, last modified so many seconds after 1970.
fn write_dated(path: &Path, bytes: &[u8], seconds: u64) {
    write(path, bytes);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn copies_that_keep_their_times_answer_each_others_urls() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&here, &there] {
        write_dated(&dir.path().join("film.mp4"), TINY, 5);
        write_dated(&dir.path().join("show/low.mp4"), TINY, 6);
    }
    let (one, _) = packager(Assets::from_dir(here.path()).unwrap());
    let (other, clock) = packager(Assets::from_dir(there.path()).unwrap());
    for asset in ["film", "show"] {
        for url in segment_urls(&one, asset, "v1").await {
            let (ours, theirs) = (get(&one, &url).await, get(&other, &url).await);
            assert_eq!((ours.status, ours.headers), (theirs.status, theirs.headers), "{url}");
            assert_eq!(ours.body, theirs.body, "{url}");
        }
    }
    // Another time or another size is another version.
    let old = segment_urls(&one, "film", "v1").await;
    for (bytes, seconds) in [(TINY.to_vec(), 7), ([TINY, b"\0\0\0\x08free"].concat(), 5)] {
        write_dated(&there.path().join("film.mp4"), &bytes, seconds);
        clock.advance(MOMENT);
        assert_eq!(get(&other, &old[1]).await.status, 410);
    }
}

#[tokio::test]
async fn a_replacement_that_looks_the_same_is_read_from_its_own_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    // The same samples, but 8 bytes further on in a file of the same size.
    let padded = |at: usize| {
        let free = b"\0\0\0\x08free";
        [&TINY[..at], free, &TINY[at..]].concat()
    };
    let moov = TINY.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let mdat = TINY.windows(4).position(|four| four == b"mdat").unwrap() - 4;
    assert!(mdat < moov, "the tables are at the end");
    write_dated(&path, &padded(moov), 5);
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let urls = segment_urls(&packager, "film", "v1").await;
    let before = get(&packager, &urls[1]).await.body;
    let next = dir.path().join(".next");
    write_dated(&next, &padded(TINY.len()), 5);
    fs::rename(&next, &path).unwrap();
    // Not a second later: the read itself notices, and the answer comes from the new file alone.
    assert_eq!(get(&packager, &urls[1]).await.body, before);
    assert_eq!(packager.metrics().index_builds.get(), 2);
    // So it does after nothing but a change of mode, whose bytes are still those of the version.
    let mut mode = fs::metadata(&path).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&path, mode).unwrap();
    assert_eq!(get(&packager, &urls[1]).await.body, before);
    assert_eq!(segment_urls(&packager, "film", "v1").await, urls);
}

#[tokio::test]
async fn a_source_cut_in_place_is_gone_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    write(&path, TINY);
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let urls = segment_urls(&packager, "film", "v1").await;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    // Not yet looked at again: the read itself notices, before an answer begins.
    assert_problem(&get(&packager, &urls[2]).await, 410, "replaced", dir.path());
    // And that was reason enough to look: the asset is now what the file is.
    assert_problem(&get(&packager, "/film/main.m3u8").await, 422, "", dir.path());
    // Written anew in place, it serves again.
    write(&path, TINY);
    clock.advance(MOMENT);
    assert_eq!(get(&packager, "/film/main.m3u8").await.status, 200);
}

#[tokio::test]
async fn what_is_no_usable_mp4_is_refused_in_words_without_paths() {
    let dir = tempfile::tempdir().unwrap();
    let moov = TINY.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let mut no_tracks = TINY.to_vec();
    for place in 0..no_tracks.len() - 4 {
        if &no_tracks[place..place + 4] == b"trak" {
            no_tracks[place..place + 4].copy_from_slice(b"free");
        }
    }
    let mut lying = TINY.to_vec();
    let stsz = TINY.windows(4).position(|four| four == b"stsz").unwrap();
    lying[stsz + 12..stsz + 16].copy_from_slice(&u32::MAX.to_be_bytes());
    let cases: [(&str, &[u8], &str); 7] = [
        ("empty", b"", "not an MP4"),
        ("text", b"Dear diary, this is no film at all.\n", "not an MP4"),
        ("zeros", &[0; 4_096], "not an MP4"),
        ("beheaded", &TINY[..moov], ""),
        ("halved", &TINY[..TINY.len() / 2], ""),
        ("trackless", &no_tracks, "track"),
        ("lying", &lying, "stsz"),
    ];
    for (name, bytes, _) in cases {
        write(&dir.path().join(format!("{name}.mp4")), bytes);
    }
    write(&dir.path().join("good.mp4"), TINY);
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    for (name, _, words) in cases {
        for file in ["main.m3u8", "manifest.mpd", "report.json", "v1.m3u8"] {
            let reply = get(&packager, &format!("/{name}/{file}")).await;
            assert_problem(&reply, 422, words, dir.path());
        }
        let reply = get(&packager, &format!("/{name}/0123456789abcdef/v1/1.m4s")).await;
        assert_problem(&reply, 422, words, dir.path());
    }
    assert_eq!(get(&packager, "/good/main.m3u8").await.status, 200);
    // A failure is remembered for a moment, not repeated by each request.
    assert_eq!(packager.metrics().index_build_failures.get(), cases.len() as u64);
}

#[tokio::test]
async fn every_corruption_ends_in_an_answer() {
    // A spread of single broken bytes over the file's tables; no panic, no hang, and a 200 is whole.
    let moov = TINY.windows(4).position(|four| four == b"moov").unwrap();
    let mut refused = 0;
    for place in (moov - 4..TINY.len()).step_by(41) {
        let mut broken = TINY.to_vec();
        broken[place] ^= 0xff;
        let (packager, _) = packager(shell::memory("x", broken));
        let reply = get(&packager, "/x/v1.m3u8").await;
        match reply.status.as_u16() {
            200 => {
                for url in segment_urls(&packager, "x", "v1").await {
                    let reply = get(&packager, &url).await;
                    assert_eq!(reply.status, 200, "byte {place}: {url}");
                    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
                }
            }
            422 | 404 => refused += 1,
            other => panic!("byte {place}: {other}: {}", reply.text()),
        }
    }
    assert!(refused > 5, "{refused}");
}

#[tokio::test]
async fn new_files_appear() {
    let dir = tempfile::tempdir().unwrap();
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    assert_eq!(get(&packager, "/late/main.m3u8").await.status, 404);
    write(&dir.path().join("late.mp4"), TINY);
    // At most one look a second.
    assert_eq!(get(&packager, "/late/main.m3u8").await.status, 404);
    clock.advance(MOMENT);
    assert_eq!(get(&packager, "/late/main.m3u8").await.status, 200);
    assert_eq!(get(&packager, "/").await.json()["assets"][0]["name"], "late");
}

#[tokio::test]
async fn a_broken_rendition_is_left_out_until_it_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let file = |number: u32| dir.path().join(format!("show/{number}.mp4"));
    write(&file(2), TINY);
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let one = segment_urls(&packager, "show", "v1").await;
    // Broken ones before and after it change neither its tracks nor its version.
    write(&file(1), &TINY[..TINY.len() / 2]);
    write(&file(3), b"not a film");
    clock.advance(MOMENT);
    assert_eq!(segment_urls(&packager, "show", "v1").await, one);
    assert_eq!(get(&packager, "/show/v2.m3u8").await.status, 404);
    for url in &one {
        assert_eq!(get(&packager, url).await.status, 200, "{url}");
    }
    let report = get(&packager, "/show/report.json").await.json();
    let notes = report["notes"].as_array().unwrap();
    for (note, source) in [(&notes[0], 0), (&notes[1], 2)] {
        assert_eq!((&note["kind"], &note["source"]), (&"skipped".into(), &source.into()));
        assert!(note["message"].as_str().unwrap().contains("it is left out"), "{note}");
    }
    assert_eq!(report["tracks"][0]["source"], 1);
    for file in ["1.mp4", "2.mp4", "3.mp4"] {
        assert!(!report.to_string().contains(file), "{report}");
    }

    // One is repaired: another version.
    write(&file(3), TINY);
    clock.advance(MOMENT);
    let two = segment_urls(&packager, "show", "v2").await;
    assert_eq!(get(&packager, &two[1]).await.status, 200);
    assert_eq!(get(&packager, &one[1]).await.status, 410);

    // None is left.
    for number in 1..=3 {
        write(&file(number), b"not a film");
    }
    clock.advance(MOMENT);
    let reply = get(&packager, "/show/main.m3u8").await;
    assert_problem(&reply, 422, "source 1: ", dir.path());
}

/// Its first read waits until as many others do the same.
struct Meeting {
    source: MemorySource,
    all: Arc<Barrier>,
    waited: AtomicBool,
}

impl Source for Meeting {
    fn id(&self) -> &SourceId {
        self.source.id()
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        if !self.waited.swap(true, Ordering::Relaxed) {
            self.all.wait().await;
        }
        self.source.read(ranges).await
    }
}

#[tokio::test]
async fn renditions_are_indexed_at_the_same_time() {
    let all = Arc::new(Barrier::new(4));
    let rendition = |number: u32| {
        let source = MemorySource::new(format!("{number}.mp4"), TINY);
        let (all, waited) = (Arc::clone(&all), AtomicBool::new(false));
        AnySource::new(Meeting { source, all, waited })
    };
    // More than are read at a time: those after the first four meet, too.
    let sources: Vec<_> = (0..8).map(rendition).collect();
    let (packager, _) = packager(Assets::from_sources([("show".to_owned(), sources)]).unwrap());
    let reply = get(&packager, "/show/report.json");
    let reply = tokio::time::timeout(Duration::from_secs(60), reply).await.unwrap();
    let report = reply.json();
    let order: Vec<_> =
        report["tracks"].as_array().unwrap().iter().map(|track| &track["source"]).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 0], "eight pictures and one sound");
}

#[tokio::test]
async fn files_can_be_named_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.mp4"), dir.path().join("sub/b.mp4"));
    write(&a, TINY);
    write(&b, TINY);
    let assets = Assets::from_files([&a, &b]).unwrap();
    let (packager, _) = packager(assets);
    for name in ["a", "b"] {
        assert_eq!(get(&packager, &format!("/{name}/main.m3u8")).await.status, 200);
    }
    let again = dir.path().join("sub/a.mp4");
    write(&again, TINY);
    let error = Assets::from_files([&a, &again]).unwrap_err();
    assert!(matches!(&error, AssetsError::Duplicate { name, .. } if name == "a"), "{error}");
    assert!(Assets::from_files([dir.path().join("none.mp4")]).is_err());
    assert!(Assets::from_dir(dir.path().join("none")).is_err());
}

#[tokio::test]
async fn the_same_file_gives_the_same_bytes_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("film.mp4"), TINY);
    let (first, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let (second, _) = packager(Assets::from_dir(dir.path()).unwrap());
    for track in ["v1", "a1"] {
        for url in segment_urls(&first, "film", track).await {
            let (one, two) = (get(&first, &url).await, get(&second, &url).await);
            assert_eq!((one.status, one.headers, one.body), (two.status, two.headers, two.body));
        }
    }
    // Other segments are another version.
    let longer = Packager::builder(Assets::from_dir(dir.path()).unwrap())
        .options(options(3))
        .limits(ServiceLimits::default())
        .build();
    let urls = segment_urls(&first, "film", "v1").await;
    assert_eq!(get(&longer, &urls[1]).await.status, 410);
}

#[tokio::test]
async fn all_media_answer_or_say_why_not() {
    let Some(media) = shell::media() else { return };
    let (packager, _) = packager(Assets::from_dir(&media).unwrap());
    let names = packager.names().await;
    assert!(names.len() > 20);
    for name in names {
        let reply = get(&packager, &format!("/{name}/report.json")).await;
        match reply.status.as_u16() {
            200 => {
                let report = reply.json();
                for track in report["tracks"].as_array().unwrap() {
                    let id = track["id"].as_str().unwrap();
                    for url in segment_urls(&packager, &name, id).await {
                        assert_eq!(get(&packager, &url).await.status, 200, "{url}");
                    }
                }
            }
            422 => assert_problem(&reply, 422, "", &media),
            other => panic!("{name}: {other}: {}", reply.text()),
        }
    }
    let cut = get(&packager, "/qt_truncated_596s_moov_only/main.m3u8").await;
    assert_problem(&cut, 422, "truncated", &media);
}

/// A folder of which each folder is an asset, and each file in that a rendition.
#[tokio::test]
async fn a_folder_of_ladders_is_an_asset_for_each_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, sizes) in [("first", &["160x90", "320x180"][..]), ("second", &["128x72"])] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        for size in sizes {
            encode(&dir.path().join(format!("{folder}/{size}.mp4")), size, 4, 25, "100k");
        }
    }
    std::fs::create_dir(dir.path().join("notes")).unwrap();
    std::fs::write(dir.path().join("notes/readme.txt"), "no video").unwrap();
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let list = get(&packager, "/").await.json();
    let names: Vec<_> = list["assets"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["first", "second"], "{list:#}");
    for (folder, sizes) in [("first", &["160x90", "320x180"][..]), ("second", &["128x72"])] {
        let playlist = get(&packager, &format!("/{folder}/main.m3u8")).await;
        let told: Vec<_> = playlist
            .text()
            .lines()
            .filter(|line| line.starts_with("#EXT-X-STREAM-INF:"))
            .map(|line| line.split_once("RESOLUTION=").unwrap().1.split(',').next().unwrap())
            .collect();
        assert_eq!(told, sizes, "{}", playlist.text());
        assert_eq!(playlist.text().matches("#EXT-X-MEDIA:TYPE=AUDIO").count(), 1, "one sound");
        for (number, _) in (1..).zip(sizes) {
            for url in segment_urls(&packager, folder, &format!("v{number}")).await {
                assert_eq!(get(&packager, &url).await.status, 200, "{url}");
            }
        }
    }
    // One more rendition, and one more ladder.
    encode(&dir.path().join("second/240x136.mp4"), "240x136", 4, 25, "100k");
    std::fs::create_dir(dir.path().join("third")).unwrap();
    std::fs::write(dir.path().join("third/only.mp4"), TINY).unwrap();
    clock.advance(Duration::from_secs(1));
    let playlist = get(&packager, "/second/main.m3u8").await;
    assert_eq!(playlist.text().matches("#EXT-X-STREAM-INF:").count(), 2, "{}", playlist.text());
    assert_eq!(get(&packager, "/third/main.m3u8").await.status, 200);
}
