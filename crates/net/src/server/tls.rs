//! The certificates of a server, and the TLS settings made from them for TCP and for QUIC.
//!
//! TLS 1.3 and 1.2 by rustls on aws-lc-rs, which is passed explicitly: a process-wide default is
//! neither read nor set. The server's order of cipher suites counts, AES-128-GCM first.
//!
//! Certificates and the authorities of clients that came from files are read again when the files
//! change ([`Tls::reload_every`]) and when [`Tls::reload`] is called: all of them or none, without a
//! connection being touched.

mod certificates;
mod clients;
mod current;
mod identity;
mod sessions;
mod sources;
mod tickets;
mod x509;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::server::ResolvesServerCert;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::ServerError;
use super::control::{Phase, ending};
use crate::{Clock, Timestamp, spki};
use certificates::{Certificates, Set};
use clients::{Asks, Clients, FromFile};
#[cfg(not(feature = "acme"))]
use identity::{Identity, Named};
use sources::{Source, Stamp};
use tickets::Ticketer;

pub use clients::ClientCertificate;
pub(super) use current::Current;
#[cfg(feature = "acme")]
pub(super) use identity::{Identity, Named};
pub(super) use sessions::{Session, Sessions, Terms};
pub(super) use tickets::{TicketKey, Tickets};
#[cfg(feature = "acme")]
pub(super) use x509::{Validity, known_by};

/// What accepts TLS over TCP.
pub(super) type Acceptors = Current<TlsAcceptor>;

/// How often files are looked at, if nothing else is said.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// The certificates of a server with their private keys. Clones are handles of the same ones: keep
/// one to [`reload`](Self::reload) by.
///
/// A client is shown the certificate of the name it asks for (RFC 6066 §3, SNI); one that asks for
/// a name nobody has, or for none, is shown the first.
///
/// ```no_run
/// use headwater_net::server::{ServerError, Tls};
///
/// # fn run() -> Result<(), ServerError> {
/// // One certificate for most, and a folder of NAME.crt and NAME.key for the names of customers.
/// let tls = Tls::from_pem_files("edge.crt", "edge.key")?.and(&Tls::from_folder("customers")?)?;
/// # let _ = tls; Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    shared: Arc<Shared>,
    clients: Arc<Clients>,
    reload_every: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    /// Changed with `seen` locked.
    sources: ArcSwap<Vec<Source>>,
    certificates: Arc<Certificates>,
    /// The files as they were when they were last read; also keeps two from reading at a time.
    seen: Mutex<Stamp>,
}

/// What a [`Tls::reload`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Certificates that were not there before.
    pub added: usize,
    /// Certificates that are there no longer.
    pub removed: usize,
    /// Certificates in force.
    pub total: usize,
}

/// How long one certificate lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// The DNS names that it is for, in lower case; a wildcard begins with `*.`.
    pub names: Vec<String>,
    /// When it ends; `None` while one that the server signed itself stands in for the one that an
    /// authority (ACME) has not issued yet.
    pub expires: Option<Timestamp>,
}

/// What a process has ordered of authorities (ACME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orders {
    /// Certificates that were issued.
    pub issued: u64,
    /// Attempts that came to nothing.
    pub failed: u64,
}

impl Tls {
    /// Reads a certificate chain (leaf first) and its private key from two PEM files; they may be
    /// the same file. Blocks while it reads.
    ///
    /// # Errors
    /// [`ServerError::File`], [`ServerError::Pem`], [`ServerError::KeyMismatch`] or
    /// [`ServerError::Certificate`].
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, ServerError> {
        let certificate = certificate.as_ref().to_owned();
        Self::from_sources(vec![Source::Files { certificate, key: key.as_ref().to_owned() }])
    }

