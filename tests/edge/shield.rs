//! An upstream that is a shield: it is told of purges and of what the edge answers, and only where
//! the configuration says that it is one. And `headwater edge` as such a shield.

use std::convert::Infallible;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use headwater::net::server::{Server, ServerHandle};
use headwater::net::{Body, Secret};
use headwater::origin::{HintTrust, Shield};
use http::{Request, Response};
use tower::service_fn;

use crate::authority::Authority;
use crate::process::{Edge, Files, Origin, ask, get, wait_for};

/// A shield that believes who knows `secret`, before an origin that counts what it is asked.
fn shield(asked: &Arc<AtomicUsize>) -> (Shield, ServerHandle) {
    let asked = Arc::clone(asked);
    let origin = service_fn(move |_: Request<Body>| {
        asked.fetch_add(1, Ordering::SeqCst);
        let response = Response::builder().header("content-type", "video/mp4");
        let response = response.header("cache-control", "max-age=600").body(Body::from("x"));
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let shield = Shield::builder().origin(origin);
    let shield = shield.hints(HintTrust::Secret(Secret::new(*b"secret"))).build();
    let of_worker = shield.clone();
    let server = Server::builder().http("127.0.0.1:0").workers(1);
    let server = server.serve(move |_| of_worker.clone()).unwrap();
    (shield, server)
}

fn config(shield: SocketAddr, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\nmethods = ['GET', 'POST']\n\
         [[upstream]]\nname = 'shield'\norigins = 'http://{shield}'\n{more}\n\
         [[site]]\nhosts = ['a.example', 'b.example']\nupstream = 'shield'\n\
         personal_parameters = 'viewer'\n\
         [operator]\nlisten = '127.0.0.1:0'\n"
    )
}

fn purge(operator: SocketAddr, number: u64) {
    let target = format!("/purge?all&sequence={number}");
    let answer = ask(operator, "POST", "localhost", &target, "content-length: 0\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_shield_is_told_of_purges_and_sessions_where_it_is_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let asked = Arc::<AtomicUsize>::default();
    let (shield, server) = shield(&asked);
    let addr = server.http_addrs()[0];
    let files = Files::new(&config(addr, ""));
    fs::write(files.path("link"), "secret\n").unwrap();
    let edge = Edge::start(&files);
    let (addr_of_edge, operator) = (edge.addr("http"), edge.addr("operator"));
    let fetch = |target: &str| get(addr_of_edge, "a.example", target).status;

    assert_eq!(fetch("/film/1.mp4"), 200);
    purge(operator, 7);
    assert_eq!(fetch("/film/1.mp4"), 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "an upstream that is no shield is told nothing");

    files.write(&config(addr, "shield = true\nlink_file = 'link'"));
    edge.signal("HUP");
    edge.hears("  upstream[0].shield: false became true\n");
    purge(operator, 8);
    assert_eq!(fetch("/film/1.mp4"), 200);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "what the shield had is older than the purge");

    // A hit, by the other name of the site.
    assert_eq!(get(addr_of_edge, "b.example", "/film/1.mp4?viewer=me").status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    wait_for("a hint", || (shield.metrics().hints_taken.get() > 0).then_some(()));
    assert_eq!(shield.metrics().hints_refused.get(), 0);
    let page = || get(operator, "localhost", "/metrics").body;
    wait_for("its count", || page().contains("headwater_edge_hints_sent_total 1").then_some(()));

    // Strangers tell it nothing by way of the edge.
    let path = "/.well-known/headwater-hints";
    let link = "headwater-link: secret\r\ncontent-length: 0\r\n";
    assert_eq!(ask(addr_of_edge, "POST", "a.example", path, link).status, 404);
    assert_eq!(shield.metrics().hints_refused.get(), 0);
}

/// A title of five segments, cacheable for long, below `/store`; and what was asked for, by its path.
fn title() -> (Origin, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&asked);
    let origin = Origin::answering(move |asked| {
        heard.lock().unwrap().push(asked.target.clone());
        let fields = |kind: &str| format!("content-type: {kind}\r\ncache-control: max-age=600\r\n");
        if asked.target.ends_with("v.m3u8") {
            let segments = [1, 2, 3, 4, 5].map(|at| format!("#EXTINF:4,\n{at}.m4s\n")).concat();
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
            return (200, fields("application/vnd.apple.mpegurl"), text);
        }
        (200, fields("video/mp4"), format!("segment {}", asked.target))
    });
    (origin, asked)
}

/// A `headwater edge` that is a shield before `origin`; its paths are the origin's below `/store`.
fn sensing(origin: &str, more: &str) -> Files {
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[cache]\nname = 'shield'\ndownstream = 'caches'\n\
         [shield]\non = true\nlink_file = 'link'\n{more}\n\
         [[upstream]]\nname = 'origin'\norigins = '{origin}'\n\
         [[site]]\nhosts = '*'\nupstream = 'origin'\n[[site.route]]\npath = '/'\n\
         rewrite = {{ from = '/', to = '/store/' }}\n\
         [operator]\nlisten = '127.0.0.1:0'\n"
    ));
    fs::write(files.path("link"), "secret\n").unwrap();
    files
}

