//! What who balances load is told by an edge that ends.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::process::{Edge, Files, Origin, get, wait_for};

#[test]
fn health_is_503_from_sigterm_on_until_the_last_request_is_answered() {
    let (go, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let origin = Origin::answering(move |_| {
        let _ = waits.lock().unwrap().recv();
        (200, String::new(), "late".to_owned())
    });
    let mut edge = Edge::start(&Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\ndrain = '1 h'\n[operator]\nlisten = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\nfirst_byte_timeout = '1 h'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n",
        origin.url
    )));
    let (addr, operator) = (edge.addr("http"), edge.addr("operator"));
    assert_eq!(get(operator, "localhost", "/health").status, 200);
    let waiting = std::thread::spawn(move || get(addr, "a", "/slow"));
    wait_for("the request", || (origin.asked() == 1).then_some(()));
    edge.signal("TERM");
    let leaves = wait_for("a word of it", || {
        Some(get(operator, "localhost", "/health")).filter(|answer| answer.status != 200)
    });
    assert_eq!((leaves.status, leaves.field("retry-after")), (503, "3600"), "{leaves:?}");
    assert_eq!(leaves.field("content-type"), "application/problem+json");
    assert!(leaves.body.contains("takes no new clients"), "{leaves:?}");
    assert_eq!(get(operator, "localhost", "/metrics").status, 200);
    assert!(!waiting.is_finished());
    go.send(()).unwrap();
    assert_eq!(waiting.join().unwrap().body, "late");
    assert!(edge.ended().success(), "{}", edge.said());
}
