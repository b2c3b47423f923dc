//! Recipes of what is kept.

use std::sync::atomic::Ordering;

use super::{Kitchen, is_hit, origin};
use crate::authority::Authority;
use crate::process::{Files, Origin, ask, ask_https, get_https, wait_for};

pub(super) fn a_cache_before_a_web_site(files: &[&str]) {
    let text = files[0];
    let (origin, broken) = origin("content-type: text/html\r\ncache-control: max-age=0\r\n");
    let of_recipe = Files::new(text);
    let (certificate, key) = Authority::new().issue(&of_recipe, "edge", &["www.example"]);
    let kitchen = Kitchen::start_in(
        of_recipe,
        &[
            ("UPSTREAM__ORIGIN__ORIGINS", &origin.url),
            ("SERVER__TLS__CERTIFICATE", &certificate),
            ("SERVER__TLS__KEY", &key),
        ],
    );
    let moved = kitchen.get("example", "/x?y");
    assert_eq!((moved.status, moved.field("location")), (308, "https://example/x?y"));
    assert_eq!(origin.asked(), 0);
    let https = kitchen.edge.addr("https");
    let get = |host: &str, target: &str| get_https(https, host, target);

    assert_eq!(get("www.example", "/assets/a.css?1"), (200, "/assets/a.css".to_owned()));
    assert_eq!(get("example", "/assets/a.css?2"), (200, "/assets/a.css".to_owned()));
    assert_eq!(origin.asked(), 1, "one answer for both names and any query");
    for _ in 0..2 {
        assert_eq!(get("example", "/account/me").0, 200);
    }
    assert_eq!(origin.asked(), 3, "an account is asked for each time");

    assert_eq!(get("www.example", "/missing").0, 404);
    // On a slow machine it has aged between two requests, or gone; then it is asked for again.
    let kept = wait_for("a 404 that is kept", || {
        let answer = ask_https(https, "example", "/missing", "identity");
        assert_eq!(answer.status(), 404);
        let status = answer.headers().get("cache-status").unwrap().to_str().unwrap();
        status.contains("; hit").then(|| ttl(status)).filter(|kept| *kept > 5)
    });
    assert!(kept <= 10, "{kept} s");
    let text = format!("/{}", "words/".repeat(200));
    for (coding, is_coded) in [("gzip", true), ("br", true), ("identity", false)] {
        let answer = ask_https(https, "example", &text, coding);
        let coded = answer.headers().get("content-encoding").map(|coding| coding.to_str().unwrap());
        assert_eq!(coded, is_coded.then_some(coding));
        let length = answer.body().len();
        assert_eq!(length < text.len() / 4, is_coded, "{length} bytes as {coding}");
    }

    assert_eq!(get("example", "/page").0, 200);
    broken.store(true, Ordering::SeqCst);
    assert_eq!(get("example", "/page"), (200, "/page".to_owned()), "stale rather than nothing");
    assert_eq!(get("example", "/account/me").0, 503);
}

/// For how many seconds more a hit is fresh, as `Cache-Status` tells (RFC 9211 §2.4).
fn ttl(status: &str) -> i64 {
    let (_, ttl) = status.rsplit_once("ttl=").unwrap();
    let end = ttl.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(ttl.len());
    ttl[..end].parse().unwrap()
}

pub(super) fn live(files: &[&str]) {
    let (origin, _) = origin("content-type: video/mp4\r\ncache-control: max-age=60\r\n");
    let kitchen = Kitchen::start(files[0], &[("UPSTREAM__PACKAGER__ORIGINS", &origin.url)]);
    let get = |target: &str| kitchen.get("live.example", target);
    let ttl = |target: &str| {
        // On a slow machine it has gone stale between two requests; that is asked for again.
        wait_for("a hit", || {
            let answer = get(target);
            is_hit(&answer).then(|| ttl(answer.field("cache-status")))
        })
    };
    assert!(ttl("/show/main.m3u8?session=1") <= 1, "whatever the origin says");
    assert!(ttl("/show/main.mpd") <= 1);
    assert!(ttl("/show/1.m4s?session=1") > 500);
    let before = origin.asked();
    assert!(is_hit(&get("/show/1.m4s?session=2")));
    assert_eq!(origin.asked(), before);
    // Parts of a playlist are told apart; other parameters are not seen.
    assert_eq!(get("/show/main.m3u8?_HLS_msn=7&x=1").body, "/show/main.m3u8?_HLS_msn=7");
    assert_eq!(get("/show/main.m3u8?_HLS_msn=8&x=1").body, "/show/main.m3u8?_HLS_msn=8");
    let before = origin.asked();
    assert_eq!(get("/show/missing.m4s").status, 404);
    wait_for("it to be asked for again", || {
        assert_eq!(get("/show/missing.m4s").status, 404);
        (origin.asked() > before + 1).then_some(())
    });
}

