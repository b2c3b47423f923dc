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
/// How long pebble's certificates live.
const LIFE: u64 = 15;

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
    /// What signed its own certificate: itself.
    ca: Vec<u8>,
    process: Ends,
    _names: Ends,
}

/// An authority that finds every name on this machine, at these ports.
fn pebble(dir: &Path, https: u16, http: u16) -> Option<Pebble> {
    let Some(programs) = std::env::var_os("HEADWATER_PEBBLE").map(PathBuf::from) else {
        println!("skipped: HEADWATER_PEBBLE is unset");
        return None;
    };
    let [listen, management, names, control] = free_ports();
    let own = dir.join("authority");
    Tls::self_signed(["localhost"], Some(&own), &Clock::system()).unwrap();
    let config = format!(
        r#"{{"pebble": {{
            "listenAddress": "127.0.0.1:{listen}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "{own}/dev-cert.pem", "privateKey": "{own}/dev-key.pem",
            "httpPort": {http}, "tlsPort": {https}, "keyAlgorithm": "ecdsa",
            "retryAfter": {{"authz": 1, "order": 1}},
            "profiles": {{"default": {{"description": "short", "validityPeriod": {LIFE}}}}}
        }}}}"#,
        own = own.display()
    );
    let file = dir.join("pebble.json");
    std::fs::write(&file, config).unwrap();
    let start = |program: &str, args: &[&str]| {
        let mut command = Command::new(programs.join(program));
        command.args(args).env("PEBBLE_VA_NOSLEEP", "1").stdin(Stdio::null());
        Ends(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let (names, control) = (format!("127.0.0.1:{names}"), format!("127.0.0.1:{control}"));
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", ""];
    let args = [&["-dnsserver", &names, "-management", &control][..], &off].concat();
    let resolver = start("pebble-challtestsrv", &args);
    let process = start("pebble", &["-config", file.to_str().unwrap(), "-dnsserver", &names]);
    Some(Pebble {
        directory: format!("https://localhost:{listen}/dir"),
        ca: std::fs::read(own.join("dev-cert.pem")).unwrap(),
        process,
        _names: resolver,
    })
}

fn serve(acme: &Acme, https: u16, http: u16) -> ServerHandle {
    let hello =
        |_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) };
    Server::builder()
        .https(("127.0.0.1", https))
        .http(("127.0.0.1", http))
        .tls(Tls::from_acme(acme.clone()).unwrap())
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
    let [https, http] = free_ports();
    let Some(pebble) = pebble(dir.path(), https, http) else { return };
    // It listens a moment after it was started.
    let port: u16 = pebble.directory.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    until("pebble listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
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
    let server = serve(&acme, https, http);
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
    assert_eq!(names, ["a.example.pem", "account.json", "c.example.pem", "lock"]);
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
        }
        let acme = build();
        let server = serve(&acme, 0, 0);
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