/// What a page of metrics says of one.
fn counted(edge: &Edge, name: &str) -> u64 {
    let page = get(edge.addr("operator"), "localhost", "/metrics").body;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
}

#[test]
fn the_command_is_a_shield_that_has_the_next_segment_before_it_is_asked_for() {
    let (origin, asked) = title();
    let of_shield = sensing(&origin.url, "heads = 0");
    let shield = Edge::start(&of_shield);
    let addr = shield.addr("http");
    let keys = "shield = true\nlink_file = 'link'\nhost = 'client'";
    let files = Files::new(&config(addr, keys));
    fs::write(files.path("link"), "secret\n").unwrap();
    let edge = Edge::start(&files);
    let fetch = |target: &str| get(edge.addr("http"), "a.example", target);
    let has = |target: &str| asked.lock().unwrap().iter().filter(|one| *one == target).count();

    assert_eq!(fetch("/film/v.m3u8").status, 200);
    assert_eq!(fetch("/film/1.m4s").body, "segment /store/film/1.m4s");
    wait_for("the next one", || (has("/store/film/2.m4s") == 1).then_some(()));
    // It is there when all of it has come.
    let whole = "segment /store/film/2.m4s".len() as u64;
    let bytes = "headwater_origin_prefetch_bytes_total";
    wait_for("all of it", || (counted(&shield, bytes) >= whole).then_some(()));
    let next = fetch("/film/2.m4s");
    assert_eq!(next.body, "segment /store/film/2.m4s");
    assert!(next.field("cache-status").contains("shield; hit"), "{next:?}");
    assert_eq!(has("/store/film/2.m4s"), 1);
    assert_eq!(counted(&shield, "headwater_origin_prefetch_used_total"), 1);

    // Of a hit of the edge the shield sees no request: it is told.
    let before = counted(&shield, "headwater_origin_hints_taken_total");
    assert!(fetch("/film/2.m4s").field("cache-status").contains("; hit"));
    wait_for("a hint", || {
        (counted(&shield, "headwater_origin_hints_taken_total") > before).then_some(())
    });
    assert_eq!(counted(&shield, "headwater_origin_hints_refused_total"), 0);

    // Who does not know the secret is no edge.
    let path = "/.well-known/headwater-hints";
    for link in ["", "headwater-link: guess\r\n"] {
        let more = format!("{link}content-length: 0\r\n");
        assert_eq!(ask(addr, "POST", "a.example", path, &more).status, 403);
    }
    assert_eq!(counted(&shield, "headwater_origin_hints_refused_total"), 2);
}

