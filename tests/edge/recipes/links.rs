//! Recipes of what stands behind an edge, and of certificates.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::{Kitchen, is_hit, origin};
use crate::authority::Authority;
use crate::process::{Files, Origin, get, get_https, wait_for};

pub(super) fn several_origins(files: &[&str]) {
    let ((one, broken), two) = (origin("cache-control: no-store\r\n"), Origin::start("two"));
    let origins = format!("[\"{}\", \"{}\"]", one.url, two.url);
    let kitchen = Kitchen::start(files[0], &[("UPSTREAM__MEDIA__ORIGINS", &origins)]);
    assert_eq!(kitchen.get("h", "/a").body, "/a");
    assert_eq!(two.asked(), 0, "the first is asked");
    broken.store(true, Ordering::SeqCst);
    for number in 0..3 {
        let answer = kitchen.get("h", &format!("/b{number}"));
        assert!(answer.status == 200 && answer.body.starts_with("two "), "{answer:?}");
    }
    let down = format!("headwater_upstream_up{{upstream=\"media\",origin=\"{}\"}} 0", one.url);
    let page = || kitchen.operator("GET", "/metrics", "").body;
    // It may be tried again meanwhile, and is down again.
    wait_for("it to be down", || page().lines().any(|line| line == down).then_some(()));
}

pub(super) fn survive_an_origin_that_is_down(files: &[&str]) {
    let ((one, first), (two, second)) =
        (origin("cache-control: max-age=0\r\n"), origin("cache-control: max-age=0\r\n"));
    let origins = format!("[\"{}\", \"{}\"]", one.url, two.url);
    let kitchen = Kitchen::start(
        files[0],
        &[("UPSTREAM__MEDIA__ORIGINS", &origins), ("UPSTREAM__MEDIA__CHECK__EVERY", "10 ms")],
    );
    assert_eq!(kitchen.get("h", "/film/1.m4s").body, "/film/1.m4s");
    first.store(true, Ordering::SeqCst);
    second.store(true, Ordering::SeqCst);
    let page = || kitchen.operator("GET", "/metrics", "").body;
    let up = "headwater_upstream_up{upstream=\"media\",origin=";
    wait_for("both to be down", || {
        let page = page();
        let mut known = page.lines().filter(|line| line.starts_with(up));
        assert_eq!(kitchen.get("h", "/film/1.m4s").body, "/film/1.m4s", "all the way");
        known.all(|line| line.ends_with(" 0")).then_some(())
    });
    let stale = kitchen.get("h", "/film/1.m4s");
    assert_eq!((stale.status, &*stale.body), (200, "/film/1.m4s"));
    assert!(is_hit(&stale), "{stale:?}");
    assert_eq!(kitchen.get("h", "/never").status, 502);
    second.store(false, Ordering::SeqCst);
    wait_for("one to be back", || (kitchen.get("h", "/never").status == 200).then_some(()));
}

