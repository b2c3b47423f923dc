//! What was left out or done differently, and why: for people, beside the presentation.

use std::fmt;

use crate::track::TrackMedia;

/// Notes about an asset, in the order they were made; bounded by the number of tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Report {
    notes: Vec<Note>,
}

/// One remark.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Note {
    /// Whether something is missing from the output because of it.
    pub kind: NoteKind,
    /// Which source file of the asset, counted from 0; set once sources are put together.
    pub source: Option<usize>,
    /// The source's track number (track_ID).
    pub track: Option<u32>,
    /// What the track holds, where that is known.
    pub media: Option<TrackMedia>,
    /// One sentence without a full stop.
    pub message: String,
}

/// How a note bears on the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NoteKind {
    /// A track or rendition is left out.
    Skipped,
    /// Carried, but not exactly as the source says.
    Warning,
    /// Something a person may want to know.
    Info,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// The notes.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Whether a track with pictures was left out.
    pub fn lacks_picture(&self) -> bool {
        self.notes
            .iter()
            .any(|note| note.kind == NoteKind::Skipped && note.media == Some(TrackMedia::Video))
    }

    pub(crate) fn skip(&mut self, track: u32, message: impl Into<String>) {
        self.push(NoteKind::Skipped, Some(track), message.into());
    }

    /// Leaves out a track of which it is known what it holds.
    pub(crate) fn skip_media(&mut self, track: u32, media: Option<TrackMedia>, message: &str) {
        self.push(NoteKind::Skipped, Some(track), message.to_owned());
        if let Some(note) = self.notes.last_mut() {
            note.media = media;
        }
    }

    pub(crate) fn skip_source(&mut self, message: impl Into<String>) {
        self.push(NoteKind::Skipped, None, message.into());
    }

    pub(crate) fn warn(&mut self, track: Option<u32>, message: impl Into<String>) {
        self.push(NoteKind::Warning, track, message.into());
    }

    pub(crate) fn info(&mut self, track: Option<u32>, message: impl Into<String>) {
        self.push(NoteKind::Info, track, message.into());
    }

    /// Adds the notes of one source of an asset.
    pub(crate) fn absorb(&mut self, source: usize, other: &Report) {
        self.notes
            .extend(other.notes.iter().map(|note| Note { source: Some(source), ..note.clone() }));
    }

    /// Marks the newest note as about one source.
    pub(crate) fn about(&mut self, source: usize) {
        if let Some(note) = self.notes.last_mut() {
            note.source = Some(source);
        }
    }

    fn push(&mut self, kind: NoteKind, track: Option<u32>, message: String) {
        self.notes.push(Note { kind, source: None, track, media: None, message });
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.source {
            write!(f, "source {}: ", source + 1)?;
        }
        if let Some(track) = self.track {
            write!(f, "track {track}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, note) in self.notes.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            note.fmt(f)?;
        }
        Ok(())
    }
}
