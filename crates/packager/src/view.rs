//! An asset as one selection shows it: what the writers of playlists and MPDs look at.

use crate::codec::Protocol;
use crate::media::Media;
use crate::presentation::Absent;
use crate::rates;
use crate::selection::{Container, Selection};
use crate::track::Track;

/// An asset, and which of its tracks are shown.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    pub(crate) media: &'a Media,
    pub(crate) selection: &'a Selection,
    /// In the asset's order; never empty where the asset has tracks.
    pub(crate) tracks: Vec<&'a Track>,
    /// The target duration of all media playlists in seconds, whatever is shown of them: a
    /// playlist is the same text in every selection.
    pub(crate) target: u64,
}

impl<'a> View<'a> {
    /// # Errors
    /// Where nothing of one kind is left that the asset has.
    pub(crate) fn new(media: &'a Media, selection: &'a Selection) -> Result<Self, Absent> {
        let tracks = selection.tracks(media)?;
        Ok(Self { media, selection, tracks, target: rates::target_duration(media) })
    }

    /// How segments are made: as the selection says, unless they are encrypted.
    pub(crate) fn container(&self) -> Container {
        if self.media.segment_key().is_some() { Container::Ts } else { self.selection.container }
    }

    /// The same of the tracks that have a place in MPEG-TS; `None` where none has.
    pub(crate) fn in_ts(&self) -> Option<Self> {
        let mut view = self.clone();
        view.tracks.retain(|track| self.media.is_in_ts(track.id));
        if view.tracks.is_empty() { None } else { Some(view) }
    }

    /// What of it a protocol carries; `None` where that is nothing.
    pub(crate) fn carried_by(mut self, protocol: Protocol) -> Option<Self> {
        self.tracks.retain(|track| track.is_carried_by(protocol));
        (!self.tracks.is_empty()).then_some(self)
    }

    pub(crate) fn pictures(&self) -> impl Iterator<Item = &'a Track> {
        self.tracks.iter().copied().filter(|track| track.is_video())
    }

    pub(crate) fn sounds(&self) -> impl Iterator<Item = &'a Track> {
        self.tracks.iter().copied().filter(|track| track.is_audio())
    }
}
