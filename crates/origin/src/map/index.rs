//! The index of a segment map: by which URLs a rendition is found.

use super::{Position, PresentationId, SegmentMap, hash, hash_frame};

/// Renditions that may share one frame (`/a/v*.ts` is that of `v1001.ts` and of `v2001.ts`).
const MAX_FRAME_SHARERS: usize = 16;

impl SegmentMap {
    /// Enters a rendition.
    pub(super) fn index(&mut self, id: PresentationId, at: u32) {
        let Some(presentation) = self.presentations.get(&id) else { return };
        let Some(rendition) = presentation.renditions.get(at as usize) else { return };
        for pattern in rendition.track.patterns() {
            let (before, after) = pattern.frame();
            let sharers = self.framed.entry(hash_frame(before, after)).or_default();
            if !sharers.contains(&(id, at)) {
                if sharers.len() >= MAX_FRAME_SHARERS {
                    sharers.remove(0);
                }
                sharers.push((id, at));
            }
        }
        for preload in rendition.track.live().into_iter().flat_map(|live| &live.preloads) {
            self.preloads.insert(preload.url.clone(), (id, at));
        }
        for file in rendition.track.part_files() {
            self.parts.insert(hash(file.as_str().as_bytes()), (id, at));
        }
        if let Some(index) = rendition.track.unread() {
            self.indexes.insert(index.url.clone(), (id, at));
        }
        for init in rendition.track.init_files() {
            self.inits.insert(init.clone(), (id, at));
        }
        for (index, url) in rendition.track.listed() {
            let position = Position { presentation: id, rendition: at, index };
            // A file that is met twice is found where it first stands.
            let slot = self.listed.entry(hash(url.as_str().as_bytes())).or_insert(position);
            if (slot.presentation, slot.rendition) != (id, at) {
                *slot = position;
            }
        }
    }

    /// Takes out what is a rendition's; what another has entered since stays.
    pub(super) fn unindex(&mut self, id: PresentationId, at: u32) {
        let Some(presentation) = self.presentations.get(&id) else { return };
        let Some(rendition) = presentation.renditions.get(at as usize) else { return };
        for pattern in rendition.track.patterns() {
            let (before, after) = pattern.frame();
            let key = hash_frame(before, after);
            if let Some(sharers) = self.framed.get_mut(&key) {
                sharers.retain(|sharer| *sharer != (id, at));
                if sharers.is_empty() {
                    self.framed.remove(&key);
                }
            }
        }
        for preload in rendition.track.live().into_iter().flat_map(|live| &live.preloads) {
            if self.preloads.get(&preload.url) == Some(&(id, at)) {
                self.preloads.remove(&preload.url);
            }
        }
        for file in rendition.track.part_files() {
            let key = hash(file.as_str().as_bytes());
            if self.parts.get(&key) == Some(&(id, at)) {
                self.parts.remove(&key);
            }
        }
        if let Some(index) = rendition.track.unread()
            && self.indexes.get(&index.url) == Some(&(id, at))
        {
            self.indexes.remove(&index.url);
        }
        for init in rendition.track.init_files() {
            if self.inits.get(init) == Some(&(id, at)) {
                self.inits.remove(init);
            }
        }
        for (_, url) in rendition.track.listed() {
            let key = hash(url.as_str().as_bytes());
            let owner = self.listed.get(&key).map(|p| (p.presentation, p.rendition));
            if owner == Some((id, at)) {
                self.listed.remove(&key);
            }
        }
    }
}
