//! Names for mezzanines: which files make which asset, and whether they are still the same files.
//!
//! A file is one asset, called by its stem; files beside each other whose names differ in
//! `_720p` and the like are one; a folder inside the given one is one asset whose files are its
//! renditions; and what a descriptor `NAME.headwater.json` says overrides all of these for `NAME`
//! (docs/descriptor.md). Files that appear later are found within a second of being asked for;
//! files that are replaced are noticed within a second.

mod kept_key;
mod key_file;
mod name;
mod scan;
mod siblings;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use headwater_net::Timestamp;
use tokio::sync::Mutex;

use crate::aes128::SegmentKey;
use crate::error::Error;
use crate::identity::Fnv;
use crate::media::Options;
use crate::source::{AnySource, BufferPool, FileSource, Source, SourceError};

pub use crate::descriptor::{DESCRIPTOR_SUFFIX, DescriptorError, MAX_DESCRIPTOR_BYTES};
pub use name::{decode_name, encode_name};
pub use scan::{EXTENSIONS, MAX_ASSETS, MAX_RENDITIONS, asset_name};

use crate::descriptor::Descriptor;
use kept_key::KeptKeys;
use scan::{Contents, Located, Place, Root};
use sources::Sources;

/// The assets that a packager serves. Clones share one state.
#[derive(Clone)]
pub struct Assets {
    inner: Arc<Inner>,
}

/// Why assets cannot be served at all. For the operator: the messages hold paths.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetsError {
    /// A path cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A path has no name that can stand in a URL.
    #[error("{} has no usable name: it must be visible, valid UTF-8 and at most 255 bytes", .0.display())]
    BadName(PathBuf),
    /// Two files or folders would have the same name.
    #[error("{} and {} would both be called {name:?}: rename one", .first.display(), .second.display())]
    Duplicate {
        /// The name.
        name: String,
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// There are more than [`MAX_ASSETS`].
    #[error("more than {MAX_ASSETS} assets")]
    TooMany,
}

