//! The segment map: which presentation, rendition and segment a URL is, and what comes after it.
//!
//! Learnt from the HLS and DASH manifests that pass through, whoever made them, and from the indexes of
//! the files that they name; never guessed from file names. The map is pure: bytes and URLs in, positions and URLs out. It promises that
//!
//! - no manifest makes it panic, loop for long or hold more than [`Limits`] allow;
//! - what it holds of a presentation goes when the presentation goes, the longest unused first;
//! - it never invents a URL: all it names was named by a manifest, or is one that the manifest's
//!   origin offers to answer when it has more (`CAN-BLOCK-RELOAD`).

mod ask;
mod dash;
mod define;
mod hls;
mod index;
mod live;
mod manifest;
mod numbers;
mod sidx;
mod template;
mod timing;
mod track;
mod url;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use manifest::Content;
use track::Track;

pub use ask::{Known, Neighbour, Neighbours};
pub use define::Variables;
pub use live::{Live, MAX_PRELOADS};
pub use manifest::{Limits, Manifest, ManifestKind, MapError};
pub use sidx::MAX_INDEX;
pub use track::Target;
pub use url::{MAX_URL, Url};

/// Names a presentation for as long as the map holds it; a number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PresentationId(u64);

/// One segment: of which presentation and rendition, and which of its segments.
///
/// Positions are of the moment: a newer manifest may number segments anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The presentation.
    pub presentation: PresentationId,
    /// The rendition within the presentation.
    pub rendition: u32,
    /// The segment within the rendition, from 0.
    pub index: u32,
}

/// What a manifest taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Learnt {
    /// The presentation it belongs to.
    pub presentation: PresentationId,
    /// How many renditions of it are known now.
    pub renditions: usize,
    /// How many segments this manifest listed.
    pub segments: u64,
    /// The rendition, where it was a media playlist.
    pub rendition: Option<u32>,
    /// Whether what it tells of was unknown until now.
    pub first: bool,
}

/// Presentations, their renditions and their segments, as manifests told them.
#[derive(Debug, Default)]
pub struct SegmentMap {
    limits: Limits,
    presentations: HashMap<PresentationId, Presentation>,
    /// Presentations by last use.
    used: BTreeMap<u64, PresentationId>,
    by_manifest: HashMap<Url, PresentationId>,
    by_playlist: HashMap<Url, (PresentationId, u32)>,
    /// Segments without a pattern by the hash of their URL: what is found is verified.
    listed: HashMap<u64, Position>,
    /// What is announced at live edges.
    preloads: HashMap<Url, (PresentationId, u32)>,
    /// Files that hold parts of live segments, by the hash of their URL: what is found is verified.
    parts: HashMap<u64, (PresentationId, u32)>,
    /// Files whose index was not read yet.
    indexes: HashMap<Url, (PresentationId, u32)>,
    /// Init segments that are files of their own.
    inits: HashMap<Url, (PresentationId, u32)>,
    /// Renditions by the hash of their pattern's frame.
    framed: HashMap<u64, Vec<(PresentationId, u32)>>,
    weight: usize,
    clock: u64,
    next_id: u64,
}

#[derive(Debug)]
struct Presentation {
    manifest: Url,
    digest: u64,
    /// What its media playlists may import.
    variables: Option<Arc<Variables>>,
    used: u64,
    renditions: Vec<Rendition>,
    weight: usize,
}

#[derive(Debug)]
struct Rendition {
    name: Name,
    bandwidth: Option<u64>,
    /// Those a player switches between have one number.
    group: u32,
    /// Of the playlist `track` was read from.
    digest: u64,
    track: Track,
}

/// What tells one rendition from the others of its presentation.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    /// Its media playlist.
    Playlist(Url),
    /// `Representation@id`.
    Id(Box<str>),
}

impl SegmentMap {
    /// An empty map.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Learns from the manifest `bytes` found at `manifest`. What is no manifest by its type
    /// teaches nothing: `Ok(None)`.
    ///
    /// # Errors
    /// [`MapError`] where it says it is a manifest and cannot be read as one; the map is unchanged.
    pub fn learn(
        &mut self,
        manifest: &Url,
        content_type: Option<&str>,
        bytes: &[u8],
    ) -> Result<Option<Learnt>, MapError> {
        let digest = hash(bytes);
        if let Some(known) = self.known(manifest, digest) {
            return Ok(Some(known));
        }
        let outer = self.variables(manifest);
        let outer = outer.as_deref();
        let read = Manifest::read(manifest, content_type, bytes, &self.limits, outer)?;
        Ok(read.map(|manifest| self.absorb(manifest)))
    }

