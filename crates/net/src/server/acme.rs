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
//! - A certificate is renewed when two thirds of its lifetime are over, with up to a thirtieth of it
//!   left to chance; at once when it is missing, expired, or for other names.
//! - What fails is tried again after five minutes, then twice as long each time, up to six hours,
//!   and up to half as much again by chance. The certificate in force stays in force meanwhile, whatever happens to authority, network or
//!   files. One that was issued and cannot be written to its file is in force all the same, and lost
//!   when the process ends.
//! - Until there is a first certificate, one that the server signed itself stands in for it, so that
//!   it can start and answer the authority.
//! - Account key and certificates are kept in the folder, readable by its owner alone. Several
//!   processes may share it: one of them asks, the others see what it got.
//! - Building an [`Acme`] agrees to the authority's terms of service.

pub(super) mod challenges;
mod folder;
mod order;
mod schedule;
mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use tokio::sync::watch;

use super::ServerError;
use super::control::{Phase, ending};
use super::tls::{Identity, Named, Tls, provider};
use crate::authority::Asks;
use crate::{Clock, Timestamp};
use challenges::Challenges;
use folder::Folder;
use order::Failure;
use validity::Validity;

/// How often it is looked whether something is due, and whether another process has been there.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(300);
/// Names in one certificate: what Let's Encrypt takes.
const MAX_NAMES: usize = 100;

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
    asks: Asks,
    clock: Clock,
    seed: u64,
    challenges: Arc<Challenges>,
    certificates: Vec<Certificate>,
}

/// One certificate, for one set of names.
#[derive(Debug)]
struct Certificate {
    /// In lower case, in the order given.
    names: Vec<String>,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_force: Identity,
    /// Whether that one is only standing in.
    stand_in: bool,
    /// Attempts in a row that failed, and why the last one did.
    failures: u32,
    failure: Option<String>,
    /// Not to be tried before.
    not_before: Timestamp,
    /// The leaf that lay in the file when that was last read.
    kept: Vec<u8>,
}

/// How one of the certificates does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcmeStatus {
    /// The names that it is for.
    pub names: Vec<String>,
    /// When the certificate in force ends; `None` while one that signed itself stands in.
    pub expires: Option<Timestamp>,
    /// Attempts to get or renew it in a row that failed.
    pub failures: u32,
    /// What the last of those said.
    pub failure: Option<String>,
}

/// Describes an [`Acme`]; made by [`Acme::builder`].
#[derive(Debug)]
#[must_use = "nothing is asked for until a server serves it"]
pub struct AcmeBuilder {
    directory: String,
    folder: PathBuf,
    certificates: Vec<Vec<String>>,
    contacts: Vec<String>,
    challenge: AcmeChallenge,
    ca: Option<Arc<[u8]>>,
    clock: Clock,
    seed: Option<u64>,
}

impl Acme {
    /// Starts to describe certificates from the authority whose directory (RFC 8555 §7.1.1) is at
    /// this https URL, kept in `folder`.
    pub fn builder(directory: impl Into<String>, folder: impl Into<PathBuf>) -> AcmeBuilder {
        AcmeBuilder {
            directory: directory.into(),
            folder: folder.into(),
            certificates: Vec::new(),
            contacts: Vec::new(),
            challenge: AcmeChallenge::default(),
            ca: None,
            clock: Clock::system(),
            seed: None,
        }
    }

    /// How each certificate does, in the order that they were asked for.
    pub fn status(&self) -> Vec<AcmeStatus> {
        let of = |certificate: &Certificate| {
            let state = certificate.state();
            let validity = (!state.stand_in).then(|| Validity::of(state.in_force.leaf())).flatten();
            AcmeStatus {
                names: certificate.names.clone(),
                expires: validity.map(|validity| validity.until),
                failures: state.failures,
                failure: state.failure.clone(),
            }
        };
        self.0.certificates.iter().map(of).collect()
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
        self.0.certificates.iter().map(|certificate| certificate.path.as_path())
    }