impl Assets {
    /// All assets in a folder: `X.mp4` (or another of [`EXTENSIONS`]) is the asset `X`;
    /// `Y_720p.mp4` and `Y_1080p.mp4` are the renditions of `Y`; a folder `Z` in it is the asset
    /// `Z` with its files as renditions; `W.headwater.json` describes `W`. Blocks on the file
    /// system.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, AssetsError> {
        Self::from_roots(vec![Root::Folder(dir.as_ref().to_owned())])
    }

    /// The named files, each one asset, whatever its extension or what it says where it is a
    /// descriptor; a folder among them stands for what [`from_dir`](Self::from_dir) finds in it.
    /// Blocks on the file system.
    pub fn from_files<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, AssetsError> {
        let roots = paths.into_iter().map(|path| Root::of(path.into()));
        Self::from_roots(roots.collect::<Result<_, _>>()?)
    }

    /// Sources of any kind under given names, each with its renditions. Those that can be
    /// [opened again](Source::renewed) are looked at every few seconds that they are asked for, and
    /// when a read says that they were changed.
    pub fn from_sources(
        assets: impl IntoIterator<Item = (String, Vec<AnySource>)>,
    ) -> Result<Self, AssetsError> {
        let mut entries = BTreeMap::new();
        for (name, sources) in assets {
            if !name::is_usable(&name) {
                return Err(AssetsError::BadName(name.into()));
            }
            let key: Arc<str> = name.clone().into();
            if entries.insert(key, Entry::sources(&name, sources)).is_some() {
                let path = PathBuf::from(&name);
                return Err(AssetsError::Duplicate { name, first: path.clone(), second: path });
            }
        }
        Ok(Self::with(Vec::new(), entries))
    }

    /// The names of all assets in order, looked up again when the last look is a second old.
    pub async fn names(&self, now: Timestamp) -> Vec<Arc<str>> {
        self.rescan(now).await;
        self.entries().keys().cloned().collect()
    }

    /// What an asset consists of at present; `None` where there is none of that name.
    pub(crate) async fn find(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Found>>, FindError> {
        // One more sibling makes another ladder.
        if self.entry(name).is_none_or(|entry| entry.has_siblings()) {
            self.rescan(now).await;
        }
        let Some(entry) = self.entry(name) else { return Ok(None) };
        let place = match &entry.kind {
            Kind::Sources(sources) => return Ok(sources.find(now).await),
            Kind::Place(place) => place,
        };
        // One request looks; those that come meanwhile wait for what it sees.
        let mut looked = entry.looked.lock().await;
        if let Some((at, seen)) = &*looked
            && now.since(*at) < LOOK_AGAIN
        {
            return seen.clone().map(Some).map_err(FindError::Descriptor);
        }
        let (place, owned_name) = (place.clone(), name.to_owned());
        let kept = Arc::clone(&self.inner.kept_keys);
        let located = blocking(move || place.locate(&owned_name, &kept, now)).await?;
        match located {
            Ok(contents) => {
                let found = Arc::new(Found::files(name, contents));
                *looked = Some((now, Ok(Arc::clone(&found))));
                Ok(Some(found))
            }
            Err(FindError::Source(SourceError::NotFound)) => {
                *looked = None;
                Ok(None)
            }
            Err(FindError::Descriptor(error)) => {
                *looked = Some((now, Err(error.clone())));
                Err(error.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the next [`find`](Self::find) of a name look again: at files at once, at other sources
    /// once a second.
    pub(crate) async fn doubt(&self, name: &str) {
        let Some(entry) = self.entry(name) else { return };
        match &entry.kind {
            Kind::Sources(sources) => sources.doubt(),
            Kind::Place(_) => *entry.looked.lock().await = None,
        }
    }

    /// Opens the sources of an asset as they were found.
    pub(crate) async fn open(&self, found: &Found) -> Result<Vec<AnySource>, SourceError> {
        let files = match &found.parts {
            Parts::Sources(sources) => return Ok(sources.clone()),
            Parts::Files(files) => files.clone(),
        };
        let pool = Arc::clone(&self.inner.pool);
        blocking(move || {
            files
                .into_iter()
                .map(|file| {
                    let source = FileSource::open_pooled(
                        &file.path,
                        file.id.name.clone(),
                        Arc::clone(&pool),
                    )?;
                    // Replaced between looking and opening: what was found is no more.
                    if source.stamp() == file.stamp {
                        Ok(AnySource::new(source))
                    } else {
                        Err(SourceError::Changed)
                    }
                })
                .collect()
        })
        .await?
    }

    fn from_roots(roots: Vec<Root>) -> Result<Self, AssetsError> {
        let places = scan::places(&roots)?;
        let entries = places.into_iter().map(|(name, place)| (name, Entry::place(place))).collect();
        Ok(Self::with(roots, entries))
    }

    fn with(roots: Vec<Root>, entries: Entries) -> Self {
        Self {
            inner: Arc::new(Inner {
                roots,
                entries: RwLock::new(Arc::new(entries)),
                scanned: Mutex::new(Timestamp::default()),
                pool: Arc::default(),
                kept_keys: Arc::default(),
            }),
        }
    }

    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.inner.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries().get(name).cloned()
    }

    /// Looks for new files, at most once a second; faults leave what was known.
    async fn rescan(&self, now: Timestamp) {
        if self.inner.roots.is_empty() {
            return;
        }
        let mut scanned = self.inner.scanned.lock().await;
        if now.since(*scanned) < LOOK_AGAIN {
            return;
        }
        *scanned = now;
        let roots = self.inner.roots.clone();
        match blocking(move || scan::places(&roots)).await {
            Ok(Ok(places)) => {
                let known = self.entries();
                let entries = places
                    .into_iter()
                    .map(|(name, place)| {
                        let same = known.get(&name).filter(|entry| entry.is_at(&place));
                        let entry = same.cloned().unwrap_or_else(|| Entry::place(place));
                        (name, entry)
                    })
                    .collect();
                *self.inner.entries.write().unwrap_or_else(PoisonError::into_inner) =
                    Arc::new(entries);
            }
            Ok(Err(error)) => tracing::warn!(%error, "assets were not looked up again"),
            Err(error) => tracing::warn!(%error, "assets were not looked up again"),
        }
    }
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries().keys()).finish()
    }
}

/// An asset as it was seen.
#[derive(Debug)]
pub(crate) struct Found {
    /// A hash over the name, the identities of the sources and what else tells that a file is not
    /// the one that it was: other files, another key. For this process alone.
    pub(crate) key: u64,
    parts: Parts,
    descriptor: Option<Descriptor>,
    segment_key: Option<SegmentKey>,
}

/// Why an asset is not found although there is one of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FindError {
    /// Its files cannot be looked at.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What describes it is wrong.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

#[derive(Debug)]
enum Parts {
    Files(Vec<Located>),
    Sources(Vec<AnySource>),
}

impl Found {
    /// Files that only look the same have the same identities, but another key.
    fn files(name: &str, contents: Contents) -> Self {
        let Contents { files, descriptor, segment_key } = contents;
        let mut hash = named(name);
        for file in &files {
            file.id.mix_into(&mut hash);
            file.stamp.mix_into(&mut hash);
        }
        if let Some(descriptor) = &descriptor {
            hash.field(descriptor.text().as_bytes());
        }
        if let Some(key) = &segment_key {
            hash.field(&key.fingerprint().to_be_bytes());
        }
        Self { key: hash.finish(), parts: Parts::Files(files), descriptor, segment_key }
    }

    fn sources(name: &str, sources: Vec<AnySource>) -> Self {
        let mut hash = named(name);
        for source in &sources {
            source.id().mix_into(&mut hash);
        }
        let parts = Parts::Sources(sources);
        Self { key: hash.finish(), parts, descriptor: None, segment_key: None }
    }

    /// How it is packaged: as `options` say, unless its descriptor says otherwise.
    pub(crate) fn options(&self, mut options: Options) -> Options {
        if let Some(descriptor) = &self.descriptor {
            options.choice = descriptor.choice();
            if let Some(target) = descriptor.target_duration() {
                options.target_duration = target;
            }
        }
        if let Some(key) = &self.segment_key {
            options.segment_key = Some(key.clone());
        }
        options
    }

    /// What its descriptor has to do with an error, where it has.
    pub(crate) fn explain(&self, error: &Error) -> Option<DescriptorError> {
        let Error::BadPick { media, number, why } = error else { return None };
        Some(self.descriptor.as_ref()?.bad_pick(*media, *number, why))
    }
}

fn named(name: &str) -> Fnv {
    let mut hash = Fnv::new();
    hash.field(name.as_bytes());
    hash
}

struct Inner {
    roots: Vec<Root>,
    entries: RwLock<Arc<Entries>>,
    scanned: Mutex<Timestamp>,
    pool: Arc<BufferPool>,
    kept_keys: Arc<KeptKeys>,
}

type Entries = BTreeMap<Arc<str>, Arc<Entry>>;

struct Entry {
    kind: Kind,
    looked: Mutex<Option<(Timestamp, Seen)>>,
}

/// What was found, or what keeps it from being found until someone mends it.
type Seen = Result<Arc<Found>, DescriptorError>;

enum Kind {
    Place(Place),
    Sources(Sources),
}

impl Entry {
    fn place(place: Place) -> Arc<Self> {
        Arc::new(Self { kind: Kind::Place(place), looked: Mutex::new(None) })
    }

    fn sources(name: &str, sources: Vec<AnySource>) -> Arc<Self> {
        let kind = Kind::Sources(Sources::new(name, sources));
        Arc::new(Self { kind, looked: Mutex::new(None) })
    }

    fn has_siblings(&self) -> bool {
        matches!(&self.kind, Kind::Place(Place::Siblings(_)))
    }

    fn is_at(&self, other: &Place) -> bool {
        matches!(&self.kind, Kind::Place(place) if place == other)
    }
}

/// How long what was seen of the file system is believed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))
}
