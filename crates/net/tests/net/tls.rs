//! Certificates: by name, changed while the server runs, asked of clients; and sessions resumed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_net::client::Upstream;
use headwater_net::server::{
    ClientCertificate, QuicConfig, Reloaded, Server, ServerBuilder, ServerHandle, Tls,
};
use headwater_net::{Body, ConnInfo};
use http::{Request, Response};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service as _;

use crate::client::{Client, H3};

/// An authority of the test's own.
pub(crate) struct Authority {
    pub(crate) certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Pair {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority, and shows `own` where it is asked to.
    pub(crate) fn client(&self, own: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(own.chain(), own.private_key()).unwrap(),
        }
    }
}

impl Pair {
    pub(crate) fn tls(&self) -> Tls {
        Tls::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }

    fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.crt")), &self.certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A server that says who its client is.
fn serve(tls: Tls, workers: usize) -> ServerHandle {
    serve_by(Server::builder(), tls, workers)
}

fn serve_by(builder: ServerBuilder, tls: Tls, workers: usize) -> ServerHandle {
    let builder = builder.https("127.0.0.1:0").tls(tls).workers(workers);
    let who = |request: Request<Body>| async move {
        let info = request.extensions().get::<ConnInfo>().unwrap();
        let client = info.client.as_ref().map_or(0, |certificate| certificate.len());
        let said = format!("{} {client}", info.sni.as_deref().unwrap_or("nobody"));
        Ok::<_, Infallible>(Response::new(Body::from(said)))
    };
    builder.serve(move |_| tower::service_fn(who)).unwrap()
}

fn addr(server: &ServerHandle) -> SocketAddr {
    server.https_addrs()[0]
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn connect(config: &ClientConfig, to: SocketAddr, name: &str) -> std::io::Result<Stream> {
    let tcp = tokio::net::TcpStream::connect(to).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config.clone())).connect(name, tcp).await
}

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The body of the answer to one request.
async fn ask(stream: &mut Stream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    Ok(text.rsplit("\r\n\r\n").next().unwrap().to_owned())
}

/// What the server shows over QUIC.
async fn shown_over_quic(
    authority: &Authority,
    to: SocketAddr,
    name: &str,
) -> CertificateDer<'static> {
    let mut config = authority.client(None);
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let quic = endpoint.connect_with(config, to, name).unwrap().await.unwrap();
    let chain = quic.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
    chain[0].clone()
}

#[tokio::test]
async fn each_name_has_its_certificate_on_tcp_and_on_quic() {
    let authority = Authority::new();
    let first = authority.sign(&["first.example"]);
    let second = authority.sign(&["*.second.example"]);
    let server = serve(first.tls().and(&second.tls()).unwrap(), 1);
    let config = authority.client(None);
    for (name, pair) in [("first.example", &first), ("a.second.example", &second)] {
        let mut stream = connect(&config, addr(&server), name).await.unwrap();
        assert_eq!(shown(&stream), pair.chain()[0]);
        assert_eq!(ask(&mut stream).await.unwrap(), format!("{name} 0"));
        assert_eq!(shown_over_quic(&authority, addr(&server), name).await, pair.chain()[0]);
    }
    // A name that nobody has is shown the first, which is not its own.
    assert!(connect(&config, addr(&server), "other.example").await.is_err());
}

#[tokio::test]
async fn files_that_change_are_read_again_and_bad_ones_change_nothing() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (authority.sign(&["a.example"]), authority.sign(&["a.example"]));
    old.write(folder.path(), "a");
    let interval = Duration::from_secs(1);
    let tls = Tls::from_folder(folder.path()).unwrap().reload_every(Some(interval));
    let server = serve(tls.clone(), 2);
    let config = authority.client(None);
    let mut before = connect(&config, addr(&server), "a.example").await.unwrap();
    assert_eq!(shown(&before), old.chain()[0]);

    // A certificate whose key has not come yet.
    std::fs::write(folder.path().join("a.crt"), &new.certificate).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("a.key is not the private key of the certificate in"), "{error}");
    let stream = connect(&config, addr(&server), "a.example").await.unwrap();
    assert_eq!(shown(&stream), old.chain()[0]);

    new.write(folder.path(), "a");
    let start = Instant::now();
    loop {
        let stream = connect(&config, addr(&server), "a.example").await.unwrap();
        if shown(&stream) == new.chain()[0] {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the new certificate is never shown");
    }
    assert_eq!(shown_over_quic(&authority, addr(&server), "a.example").await, new.chain()[0]);
    // A connection of before goes on.
    assert_eq!(ask(&mut before).await.unwrap(), "a.example 0");

    authority.sign(&["b.example"]).write(folder.path(), "b");
    assert_eq!(tls.reload().unwrap(), Reloaded { added: 1, removed: 0, total: 2 });
    assert!(connect(&config, addr(&server), "b.example").await.is_ok());
}

