//! How an [`Acme`] is described, and what no authority would take is found out at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::crypto::aws_lc_rs;

use super::certificate::Certificate;
use super::external::ExternalAccount;
use super::folder::Folder;
use super::{Acme, AcmeChallenge, Inner};
use crate::Clock;
use crate::authority::Asks;
use crate::server::ServerError;

/// Names in one certificate: what Let's Encrypt takes.
const MAX_NAMES: usize = 100;

/// Describes an [`Acme`]; made by [`Acme::builder`].
#[derive(Debug)]
#[must_use = "nothing is asked for until a server serves it"]
pub struct AcmeBuilder {
    directory: String,
    folder: PathBuf,
    certificates: Vec<Vec<String>>,
    contacts: Vec<String>,
    challenge: AcmeChallenge,
    external: Option<Result<ExternalAccount, String>>,
    ca: Option<Arc<[u8]>>,
    clock: Clock,
    seed: Option<u64>,
}

impl AcmeBuilder {
    /// From the authority whose directory is at this URL, kept in this folder.
    pub(super) fn new(directory: String, folder: PathBuf) -> Self {
        Self {
            directory,
            folder,
            certificates: Vec::new(),
            contacts: Vec::new(),
            challenge: AcmeChallenge::default(),
            external: None,
            ca: None,
            clock: Clock::system(),
            seed: None,
        }
    }

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

    /// Binds the account to one that there is with the authority already (RFC 8555 §7.3.4), for
    /// authorities that want it: by its name and its key, in base64url, both as they give them. Only
    /// the first start with a folder needs them, when the account is made.
    pub fn external_account(mut self, id: impl Into<String>, key: &[u8]) -> Self {
        let id = id.into();
        self.external = Some(ExternalAccount::new(id.clone(), key).ok_or(id));
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

    /// What [`AcmeBuilder::build`] would refuse, short of its folder: makes and reads nothing.
    ///
    /// # Errors
    /// [`ServerError::Acme`] for an URL that is not https, no names, or a name that no authority
    /// shows to be this server's by a challenge; [`ServerError::ExternalAccount`] for the key of an
    /// external account that is none.
    pub fn check(&self) -> Result<(), ServerError> {
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
        match &self.external {
            Some(Err(id)) => Err(ServerError::ExternalAccount(id.clone())),
            _ => Ok(()),
        }
    }

    /// Makes the folder, and reads what is kept there. Nothing is asked for yet. Blocks while it
    /// reads.
    ///
    /// # Errors
    /// As [`AcmeBuilder::check`]; [`ServerError::File`] for the folder.
    pub fn build(self) -> Result<Acme, ServerError> {
        self.check()?;
        let folder = Folder::of(&self.folder, &self.directory)
            .map_err(|source| ServerError::File { path: self.folder.clone(), source })?;
        let now = self.clock.now();
        let certificates = self.certificates.into_iter();
        let certificates = certificates.map(|names| Certificate::new(names, &folder, now));
        Ok(Acme(Arc::new(Inner {
            certificates: certificates.collect::<Result<_, ServerError>>()?,
            directory: self.directory,
            folder,
            contacts: self.contacts,
            challenge: self.challenge,
            external: self.external.and_then(Result::ok),
            asks: Asks::new(self.ca),
            clock: self.clock,
            seed: self.seed.unwrap_or_else(any_seed),
            challenges: Arc::default(),
            issued: AtomicU64::new(0),
            failed: AtomicU64::new(0),
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
        let bound = Acme::builder(DIRECTORY, folder.path()).certificate(["a.example"]);
        let refused = bound.external_account("me", b"no key").build().unwrap_err().to_string();
        assert!(refused.contains("external account me holds no key"), "{refused}");
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
}
