//! Certificates that clients show (mutual TLS): for links between an edge and its shield. What they are
//! asked for may come from a file, and change while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};

use super::super::ServerError;
use super::provider;

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// A handshake without one fails.
    Required,
    /// A handshake without one goes on; [`ConnInfo::client`](crate::ConnInfo::client) tells.
    Optional,
}

/// The length of [`Asked`] in bytes.
pub(super) const ASKED: usize = digest::SHA256_OUTPUT_LEN;

/// What clients are asked to show, told from anything else that they could be: zeros for nothing.
pub(super) type Asked = [u8; ASKED];

/// What clients are asked to show, and who looks at it.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) asked: Asked,
}

impl Asks {
    /// What the authorities in `pem` have signed; `what` the text is, for people.
    fn new(pem: &[u8], what: &str, wanted: ClientCertificate) -> Result<Self, ServerError> {
        Ok(Self { verifier: verifier(pem, what, wanted)?, asked: asked(pem, wanted) })
    }
}

impl Default for Asks {
    /// Nothing.
    fn default() -> Self {
        Self { verifier: Arc::new(NoClientAuth), asked: [0; ASKED] }
    }
}

/// What clients are asked for at the moment.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Changed with the sources of certificates locked.
    file: ArcSwapOption<FromFile>,
    current: ArcSwap<Asks>,
}

/// The authorities of clients that lie in a file.
#[derive(Clone, Debug)]
pub(super) struct FromFile {
    pub(super) path: PathBuf,
    wanted: ClientCertificate,
}

impl FromFile {
    pub(super) fn new(path: &Path, wanted: ClientCertificate) -> Self {
        Self { path: path.to_owned(), wanted }
    }

    fn read(&self) -> Result<Asks, ServerError> {
        let pem = fs::read(&self.path);
        let pem = pem.map_err(|source| ServerError::File { path: self.path.clone(), source })?;
        Asks::new(&pem, &self.path.display().to_string(), self.wanted)
    }
}

impl Clients {
    /// By a text that stays as it is.
    pub(super) fn given(pem: &[u8], wanted: ClientCertificate) -> Result<Self, ServerError> {
        let asks = Asks::new(pem, "the text with the authorities of clients", wanted)?;
        Ok(Self { file: ArcSwapOption::empty(), current: ArcSwap::from_pointee(asks) })
    }

    /// By a file, which [`Self::read`] reads again.
    pub(super) fn of_file(file: FromFile) -> Result<Self, ServerError> {
        let asks = file.read()?;
        Ok(Self { file: ArcSwapOption::from_pointee(file), current: ArcSwap::from_pointee(asks) })
    }

    /// Where they come from, if that is a file.
    pub(super) fn file(&self) -> Option<Arc<FromFile>> {
        self.file.load_full()
    }

    pub(super) fn current(&self) -> Arc<Asks> {
        self.current.load_full()
    }

    /// Whether these are asked for at the moment.
    pub(super) fn are(&self, asks: &Arc<Asks>) -> bool {
        Arc::ptr_eq(&self.current.load(), asks)
    }

    /// What `file` has clients asked for, nothing where there is none any more; `None` where that is what
    /// they are.
    pub(super) fn read(&self, file: Option<&FromFile>) -> Result<Option<Asks>, ServerError> {
        if file.is_none() && self.file.load().is_none() {
            return Ok(None);
        }
        let asks = file.map(FromFile::read).transpose()?.unwrap_or_default();
        Ok(Some(asks).filter(|asks| asks.asked != self.current().asked))
    }

    /// They come from there from now on, if that is a file.
    pub(super) fn put_file(&self, file: Option<Arc<FromFile>>) {
        self.file.store(file);
    }

    /// Handshakes from now on are asked for these.
    pub(super) fn replace(&self, asks: Asks) {
        self.current.store(Arc::new(asks));
    }
}

/// What [`verifier`] has clients asked for.
fn asked(pem: &[u8], wanted: ClientCertificate) -> Asked {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&[u8::from(wanted == ClientCertificate::Required)]);
    digest.update(pem);
    let mut asked = [0; ASKED];
    asked.copy_from_slice(digest.finish().as_ref());
    asked
}

/// Accepts what the authorities in `pem` have signed.
fn verifier(
    pem: &[u8],
    what: &str,
    wanted: ClientCertificate,
) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let none = || ServerError::Pem { what: what.to_owned(), wanted: "certificate" };
    let refused = |error: String| ServerError::Certificate(error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| none())?).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(none());
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
    if wanted == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| refused(error.to_string()))
}