    /// Takes in a manifest that was read.
    pub fn absorb(&mut self, manifest: Manifest) -> Learnt {
        let Manifest { url, digest, content } = manifest;
        let learnt = match content {
            Content::Dash(found) => {
                let renditions = found.into_iter().map(|found| Rendition {
                    name: Name::Id(found.id.into()),
                    bandwidth: found.bandwidth,
                    group: found.group,
                    digest,
                    track: found.track,
                });
                self.replace(&url, digest, renditions.collect())
            }
            Content::Hls(hls::Hls::Multivariant(list, variables)) => {
                self.learn_multivariant(&url, digest, list, variables)
            }
            Content::Hls(hls::Hls::Media(track)) => self.learn_media(&url, digest, *track),
        };
        self.evict(learnt.presentation);
        learnt
    }

    /// Whether these very bytes were learnt from this place before; then the presentation counts
    /// as used, and there is nothing to read.
    pub fn knows(&mut self, manifest: &Url, bytes: &[u8]) -> bool {
        self.known(manifest, hash(bytes)).is_some()
    }

    /// What the media playlist at `url` may import: what its multivariant playlist defines.
    pub fn variables(&self, url: &Url) -> Option<Arc<Variables>> {
        let (id, _) = self.by_playlist.get(url)?;
        self.presentations.get(id)?.variables.clone()
    }

    /// Which segment `url` is; where several segments lie in one file, the one that holds byte
    /// `at`. A presentation that is looked at stays longest.
    pub fn lookup(&mut self, url: &Url, at: Option<u64>) -> Option<Position> {
        let found = self.find(url, at)?;
        self.touch(found.presentation);
        Some(found)
    }

    /// The segment that `url` is a part of (`EXT-X-PART`, or one that was announced), which part of it
    /// from 0, and where that is; where several lie in one file, the one that holds byte `at`. Of the segment that is not complete
    /// the position is the one after the last: it has its number, and nothing is there to be fetched.
    /// A presentation that is looked at stays longest.
    pub fn part(&mut self, url: &Url, at: Option<u64>) -> Option<(Position, u32, Target)> {
        let &(presentation, rendition) = self.parts.get(&hash(url.as_str().as_bytes()))?;
        let part = self.track(presentation, rendition)?.part(url, at)?;
        let (index, number, target) = (part.segment, part.number, part.target.clone());
        self.touch(presentation);
        Some((Position { presentation, rendition, index }, number, target))
    }

    fn find(&self, url: &Url, at: Option<u64>) -> Option<Position> {
        let text = url.as_str();
        if let Some(hint) = self.listed.get(&hash(text.as_bytes()))
            && let Some(track) = self.track(hint.presentation, hint.rendition)
            && let Some(index) = track.find(text, at, Some(hint.index))
        {
            return Some(Position { index, ..*hint });
        }
        for (before, after) in track::spots(text) {
            for &(presentation, rendition) in
                self.framed.get(&hash_frame(before, after)).into_iter().flatten().rev()
            {
                if let Some(track) = self.track(presentation, rendition)
                    && let Some(index) = track.find(text, at, None)
                {
                    return Some(Position { presentation, rendition, index });
                }
            }
        }
        None
    }

    /// Where the segments begin that lie in the file at `url`, and the last of them ends, and where its init
    /// segment and its index do: in ascending order. `None` where it is no file of several segments, as far
    /// as is known. Of two playlists that cut it differently, the one that was learnt last is heeded.
    pub fn joints(&self, url: &Url) -> Option<Vec<u64>> {
        let hint = self.listed.get(&hash(url.as_str().as_bytes()))?;
        let joints = self.track(hint.presentation, hint.rendition)?.joints(url, hint.index);
        (joints.len() > 1).then_some(joints)
    }

    /// Where in the file at `url` its index is, which a manifest named and which was not read yet.
    pub fn index_of(&self, url: &Url) -> Option<Range<u64>> {
        let (id, at) = self.indexes.get(url)?;
        self.track(*id, *at)?.unread()?.range.clone()
    }

    /// Learns from the index of the file at `url`: the bytes at [`index_of`](Self::index_of). `Ok(None)`
    /// where none is wanted.
    ///
    /// # Errors
    /// [`MapError`] where it cannot be read as one; it is not wanted any more then.
    pub fn learn_index(&mut self, url: &Url, bytes: &[u8]) -> Result<Option<Learnt>, MapError> {
        let Some((range, (id, at))) = self.index_of(url).zip(self.indexes.remove(url)) else {
            return Ok(None);
        };
        let mut learnt = Ok(None);
        if let Some(presentation) = self.presentations.get_mut(&id) {
            let left = self.limits.presentation_bytes.saturating_sub(presentation.weight);
            let renditions = presentation.renditions.len();
            if let Some(Rendition { track, .. }) = presentation.renditions.get_mut(at as usize) {
                let old = track.weight();
                let budget = old.saturating_add(left);
                learnt = sidx::fill(track, url, (bytes, range.end), budget).map(|()| {
                    let segments = u64::from(track.len());
                    let (rendition, first) = (Some(at), true);
                    Some(Learnt { presentation: id, renditions, segments, rendition, first })
                });
                let grown = track.weight().saturating_sub(old);
                presentation.weight += grown;
                self.weight += grown;
            }
        }
        self.index(id, at);
        self.touch(id);
        self.evict(id);
        learnt
    }

