//! Groups of origins as a configuration describes them: who is asked, what they are told, and what
//! becomes of their answers.

use std::convert::Infallible;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater::net::server::{ClientCertificate, Server, ServerHandle, Tls};
use headwater::net::{Body, BodyError};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::runtime::Runtime;
use tower::service_fn;

use crate::authority::Authority;
use crate::name_server::NameServer;
use crate::process::{self, Edge, Files, get, wait_for};

/// An origin that answers with its name, but for what paths ask of it, and what it was asked.
struct Origin {
    server: ServerHandle,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Origin {
    fn start(name: &'static str) -> Self {
        Self::start_at(name, "127.0.0.1:0").unwrap()
    }

    /// At an address that may be taken.
    fn start_at(name: &'static str, at: &str) -> Option<Self> {
        let asked = Arc::<Mutex<Vec<(String, HeaderMap)>>>::default();
        let heard = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            heard.lock().unwrap().push((path.clone(), request.headers().clone()));
            let mut answer = Response::builder().header("cache-control", "max-age=60");
            if let Some(to) = path.strip_prefix("/moved/") {
                answer = answer.status(302).header("location", format!("http://{to}/there"));
            } else if let Some((status, _)) = path.trim_start_matches('/').split_once("-of-")
                && path.contains(&format!("-of-{name}"))
            {
                answer = answer.status(status.parse::<u16>().unwrap());
            }
            std::future::ready(Ok::<_, Infallible>(answer.body(Body::from(name)).unwrap()))
        });
        let server = Server::builder().http(at).workers(1);
        let server = server.serve(move |_| service.clone()).ok()?;
        Some(Self { server, asked })
    }

    /// Two on one port, at 127.0.0.1 and at 127.0.0.2.
    fn start_both() -> [Self; 2] {
        let pair = || {
            let one = Self::start("one");
            let two = one.at().replace("127.0.0.1", "127.0.0.2");
            Some([one, Self::start_at("two", &two)?])
        };
        (0..100).find_map(|_| pair()).unwrap()
    }

    fn at(&self) -> String {
        self.server.http_addrs()[0].to_string()
    }

    fn url(&self) -> String {
        format!("http://{}", self.at())
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn last(&self, path: &str) -> HeaderMap {
        let asked = self.asked.lock().unwrap();
        asked.iter().rev().find(|(of, _)| of == path).unwrap().1.clone()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn files(origins: &[&Origin], keys: &str) -> Files {
    let urls: Vec<_> = origins.iter().map(|origin| origin.url()).collect();
    Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = {urls:?}\n\
         {keys}\n[[site]]\nhosts = '*'\nupstream = 'media'\n[operator]\nlisten = '127.0.0.1:0'\n"
    ))
}

#[test]
fn titles_are_shared_by_weight_among_the_first_priority_and_each_has_its_home() {
    let runtime = runtime();
    let _within = runtime.enter();
    let all = ["one", "two", "three"].map(Origin::start);
    let [one, two, three] = &all;
    let keys = "choose = 'by_title'\nweights = [3, 1, 1]\npriorities = [0, 0, 1]";
    let edge = Edge::start(&files(&[one, two, three], keys));
    let addr = edge.addr("http");
    for title in 0..40 {
        let home = get(addr, "a", &format!("/title-{title}/1.m4s")).body;
        assert_eq!(get(addr, "a", &format!("/title-{title}/2.m4s")).body, home);
    }
    let counts = (one.count(), two.count(), three.count());
    assert!(counts.0 > counts.1 && counts.1 > 0 && counts.2 == 0, "{counts:?}");
    let page = get(edge.addr("operator"), "localhost", "/metrics").body;
    for origin in &all {
        let of = format!("{{upstream=\"media\",origin=\"{}\"}}", origin.url());
        for line in [
            format!("headwater_upstream_up{of} 1"),
            format!("headwater_upstream_requests_total{of} {}", origin.count()),
            format!("headwater_upstream_failures_total{of} 0"),
        ] {
            assert!(page.lines().any(|told| told == line), "{line} is not in\n{page}");
        }
    }
}

#[test]
fn http3_is_asked_where_it_is_switched_on_and_metrics_tell_which_protocol_answered() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (authority, files) = (Authority::new(), Files::new(""));
    let (certificate, key) = authority.issue(&files, "origin", &["localhost"]);
    let tls = Tls::from_pem(&fs::read(certificate).unwrap(), &fs::read(key).unwrap()).unwrap();
    let service = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from("media"))))
    });
    let origin = Server::builder().https("127.0.0.1:0").tls(tls).workers(1);
    let origin = origin.serve(move |_| service).unwrap();
    let url = format!("https://{}", origin.https_addrs()[0]);
    files.write(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\norigins = '{url}'\n\
         http3 = true\nca = '{}'\ntls_name = 'localhost'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n[operator]\nlisten = '127.0.0.1:0'\n",
        authority.write(&files)
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    for path in ["/1.m4s", "/2.m4s"] {
        assert_eq!(get(addr, "a", path).body, "media");
    }
    let page = get(edge.addr("operator"), "localhost", "/metrics").body;
    for (protocol, count) in [("h1", 0), ("h2", 0), ("h3", 2)] {
        let line = format!(
            "headwater_upstream_answers_total{{upstream=\"media\",origin=\"{url}\",protocol=\"{protocol}\"}} {count}"
        );
        assert!(page.lines().any(|told| told == line), "{line} is not in\n{page}");
    }
}

