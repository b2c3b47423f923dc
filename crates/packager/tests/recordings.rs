//! Recordings that grow while they are watched, and scans that are kept.

#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use headwater_net::{Clock, Timestamp};
use headwater_packager::source::{AnySource, SourceError, Written};
use headwater_packager::{Assets, ByteRange, MemorySource, Packager, Source, SourceId};
use kit::boxes::TrackSpec;
use kit::fragments::{Finder, FragmentedSpec};
use shell::{Reply, get, options, segment_urls};
use tempfile::TempDir;

/// 20 s of picture and sound, a fragment each second.
fn recording() -> FragmentedSpec {
    let mut spec = FragmentedSpec::new(vec![TrackSpec::video(500, 300, 25)], 25);
    let mut sound = TrackSpec::audio(500, 100);
    // As long as the pictures are, so that fragments hold a second of both.
    sound.timescale = 25_600;
    spec.tracks.push(sound);
    spec
}

/// A file that is written to at given times of a clock by hand.
struct Writer {
    path: PathBuf,
    clock: Clock,
}

impl Writer {
    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(bytes).unwrap();
        let now = Duration::from_millis(self.clock.now().as_millis());
        file.set_modified(SystemTime::UNIX_EPOCH + now).unwrap();
    }
}

/// A folder for a recording, whoever writes it, and the time.
fn begin() -> (TempDir, Writer, Clock) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let writer = Writer { path: dir.path().join("show.mp4"), clock: clock.clone() };
    (dir, writer, clock)
}

/// A packager of the folder, with segments of so many seconds.
fn watch(dir: &Path, clock: &Clock, seconds: u64) -> Packager {
    let assets = Assets::from_dir(dir).unwrap();
    Packager::builder(assets).clock(clock.clone()).options(options(seconds)).build()
}

/// Everything immutable that the playlists name.
async fn segments(packager: &Packager) -> BTreeMap<String, Bytes> {
    let mut all = BTreeMap::new();
    for track in ["v1", "a1"] {
        for url in segment_urls(packager, "show", track).await {
            let reply = get(packager, &url).await;
            assert_eq!(reply.status, 200, "{url}: {}", String::from_utf8_lossy(&reply.body));
            all.insert(url, reply.body);
        }
    }
    all
}

