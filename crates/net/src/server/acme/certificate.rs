//! One certificate: what is in force, what lies in its file, and how the attempts at a new one went.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instant_acme::CertificateIdentifier;

use super::folder::{self, Folder};
use super::order::{self, Failure, Told};
use super::record::Record;
use super::schedule;
use crate::Timestamp;
use crate::server::ServerError;
use crate::server::tls::{Identity, Named, Validity, provider};

/// When there is nothing to be done: never.
const NEVER: Timestamp = Timestamp::from_millis(u64::MAX);

/// One certificate, for one set of names.
#[derive(Debug)]
pub(super) struct Certificate {
    /// In lower case, in the order given.
    pub(super) names: Vec<String>,
    pub(super) path: PathBuf,
    /// Where the attempts at it are kept.
    record: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) in_force: Identity,
    /// Attempts in a row that failed, and why the last one did.
    pub(super) failures: u32,
    pub(super) failure: Option<String>,
    /// Not to be tried before.
    not_before: Timestamp,
    /// When the authority wants it renewed, where it told.
    pub(super) window: Option<Range<Timestamp>>,
    /// When to ask that again, and how often in a row there was no answer.
    ask_again: Timestamp,
    unanswered: u32,
    /// The leaf that lay in the file when that was last read.
    kept: Vec<u8>,
}

impl State {
    /// Nothing is known of what is in force.
    fn of(in_force: Identity) -> Self {
        Self {
            in_force,
            failures: 0,
            failure: None,
            not_before: Timestamp::from_secs(0),
            window: None,
            ask_again: Timestamp::from_secs(0),
            unanswered: 0,
            kept: Vec::new(),
        }
    }
}

impl Certificate {
    /// What is kept in the folder for these names, or one that stands in.
    pub(super) fn new(
        names: Vec<String>,
        folder: &Folder,
        now: Timestamp,
    ) -> Result<Self, ServerError> {
        let first = names.first().map_or("", String::as_str);
        let (path, record) = (folder.certificate(first), folder.record(first));
        let made = crate::server::self_signed::load_or_make(names.clone(), None, now)?;
        let text = format!("{}\n{}", made.certificate, made.key);
        let mut stand_in = identity(text.as_bytes(), "a certificate that stands in")?;
        stand_in.stands_in = true;
        let certificate = Self { names, path, record, state: Mutex::new(State::of(stand_in)) };
        certificate.read();
        certificate.recall(now);
        Ok(certificate)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a certificate is for all of the names.
    pub(super) fn is_for(&self, identity: &Identity) -> bool {
        self.names.iter().all(|name| identity.names.contains(name))
    }

    /// From when until when the one in force is valid, where it is what is wanted.
    pub(super) fn validity(&self) -> Option<Validity> {
        let state = self.state();
        let is_wanted = !state.in_force.stands_in && self.is_for(&state.in_force);
        state.in_force.validity().filter(|_| is_wanted)
    }

    /// By what the authority knows the one in force; `None` where it did not issue it.
    pub(super) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let state = self.state();
        let issued = Some(state.in_force.leaf()).filter(|_| !state.in_force.stands_in);
        issued.and_then(order::identifier)
    }

    /// When another is to be asked for.
    pub(super) fn due(&self, seed: u64) -> Timestamp {
        let validity = self.validity();
        let state = self.state();
        let due = validity.map(|validity| schedule::due(validity, state.window.as_ref(), seed));
        due.unwrap_or_default().max(state.not_before)
    }

    /// When to ask the authority for its window: never of one that has expired (RFC 9773 §4.3.3).
    pub(super) fn look_due(&self, now: Timestamp) -> Timestamp {
        match self.validity() {
            Some(validity) if validity.until > now => self.state().ask_again,
            _ => NEVER,
        }
    }