/// An origin that is known by nobody without a certificate: it answers by the host that it was told, but for
/// `/large`, and for `/endless`, a body that never comes to its end.
fn wary(tls: Tls) -> ServerHandle {
    let service = service_fn(|request: Request<Body>| {
        let answer = Response::builder().header("x-title", "film").header("x-made-of", "secrets");
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let told = request.uri().authority().map(ToString::to_string).or(host).unwrap();
        let body = match request.uri().path() {
            "/large" => Body::from("x".repeat(70_000)),
            "/endless" => {
                let pieces = futures_util::stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"drip"))), ()))
                });
                Body::stream(StreamBody::new(Box::pin(pieces)))
            }
            _ => Body::from(told),
        };
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let server = Server::builder().https("127.0.0.1:0").tls(tls).workers(1);
    server.serve(move |_| service).unwrap()
}

#[test]
fn an_origin_is_shown_who_asks_told_another_host_and_held_to_bounds() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (authority, files) = (Authority::new(), Files::new(""));
    let (certificate, key) = authority.issue(&files, "origin", &["localhost"]);
    let tls = Tls::from_pem(&fs::read(certificate).unwrap(), &fs::read(key).unwrap()).unwrap();
    let required = ClientCertificate::Required;
    let origin = wary(tls.clients(authority.pem().as_bytes(), required).unwrap());
    authority.write(&files);
    authority.issue(&files, "own", &["edge.example"]);
    let origins = format!(
        "origins = 'https://{}'\ntls_name = 'localhost'\nca = 'ca.pem'",
        origin.https_addrs()[0]
    );
    let known = format!("{origins}\nclient_certificate = 'own.pem'\nclient_key = 'own.key'");
    files.write(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\n{known}\nhost_name = 'told.example:81'\n\
         response_fields = 'x-title'\nmax_body = '64 KiB'\n\
         [[upstream]]\nname = 'hasty'\n{known}\nwhole_timeout = '500 ms'\n\
         [[upstream]]\nname = 'stranger'\n{origins}\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [[site.route]]\npath = '/endless'\nupstream = 'hasty'\n\
         [[site.route]]\npath = '/stranger'\nupstream = 'stranger'\n"
    ));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let answer = get(addr, "a", "/1.m4s");
    assert_eq!((answer.status, answer.body.as_str()), (200, "told.example:81"), "{}", edge.said());
    assert_eq!((answer.field("x-title"), answer.field("x-made-of")), ("film", ""));
    assert_eq!(get(addr, "a", "/large").status, 502, "larger than is taken");
    assert_eq!(get(addr, "a", "/stranger").status, 502, "who shows nothing is not let in");
    // It ends, and is not taken for whole; on a machine with much to do it does not even begin.
    let ended = runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let answer = client.get(format!("http://{addr}/endless")).send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await.map(|_| status)
    });
    match ended {
        Ok(status) => assert!(matches!(status, 502 | 504), "{status}"),
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
}

#[test]
fn names_are_asked_of_the_name_servers_that_are_named_for_as_long_as_their_answers_count() {
    let runtime = runtime();
    let _within = runtime.enter();
    let [one, two] = Origin::start_both();
    let names = NameServer::start(Ipv4Addr::LOCALHOST, 1);
    let port = one.server.http_addrs()[0].port();
    let edge = Edge::start(&Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = 'http://origin.test:{port}'\nname_servers = '{}'\ndns_ttl = '1 h'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n",
        names.at
    )));
    let addr = edge.addr("http");
    assert_eq!(get(addr, "a", "/1.m4s").body, "one", "no other resolver knows this name");
    assert!(names.asked() > 0);
    names.say(Some((Ipv4Addr::new(127, 0, 0, 2), 60)));
    let mut segment = 1;
    wait_for("the name's new address", || {
        segment += 1;
        (get(addr, "a", &format!("/{segment}.m4s")).body == "two").then_some(())
    });
    let before = one.count();
    assert_eq!(get(addr, "a", "/last.m4s").body, "two");
    assert_eq!((one.count(), two.last("/last.m4s").contains_key("host")), (before, true));
}

#[test]
fn a_name_that_no_name_server_knows_is_an_origin_that_is_down() {
    let runtime = runtime();
    let _within = runtime.enter();
    let two = Origin::start("two");
    let names = NameServer::start(Ipv4Addr::LOCALHOST, 60);
    names.say(None);
    let edge = Edge::start(&Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'media'\n\
         origins = ['http://origin.test:1', '{}']\nname_servers = ['{}']\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n",
        two.url(),
        names.at
    )));
    assert_eq!(get(edge.addr("http"), "a", "/1.m4s").body, "two");
    assert!(names.asked() > 0);
}

