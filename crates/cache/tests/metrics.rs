//! What a cache counts, as a scrape tells it: every name, and that sizes, hit ratios by tier, evictions
//! and write amplification come out as they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use common::{Origin, Stand, fed, request, stand, stand_with, until};
use headwater_cache::{Cache, Disk, Purge};
use headwater_net::Body;
use http::Response;
use prometheus_client::registry::Registry;

/// Bytes of an object's body.
const BODY: usize = 10_000;

/// All that a cache registers: name, and what it is now.
fn scraped(cache: &Cache) -> BTreeMap<String, i64> {
    let mut registry = Registry::default();
    cache.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// What a count was at least, and at most.
fn between(scraped: &BTreeMap<String, i64>, name: &str, least: usize, most: usize) {
    let value = usize::try_from(scraped[name]).unwrap();
    assert!((least..=most).contains(&value), "{name} is {value}, and not from {least} to {most}");
}

fn origin() -> Origin {
    Origin::new(|_| {
        let response = Response::builder().header("cache-control", "max-age=100");
        response.body(Body::from(Bytes::from(vec![7; BODY]))).unwrap()
    })
}

/// A cache with room for nine objects in RAM, and on disk for as many as `disk` bytes take.
fn tiers(origin: &Origin, folder: &Path, disk: u64) -> Stand {
    let disk = Disk::builder(folder, disk).region(1 << 20).selective(false).open().unwrap();
    stand_with(origin, |builder| builder.ram(100_000).disk(disk))
}

#[test]
fn every_metric_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), 1 << 20).unwrap();
    let cache = Cache::builder().disk(disk).build();
    let names: Vec<String> = scraped(&cache).into_keys().collect();
    let expected = [
        "collapsed_total",
        "disk_admitted_bytes_total",
        "disk_admitted_total",
        "disk_alarm",
        "disk_bad_blocks_total",
        "disk_dropped_writes_total",
        "disk_evictions_total",
        "disk_hit_bytes_total",
        "disk_hits_total",
        "disk_index_bytes",
        "disk_not_admitted_total",
        "disk_outdated_total",
        "disk_read_errors_total",
        "disk_readmitted_total",
        "disk_refused_reads_total",
        "disk_stored_bytes",
        "disk_stored_objects",
        "disk_write_errors_total",
        "disk_written_bytes_total",
        "evictions_total",
        "fill_bytes",
        "fills_abandoned_total",
        "fills_failed_total",
        "fills_refused_total",
        "fills_total",
        "followers_reset_total",
        "hits_from_disk_total",
        "hits_total",
        "misses_total",
        "passed_total",
        "passes_queued_total",
        "passes_refused_total",
        "purge_records",
        "purges_total",
        "revalidated_total",
        "stale_total",
        "stored_bytes",
        "stored_objects",
    ];
    assert_eq!(names, expected.map(|name| format!("headwater_cache_{name}")));
}

#[tokio::test]
async fn hit_ratios_by_tier_evictions_and_sizes_come_out_right() {
    const OBJECTS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let origin = origin();
    let stand = tiers(&origin, folder.path(), 64 << 20);
    for nth in 0..OBJECTS {
        stand.fetch(&format!("/{nth}"), &[]).await;
    }
    stand.cache.flush().await;
    let cold = scraped(&stand.cache);
    for (name, value) in [("hits", 0), ("hits_from_disk", 0), ("misses", OBJECTS), ("passed", 0)] {
        assert_eq!(cold[&format!("headwater_cache_{name}_total")], value as i64, "{name}");
    }
    // What did not fit went, one by one, and what is there is weighed with its fields.
    between(&cold, "headwater_cache_stored_objects", 8, 9);
    let held = usize::try_from(cold["headwater_cache_stored_objects"]).unwrap();
    between(&cold, "headwater_cache_stored_bytes", held * BODY, 100_000);
    assert_eq!(cold["headwater_cache_evictions_total"], (OBJECTS - held) as i64);
    assert_eq!(cold["headwater_cache_disk_stored_objects"], OBJECTS as i64);
    between(&cold, "headwater_cache_disk_stored_bytes", OBJECTS * BODY, 64 << 20);
    between(&cold, "headwater_cache_disk_index_bytes", 16 * OBJECTS, 1 << 20);
    // Each once more: from RAM, as its answer says, or from disk.
    let (mut ram, mut disk) = (0, 0);
    for nth in 0..OBJECTS {
        let member = stand.fetch(&format!("/{nth}"), &[]).await.2;
        assert!(member.starts_with("edge; hit"), "{member}");
        if member.ends_with("detail=disk") { disk += 1 } else { ram += 1 }
    }
    // And what is no hit: it passes, it is not there.
    stand.send(request("POST", "/other", &[])).await;
    stand.fetch("/other", &[]).await;
    let warm = scraped(&stand.cache);
    assert_eq!(warm["headwater_cache_hits_total"], i64::from(ram + disk));
    assert_eq!(warm["headwater_cache_hits_from_disk_total"], i64::from(disk));
    assert_eq!(warm["headwater_cache_disk_hits_total"], i64::from(disk));
    assert_eq!(warm["headwater_cache_disk_hit_bytes_total"], i64::from(disk) * BODY as i64);
    assert_eq!(warm["headwater_cache_misses_total"], OBJECTS as i64 + 1);
    assert_eq!(warm["headwater_cache_passed_total"], 1);
    assert!(disk >= 30, "{disk} of {OBJECTS} hits were from disk, {ram} from RAM");
    // What was fetched is what the origin gave.
    assert_eq!(warm["headwater_cache_fills_total"] + 1, origin.asked() as i64);
}