#[tokio::test]
async fn a_growing_file_is_an_event_until_it_ends() {
    let (dir, writer, clock) = begin();
    let parts = recording().parts();
    writer.append(&parts[..2].concat());
    let packager = watch(dir.path(), &clock, 2);
    let early = get(&packager, "/show/main.m3u8").await;
    assert_eq!(
        (early.status.as_u16(), early.header("retry-after")),
        (503, "1"),
        "{}",
        early.text()
    );

    let mut seen = BTreeMap::new();
    let mut last: Option<Reply> = None;
    for (number, part) in parts.iter().enumerate().skip(2) {
        clock.advance(Duration::from_secs(2));
        // Half a fragment is no fragment yet.
        let (front, back) = part.split_at(part.len() / 2);
        writer.append(front);
        if number > 5 {
            let _ = get(&packager, "/show/v1.m3u8").await;
            clock.advance(Duration::from_secs(2));
        }
        writer.append(back);
        if number < 5 {
            continue;
        }
        let playlist = get(&packager, "/show/v1.m3u8").await;
        assert_eq!(playlist.status, 200, "{}", playlist.text());
        assert!(playlist.text().contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"));
        assert!(playlist.text().contains("#EXT-X-TARGETDURATION:3\n"), "{}", playlist.text());
        assert!(!playlist.text().contains("ENDLIST"));
        if let Some(last) = &last {
            assert!(playlist.text().starts_with(last.text()), "nothing is taken back");
            let same = last.text() == playlist.text();
            assert!(same || last.header("etag") != playlist.header("etag"));
        }
        last = Some(playlist);
        let mpd = get(&packager, "/show/manifest.mpd").await;
        for words in [
            "type=\"dynamic\"",
            "minimumUpdatePeriod=\"PT2.000000S\"",
            "availabilityStartTime=\"",
            "publishTime=\"2033-05-1",
            "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-head:2014\" value=\"manifest.mpd\"/>\n</MPD>",
        ] {
            assert!(mpd.text().contains(words), "{words} in {}", mpd.text());
        }
        assert!(!mpd.text().contains("mediaPresentationDuration"));
        let now = segments(&packager).await;
        for (url, bytes) in &seen {
            assert!(now.get(url) == Some(bytes), "{url} was published");
        }
        seen = now;
    }
    assert!(seen.len() > 15, "{} were published while it grew", seen.len());

    clock.advance(Duration::from_secs(31));
    let playlist = get(&packager, "/show/v1.m3u8").await;
    assert!(playlist.text().starts_with(last.unwrap().text()), "nothing is taken back");
    assert!(playlist.text().ends_with("#EXT-X-ENDLIST\n"));
    let mpd = get(&packager, "/show/manifest.mpd").await;
    assert!(mpd.text().contains("type=\"static\""), "{}", mpd.text());
    assert!(mpd.text().contains("mediaPresentationDuration=\"PT20.000000S\""), "{}", mpd.text());
    let whole = segments(&packager).await;
    for (url, bytes) in &seen {
        assert!(whole.get(url) == Some(bytes), "{url} was published");
    }

    // A packager that never saw it grow gives the same bytes under the same URLs.
    let other = watch(dir.path(), &clock, 2);
    assert!(segments(&other).await == whole);
}

#[tokio::test]
async fn the_tail_of_a_recording_that_stalls_is_not_kept() {
    let (dir, writer, clock) = begin();
    let parts = recording().parts();
    writer.append(&parts[..12].concat());
    let packager = watch(dir.path(), &clock, 2);
    let growing = segments(&packager).await;
    clock.advance(Duration::from_secs(31));
    let stalled = segments(&packager).await;
    assert!(stalled.len() > growing.len(), "the tail is published");
    let mut before = BTreeMap::new();
    for url in stalled.keys() {
        let reply = get(&packager, url).await;
        let cached = reply.header("cache-control").contains("immutable");
        assert_eq!(cached, growing.contains_key(url), "{url}");
        before.insert(url, (cached, reply.header("etag").to_owned(), reply.body));
    }
    let version = stalled.keys().next().unwrap().split('/').nth(2).unwrap();
    let file = get(&packager, &format!("/show/{version}/v1/track.mp4")).await;
    assert_eq!(file.status, 200);
    assert!(!file.header("cache-control").contains("immutable"));

    writer.append(&parts[12..].concat());
    clock.advance(Duration::from_secs(3));
    let resumed = segments(&packager).await;
    let mut changed = 0;
    for (url, (cached, etag, body)) in &before {
        if !resumed.contains_key(*url) {
            assert!(!cached, "{url} was taken back");
            continue;
        }
        let reply = get(&packager, url).await;
        let same = reply.body == *body;
        assert!(same || reply.header("etag") != etag, "{url} has other bytes by the same tag");
        assert!(same || !cached, "{url} was to be kept");
        changed += usize::from(!same);
    }
    assert!(changed > 0, "the tail went on");
}

#[tokio::test]
async fn a_recording_that_ended_is_settled_and_its_old_urls_stay() {
    let (dir, writer, clock) = begin();
    let parts = recording().parts();
    writer.append(&parts[..12].concat());
    let packager = watch(dir.path(), &clock, 2);
    clock.advance(Duration::from_secs(31));
    let stalled = segments(&packager).await;
    // Another packager, whose clock stands still meanwhile.
    let late = watch(dir.path(), &Clock::manual(clock.now()), 2);
    assert_eq!(segments(&late).await, stalled);
    clock.advance(Duration::from_secs(600));
    let playlist = get(&packager, "/show/v1.m3u8").await;
    assert!(playlist.text().contains("#EXT-X-PLAYLIST-TYPE:VOD\n"), "{}", playlist.text());
    let settled = segments(&packager).await;
    assert_eq!(settled.len(), stalled.len());
    for ((old, before), (new, after)) in stalled.iter().zip(&settled) {
        assert_ne!(old, new, "another version");
        assert!(before == after, "{new} has the bytes of {old}");
        assert!(get(&packager, new).await.header("cache-control").contains("immutable"), "{new}");
        // Who watches goes on.
        let again = get(&packager, old).await;
        assert!(again.status == 200 && again.body == *before, "{old}");
        // Who comes to the other packager with a URL of this one is answered.
        let there = get(&late, new).await;
        assert!(there.status == 200 && there.body == *after, "{new}");
    }
    let tail = stalled.keys().rfind(|url| url.contains("/v1/") && !url.contains("init")).unwrap();
    assert!(!get(&packager, tail).await.header("cache-control").contains("immutable"), "{tail}");
    let ends = |url: &&String| url.contains("/v1/") && !url.contains("init");
    let tail = settled.keys().rfind(ends).unwrap();
    assert!(!get(&late, tail).await.header("cache-control").contains("immutable"), "{tail}");
    let version = |all: &BTreeMap<String, Bytes>| {
        all.keys().next().unwrap().split('/').nth(2).unwrap().to_owned()
    };
    let file = format!("/show/{}/v1/track.mp4", version(&settled));
    assert!(get(&packager, &file).await.header("cache-control").contains("immutable"));

    // It goes on after all: nothing that was kept for good has other bytes now.
    writer.append(&parts[12..].concat());
    clock.advance(Duration::from_secs(3));
    let resumed = segments(&packager).await;
    assert_eq!(version(&resumed), version(&stalled));
    for url in settled.keys().chain([&file]) {
        assert_eq!(get(&packager, url).await.status, 410, "{url}");
    }
}

#[tokio::test]
async fn an_edit_list_that_starts_late_changes_no_published_bytes() {
    let (dir, writer, clock) = begin();
    let mut spec = recording();
    // Of pictures only what comes after 8 s is played.
    spec.tracks[0].edits = vec![(0, 8 * 12_800, 1 << 16)];
    let parts = spec.parts();
    writer.append(&parts[..2].concat());
    let packager = watch(dir.path(), &clock, 2);
    let mut seen: BTreeMap<String, Bytes> = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for part in &parts[2..] {
        writer.append(part);
        clock.advance(Duration::from_secs(2));
        if get(&packager, "/show/main.m3u8").await.status != 200 {
            continue;
        }
        for (url, bytes) in segments(&packager).await {
            versions.insert(url.split('/').nth(2).unwrap().to_owned());
            let before = seen.entry(url.clone()).or_insert_with(|| bytes.clone());
            assert!(*before == bytes, "{url} was published");
        }
    }
    assert_eq!(versions.len(), 2, "before the list can be followed, and from then on");
}

#[tokio::test]
async fn a_file_that_says_it_is_finished_is_settled_at_once() {
    let (dir, writer, clock) = begin();
    let mut spec = recording();
    spec.finder = Finder::Mfra;
    writer.append(&spec.bytes());
    let packager = watch(dir.path(), &clock, 2);
    for url in segments(&packager).await.keys() {
        assert!(get(&packager, url).await.header("cache-control").contains("immutable"), "{url}");
    }
}

#[tokio::test]
async fn one_that_says_so_while_it_is_watched_ends_under_its_version() {
    let (dir, writer, clock) = begin();
    let mut spec = recording();
    spec.finder = Finder::Mfra;
    let parts = spec.parts();
    writer.append(&parts[..12].concat());
    let packager = watch(dir.path(), &clock, 2);
    let growing = get(&packager, "/show/v1.m3u8").await;
    let seen = segments(&packager).await;
    writer.append(&parts[12..].concat());
    clock.advance(Duration::from_secs(2));
    let mut ended = seen.clone();
    // Also when it is looked at once more, for it was touched.
    for _ in 0..2 {
        let playlist = get(&packager, "/show/v1.m3u8").await;
        assert!(playlist.text().starts_with(growing.text()), "{}", playlist.text());
        assert!(playlist.text().ends_with("#EXT-X-ENDLIST\n"), "{}", playlist.text());
        ended = segments(&packager).await;
        for (url, bytes) in &seen {
            assert!(ended.get(url) == Some(bytes), "{url} was published");
        }
        let file = OpenOptions::new().append(true).open(&writer.path).unwrap();
        let now = Duration::from_millis(clock.now().as_millis());
        file.set_modified(SystemTime::UNIX_EPOCH + now).unwrap();
        clock.advance(Duration::from_secs(40));
    }
    clock.advance(Duration::from_secs(600));
    let playlist = get(&packager, "/show/v1.m3u8").await;
    assert!(playlist.text().contains("#EXT-X-PLAYLIST-TYPE:VOD\n"), "{}", playlist.text());
    for (url, bytes) in &ended {
        let again = get(&packager, url).await;
        assert!(again.status == 200 && again.body == *bytes, "{url}");
    }
}

/// A movie box at the end makes another version: the first movie box and the fragments, of which a
/// recording's version is made, are no longer what the file is read by.
#[tokio::test]
async fn a_hybrid_file_that_is_finished_while_it_is_watched_is_another_version() {
    let (dir, writer, clock) = begin();
    let parts = recording().parts();
    writer.append(&parts[..12].concat());
    let packager = Packager::builder(Assets::from_dir(dir.path()).unwrap())
        .clock(clock.clone())
        .options(options(2))
        .build();
    let growing = segments(&packager).await;
    // As recorders of hybrid files finish them: what was there is covered by one mdat.
    let mut sound = recording().tracks.remove(1);
    sound.number = 2;
    let whole = kit::boxes::FileSpec::new(vec![TrackSpec::video(500, 300, 25), sound]).bytes();
    std::fs::write(&writer.path, whole).unwrap();
    writer.append(&[]);
    clock.advance(Duration::from_secs(2));
    let playlist = get(&packager, "/show/v1.m3u8").await;
    assert!(playlist.text().contains("#EXT-X-PLAYLIST-TYPE:VOD\n"), "{}", playlist.text());
    for url in growing.keys() {
        assert_eq!(get(&packager, url).await.status, 410, "{url}");
    }
    let ended = segments(&packager).await;
    assert!(ended.len() > growing.len(), "all of it is there");
    for url in ended.keys() {
        assert!(get(&packager, url).await.header("cache-control").contains("immutable"), "{url}");
    }
}

#[tokio::test]
async fn a_body_that_is_being_sent_outlives_growth() {
    let (dir, writer, clock) = begin();
    let mut spec = recording();
    spec.tracks[0].sizes = vec![40_000; 500];
    let parts = spec.parts();
    writer.append(&parts[..12].concat());
    let packager = watch(dir.path(), &clock, 4);
    let url = segment_urls(&packager, "show", "v1").await.remove(1);
    let expected = get(&packager, &url).await.body;
    let response = shell::open(&packager, http::Method::GET, &url, &[]).await;
    writer.append(&parts[12..].concat());
    let body = response.into_body().collect(1 << 30).await.unwrap().to_bytes();
    assert!(body == expected);
}

/// A source that counts its reads, and stands still at one of them until it is let go.
struct Counting {
    inner: MemorySource,
    reads: Arc<AtomicUsize>,
    stop_at: Arc<AtomicUsize>,
}

impl Source for Counting {
    fn id(&self) -> &SourceId {
        self.inner.id()
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let number = self.reads.fetch_add(ranges.len(), Ordering::SeqCst);
        if number >= self.stop_at.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.read(ranges).await
    }
}

struct Counted {
    reads: Arc<AtomicUsize>,
    stop_at: Arc<AtomicUsize>,
    assets: Assets,
}

fn counted(file: &[u8]) -> Counted {
    let (reads, stop_at) = (Arc::default(), Arc::new(AtomicUsize::new(usize::MAX)));
    let source = Counting {
        inner: MemorySource::new("show.mp4", file.to_vec()),
        reads: Arc::clone(&reads),
        stop_at: Arc::clone(&stop_at),
    };
    let assets = [("show".to_owned(), vec![AnySource::new(source)])];
    Counted { reads, stop_at, assets: Assets::from_sources(assets).unwrap() }
}

/// Fragments that are far apart: a read for each.
fn long() -> Vec<u8> {
    let mut spec = FragmentedSpec::new(vec![TrackSpec::video(1_000, 6_000, 25)], 25);
    spec.finder = Finder::None;
    spec.bytes()
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_scan_is_503_and_goes_on_where_it_was() {
    let file = long();
    let counted = counted(&file);
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let packager =
        Packager::builder(counted.assets).clock(clock.clone()).options(options(2)).build();
    counted.stop_at.store(25, Ordering::SeqCst);
    let reply = get(&packager, "/show/main.m3u8").await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "2"));
    assert!(reply.text().contains("is being prepared"), "{}", reply.text());
    // The scan's own time runs out, too: what it found is kept.
    tokio::time::sleep(Duration::from_secs(700)).await;
    counted.stop_at.store(usize::MAX, Ordering::SeqCst);
    let first = counted.reads.swap(0, Ordering::SeqCst);
    clock.advance(Duration::from_secs(2));
    let reply = get(&packager, "/show/main.m3u8").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let second = counted.reads.load(Ordering::SeqCst);
    eprintln!("{first} reads, then {second} for 40 fragments");
    assert!((15..=25).contains(&second), "{second} reads");
}

