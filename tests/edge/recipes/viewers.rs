//! Recipes of who is let in, and of what is known of them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Kitchen, is_hit, origin};
use crate::access::mmdb;
use crate::crowd::Crowd;
use crate::process::{Files, Origin, ask, wait_for};

pub(super) fn video_on_demand_with_signed_links(files: &[&str]) {
    let (origin, _) = origin("content-type: video/mp4\r\ncache-control: max-age=600\r\n");
    let kitchen = with_a_key(files[0], &origin);
    let sign = || signed(&kitchen);
    let get = |target: &str| kitchen.get("video.example", target);
    let token = sign();
    assert_eq!(get("/films/7/main.m3u8").status, 401);
    assert_eq!(get(&format!("/t/{token}/films/7/main.m3u8")).body, "/films/7/main.m3u8");
    assert_eq!(get(&format!("/t/{token}/films/8/main.m3u8")).status, 403);
    assert_eq!(get(&format!("/t/{token}/films/7/1.m4s")).status, 200);
    let asked = origin.asked();
    assert!(is_hit(&get(&format!("/t/{}/films/7/1.m4s?x", sign()))), "viewers share it");
    assert_eq!(origin.asked(), asked);
    assert_eq!(get("/posters/7.jpg").status, 200);
}

/// Starts a recipe whose site has a key to sign with.
fn with_a_key(text: &str, origin: &Origin) -> Kitchen {
    let files = Files::new(text);
    fs::write(files.path("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let set = [
        ("UPSTREAM__PACKAGER__ORIGINS", &*origin.url),
        ("SITE__0__TOKENS__KEY__0__SECRET_FILE", "key"),
    ];
    Kitchen::start_in(files, &set)
}

pub(super) const SIGNED_LINKS: &str = "video_on_demand_with_signed_links";

/// A link's token, made as the text says.
fn signed(kitchen: &Kitchen) -> String {
    let said = kitchen.run(SIGNED_LINKS, &[("/etc/headwater/token-2026", "key")]);
    said.unwrap().trim().to_owned()
}

pub(super) fn a_player_on_another_site(files: &[&str]) {
    let (origin, _) =
        origin("content-type: video/mp4\r\ncache-control: max-age=600\r\nvary: origin\r\n");
    let kitchen = with_a_key(files[0], &origin);
    let portal = "origin: https://www.portal.example\r\n";
    let ask = |method: &str, target: &str, fields: &str| {
        ask(kitchen.http(), method, "video.example", target, fields)
    };
    let may_read = "access-control-allow-origin";
    let film = format!("/t/{}/films/7/1.m4s", signed(&kitchen));
    let question = |method: &str| format!("{portal}access-control-request-method: {method}\r\n");
    let preflight = ask("OPTIONS", "/films/7/1.m4s", &question("GET"));
    assert_eq!((preflight.status, preflight.field(may_read)), (204, "https://www.portal.example"));
    let refused = ask("GET", "/films/7/1.m4s", portal);
    assert_eq!((refused.status, refused.field(may_read)), (401, "https://www.portal.example"));
    let shown = ask("GET", &film, portal);
    assert_eq!((shown.status, shown.field(may_read)), (200, "https://www.portal.example"));
    assert_eq!(shown.field("access-control-expose-headers"), "cmsd-dynamic");
    assert_eq!(shown.field("cross-origin-resource-policy"), "cross-origin");
    let other = ask("GET", &film, "origin: https://other.example\r\n");
    assert_eq!((other.status, other.field(may_read)), (200, ""));
    assert!(is_hit(&other), "pages share what is cached");

    let preflight = ask("OPTIONS", "/cmcd", &question("POST"));
    assert_eq!(preflight.status, 204);
    assert!(preflight.field("access-control-allow-methods").contains("POST"), "{preflight:?}");
    let others = question("POST").replace("portal", "other");
    assert_eq!(ask("OPTIONS", "/cmcd", &others).status, 403);
    let report = "v=2,e=ps,sta=r,sid=\"one\",ts=5\n";
    // What asks adds a line feed to what it sends.
    let length = report.len() + 2;
    let fields = format!("{portal}content-type: application/cmcd\r\ncontent-length: {length}\r\n");
    let posted = || ask("POST", "/cmcd", &format!("{fields}\r\n{report}"));
    let first = posted();
    assert_eq!((first.status, first.field(may_read)), (204, "https://www.portal.example"));
    // Thirty in a minute, and one more in each two seconds.
    assert!((0..600).any(|_| posted().status == 429), "the limit is for it");
    assert_eq!(ask("GET", &film, portal).status, 200, "and for nothing else");
}

pub(super) fn who_is_let_in_and_from_where(files: &[&str]) {
    let origin = Origin::start("one");
    let of_recipe = Files::new(files[0]);
    let (database, denied) = (of_recipe.path("geo.mmdb"), of_recipe.path("denied"));
    let places = [("192.0.2.0/24", "DE"), ("198.51.100.0/24", "AT"), ("203.0.113.0/24", "FR")];
    fs::write(&database, mmdb::database(&places)).unwrap();
    fs::write(&denied, "198.51.100.66\n").unwrap();
    let kitchen = Kitchen::start_in(
        of_recipe,
        &[
            ("UPSTREAM__MEDIA__ORIGINS", &origin.url),
            ("SERVER__FORWARDED_BY", "127.0.0.1"),
            ("GEO__DATABASE", database.to_str().unwrap()),
            ("POLICY__RIGHTS__ADDRESSES__DENY_FILE", denied.to_str().unwrap()),
        ],
    );
    let from = |address: &str, method: &str, target: &str, page: &str| {
        let page = if page.is_empty() { String::new() } else { format!("referer: {page}\r\n") };
        let fields = format!("x-forwarded-for: {address}\r\n{page}");
        ask(kitchen.http(), method, "video.example", target, &fields).status
    };
    let embedded = "https://a.partner.example/clip";
    for (address, method, target, page, status) in [
        ("192.0.2.1", "GET", "/films/1", "", 200),
        ("198.51.100.1", "GET", "/films/1", embedded, 200),
        ("198.51.100.1", "GET", "/films/1", "https://thief.example/", 403),
        ("198.51.100.66", "GET", "/films/1", "", 403),
        ("203.0.113.1", "GET", "/films/1", "", 403),
        ("10.9.9.9", "GET", "/films/1", "", 403),
        ("203.0.113.1", "GET", "/trailers/1", "", 200),
        ("10.9.9.9", "GET", "/trailers/1", embedded, 200),
        ("203.0.113.1", "GET", "/trailers/1", "https://thief.example/", 403),
        ("192.0.2.1", "GET", "/studio/1", "", 200),
        ("192.0.2.1", "HEAD", "/studio/1", "", 405),
        ("198.51.100.1", "GET", "/studio/1", "", 403),
    ] {
        assert_eq!(from(address, method, target, page), status, "{address} {method} {target}");
    }
    fs::write(&denied, "198.51.100.0/24\n").unwrap();
    let places = [("192.0.2.0/24", "FR"), ("198.51.100.0/24", "AT"), ("203.0.113.0/24", "CH")];
    fs::write(&database, mmdb::database(&places)).unwrap();
    kitchen.edge.signal("HUP");
    kitchen.edge.hears("was read again");
    assert_eq!(from("198.51.100.1", "GET", "/films/1", ""), 403, "by the list");
    assert_eq!(from("192.0.2.1", "GET", "/films/1", ""), 403, "by the database");
    assert_eq!(from("203.0.113.1", "GET", "/films/1", ""), 200, "by the database");
}

pub(super) fn limits_for_strangers(files: &[&str]) {
    const MIB: usize = 1 << 20;
    let origin = Origin::answering(|asked| {
        let length = if asked.target == "/large" { 64 * MIB } else { 1 };
        (200, "cache-control: max-age=600\r\n".to_owned(), "x".repeat(length))
    });
    let kitchen = Kitchen::start(
        files[0],
        &[("UPSTREAM__MEDIA__ORIGINS", &origin.url), ("SERVER__LISTEN_HTTP", "0.0.0.0:0")],
    );
    let addr = SocketAddr::from(([127, 0, 0, 1], kitchen.http().port()));
    // What two seconds bring comes at once, and of the rest 16 MiB in each second.
    let begun = Instant::now();
    assert_eq!(ask(addr, "GET", "h", "/large", "").body.len(), 64 * MIB);
    let took = begun.elapsed();
    // But for what was on its way when the rate was looked at.
    assert!(took >= Duration::from_secs(2) * 31 / 32, "{took:?}");
    // As many as are refused at once on any machine, until one is.
    let refused = |from: [u8; 4], target: &'static str| {
        let found = AtomicBool::default();
        wait_for("a refusal", || {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for answer in ask_from(from.into(), addr, target, 20) {
                            if let (429, after) = answer {
                                assert!(after.parse::<u32>().is_ok_and(|after| after > 0));
                                found.store(true, Ordering::SeqCst);
                            }
                        }
                    });
                }
            });
            found.load(Ordering::SeqCst).then_some(())
        });
    };
    refused([127, 0, 0, 2], "/search");
    refused([127, 0, 0, 3], "/x");
    assert_eq!(ask_from([127, 0, 0, 4].into(), addr, "/x", 1)[0].0, 200, "who asked little");
    let large = ask(addr, "GET", "h", "/x", "content-length: 65537\r\n");
    assert_eq!(large.status, 413);
    watchers_come_first(files[0], &origin);
}