#[test]
fn titles_in_a_folder_are_shared_where_it_is_said_how_deep_they_lie() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let edge = Edge::start(&files(&[&one, &two], "choose = 'by_title'\ntitle_depth = 2"));
    let addr = edge.addr("http");
    for title in 0..20 {
        let home = get(addr, "a", &format!("/vod/title-{title}/1.m4s")).body;
        assert_eq!(get(addr, "a", &format!("/vod/title-{title}/v/2.m4s")).body, home);
    }
    assert!(one.count() > 0 && two.count() > 0, "{} and {}", one.count(), two.count());
    assert_eq!(one.count() + two.count(), 40);
}

#[test]
fn statuses_of_failover_are_no_answers_and_origins_that_are_all_down_are_left_alone() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let keys = "failover_on = ['429', '500-504']\nwhen_down = 'refuse'\nfailures = 1\n\
                cool_off = '1 h'\nlongest_cool_off = '1 h'";
    let edge = Edge::start(&files(&[&one, &two], keys));
    let addr = edge.addr("http");
    assert_eq!(get(addr, "a", "/404-of-one").status, 404);
    let answer = get(addr, "a", "/429-of-one");
    assert_eq!((answer.status, answer.body.as_str()), (200, "two"));
    assert_eq!(get(addr, "a", "/500-of-two").status, 500);
    let before = (one.count(), two.count());
    assert_eq!(get(addr, "a", "/other").status, 502, "both are down");
    assert_eq!((one.count(), two.count()), before);
}

#[test]
fn checks_take_an_origin_down_that_nobody_asked() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let keys = "[upstream.check]\npath = '/418-of-one'\nevery = '10 ms'\nfailed_by = '418'";
    let edge = Edge::start(&files(&[&one, &two], keys));
    let down = format!("headwater_upstream_up{{upstream=\"media\",origin=\"{}\"}} 0", one.url());
    let operator = edge.addr("operator");
    wait_for("the check to take it down", || {
        let page = get(operator, "localhost", "/metrics").body;
        page.lines().any(|line| line == down).then_some(())
    });
    assert_eq!(get(edge.addr("http"), "a", "/1.m4s").body, "two");
}

#[test]
fn redirects_lead_where_it_is_said_and_secrets_go_to_the_origin_alone() {
    let runtime = runtime();
    let _within = runtime.enter();
    let (one, storage, stranger) =
        (Origin::start("one"), Origin::start("storage"), Origin::start("stranger"));
    let keys = format!(
        "redirects = 'follow'\nredirects_to = '{}'\nfields = {{ x-tier = 'edge' }}\n\
         field_files = {{ x-secret = 'secret' }}",
        storage.url()
    );
    let files = files(&[&one], &keys);
    fs::write(files.path("secret"), "open sesame\n").unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert_eq!(get(addr, "a", &format!("/moved/{}", storage.at())).body, "storage");
    assert_eq!(get(addr, "a", &format!("/moved/{}", stranger.at())).status, 502);
    assert_eq!((storage.count(), stranger.count()), (1, 0));
    let told = one.last(&format!("/moved/{}", storage.at()));
    assert_eq!(
        (told["x-tier"].as_bytes(), told["x-secret"].as_bytes()),
        (&b"edge"[..], &b"open sesame"[..])
    );
    let told = storage.last("/there");
    assert!(!told.contains_key("x-tier") && !told.contains_key("x-secret"), "{told:?}");
}

#[test]
fn connections_are_kept_for_as_long_and_as_many_as_is_said() {
    const TIMES: usize = 4;
    let connections = |key: &str| {
        let origin = process::Origin::answering(|asked| {
            (200, "cache-control: no-store\r\n".to_owned(), asked.target.clone())
        });
        let edge = Edge::start(&Files::new(&format!(
            "[server]\nlisten_http = '127.0.0.1:0'\nworkers = 1\n[[upstream]]\nname = 'media'\n\
             origins = '{}'\n{key}\n[[site]]\nhosts = '*'\nupstream = 'media'\n",
            origin.url
        )));
        for _ in 0..TIMES {
            assert_eq!(get(edge.addr("http"), "a", "/x").body, "/x");
            // Long after what is said, and long before what is usual.
            std::thread::sleep(Duration::from_millis(50));
        }
        origin.connections()
    };
    assert!(connections("") < TIMES, "by default they are used again");
    for key in ["keep_alive = '1 ms'", "max_idle = 0"] {
        assert_eq!(connections(key), TIMES, "{key}");
    }
}

#[test]
fn http2_is_spoken_in_the_clear_where_it_is_said() {
    let runtime = runtime();
    let _within = runtime.enter();
    for (key, protocol) in [("", "h1"), ("http2 = true", "h2")] {
        let origin = Origin::start("one");
        let edge = Edge::start(&files(&[&origin], key));
        assert_eq!(get(edge.addr("http"), "a", "/1").body, "one");
        let page = get(edge.addr("operator"), "localhost", "/metrics").body;
        let of = format!("upstream=\"media\",origin=\"{}\"", origin.url());
        let line = format!("headwater_upstream_answers_total{{{of},protocol=\"{protocol}\"}} 1");
        assert!(page.lines().any(|told| told == line), "{key}: {line} is not in\n{page}");
    }
}