    /// Keeps the certificates new until the server drains; what is new is put in force through `tls`.
    pub(super) async fn keep(self, tls: Tls, mut phase: watch::Receiver<Phase>) {
        loop {
            // While another process takes over, it is not decided who answers.
            if phase.wait_for(|phase| *phase != Phase::Paused).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.renew(&tls) => {}
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
        let due = |certificate: &Certificate| self.due(certificate).since(now);
        let next = self.0.certificates.iter().map(due).min().unwrap_or(LOOK_EVERY);
        next.clamp(Duration::from_millis(100), LOOK_EVERY)
    }

    /// When a certificate is to be asked for.
    fn due(&self, certificate: &Certificate) -> Timestamp {
        let state = certificate.state();
        let validity = Validity::of(state.in_force.leaf());
        let due = match validity {
            Some(validity) if !state.stand_in && certificate.is_for(&state.in_force) => {
                schedule::due(validity, self.0.seed)
            }
            _ => Timestamp::from_secs(0),
        };
        due.max(state.not_before)
    }

    /// Asks for each certificate that is due.
    async fn renew(&self, tls: &Tls) {
        for at in 0..self.0.certificates.len() {
            let certificate = &self.0.certificates[at];
            if self.due(certificate) > self.0.clock.now() {
                continue;
            }
            let attempt = tokio::time::timeout(ATTEMPT, self.attempt(certificate)).await;
            match attempt.unwrap_or_else(|_| Err("it took more than five minutes".into())) {
                Ok(asked) => {
                    let tls = tls.clone();
                    let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
                    if let Ok(Err(error)) = reloaded {
                        tracing::warn!(%error, "a new certificate is not used yet");
                    }
                    if asked {
                        let names = certificate.names.join(" ");
                        tracing::info!(%names, "a certificate was issued");
                    }
                }
                Err(error) => {
                    let now = self.0.clock.now();
                    let mut state = certificate.state();
                    state.failures = state.failures.saturating_add(1);
                    let wait = schedule::wait(state.failures, self.0.seed);
                    state.not_before = now.plus(wait);
                    let names = certificate.names.join(" ");
                    let minutes = wait.as_secs() / 60;
                    tracing::warn!(%names, %error, minutes, "no certificate: tried again later");
                    state.failure = Some(error.to_string());
                }
            }
        }
    }

    /// Asks for one; `false` when another process was faster, or asks right now.
    async fn attempt(&self, certificate: &Certificate) -> Result<bool, Failure> {
        let Inner { directory, folder, asks, contacts, .. } = &*self.0;
        let of_lock = folder.clone();
        let Some(lock) = tokio::task::spawn_blocking(move || of_lock.lock()).await?? else {
            certificate.state().not_before = self.0.clock.now().plus(LOOK_EVERY);
            return Ok(false);
        };
        certificate.read();
        certificate.state().not_before = Timestamp::from_secs(0);
        if self.due(certificate) > self.0.clock.now() {
            return Ok(false);
        }
        let kept = folder.account();
        let account = if let Some(text) = folder::read(&kept)? {
            order::known_account(asks.clone(), &text).await?
        } else {
            let new = order::new_account(asks.clone(), directory.clone(), contacts);
            let (account, text) = new.await?;
            tokio::task::spawn_blocking(move || folder::write(&kept, &text)).await??;
            account
        };
        let Inner { challenge, challenges, .. } = &*self.0;
        let text = order::order(&account, &certificate.names, *challenge, challenges).await?;
        let identity = identity(&text, "the certificate issued")?;
        let now = self.0.clock.now();
        let validity = Validity::of(identity.leaf()).filter(|validity| validity.until > now);
        let Some(validity) = validity.filter(|_| certificate.is_for(&identity)) else {
            return Err("the authority issued another certificate than was ordered".into());
        };
        let path = certificate.path.clone();
        let written = tokio::task::spawn_blocking(move || folder::write(&path, &text)).await?;
        drop(lock);
        certificate.issued(identity, written, now.plus(schedule::rest(validity, now)));
        Ok(true)
    }
}

impl Certificate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a certificate is for all of the names.
    fn is_for(&self, identity: &Identity) -> bool {
        self.names.iter().all(|name| identity.names.contains(name))
    }