#[tokio::test]
async fn a_scan_outlives_its_packager_in_the_state_folder() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let file = long();
    let run = async |file: &[u8]| {
        let counted = counted(file);
        let packager = Packager::builder(counted.assets).state_folder(&state).build();
        let reply = get(&packager, "/show/main.m3u8").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        (counted.reads.load(Ordering::SeqCst), reply.body)
    };
    let (whole, playlist) = run(&file).await;
    assert!(whole > 40, "{whole} reads");
    let (again, same) = run(&file).await;
    assert!(again <= 3, "{again} reads");
    assert_eq!(same, playlist);

    // What is kept of another file, or damaged, is not believed.
    let kept: Vec<_> =
        std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    let good = std::fs::read(&kept[0]).unwrap();
    for at in (0..good.len()).step_by(good.len() / 10) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&kept[0], &bad).unwrap();
        let (reads, same) = run(&file).await;
        assert!(reads > 40, "byte {at}: {reads} reads");
        assert_eq!(same, playlist, "byte {at}");
        assert_eq!(std::fs::read(&kept[0]).unwrap(), good, "it was made anew");
    }
    let mut other = FragmentedSpec::new(vec![TrackSpec::video(1_000, 6_001, 25)], 25);
    other.finder = Finder::None;
    let (reads, _) = run(&other.bytes()).await;
    assert!(reads > 40, "{reads} reads");
}

