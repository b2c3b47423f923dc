//! The tier as a whole, over a folder: what is found after closing, killing, damaging, filling.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::sync::Weak;

use bytes::Bytes;
use headwater_net::Timestamp;
use http::{HeaderValue, StatusCode};

use super::load::chunks;
use super::*;
use crate::directives::ResponseDirectives;
use crate::object::{Content, Head};
use crate::policy::freshness::Freshness;
use crate::vary::Vary;

pub(super) fn object(body: &[u8]) -> Arc<Object> {
    varied(body, &HeaderMap::new(), "")
}

/// A response to a request, varying by what is named.
fn varied(body: &[u8], request: &HeaderMap, vary: &str) -> Arc<Object> {
    let mut headers = HeaderMap::new();
    headers.insert("x-sum", HeaderValue::from(record::sum(body)));
    if !vary.is_empty() {
        headers.insert("vary", HeaderValue::from_str(vary).unwrap());
    }
    let head = Head {
        status: StatusCode::OK,
        directives: ResponseDirectives::default(),
        vary: Vary::of(&headers, request).unwrap(),
        headers,
        freshness: Freshness {
            initial_age: Duration::ZERO,
            received: Timestamp::from_secs(1_700_000_000),
            lifetime: Duration::from_secs(60),
        },
        len: Some(body.len() as u64),
        authorized: false,
        cookied: false,
        aged: false,
        tags: crate::purge::Tags::default(),
        purge_seq: crate::purge::PurgeSeq::default(),
        keep: None,
        ends: None,
    };
    let body = chunks(&Bytes::copy_from_slice(body));
    Arc::new(Object::new(head, body, Weak::new()))
}

fn key(n: u64) -> Key {
    format!("example.com/{n}").into_bytes().into()
}

/// The body of a key at a version; long ones span blocks.
fn body(n: u64, version: u64) -> Vec<u8> {
    let len = 100 + (n * 7919 + version * 104_729) % 150_000;
    let word = |at: u64| (n ^ version << 20 ^ at << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len).map(|at| (word(at / 8) >> (at % 8 * 8)) as u8).collect()
}

/// All of a response's bytes, or none where the body breaks off.
async fn bytes(object: &Object) -> Option<Vec<u8>> {
    let body = object.body.body(None).collect(1 << 30).await.ok()?;
    Some(body.to_bytes().to_vec())
}

fn builder(dir: &Path) -> DiskBuilder {
    Disk::builder(dir, 16 << 20).region(1 << 20).read_threads(1)
}

async fn get(disk: &Disk, n: u64) -> Option<Vec<u8>> {
    let found = disk.find(&key(n), &HeaderMap::new()).await?;
    let got = bytes(&found).await?;
    assert_eq!(found.head.headers["x-sum"], HeaderValue::from(record::sum(&got)), "{n}");
    Some(got)
}

#[tokio::test]
async fn what_was_written_is_found_after_closing_and_after_being_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let disk = builder(dir.path()).open().unwrap();
    for n in 0..100 {
        disk.fetched(&key(n), &object(&body(n, 0)));
        if n % 10 == 0 {
            disk.flush().await;
        }
    }
    disk.fetched(&key(3), &object(&body(3, 1)));
    disk.forget(&key(4));
    disk.flush().await;
    // As it would be had the process been killed now.
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let refused = builder(dir.path()).open().unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }));
    disk.close().await;
    for dir in [dir.path(), copy.path(), copy.path()] {
        let disk = builder(dir).open().unwrap();
        for n in 0..100 {
            let wanted = (n != 4).then(|| body(n, u64::from(n == 3)));
            assert!(get(&disk, n).await == wanted, "{n}");
        }
        assert_eq!(disk.metrics().bad_blocks.get(), 0);
        disk.close().await;
    }
}

#[tokio::test]
async fn what_is_on_disk_is_not_queued_again_and_what_was_replaced_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let disk = builder(dir.path()).open().unwrap();
    let first = object(&body(1, 0));
    disk.fetched(&key(1), &first);
    disk.flush().await;
    disk.seen(&key(1), &first);
    disk.offers().left(&key(1), &first);
    // No thread but this one did that.
    assert_eq!(disk.shared.index.find(disk.shared.hash(&key(1)))[0].heat, 1);
    disk.forget(&key(1));
    disk.seen(&key(1), &first);
    assert_eq!(disk.metrics().outdated.get(), 1);
    // Responses of other keys do not make it so.
    let disk = Disk::builder(dir.path().join("large"), 4 << 30).open().unwrap();
    let kept: Vec<_> = (0..100).map(|n| (key(n), object(b"kept"))).collect();
    for (key, object) in &kept {
        disk.fetched(key, object);
    }
    (100..20_000).for_each(|n| disk.fetched(&key(n), &object(b"other")));
    disk.flush().await;
    disk.shared.index.clear();
    for (key, object) in &kept {
        disk.seen(key, object);
    }
    assert!(disk.metrics().outdated.get() < 40, "{}", disk.metrics().outdated.get());
}