    /// Takes what lies in the file, where that can be used.
    fn read(&self) {
        let named = self.path.display().to_string();
        match folder::read(&self.path) {
            Ok(Some(text)) => match identity(&text, &named) {
                Ok(found) if self.is_new(&found) => self.take(found),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a kept certificate is not used"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, path = %named, "a kept certificate is not read"),
        }
    }

    /// Whether this came into the file since that was last read: a certificate that could not be
    /// written there is not given up for the one before it.
    fn is_new(&self, found: &Identity) -> bool {
        let mut state = self.state();
        let is_new = state.kept != found.leaf() && state.in_force.leaf() != found.leaf();
        state.kept = found.leaf().to_vec();
        is_new
    }

    /// Takes what the authority issued, in force even where it could not be kept: that is told, and
    /// there is no other before `not_before`.
    fn issued(&self, identity: Identity, written: io::Result<()>, not_before: Timestamp) {
        self.take(identity);
        let mut state = self.state();
        state.not_before = not_before;
        if let Err(error) = written {
            let failure = format!("the certificate issued could not be kept: {error}");
            tracing::warn!(path = %self.path.display(), "{failure}");
            state.failures = 1;
            state.failure = Some(failure);
        }
    }

    fn take(&self, identity: Identity) {
        let mut state = self.state();
        state.in_force = identity;
        state.stand_in = false;
        state.failures = 0;
        state.failure = None;
        state.not_before = Timestamp::from_secs(0);
    }
}

/// Chain and key of one PEM text.
fn identity(text: &[u8], name: &str) -> Result<Identity, ServerError> {
    let named = Named { text, name };
    Identity::from_pem(&named, &named, &provider())
}

impl AcmeBuilder {
    /// Adds a certificate for these DNS names; several may be added. Without any there is none.
    pub fn certificate<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(|name| name.into().to_ascii_lowercase());
        self.certificates.push(names.collect());
        self
    }

    /// Where the authority may write to, such as `mailto:operations@media.example`; several may be
    /// given.
    pub fn contact(mut self, url: impl Into<String>) -> Self {
        self.contacts.push(url.into());
        self
    }

    /// What shows that a name is this server's; by default a handshake.
    pub fn challenge(mut self, challenge: AcmeChallenge) -> Self {
        self.challenge = challenge;
        self
    }

    /// Believes an authority whose own certificate one of these (PEM) signed, instead of the system's:
    /// for authorities inside a company, and for tests.
    pub fn ca_pem(mut self, pem: &[u8]) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// The clock that renewals go by; by default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What is left to chance goes by this; by default it differs from process to process.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the folder, and reads what is kept there. Nothing is asked for yet. Blocks while it
    /// reads.
    ///
    /// # Errors
    /// [`ServerError::Acme`] for an URL that is not https, no names, or a name that no authority
    /// shows to be this server's by a challenge; [`ServerError::File`] for the folder.
    pub fn build(self) -> Result<Acme, ServerError> {
        let refused = |what: String| Err(ServerError::Acme(what));
        if !self.directory.starts_with("https://") {
            return refused(format!("the directory {} is no https URL", self.directory));
        }
        if self.certificates.is_empty() || self.certificates.iter().any(Vec::is_empty) {
            return refused("a certificate needs a name".to_owned());
        }
        let mut firsts: Vec<&str> = self.certificates.iter().map(|names| &*names[0]).collect();
        firsts.sort_unstable();
        if let Some([twice, _]) = firsts.windows(2).find(|two| two[0] == two[1]) {
            return refused(format!("two certificates begin with the name {twice}"));
        }
        for names in &self.certificates {
            if names.len() > MAX_NAMES {
                return refused(format!("a certificate has at most {MAX_NAMES} names"));
            }
            if let Some(name) = names.iter().find(|name| !is_host(name)) {
                return refused(format!("'{name}' is no name of a host, spelt out"));
            }
        }
        let folder = Folder::of(&self.folder, &self.directory)
            .map_err(|source| ServerError::File { path: self.folder.clone(), source })?;
        let certificates = self.certificates.into_iter().map(|names| {
            let path = folder.certificate(&names[0]);
            let stand_in = super::self_signed::load_or_make(names.clone(), None, self.clock.now())?;
            let text = format!("{}\n{}", stand_in.certificate, stand_in.key);
            let state = State {
                in_force: identity(text.as_bytes(), "a certificate that stands in")?,
                stand_in: true,
                failures: 0,
                failure: None,
                not_before: Timestamp::from_secs(0),
                kept: Vec::new(),
            };
            let certificate = Certificate { names, path, state: Mutex::new(state) };
            certificate.read();
            Ok(certificate)
        });
        Ok(Acme(Arc::new(Inner {
            certificates: certificates.collect::<Result<_, ServerError>>()?,
            directory: self.directory,
            folder,
            contacts: self.contacts,
            challenge: self.challenge,
            asks: Asks::new(self.ca),
            clock: self.clock,
            seed: self.seed.unwrap_or_else(any_seed),
            challenges: Arc::default(),
        })))
    }
}

/// Whether this is the DNS name of a host (RFC 1123 §2.1) with a dot, and no wildcard: for those,
/// authorities want a record in the DNS (RFC 8555 §7.1.3).
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number = name.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok());
    name.len() <= 253 && name.contains('.') && name.split('.').all(label) && !ends_in_number
}

