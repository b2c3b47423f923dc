//! Tokens as `[site.tokens]` asks for them: let in, kept out, rotated by SIGHUP.

use std::fs;

use headwater::edge::tokens::{Grant, Key};
use headwater::net::{Clock, Timestamp};

use crate::process::{Edge, Files, Origin, ask, get};

fn token(id: &str, secret: &str, path: &str) -> String {
    let end = Timestamp::from_secs(Clock::system().now().as_secs() + 3600);
    let key = Key::signing(id, secret.as_bytes()).unwrap();
    Grant::below(path, end).unwrap().sign(&key).unwrap()
}

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "another secret that is long enough";

#[test]
fn tokens_let_in_and_keys_rotate() {
    let origin = Origin::start("one");
    let config = |keys: &str| {
        format!(
            "[server]\nlisten_http = '127.0.0.1:0'\n[log]\naccess = 'access.log'\n\
             [[upstream]]\nname = 'media'\norigins = '{}'\n\
             [[site]]\nhosts = '*'\nupstream = 'media'\n\
             [site.tokens]\npath = '/t/'\n{keys}\
             [[site.route]]\npath = '/films/secret/'\n\
             [[site.route]]\npath = '/films/'\npublic = true\n\
             [[site.route]]\npath = '/'\nignore_set_cookie = true\n",
            origin.url
        )
    };
    let old = "[[site.tokens.key]]\nid = 'old'\nsecret_file = 'old'\n";
    let new = "[[site.tokens.key]]\nid = 'new'\nsecret_file = 'new'\n";
    let files = Files::new(&config(old));
    fs::write(files.path("old"), format!("{OLD}\n")).unwrap();
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    let first = token("old", OLD, "/a/");
    assert_eq!(get(addr, "h", "/a/x").status, 401);
    assert_eq!(get(addr, "h", &format!("/t/{first}/a/x")).status, 200);
    assert_eq!(get(addr, "h", &format!("/a/x?token={first}")).status, 200);
    assert_eq!(get(addr, "h", &format!("/b/x?token={first}")).status, 403);
    let bearer = format!("authorization: Bearer {first}\r\n");
    assert_eq!(ask(addr, "GET", "h", "/a/x", &bearer).status, 200);
    assert_eq!(origin.asked(), 1, "they share what is cached");
    assert_eq!(get(addr, "h", "/films/x").status, 200, "public");
    // The route is that of the path as it means, not as it is written.
    for path in ["/films/secret/x", "/films/%73ecret/x", "/films/secre%74/x"] {
        assert_eq!(get(addr, "h", path).status, 401, "{path}");
    }

    fs::write(files.path("new"), NEW).unwrap();
    files.write(&config(&format!("{old}{new}")));
    edge.signal("HUP");
    edge.hears("  site[0].tokens.key: one entry became 2 entries\n");
    let second = token("new", NEW, "/a/");
    for token in [&first, &second] {
        assert_eq!(get(addr, "h", &format!("/a/x?token={token}")).status, 200);
    }
    files.write(&config(new));
    edge.signal("HUP");
    edge.hears("  site[0].tokens.key: 2 entries became one entry\n");
    assert_eq!(get(addr, "h", &format!("/a/x?token={first}")).status, 401);
    assert_eq!(get(addr, "h", &format!("/a/x?token={second}")).status, 200);
    fs::write(files.path("new"), "short").unwrap();
    edge.signal("HUP");
    edge.hears(": key 'secret_file': it holds no key: a secret is at least 32 bytes long\n");
    assert_eq!(get(addr, "h", &format!("/a/x?token={second}")).status, 200, "nothing changed");

    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    let log = fs::read_to_string(files.path("access.log")).unwrap();
    assert!(log.contains("/a/x") && !log.contains("hw1"), "{log}");
}

