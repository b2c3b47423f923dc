//! Certificates from an authority: pebble, Let's Encrypt's own server for tests, which looks at our
//! listeners as any authority would; and what happens without one.
//!
//! `HEADWATER_PEBBLE` is the folder with pebble's programs (`cargo xtask test` builds them);
//! without it those tests are skipped, and say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "who skips says so")]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headwater_net::server::{Acme, AcmeChallenge, Server, ServerHandle, Tls};
use headwater_net::{Body, Clock, Timestamp};
use http::{Request, Response};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

/// How long an order may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long pebble's certificates live, in seconds, where they are to be renewed, and where they are not.
const SHORT_LIFE: u64 = 15;
const LONG_LIFE: u64 = 90 * 86_400;

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

/// Ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Pebble {
    directory: String,
    /// Where it is told what to answer.
    management: String,
    /// What it wrote.
    said: PathBuf,
    /// What signed its own certificate: itself.
    ca: Vec<u8>,
    process: Ends,
    _names: Ends,
}

/// An authority that finds every name on this machine, at these ports.
fn pebble(dir: &Path, [https, http]: [u16; 2], life: u64, more: &str) -> Option<Pebble> {
    let Some(programs) = std::env::var_os("HEADWATER_PEBBLE").map(PathBuf::from) else {
        println!("skipped: HEADWATER_PEBBLE is unset");
        return None;
    };
    let ports @ [listen, management, names, control] = free_ports();
    let own = dir.join("authority");
    Tls::self_signed(["localhost"], Some(&own), &Clock::system()).unwrap();
    let config = format!(
        r#"{{"pebble": {{
            "listenAddress": "127.0.0.1:{listen}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "{own}/dev-cert.pem", "privateKey": "{own}/dev-key.pem",
            "httpPort": {http}, "tlsPort": {https}, "keyAlgorithm": "ecdsa",
            "retryAfter": {{"authz": 1, "order": 1}},
            "profiles": {{"default": {{"description": "one", "validityPeriod": {life}}}}} {more}
        }}}}"#,
        own = own.display()
    );
    let file = dir.join("pebble.json");
    std::fs::write(&file, config).unwrap();
    let said = dir.join("pebble.log");
    let start = |program: &str, args: &[&str], said: Stdio| {
        let mut command = Command::new(programs.join(program));
        command.args(args).env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        command.stdin(Stdio::null()).stdout(said).stderr(Stdio::null());
        Ends(command.spawn().unwrap())
    };
    let (names, control) = (format!("127.0.0.1:{names}"), format!("127.0.0.1:{control}"));
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", ""];
    let args = [&["-dnsserver", &names, "-management", &control][..], &off].concat();
    let resolver = start("pebble-challtestsrv", &args, Stdio::null());
    let args = ["-config", file.to_str().unwrap(), "-dnsserver", &names];
    let process = start("pebble", &args, std::fs::File::create(&said).unwrap().into());
    for port in ports {
        // It listens a moment after it was started.
        let give_up = std::time::Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < give_up, "pebble or its resolver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Some(Pebble {
        directory: format!("https://localhost:{listen}/dir"),
        management: format!("https://localhost:{management}"),
        said,
        ca: std::fs::read(own.join("dev-cert.pem")).unwrap(),
        process,
        _names: resolver,
    })
}

fn serve(acme: &Acme, ports: [u16; 2]) -> ServerHandle {
    serve_by(Tls::from_acme(acme.clone()).unwrap(), ports)
}

fn serve_by(tls: Tls, [https, http]: [u16; 2]) -> ServerHandle {
    let hello =
        |_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) };
    Server::builder()
        .https(("127.0.0.1", https))
        .http(("127.0.0.1", http))
        .tls(tls)
        .workers(2)
        .serve(move |_| tower::service_fn(hello))
        .unwrap()
}

/// Believes whoever it meets: who that is, the tests look at.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = &provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The chain that a client who asks for `name` is shown.
async fn shown(
    port: u16,
    name: &str,
    alpn: &[u8],
) -> std::io::Result<Vec<CertificateDer<'static>>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = tokio::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.iter().map(|one| one.clone().into_owned()).collect())
}