/// Of the same file: one worker, late by more than the least time that can be told.
fn watchers_come_first(text: &str, origin: &Origin) {
    let kitchen = Kitchen::start(
        text,
        &[
            ("UPSTREAM__MEDIA__ORIGINS", &origin.url),
            ("SERVER__WORKERS", "1"),
            ("SHED__TARGET", "1 ms"),
            ("SHED__INTERVAL", "10 ms"),
            ("LIMIT__REQUESTS__REQUESTS", "1000000"),
        ],
    );
    let watch = || kitchen.get("h", "/film/1.m4s?CMCD=sid%3D%22one%22").status;
    assert_eq!(watch(), 200);
    let crowd = Crowd::begin(kitchen.http(), "h", "/page");
    wait_for("somebody to be turned away", || crowd.refusal());
    // Whoever watches is, at the most, with every fourth request.
    let statuses: Vec<u16> = (0..8).map(|_| watch()).collect();
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert!(served >= 6, "{statuses:?}");
}

/// Asks so many times from an address of this machine; statuses, and when to come again.
fn ask_from(from: IpAddr, addr: SocketAddr, target: &str, times: usize) -> Vec<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().local_address(from).build().unwrap();
        let mut answers = Vec::new();
        for _ in 0..times {
            let answer = client.get(format!("http://{addr}{target}")).send().await.unwrap();
            let after = answer.headers().get("retry-after");
            let after = after.map_or("", |after| after.to_str().unwrap()).to_owned();
            answers.push((answer.status().as_u16(), after));
        }
        answers
    })
}