#[test]
fn a_route_is_that_of_the_path_without_its_token() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[log]\naccess = 'access.log'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[policy]]\nname = 'open'\npublic = true\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [site.tokens]\npath = '/t/'\n[[site.tokens.key]]\nsecret_file = 'key'\n\
         [[site.route]]\npath = '/closed/'\nanswer = {{ status = 403, body = 'closed' }}\n\
         [[site.route]]\npath = '/t/'\nanswer = {{ status = 410 }}\n\
         [[site.route]]\npath = '/films/'\npolicy = 'open'\n",
        origin.url
    ));
    fs::write(files.path("key"), OLD).unwrap();
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    let token = token("", OLD, "/");
    for (path, status) in [
        ("/t/T/a", 200),
        ("/%74/T/a", 200),
        ("/t/T/%61", 200),
        ("/t/T/closed/a", 403),
        ("/%74/T/closed/a", 403),
        ("/t/T/%63losed/a", 403),
        ("/t/T/closed%2Fa", 400),
        ("/t/T//closed/a", 400),
        ("/t/T/x/../closed/a", 400),
        // One token is taken off: the rest is what is asked for.
        ("/t/T/t/x/a", 410),
        ("/t/x/t/y/a", 401),
        ("/t/x/a", 401),
        ("/t/x/films/a", 200),
        ("/%74/x/films/a", 200),
        ("/films%2Fa", 401),
        ("/films/a", 200),
    ] {
        let target = path.replace("/T/", &format!("/{token}/"));
        assert_eq!(get(addr, "h", &target).status, status, "{path}");
    }
    assert_eq!(origin.asked(), 6, "the origin saw what was let in");
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    let log = fs::read_to_string(files.path("access.log")).unwrap();
    assert!(log.contains("/closed/a") && !log.contains("hw1"), "{log}");
}

#[test]
fn no_origin_and_no_log_sees_a_token_where_none_is_asked_for() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n\
         [log]\naccess = 'access.log'\nquery = true\nmasked = ['other']\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = 'h'\nupstream = 'media'\n\
         [site.tokens]\npath = '/t/'\nparameter = 'access'\n[[site.tokens.key]]\nsecret_file = 'key'\n\
         [[site.route]]\npath = '/films/'\npublic = true\n\
         cors = {{ origins = 'https://video.example' }}\n\
         [[site]]\nhosts = 'tls'\nupstream = 'media'\nonly_https = true\n\
         [site.tokens]\nparameter = 'access'\n[[site.tokens.key]]\nsecret_file = 'key'\n",
        origin.url
    ));
    fs::write(files.path("key"), OLD).unwrap();
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    let answer = get(addr, "h", "/t/SECRET/films/a?access=SECRET&y=1");
    assert!(answer.status == 200 && answer.body.ends_with(" /films/a?y=1\n"), "{answer:?}");
    assert_eq!(get(addr, "h", "/a?access=SECRET").status, 401);
    // A token in a query goes along to where it is asked for.
    let answer = get(addr, "tls", "/a?access=SECRET");
    assert_eq!((answer.status, answer.field("location")), (308, "https://tls/a?access=SECRET"));
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    let log = fs::read_to_string(files.path("access.log")).unwrap();
    assert!(log.contains("access=***") && !log.contains("SECRET"), "{log}");
}

#[test]
fn a_preflight_is_answered_before_a_token_is_asked_for() {
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[policy]]\nname = 'player'\ncors = {{ origins = 'https://video.example' }}\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\npolicy = 'player'\n\
         [site.tokens]\n[[site.tokens.key]]\nsecret_file = 'key'\n",
        origin.url
    ));
    fs::write(files.path("key"), OLD).unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let page = "origin: https://video.example\r\n";
    let question = format!(
        "{page}access-control-request-method: GET\r\naccess-control-request-headers: authorization\r\n"
    );
    let answer = ask(addr, "OPTIONS", "h", "/a", &question);
    assert_eq!(
        (answer.status, answer.field("access-control-allow-headers")),
        (204, "authorization")
    );
    let refused = ask(addr, "GET", "h", "/a", page);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.field("access-control-allow-origin"), "https://video.example");
    assert_eq!(origin.asked(), 0);
}
