//! Interim responses (RFC 9110 §15.2) on fetches that are shared: what upstream says before it answers
//! reaches all who wait, whoever began the fetch and whenever they came.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use common::{ok, request, text, until};
use headwater_cache::Cache;
use headwater_net::{Body, ConnInfo, Interim, Interims, Protocol};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::sync::Semaphore;
use tower::{Layer as _, Service, ServiceExt as _};

/// A request by a connection that hears interim responses.
fn heard(told: &Interims) -> Request<Body> {
    let mut request = request("GET", "/s", &[]);
    let at = "127.0.0.1:1".parse().unwrap();
    let conn = ConnInfo::new(at, at, Protocol::H1).with_interim(told.interim());
    request.extensions_mut().insert(conn);
    request
}

fn hint(link: &'static str) -> HeaderMap {
    [(header::LINK, HeaderValue::from_static(link))].into_iter().collect()
}

fn links(told: &Interims) -> Vec<String> {
    let said = told.said();
    said.iter().map(|(_, fields)| fields["link"].to_str().unwrap().to_owned()).collect()
}

/// A cache before an origin that answers when its gate opens.
struct Stand<S> {
    gate: Arc<Semaphore>,
    /// Where it may say something before that, for each request.
    upstream: Arc<Mutex<Vec<Interim>>>,
    cache: Cache,
    edge: S,
}

impl<S> Stand<S> {
    fn asked(&self) -> usize {
        self.upstream.lock().unwrap().len()
    }

    /// Where it may say something to its first request.
    fn says(&self) -> Interim {
        self.upstream.lock().unwrap()[0].clone()
    }
}

fn stand() -> Stand<
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
> {
    let gate = Arc::new(Semaphore::new(0));
    let upstream: Arc<Mutex<Vec<Interim>>> = Arc::default();
    let (open, asked) = (Arc::clone(&gate), Arc::clone(&upstream));
    let origin = tower::service_fn(move |request: Request<Body>| {
        let conn = request.extensions().get::<ConnInfo>().unwrap();
        asked.lock().unwrap().push(conn.interim().unwrap().clone());
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(ok(&[("cache-control", "max-age=60")], "x"))
        }
    });
    let cache = Cache::builder().name("edge").build();
    let edge = cache.layer().layer(origin);
    Stand { gate, upstream, cache, edge }
}

#[tokio::test]
async fn rfc_9110_15_2_followers_are_told_what_the_leader_is_and_was() {
    let stand = stand();
    let ask = |told: &Interims| tokio::spawn(stand.edge.clone().oneshot(heard(told)));
    let [leader, early, late] = [(); 3].map(|()| Interims::default());
    let mut clients = vec![ask(&leader)];
    until(|| stand.asked() == 1).await;
    clients.push(ask(&early));
    until(|| stand.cache.metrics().collapsed.get() == 1).await;
    let says = stand.says();
    assert!(says.send(StatusCode::EARLY_HINTS, &hint("</a>")));
    assert_eq!((links(&leader), links(&early)), (vec!["</a>".to_owned()], links(&leader)));
    // One who comes after the first, before the answer.
    clients.push(ask(&late));
    until(|| stand.cache.metrics().collapsed.get() == 2).await;
    assert!(says.send(StatusCode::EARLY_HINTS, &hint("</b>")));
    for told in [&leader, &early, &late] {
        assert_eq!(links(told), ["</a>", "</b>"]);
    }
    stand.gate.add_permits(1);
    for client in clients {
        assert_eq!(text(client.await.unwrap().unwrap()).await, "x");
    }
    assert_eq!(stand.asked(), 1);
    assert!(!says.send(StatusCode::EARLY_HINTS, &hint("</c>")), "after the answer");
    // A hit has none: they were about the fetch.
    let hit = Interims::default();
    assert_eq!(text(ask(&hit).await.unwrap().unwrap()).await, "x");
    assert!(links(&hit).is_empty());
}

#[tokio::test]
async fn what_upstream_says_to_ones_cookies_is_said_to_nobody_else() {
    let stand = stand();
    let [leader, follower] = [(); 2].map(|()| Interims::default());
    let mut first = heard(&leader);
    first.headers_mut().insert(header::COOKIE, HeaderValue::from_static("user=1"));
    let first = tokio::spawn(stand.edge.clone().oneshot(first));
    until(|| stand.asked() == 1).await;
    let second = tokio::spawn(stand.edge.clone().oneshot(heard(&follower)));
    until(|| stand.cache.metrics().collapsed.get() == 1).await;
    let says = stand.says();
    assert!(says.send(StatusCode::EARLY_HINTS, &hint("</user/1>")));
    assert_eq!((links(&leader), links(&follower)), (vec!["</user/1>".to_owned()], vec![]));
    stand.gate.add_permits(1);
    for client in [first, second] {
        assert_eq!(text(client.await.unwrap().unwrap()).await, "x");
    }
}
