//! How much clients may take, and what becomes of them while there is too much to do, as it is configured: bytes
//! a second, load shedding, and players that are sent elsewhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::process::{Edge, Files, Origin, get, wait_for};

const KIB: u64 = 1 << 10;

fn config(origin: &Origin, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nworkers = 1\n[operator]\nlisten = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n{more}",
        origin.url
    )
}

/// An origin whose answers may be kept: as many KiB as the last part of their path says.
fn kept() -> Origin {
    Origin::answering(|asked| {
        let length: usize = asked.target.rsplit('/').next().unwrap().parse().unwrap_or(1);
        (200, "cache-control: max-age=600\r\n".to_owned(), "x".repeat(length << 10))
    })
}

/// Two limits at the same rate, one with a burst of its own: a body that is in the cache, and so goes out in
/// pieces of 64 KiB at most, takes as long as its bytes beyond the burst and the last piece take.
#[test]
fn bytes_go_out_at_the_rate_and_with_the_burst_that_are_configured() {
    const RATE: u64 = 128 * KIB;
    let origin = kept();
    let files = Files::new(&config(
        &origin,
        "[[limit]]\nname = 'rate'\nhosts = 'rate.example'\nbytes_per_second = '128 KiB'\n\
         [[limit]]\nname = 'burst'\nhosts = 'burst.example'\nbytes_per_second = '128 KiB'\n\
         byte_burst = '1 KiB'\n\
         [[site]]\nhosts = ['free.example', 'rate.example', 'burst.example']\nupstream = 'media'\n",
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    for (host, kib, burst) in [("burst.example", 320, KIB), ("rate.example", 640, 2 * RATE)] {
        let path = format!("/{kib}");
        // All hosts of a site have one cache.
        wait_for("it to be in the cache", || {
            get(addr, "free.example", &path).field("cache-status").contains("; hit").then_some(())
        });
        let begun = Instant::now();
        let answer = get(addr, host, &path);
        let took = begun.elapsed();
        assert!(answer.field("cache-status").contains("; hit"), "{}", answer.field("cache-status"));
        let length = answer.body.len() as u64;
        assert_eq!(length, kib * KIB);
        let beyond = length - burst - 64 * KIB;
        let least = Duration::from_millis(beyond * 1_000 / RATE);
        assert!(least > Duration::from_millis(1_900), "{least:?}");
        assert!(took >= least, "{host}: {took:?} and not {least:?}");
    }
}

#[test]
fn a_worker_that_is_late_by_more_than_is_configured_turns_clients_away() {
    let origin = kept();
    let with = |shed: &str| {
        let site = "[[site]]\nhosts = '*'\nupstream = 'media'\n";
        Files::new(&config(&origin, &format!("{site}[shed]\n{shed}")))
    };
    let files = with("on = true\ntarget = '1 ms'\ninterval = '10 ms'\n");
    let edge = Edge::start(&files);
    let (addr, operator) = (edge.addr("http"), edge.addr("operator"));
    let page = || get(operator, "localhost", "/metrics").body;
    assert!(page().contains("headwater_edge_shed_level 0\n"));
    let crowd = Crowd::begin(addr, "a", "/film/main.m3u8");
    let refusal = wait_for("somebody to be turned away", || crowd.refusal());
    let retry = ["2", "4", "6"].map(|seconds| format!("retry-after: {seconds}"));
    assert!(retry.iter().any(|line| refusal.contains(line)), "{refusal}");
    drop(crowd);
    // Both are of the same requests, by what refused them and by how busy it was.
    wait_for("as many by their level as by their reason", || {
        let told = page();
        let count = |line: &str| line.rsplit_once(' ')?.1.parse::<u64>().ok();
        let sum = |name: &str| -> u64 {
            told.lines().filter(|line| line.starts_with(name)).filter_map(count).sum()
        };
        let refused = sum("headwater_edge_refused_total{by=\"shed\"} ");
        (refused > 0 && refused == sum("headwater_edge_shed_total{level=\"")).then_some(())
    });
    wait_for("the end of it", || page().contains("headwater_edge_shed_level 0\n").then_some(()));
    assert_eq!(get(addr, "a", "/film/main.m3u8").status, 200);

    // As many again, where they may wait for longer, and where nobody is turned away.
    for shed in ["on = true\ntarget = '10 s'\ninterval = '10 ms'\n", "target = '1 ms'\n"] {
        let files = with(shed);
        let edge = Edge::start(&files);
        let crowd = Crowd::begin(edge.addr("http"), "a", "/film/main.m3u8");
        wait_for("their answers", || (crowd.answers() > 5_000).then_some(()));
        assert_eq!(crowd.refusal(), None, "{shed}");
    }
}

/// The order of pathways that a player is told, where it is answered.
fn order(edge: &Edge) -> Option<String> {
    // As hls.js asks: it says nothing of its session there.
    let answer = get(edge.addr("http"), "a", "/steer?_HLS_pathway=a&_HLS_throughput=5000");
    let (_, order) = answer.body.split_once("PATHWAY-PRIORITY\":")?;
    Some(order.trim_end_matches('}').to_owned())
}

fn steering(origin: &Origin, more: &str) -> Files {
    Files::new(&config(
        origin,
        &format!(
            "[[site]]\nhosts = '*'\nupstream = 'media'\n[sessions]\non = true\nreports = '/cmcd'\n\
             [steering]\npath = '/steer'\npathways = ['a', 'b']\nhere = 'a'\nttl = '1 s'\n{more}"
        ),
    ))
}

fn watch(edge: &Edge, id: &str) {
    let asked = format!("/film/main.m3u8?CMCD=sid%3D%22{id}%22");
    assert_eq!(get(edge.addr("http"), "a", &asked).status, 200);
}

#[test]
fn players_are_sent_elsewhere_while_there_are_more_sessions_than_are_configured() {
    let origin = kept();
    let files = steering(&origin, "most_sessions = 1\n");
    let edge = Edge::start(&files);
    watch(&edge, "one");
    assert_eq!(order(&edge).as_deref(), Some("[\"a\",\"b\"]"));
    watch(&edge, "two");
    // By a quarter of all players in each second.
    let is_away = || order(&edge).is_some_and(|order| order == "[\"b\",\"a\"]");
    wait_for("the other pathway", || is_away().then_some(()));
}

#[test]
fn players_are_sent_elsewhere_while_others_are_turned_away() {
    let origin = kept();
    let files = steering(
        &origin,
        "when_shedding = true\n[shed]\non = true\ntarget = '1 ms'\ninterval = '10 ms'\n",
    );
    let edge = Edge::start(&files);
    watch(&edge, "one");
    assert_eq!(order(&edge).as_deref(), Some("[\"a\",\"b\"]"));
    let crowd = Crowd::begin(edge.addr("http"), "a", "/film/main.m3u8");
    wait_for("somebody to be turned away", || crowd.refusal());
    // None of those that ask where to go is turned away.
    let is_away = || order(&edge).expect("an order") == "[\"b\",\"a\"]";
    wait_for("the other pathway", || is_away().then_some(()));
    // Nor is a report of what happened to a player.
    for _ in 0..5 {
        let report = "POST /cmcd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                      content-type: application/cmcd\r\ncontent-length: 23\r\n\r\ne=ps,sid=\"one\",ts=1,v=2";
        let mut stream = TcpStream::connect(edge.addr("http")).unwrap();
        stream.write_all(report.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}
