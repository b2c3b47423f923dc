//! Stores by their URLs and settings, as a configuration names them: S3, Google's and Azure's, before
//! stand-ins that ask for what each of them asks for.
#![allow(clippy::format_push_string, reason = "tests have time")]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use headwater_origin::store::{Connections, OpenError, StoreError, StoreOrigin};
use http::StatusCode;
use tower::ServiceExt as _;

use crate::s3::{S3, content};
use crate::{bytes, contract, get};

type Settings<'s> = &'s [(&'s str, &'s str)];

fn open(url: &str, settings: Settings<'_>) -> StoreOrigin {
    StoreOrigin::open(url, settings.iter().copied(), false).unwrap()
}

/// Who knows the secret is answered as by any origin, and who does not is forbidden to read.
async fn knows(url: &str, settings: Settings<'_>, wrong: Settings<'_>) {
    let origin = open(url, settings);
    let expected = content("/bucket/film/1.m4s");
    contract(async |request| origin.clone().oneshot(request).await.unwrap(), "\"v1\"", &expected)
        .await;
    let below = open(&format!("{url}/film"), settings);
    assert!(bytes(below.oneshot(get("/1.m4s", &[])).await.unwrap()).await == expected);
    let refused = open(url, wrong).oneshot(get("/film/1.m4s", &[])).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn s3_by_its_url() {
    use crate::s3::{KEY_ID, REGION, SECRET};

    let s3 = S3::start();
    let url = s3.url();
    let settings = |secret| {
        [
            ("endpoint", &*url),
            ("allow_http", "true"),
            ("region", REGION),
            ("access_key_id", KEY_ID),
            ("secret_access_key", secret),
        ]
    };
    knows("s3://bucket", &settings(SECRET), &settings("another")).await;
}

#[cfg(feature = "gcp")]
#[tokio::test]
async fn googles_store_by_its_url() {
    fn let_in(request: &http::Request<headwater_net::Body>) -> Result<(), String> {
        match request.headers().get("authorization") {
            Some(field) if field == "Bearer a-token" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
    let store = S3::guarded(let_in);
    let url = store.url();
    let settings = |token| [("base_url", &*url), ("bearer_token", token)];
    knows("gs://bucket", &settings("a-token"), &settings("another")).await;

    // What everybody may read is asked for without a token.
    let open_to_all = S3::guarded(|request| {
        let shown = request.headers().get("authorization");
        shown.map_or(Ok(()), |shown| Err(format!("{shown:?}")))
    });
    let url = open_to_all.url();
    let origin = open("gs://bucket", &[("base_url", &url), ("skip_signature", "true")]);
    let answer = origin.oneshot(get("/film/1.m4s", &[])).await.unwrap();
    assert!(bytes(answer).await == content("/bucket/film/1.m4s"));
}

#[cfg(feature = "azure")]
const AZURE_KEY: &str = "YSBrZXkgdGhhdCBpcyBub3Qgb25l";

/// Shared Key of Azure's blobs, by code of its own: the string that is signed is of the method, some fields,
/// those that begin with `x-ms-`, and the resource with its parameters.
#[cfg(feature = "azure")]
fn shared_key(request: &http::Request<headwater_net::Body>) -> Result<(), String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    let said = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let mut text = format!("{}\n", request.method());
    for name in [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        let value = Some(said(name)).filter(|value| name != "content-length" || *value != "0");
        text += value.unwrap_or_default();
        text.push('\n');
    }
    let mut fields: Vec<_> = request
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|n| n.starts_with("x-ms-"))
        .collect();
    fields.sort_unstable();
    for name in fields {
        text += &format!("{name}:{}\n", said(name));
    }
    text += &format!("/account{}", request.uri().path());
    let mut query: Vec<_> =
        request.uri().query().into_iter().flat_map(|query| query.split('&')).collect();
    query.sort_unstable();
    for pair in query {
        text += &format!("\n{}", pair.replacen('=', ":", 1));
    }
    let key = BASE64.decode(AZURE_KEY).unwrap();
    let expected = format!("SharedKey account:{}", BASE64.encode(crate::s3::mac(&key, &text)));
    if said("authorization") == expected { Ok(()) } else { Err(format!("of\n{text}")) }
}

#[cfg(feature = "azure")]
#[tokio::test]
async fn azures_store_by_its_url() {
    let store = S3::guarded(shared_key);
    let url = store.url();
    let settings = |key| {
        [
            ("endpoint", &*url),
            ("allow_http", "true"),
            ("account_name", "account"),
            ("access_key", key),
        ]
    };
    knows("az://bucket", &settings(AZURE_KEY), &settings("YW5vdGhlcg==")).await;

    // By a signature that somebody else made for a time (SAS).
    let signed = S3::guarded(|request| {
        let query = request.uri().query().unwrap_or_default();
        let has = |pair| query.split('&').any(|one| one == pair);
        if has("sv=2021-08-06") && has("sig=made%2Belsewhere") { Ok(()) } else { Err(query.into()) }
    });
    let url = signed.url();
    let settings = |sas| {
        [("endpoint", &*url), ("allow_http", "true"), ("account_name", "account"), ("sas_key", sas)]
    };
    let sas = "sv=2021-08-06&sig=made%2Belsewhere";
    knows("az://bucket", &settings(sas), &settings("sv=2021-08-06&sig=guessed")).await;
}

/// Somebody who answers nobody, and must not be found.
struct Elsewhere(TcpListener);

impl Elsewhere {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Nobody has connected, as the system counts connections.
    #[track_caller]
    fn was_not_found(&self) {
        let met = self.0.accept().map(|(_, peer)| peer).map_err(|error| error.kind());
        assert_eq!(met, Err(ErrorKind::WouldBlock));
    }
}

/// What comes of asking for an object, which has to come.
async fn asked(origin: StoreOrigin) -> Option<StoreError> {
    let answered = origin.oneshot(get("/film/1.m4s", &[]));
    tokio::time::timeout(Duration::from_secs(60), answered).await.unwrap().err()
}

#[tokio::test]
async fn where_a_store_sends_us_nobody_is_asked() {
    let elsewhere = Elsewhere::new();
    for status in [301, 302, 303, 307, 308] {
        let store = S3::moved(status, elsewhere.url());
        let url = store.url();
        let s3 = [
            ("endpoint", &*url),
            ("allow_http", "true"),
            ("region", "eu-test-1"),
            ("access_key_id", "a"),
            ("secret_access_key", "a"),
        ];
        let gs = [("base_url", &*url), ("bearer_token", "a")];
        let az = [
            ("endpoint", &*url),
            ("allow_http", "true"),
            ("account_name", "account"),
            ("access_key", "YQ=="),
        ];
        let kinds: [(&str, Settings<'_>, bool); 3] = [
            ("s3://bucket", &s3, cfg!(feature = "aws")),
            ("gs://bucket", &gs, cfg!(feature = "gcp")),
            ("az://bucket", &az, cfg!(feature = "azure")),
        ];
        let built = kinds.into_iter().filter(|(.., built)| *built);
        let mut count = 0;
        for (bucket, settings, _) in built {
            count += 1;
            let failed = asked(open(bucket, settings)).await;
            assert_eq!(failed, Some(StoreError::Failed), "{bucket} {status}");
            assert_eq!(store.asked.lock().unwrap().len(), count, "it is asked once");
        }
    }
    elsewhere.was_not_found();
}

/// Nor where the giver of credentials does: here a machine's own metadata.
#[cfg(feature = "aws")]
#[tokio::test]
async fn where_the_giver_of_credentials_sends_us_nobody_is_asked() {
    let (elsewhere, store) = (Elsewhere::new(), S3::start());
    for status in [302, 307] {
        let giver = S3::moved(status, elsewhere.url());
        let (endpoint, metadata) = (store.url(), giver.url());
        let settings = [
            ("endpoint", &*endpoint),
            ("allow_http", "true"),
            ("region", "eu-test-1"),
            ("metadata_endpoint", &*metadata),
        ];
        let failed = asked(open("s3://bucket", &settings)).await;
        assert_eq!(failed, Some(StoreError::Failed), "{status}");
        assert!(!giver.asked.lock().unwrap().is_empty(), "it was asked");
    }
    elsewhere.was_not_found();
    assert!(store.asked.lock().unwrap().is_empty());
}

#[cfg(feature = "gcp")]
#[tokio::test]
async fn connections_are_kept_as_it_is_said() {
    let at_once = Connections::default().pool_idle_timeout(Duration::from_millis(1));
    for (connections, is_kept) in [
        (Connections::default(), true),
        (Connections::default().pool_max_idle(0), false),
        (at_once, false),
    ] {
        let store = S3::guarded(|_| Ok(()));
        let url = store.url();
        let settings = [("base_url", &*url), ("bearer_token", "a")];
        let origin = StoreOrigin::open_by("gs://bucket", settings, false, &connections).unwrap();
        // One may be asked for before it is back.
        let mut met = std::collections::BTreeSet::new();
        let mut is_again = false;
        for _ in 0..if is_kept { 1000 } else { 3 } {
            let answer = origin.clone().oneshot(get("/film/1.m4s", &[])).await.unwrap();
            assert!(bytes(answer).await == content("/bucket/film/1.m4s"));
            if !is_kept {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            is_again |= !met.insert(*store.by.lock().unwrap().last().unwrap());
            if is_again {
                break;
            }
        }
        assert_eq!(is_again, is_kept);
    }
}

#[test]
fn times_and_connections_are_no_settings() {
    for (scheme, built) in [
        ("s3", cfg!(feature = "aws")),
        ("gs", cfg!(feature = "gcp")),
        ("az", cfg!(feature = "azure")),
    ] {
        for name in ["timeout", "connect_timeout", "pool_idle_timeout", "randomize_addresses"] {
            let error = StoreOrigin::open(&format!("{scheme}://b"), [(name, "1s")], false);
            let expected = OpenError::Elsewhere(name.to_owned());
            assert_eq!(built, error.unwrap_err() == expected, "{scheme} {name}");
        }
    }
}

#[test]
fn settings_that_are_no_good_are_refused_and_not_repeated() {
    let all: &[(&str, bool)] = &[
        ("s3", cfg!(feature = "aws")),
        ("gs", cfg!(feature = "gcp")),
        ("az", cfg!(feature = "azure")),
    ];
    for (scheme, built) in all {
        let settings = [("allow_http", "a secret")];
        let error = StoreOrigin::open(&format!("{scheme}://b"), settings, false).unwrap_err();
        assert_eq!(*built, error == OpenError::Settings, "{scheme}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
}