/// A store whose file grows; its reads are counted.
#[derive(Clone, Default)]
struct Shelf {
    file: Arc<Mutex<Vec<u8>>>,
    reads: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    /// When it was last added to, where the store says that.
    changed: Arc<Mutex<Option<Timestamp>>>,
}

/// The file on it in one state.
struct Shelved {
    shelf: Shelf,
    id: SourceId,
    changed: Option<Timestamp>,
}

impl Shelf {
    fn open(&self) -> Shelved {
        let len = self.file.lock().unwrap().len();
        let id = SourceId::new("show.mp4", len as u64, len.to_string());
        Shelved { shelf: self.clone(), id, changed: *self.changed.lock().unwrap() }
    }
}

impl Source for Shelved {
    fn id(&self) -> &SourceId {
        &self.id
    }

    fn written(&self) -> Option<Written> {
        // It does not say when a file was begun.
        self.changed.map(|changed| Written { started: None, changed })
    }

    async fn renewed(&self) -> Result<Option<AnySource>, SourceError> {
        let now = self.shelf.open();
        Ok((now.id() != self.id()).then(|| AnySource::new(now)))
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        self.shelf.reads.fetch_add(ranges.len(), Ordering::SeqCst);
        let bytes: u64 = ranges.iter().map(|range| range.len).sum();
        self.shelf.bytes.fetch_add(bytes as usize, Ordering::SeqCst);
        let file = self.shelf.file.lock().unwrap();
        let bytes = |range: &ByteRange| {
            Bytes::copy_from_slice(&file[range.start as usize..range.end() as usize])
        };
        Ok(ranges.iter().map(bytes).collect())
    }
}

