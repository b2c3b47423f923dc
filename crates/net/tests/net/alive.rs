//! Whether a server's workers live, as a watchdog asks.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use headwater_net::Body;
use headwater_net::server::{Server, WorkerId};
use http::{Request, Response};
use tower::service_fn;

use crate::service::{nothing, until};

#[tokio::test]
async fn a_worker_that_computes_without_end_does_not_respond() {
    let (go_on, waits) = mpsc::channel::<()>();
    let waits = Arc::new(Mutex::new(waits));
    let computes = Arc::<AtomicBool>::default();
    let begun = Arc::clone(&computes);
    let builder = Server::builder().http("127.0.0.1:0").workers(2);
    let server = builder
        .serve(move |_| {
            let (waits, begun) = (Arc::clone(&waits), Arc::clone(&begun));
            service_fn(move |_: Request<Body>| {
                let (waits, begun) = (Arc::clone(&waits), Arc::clone(&begun));
                async move {
                    begun.store(true, Ordering::SeqCst);
                    let _ = waits.lock().unwrap().recv();
                    Ok::<_, Infallible>(Response::new(Body::Empty))
                }
            })
        })
        .unwrap();
    assert!(server.responds().await);
    let url = format!("http://{}/", server.http_addrs()[0]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = tokio::spawn(client.get(url).send());
    until("the request has come there", || computes.load(Ordering::SeqCst)).await;
    let responds = tokio::time::timeout(Duration::from_millis(50), server.responds());
    assert!(responds.await.is_err());
    go_on.send(()).unwrap();
    assert!(server.responds().await);
    request.await.unwrap().unwrap();
    server.drain(Duration::from_secs(60)).await;
    assert!(server.responds().await, "it ended in order");
}

#[tokio::test]
async fn a_worker_that_is_gone_does_not_respond() {
    let builder = Server::builder().http("127.0.0.1:0").workers(2);
    let server = builder
        .serve(|worker| {
            assert!(worker == WorkerId(0), "this one fails, as the test wants");
            service_fn(nothing)
        })
        .unwrap();
    let gone = async { while server.responds().await {} };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    assert!(!server.responds().await);
}