fn any_seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness, all ask at the same time of their certificates' lives.
    let _ = aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const DIRECTORY: &str = "https://acme.example/dir";

    #[test]
    fn what_no_authority_would_take_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let build = |directory: &str, certificates: &[&[&str]]| {
            let mut builder = Acme::builder(directory, folder.path().join("acme"));
            for names in certificates {
                builder = builder.certificate(names.iter().copied());
            }
            builder.build().map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(build(DIRECTORY, &[&["A.example", "b.example"], &["b.example"]]), Ok(()));
        for (directory, names, said) in [
            ("http://acme.example", &[&["a.example"][..]][..], "is no https URL"),
            (DIRECTORY, &[], "needs a name"),
            (DIRECTORY, &[&[]], "needs a name"),
            (DIRECTORY, &[&["*.a.example"]], "'*.a.example' is no name"),
            (DIRECTORY, &[&["localhost"]], "'localhost' is no name"),
            (DIRECTORY, &[&["192.0.2.1"]], "'192.0.2.1' is no name"),
            (DIRECTORY, &[&["../x.example"]], "is no name"),
            (DIRECTORY, &[&["a.example"], &["a.example", "b.example"]], "two certificates begin"),
        ] {
            let error = build(directory, names).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    /// What is kept is in force from the start, what is damaged or gone harms nothing that is.
    #[test]
    fn a_kept_certificate_is_taken_and_never_given_up_for_less() {
        let parent = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let build = || {
            let builder = Acme::builder(DIRECTORY, parent.path()).certificate(["a.example"]);
            builder.clock(clock.clone()).seed(1).build().unwrap()
        };
        let first = build();
        assert_eq!(first.status()[0].expires, None, "one stands in");
        assert!(first.due(&first.0.certificates[0]) <= clock.now(), "and is asked for at once");
        let path = first.paths().next().unwrap().to_owned();
        let made =
            crate::server::self_signed::load_or_make(vec!["a.example".into()], None, clock.now());
        let made = made.unwrap();
        let text = format!("{}{}", made.certificate, made.key);
        folder::write(&path, text.as_bytes()).unwrap();
        let second = build();
        let kept = second.identities()[0].leaf().to_vec();
        assert_ne!(kept, first.0.certificates[0].state().in_force.leaf());
        let expires = second.status()[0].expires.unwrap();
        assert!(expires > clock.now());
        let due = second.due(&second.0.certificates[0]);
        assert!(due > clock.now() && due < expires);
        // The process that runs takes what another one has written.
        assert_eq!(first.identities()[0].leaf(), kept);
        for damage in [Some(&b"damaged"[..]), Some(made.certificate.as_bytes()), None] {
            match damage {
                Some(text) => folder::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            assert_eq!(second.identities()[0].leaf(), kept, "{damage:?}");
        }
    }

    #[test]
    fn what_was_issued_stays_in_force_though_it_cannot_be_kept_and_rests() {
        let parent = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let made = || {
            let names = vec!["a.example".into()];
            let made = crate::server::self_signed::load_or_make(names, None, clock.now()).unwrap();
            format!("{}{}", made.certificate, made.key)
        };
        let builder = Acme::builder(DIRECTORY, parent.path()).certificate(["a.example"]);
        let acme = builder.clock(clock.clone()).seed(1).build().unwrap();
        let certificate = &acme.0.certificates[0];
        folder::write(&certificate.path, made().as_bytes()).unwrap();
        let before = acme.identities()[0].leaf().to_vec();
        let new = identity(made().as_bytes(), "new").unwrap();
        // Nearly over by a clock that is ahead.
        clock.advance(Duration::from_secs(12 * 86_400));
        let now = clock.now();
        let rest = schedule::rest(Validity::of(new.leaf()).unwrap(), now);
        certificate.issued(new.clone(), Err(io::Error::other("full")), now.plus(rest));
        assert_ne!(before, new.leaf());
        assert_eq!(acme.identities()[0].leaf(), new.leaf(), "not what was kept before");
        let due = acme.due(certificate);
        assert!(due > now && due < acme.status()[0].expires.unwrap(), "{due:?}");
        assert!(acme.status()[0].failure.as_ref().unwrap().contains("full"));
        // What another process gets is taken.
        let next = made();
        folder::write(&certificate.path, next.as_bytes()).unwrap();
        let next = identity(next.as_bytes(), "next").unwrap();
        assert_eq!(acme.identities()[0].leaf(), next.leaf());
        assert_eq!(acme.status()[0].failure, None);
    }
}