    /// Reads every certificate of a folder: each `NAME.crt` or `NAME.pem` that has a `NAME.key`
    /// beside it, in order of their names, at most 10,000. Blocks while it reads.
    ///
    /// # Errors
    /// As [`Tls::from_pem_files`]; [`ServerError::NoCertificate`] when there is none.
    pub fn from_folder(folder: impl Into<PathBuf>) -> Result<Self, ServerError> {
        Self::from_sources(vec![Source::Folder(folder.into())])
    }

    /// Takes a certificate chain (leaf first) and its private key as PEM text.
    ///
    /// # Errors
    /// As [`Tls::from_pem_files`], except for [`ServerError::File`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ServerError> {
        let certificate = Named { text: certificate, name: "the certificate given" };
        let key = Named { text: key, name: "the key given" };
        let identity = Identity::from_pem(&certificate, &key, &provider())?;
        Self::from_sources(vec![Source::Given(identity)])
    }

    /// A certificate for development, signed by itself: ECDSA P-256, valid for 13 days, for `names`
    /// (host names or IP addresses) and always `localhost`, `127.0.0.1` and `::1`.
    ///
    /// With a `dir` it is kept there (`dev-cert.pem`, and `dev-key.pem` readable by its owner only)
    /// and used again until a day before it expires or until other names are wanted. Blocks while
    /// it reads and writes.
    ///
    /// # Errors
    /// [`ServerError::File`] when `dir` cannot be used, [`ServerError::Certificate`] when a name
    /// cannot stand in a certificate.
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        dir: Option<&Path>,
        clock: &Clock,
    ) -> Result<Self, ServerError> {
        let names = names.into_iter().map(Into::into).collect();
        let pem = super::self_signed::load_or_make(names, dir, clock.now())?;
        Self::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes())
    }

    /// Takes the certificates that a server gets for itself (ACME), and keeps new while it serves.
    ///
    /// # Errors
    /// As [`Tls::from_pem`].
    #[cfg(feature = "acme")]
    pub fn from_acme(acme: super::Acme) -> Result<Self, ServerError> {
        Self::from_sources(vec![Source::Acme(acme)])
    }

    /// Adds the certificates of `more` behind these; what else was said of `more` is left out.
    /// Blocks while it reads files.
    ///
    /// # Errors
    /// As the functions that made both.
    pub fn and(self, more: &Self) -> Result<Self, ServerError> {
        let (own, others) = (self.shared.sources.load(), more.shared.sources.load());
        let sources = own.iter().chain(others.iter()).cloned().collect();
        let both = Self::from_sources(sources)?;
        Ok(Self { shared: both.shared, ..self })
    }

    /// Asks clients for a certificate that one of the authorities in `pem` has signed (mutual
    /// TLS, RFC 8446 §4.3.2): for links from edges to their shield. Revocation is not looked at.
    ///
    /// # Errors
    /// [`ServerError::Pem`] or [`ServerError::Certificate`] when the text holds no authority.
    pub fn clients(mut self, pem: &[u8], wanted: ClientCertificate) -> Result<Self, ServerError> {
        self.clients = Arc::new(Clients::given(pem, wanted)?);
        Ok(self)
    }

    /// As [`Tls::clients`], by the authorities of a file, which is read again with the certificates:
    /// handshakes from then on are asked for what it says then, and sessions of before are not resumed.
    /// A connection that there is stays, whoever signed its client's certificate. Blocks while it reads.
    ///
    /// # Errors
    /// As [`Tls::clients`]; [`ServerError::File`] when it cannot be read.
    pub fn clients_from_file(
        mut self,
        path: impl AsRef<Path>,
        wanted: ClientCertificate,
    ) -> Result<Self, ServerError> {
        self.clients = Arc::new(Clients::of_file(FromFile::new(path.as_ref(), wanted))?);
        *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner) = self.stamp();
        Ok(self)
    }

    /// How often a running server looks whether certificate files have changed; `None` leaves it
    /// to [`Tls::reload`]. Default 10 s, and at least a second. Danger: an interval longer than
    /// a certificate's last days serves one that has expired.
    #[must_use]
    pub fn reload_every(mut self, interval: Option<Duration>) -> Self {
        self.reload_every = interval.map(|interval| interval.max(Duration::from_secs(1)));
        self
    }

    /// Reads all files again and puts their certificates in force, for handshakes from now on.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// As the function that made it. What was in force stays so: a certificate that was written
    /// before its key does no harm.
    pub fn reload(&self) -> Result<Reloaded, ServerError> {
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = self.stamp();
        self.read_again()
    }

    /// Takes the certificates of `other`, or none, in the place of these and of where they come from,
    /// for handshakes from now on, on each server that has these. What authorities (ACME) issue stays,
    /// behind them; what else was said of `other` is left out. Blocks while it reads.
    ///
    /// # Errors
    /// As [`Tls::reload`]: what was in force stays so.
    pub fn replace(&self, other: Option<&Self>) -> Result<Reloaded, ServerError> {
        self.take(other, Clients::file)
    }

    /// As [`Tls::replace`], and clients are asked from now on for a certificate that one of the
    /// authorities of this file has signed, which is read again as that of [`Tls::clients_from_file`].
    /// Without a file those of a file before are asked for nothing; authorities that were given as a text
    /// ([`Tls::clients`]) stay.
    ///
    /// # Errors
    /// As [`Tls::replace`] and [`Tls::clients_from_file`]: what was in force stays so, all of it.
    pub fn replace_all(
        &self,
        other: Option<&Self>,
        clients: Option<(&Path, ClientCertificate)>,
    ) -> Result<Reloaded, ServerError> {
        let file = clients.map(|(path, wanted)| Arc::new(FromFile::new(path, wanted)));
        self.take(other, |_| file)
    }

    /// Takes the certificates of `other`, and has clients asked for what lies in `file`.
    fn take(
        &self,
        other: Option<&Self>,
        file: impl FnOnce(&Clients) -> Option<Arc<FromFile>>,
    ) -> Result<Reloaded, ServerError> {
        let others = other.map(|other| other.shared.sources.load_full()).unwrap_or_default();
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.shared.sources.load_full();
        let issued = own.iter().filter(|source| source.is_issued());
        let given = others.iter().filter(|source| !source.is_issued());
        let sources: Vec<Source> = given.chain(issued).cloned().collect();
        let file = file(&self.clients);
        let now = stamp(&sources, file.as_deref());
        let (set, asks) = (read(&sources)?, self.clients.read(file.as_deref())?);
        if let Some(asks) = asks {
            self.clients.replace(asks);
        }
        self.clients.put_file(file);
        self.shared.sources.store(Arc::new(sources));
        *seen = now;
        Ok(self.put(set))
    }

    /// [`Tls::reload`], if a file is another one than when it was last read.
    fn reload_if_changed(&self) -> Option<Result<Reloaded, ServerError>> {
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.stamp();
        if *seen == now {
            return None;
        }
        *seen = now;
        Some(self.read_again())
    }

    /// To be called with `seen` locked.
    fn read_again(&self) -> Result<Reloaded, ServerError> {
        let set = read(&self.shared.sources.load())?;
        if let Some(asks) = self.clients.read(self.clients.file().as_deref())? {
            self.clients.replace(asks);
        }
        Ok(self.put(set))
    }

    /// To be called with `seen` locked.
    fn put(&self, set: Set) -> Reloaded {
        let (added, removed) = set.changes(&self.shared.certificates.current());
        let total = set.len();
        self.shared.certificates.replace(set);
        Reloaded { added, removed, total }
    }

    /// How long each certificate in force lasts, in their order.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        let of = |identity: &Identity| CertificateStatus {
            names: identity.names.clone(),
            expires: identity
                .validity()
                .filter(|_| !identity.stands_in)
                .map(|validity| validity.until),
        };
        self.shared.certificates.current().iter().map(of).collect()
    }

    /// What this process has ordered of authorities; `None` where it asks none.
    pub fn orders(&self) -> Option<Orders> {
        #[cfg(feature = "acme")]
        {
            let add = |one: Orders, other: Orders| Orders {
                issued: one.issued + other.issued,
                failed: one.failed + other.failed,
            };
            self.acme().iter().map(super::Acme::orders).reduce(add)
        }
        #[cfg(not(feature = "acme"))]
        None
    }

    /// The SHA-256 of the first leaf's public key in base64, as Chromium's
    /// `--ignore-certificate-errors-spki-list` and [`crate::client`]'s pins take it.
    pub fn spki_sha256_base64(&self) -> String {
        spki::base64(&self.shared.certificates.current().first().spki_sha256)
    }

    /// The first leaf certificate in DER.
    pub fn leaf_der(&self) -> Vec<u8> {
        self.shared.certificates.current().first().leaf().to_owned()
    }

    fn from_sources(sources: Vec<Source>) -> Result<Self, ServerError> {
        // Before they are read: what changes while they are is seen later.
        let seen = Mutex::new(stamp(&sources, None));
        let certificates = Certificates::new(read(&sources)?);
        #[cfg(feature = "acme")]
        let certificates = certificates.with_challenges(challenges(&sources));
        let certificates = Arc::new(certificates);
        Ok(Self {
            shared: Arc::new(Shared {
                sources: ArcSwap::from_pointee(sources),
                certificates,
                seen,
            }),
            clients: Arc::default(),
            reload_every: Some(RELOAD_EVERY),
        })
    }

    /// Looks at the files until the server drains.
    async fn watch(self, mut phase: watch::Receiver<Phase>) {
        let from_files = |source: &Source| !matches!(source, Source::Given(_));
        let Some(interval) = self.reload_every else { return };
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = ending(&mut phase) => return,
            }
            // Others may have come in their place by now.
            let sources = self.shared.sources.load_full();
            if !sources.iter().any(from_files) && self.clients.file().is_none() {
                continue;
            }
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.reload_if_changed()).await {
                Ok(Some(Ok(Reloaded { added, removed, total }))) => {
                    tracing::info!(added, removed, total, "certificates were read again");
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "new certificates are not used: the old ones stay");
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Sees to it that there are certificates until the server drains: looks at files, and asks
    /// authorities.
    pub(super) async fn keep(self, phase: watch::Receiver<Phase>) {
        #[cfg(feature = "acme")]
        {
            let authorities =
                self.acme().into_iter().map(|acme| acme.keep(self.clone(), phase.clone()));
            let authorities = futures_util::future::join_all(authorities.collect::<Vec<_>>());
            tokio::join!(self.clone().watch(phase), authorities);
        }
        #[cfg(not(feature = "acme"))]
        self.watch(phase).await;
    }

    #[cfg(feature = "acme")]
    fn acme(&self) -> Vec<super::Acme> {
        let sources = self.shared.sources.load();
        let of = |source: &Source| match source {
            Source::Acme(acme) => Some(acme.clone()),
            _ => None,
        };
        sources.iter().filter_map(of).collect()
    }

    /// What authorities ask to be shown over plain HTTP.
    #[cfg(feature = "acme")]
    pub(super) fn challenges(&self) -> Vec<Arc<super::acme::challenges::Challenges>> {
        challenges(&self.shared.sources.load())
    }

    /// The files as they are now.
    fn stamp(&self) -> Stamp {
        stamp(&self.shared.sources.load(), self.clients.file().as_deref())
    }

    /// TLS over TCP: HTTP/2 and HTTP/1.1 by ALPN, session tickets under keys that all workers
    /// share.
    pub(super) fn over_tcp(&self, tickets: Arc<Tickets>) -> Result<Acceptors, ServerError> {
        let tls = self.clone();
        Current::new(self, move |asks| {
            let mut config = tls.config(rustls::ALL_VERSIONS, asks)?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            #[cfg(feature = "acme")]
            if !tls.challenges().is_empty() {
                config.alpn_protocols.push(super::acme::challenges::ACME_TLS.to_vec());
            }
            config.ticketer = Ticketer::new(Arc::clone(&tickets), asks.asked);
            Ok(TlsAcceptor::from(Arc::new(config)))
        })
    }

    /// What QUIC sessions are made under, with these limits on early data.
    pub(super) fn terms(&self, limits: [u32; 4]) -> Terms {
        Terms { asked: self.clients.current().asked, limits }
    }

    /// TLS inside QUIC, as `make` puts it to use: TLS 1.3 and `h3` only, with early data if it is wanted.
    pub(super) fn over_quic<S: 'static>(
        &self,
        early_data: bool,
        sessions: Arc<Sessions>,
        make: impl Fn(Arc<quinn::crypto::rustls::QuicServerConfig>) -> S + Send + Sync + 'static,
    ) -> Result<Current<S>, ServerError> {
        let tls = self.clone();
        Current::new(self, move |asks| {
            let mut config = tls.config(&[&rustls::version::TLS13], asks)?;
            config.alpn_protocols = vec![b"h3".to_vec()];
            config.session_storage = Sessions::under(&sessions, asks.asked);
            // RFC 9001 §4.6.1: all or nothing; QUIC's own limits hold.
            config.max_early_data_size = if early_data { u32::MAX } else { 0 };
            let config = quinn::crypto::rustls::QuicServerConfig::try_from(config)
                .map_err(|error| ServerError::Certificate(error.to_string()))?;
            Ok(make(Arc::new(config)))
        })
    }

    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        asks: &Asks,
    ) -> Result<rustls::ServerConfig, ServerError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.shared.certificates) as _;
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)
            .map_err(certificate_error)?
            .with_client_cert_verifier(Arc::clone(&asks.verifier))
            .with_cert_resolver(resolver);
        config.ignore_client_order = true;
        Ok(config)
    }
}