pub(super) fn what_viewers_see(files: &[&str]) {
    let (origin, _) = origin("content-type: video/mp4\r\ncache-control: max-age=600\r\n");
    let kitchen = Kitchen::start(files[0], &[("UPSTREAM__MEDIA__ORIGINS", &origin.url)]);
    let segment = kitchen.get("h", "/film/1.m4s?CMCD=bl%3D4000%2Csid%3D%22one%22");
    assert_eq!((segment.status, &*segment.body), (200, "/film/1.m4s"), "it is taken off");
    assert!(segment.field("cmsd-dynamic").starts_with("\"edge-1\";"), "{segment:?}");
    let report = "v=2,e=ps,sta=r,sid=\"one\",ts=5\n";
    // What asks adds a line feed to what it sends.
    let length = report.len() + 2;
    let more =
        format!("content-type: application/cmcd\r\ncontent-length: {length}\r\n\r\n{report}");
    assert_eq!(ask(kitchen.http(), "POST", "h", "/cmcd", &more).status, 204);
    let view = kitchen.operator("GET", "/sessions", "").body;
    let view: serde_json::Value = serde_json::from_str(&view).unwrap();
    assert_eq!(view["sessions"][0]["id"], "one");
    assert_eq!(view["sessions"][0]["rebuffers"], 1);
    let steered = kitchen.get("h", "/steering?_HLS_pathway=edge-1").body;
    let expected = serde_json::json!({
        "VERSION": 1, "TTL": 30, "PATHWAY-PRIORITY": ["edge-1", "edge-2"]
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&steered).unwrap(), expected);
    let page = kitchen.operator("GET", "/metrics", "").body;
    assert!(page.contains("headwater_edge_cmcd_total{by=\"report\",read=\"yes\"} 1"), "{page}");

    // Too many are two here, and who is told is told again in a second.
    let kitchen = Kitchen::start(
        files[0],
        &[
            ("UPSTREAM__MEDIA__ORIGINS", &origin.url),
            ("STEERING__MOST_SESSIONS", "1"),
            ("STEERING__TTL", "1 s"),
        ],
    );
    let watch = |id: &str| {
        let asked = format!("/film/1.m4s?CMCD=sid%3D%22{id}%22");
        assert_eq!(kitchen.get("h", &asked).status, 200);
    };
    let first = || {
        let told = kitchen.get("h", "/steering?_HLS_pathway=edge-1").body;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["PATHWAY-PRIORITY"][0].as_str().unwrap().to_owned()
    };
    watch("one");
    assert_eq!(first(), "edge-1");
    watch("two");
    wait_for("the other edge", || (first() == "edge-2").then_some(()));
}