pub(super) fn an_origin_shield(files: &[&str]) {
    let [edge, shield] = files else { panic!("{files:?}") };
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let hears = Arc::clone(&heard);
    let origin = Origin::answering(move |asked| {
        hears.lock().unwrap().push(asked.target.clone());
        let fields = |kind: &str| format!("content-type: {kind}\r\ncache-control: max-age=600\r\n");
        if asked.target.ends_with("/v.m3u8") {
            let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n1.m4s\n#EXTINF:4,\n2.m4s\n\
                        #EXT-X-ENDLIST\n";
            return (200, fields("application/vnd.apple.mpegurl"), text.to_owned());
        }
        (200, fields("video/mp4"), asked.target.clone())
    });
    let secret = Files::new("");
    std::fs::write(secret.path("link"), "secret\n").unwrap();
    let link = secret.path("link").display().to_string();
    // The second knows the first; a port that is not there yet, nobody knows.
    let start = |name: &str, peers: &str| {
        let known_as = format!("http://{name}.example");
        let set = [
            ("CACHE__NAME", name),
            ("CACHE__RAM", "64 MiB"),
            ("UPSTREAM__ORIGIN__ORIGINS", &origin.url),
            ("SHIELD__LINK_FILE", &link),
            ("SHIELD__KNOWN_AS", &known_as),
            ("SHIELD__PEERS", peers),
            // However busy the machine is, no origin is asked because a peer took long.
            ("SHIELD__PATIENCE", "5 min"),
        ];
        Kitchen::start(shield, &set)
    };
    let first = start("shield-1", "[]");
    let url = format!("http://{}", first.http());
    let second = start("shield-2", &format!("[\"{url}\"]"));
    let urls = format!("[\"{url}\", \"http://{}\"]", second.http());
    let set = [("UPSTREAM__SHIELD__ORIGINS", &*urls), ("UPSTREAM__SHIELD__LINK_FILE", &link)];
    let edge = Kitchen::start(edge, &set);
    for title in 0..20 {
        let target = |name: &str| format!("/vod/title-{title}/{name}");
        for name in ["v.m3u8", "1.m4s"] {
            assert_eq!(edge.get("h", &target(name)).status, 200);
        }
        wait_for("the next segment", || {
            heard.lock().unwrap().contains(&target("2.m4s")).then_some(())
        });
        assert_eq!(edge.get("h", &target("2.m4s")).body, target("2.m4s"));
    }
    assert_eq!(origin.asked(), 3 * 20, "each once, whoever asked");
    assert!(is_hit(&edge.get("h", "/vod/title-0/2.m4s")));
    let said = |shield: &Kitchen, name: &str| {
        let page = shield.operator("GET", "/metrics", "").body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse::<u64>().unwrap()
    };
    for shield in [&first, &second] {
        assert!(said(shield, "headwater_origin_segment_requests_total") > 0, "titles are shared");
    }
    wait_for("hints", || {
        let taken = [&first, &second].map(|of| said(of, "headwater_origin_hints_taken_total"));
        (taken != [0, 0]).then_some(())
    });
}

pub(super) fn a_shield_behind_edges(files: &[&str]) {
    let [edge, shield] = files else { panic!("{files:?}") };
    let (origin, _) = origin("content-type: video/mp4\r\ncache-control: max-age=600\r\n");
    let of_shield = Files::new(shield);
    let disk = of_shield.path("disk").display().to_string();
    let shield = Kitchen::start_in(
        of_shield,
        &[
            ("UPSTREAM__ORIGIN__ORIGINS", &origin.url),
            ("CACHE__DISK__FOLDER", &disk),
            // What the machine of a test may not have.
            ("CACHE__DISK__SIZE", "256 MiB"),
        ],
    );
    let url = format!("http://{}", shield.http());
    let edges = [(); 2].map(|()| Kitchen::start(edge, &[("UPSTREAM__SHIELD__ORIGINS", &url)]));
    for edge in &edges {
        assert_eq!(edge.get("h", "/film/1.m4s").body, "/film/1.m4s");
    }
    assert_eq!(origin.asked(), 1, "once, however many edges there are");
    let empty = "content-length: 0\r\n";
    let purged = shield.operator("POST", "/purge?prefix=http://h/film/", empty);
    let answer: serde_json::Value = serde_json::from_str(&purged.body).unwrap();
    let sequence = answer["sequence"].as_u64().unwrap();
    for edge in &edges {
        let target = format!("/purge?prefix=http://h/film/&sequence={sequence}");
        assert_eq!(edge.operator("POST", &target, empty).status, 200);
    }
    for edge in &edges {
        assert!(!is_hit(&edge.get("h", "/film/1.m4s")));
    }
    assert_eq!(origin.asked(), 2, "what was purged comes back from neither");
}