/// What its own players say they will ask for is fetched, whether the cache has what they ask for now or not;
/// who says nothing is noted once, by the request alone.
#[test]
fn the_command_heeds_what_its_own_players_tell() {
    let (origin, asked) = title();
    let files = sensing(&origin.url, "heads = 0");
    let shield = Edge::start(&files);
    let addr = shield.addr("http");
    let has = |target: &str| asked.lock().unwrap().iter().filter(|one| *one == target).count();
    let told = |target: &str, next: &str| {
        let field = format!("cmcd-request: nor=\"{next}\"\r\n");
        let answer = ask(addr, "GET", "a.example", target, &field);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    };

    // No manifest says what comes next: the player does.
    assert!(!told("/film/1.m4s", "2.m4s").field("cache-status").contains("; hit"));
    wait_for("what was named", || (has("/store/film/2.m4s") == 1).then_some(()));
    let is_hit = |target: &str| {
        let answer = get(addr, "a.example", target);
        answer.field("cache-status").contains("shield; hit").then_some(())
    };
    wait_for("it in the cache", || is_hit("/film/2.m4s"));
    assert_eq!(has("/store/film/2.m4s"), 1, "what is fetched ahead and what is asked for are one");

    // Of a hit, too; and in the query, where it is no part of what is asked for.
    assert!(told("/film/1.m4s", "..%2Fother%2F7.m4s").field("cache-status").contains("; hit"));
    wait_for("what was named with a hit", || (has("/store/other/7.m4s") == 1).then_some(()));
    let target = "/film/1.m4s?CMCD=nor%3D%223.m4s%22";
    assert!(get(addr, "a.example", target).field("cache-status").contains("; hit"));
    wait_for("what was named in the query", || (has("/store/film/3.m4s") == 1).then_some(()));

    // No other host, and nothing that a client could not ask for.
    told("/film/1.m4s", "%2F%2Fb.example%2Ffilm%2F8.m4s");
    told("/film/1.m4s", "4.m4s");
    wait_for("what was named last", || (has("/store/film/4.m4s") == 1).then_some(()));
    assert_eq!(has("/store/film/8.m4s"), 0);
    assert_eq!(counted(&shield, "headwater_edge_hints_noted_total"), 5, "who told something");
    assert_eq!(counted(&shield, "headwater_origin_hints_refused_total"), 0);

    // A reload leaves it as it is.
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("[server]", "[server]\nheaders = { x-new = 'yes' }"));
    shield.signal("HUP");
    shield.hears("edge.toml was read again and is in force");
    assert_eq!(told("/film/1.m4s", "5.m4s").field("x-new"), "yes");
    wait_for("what was named after it", || (has("/store/film/5.m4s") == 1).then_some(()));
}

/// It is one title, whichever of its site's names and whatever port clients ask for it by, and whether they name
/// them in the target or beside it.
#[test]
fn what_comes_next_is_known_by_all_names_of_a_site() {
    let (origin, asked) = title();
    let files = sensing(&origin.url, "heads = 0");
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    let named = "hosts = ['a.example', 'b.example']\nupstream = 'origin'\n\
                 [[site]]\nhosts = '*'\nupstream = 'origin'";
    files.write(&text.replace("hosts = '*'\nupstream = 'origin'", named));
    let shield = Edge::start(&files);
    let addr = shield.addr("http");
    let fetch = |host: &str, whole: &str, target: &str| {
        assert_eq!(ask(addr, "GET", host, &format!("{whole}{target}"), "").status, 200, "{host}");
    };
    for (number, (manifest, segment)) in [
        ("a.example", "a.example"),
        ("b.example", "b.example"),
        ("a.example", "B.example:8443"),
        ("c.example:81", "c.example:81"),
        ("c.example", "c.example:81"),
    ]
    .into_iter()
    .enumerate()
    {
        for (form, at) in [("", "beside"), ("http://", "within")] {
            let whole =
                |host: &str| if form.is_empty() { String::new() } else { format!("{form}{host}") };
            let title = format!("/title-{number}-{at}");
            fetch(manifest, &whole(manifest), &format!("{title}/v.m3u8"));
            fetch(segment, &whole(segment), &format!("{title}/1.m4s"));
            let next = format!("{title}/2.m4s");
            let has = || asked.lock().unwrap().iter().any(|one| one.ends_with(&next));
            wait_for(&format!("{next} after {segment}"), || has().then_some(()));
        }
    }
}

