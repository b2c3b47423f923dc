//! Purges: what was stored is not to be served any more, whoever asks and whatever is under way.
//!
//! A purge touches no object. It is written down as a record with a number, the next in a row, and
//! every object bears the number that stood when its fetch began: a lookup compares the two. So a
//! purge costs the same for one object and for a million, a fetch that was under way when it came
//! brings back nothing, and memory grows with purges, not with tags or objects (`ledger`).
//! Records are on disk before the purge is acknowledged (`log`), where the cache was
//! given a [`PurgeLog`].
//!
//! ```
//! # use headwater_cache::{Cache, Purge};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder().build();
//! // Gone: the next request is a miss.
//! let first = cache.purge(Purge::url("https://example.com/title/1/main.m3u8")).await?;
//! // Stale from now on: what allows it answers while it is revalidated.
//! let second = cache.purge(Purge::tag("title-1").soft()).await?;
//! assert!(first < second);
//! // A control plane numbers its purges, and may send them again.
//! let tenth = Purge::prefix("https://example.com/title/2/").at(second.next());
//! let applied = cache.purge(tenth.clone()).await?;
//! assert_eq!(cache.purge(tenth).await?, applied);
//! # Ok(())
//! # }
//! ```

pub(crate) mod ledger;
pub(crate) mod log;
mod record;
pub(crate) mod standing;
pub(crate) mod tags;
pub(crate) mod tiers;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_net::Timestamp;
use http::Request;
use http::request::Parts;

use crate::key::KeyBuf;
use crate::{Error, Policy};
use ledger::Ledger;
use log::Draft;
pub use log::PurgeLog;
pub(crate) use tags::Tags;
pub use tiers::{PurgeSeen, Tier, TierLayer};

/// The longest URL, prefix or host of a purge, in bytes.
const MAX_URL: usize = 8 << 10;

/// The number of a purge: purges are ordered by it. Zero stands before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurgeSeq(u64);

impl PurgeSeq {
    /// The purge with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether a purge may have this number: those beyond leave no room for more.
    const fn is_possible(self) -> bool {
        0 < self.0 && self.0 <= 1 << 62
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for PurgeSeq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is to go, and how. Hard unless [`soft`](Self::soft).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a purge does nothing until it is handed to a cache"]
pub struct Purge {
    what: What,
    soft: bool,
    number: Number,
    /// The caller's purge before this one.
    follows: Option<PurgeSeq>,
    agreed: bool,
}

/// Who numbers a purge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Number {
    /// The cache.
    #[default]
    Own,
    /// The caller: one in a row of the caller's.
    Callers(PurgeSeq),
    /// A cache upstream: repetitions are not found by it.
    Shields(PurgeSeq),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Url(String),
    Prefix(String),
    Host(String),
    Tag(String),
    All,
}

impl Purge {
    fn new(what: What) -> Self {
        Self { what, soft: false, number: Number::Own, follows: None, agreed: false }
    }

    /// All variants of what an absolute URL names, its query included. It goes through the cache's
    /// [`Policy`] as a request's does, so that parameters that are no part of keys do not count.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(What::Url(url.into()))
    }