#[tokio::test]
async fn a_look_at_what_grew_reads_what_was_added() {
    // 120 fragments of 140 KB each, one read for each.
    let mut spec = FragmentedSpec::new(vec![TrackSpec::video(3_000, 5_600, 25)], 25);
    spec.finder = Finder::None;
    let parts = spec.parts();
    let shelf = Shelf::default();
    *shelf.file.lock().unwrap() = parts[..80].concat();
    let sources = [("show".to_owned(), vec![AnySource::new(shelf.open())])];
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let packager = Packager::builder(Assets::from_sources(sources).unwrap())
        .clock(clock.clone())
        .options(options(2))
        .build();
    let first = get(&packager, "/show/v1.m3u8").await;
    assert_eq!(first.status, 200, "{}", first.text());
    let whole = shelf.reads.swap(0, Ordering::SeqCst);
    assert!(whole > 75, "{whole} reads");
    shelf.bytes.store(0, Ordering::SeqCst);
    for part in &parts[80..] {
        shelf.file.lock().unwrap().extend_from_slice(part);
        clock.advance(Duration::from_secs(6));
        let next = get(&packager, "/show/v1.m3u8").await;
        assert_eq!(next.status, 200, "{}", next.text());
        // The head, the end, the last fragment that is known, and up to 16 that are not kept yet.
        let reads = shelf.reads.swap(0, Ordering::SeqCst);
        assert!(reads <= 4 + 17, "{reads} reads for one fragment more");
    }
    let bytes = shelf.bytes.load(Ordering::SeqCst) / (parts.len() - 80);
    eprintln!("{bytes} bytes were read for each look");
    assert!(bytes < 200_000, "{bytes} bytes for each look");
}