    /// Takes what lies in the file, where that can be used.
    pub(super) fn read(&self) {
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

    /// Takes what is kept of attempts, of this process or others, and of the renewal, where there is
    /// something.
    pub(super) fn recall(&self, now: Timestamp) {
        let Some(record) = self.recall_attempts(now) else { return };
        let renewal = self.identifier().and_then(|of| record.renewal(&of.to_string()));
        let mut state = self.state();
        if let Some((window, ask_again)) = renewal {
            state.window = window;
            state.ask_again = ask_again.min(now.plus(schedule::look_again(Duration::MAX)));
        }
    }

    /// Takes what is kept of attempts alone; gives all that is kept.
    pub(super) fn recall_attempts(&self, now: Timestamp) -> Option<Record> {
        let record = Record::from_text(&folder::read(&self.record).ok().flatten()?)?;
        let mut state = self.state();
        // A wait that this process wrote down itself it believes as it is.
        if record.not_before().as_secs() != state.not_before.as_secs() {
            state.not_before = schedule::rest_kept(record.not_before(), now);
        }
        state.failures = record.failures;
        state.failure.clone_from(&record.failure);
        Some(record)
    }

    /// Where the attempts at it are kept, and what is to be kept of them.
    pub(super) fn record(&self) -> (PathBuf, Vec<u8>) {
        let of = self.identifier();
        let state = self.state();
        let record = Record::new(state.failures, state.failure.clone(), state.not_before);
        let record = match of {
            Some(of) => record.told(of.to_string(), state.window.as_ref(), state.ask_again),
            None => record,
        };
        (self.record.clone(), record.to_text())
    }

    /// It is somebody else's turn.
    pub(super) fn rest_until(&self, time: Timestamp) {
        self.state().not_before = time;
    }

    /// An attempt failed; gives how long there is none.
    pub(super) fn failed(&self, why: &Failure, now: Timestamp, seed: u64) -> Duration {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let wait = schedule::wait(state.failures, seed);
        state.not_before = now.plus(wait);
        state.failure = Some(why.to_string());
        wait
    }

    /// What the authority told of the renewal, or why nothing.
    pub(super) fn told(&self, told: Result<Told, Failure>, now: Timestamp, seed: u64) {
        let names = self.names.join(" ");
        let mut state = self.state();
        match told {
            Ok(Told { window, again }) => {
                state.unanswered = 0;
                state.ask_again = now.plus(schedule::look_again(again));
                if window.is_some() && state.failures == 0 {
                    state.not_before = schedule::rest_by_window(state.not_before, now);
                }
                state.window = window;
            }
            Err(error) => {
                state.unanswered = state.unanswered.saturating_add(1);
                state.ask_again = now.plus(schedule::wait(state.unanswered, seed));
                tracing::info!(%names, %error, "the authority does not tell when to renew");
            }
        }
    }

    /// Takes what the authority issued, in force even where it could not be kept: that is told, and
    /// there is no other before `not_before`.
    pub(super) fn issued(
        &self,
        identity: Identity,
        written: io::Result<()>,
        not_before: Timestamp,
    ) {
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
        let kept = std::mem::take(&mut state.kept);
        *state = State { kept, ..State::of(identity) };
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Chain and key of one PEM text.
pub(super) fn identity(text: &[u8], name: &str) -> Result<Identity, ServerError> {
    let named = Named { text, name };
    Identity::from_pem(&named, &named, &provider())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const SEED: u64 = 1;
    const START: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn in_folder(parent: &Path, now: Timestamp) -> Certificate {
        let folder = Folder::of(parent, "https://acme.example/dir").unwrap();
        Certificate::new(vec!["a.example".to_owned()], &folder, now).unwrap()
    }

    /// A chain with its key, valid for 13 days.
    fn made(now: Timestamp) -> String {
        let names = vec!["a.example".to_owned()];
        let made = crate::server::self_signed::load_or_make(names, None, now).unwrap();
        format!("{}{}", made.certificate, made.key)
    }

    /// The same from an authority, which a certificate says by whose key it is signed.
    fn issued(now: Timestamp) -> String {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let at = |time: Timestamp| {
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            epoch + Duration::from_secs(time.as_secs())
        };
        (params.not_before, params.not_after) = (at(now), at(now.plus(DAY * 90)));
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(authority, rcgen::KeyPair::generate().unwrap());
        let signed = params.signed_by(&key, &issuer).unwrap();
        format!("{}{}", signed.pem(), key.serialize_pem())
    }

    fn write_record(certificate: &Certificate) {
        let (path, text) = certificate.record();
        folder::write(&path, &text).unwrap();
    }

    /// What is kept is in force from the start, what is damaged or gone harms nothing that is.
    #[test]
    fn a_kept_certificate_is_taken_and_never_given_up_for_less() {
        let parent = tempfile::tempdir().unwrap();
        let first = in_folder(parent.path(), START);
        assert!(first.state().in_force.stands_in);
        assert!(first.due(SEED) <= START, "and is asked for at once");
        let text = made(START);
        folder::write(first.path(), text.as_bytes()).unwrap();
        let second = in_folder(parent.path(), START);
        let leaf = |of: &Certificate| of.state().in_force.leaf().to_vec();
        let kept = leaf(&second);
        assert_ne!(kept, leaf(&first));
        let until = second.validity().unwrap().until;
        assert!(until > START);
        assert!(second.due(SEED) > START && second.due(SEED) < until);
        // The process that runs takes what another one has written.
        first.read();
        assert_eq!(leaf(&first), kept);
        let without_key = text.split("-----BEGIN PRIVATE").next().unwrap();
        for damage in [Some("damaged"), Some(without_key), None] {
            match damage {
                Some(text) => folder::write(second.path(), text.as_bytes()).unwrap(),
                None => std::fs::remove_file(second.path()).unwrap(),
            }
            second.read();
            assert_eq!(leaf(&second), kept, "{damage:?}");
        }
    }

    #[test]
    fn what_was_issued_stays_in_force_though_it_cannot_be_kept_and_rests() {
        let parent = tempfile::tempdir().unwrap();
        let certificate = in_folder(parent.path(), START);
        folder::write(certificate.path(), made(START).as_bytes()).unwrap();
        certificate.read();
        let new = identity(made(START).as_bytes(), "new").unwrap();
        // Nearly over by a clock that is ahead.
        let now = START.plus(DAY * 12);
        let rest = schedule::rest(new.validity().unwrap(), now);
        certificate.issued(new.clone(), Err(io::Error::other("full")), now.plus(rest));
        certificate.read();
        assert_eq!(certificate.state().in_force.leaf(), new.leaf(), "not what was kept before");
        let due = certificate.due(SEED);
        assert!(due > now && due < certificate.validity().unwrap().until, "{due:?}");
        assert!(certificate.state().failure.as_ref().unwrap().contains("full"));
        // What another process gets is taken.
        let next = made(START);
        folder::write(certificate.path(), next.as_bytes()).unwrap();
        certificate.read();
        let next = identity(next.as_bytes(), "next").unwrap();
        assert_eq!(certificate.state().in_force.leaf(), next.leaf());
        assert_eq!(certificate.state().failure, None);
    }

    #[test]
    fn a_process_that_is_started_again_waits_as_the_one_before_would() {
        let parent = tempfile::tempdir().unwrap();
        let before = in_folder(parent.path(), START);
        for _ in 0..3 {
            before.failed(&"no such name".into(), START, SEED);
        }
        write_record(&before);
        let after = in_folder(parent.path(), START);
        assert_eq!(after.state().failures, 3);
        assert_eq!(after.state().failure.as_deref(), Some("no such name"));
        assert!(after.due(SEED) > START);
        assert_eq!(after.due(SEED).as_secs(), before.due(SEED).as_secs());
        // The next failure counts on.
        let wait = after.failed(&"again".into(), START, SEED);
        assert_eq!(wait, schedule::wait(4, SEED));
        // What was written by a clock that was years ahead keeps nobody for years.
        before.failed(&"again".into(), START.plus(DAY * 4000), SEED);
        write_record(&before);
        assert!(in_folder(parent.path(), START).due(SEED) < START.plus(DAY));
        // Damage is as if nothing were there.
        folder::write(&before.record, b"{").unwrap();
        assert!(in_folder(parent.path(), START).due(SEED) <= START);
    }

    #[test]
    fn rfc_9773_what_the_authority_told_is_heeded_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let certificate = in_folder(parent.path(), START);
        let none = || Told { window: None, again: DAY / 4 };
        assert_eq!(certificate.look_due(START), NEVER, "one stands in");
        let text = issued(START);
        folder::write(certificate.path(), text.as_bytes()).unwrap();
        certificate.read();
        let usual = certificate.due(SEED);
        assert!(certificate.look_due(START) <= START);
        certificate.told(Ok(none()), START, SEED);
        assert_eq!(certificate.due(SEED), usual);
        assert_eq!(certificate.look_due(START), START.plus(DAY / 4));
        // No answer: what was told before holds, and it is asked again, later each time.
        let window = START.plus(DAY * 10)..START.plus(DAY * 11);
        let told = Told { window: Some(window.clone()), again: DAY / 4 };
        certificate.told(Ok(told), START, SEED);
        for _ in 0..2 {
            certificate.told(Err("gone".into()), START, SEED);
        }
        assert_eq!(certificate.look_due(START), START.plus(schedule::wait(2, SEED)));
        assert!(window.contains(&certificate.due(SEED)));
        assert_eq!(certificate.look_due(START.plus(DAY * 90)), NEVER, "it has expired");
        // It outlives the process, and not the certificate.
        write_record(&certificate);
        let after = in_folder(parent.path(), START);
        assert_eq!(after.due(SEED), certificate.due(SEED));
        assert_eq!(after.look_due(START).as_secs(), certificate.look_due(START).as_secs());
        folder::write(certificate.path(), issued(START).as_bytes()).unwrap();
        assert_eq!(in_folder(parent.path(), START).state().window, None);
        // A window that is over has it renewed at once, or an hour after it was issued.
        let past = START.minus(DAY)..START.minus(DAY / 2);
        let new = identity(issued(START).as_bytes(), "new").unwrap();
        certificate.issued(new, Ok(()), START.plus(DAY * 30));
        let told = Told { window: Some(past), again: DAY };
        certificate.told(Ok(told), START, SEED);
        assert_eq!(certificate.due(SEED), START.plus(Duration::from_secs(3600)));
    }
}