#[tokio::test]
async fn write_amplification_is_what_is_written_by_what_was_worth_it() {
    const OBJECTS: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let origin = origin();
    // Two and a half times what the disk holds.
    let stand = tiers(&origin, folder.path(), 4 << 20);
    for nth in 0..OBJECTS {
        stand.fetch(&format!("/{nth}"), &[]).await;
        if nth % 100 == 0 {
            stand.cache.flush().await;
        }
    }
    stand.cache.flush().await;
    let told = scraped(&stand.cache);
    assert_eq!(told["headwater_cache_disk_admitted_total"], OBJECTS as i64);
    let admitted = usize::try_from(told["headwater_cache_disk_admitted_bytes_total"]).unwrap();
    assert!(admitted >= OBJECTS * BODY, "{admitted}");
    // All that was admitted, the frames of regions, and what was written a second time.
    let again = usize::try_from(told["headwater_cache_disk_readmitted_total"]).unwrap() * BODY;
    between(
        &told,
        "headwater_cache_disk_written_bytes_total",
        admitted + again,
        admitted * 11 / 10 + again * 11 / 10,
    );
    let there = usize::try_from(told["headwater_cache_disk_stored_objects"]).unwrap();
    assert_eq!(told["headwater_cache_disk_evictions_total"], (OBJECTS - there) as i64);
    between(&told, "headwater_cache_disk_stored_bytes", there * BODY, 4 << 20);
}

#[tokio::test]
async fn what_else_becomes_of_requests_is_counted_once_each() {
    let origin = Origin::new(|parts| match parts.uri.path() {
        _ if parts.headers.contains_key("if-none-match") => common::reply(304, &[], ""),
        "/broken" => {
            // One byte of nine, and no more.
            let (feed, body) = fed();
            feed.try_send(Ok(Bytes::from("x"))).unwrap();
            let nine = Response::builder().header("content-length", "9");
            nine.header("cache-control", "max-age=10").body(body).unwrap()
        }
        _ => {
            let says = "max-age=10, stale-while-revalidate=10";
            common::ok(&[("cache-control", says), ("etag", "\"v\"")], "x")
        }
    });
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    stand.fetch("/a", &[]).await;
    until(|| stand.cache.metrics().revalidated.get() == 1).await;
    let broken = stand.get("/broken").await;
    assert!(common::within(broken.into_body().collect(100)).await.is_err());
    stand.cache.purge(Purge::tag("t")).await.unwrap();
    let told = scraped(&stand.cache);
    for (name, value) in [
        ("hits_total", 1),
        ("stale_total", 1),
        ("misses_total", 2),
        ("revalidated_total", 1),
        ("fills_total", 3),
        ("fills_failed_total", 1),
        ("purges_total", 1),
        ("purge_records", 1),
        ("stored_objects", 1),
        ("fill_bytes", 0),
    ] {
        assert_eq!(told[&format!("headwater_cache_{name}")], value, "{name}");
    }
}
