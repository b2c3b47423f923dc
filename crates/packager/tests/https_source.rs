//! Sources on HTTPS servers with a private certificate authority: who is trusted, and that neither
//! credentials nor paths are in any message.

#![cfg(feature = "http")]
#![cfg(feature = "http-source")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[allow(dead_code, reason = "the server can misbehave in more ways than are needed here")]
#[path = "kit/play.rs"]
mod play;
mod shell;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Clock, Timestamp};
use headwater_packager::source::{
    AnySource, BlockCache, HttpOptions, HttpSource, HttpStore, SourceError,
};
use headwater_packager::units::ByteRange;
use headwater_packager::{Assets, Packager, Source};
use http::header::HeaderName;
use play::{Act, Play};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use shell::{TINY, get, memory, packager, segment_urls};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A certificate authority that nobody knows.
struct Authority {
    pem: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server whose certificate is for `host`, on a port of 127.0.0.1.
    async fn serve(&self, host: &str) -> Play {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Play::start_behind(TINY.to_vec(), move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.ok() }
        })
        .await
    }
}

fn options(root: Option<&Authority>) -> HttpOptions {
    let mut options = HttpOptions::default();
    options.root_certificate = root.map(|root| root.pem.clone());
    options.backoff = Duration::from_millis(1);
    options.max_backoff = Duration::from_millis(5);
    options.credential(HeaderName::from_static("x-api-key"), "k3y".parse().unwrap());
    options
}

async fn open(play: &Play, options: HttpOptions) -> Result<HttpSource, SourceError> {
    let url = play.url().replace("http://", "https://");
    HttpStore::new(options).unwrap().locate(&url).unwrap().open("film.mp4").await
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let authority = Authority::new();
    let play = authority.serve("127.0.0.1").await;
    let source = open(&play, options(Some(&authority))).await.unwrap();
    let range = ByteRange { start: 100, len: 4_000 };
    assert_eq!(source.read(&[range]).await.unwrap()[0], TINY[100..4_100]);
    assert_eq!(play.seen().last().unwrap().header("x-api-key"), Some("k3y"));
    // A whole film through it is the film.
    let sources = [("film".to_owned(), vec![AnySource::new(source)])];
    let (far, _) = packager(Assets::from_sources(sources).unwrap());
    let (near, _) = packager(memory("film", TINY.to_vec()));
    for track in ["v1", "a1"] {
        let urls = segment_urls(&far, "film", track).await;
        for (far_url, near_url) in urls.iter().zip(segment_urls(&near, "film", track).await) {
            assert_eq!(get(&far, far_url).await.body, get(&near, &near_url).await.body);
        }
    }
}

#[tokio::test]
async fn others_are_not_trusted_and_are_told_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let not_connected = Some(SourceError::Io(ErrorKind::NotConnected));
    // Of another authority, of none that is known, and for another name.
    let stranger = theirs.serve("127.0.0.1").await;
    assert_eq!(open(&stranger, options(Some(&ours))).await.err(), not_connected);
    assert_eq!(open(&stranger, options(None)).await.err(), not_connected);
    let misnamed = ours.serve("films.example.com").await;
    assert_eq!(open(&misnamed, options(Some(&ours))).await.err(), not_connected);
    for play in [&stranger, &misnamed] {
        assert!(play.seen().is_empty(), "no request, and so no credentials, reached it");
    }
    // No way leads from HTTPS to where everyone can listen.
    let play = ours.serve("127.0.0.1").await;
    let plain = Play::start(TINY.to_vec()).await;
    play.then([Act::Redirect(format!("http://{}/film.mp4", plain.addr))]);
    let refused = open(&play, options(Some(&ours))).await.err();
    assert!(matches!(refused, Some(SourceError::Unfit(_))), "{refused:?}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn no_message_holds_credentials_or_paths() {
    let authority = Authority::new();
    let play = authority.serve("127.0.0.1").await;
    let mut said = Vec::new();
    let source = open(&play, options(Some(&authority))).await.unwrap();
    said.push(format!("{source:?}"));
    said.push(format!("{:?} {:?}", options(Some(&authority)), HttpStore::new(options(None))));
    for act in [Act::Status(401, ""), Act::Status(404, ""), Act::Whole, Act::Status(500, "")] {
        play.then(vec![act; 4]);
        let error = source.read(&[ByteRange { start: 0, len: 10 }]).await.unwrap_err();
        said.push(format!("{error} {error:?}"));
        play.clear();
    }
    let stranger = Authority::new().serve("127.0.0.1").await;
    let error = open(&stranger, options(Some(&authority))).await.unwrap_err();
    said.push(format!("{error} {error:?}"));
    // What a stranger is answered when the source fails.
    let sources = [("film".to_owned(), vec![AnySource::new(source)])];
    let (packager, _) = packager(Assets::from_sources(sources).unwrap());
    play.then(vec![Act::Status(403, ""); 8]);
    let reply = get(&packager, "/film/main.m3u8").await;
    assert_eq!(reply.status.as_u16() / 100, 5, "{}", reply.text());
    said.push(reply.text().to_owned());
    for text in &said {
        for secret in ["user", "pass", "token", "k3y", "films/", "PRIVATE", "BEGIN CERT"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[tokio::test]
async fn a_source_that_is_replaced_is_opened_again() {
    let authority = Authority::new();
    let play = authority.serve("127.0.0.1").await;
    let source = open(&play, options(Some(&authority))).await.unwrap();
    let cached = BlockCache::new(1 << 20).wrap(source);
    let sources = [("film".to_owned(), vec![AnySource::new(cached)])];
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let packager = Packager::builder(Assets::from_sources(sources).unwrap())
        .clock(clock.clone())
        .options(shell::options(2))
        .build();
    let first = segment_urls(&packager, "film", "v1").await;
    clock.advance(Duration::from_secs(4));
    play.clear();
    assert_eq!(segment_urls(&packager, "film", "v1").await, first);
    assert!(play.seen().is_empty(), "nobody looks for a few seconds");
    clock.advance(Duration::from_secs(2));
    play.then([Act::Replace("\"two\"")]);
    let second = segment_urls(&packager, "film", "v1").await;
    assert_ne!(second, first, "another version");
    for (old, new) in first.iter().zip(&second) {
        assert_eq!(get(&packager, old).await.status, 410, "{old}");
        assert_eq!(get(&packager, new).await.status, 200, "{new}");
    }
    // A server that is away changes nothing.
    clock.advance(Duration::from_secs(6));
    play.then(vec![Act::Status(503, ""); 4]);
    assert_eq!(segment_urls(&packager, "film", "v1").await, second);
    // One that has it no more does, until it has it again.
    clock.advance(Duration::from_secs(6));
    play.then([Act::Status(404, "")]);
    assert_eq!(get(&packager, "/film/main.m3u8").await.status, 404);
    clock.advance(Duration::from_secs(6));
    assert_eq!(segment_urls(&packager, "film", "v1").await, second);
}