    /// Everything whose URL begins so: an absolute URL up to some place in its path. It ends where
    /// it ends: `/film` takes in `/films/1`, `/film/` does not. The scheme does not count.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new(What::Prefix(prefix.into()))
    }

    /// Everything of a host (`example.com`, with a port where URLs have one).
    pub fn host(host: impl Into<String>) -> Self {
        Self::new(What::Host(host.into()))
    }

    /// Everything whose `Surrogate-Key` or `Cache-Tag` names this.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::new(What::Tag(tag.into()))
    }

    /// Everything.
    pub fn all() -> Self {
        Self::new(What::All)
    }

    /// Makes stale instead of removing: it is revalidated, and may answer meanwhile or on errors
    /// as far as its stale extensions go, counted from now.
    pub fn soft(mut self) -> Self {
        self.soft = true;
        self
    }

    /// Gives it a number of the caller's. Those who number purges send them in order: a number that
    /// is not above the last such one is a repetition, and is acknowledged without effect.
    pub fn at(mut self, seq: PurgeSeq) -> Self {
        self.number = Number::Callers(seq);
        self
    }

    /// Names the caller's purge before this one, zero before the first: a cache that was not given
    /// that one has missed something, or is given it later. It then takes this one for a purge of
    /// all that was fetched before, so that purges may come in any order, be lost and be sent
    /// again, and none is undone. Goes with [`at`](Self::at).
    pub fn following(mut self, seq: PurgeSeq) -> Self {
        self.follows = Some(seq);
        self
    }

    /// Says of a purge of everything that the caller numbers that it was made when each purge that some
    /// cache numbered for itself had been acknowledged, and none was under way. From it on that cache sees
    /// no others than the caller's again ([`PurgeSeen::Common`]): whoever was given this one, too, has
    /// nothing that was fetched before those. Goes with [`all`](Self::all) and [`at`](Self::at), and not
    /// with [`soft`](Self::soft). Danger: where that is not so, a cache is given by a peer what was purged
    /// in it alone.
    pub fn agreed(mut self) -> Self {
        self.agreed = true;
        self
    }

    /// Gives it the number that the shield gave, which was purged before. Purges that callers
    /// number are a row of their own: none of them counts as a repetition because of this one.
    pub fn after_shield(mut self, seq: PurgeSeq) -> Self {
        self.number = Number::Shields(seq);
        self
    }

    /// What it means for stored objects, whose keys `policy` wrote.
    fn scope(&self, policy: &dyn Policy) -> Result<Scope, PurgeError> {
        Ok(match &self.what {
            What::All => Scope::All,
            What::Tag(tag) => {
                let tag = tag.trim().as_bytes();
                if tag.is_empty() || tag.len() > tags::MAX_TAG {
                    let detail = "a tag has 1 to 1024 bytes";
                    return Err(PurgeError::Invalid { field: "tag", detail });
                }
                Scope::Tag(tags::hash(tag))
            }
            What::Url(url) => Scope::Key(key("url", url, policy)?),
            What::Prefix(prefix) if prefix.contains('?') => {
                let detail = "a prefix ends before the query";
                return Err(PurgeError::Invalid { field: "prefix", detail });
            }
            What::Prefix(prefix) => Scope::Prefix(key("prefix", prefix, policy)?),
            What::Host(host) if host.is_empty() || host.contains(['/', '?', '#', '@']) => {
                let detail = "a host is a name or address, and a port where URLs have one";
                return Err(PurgeError::Invalid { field: "host", detail });
            }
            What::Host(host) => Scope::Prefix(key("host", &format!("http://{host}/"), policy)?),
        })
    }
}

/// The key of a URL under a policy.
fn key(field: &'static str, url: &str, policy: &dyn Policy) -> Result<Box<[u8]>, PurgeError> {
    let mut key = KeyBuf::new();
    policy.key(&request(field, url)?, &mut key);
    if key.url().len() > record::MAX_SUBJECT {
        return Err(PurgeError::Invalid { field, detail: "its key is longer than 16384 bytes" });
    }
    Ok(key.url().into())
}

/// A GET of a URL that an operator gave.
fn request(field: &'static str, url: &str) -> Result<Parts, PurgeError> {
    let invalid = |detail| PurgeError::Invalid { field, detail };
    if url.len() > MAX_URL {
        return Err(invalid("it is longer than 8192 bytes"));
    }
    let absolute = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    let request = Request::get(url).body(()).ok().filter(|_| absolute);
    let (parts, ()) =
        request.ok_or_else(|| invalid("an absolute http or https URL is needed"))?.into_parts();
    Ok(parts)
}

/// What a record is about, in the terms of keys and tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Objects whose key's URL is this.
    Key(Box<[u8]>),
    /// Objects whose key begins so.
    Prefix(Box<[u8]>),
    /// Objects with a tag of this hash.
    Tag(u64),
    /// Every object.
    All,
}