#[tokio::test]
async fn variants_of_a_key_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let request = |value: &'static str| {
        let mut request = HeaderMap::new();
        request.insert("accept", HeaderValue::from_static(value));
        request
    };
    let disk = builder(dir.path()).open().unwrap();
    for (value, version) in [("a", 0), ("b", 1), ("a", 2)] {
        disk.fetched(&key(1), &varied(&body(1, version), &request(value), "accept"));
    }
    disk.close().await;
    let disk = builder(dir.path()).open().unwrap();
    for (value, version) in [("a", Some(2)), ("b", Some(1)), ("c", None)] {
        let found = disk.find(&key(1), &request(value)).await;
        let found = match found {
            Some(found) => bytes(&found).await,
            None => None,
        };
        assert!(found == version.map(|version| body(1, version)), "{value}");
    }
    assert_eq!(disk.metrics().hits.get(), 2);
}

#[tokio::test]
async fn of_several_that_match_the_newest_is_found_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let disk = builder(dir.path()).open().unwrap();
    let request = HeaderMap::new();
    // As it is after the second and third were written again.
    for (vary, received, version) in
        [("accept", 900, 0), ("accept-language", 500, 1), ("accept-charset", 700, 2)]
    {
        let object = varied(&body(1, version), &request, vary);
        let mut head = object.head.clone();
        head.freshness.received = Timestamp::from_secs(1_700_000_000 + received);
        disk.fetched(&key(1), &Arc::new(object.with_head(head)));
    }
    disk.flush().await;
    assert!(get(&disk, 1).await.unwrap() == body(1, 0));
    // Of two, one does not match.
    let mut other = HeaderMap::new();
    other.insert("accept", HeaderValue::from_static("x"));
    let found = disk.find(&key(1), &other).await.unwrap();
    assert!(bytes(&found).await.unwrap() == body(1, 2));
}

#[tokio::test]
async fn long_bodies_stream_by_blocks_and_ranges_read_only_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let disk = builder(dir.path()).promote(1000).open().unwrap();
    let long: Vec<u8> = (0..600_000u32).map(|at| (at / 251 + at) as u8).collect();
    disk.fetched(&key(1), &object(&long));
    disk.flush().await;
    let found = disk.find(&key(1), &HeaderMap::new()).await.unwrap();
    assert!(matches!(found.body, Content::Disk(_)));
    assert!(bytes(&found).await.unwrap() == long);
    let before = disk.metrics().hit_bytes.get();
    for part in [0..1, 65_535..65_537, 131_072..600_000, 599_999..600_000, 5..400_000] {
        let read = found.body.body(Some(part.clone())).collect(1 << 20).await.unwrap().to_bytes();
        assert!(read == long[part.start as usize..part.end as usize], "{part:?}");
    }
    let asked = 1 + 2 + 468_928 + 1 + 399_995;
    assert_eq!(disk.metrics().hit_bytes.get() - before, asked);
}

#[tokio::test]
async fn new_fields_of_a_long_body_are_a_short_record() {
    let dir = tempfile::tempdir().unwrap();
    let disk = builder(dir.path()).open().unwrap();
    let first = object(&vec![7; 300_000]);
    disk.fetched(&key(1), &first);
    disk.flush().await;
    let written = disk.metrics().written_bytes.get();
    let mut head = first.head.clone();
    head.headers.insert("x-new", HeaderValue::from_static("1"));
    head.freshness.received = Timestamp::from_secs(1_700_000_500);
    disk.confirmed(&key(1), &Arc::new(first.with_head(head)));
    disk.flush().await;
    assert!(disk.metrics().written_bytes.get() - written < 1000);
    disk.close().await;
    for promote in [4 << 20, 1000] {
        let disk = builder(dir.path()).promote(promote).open().unwrap();
        let found = disk.find(&key(1), &HeaderMap::new()).await.unwrap();
        assert_eq!(found.head.headers["x-new"], "1");
        assert_eq!(found.head.freshness.received, Timestamp::from_secs(1_700_000_500));
        assert!(bytes(&found).await.unwrap() == vec![7; 300_000]);
        disk.close().await;
    }
}