async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// From the first certificate through its renewal to an authority that is gone.
async fn lifetime(challenge: AcmeChallenge) {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let [https, _] = ports;
    let Some(pebble) = pebble(dir.path(), ports, SHORT_LIFE, "") else { return };
    let folder = dir.path().join("acme");
    let acme = Acme::builder(&pebble.directory, &folder)
        .certificate(["a.example", "b.example"])
        .certificate(["c.example"])
        .contact("mailto:operations@a.example")
        .challenge(challenge)
        .ca_pem(&pebble.ca)
        .seed(1)
        .build()
        .unwrap();
    let server = serve(&acme, ports);
    let stand_in = shown(https, "a.example", b"h2").await.unwrap();
    assert_eq!(stand_in.len(), 1, "it signed itself");
    let expires = |acme: &Acme| {
        let status = acme.status();
        let failed: Vec<_> = status.iter().filter_map(|one| one.failure.clone()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        status.iter().map(|one| one.expires).min().flatten()
    };
    let first = until("there are certificates", || expires(&acme)).await;
    let mut chain = stand_in.clone();
    for _ in 0..1000 {
        chain = shown(https, "b.example", b"h2").await.unwrap();
        if chain != stand_in && chain.len() > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(chain.len() > 1, "the authority's own comes along");
    assert_eq!(chain, shown(https, "a.example", b"http/1.1").await.unwrap(), "one for both names");
    assert_ne!(chain[0], shown(https, "c.example", b"h2").await.unwrap()[0]);
    // Who asks as an authority does without a question that is open is shown nothing.
    assert!(shown(https, "a.example", b"acme-tls/1").await.is_err());

    // Its owner alone may read what is kept.
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|file| file.unwrap()).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let names: Vec<_> = files.iter().map(std::fs::DirEntry::file_name).collect();
    let of_both =
        ["a.example", "c.example"].map(|name| [".json", ".pem"].map(|end| format!("{name}{end}")));
    let [a, c] = of_both.each_ref().map(|of| of.iter().map(String::as_str));
    let expected: Vec<&str> = a.chain(["account.json"]).chain(c).chain(["lock"]).collect();
    assert_eq!(names, expected);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }

    // Renewed in time, with the same account, without anybody's doing.
    let account = std::fs::read(kept.join("account.json")).unwrap();
    let renewed = |acme: &Acme| expires(acme).filter(|expires| *expires > first);
    until("they are renewed", || renewed(&acme)).await;
    let mut after = chain.clone();
    for _ in 0..1000 {
        after = shown(https, "a.example", b"h2").await.unwrap();
        if after[0] != chain[0] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(after[0], chain[0]);
    assert_eq!(std::fs::read(kept.join("account.json")).unwrap(), account);

    // Another process with this folder has the certificates at once, and asks nobody.
    let other = Acme::builder(&pebble.directory, &folder).certificate(["a.example", "b.example"]);
    assert!(other.build().unwrap().status()[0].expires.is_some());

    // The authority is gone: what is in force stays.
    drop(pebble.process);
    until("an attempt failed", || acme.status().iter().find(|one| one.failures > 0).cloned()).await;
    assert!(acme.status()[0].expires.is_some());
    assert!(shown(https, "a.example", b"h2").await.unwrap().len() > 1);
    drop(server);
}

#[tokio::test]
async fn rfc_8737_certificates_by_a_handshake_live_and_are_renewed() {
    lifetime(AcmeChallenge::TlsAlpn01).await;
}

#[tokio::test]
async fn rfc_8555_8_3_certificates_by_plain_http_live_and_are_renewed() {
    lifetime(AcmeChallenge::Http01).await;
}

/// RFC 9773: the authority is asked when to renew, and a certificate that it wants renewed is, long
/// before it would be otherwise, in the place of the one before (§5): where that is refused, in nobody's.
#[tokio::test]
async fn rfc_9773_a_certificate_is_renewed_when_the_authority_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let Some(pebble) = pebble(dir.path(), ports, LONG_LIFE, "") else { return };
    let folder = dir.path().join("acme");
    let clock = Clock::manual(Clock::system().now());
    let build = || {
        let acme = Acme::builder(&pebble.directory, &folder).certificate(["a.example"]);
        acme.ca_pem(&pebble.ca).clock(clock.clone()).seed(1).build().unwrap()
    };
    let acme = build();
    let server = serve(&acme, ports);
    let told = |acme: &Acme| acme.status().remove(0).window;
    let usual = until("a window was told", || told(&acme)).await;
    server.drain(PATIENCE).await;
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let (pem, account) = (kept.join("a.example.pem"), kept.join("account.json"));
    let said = || std::fs::read_to_string(&pebble.said).unwrap();
    for same_account in [true, false] {
        let before = std::fs::read_to_string(&pem).unwrap();
        let over = r#"{"suggestedWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}}"#;
        let order = serde_json::json!({"Certificate": before, "ARIResponse": over}).to_string();
        let client = reqwest::Client::builder().no_proxy().user_agent("a test");
        let client = client.tls_danger_accept_invalid_certs(true);
        let ask = client.build().unwrap().post(format!("{}/set-renewal-info/", pebble.management));
        assert_eq!(ask.body(order).send().await.unwrap().status(), 200);
        // Not before it is time to ask again.
        assert!(told(&build()).is_some_and(|window| window.start >= usual.start), "it is kept");
        clock.advance(Duration::from_secs(7 * 3600));
        if !same_account {
            std::fs::remove_file(&account).unwrap();
            // Whoever has an account may ask.
            let other = Acme::builder(&pebble.directory, &folder).certificate(["b.example"]);
            let other = other.ca_pem(&pebble.ca).seed(1).build().unwrap();
            let server = serve(&other, ports);
            until("another account", || other.status()[0].expires).await;
            server.drain(PATIENCE).await;
        }
        let acme = build();
        let tls = Tls::from_acme(acme.clone()).unwrap();
        let server = serve_by(tls.clone(), ports);
        until("it is renewed", || {
            let status = acme.status().remove(0);
            assert_eq!(status.failure, None);
            (std::fs::read_to_string(&pem).unwrap() != before).then_some(())
        })
        .await;
        until("it is counted", || tls.orders().filter(|orders| orders.issued == 1)).await;
        until("its own window is told", || told(&acme).filter(|w| w.start >= usual.start)).await;
        server.drain(PATIENCE).await;
        assert_eq!(said().matches("is a replacement of").count(), 1, "{}", said());
    }
}