pub(super) fn an_application_beside_the_video(files: &[&str]) {
    let origin = Origin::answering(|asked| {
        let fields = "cache-control: max-age=600\r\nserver: x\r\nx-powered-by: y\r\n".to_owned();
        let (host, via) = (asked.field("host"), asked.field("x-via"));
        let switches = asked.field("upgrade") == "websocket";
        if switches {
            let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
            let fields = format!("upgrade: websocket\r\nconnection: upgrade\r\n{accept}");
            return (101, fields, String::new());
        }
        (200, fields, format!("{host} {} {via}", asked.target))
    });
    let kitchen = Kitchen::start(files[0], &[("UPSTREAM__APP__ORIGINS", &origin.url)]);
    let get = |target: &str| kitchen.get("app.example", target);
    for _ in 0..2 {
        assert_eq!(get("/api/me?session=1").body, "app.example /api/me edge");
    }
    assert_eq!(origin.asked(), 2, "each time");
    let post = ask(kitchen.http(), "POST", "app.example", "/api/x", "content-length: 0\r\n");
    assert_eq!(post.status, 200);
    let page = get("/page?session=1");
    assert_eq!((page.field("server"), page.field("x-powered-by")), ("", ""));
    assert!(is_hit(&get("/page?session=2")), "a session splits nothing");
    let upgrade = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let switched = switched(kitchen.http(), upgrade);
    assert!(switched.starts_with("HTTP/1.1 101 "), "{switched}");
}

/// The first line of what a request for a WebSocket is answered.
fn switched(addr: SocketAddr, more: &str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    write!(
        stream,
        "GET /chat HTTP/1.1\r\nhost: app.example\r\nupgrade: websocket\r\nconnection: upgrade\r\n{more}\r\n"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