#[tokio::test]
async fn a_full_disk_lets_the_oldest_go_and_keeps_what_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Disk::builder(dir.path(), 4 << 20).region(256 << 10).read_threads(1);
    let disk = builder.selective(false).open().unwrap();
    for n in 0..400 {
        disk.fetched(&key(n), &object(&body(n, 0)));
        if n % 8 == 7 {
            disk.flush().await;
            assert!(get(&disk, 3).await.unwrap() == body(3, 0), "{n}");
        }
    }
    disk.flush().await;
    let metrics = disk.metrics();
    let size: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= 4 << 20, "{size}");
    assert!(metrics.evictions.get() > 200 && metrics.readmitted.get() >= 3);
    assert_eq!(get(&disk, 5).await, None);
    let stored = (0..400).filter(|&n| disk.may_have(&key(n))).count();
    assert_eq!(metrics.stored_objects.get(), stored as i64);
}

#[tokio::test]
async fn a_disk_that_fails_costs_hits_and_nothing_else() {
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    let dir = tempfile::tempdir().unwrap();
    let faults = faults::Faults::default();
    let mut builder = builder(dir.path());
    builder.rest = Duration::from_millis(1);
    builder.faults.clone_from(&faults);
    let disk = builder.open().unwrap();
    disk.fetched(&key(1), &object(&body(1, 0)));
    disk.fetched(&key(2), &object(&body(2, 0)));
    disk.flush().await;
    for errno in [EIO, ENOSPC] {
        faults.set(errno);
        disk.fetched(&key(1), &object(&body(1, 1)));
        disk.forget(&key(2));
        // Neither this region nor a new one takes a write.
        let errors = disk.metrics().write_errors.get() + 3;
        while disk.metrics().alarm.get() == 0 || disk.metrics().write_errors.get() < errors {
            tokio::task::yield_now().await;
        }
        assert!(get(&disk, 1).await.is_none() && get(&disk, 2).await.is_none());
        faults.set(0);
        disk.flush().await;
        // What was taken back while the disk failed is so after a restart, too.
        while disk.metrics().alarm.get() == 1 {
            disk.fetched(&key(9), &object(&body(9, 0)));
            disk.flush().await;
        }
        disk.fetched(&key(2), &object(&body(2, 0)));
        disk.flush().await;
        assert!(get(&disk, 2).await.unwrap() == body(2, 0));
    }
    disk.close().await;
    let disk = self::builder(dir.path()).open().unwrap();
    assert!(get(&disk, 1).await.is_none_or(|got| got == body(1, 1)));
    assert!(get(&disk, 2).await.unwrap() == body(2, 0));
}