pub(super) const PURGING_BY_TAG: &str = "purging_by_tag";

#[expect(clippy::print_stderr, reason = "where a test says what it leaves out")]
pub(super) fn purging_by_tag(files: &[&str]) {
    let origin = Origin::answering(|asked| {
        let tag = if asked.target.contains("17") { "film-17 films" } else { "films" };
        (200, format!("surrogate-key: {tag}\r\n"), asked.target.clone())
    });
    let of_recipe = Files::new(files[0]);
    std::fs::write(of_recipe.path("token"), "a secret\n").unwrap();
    let kitchen = Kitchen::start_in(
        of_recipe,
        &[("UPSTREAM__CMS__ORIGINS", &origin.url), ("OPERATOR__TOKEN_FILE", "token")],
    );
    let get = |target: &str| kitchen.get("h", target);
    for target in ["/film-17", "/list", "/page-17"] {
        let first = get(target);
        assert_eq!((first.status, first.field("surrogate-key")), (200, ""), "clients see no tags");
        assert!(is_hit(&get(target)), "{target}");
    }
    let purge = |more: &str| {
        let more = format!("content-length: 0\r\n{more}");
        kitchen.operator("POST", "/purge?tag=film-17", &more).status
    };
    assert_eq!(purge(""), 401);
    assert!(is_hit(&get("/film-17")));
    let operator = kitchen.edge.addr("operator").to_string();
    let elsewhere = [("/etc/headwater/operator-token", "token"), ("127.0.0.1:9900", &*operator)];
    if let Some(said) = kitchen.run(PURGING_BY_TAG, &elsewhere) {
        // What goes wrong has a status, which curl does not tell.
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(said["sequence"].is_u64(), "{said}");
    } else {
        eprintln!("there is no curl here: the command of the recipe was not run");
        assert_eq!(purge("authorization: Bearer a secret\r\n"), 200);
    }
    assert!(!is_hit(&get("/film-17")) && !is_hit(&get("/page-17")));
    assert!(is_hit(&get("/list")), "all else stays");
}

pub(super) fn large_files_that_outlive_a_restart(files: &[&str]) {
    const LENGTH: usize = 3 << 20;
    let byte = |at: usize| char::from(b'a' + (at / 1000 % 26) as u8);
    let origin = Origin::answering(move |asked| {
        let fields = "etag: \"one\"\r\ncontent-type: video/mp4\r\n";
        let range = asked.field("range").strip_prefix("bytes=").and_then(|range| {
            let (first, last) = range.split_once('-')?;
            let last = last.parse().unwrap_or(usize::MAX).min(LENGTH - 1);
            Some((first.parse::<usize>().ok()?, last))
        });
        match range {
            Some((first, last)) => {
                let fields = format!("{fields}content-range: bytes {first}-{last}/{LENGTH}\r\n");
                (206, fields, (first..=last).map(byte).collect())
            }
            None => (200, fields.to_owned(), (0..LENGTH).map(byte).collect()),
        }
    });
    let of_recipe = Files::new(files[0]);
    let disk = of_recipe.path("disk").display().to_string();
    let set = [
        ("UPSTREAM__FILES__ORIGINS", origin.url.as_str()),
        ("CACHE__DISK__FOLDER", &disk),
        // What the machine of a test may not have.
        ("CACHE__DISK__SIZE", "256 MiB"),
    ];
    let mut kitchen = Kitchen::start_in(of_recipe, &set);
    // A client that begins in the middle.
    let ask_for = |kitchen: &Kitchen, range: &str| {
        ask(kitchen.http(), "GET", "h", "/downloads/a.mp4?x", &format!("range: {range}\r\n"))
    };
    let last = ask_for(&kitchen, &format!("bytes={}-", 2 << 20));
    assert_eq!((last.status, last.body.len()), (206, 1 << 20));
    assert!(last.body.chars().zip(2 << 20..).all(|(found, at)| found == byte(at)));
    let asked = origin.asked();
    assert!(is_hit(&ask_for(&kitchen, "bytes=2097152-2097161")));
    assert_eq!(origin.asked(), asked);

    kitchen.edge.signal("TERM");
    assert!(kitchen.edge.ended().success(), "{}", kitchen.edge.said());
    let kitchen = Kitchen::start_in(kitchen.files, &set);
    let again = ask_for(&kitchen, "bytes=2097152-2097161");
    assert_eq!(again.body, (0..10).map(|at| byte((2 << 20) + at)).collect::<String>());
    assert_eq!(origin.asked(), asked, "it is on the disk");
}