#[cfg(feature = "acme")]
fn challenges(sources: &[Source]) -> Vec<Arc<super::acme::challenges::Challenges>> {
    let of = |source: &Source| match source {
        Source::Acme(acme) => Some(Arc::clone(acme.challenges())),
        _ => None,
    };
    sources.iter().filter_map(of).collect()
}

fn stamp(sources: &[Source], clients: Option<&FromFile>) -> Stamp {
    let mut stamp = Stamp::new();
    for source in sources {
        source.stamp(&mut stamp);
    }
    if let Some(clients) = clients {
        sources::stamp(&clients.path, &mut stamp);
    }
    stamp
}

fn read(sources: &[Source]) -> Result<Set, ServerError> {
    let mut identities = Vec::new();
    for source in sources {
        identities.append(&mut source.read()?);
    }
    Set::new(identities).ok_or(ServerError::NoCertificate)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn certificate_error(error: rustls::Error) -> ServerError {
    ServerError::Certificate(error.to_string())
}

/// aws-lc-rs with AES-128-GCM first: the cheapest suite on any CPU with AES instructions.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let dir = dir.path().join(name);
            Tls::self_signed(["localhost"], Some(&dir), &Clock::system()).unwrap();
            dir
        };
        let (one, two) = (make("one"), make("two"));
        let error =
            Tls::from_pem_files(one.join("dev-cert.pem"), two.join("dev-key.pem")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("two/dev-key.pem is not the private key"), "{said}");
        assert!(said.contains("one/dev-cert.pem"), "{said}");
    }

    #[test]
    fn pem_without_a_certificate_is_named() {
        let error = Tls::from_pem(b"hello", b"hello").unwrap_err();
        assert_eq!(error.to_string(), "the certificate given holds no certificate in PEM form");
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no.pem");
        let error = Tls::from_pem_files(&missing, &missing).unwrap_err();
        assert!(error.to_string().contains("no.pem"), "{error}");
    }
}
