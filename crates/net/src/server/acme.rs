//! Certificates that the server gets for itself from an authority (ACME, RFC 8555), and renews.
//!
//! ```no_run
//! use headwater_net::server::{Acme, Server, ServerError, Tls};
//!
//! # fn run() -> Result<(), ServerError> {
//! let acme = Acme::builder("https://acme-v02.api.letsencrypt.org/directory", "/var/lib/edge/acme")
//!     .certificate(["media.example", "www.media.example"])
//!     .contact("mailto:operations@media.example")
//!     .build()?;
//! let tls = Tls::from_acme(acme)?;
//! let server = Server::builder().https("[::]:443").tls(tls);
//! # let _ = server; Ok(()) }
//! ```
//!
//! # What is promised
//! - A certificate is renewed when the authority wants it, where that tells (RFC 9773): at a time of its
//!   window, left to chance, and a thirtieth of the lifetime before its end at the latest. Where it does
//!   not, when two thirds of the lifetime are over, with up to a thirtieth of it left to chance. At once
//!   when it is missing, expired, or for other names.
//! - The authority is asked for its window when a certificate is new, and then as often as it says, from
//!   once a minute to once a day.
//! - What fails is tried again after five minutes, then twice as long each time, up to six hours,
//!   and up to half as much again by chance, by the next process, too. The certificate in force stays in
//!   force meanwhile, whatever happens to authority, network or files. One that was issued and cannot be
//!   written to its file is in force all the same, and lost when the process ends.
//! - Until there is a first certificate, one that the server signed itself stands in for it, so that
//!   it can start and answer the authority.
//! - Account key and certificates are kept in the folder, readable by its owner alone. Several
//!   processes may share it: one of them asks, the others see what it got.
//! - Building an [`Acme`] agrees to the authority's terms of service.

mod builder;
mod certificate;
pub(super) mod challenges;
mod external;
mod folder;
mod order;
mod record;
mod schedule;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use tokio::sync::watch;

use super::control::{Phase, ending};
use super::tls::{Identity, Orders, Tls};
use crate::authority::Asks;
use crate::{Clock, Timestamp};
use certificate::Certificate;
use challenges::Challenges;
use external::ExternalAccount;
use folder::{Folder, Lock};
use order::{Failure, Told};

pub use builder::AcmeBuilder;

/// How often it is looked whether something is due, and whether another process has been there.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(300);
/// How long the authority may take to tell when a certificate is to be renewed.
const TELLING: Duration = Duration::from_secs(60);

/// What shows the authority that a name is this server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A handshake with an `https` address (RFC 8737), which the authority begins on port 443.
    #[default]
    TlsAlpn01,
    /// A request to an `http` address (RFC 8555 §8.3), which the authority sends to port 80.
    Http01,
}

/// Certificates from an authority; see the module. [`Tls::from_acme`] puts them to use, and a server
/// with that [`Tls`] keeps them new. Clones share them.
#[derive(Clone, Debug)]
pub struct Acme(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: String,
    folder: Folder,
    contacts: Vec<String>,
    challenge: AcmeChallenge,
    external: Option<ExternalAccount>,
    asks: Asks,
    clock: Clock,
    seed: u64,
    challenges: Arc<Challenges>,
    certificates: Vec<Certificate>,
    /// Certificates that the authority issued, and attempts that came to nothing.
    issued: AtomicU64,
    failed: AtomicU64,
}

/// How one of the certificates does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcmeStatus {
    /// The names that it is for.
    pub names: Vec<String>,
    /// When the certificate in force ends; `None` while one that signed itself stands in.
    pub expires: Option<Timestamp>,
    /// When it is asked for next.
    pub due: Timestamp,
    /// When the authority wants it renewed (RFC 9773), where it told.
    pub window: Option<Range<Timestamp>>,
    /// Attempts to get or renew it in a row that failed.
    pub failures: u32,
    /// What the last of those said.
    pub failure: Option<String>,
}

impl Acme {
    /// Starts to describe certificates from the authority whose directory (RFC 8555 §7.1.1) is at
    /// this https URL, kept in `folder`.
    pub fn builder(directory: impl Into<String>, folder: impl Into<PathBuf>) -> AcmeBuilder {
        AcmeBuilder::new(directory.into(), folder.into())
    }

    /// How each certificate does, in the order that they were asked for.
    pub fn status(&self) -> Vec<AcmeStatus> {
        let of = |certificate: &Certificate| {
            let due = certificate.due(self.0.seed);
            let state = certificate.state();
            let issued = Some(&state.in_force).filter(|identity| !identity.stands_in);
            AcmeStatus {
                names: certificate.names.clone(),
                expires: issued.and_then(Identity::validity).map(|validity| validity.until),
                due,
                window: state.window.clone(),
                failures: state.failures,
                failure: state.failure.clone(),
            }
        };
        self.0.certificates.iter().map(of).collect()
    }