pub(super) fn edges_known_by_their_certificates(files: &[&str]) {
    let [edge, shield] = files else { panic!("{files:?}") };
    let origin = Origin::start("one");
    let (of_shield, of_edge) = (Files::new(shield), Files::new(edge));
    let authority = Authority::new();
    let ca = authority.write(&of_shield);
    let (certificate, key) = authority.issue(&of_shield, "shield", &["127.0.0.1"]);
    let shield = Kitchen::start_in(
        of_shield,
        &[
            ("UPSTREAM__ORIGIN__ORIGINS", &origin.url),
            ("SERVER__TLS__CERTIFICATE", &certificate),
            ("SERVER__TLS__KEY", &key),
            ("SERVER__TLS__CLIENT_CA", &ca),
        ],
    );
    let addr = shield.edge.addr("https");
    let url = format!("https://{addr}");
    let (certificate, key) = authority.issue(&of_edge, "edge", &["edge"]);
    let mut set = [
        ("UPSTREAM__SHIELD__ORIGINS", url.as_str()),
        ("UPSTREAM__SHIELD__CA", &ca),
        ("UPSTREAM__SHIELD__CLIENT_CERTIFICATE", &certificate),
        ("UPSTREAM__SHIELD__CLIENT_KEY", &key),
    ];
    let edge = Kitchen::start_in(of_edge, &set);
    assert!(edge.get("h", "/x").body.starts_with("one "));

    // Without a certificate, with one of another authority, and to another's shield.
    let stranger = std::panic::catch_unwind(|| get_https(addr, "shield.example", "/x"));
    assert!(stranger.is_err(), "{stranger:?}");
    let others = Authority::new();
    let (certificate, key) = others.issue(&edge.files, "other", &["edge"]);
    (set[2].1, set[3].1) = (&certificate, &key);
    let other = Kitchen::start(files[0], &set);
    assert_eq!(other.get("h", "/x").status, 502);
    let ca = others.write(&edge.files);
    set[1].1 = &ca;
    let misled = Kitchen::start(files[0], &set);
    assert_eq!(misled.get("h", "/x").status, 502);
    assert_eq!(origin.asked(), 1);
}

pub(super) fn many_sites(files: &[&str]) {
    let (shop, media) = (Origin::start("shop"), Origin::start("media"));
    let set = [("UPSTREAM__SHOP__ORIGINS", &*shop.url), ("UPSTREAM__MEDIA__ORIGINS", &*media.url)];
    let kitchen = Kitchen::start(files[0], &set);
    assert_eq!(kitchen.get("shop.example", "/x").body, "shop shop.example /x\n");
    let host = media.url.trim_start_matches("http://");
    let picture = kitchen.get("shop.example", "/pictures/1.jpg");
    assert_eq!(picture.body, format!("media {host} /shop/1.jpg\n"));
    assert!(is_hit(&kitchen.get("shop.example", "/pictures/1.jpg")));
    let moved = kitchen.get("www.shop.example", "/x?y");
    assert_eq!((moved.status, moved.field("location")), (308, "http://shop.example/x?y"));
    for tenant in ["a.tenants.example", "b.tenants.example"] {
        assert_eq!(kitchen.get(tenant, "/x").body, format!("shop {tenant} /x\n"));
    }
    let closed = kitchen.get("a.tenants.example", "/closed/x");
    assert_eq!((closed.status, &*closed.body), (410, "this has moved away"));
    assert_eq!(kitchen.get("other.example", "/x").status, 421);
}

pub(super) fn certificates_that_the_edge_gets_for_itself(files: &[&str]) {
    let of_recipe = Files::new(files[0]);
    let folder = of_recipe.path("acme").display().to_string();
    let origin = Origin::start("one");
    // No authority answers here; `cargo xtask test` has one that does.
    let kitchen = Kitchen::start_in(
        of_recipe,
        &[
            ("UPSTREAM__MEDIA__ORIGINS", &origin.url),
            ("SERVER__ACME__DIRECTORY", "https://127.0.0.1:1/dir"),
            ("SERVER__ACME__FOLDER", &folder),
        ],
    );
    let (status, body) = get_https(kitchen.edge.addr("https"), "video.example", "/x");
    assert!(status == 200 && body.starts_with("one "), "{status} {body}");
    assert_eq!(get(kitchen.http(), "www.video.example", "/x").status, 308);
    let page = kitchen.operator("GET", "/metrics", "").body;
    for name in ["video.example", "www.video.example"] {
        let line = format!("headwater_server_certificate_expires_seconds{{name=\"{name}\"}} 0");
        assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
    }
}

pub(super) fn a_new_origin_for_a_few(files: &[&str]) {
    let (tried, new) = (Origin::start("tried"), Origin::start("new"));
    let origins = format!("['{}', '{}']", tried.url, new.url);
    let kitchen = Kitchen::start(files[0], &[("UPSTREAM__MEDIA__ORIGINS", &origins)]);
    let is_new = |target: &str| {
        let answer = kitchen.get("h", target);
        assert_eq!(answer.status, 200);
        answer.body.starts_with("new ")
    };
    let titles: Vec<u32> = (0..200).filter(|title| is_new(&format!("/{title}/a"))).collect();
    assert!((1..100).contains(&titles.len()), "{titles:?}");
    assert!(titles.iter().all(|title| is_new(&format!("/{title}/b"))), "always the same");
}