/// ISO/IEC 23009-1 §5.3.1.2: `MPD@availabilityStartTime` is what all times of a presentation count
/// from. A recorder that pauses moves it to where nobody knows it better, but for players that are told.
#[tokio::test]
async fn the_begin_of_a_recording_stays_where_nobody_knows_it() {
    let mut spec = FragmentedSpec::new(vec![TrackSpec::video(1_000, 300, 25)], 25);
    spec.finder = Finder::None;
    let parts = spec.parts();
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let shelf = Shelf::default();
    *shelf.file.lock().unwrap() = parts[..12].concat();
    *shelf.changed.lock().unwrap() = Some(clock.now());
    let watch = || {
        let sources = [("show".to_owned(), vec![AnySource::new(shelf.open())])];
        let assets = Assets::from_sources(sources).unwrap();
        Packager::builder(assets).clock(clock.clone()).options(options(2)).build()
    };
    let begin = async |packager: &Packager| {
        let mpd = get(packager, "/show/manifest.mpd").await;
        let (_, rest) = mpd.text().split_once("availabilityStartTime=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let packager = watch();
    let first = begin(&packager).await;
    for (part, seconds) in parts[12..20].iter().zip([6, 9, 6, 14, 6, 6, 25, 6]) {
        clock.advance(Duration::from_secs(seconds));
        shelf.file.lock().unwrap().extend_from_slice(part);
        *shelf.changed.lock().unwrap() = Some(clock.now());
        assert_eq!(begin(&packager).await, first);
    }
    assert_ne!(begin(&watch()).await, first, "who comes later does not know it");
}
