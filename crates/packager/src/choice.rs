//! What an operator decides about an asset beyond what its sources say: which tracks are carried,
//! what they are called, and what the presentation says of itself.
//!
//! The default decides nothing: the sources speak for themselves.

use std::num::NonZeroU16;

use crate::identity::Fnv;
use crate::role::Role;

/// Which tracks of the sources an asset carries, and what is said of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Choice {
    /// The pictures in order; `None` takes one of each source.
    pub pictures: Option<Vec<Pick>>,
    /// The sounds in order; `None` takes each once, however many sources repeat it.
    pub sounds: Option<Vec<Pick>>,
    /// What the presentation says of itself (HLS `EXT-X-SESSION-DATA`).
    pub session_data: Vec<SessionData>,
}

/// One track that is carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Pick {
    /// Which source, as counted by [`Media::sources`](crate::Media::sources).
    pub source: usize,
    /// Its number (track_ID) in that source; `None` takes the first of its kind that is enabled, or
    /// the first.
    pub track: Option<u32>,
    /// BCP 47 tag, in place of what the source says; `und` says that it is not known.
    pub language: Option<String>,
    /// What people read, in place of what the source says.
    pub name: Option<String>,
    /// What the track is for.
    pub roles: Vec<Role>,
    /// How much a player should prefer a picture to others that it can play, more is better (HLS
    /// `SCORE`, RFC 8216bis §4.4.6.2). Said only where all pictures that are shown have one.
    pub score: Option<NonZeroU16>,
    /// Whether players start with it. Where no pick says so, the first enabled one is.
    pub default: bool,
}

/// One fact about the whole presentation (RFC 8216bis §4.4.6.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SessionData {
    /// What it is about, in reverse DNS form: `com.example.title`.
    pub id: String,
    /// What it says.
    pub content: SessionContent,
    /// BCP 47 tag of the value.
    pub language: Option<String>,
}

/// What a [`SessionData`] says, or where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionContent {
    /// The value itself.
    Value(String),
    /// Where the value is, as JSON.
    Uri(String),
}

impl SessionData {
    /// A fact that is the same in every language.
    pub fn new(id: impl Into<String>, content: SessionContent) -> Self {
        Self { id: id.into(), content, language: None }
    }
}

impl Choice {
    /// Adds what decides the bytes of init and media segments: which tracks, in which order, in
    /// which language. A choice of nothing adds nothing, so that it is no new version.
    pub(crate) fn mix_into(&self, hash: &mut Fnv) {
        for (kind, picks) in [("video", &self.pictures), ("audio", &self.sounds)] {
            let Some(picks) = picks else { continue };
            hash.field(kind.as_bytes());
            hash.field(&(picks.len() as u64).to_be_bytes());
            for pick in picks {
                hash.field(&(pick.source as u64).to_be_bytes());
                hash.field(&pick.track.unwrap_or(0).to_be_bytes());
                hash.field(pick.language.as_deref().unwrap_or_default().as_bytes());
            }
        }
    }

    /// A hash over what only manifests and reports show; 0 where nothing is chosen.
    pub(crate) fn labels(&self) -> u64 {
        if *self == Self::default() {
            return 0;
        }
        let mut hash = Fnv::new();
        for picks in [&self.pictures, &self.sounds] {
            for pick in picks.iter().flatten() {
                hash.field(pick.name.as_deref().unwrap_or_default().as_bytes());
                hash.field(&[u8::from(pick.default), pick.roles.len() as u8]);
                if let Some(score) = pick.score {
                    hash.field(&score.get().to_be_bytes());
                }
                for role in &pick.roles {
                    hash.field(role.dash().as_bytes());
                }
            }
        }
        for data in &self.session_data {
            let (kind, content) = match &data.content {
                SessionContent::Value(value) => (0, value),
                SessionContent::Uri(uri) => (1, uri),
            };
            hash.field(data.id.as_bytes());
            hash.field(&[kind]);
            hash.field(content.as_bytes());
            hash.field(data.language.as_deref().unwrap_or_default().as_bytes());
        }
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(choice: &Choice) -> u64 {
        let mut hash = Fnv::new();
        choice.mix_into(&mut hash);
        hash.finish()
    }

    #[test]
    fn labels_are_no_new_version_but_other_tracks_are() {
        let named = |name: &str, track| {
            let pick = Pick { name: Some(name.to_owned()), track, ..Pick::default() };
            Choice { sounds: Some(vec![pick]), ..Choice::default() }
        };
        let (a, b, c) = (named("a", None), named("b", None), named("a", Some(2)));
        assert_eq!(version(&a), version(&b));
        assert_ne!(a.labels(), b.labels());
        assert_ne!(version(&a), version(&c));
        assert_eq!(version(&Choice::default()), Fnv::new().finish());
        assert_eq!(Choice::default().labels(), 0);
    }
}