    /// What this process has ordered.
    pub(super) fn orders(&self) -> Orders {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Orders { issued: count(&self.0.issued), failed: count(&self.0.failed) }
    }

    pub(super) fn challenges(&self) -> &Arc<Challenges> {
        &self.0.challenges
    }

    /// The certificates in force; those whose files have changed and can be used are read anew.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let read = |certificate: &Certificate| {
            certificate.read();
            certificate.state().in_force.clone()
        };
        self.0.certificates.iter().map(read).collect()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.certificates.iter().map(Certificate::path)
    }

    /// Keeps the certificates new until the server drains; what is new is put in force through `tls`.
    pub(super) async fn keep(self, tls: Tls, mut phase: watch::Receiver<Phase>) {
        loop {
            // While another process takes over, it is not decided who answers.
            if phase.wait_for(|phase| *phase != Phase::Paused).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.tend(&tls) => {}
                _ = ending(&mut phase) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.next()) => {}
                _ = ending(&mut phase) => return,
            }
        }
    }

    /// How long there is nothing to do; a minute at most.
    fn next(&self) -> Duration {
        let now = self.0.clock.now();
        let due = |certificate: &Certificate| {
            certificate.due(self.0.seed).min(certificate.look_due(now)).since(now)
        };
        let next = self.0.certificates.iter().map(due).min().unwrap_or(LOOK_EVERY);
        next.clamp(Duration::from_millis(100), LOOK_EVERY)
    }

    /// Asks about each certificate what is due, and for it, where that is.
    async fn tend(&self, tls: &Tls) {
        for certificate in &self.0.certificates {
            let now = self.0.clock.now();
            if certificate.look_due(now) <= now {
                let told = tokio::time::timeout(TELLING, self.ask_when(certificate)).await;
                let told = told.unwrap_or_else(|_| Err("it took more than a minute".into()));
                self.heed(certificate, told).await;
            }
            if self.is_due(certificate) && self.renew(certificate).await {
                let tls = tls.clone();
                let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
                if let Ok(Err(error)) = reloaded {
                    tracing::warn!(%error, "a new certificate is not used yet");
                }
            }
        }
    }

    /// Takes what the authority told of a renewal, and writes it down beside what other processes wrote
    /// of their attempts; not while one of them is asking, which is about to write.
    async fn heed(&self, certificate: &Certificate, told: Result<Told, Failure>) {
        let lock = self.lock().await.ok().flatten();
        let now = self.0.clock.now();
        if lock.is_some() {
            certificate.recall_attempts(now);
        }
        certificate.told(told, now, self.0.seed);
        if lock.is_some() {
            keep_record(certificate).await;
        }
    }

    /// The folder's lock; `None` while another process has it.
    async fn lock(&self) -> Result<Option<Lock>, Failure> {
        let folder = self.0.folder.clone();
        Ok(tokio::task::spawn_blocking(move || folder.lock()).await??)
    }

    fn is_due(&self, certificate: &Certificate) -> bool {
        certificate.due(self.0.seed) <= self.0.clock.now()
    }

    /// Asks when a certificate is to be renewed.
    async fn ask_when(&self, certificate: &Certificate) -> Result<Told, Failure> {
        let kept = folder::read(&self.0.folder.account())?;
        let (Some(of), Some(account)) = (certificate.identifier(), kept) else {
            return Ok(Told::nothing());
        };
        let account = order::known_account(self.0.asks.clone(), &account).await?;
        order::renewal(&account, &of).await
    }

    /// Asks for a certificate, unless another process was faster, waits by what became of its own
    /// attempt, or asks right now; says whether there may be a new one.
    async fn renew(&self, certificate: &Certificate) -> bool {
        match self.lock().await {
            // Held until it is written down how it went: the next process to have it goes by that.
            Ok(Some(_lock)) => {
                certificate.rest_until(Timestamp::from_secs(0));
                certificate.read();
                certificate.recall(self.0.clock.now());
                if !self.is_due(certificate) {
                    return true;
                }
                let done = self.obtain(certificate).await;
                if let Err(error) = &done {
                    self.failed(certificate, error).await;
                }
                done.is_ok()
            }
            Ok(None) => {
                certificate.rest_until(self.0.clock.now().plus(LOOK_EVERY));
                true
            }
            Err(error) => {
                self.failed(certificate, &error).await;
                false
            }
        }
    }

    async fn failed(&self, certificate: &Certificate, error: &Failure) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
        let wait = certificate.failed(error, self.0.clock.now(), self.0.seed);
        let (names, minutes) = (certificate.names.join(" "), wait.as_secs() / 60);
        tracing::warn!(%names, %error, minutes, "no certificate: tried again later");
        keep_record(certificate).await;
    }

    /// Gets a certificate and puts it into its file. To be called with the folder's lock.
    async fn obtain(&self, certificate: &Certificate) -> Result<(), Failure> {
        let attempt = tokio::time::timeout(ATTEMPT, self.attempt(certificate)).await;
        let text = attempt.map_err(|_| "it took more than five minutes")??;
        let identity = certificate::identity(&text, "the certificate issued")?;
        let now = self.0.clock.now();
        let validity = identity.validity().filter(|validity| validity.until > now);
        let Some(validity) = validity.filter(|_| certificate.is_for(&identity)) else {
            return Err("the authority issued another certificate than was ordered".into());
        };
        let path = certificate.path().to_owned();
        let written = tokio::task::spawn_blocking(move || folder::write(&path, &text)).await?;
        certificate.issued(identity, written, now.plus(schedule::rest(validity, now)));
        self.0.issued.fetch_add(1, Ordering::Relaxed);
        keep_record(certificate).await;
        let names = certificate.names.join(" ");
        tracing::info!(%names, "a certificate was issued");
        Ok(())
    }

    /// Orders a certificate; gives its chain and its key as one PEM text.
    async fn attempt(&self, certificate: &Certificate) -> Result<Vec<u8>, Failure> {
        let Inner { challenge, challenges, .. } = &*self.0;
        let account = self.account().await?;
        // Only where the authority tells of renewals does it know what a replacement is.
        let told = certificate.state().window.is_some();
        let replaced: Option<CertificateIdentifier<'_>> =
            told.then(|| certificate.identifier()).flatten();
        order::order(&account, &certificate.names, replaced, *challenge, challenges).await
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let Inner { directory, folder, asks, contacts, external, .. } = &*self.0;
        let kept = folder.account();
        if let Some(text) = folder::read(&kept)? {
            return order::known_account(asks.clone(), &text).await;
        }
        let new = order::new_account(asks.clone(), directory.clone(), contacts, external.as_ref());
        let (account, text) = new.await?;
        tokio::task::spawn_blocking(move || folder::write(&kept, &text)).await??;
        Ok(account)
    }
}