    /// The number of presentations held.
    pub fn len(&self) -> usize {
        self.presentations.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.presentations.is_empty()
    }

    /// Bytes of memory held, roughly: what [`Limits::bytes`] bounds.
    pub fn weight(&self) -> usize {
        self.weight
    }

    fn track(&self, presentation: PresentationId, rendition: u32) -> Option<&Track> {
        let presentation = self.presentations.get(&presentation)?;
        presentation.renditions.get(rendition as usize).map(|rendition| &rendition.track)
    }

    /// What an earlier, identical copy of this manifest taught.
    fn known(&mut self, manifest: &Url, digest: u64) -> Option<Learnt> {
        let known = self.find_known(manifest, digest)?;
        self.touch(known.presentation);
        Some(known)
    }

    fn find_known(&self, manifest: &Url, digest: u64) -> Option<Learnt> {
        if let Some((id, at)) = self.by_playlist.get(manifest) {
            let presentation = self.presentations.get(id)?;
            let rendition = presentation.renditions.get(*at as usize)?;
            return (rendition.digest == digest).then(|| Learnt {
                presentation: *id,
                renditions: presentation.renditions.len(),
                segments: u64::from(rendition.track.len()),
                rendition: Some(*at),
                first: false,
            });
        }
        let id = *self.by_manifest.get(manifest)?;
        let presentation = self.presentations.get(&id)?;
        (presentation.digest == digest).then(|| presentation.learnt(id, false))
    }

    /// A multivariant playlist: renditions that were known keep their segments.
    fn learn_multivariant(
        &mut self,
        manifest: &Url,
        digest: u64,
        list: Vec<hls::Listed>,
        variables: Variables,
    ) -> Learnt {
        let mut renditions: Vec<Rendition> = list
            .into_iter()
            .map(|listed| Rendition {
                name: Name::Playlist(listed.url),
                bandwidth: listed.bandwidth,
                group: listed.group,
                digest: 0,
                track: Track::default(),
            })
            .collect();
        let before = self.by_manifest.get(manifest).copied();
        let old = before.and_then(|id| self.remove(id));
        let defined = old.as_ref().and_then(|old| old.variables.clone());
        let mut known = old.map_or_else(Vec::new, |old| old.renditions);
        for rendition in &renditions {
            // A media playlist that came before the playlist that names it stood alone.
            if let Name::Playlist(playlist) = &rendition.name
                && let Some(id) = self.by_manifest.get(playlist).copied()
                && let Some(alone) = self.remove(id)
            {
                known.extend(alone.renditions);
            }
        }
        let variables = (!variables.is_empty()).then(|| Arc::new(variables));
        if variables != defined {
            // What was imported stands for something else now: they are read anew.
            known.clear();
        }
        for rendition in &mut renditions {
            if let Some(at) = known.iter().position(|k| k.name == rendition.name) {
                let known = known.swap_remove(at);
                rendition.track = known.track;
                rendition.digest = known.digest;
            }
        }
        let learnt = self.insert(before, manifest.clone(), digest, renditions);
        if let (Some(variables), Some(presentation)) =
            (variables, self.presentations.get_mut(&learnt.presentation))
        {
            presentation.weight += variables.weight();
            self.weight += variables.weight();
            presentation.variables = Some(variables);
        }
        learnt
    }

    fn learn_media(&mut self, manifest: &Url, digest: u64, track: Track) -> Learnt {
        let segments = u64::from(track.len());
        let Some(&(id, at)) = self.by_playlist.get(manifest) else {
            let name = Name::Playlist(manifest.clone());
            let alone = Rendition { name, bandwidth: None, group: 0, digest, track };
            let learnt = self.replace(manifest, digest, vec![alone]);
            return Learnt { rendition: Some(0), ..learnt };
        };
        let mut first = false;
        self.unindex(id, at);
        if let Some(presentation) = self.presentations.get_mut(&id)
            && let Some(rendition) = presentation.renditions.get_mut(at as usize)
        {
            first = rendition.track.len() == 0;
            let (old, new) = (rendition.track.weight(), track.weight());
            rendition.track = track;
            rendition.digest = digest;
            presentation.weight = (presentation.weight + new).saturating_sub(old);
            self.weight = (self.weight + new).saturating_sub(old);
        }
        self.index(id, at);
        self.touch(id);
        let renditions = self.presentations.get(&id).map_or(0, |p| p.renditions.len());
        Learnt { presentation: id, renditions, segments, rendition: Some(at), first }
    }

