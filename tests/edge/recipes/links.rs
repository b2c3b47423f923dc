//! Recipes of what stands behind an edge, and of certificates.

use std::sync::atomic::Ordering;

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