/// The slices of a file end where the segments of its playlist do, known as clients ask for them.
#[test]
fn the_command_cuts_a_large_file_where_its_segments_end() {
    const LEN: usize = 200_000;
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&asked);
    let origin = Origin::answering(move |asked| {
        let fields = |kind: &str| format!("content-type: {kind}\r\ncache-control: max-age=600\r\n");
        if asked.target.ends_with("v.m3u8") {
            let segment = |at: usize| format!("#EXTINF:4,\n#EXT-X-BYTERANGE:9000@{at}\nfilm.mp4\n");
            let segments = (0..20).map(|number| segment(700 + number * 9000)).collect::<String>();
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
            return (200, fields("application/vnd.apple.mpegurl"), text);
        }
        heard.lock().unwrap().push(format!("{} {}", asked.target, asked.field("range")));
        let fields = fields("video/mp4") + "etag: \"1\"\r\n";
        let range = asked.field("range").strip_prefix("bytes=").and_then(|one| one.split_once('-'));
        let Some((first, last)) = range else { return (200, fields, "x".repeat(LEN)) };
        let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
        let last = last.min(LEN - 1);
        let named = format!("content-range: bytes {first}-{last}/{LEN}\r\n");
        (206, fields + &named, "x".repeat(last + 1 - first))
    });
    let files = sensing(&origin.url, "ahead = 0\nheads = 0");
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("[cache]", "[cache]\nmax_object = '64 KiB'\nslice = '16 KiB'"));
    let shield = Edge::start(&files);
    assert_eq!(get(shield.addr("http"), "a.example", "/film/v.m3u8").status, 200);
    // Somebody begins in the middle, and plays on.
    for number in 10..13 {
        let first = 700 + number * 9000;
        let range = format!("range: bytes={first}-{}\r\n", first + 8999);
        let part = ask(shield.addr("http"), "GET", "a.example", "/film/film.mp4", &range);
        assert_eq!((part.status, part.body.len()), (206, 9000));
    }
    let expected = [90_700, 99_700, 108_700]
        .map(|first| format!("/store/film/film.mp4 bytes={first}-{}", first + 8999));
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// Tells a shield, from an address of this machine, that somebody is at a segment; returns the status.
fn tell_from(from: &str, shield: SocketAddr, line: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().local_address(from.parse::<IpAddr>().unwrap());
        let url = format!("http://{shield}/.well-known/headwater-hints");
        let message =
            client.build().unwrap().post(url).body(format!("headwater-hints 1\n{line}\n"));
        message.send().await.unwrap().status().as_u16()
    })
}

#[test]
fn hints_are_believed_that_come_from_the_networks_that_are_named() {
    let (origin, asked) = title();
    let files = sensing(&origin.url, "heads = 0\nhints_from = ['127.0.0.2', '127.1.0.0/16']");
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("link_file = 'link'\n", ""));
    let shield = Edge::start(&files);
    let addr = shield.addr("http");
    let has = |target: &str| asked.lock().unwrap().iter().filter(|one| *one == target).count();
    for (number, (from, status)) in
        [("127.0.0.1", 403), ("127.0.0.3", 403), ("127.0.0.2", 204), ("127.1.2.3", 204)]
            .into_iter()
            .enumerate()
    {
        let line = format!("//a.example/film/1.m4s k=1 n=named-{number}.m4s");
        assert_eq!(tell_from(from, addr, &line), status, "{from}");
    }
    wait_for("what was named first", || (has("/store/film/named-2.m4s") == 1).then_some(()));
    wait_for("what was named last", || (has("/store/film/named-3.m4s") == 1).then_some(()));
    assert_eq!((has("/store/film/named-0.m4s"), has("/store/film/named-1.m4s")), (0, 0));
    assert_eq!(counted(&shield, "headwater_origin_hints_refused_total"), 2);
    assert_eq!(counted(&shield, "headwater_origin_hints_taken_total"), 2);
}

#[test]
fn what_a_shield_knows_outlives_a_reload_and_its_own_keys_need_a_restart() {
    let (origin, asked) = title();
    let files = sensing(&origin.url, "heads = 0");
    let shield = Edge::start(&files);
    let fetch = |target: &str| get(shield.addr("http"), "a.example", target);
    assert_eq!(fetch("/film/v.m3u8").status, 200);
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("[server]", "[server]\nheaders = { x-new = 'yes' }"));
    shield.signal("HUP");
    shield.hears("edge.toml was read again and is in force");
    assert_eq!(fetch("/film/1.m4s").status, 200);
    let has = |target: &str| asked.lock().unwrap().iter().any(|one| one == target);
    wait_for("the next one", || has("/store/film/2.m4s").then_some(()));
    let next = fetch("/film/2.m4s");
    assert_eq!(next.field("x-new"), "yes", "what is fetched ahead goes through the edge in force");
    files.write(&text.replace("heads = 0", "heads = 1"));
    shield.signal("HUP");
    shield.hears("shield.heads: 0 became 1; that needs a restart");
}

/// Films of so many segments of 20 kB, cacheable for long.
fn films(segments: usize) -> Origin {
    Origin::answering(move |asked| {
        let fields =
            |kind: &str| format!("content-type: {kind}\r\ncache-control: max-age=9999\r\n");
        if asked.target.ends_with("v.m3u8") {
            let segments = (0..segments).map(|at| format!("#EXTINF:4,\n{at}.m4s\n"));
            let segments = segments.collect::<Vec<_>>().concat();
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
            return (200, fields("application/vnd.apple.mpegurl"), text);
        }
        (200, fields("video/mp4"), "x".repeat(20_000))
    })
}

