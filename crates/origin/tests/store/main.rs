//! Object stores as origins: in memory, and S3 in the form of a stand-in that asks for signatures, through
//! `object_store` and by signed requests of our own client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the stand-in says why it refuses")]

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod clouds;
mod s3;

use std::sync::Arc;

use headwater_net::Body;
use headwater_net::client::{Bounds, SigV4, Upstream};
use headwater_origin::Shield;
use headwater_origin::store::{StoreError, StoreOrigin};
use headwater_origin::upstream::{OriginError, Origins};
use http::{Method, Request, Response, StatusCode};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore as _, ObjectStoreExt as _, PutPayload};
use s3::{BREAKS, KEY_ID, REGION, S3, SECRET, content};
use tower::ServiceExt as _;

fn get(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::Empty).unwrap()
}

async fn bytes(answer: Response<Body>) -> Vec<u8> {
    answer.into_body().collect(1 << 20).await.unwrap().to_bytes().to_vec()
}

fn field<'r>(answer: &'r Response<Body>, name: &str) -> &'r str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// What any of them answers: whole, parts, conditions, and what is not there.
async fn contract<S>(ask: S, etag: &str, expected: &[u8])
where
    S: AsyncFn(Request<Body>) -> Response<Body>,
{
    let whole = ask(get("/film/1.m4s", &[])).await;
    assert_eq!((whole.status(), field(&whole, "etag")), (StatusCode::OK, etag));
    assert_eq!(field(&whole, "content-length"), expected.len().to_string());
    assert!(field(&whole, "last-modified").ends_with("GMT"));
    assert!(bytes(whole).await == expected);
    for (range, from, to) in [
        ("bytes=10-19", 10, 20),
        ("bytes=299990-", expected.len() - 10, expected.len()),
        ("bytes=-10", expected.len() - 10, expected.len()),
    ] {
        for fields in [&[("range", range)][..], &[("range", range), ("if-range", etag)]] {
            let part = ask(get("/film/1.m4s", fields)).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{fields:?}");
            let said = format!("bytes {from}-{}/{}", to - 1, expected.len());
            assert_eq!(field(&part, "content-range"), said);
            assert!(bytes(part).await == expected[from..to], "{fields:?}");
        }
    }
    let beyond = ask(get("/film/1.m4s", &[("range", "bytes=300000-")])).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let same = ask(get("/film/1.m4s", &[("if-none-match", etag)])).await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let head = Request::builder().method(Method::HEAD).uri("/film/1.m4s").body(Body::Empty);
    let head = ask(head.unwrap()).await;
    assert_eq!(field(&head, "content-length"), expected.len().to_string());
    assert_eq!(head.status(), StatusCode::OK);
    for missing in ["/film/missing.m4s", "/", "/film/", "/?list-type=2"] {
        let answer = ask(get(missing, &[])).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn an_object_store_answers_as_an_origin() {
    let store = Arc::new(InMemory::new());
    let expected = content("any");
    let path = Path::from("base/film/1.m4s");
    store.put(&path, PutPayload::from(expected.clone())).await.unwrap();
    let etag = store.head(&path).await.unwrap().e_tag.unwrap();
    let origin = StoreOrigin::new(store).below(Path::from("base"));
    contract(async |request| origin.clone().oneshot(request).await.unwrap(), &etag, &expected)
        .await;
    let part = get("/film/1.m4s", &[("range", "bytes=5-9")]);
    let part = origin.clone().oneshot(part).await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(bytes(part).await == expected[5..10]);
    for path in ["/film/../film/1.m4s", "/film/%2E%2E/1.m4s", "/base/film/1.m4s", "/film/%FF"] {
        let answer = origin.clone().oneshot(get(path, &[])).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let put = Request::put("/film/1.m4s").body(Body::from("x")).unwrap();
    assert_eq!(origin.oneshot(put).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_a_store_answers_is_held_to_bounds() {
    let store = Arc::new(InMemory::new());
    let said = [(Attribute::ContentDisposition, "inline"), (Attribute::ContentType, "video/mp4")];
    let said = said.into_iter().collect::<Attributes>();
    let path = Path::from("film/1.m4s");
    store.put_opts(&path, PutPayload::from(content("any")), said.into()).await.unwrap();
    let bounds = Bounds::default().max_body(1000);
    let origin = StoreOrigin::new(store).bounds(bounds.clone().response_fields([]));
    let error = origin.clone().oneshot(get("/film/1.m4s", &[])).await.unwrap_err();
    assert_eq!(error, StoreError::TooLarge { limit: 1000 });
    // A part counts by its own length, and a HEAD has none.
    let part = origin.clone().oneshot(get("/film/1.m4s", &[("range", "bytes=5-9")])).await.unwrap();
    assert_eq!(
        (field(&part, "content-type"), field(&part, "content-disposition")),
        ("video/mp4", "")
    );
    assert!(bytes(part).await == content("any")[5..10]);
    let head = Request::head("/film/1.m4s").body(Body::Empty).unwrap();
    let head = origin.clone().oneshot(head).await.unwrap();
    assert_eq!(field(&head, "content-length"), "300000");
    // What is larger than is taken is no fault of the store's.
    let origins = Origins::builder().origin(origin.clone()).build();
    let error = origins.clone().oneshot(get("/film/1.m4s", &[])).await.unwrap_err();
    assert!(matches!(error, OriginError::Refused(_)), "{error:?}");
    assert_eq!(origins.standing()[0].failed, 0);
    let taken = bounds.response_fields([http::header::CONTENT_DISPOSITION]);
    let part = get("/film/1.m4s", &[("range", "bytes=5-9")]);
    let part = origin.bounds(taken).oneshot(part).await.unwrap();
    assert_eq!(field(&part, "content-disposition"), "inline");
}

/// Our own client signs, and pools and streams as ever.
#[tokio::test]
async fn a_plain_origin_is_asked_by_signed_requests() {
    let s3 = S3::start();
    let signed = |secret: &str| {
        let signer = SigV4::s3(REGION, KEY_ID, secret.as_bytes());
        Upstream::builder(format!("{}/bucket", s3.url())).sign(signer).build().unwrap()
    };
    let origin = signed(SECRET);
    let expected = content("/bucket/film/1.m4s");
    contract(async |request| origin.clone().oneshot(request).await.unwrap(), "\"v1\"", &expected)
        .await;
    let odd = get("/film/a%20(b)+c~%C3%A9.m4s?acl", &[("x-amz-acl", "public-read")]);
    assert_eq!(origin.clone().oneshot(odd).await.unwrap().status(), StatusCode::OK);
    let wrong = signed("another").oneshot(get("/film/1.m4s", &[])).await.unwrap();
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
}

/// A body that breaks off is resumed by a signed request for the rest.
#[tokio::test]
async fn a_signed_body_that_breaks_off_is_resumed() {
    let s3 = S3::start();
    let signer = SigV4::s3(REGION, KEY_ID, SECRET.as_bytes());
    let origin = Upstream::builder(s3.url()).sign(signer).build().unwrap();
    let shield = Shield::builder().origin(origin).build();
    let answer = shield.oneshot(get(BREAKS, &[("host", "a")])).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(bytes(answer).await == content(BREAKS));
    assert_eq!(s3.asked.lock().unwrap().len(), 2, "{:?}", s3.asked.lock().unwrap());
}

#[cfg(feature = "aws")]
mod aws {
    use std::time::Duration;

    use super::*;
    use headwater_net::BodyError;
    use headwater_net::body::CollectError;
    use object_store::aws::AmazonS3Builder;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    use s3::FORBIDDEN;

    fn store(s3: &S3, secret: &str) -> StoreOrigin {
        let store = AmazonS3Builder::new()
            .with_endpoint(s3.url())
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name("bucket")
            .with_access_key_id(KEY_ID)
            .with_secret_access_key(secret)
            .build()
            .unwrap();
        StoreOrigin::new(Arc::new(store))
    }

    #[tokio::test]
    async fn s3_is_asked_by_signed_requests_and_answers_as_an_origin() {
        let s3 = S3::start();
        let origin = store(&s3, SECRET);
        let expected = content("/bucket/film/1.m4s");
        contract(
            async |request| origin.clone().oneshot(request).await.unwrap(),
            "\"v1\"",
            &expected,
        )
        .await;
        let answer = origin.clone().oneshot(get("/film/1.m4s", &[])).await.unwrap();
        assert_eq!(field(&answer, "content-type"), "video/iso.segment");
        assert_eq!(field(&answer, "cache-control"), "max-age=600");
        // Another state: the whole of this one, as `If-Range` wants it.
        let other = [("range", "bytes=5-9"), ("if-range", "\"v0\"")];
        let answer = origin.clone().oneshot(get("/film/1.m4s", &other)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(bytes(answer).await == expected);
        let forbidden = FORBIDDEN.strip_prefix("/bucket").unwrap();
        let answer = origin.oneshot(get(forbidden, &[])).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let answer = store(&s3, "another").oneshot(get("/film/1.m4s", &[])).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }

    /// A store that cannot be reached is a failure of the origin, and says nothing of what it is called.
    #[tokio::test]
    async fn a_store_that_cannot_be_reached_gives_no_answer() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let retry = object_store::RetryConfig { max_retries: 0, ..Default::default() };
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://{closed}"))
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name("bucket")
            .with_access_key_id(KEY_ID)
            .with_secret_access_key(SECRET)
            .with_retry(retry)
            .build()
            .unwrap();
        let origin = StoreOrigin::new(Arc::new(store));
        let error = origin.oneshot(get("/film/1.m4s", &[])).await.unwrap_err();
        assert_eq!(error, StoreError::Failed);
        assert!(!error.to_string().contains("bucket") && !error.to_string().contains("127"));
    }

    /// A store that takes so long until an answer begins, and for each of the 300,000 bytes of its body.
    async fn slow(call: Duration, byte: Duration) -> StoreOrigin {
        let slow = ThrottleConfig {
            wait_get_per_call: call,
            wait_get_per_byte: byte,
            ..ThrottleConfig::default()
        };
        let store = InMemory::new();
        let payload = PutPayload::from(content("any"));
        store.put(&Path::from("film/1.m4s"), payload).await.unwrap();
        StoreOrigin::new(Arc::new(ThrottledStore::new(store, slow)))
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_store_may_take_is_what_its_bounds_say() {
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        let bounds = Bounds::default().idle_timeout(1000 * second);
        let ask = |origin: StoreOrigin| origin.oneshot(get("/film/1.m4s", &[]));

        // Five minutes of one body, and five until it begins.
        let origin = slow(300 * second, second / 1000).await.bounds(bounds.clone());
        assert!(bytes(ask(origin).await.unwrap()).await == content("any"));

        let whole = bounds.clone().whole_timeout(60 * second);
        let origin = slow(300 * second, none).await.bounds(whole.clone());
        assert_eq!(ask(origin.clone()).await.unwrap_err(), StoreError::TimedOut);
        let origins = Origins::builder().origin(origin).first_byte_timeout(600 * second).build();
        let error = origins.oneshot(get("/film/1.m4s", &[])).await.unwrap_err();
        assert!(matches!(error, OriginError::TimedOut(_)), "{error:?}");

        for bounds in [whole, bounds.idle_timeout(60 * second)] {
            let origin = slow(none, second / 1000).await.bounds(bounds);
            let error = ask(origin).await.unwrap().into_body().collect(1 << 20).await.unwrap_err();
            assert!(matches!(error, CollectError::Body(BodyError::TimedOut)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_body_of_s3_that_breaks_off_is_whole_for_who_reads_it() {
        let s3 = S3::start();
        let origins = Origins::builder().origin(store(&s3, SECRET)).build();
        let path = BREAKS.strip_prefix("/bucket").unwrap();
        let answer = origins.oneshot(get(path, &[])).await.unwrap();
        assert!(bytes(answer).await == content(BREAKS));
        assert!(s3.asked.lock().unwrap().len() > 1, "{:?}", s3.asked.lock().unwrap());
    }
}
