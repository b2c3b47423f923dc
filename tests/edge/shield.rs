//! An upstream that is a shield: it is told of purges and of what the edge answers, and only where
//! the configuration says that it is one.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater::net::server::{Server, ServerHandle};
use headwater::net::{Body, Secret};
use headwater::origin::{HintTrust, Shield};
use http::{Request, Response};
use tower::service_fn;

use crate::process::{Edge, Files, ask, get, wait_for};

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