/// Of the 24 objects that eight films begin with, which two viewers each have asked for, those that a shield of
/// 3 MB has in memory once two crawlers have read two other films to their ends, one behind the other.
fn heads_that_are_left(more: &str) -> usize {
    let origin = films(160);
    let files = sensing(&origin.url, &format!("ahead = 0\nheads = 0\n{more}"));
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    let ram = "[cache]\nram = '3 MB'\nmax_object = '64 KiB'\nslice = '64 KiB'";
    files.write(&text.replace("[cache]", ram));
    let shield = Edge::start(&files);
    let is_hit = |target: &str| {
        let answer = get(shield.addr("http"), "a.example", target);
        assert_eq!(answer.status, 200, "{target}");
        answer.field("cache-status").contains("shield; hit")
    };
    // The second finds what the first has brought.
    let twice = |target: &str| {
        is_hit(target);
        wait_for(target, || is_hit(target).then_some(()));
    };
    let head = |film: usize| ["v.m3u8", "0.m4s", "1.m4s"].map(|of| format!("/film-{film}/{of}"));
    (0..8).flat_map(head).for_each(|target| twice(&target));
    for film in ["/long-1", "/long-2"] {
        twice(&format!("{film}/v.m3u8"));
        (0..160).for_each(|at| twice(&format!("{film}/{at}.m4s")));
    }
    (0..8).flat_map(head).filter(|target| is_hit(target)).count()
}

#[test]
fn with_retention_what_popular_films_begin_with_outlives_crawlers() {
    let (kept, plain) = (heads_that_are_left("retention = true"), heads_that_are_left(""));
    assert!(kept >= 20 && plain <= 4, "{kept} {plain}");
}

/// The files of one of several shields that share titles, by the name of its cache, and what its `[server]` and
/// its `[shield]` say besides.
fn sharing(origin: &str, name: &str, server: &str, more: &str) -> Files {
    let files = sensing(origin, &format!("ahead = 0\n{more}"));
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    let text = text.replace("name = 'shield'", &format!("name = '{name}'"));
    let text = text.replace("[cache]", &format!("{server}\n[cache]"));
    files.write(&text.replace("rewrite = { from = '/', to = '/store/' }", "ttl = '1 h'"));
    files
}

/// Asks for a segment of each of sixteen titles.
fn each(of: &Edge) {
    each_one(of, 1);
}

/// For this one of each.
fn each_one(of: &Edge, segment: usize) {
    for title in 0..16 {
        let target = format!("/title-{title}/{segment}.m4s");
        let answer = get(of.addr("http"), "a.example", &target);
        assert_eq!(answer.body, format!("segment {target}"));
    }
}

#[test]
fn a_peer_is_asked_for_its_own_titles_before_the_origin() {
    let (origin, _) = title();
    let of_other = sharing(&origin.url, "other", "", "");
    let other = Edge::start(&of_other);
    let peers =
        format!("known_as = 'http://shield.example'\npeers = 'http://{}'", other.addr("http"));
    let files = sharing(&origin.url, "shield", "", &peers);
    let shield = Edge::start(&files);
    each(&shield);
    assert_eq!(origin.asked(), 16);
    let its = counted(&shield, "headwater_origin_peer_requests_total");
    assert!(its > 0 && its < 16, "{its}");
    assert_eq!(counted(&shield, "headwater_origin_peer_failures_total"), 0);
    each(&other);
    assert_eq!(origin.asked() as u64, 16 + (16 - its), "what is its own it has already");
}

#[test]
fn peers_come_and_go_at_a_reload() {
    let (origin, _) = title();
    let of_other = sharing(&origin.url, "other", "", "");
    let other = Edge::start(&of_other);
    let files = sharing(&origin.url, "shield", "", "known_as = 'http://shield.example'");
    let shield = Edge::start(&files);
    let asked = || counted(&shield, "headwater_origin_peer_requests_total");
    each_one(&shield, 1);
    assert_eq!((asked(), origin.asked()), (0, 16));

    let alone = fs::read_to_string(files.path("edge.toml")).unwrap();
    let known = "known_as = 'http://shield.example'";
    let peers = format!(
        "{known}\npeers = ['http://shield.example', 'http://{}']\nweights = [0, 1]",
        other.addr("http")
    );
    files.write(&alone.replace(known, &peers));
    shield.signal("HUP");
    shield.hears("  shield.weights: ");
    each_one(&shield, 2);
    assert_eq!(asked(), 16, "{}", shield.said());
    assert_eq!(counted(&shield, "headwater_origin_peer_failures_total"), 0);

    files.write(&alone);
    shield.signal("HUP");
    wait_for("the reload", || (shield.said().matches("is in force").count() == 2).then_some(()));
    each_one(&shield, 3);
    assert_eq!((asked(), origin.asked()), (16, 48));
}

