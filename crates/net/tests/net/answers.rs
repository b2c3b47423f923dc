//! What is taken of an upstream's answers, and whom an upstream must be.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::body::CollectError;
use headwater_net::client::{Unconnected, Upstream, UpstreamBuilder, UpstreamError};
use headwater_net::server::{Server, ServerHandle, Tls};
use headwater_net::{Body, BodyError};
use http::{HeaderName, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::service_fn;
use tower_service::Service;

use crate::tls::Authority;

/// A server that answers as its path says, by HTTPS and in the clear.
fn server(tls: Option<&Tls>) -> ServerHandle {
    let service = service_fn(|request: Request<Body>| {
        let said = request.uri().authority().map(ToString::to_string).or_else(|| {
            request.headers().get("host").map(|host| host.to_str().unwrap().to_owned())
        });
        let answer = Response::builder()
            .header("x-host", said.unwrap_or_default())
            .header("x-title", "film")
            .header("server", "secret/1.0")
            .header("set-cookie", "a=b")
            .header("content-type", "video/mp4")
            .header("etag", "\"1\"");
        let body = match request.uri().path() {
            "/known" => Body::from(vec![7; 100]),
            "/unknown" => Body::stream(StreamBody::new(futures_util::stream::iter(
                (0..10).map(|_| Ok::<_, BodyError>(Frame::data(Bytes::from_static(&[7; 10])))),
            ))),
            // A byte now and then, for ever.
            "/drip" => {
                let drip = futures_util::stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Some((Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"d"))), ()))
                });
                Body::stream(StreamBody::new(Box::pin(drip)))
            }
            _ => Body::Empty,
        };
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let server = Server::builder().http("127.0.0.1:0").workers(1);
    let server = match tls {
        Some(tls) => server.https("127.0.0.1:0").tls(tls.clone()),
        None => server,
    };
    server.serve(move |_| service).unwrap()
}

fn plain(server: &ServerHandle) -> UpstreamBuilder {
    Upstream::builder(format!("http://{}", server.http_addrs()[0]))
}

async fn ask(upstream: &mut Upstream, path: &str) -> Result<Response<Body>, UpstreamError> {
    upstream.call(Request::get(path).body(Body::Empty).unwrap()).await
}

async fn read(upstream: &mut Upstream, path: &str) -> Result<u64, CollectError> {
    let body = ask(upstream, path).await.unwrap().into_body();
    body.collect(1 << 20).await.map(|all| all.len())
}

/// Limit: `UpstreamBuilder::whole_timeout`.
#[tokio::test]
async fn an_answer_that_drips_on_ends_after_its_whole_time() {
    let server = server(None);
    let soon = Duration::from_secs(3);
    for h2 in [false, true] {
        let upstream = plain(&server).whole_timeout(soon).http2_prior_knowledge(h2);
        let mut upstream = upstream.build().unwrap();
        let error = read(&mut upstream, "/drip").await.unwrap_err();
        assert!(matches!(error, CollectError::Body(BodyError::TimedOut)), "{error:?}");
        assert_eq!(read(&mut upstream, "/known").await.unwrap(), 100);
    }
    // It holds for what has not begun, too.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let mut upstream = Upstream::builder(silent).whole_timeout(soon).build().unwrap();
    let error = ask(&mut upstream, "/").await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout), "{error:?}");
}

/// Limit: `UpstreamBuilder::max_body`.
#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_or_ends_in_an_error() {
    let server = server(None);
    for h2 in [false, true] {
        let mut upstream = plain(&server).max_body(99).http2_prior_knowledge(h2).build().unwrap();
        let error = ask(&mut upstream, "/known").await.unwrap_err();
        assert!(matches!(error, UpstreamError::TooLarge { limit: 99 }), "{error:?}");
        assert!(!error.is_retryable());
        let error = read(&mut upstream, "/unknown").await.unwrap_err();
        let is_too_large = matches!(error, CollectError::Body(BodyError::TooLarge { limit: 99 }));
        assert!(is_too_large, "{error:?}");
        // What it says of a length is of no body.
        let head = Request::builder().method(Method::HEAD).uri("/known").body(Body::Empty);
        let head = upstream.call(head.unwrap()).await.unwrap();
        assert_eq!(head.headers()["content-length"], "100");
        let mut upstream = plain(&server).max_body(100).http2_prior_knowledge(h2).build().unwrap();
        assert_eq!(read(&mut upstream, "/known").await.unwrap(), 100);
        assert_eq!(read(&mut upstream, "/unknown").await.unwrap(), 100);
    }
}

#[tokio::test]
async fn fields_that_nobody_named_go_no_further() {
    let server = server(None);
    let title = HeaderName::from_static("x-title");
    let mut upstream = plain(&server).response_fields([title]).build().unwrap();
    let answer = ask(&mut upstream, "/known").await.unwrap();
    for there in ["x-title", "content-type", "content-length", "etag", "date"] {
        assert!(answer.headers().contains_key(there), "{there} in {:?}", answer.headers());
    }
    for gone in ["server", "set-cookie", "x-host"] {
        assert!(!answer.headers().contains_key(gone), "{gone} in {:?}", answer.headers());
    }
    let answer = ask(&mut plain(&server).build().unwrap(), "/known").await.unwrap();
    assert!(answer.headers().contains_key("set-cookie"));
}

/// A name in the URL, another one in the certificate, and a third that the upstream is told.
#[tokio::test]
async fn an_upstream_is_told_its_host_and_asked_for_its_certificate_by_other_names() {
    let authority = Authority::new();
    let server = server(Some(&authority.sign(&["cert.test"]).tls()));
    let pem = authority.certificate.pem();
    let base = format!("https://{}", server.https_addrs()[0]);
    let builder = || Upstream::builder(base.as_str()).ca_pem(pem.as_bytes());
    let mut upstream = builder().tls_name("cert.test").host("told.test:81").build().unwrap();
    let answer = ask(&mut upstream, "/").await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.headers()["x-host"], "told.test:81");

    for wrong in [builder(), builder().tls_name("other.test")] {
        let error = ask(&mut wrong.build().unwrap(), "/").await.unwrap_err();
        let expected = Unconnected::Certificate;
        assert!(matches!(error, UpstreamError::Connect(why, _) if why == expected), "{error:?}");
    }
    let mut upstream = plain(&server).host("told.test").build().unwrap();
    assert_eq!(ask(&mut upstream, "/").await.unwrap().headers()["x-host"], "told.test");
    for wrong in [
        plain(&server).host("told.test").keep_host(true),
        plain(&server).host("no host/"),
        builder().tls_name("no name"),
    ] {
        let error = wrong.build().unwrap_err();
        assert!(matches!(error, UpstreamError::Config(_)), "{error:?}");
    }
}
