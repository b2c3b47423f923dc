//! What an operator asks of a running edge: purges as queries and as JSON, explanations, and all else that its
//! listener takes. Each is answered, wrong ones by a short sentence.

use std::sync::LazyLock;

use bytes::Bytes;
use headwater_cache::{Cache, Downstream};
use headwater_edge::operator::{Caches, Operator, Site};
use headwater_net::Body;
use http::{Request, StatusCode};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;

/// Requests: a method with a target, fields, an empty line and a body.
pub(crate) const SEEDS: &[&str] = &[
    "POST /purge?tag=a%20b&soft&sequence=7\n\n",
    "POST /purge\nhost: localhost:9900\n\n{\"url\":\"/media/a\",\"soft\":true,\"sequence\":3,\"follows\":2}",
    "POST /purge?prefix=/%256dedia/f%25c3%25a9&follows=6&sequence=7\n",
    "POST /purge?all&agreed&sequence=18446744073709551615\n",
    "POST /purge?host=video.example\nsec-fetch-site: same-origin\norigin: http://localhost\n",
    "POST /purge\n\n{\"prefix\":\"http://video.example/a\",\"tag\":\"b\",\"all\":false}",
    "GET /explain?url=/%257Ea%3Fb&header=Accept:%20x&header=accept-encoding:gzip,br\n",
    "GET /explain?url=https://video.example/a/b.m3u8%3Fq&header=range:bytes=1-\nhost: 127.0.0.1\n",
    "GET /metrics\naccept: application/openmetrics-text; version=1.0.0\n",
    "HEAD /health\nauthorization: Bearer x\n",
    "GET /log?filter=status+%3E%3D+500\n",
    "GET /sessions?most=3\n",
    "GET /\nhost: evil.example\n",
];

/// The longest answer to a wrong order, in bytes, besides what it repeats of it.
const LONGEST: u64 = 2_048;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        unreachable!("a runtime without drivers needs nothing of the system");
    };
    runtime
});

/// The request that an input says.
fn request(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = input.split_at_checked(end.unwrap_or(input.len()))?;
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let body = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
    request.body(Body::from(body)).ok()
}

/// Asks what the input says of an operator with the caches of an edge and of the shield behind it.
pub(crate) fn run(input: &[u8]) {
    let Some(request) = request(input) else { return };
    let purges = request.uri().path() == "/purge";
    RUNTIME.block_on(async {
        let cache = |name: &'static str| Cache::builder().name(name).ram(1 << 16);
        let (edge, shield) = (cache("edge"), cache("shield").downstream(Downstream::Caches));
        let (edge, shield) = (edge.build(), shield.build());
        let mut caches = Caches::default();
        caches.add("shield", Site::Below { path: "/media", host: "media" }, shield.clone());
        caches.add("edge", Site::Public, edge.clone());
        let operator = Operator::new(Registry::default(), caches, None);
        let answer = operator.answer(request).await;
        let status = answer.status();
        let body = answer.into_body();
        if status.is_success() {
            let alike = edge.purge_seq() == shield.purge_seq();
            assert!(alike || !purges, "both have seen the same");
            return;
        }
        let wrong = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::PAYLOAD_TOO_LARGE
        );
        assert!(wrong, "{status}");
        // What JSON escapes becomes six times as long.
        let most = LONGEST + 6 * input.len() as u64;
        assert!(body.exact_len().is_some_and(|len| len <= most), "a short sentence");
    });
}