#[tokio::test]
async fn other_certificates_take_the_place_of_these_and_bad_ones_change_nothing() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (authority.sign(&["a.example"]), authority.sign(&["a.example"]));
    let tls = old.tls().reload_every(Some(Duration::from_secs(1)));
    let server = serve(tls.clone(), 2);
    let config = authority.client(None);
    let shows = async || shown(&connect(&config, addr(&server), "a.example").await.unwrap());
    assert_eq!(shows().await, old.chain()[0]);
    assert!(tls.replace(None).is_err(), "there would be none");
    assert_eq!(shows().await, old.chain()[0]);

    new.write(folder.path(), "a");
    let files = Tls::from_folder(folder.path()).unwrap();
    let replaced = tls.replace(Some(&files)).unwrap();
    assert_eq!(replaced, Reloaded { added: 1, removed: 1, total: 1 });
    assert_eq!(shows().await, new.chain()[0]);
    assert_eq!(shown_over_quic(&authority, addr(&server), "a.example").await, new.chain()[0]);
    // Its files are looked at from then on.
    authority.sign(&["b.example"]).write(folder.path(), "b");
    let start = Instant::now();
    while connect(&config, addr(&server), "b.example").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "the new certificate is never shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(folder.path().join("a.key"), "x").unwrap();
    assert!(tls.replace(Some(&files)).is_err());
    assert_eq!(shows().await, new.chain()[0]);
}

#[tokio::test]
async fn a_folder_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lonely.crt"), "").unwrap();
    let error = Tls::from_folder(folder.path()).unwrap_err().to_string();
    assert_eq!(error, "an https address needs a certificate: none was given");
    let error = Tls::from_folder(folder.path().join("none")).unwrap_err().to_string();
    assert!(error.starts_with("cannot use ") && error.contains("none"), "{error}");
}

#[tokio::test]
async fn a_session_is_resumed_by_whichever_worker() {
    let authority = Authority::new();
    let server = serve(authority.sign(&["a.example"]).tls(), 4);
    let config = authority.client(None);
    for round in 0..12 {
        let mut stream = connect(&config, addr(&server), "a.example").await.unwrap();
        // Tickets come with the first bytes of the answer.
        ask(&mut stream).await.unwrap();
        let expected = if round == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "round {round}");
    }
}

/// A ticket of TLS over TCP is good any number of times (RFC 8446 §8), so none allows early data.
#[tokio::test]
async fn rfc_8446_8_nothing_is_early_over_tcp() {
    let authority = Authority::new();
    let mut quic = QuicConfig::default();
    quic.early_data = true;
    let tls = authority.sign(&["a.example"]).tls();
    let server = serve_by(Server::builder().quic(quic), tls, 2);
    let mut config = authority.client(None);
    config.enable_early_data = true;
    let kind = async || {
        let mut stream = connect(&config, addr(&server), "a.example").await.unwrap();
        ask(&mut stream).await.unwrap();
        stream.get_ref().1.handshake_kind()
    };
    assert_eq!(kind().await, Some(HandshakeKind::Full));
    // What it could send at once, it would know before it sends anything.
    let name = ServerName::try_from("a.example").unwrap();
    let mut back = rustls::ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    assert!(back.early_data().is_none());
    assert_eq!(kind().await, Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn rfc_7301_3_2_http_2_comes_before_http_1_1_and_what_nobody_speaks_is_refused() {
    let authority = Authority::new();
    let server = serve(authority.sign(&["localhost"]).tls(), 1);
    let to = addr(&server);
    let offering = |names: &[&str]| {
        let mut config = authority.client(None);
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    };
    for (offered, chosen) in [
        (&[][..], None),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
    ] {
        let mut stream = connect(&offering(offered), to, "localhost").await.unwrap();
        let said = stream.get_ref().1.alpn_protocol();
        assert_eq!(said, chosen.map(str::as_bytes), "{offered:?}");
        if chosen != Some("h2") {
            assert_eq!(ask(&mut stream).await.unwrap(), "localhost 0", "{offered:?}");
        }
    }
    let refused = connect(&offering(&["h3", "imap"]), to, "localhost").await.unwrap_err();
    let alert = refused.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let expected = rustls::AlertDescription::NoApplicationProtocol;
    assert_eq!(alert, Some(&rustls::Error::AlertReceived(expected)));
    // RFC 9001 §8.1: over QUIC it is an error of the connection, and what TCP speaks is nothing there.
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(offering(&["h2"])).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = endpoint.connect_with(config, to, "localhost").unwrap().await.unwrap_err();
    let quinn::ConnectionError::ConnectionClosed(close) = &refused else { panic!("{refused}") };
    let alert = u8::from(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(close.error_code, quinn::TransportErrorCode::crypto(alert), "{refused}");
}

#[tokio::test]
async fn clients_without_a_certificate_are_kept_out_where_one_is_required() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (own, forged) = (authority.sign(&["edge.example"]), stranger.sign(&["edge.example"]));
    let authorities = authority.certificate.pem();
    let tls = |wanted| {
        let tls = authority.sign(&["localhost"]).tls();
        serve(tls.clients(authorities.as_bytes(), wanted).unwrap(), 1)
    };
    let required = tls(ClientCertificate::Required);
    for shows in [None, Some(&forged)] {
        // TLS 1.3 clients learn of it by the first read.
        let refused = match connect(&authority.client(shows), addr(&required), "localhost").await {
            Ok(mut stream) => ask(&mut stream).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "forged: {}", shows.is_some());
    }
    let mut stream =
        connect(&authority.client(Some(&own)), addr(&required), "localhost").await.unwrap();
    let len = own.chain()[0].len();
    assert_eq!(ask(&mut stream).await.unwrap(), format!("localhost {len}"));

    let optional = tls(ClientCertificate::Optional);
    for (shows, len) in [(None, 0), (Some(&own), len)] {
        let config = authority.client(shows);
        let mut stream = connect(&config, addr(&optional), "localhost").await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), format!("localhost {len}"));
    }
    let error = authority.sign(&["x"]).tls().clients(b"", ClientCertificate::Required);
    assert!(error.unwrap_err().to_string().contains("authorities of clients"));
}