/// Why a purge was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// It says nothing that can be done: the caller is to mend the named part of it.
    #[error("{field}: {detail}")]
    Invalid {
        /// `url`, `prefix`, `host`, `tag`, `sequence`, `follows` or `agreed`.
        field: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// It could not be written down, and was not done: the caller is to send it again.
    #[error("the purge could not be written to the log")]
    Log(#[source] io::Error),
}

/// The purges of one cache.
pub(crate) struct Purges {
    ledger: Arc<Ledger>,
    /// Purges without a log come one at a time, too.
    turn: Mutex<()>,
    log: Option<Log>,
}

/// Where purges are written down.
struct Log {
    path: PathBuf,
    file: Arc<tokio::sync::Mutex<File>>,
}

enum File {
    Open(PurgeLog),
    /// Once the cache was closed: the file may be another's. What it held then goes up to here.
    Closed(PurgeSeq),
}

impl Purges {
    /// Takes in what the log holds.
    pub(crate) fn new(log: Option<PurgeLog>, now: Timestamp) -> Self {
        let ledger = Arc::new(Ledger::default());
        let log = log.map(|mut log| {
            log.restore(&ledger, now);
            let path = log.path().to_owned();
            Log { path, file: Arc::new(tokio::sync::Mutex::new(File::Open(log))) }
        });
        Self { ledger, turn: Mutex::new(()), log }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Lets go of the log's file.
    pub(crate) async fn close(&self) {
        if let Some(log) = &self.log {
            let mut file = log.file.lock().await;
            if matches!(*file, File::Open(_)) {
                *file = File::Closed(self.ledger.newest());
            }
        }
    }

    /// Takes the log's file again after [`close`](Self::close): what another has written there
    /// meanwhile counts here, and what was purged here is written down. Blocks.
    pub(crate) fn reopen(&self, now: Timestamp) -> Result<(), Error> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut file = log.file.blocking_lock();
        let File::Closed(known) = *file else { return Ok(()) };
        let open = || {
            let mut log = PurgeLog::open(&log.path)?;
            log.resume(&self.ledger, known, now)?;
            Ok(File::Open(log))
        };
        let failed = |source| Error::Folder { path: log.path.clone(), source };
        *file = open().map_err(failed)?;
        Ok(())
    }

    /// Cancel safe: a purge that was begun is either done whole or not at all.
    pub(crate) async fn purge(
        &self,
        purge: &Purge,
        policy: &dyn Policy,
        now: Timestamp,
    ) -> Result<PurgeSeq, PurgeError> {
        if let Number::Callers(seq) | Number::Shields(seq) = purge.number
            && !seq.is_possible()
        {
            let detail = "a number of a purge is from 1 to 2^62";
            return Err(PurgeError::Invalid { field: "sequence", detail });
        }
        if let (Number::Callers(seq), Some(before)) = (purge.number, purge.follows)
            && before >= seq
        {
            let detail = "the purge before it has a lower number";
            return Err(PurgeError::Invalid { field: "follows", detail });
        }
        let Purge { soft, number, follows, agreed, .. } = *purge;
        if agreed && (soft || purge.what != What::All || !matches!(number, Number::Callers(_))) {
            let detail = "it is for a hard purge of all that has a sequence";
            return Err(PurgeError::Invalid { field: "agreed", detail });
        }
        let draft = Draft { scope: purge.scope(policy)?, soft, agreed, number, follows, now };
        let mut open = match &self.log {
            Some(log) => Some(Arc::clone(&log.file).lock_owned().await),
            None => None,
        };
        if !matches!(open.as_deref(), Some(File::Open(_))) {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(draft.number(&self.ledger).map_or_else(
                |already| already,
                |record| {
                    self.ledger.apply(&record, now);
                    record.mark.seq
                },
            ));
        }
        let ledger = Arc::clone(&self.ledger);
        let written = tokio::task::spawn_blocking(move || match open.as_deref_mut() {
            Some(File::Open(log)) => log.write(&ledger, draft),
            _ => Err(io::ErrorKind::NotFound.into()),
        });
        let written = written.await;
        written.map_err(io::Error::other).and_then(|written| written).map_err(PurgeError::Log)
    }
}