/// Writes down how the attempts at a certificate went, for the next process. To be called with the
/// folder's lock, and with what others wrote before taken over.
async fn keep_record(certificate: &Certificate) {
    let (path, text) = certificate.record();
    let named = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || folder::write(&path, &text)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, path = %named, "the next process does not know of this attempt");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// One process of those that share a folder.
    fn process(folder: &Path) -> Acme {
        // Where nobody answers.
        let acme = Acme::builder("https://127.0.0.1:1/dir", folder).certificate(["a.example"]);
        acme.clock(Clock::manual(START)).seed(1).build().unwrap()
    }

    fn certificate(acme: &Acme) -> &Certificate {
        &acme.0.certificates[0]
    }

    /// What the next process starts with.
    fn kept(folder: &Path) -> (u32, Timestamp) {
        let status = process(folder).status().remove(0);
        (status.failures, status.due)
    }

    #[tokio::test]
    async fn a_process_that_hears_of_renewals_leaves_another_ones_wait_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (asks, looks) = (process(folder.path()), process(folder.path()));
        let fails = || certificate(&asks).failed(&"no such name".into(), START, 1);
        fails();
        keep_record(certificate(&asks)).await;
        let waits = kept(folder.path());
        assert!(waits.0 == 1 && waits.1 > START, "{waits:?}");
        // It was somebody else's turn a moment ago.
        certificate(&looks).rest_until(START.plus(LOOK_EVERY));
        let told = || Ok(Told { window: None, again: Duration::from_secs(3600) });
        looks.heed(certificate(&looks), told()).await;
        assert_eq!(kept(folder.path()), waits);

        // Who asks right now writes what became of it, whatever others hear meanwhile.
        let held = asks.lock().await.unwrap();
        fails();
        keep_record(certificate(&asks)).await;
        looks.heed(certificate(&looks), told()).await;
        assert_eq!(kept(folder.path()).0, 2);
        drop(held);
    }

    #[tokio::test]
    async fn an_attempt_that_failed_is_written_down_before_another_process_may_ask() {
        let folder = tempfile::tempdir().unwrap();
        let acme = process(folder.path());
        assert!(!acme.renew(certificate(&acme)).await);
        let (failures, due) = kept(folder.path());
        assert!(failures == 1 && due > START, "{failures} {due:?}");
        assert!(acme.lock().await.unwrap().is_some(), "the lock is given back");
        // The other one waits as this one does, without having asked.
        let other = process(folder.path());
        assert!(other.renew(certificate(&other)).await);
        assert_eq!((other.orders().failed, acme.orders().failed), (0, 1));
    }
}