#[tokio::test]
async fn rfc_8555_7_3_4_an_account_is_bound_to_one_that_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let more = format!(
        r#", "externalAccountBindingRequired": true, "externalAccountMACKeys": {{"me": "{key}"}}"#
    );
    let Some(pebble) = pebble(dir.path(), ports, LONG_LIFE, &more) else { return };
    let folder = dir.path().join("acme");
    let builder = || {
        let acme = Acme::builder(&pebble.directory, &folder).certificate(["a.example"]);
        acme.ca_pem(&pebble.ca)
    };
    let acme = builder().build().unwrap();
    let tls = Tls::from_acme(acme.clone()).unwrap();
    let server = serve_by(tls.clone(), ports);
    let failure = until("it is refused", || acme.status().remove(0).failure).await;
    assert!(failure.contains("externalAccountBinding"), "{failure}");
    assert_eq!(tls.orders().map(|orders| (orders.issued, orders.failed)), Some((0, 1)));
    assert_eq!(tls.certificates()[0].expires, None, "one stands in");
    server.drain(PATIENCE).await;
    // The next process would wait as this one does.
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    until("it is written down", || std::fs::metadata(kept.join("a.example.json")).ok()).await;
    let acme = builder().external_account("me", key.as_bytes()).build().unwrap();
    assert_eq!(acme.status()[0].failures, 1);
    std::fs::remove_file(kept.join("a.example.json")).unwrap();
    let acme = builder().external_account("me", key.as_bytes()).build().unwrap();
    let tls = Tls::from_acme(acme.clone()).unwrap();
    let server = serve_by(tls.clone(), ports);
    until("it is issued", || {
        assert_eq!(acme.status()[0].failure, None);
        acme.status()[0].expires
    })
    .await;
    until("it is shown", || tls.certificates()[0].expires).await;
    server.drain(PATIENCE).await;
}

/// A server that cannot reach its authority starts, serves with what it has, and tells of it.
#[tokio::test]
async fn without_its_authority_a_server_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let [nobody] = free_ports();
    let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let build = || {
        Acme::builder(format!("https://127.0.0.1:{nobody}/dir"), dir.path())
            .certificate(["a.example"])
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    // One that is kept from before, and due.
    build();
    let folder = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let made = dir.path().join("made");
    let kept = Tls::self_signed(["a.example"], Some(&made), &clock).unwrap();
    let both = ["dev-cert.pem", "dev-key.pem"].map(|name| std::fs::read(made.join(name)).unwrap());
    std::fs::write(folder.join("a.example.pem"), both.concat()).unwrap();
    clock.advance(Duration::from_secs(12 * 86_400));
    for has_one in [true, false] {
        if !has_one {
            std::fs::remove_file(folder.join("a.example.pem")).unwrap();
            std::fs::remove_file(folder.join("a.example.json")).unwrap();
        }
        let acme = build();
        let server = serve(&acme, [0, 0]);
        let status = until("it was tried", || {
            Some(acme.status().remove(0)).filter(|status| status.failures == 1)
        })
        .await;
        assert_eq!(status.expires.is_some(), has_one);
        assert!(status.failure.unwrap().contains("connect"), "it says why");
        let chain = shown(server.https_addrs()[0].port(), "a.example", b"h2").await.unwrap();
        assert_eq!(chain[0].as_ref() == kept.leaf_der(), has_one);
    }
}