#[test]
fn a_peer_has_the_share_that_it_is_given_and_shows_a_certificate_of_the_authority_that_is_named() {
    let (origin, _) = title();
    let authority = Authority::new();
    let tls = "listen = '127.0.0.1:0'\n[server.tls]\ncertificate = 'own.pem'\nkey = 'own.key'";
    let of_other = sharing(&origin.url, "other", tls, "");
    authority.issue(&of_other, "own", &["127.0.0.1"]);
    let other = Edge::start(&of_other);
    let peers = format!(
        "known_as = 'http://shield.example'\n\
         peers = ['http://shield.example', 'https://{}']\nweights = [0, 1]",
        other.addr("https")
    );
    let failed = "headwater_origin_peer_failures_total";
    let asked = "headwater_origin_peer_requests_total";

    let files = sharing(&origin.url, "shield", "", &format!("{peers}\nca = 'ca.pem'"));
    authority.write(&files);
    let shield = Edge::start(&files);
    each(&shield);
    assert_eq!((counted(&shield, asked), counted(&shield, failed)), (16, 0));

    // Nobody whom the system believes has signed it.
    let files = sharing(&origin.url, "stranger", "", &peers);
    let stranger = Edge::start(&files);
    each(&stranger);
    assert!(counted(&stranger, failed) > 0);
}

#[test]
fn a_peer_that_asks_for_a_certificate_is_shown_one_and_another_after_a_reload() {
    let (origin, _) = title();
    let authority = Authority::new();
    let tls = "listen = '127.0.0.1:0'\n[server.tls]\ncertificate = 'own.pem'\nkey = 'own.key'\n\
               client_ca = 'ca.pem'";
    let of_other = sharing(&origin.url, "other", tls, "");
    authority.issue(&of_other, "own", &["127.0.0.1"]);
    authority.write(&of_other);
    let other = Edge::start(&of_other);
    let peers = format!(
        "known_as = 'http://shield.example'\n\
         peers = ['http://shield.example', 'https://{}']\nweights = [0, 1]\nca = 'ca.pem'",
        other.addr("https")
    );
    let failed = "headwater_origin_peer_failures_total";
    let asked = "headwater_origin_peer_requests_total";

    // Without one it is turned away.
    let files = sharing(&origin.url, "shield", "", &peers);
    authority.write(&files);
    let shield = Edge::start(&files);
    each_one(&shield, 1);
    assert!(counted(&shield, failed) > 0);

    let shown = format!("{peers}\nclient_certificate = 'shown.pem'\nclient_key = 'shown.key'");
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    // Of an authority that the peer does not know.
    Authority::new().issue(&files, "shown", &["shield.example"]);
    files.write(&text.replace(&peers, &shown));
    let reload = |times: usize| {
        shield.signal("HUP");
        let is_done = || shield.said().matches("was read again").count() == times;
        wait_for("the reload", || is_done().then_some(()));
    };
    reload(1);
    let before = counted(&shield, failed);
    each_one(&shield, 2);
    assert!(counted(&shield, failed) > before, "{}", shield.said());

    // The file holds another one: nothing in the configuration says so.
    authority.issue(&files, "shown", &["shield.example"]);
    reload(2);
    let before = (counted(&shield, asked), counted(&shield, failed));
    each_one(&shield, 3);
    assert_eq!(
        (counted(&shield, asked), counted(&shield, failed)),
        (before.0 + 16, before.1),
        "{}",
        shield.said()
    );

    // What cannot be used changes nothing.
    fs::write(files.path("shown.key"), "no key").unwrap();
    shield.signal("HUP");
    shield.hears("shown.key holds no private key in PEM form");
    shield.hears("edge.toml: nothing was changed");
    each_one(&shield, 4);
    assert_eq!(counted(&shield, asked), before.0 + 32);
}