/// What a client gets over QUIC that knows of earlier visits by its `config`; `None` where it is sent
/// away.
async fn asked_over_quic(config: &quinn::ClientConfig, to: SocketAddr) -> Option<u16> {
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let quic = endpoint.connect_with(config.clone(), to, "localhost").unwrap().await.ok()?;
    let asking = async {
        let client = H3::over(endpoint.clone(), quic.clone(), to, "localhost").await;
        Client::H3(Box::new(client)).get("/").await.ok()
    };
    // A client of TLS 1.3 is done before it is looked at what it showed.
    tokio::select! {
        biased;
        _ = quic.closed() => None,
        answer = asking => Some(answer?.status.as_u16()),
    }
}

#[tokio::test]
async fn the_authorities_of_clients_are_read_again_and_no_session_outlives_one() {
    let (server_side, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    let write = |authority: &Authority| std::fs::write(&file, authority.certificate.pem()).unwrap();
    write(&old);
    let tls = server_side.sign(&["localhost"]).tls();
    let tls = tls.clients_from_file(&file, ClientCertificate::Required).unwrap();
    let tls = tls.reload_every(None);
    let server = serve(tls.clone(), 2);
    let to = addr(&server);
    // Each has what it keeps of sessions in its settings.
    let shows = |authority: &Authority| {
        let own = authority.sign(&["edge.example"]);
        let (config, mut quic) = (server_side.client(Some(&own)), server_side.client(Some(&own)));
        quic.alpn_protocols = vec![b"h3".to_vec()];
        let quic = quinn::crypto::rustls::QuicClientConfig::try_from(quic).unwrap();
        (config, quinn::ClientConfig::new(Arc::new(quic)))
    };
    let (of_old, of_new) = (shows(&old), shows(&new));
    let asked = async |config: &ClientConfig| {
        let mut stream = connect(config, to, "localhost").await.ok()?;
        let said = ask(&mut stream).await.ok()?;
        said.starts_with("localhost ").then(|| stream.get_ref().1.handshake_kind()).flatten()
    };
    assert_eq!(asked(&of_old.0).await, Some(HandshakeKind::Full));
    assert_eq!(asked(&of_old.0).await, Some(HandshakeKind::Resumed));
    assert_eq!(asked_over_quic(&of_old.1, to).await, Some(200));
    assert_eq!(asked(&of_new.0).await, None);
    assert_eq!(asked_over_quic(&of_new.1, to).await, None);
    let mut before = connect(&of_old.0, to, "localhost").await.unwrap();

    for bad in ["", "no authority"] {
        std::fs::write(&file, bad).unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.ends_with("clients.pem holds no certificate in PEM form"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("clients.pem: No such file"));
    assert_eq!(asked(&of_old.0).await, Some(HandshakeKind::Resumed), "nothing has changed");

    // The same again is nothing new.
    write(&old);
    tls.reload().unwrap();
    assert_eq!(asked(&of_old.0).await, Some(HandshakeKind::Resumed));

    write(&new);
    tls.reload().unwrap();
    assert_eq!(asked(&of_old.0).await, None, "nor by what it got before");
    assert_eq!(asked_over_quic(&of_old.1, to).await, None);
    assert_eq!(asked(&of_new.0).await, Some(HandshakeKind::Full));
    assert_eq!(asked(&of_new.0).await, Some(HandshakeKind::Resumed));
    assert_eq!(asked_over_quic(&of_new.1, to).await, Some(200));
    assert!(ask(&mut before).await.unwrap().starts_with("localhost "), "a connection goes on");
}

#[tokio::test]
async fn clients_are_asked_for_what_another_file_says_and_for_nothing_without_one() {
    let (server_side, one, two) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let write = |authority: &Authority, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.certificate.pem()).unwrap();
        file
    };
    let (of_one, of_two) = (write(&one, "one.pem"), write(&two, "two.pem"));
    server_side.sign(&["localhost"]).write(folder.path(), "own");
    let tls = Tls::from_folder(folder.path()).unwrap().reload_every(None);
    let own = tls.clone();
    let server = serve(tls.clone(), 2);
    let is_let_in = async |of: Option<&Authority>| {
        let shown = of.map(|authority| authority.sign(&["edge.example"]));
        let config = server_side.client(shown.as_ref());
        let Ok(mut stream) = connect(&config, addr(&server), "localhost").await else {
            return false;
        };
        ask(&mut stream).await.is_ok_and(|said| said.starts_with("localhost "))
    };
    assert!(is_let_in(None).await, "nothing is asked for");
    let required = ClientCertificate::Required;
    tls.replace_all(Some(&own), Some((&of_one, required))).unwrap();
    assert!(is_let_in(Some(&one)).await && !is_let_in(Some(&two)).await && !is_let_in(None).await);
    assert!(tls.replace_all(Some(&own), Some((Path::new("none.pem"), required))).is_err());
    assert!(tls.replace_all(None, Some((&of_two, required))).is_err(), "no certificate is left");
    assert!(is_let_in(Some(&one)).await && !is_let_in(Some(&two)).await, "nothing has changed");
    tls.replace_all(Some(&own), Some((&of_two, ClientCertificate::Optional))).unwrap();
    assert!(!is_let_in(Some(&one)).await && is_let_in(Some(&two)).await && is_let_in(None).await);
    // The new file is the one that is read again.
    write(&one, "two.pem");
    tls.reload().unwrap();
    assert!(is_let_in(Some(&one)).await && !is_let_in(Some(&two)).await);
    tls.replace_all(Some(&own), None).unwrap();
    assert!(is_let_in(None).await && is_let_in(Some(&two)).await);
}

