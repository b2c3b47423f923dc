//! Requests through it: the cache, virtual hosts, routes, HTTPS, its end.

use std::fs;

use crate::process::{Edge, Files, Origin, ask, get};

fn config(origin: &Origin, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n{more}\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n",
        origin.url
    )
}

#[test]
fn what_was_asked_for_once_is_answered_from_the_cache_and_logged() {
    let origin = Origin::start("one");
    let site = "[[site]]\nhosts = '*'\n[[site.route]]\npath = '/'\nupstream = 'media'\n\
                ignore_set_cookie = true\n[log]\naccess = 'access.log'\n";
    let files = Files::new(&(config(&origin, "") + site));
    let mut edge = Edge::start(&files);
    let addr = edge.addr("http");
    let first = get(addr, "video.example", "/a.mp4?CMCD=x");
    let host = origin.url.trim_start_matches("http://");
    assert_eq!((first.status, first.body), (200, format!("one {host} /a.mp4\n")));
    let second = get(addr, "video.example", "/a.mp4");
    assert!(second.field("cache-status").starts_with("edge; hit"), "{second:?}");
    assert_eq!(second.field("x-content-type-options"), "nosniff");
    assert_eq!(second.field("set-cookie"), "");
    assert_eq!(origin.asked(), 1);
    assert_eq!(ask(addr, "POST", "video.example", "/a", "content-length: 0\r\n").status, 405);
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    let log = fs::read_to_string(files.path("access.log")).unwrap();
    assert_eq!(log.lines().count(), 3, "{log}");
}

#[test]
fn what_goes_wrong_is_said_without_colours_where_nobody_looks() {
    let files = Files::new(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = 'http://127.0.0.1:1'\n[[site]]\nhosts = '*'\nupstream = 'media'\n",
    );
    let edge = Edge::start(&files);
    assert_eq!(get(edge.addr("http"), "a", "/x").status, 502);
    edge.hears("WARN");
    assert!(!edge.said().contains('\x1b'), "{}", edge.said());
}

#[test]
fn each_host_has_its_site_and_each_path_its_route() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let sites = format!(
        "[[upstream]]\nname = 'other'\norigins = '{}'\nhost = 'client'\n\
         [[site]]\nhosts = ['a.example', 'www.a.example']\nupstream = 'other'\n\
         [[site.route]]\npath = '/live/'\nupstream = 'media'\nttl = '5 s'\n\
         rewrite = {{ from = '/live/', to = '/' }}\nignore_set_cookie = true\n\
         [[site.route]]\npath = '/api/'\ncache = false\n\
         [[site]]\nhosts = '*.b.example'\n\
         [[site.route]]\npath = '/**/*.mp4'\nupstream = 'media'\n",
        two.url
    );
    let files = Files::new(&(config(&one, "") + &sites));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let media = one.url.trim_start_matches("http://").to_owned();
    for (host, target, status, body) in [
        ("a.example", "/live/1.mp4", 200, format!("one {media} /1.mp4\n")),
        ("WWW.A.example:8080", "/x", 200, "two a.example /x\n".to_owned()),
        ("a.example", "/api/x?b=1", 200, "two a.example /api/x?b=1\n".to_owned()),
        ("x.b.example", "/d/1.mp4", 200, format!("one {media} /d/1.mp4\n")),
    ] {
        let answer = get(addr, host, target);
        assert_eq!((answer.status, answer.body), (status, body), "{host}{target}");
    }
    // Hosts of one site share what is cached; a path that is not cached is asked for each time.
    for host in ["www.a.example", "a.example."] {
        assert!(get(addr, host, "/live/1.mp4").field("cache-status").contains("hit"), "{host}");
    }
    let before = two.asked();
    get(addr, "a.example", "/api/x");
    get(addr, "a.example", "/api/x");
    assert_eq!(two.asked(), before + 2);
    assert_eq!(get(addr, "x.b.example", "/page").status, 404);
    assert_eq!(get(addr, "c.example", "/").status, 421);
}

#[test]
fn https_speaks_http_2_and_offers_http_3() {
    let origin = Origin::start("one");
    let tls = "listen = '127.0.0.1:0'\n[server.tls]\nself_signed = 'localhost'";
    let site = "[[site]]\nhosts = '*'\nupstream = 'media'\n";
    let files = Files::new(&(config(&origin, tls) + site));
    let edge = Edge::start(&files);
    let https = edge.addr("https");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let client =
            reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        client.get(format!("https://{https}/a")).send().await.unwrap()
    });
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(answer.headers()["alt-svc"].to_str().unwrap().contains("h3="));
}

#[test]
fn when_the_first_origin_is_down_the_next_is_asked() {
    let origin = Origin::start("two");
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = ['http://{dead}', '{}']\n[[site]]\nhosts = '*'\nupstream = 'media'\n",
        origin.url
    );
    let edge = Edge::start(&Files::new(&text));
    assert!(get(edge.addr("http"), "a", "/x").body.starts_with("two "));
}