#[tokio::test]
async fn while_the_disk_fails_the_cache_answers_from_upstream_and_says_so() {
    use http::{Request, Response};
    use tower::{Layer as _, ServiceExt as _, service_fn};
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    let dir = tempfile::tempdir().unwrap();
    let faults = faults::Faults::default();
    let mut builder = builder(dir.path());
    builder.rest = Duration::from_millis(1);
    builder.faults.clone_from(&faults);
    let disk = builder.open().unwrap();
    let metrics = disk.metrics();
    let cache = crate::Cache::builder().ram(0).disk(disk).build();
    let origin = service_fn(|_: Request<headwater_net::Body>| async {
        let answer = Response::builder().header("cache-control", "max-age=1000");
        Ok::<_, std::convert::Infallible>(answer.body("whole".into()).unwrap())
    });
    let service = cache.layer().layer(origin);
    let get = async |path: &str| {
        let request = Request::get(format!("http://example.com/{path}"));
        let request = request.body(headwater_net::Body::Empty).unwrap();
        let Ok(answer) = service.clone().oneshot(request).await;
        let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        assert!(answer.into_body().collect(100).await.unwrap().to_bytes() == "whole", "{path}");
        status
    };
    get("read").await;
    cache.flush().await;
    assert!(get("read").await.ends_with("detail=disk"));
    // What cannot be read is fetched, and counted.
    faults.set_reads(EIO);
    assert!(get("read").await.contains("fwd=uri-miss"));
    assert_eq!(metrics.read_errors.get(), 1);
    faults.set_reads(0);
    for errno in [EIO, ENOSPC] {
        faults.set(errno);
        for nth in 0.. {
            assert!(get(&format!("{errno}/{nth}")).await.contains("fwd=uri-miss"));
            if metrics.alarm.get() == 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(get(&format!("{errno}/0")).await.contains("fwd=uri-miss"), "nothing was written");
        faults.set(0);
        while metrics.alarm.get() == 1 {
            get("again").await;
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_a_failed_write_left_on_disk_is_not_found_by_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let faults = faults::Faults::default();
    let mut builder = builder(dir.path());
    builder.rest = Duration::from_millis(1);
    builder.faults.clone_from(&faults);
    let disk = builder.open().unwrap();
    disk.fetched(&key(1), &object(&body(1, 0)));
    disk.flush().await;
    faults.set(5);
    disk.fetched(&key(2), &object(&body(2, 0)));
    while disk.metrics().alarm.get() == 0 {
        tokio::task::yield_now().await;
    }
    faults.set(0);
    disk.close().await;
    let disk = self::builder(dir.path()).open().unwrap();
    assert!(get(&disk, 1).await.is_some() && get(&disk, 2).await.is_none());
}

#[tokio::test]
async fn what_a_damaged_region_took_back_does_not_return() {
    for damaged in [0, 500_000] {
        let dir = tempfile::tempdir().unwrap();
        let disk = builder(dir.path()).open().unwrap();
        let store = |n: u64| disk.fetched(&key(n), &object(&vec![n as u8; 200_000]));
        // The second region has the sixth and the removal; more follow.
        (1..=6).for_each(store);
        disk.forget(&key(1));
        (7..=20).for_each(store);
        disk.close().await;
        let path = dir.path().join(region::file_name(2));
        let mut bytes = std::fs::read(&path).unwrap();
        let end = bytes.len();
        // Its beginning, or all from somewhere on, its footer too.
        let range = if damaged == 0 { 0..8 } else { damaged..end };
        bytes[range].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let disk = builder(dir.path()).open().unwrap();
        for n in [1, 2, 6] {
            assert!(get(&disk, n).await.is_none(), "{n}");
        }
        assert!(get(&disk, 20).await.is_some());
    }
}

/// Numbers that look random and are the same in every run.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

#[tokio::test]
async fn whatever_is_damaged_no_wrong_byte_is_served() {
    let whole = tempfile::tempdir().unwrap();
    let disk = builder(whole.path()).open().unwrap();
    for n in 0..60 {
        disk.fetched(&key(n), &object(&body(n, 0)));
    }
    disk.flush().await;
    let copy = |to: &Path| {
        for file in std::fs::read_dir(whole.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    let (mut served, mut bad) = (0, 0);
    for seed in 0..24u64 {
        let dir = tempfile::tempdir().unwrap();
        copy(dir.path());
        let mut files: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("region"));
        files.sort();
        let damage = |nth: u64| {
            let random = mix(seed << 8 | nth);
            let path = &files[random as usize % files.len()];
            let mut bytes = std::fs::read(path).unwrap();
            let at = mix(random) as usize % bytes.len();
            match seed % 4 {
                // One bit.
                0 => bytes[at] ^= 1 << (random % 8),
                // A sector that was never written.
                1 => {
                    let end = bytes.len().min(at + 4096);
                    bytes[at..end].fill(0);
                }
                // What lay elsewhere.
                2 => {
                    let from = mix(random + 1) as usize % bytes.len();
                    let len = 70_000.min(bytes.len() - at.max(from));
                    bytes.copy_within(from..from + len, at);
                }
                // The end.
                _ => bytes.truncate(at),
            }
            std::fs::write(path, bytes).unwrap();
        };
        // Before it is opened, or while it is.
        let before = seed % 8 < 4;
        if before {
            (0..4).for_each(damage);
        }
        let disk =
            builder(dir.path()).promote(if seed % 3 == 0 { 1000 } else { 4 << 20 }).open().unwrap();
        if !before {
            (0..4).for_each(damage);
        }
        for n in 0..60 {
            let found = disk.find(&key(n), &HeaderMap::new()).await;
            let Some(found) = found else { continue };
            // One that breaks off is no wrong one.
            let Some(got) = bytes(&found).await else { continue };
            assert!(got == body(n, 0), "seed {seed}, {n}");
            served += 1;
        }
        bad += disk.metrics().bad_blocks.get();
        disk.close().await;
    }
    assert!(served > 600 && bad > 20, "{served} served, {bad} bad");
}