#[tokio::test]
async fn a_file_of_clients_authorities_that_changes_is_seen_without_being_told() {
    let (server_side, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, old.certificate.pem()).unwrap();
    let tls = server_side.sign(&["localhost"]).tls();
    let tls = tls.clients_from_file(&file, ClientCertificate::Required).unwrap();
    let server = serve(tls.reload_every(Some(Duration::from_secs(1))), 1);
    let config = server_side.client(Some(&new.sign(&["edge.example"])));
    std::fs::write(&file, new.certificate.pem()).unwrap();
    let start = Instant::now();
    loop {
        if let Ok(mut stream) = connect(&config, addr(&server), "localhost").await
            && ask(&mut stream).await.is_ok()
        {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the new authority is never believed");
    }
}

#[tokio::test]
async fn an_upstream_shows_the_certificate_it_was_given() {
    let authority = Authority::new();
    let own = authority.sign(&["edge.example"]);
    let pem = authority.certificate.pem();
    let tls = authority.sign(&["localhost"]).tls();
    let tls = tls.clients(pem.as_bytes(), ClientCertificate::Required).unwrap();
    let server = serve(tls, 1);
    let uri = format!("https://localhost:{}", addr(&server).port());
    let get = || Request::get("/").body(Body::empty()).unwrap();
    let mut known = Upstream::builder(uri.as_str())
        .ca_pem(pem.as_bytes())
        .certificate_pem(own.certificate.as_bytes(), own.key.as_bytes())
        .build()
        .unwrap();
    let answer = known.call(get()).await.unwrap();
    let body = answer.into_body().collect(100).await.unwrap().to_bytes();
    assert_eq!(body, format!("localhost {}", own.chain()[0].len()));
    let mut unknown = Upstream::builder(uri.as_str()).ca_pem(pem.as_bytes()).build().unwrap();
    assert!(unknown.call(get()).await.is_err());
    let bad = Upstream::builder(uri.as_str()).certificate_pem(b"", own.key.as_bytes()).build();
    let said = bad.unwrap_err().to_string();
    assert!(said.contains("holds no certificate in PEM form"), "{said}");
}