    fn replace(&mut self, manifest: &Url, digest: u64, mut renditions: Vec<Rendition>) -> Learnt {
        let before = self.by_manifest.get(manifest).copied();
        let known = before.and_then(|id| self.remove(id)).map_or_else(Vec::new, |p| p.renditions);
        let mut carried = vec![false; renditions.len()];
        for known in known {
            let found = renditions.iter_mut().zip(&mut carried);
            let mut same = found.filter(|(new, _)| new.name == known.name);
            let Some((new, carried)) = same.next() else { continue };
            // An index that was read does not pass again as long as a cache has it.
            let place = known.track.index_place();
            if place.is_some() && new.track.index_place() == place {
                new.track = known.track;
            } else if known.track.is_live() && matches!(new.name, Name::Id(_)) {
                // HLS has its own numbers (RFC 8216 §4.3.3.2).
                new.track.go_on_from(&known.track);
                *carried = true;
            }
        }
        numbers::alike(&mut renditions, &carried);
        self.insert(before, manifest.clone(), digest, renditions)
    }

    fn insert(
        &mut self,
        id: Option<PresentationId>,
        manifest: Url,
        digest: u64,
        renditions: Vec<Rendition>,
    ) -> Learnt {
        let first = id.is_none();
        let id = id.unwrap_or_else(|| {
            self.next_id += 1;
            PresentationId(self.next_id)
        });
        self.clock += 1;
        let names: usize = renditions.iter().map(|r| r.name.weight() + r.track.weight()).sum();
        let weight = size_of::<Presentation>() + 2 * manifest.as_str().len() + names;
        let presentation = Presentation {
            manifest: manifest.clone(),
            digest,
            variables: None,
            used: self.clock,
            renditions,
            weight,
        };
        let learnt = presentation.learnt(id, first);
        for (at, rendition) in presentation.renditions.iter().enumerate() {
            if let Name::Playlist(playlist) = &rendition.name
                && *playlist != manifest
            {
                self.by_playlist.insert(playlist.clone(), (id, at as u32));
            }
        }
        self.used.insert(self.clock, id);
        self.by_manifest.insert(manifest, id);
        self.weight += weight;
        self.presentations.insert(id, presentation);
        for at in 0..learnt.renditions {
            self.index(id, at as u32);
        }
        learnt
    }

    fn remove(&mut self, id: PresentationId) -> Option<Presentation> {
        let renditions = self.presentations.get(&id)?.renditions.len();
        for at in 0..renditions {
            self.unindex(id, at as u32);
        }
        let presentation = self.presentations.remove(&id)?;
        for rendition in &presentation.renditions {
            if let Name::Playlist(playlist) = &rendition.name
                && self.by_playlist.get(playlist).is_some_and(|(owner, _)| *owner == id)
            {
                self.by_playlist.remove(playlist);
            }
        }
        self.used.remove(&presentation.used);
        self.by_manifest.remove(&presentation.manifest);
        self.weight = self.weight.saturating_sub(presentation.weight);
        Some(presentation)
    }

    fn touch(&mut self, id: PresentationId) {
        if let Some(presentation) = self.presentations.get_mut(&id) {
            self.clock += 1;
            self.used.remove(&presentation.used);
            presentation.used = self.clock;
            self.used.insert(self.clock, id);
        }
    }

    /// Evicts until the limits hold, `keep` last of all.
    fn evict(&mut self, keep: PresentationId) {
        while self.presentations.len() > self.limits.presentations.max(1)
            || (self.weight > self.limits.bytes && self.presentations.len() > 1)
        {
            let Some(id) = self.used.values().copied().find(|id| *id != keep) else { return };
            self.remove(id);
        }
    }
}

impl Presentation {
    fn learnt(&self, id: PresentationId, first: bool) -> Learnt {
        Learnt {
            presentation: id,
            renditions: self.renditions.len(),
            segments: self.renditions.iter().map(|r| u64::from(r.track.len())).sum(),
            rendition: None,
            first,
        }
    }
}

impl Name {
    /// Bytes of memory, with its entry in the index.
    fn weight(&self) -> usize {
        size_of::<Rendition>()
            + match self {
                Self::Playlist(url) => 2 * url.as_str().len() + 64,
                Self::Id(id) => id.len(),
            }
    }
}

/// For indexes whose finds are verified, and to tell a changed manifest: a collision costs a
/// prefetch, no more.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn hash_frame(before: &str, after: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    before.hash(&mut hasher);
    after.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
