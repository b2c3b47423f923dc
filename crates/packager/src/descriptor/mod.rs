//! What a person writes about an asset: `NAME.headwater.json`.
//!
//! It names the files and tracks that are carried, their languages, names, roles and defaults, and
//! facts about the whole. It is read strictly: an unknown key is an error that says which one was
//! meant. Every message names file, line and key. `docs/descriptor.md` is the manual and
//! `docs/descriptor.schema.json` the schema; a test keeps them and this file together.

mod json_line;
#[cfg(feature = "http")]
mod strings;

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Deref;
use std::path::{Component, Path};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::choice::{Choice, Pick, SessionContent, SessionData};
use crate::role::Role;
use crate::track::TrackMedia;

use json_line::Step;

#[cfg(feature = "http")]
pub(crate) use strings::strings;

/// How a descriptor's file name ends; before it stands the asset's name.
pub const DESCRIPTOR_SUFFIX: &str = ".headwater.json";

/// The longest descriptor that is read, in bytes.
pub const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// The most entries in each list of a descriptor.
const MAX_ENTRIES: usize = 128;

/// What is wrong with a descriptor: `film.headwater.json:7: audio[0].langauge: unknown key …`.
///
/// It names the descriptor and the files in it as they are written there, so that it may be shown
/// to strangers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DescriptorError {
    file: String,
    line: usize,
    /// Empty where the text is no JSON.
    key: String,
    message: String,
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, message } = self;
        if key.is_empty() {
            write!(f, "{file}:{line}: {message}")
        } else {
            write!(f, "{file}:{line}: {key}: {message}")
        }
    }
}

/// A descriptor that holds together; whether its files exist is not known here.
#[derive(Debug, Clone)]
pub struct Descriptor {
    file: String,
    text: String,
    document: Document,
}

/// A file that a descriptor names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Relative to the descriptor's folder.
    pub path: String,
    /// The list that names it first.
    list: &'static str,
    /// Which entry of that list.
    number: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// For editors.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    #[serde(rename = "headwater")]
    _revision: Revision,
    #[serde(default)]
    target_duration_ms: Option<TargetDuration>,
    #[serde(default)]
    renditions: Vec<Object<Rendition>>,
    #[serde(default)]
    audio: Option<Vec<Object<Audio>>>,
    #[serde(default)]
    session_data: Vec<Object<Fact>>,
    #[serde(default)]
    segment_key: Option<Object<Key>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendition {
    file: FilePath,
    #[serde(default)]
    track: Option<NonZeroU32>,
    #[serde(default)]
    score: Option<NonZeroU16>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Audio {
    file: FilePath,
    #[serde(default)]
    track: Option<NonZeroU32>,
    #[serde(default)]
    language: Option<LanguageTag>,
    #[serde(default)]
    name: Option<Label>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    default: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    id: Label,
    #[serde(default)]
    value: Option<Label>,
    #[serde(default)]
    uri: Option<Label>,
    #[serde(default)]
    language: Option<LanguageTag>,
}

/// Where the key of encrypted segments is kept, and where players get it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    file: FilePath,
    #[serde(default)]
    uri: Option<KeyUri>,
}

/// An object, where serde would take its values as an array, too.
#[derive(Debug, Clone)]
struct Object<T>(T);

/// The one revision of the format that there is.
#[derive(Debug, Clone)]
struct Revision;

/// A path below the descriptor's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FilePath(String);

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
struct TargetDuration(u32);

/// A BCP 47 tag by its shape (RFC 5646 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LanguageTag(String);

/// A text that people or players read.
#[derive(Debug, Clone)]
struct Label(String);

/// A URI, absolute or relative to playlists, by its characters (RFC 3986 §2).
#[derive(Debug, Clone)]
struct KeyUri(String);

impl Descriptor {
    /// Reads the text of a descriptor called `file`, of at most [`MAX_DESCRIPTOR_BYTES`].
    ///
    /// # Errors
    /// [`DescriptorError`] for the first thing that is wrong.
    pub fn parse(file: &str, text: String) -> Result<Self, DescriptorError> {
        if text.len() as u64 > MAX_DESCRIPTOR_BYTES {
            let message = format!("it is longer than {MAX_DESCRIPTOR_BYTES} bytes");
            return Err(DescriptorError::whole(file, message));
        }
        let mut json = serde_json::Deserializer::from_str(&text);
        let document = serde_path_to_error::deserialize::<_, Object<Document>>(&mut json)
            .map_err(|error| DescriptorError::of_serde(file, &error))?;
        json.end().map_err(|error| DescriptorError {
            file: file.to_owned(),
            line: error.line(),
            key: String::new(),
            message: bare(&error),
        })?;
        let descriptor = Self { file: file.to_owned(), text, document: document.0 };
        descriptor.check()?;
        Ok(descriptor)
    }

    /// The files, each once, in the order of the sources that [`choice`](Self::choice) counts.
    pub fn files(&self) -> Vec<Named> {
        let mut files: Vec<Named> = Vec::new();
        for (list, number, path) in self.entries() {
            if files.iter().all(|named| named.path != path.0) {
                files.push(Named { path: path.0.clone(), list, number });
            }
        }
        files
    }

    /// What it decides, over the sources of [`files`](Self::files).
    pub fn choice(&self) -> Choice {
        let files = self.files();
        let source = |path: &FilePath| {
            files.iter().position(|named| named.path == path.0).unwrap_or_default()
        };
        let pictures = self.document.renditions.iter().map(|rendition| Pick {
            source: source(&rendition.file),
            track: rendition.track.map(NonZeroU32::get),
            score: rendition.score,
            ..Pick::default()
        });
        let sounds = self.document.audio.as_ref().map(|sounds| {
            sounds
                .iter()
                .map(|audio| Pick {
                    source: source(&audio.file),
                    track: audio.track.map(NonZeroU32::get),
                    language: audio.language.clone().map(|tag| tag.0),
                    name: audio.name.clone().map(|name| name.0),
                    roles: audio.roles.clone(),
                    default: audio.default,
                    score: None,
                })
                .collect()
        });
        let facts = self.document.session_data.iter().filter_map(|fact| {
            let content = match (&fact.value, &fact.uri) {
                (Some(value), _) => SessionContent::Value(value.0.clone()),
                (None, uri) => SessionContent::Uri(uri.as_ref()?.0.clone()),
            };
            let mut data = SessionData::new(fact.id.0.clone(), content);
            data.language = fact.language.clone().map(|tag| tag.0);
            Some(data)
        });
        Choice { pictures: Some(pictures.collect()), sounds, session_data: facts.collect() }
    }

    /// The duration that segments aim at, where it says so.
    pub fn target_duration(&self) -> Option<Duration> {
        self.document.target_duration_ms.map(|target| Duration::from_millis(target.0.into()))
    }

    /// The file of the segments' key, relative to its folder, and where players get the key.
    pub fn segment_key(&self) -> Option<(&str, Option<&str>)> {
        let key = self.document.segment_key.as_ref()?;
        Some((key.file.0.as_str(), key.uri.as_ref().map(|uri| uri.0.as_str())))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with a file that it names.
    pub fn bad_file(&self, named: &Named, message: &str) -> DescriptorError {
        let key = format!("{}[{}].file", named.list, named.number);
        let path = [Step::Key(named.list), Step::Item(named.number), Step::Key("file")];
        self.error(key, &path, message.to_owned())
    }

    /// What is wrong with the file of the segments' key.
    pub fn bad_key(&self, message: String) -> DescriptorError {
        let path = [Step::Key("segment_key"), Step::Key("file")];
        self.error("segment_key.file".to_owned(), &path, message)
    }

    /// What is wrong with a track that it picks.
    pub fn bad_pick(&self, media: TrackMedia, number: usize, why: &str) -> DescriptorError {
        let (list, file) = match media {
            TrackMedia::Video => {
                ("renditions", self.document.renditions.get(number).map(|entry| &entry.file))
            }
            TrackMedia::Audio => {
                let sounds = self.document.audio.as_deref().unwrap_or_default();
                ("audio", sounds.get(number).map(|entry| &entry.file))
            }
        };
        let file = file.map_or("", |file| file.0.as_str());
        let path = [Step::Key(list), Step::Item(number), Step::Key("track")];
        self.error(format!("{list}[{number}].track"), &path, format!("{file}: {why}"))
    }

    fn entries(&self) -> impl Iterator<Item = (&'static str, usize, &FilePath)> {
        let pictures = self.document.renditions.iter().enumerate();
        let sounds = self.document.audio.iter().flatten().enumerate();
        pictures
            .map(|(number, entry)| ("renditions", number, &entry.file))
            .chain(sounds.map(|(number, entry)| ("audio", number, &entry.file)))
    }

    /// What no type says.
    fn check(&self) -> Result<(), DescriptorError> {
        let Document { renditions, audio, session_data, .. } = &self.document;
        let sounds = audio.as_deref().unwrap_or_default();
        let lists = [
            ("renditions", renditions.len()),
            ("audio", sounds.len()),
            ("session_data", session_data.len()),
        ];
        for (list, len) in lists {
            if len > MAX_ENTRIES {
                return Err(self.error(
                    list.to_owned(),
                    &[Step::Key(list)],
                    format!("it has {len} entries, more than {MAX_ENTRIES}"),
                ));
            }
        }
        if renditions.is_empty() && sounds.is_empty() {
            return Err(self.error(
                String::new(),
                &[],
                "it names neither renditions nor audio".to_owned(),
            ));
        }
        let mut defaults = sounds.iter().enumerate().filter(|(_, audio)| audio.default);
        if let (Some((first, _)), Some((second, _))) = (defaults.next(), defaults.next()) {
            return Err(self.error(
                format!("audio[{second}].default"),
                &[Step::Key("audio"), Step::Item(second), Step::Key("default")],
                format!("audio[{first}] is the default already"),
            ));
        }
        let mut known = BTreeSet::new();
        for (number, fact) in session_data.iter().enumerate() {
            let wrong = |message: &str| {
                let path = [Step::Key("session_data"), Step::Item(number)];
                self.error(format!("session_data[{number}]"), &path, message.to_owned())
            };
            if fact.value.is_some() == fact.uri.is_some() {
                return Err(wrong("it needs either `value` or `uri`"));
            }
            // RFC 8216bis §4.4.6.4: one of each id and language.
            if !known.insert((&fact.id.0, &fact.language)) {
                return Err(wrong("an entry before it has the same id and language"));
            }
        }
        Ok(())
    }

    fn error(&self, key: String, path: &[Step<'_>], message: String) -> DescriptorError {
        let line = json_line::line(&self.text, path);
        DescriptorError { file: self.file.clone(), line, key, message }
    }
}

impl DescriptorError {
    /// What is wrong with a descriptor before a line of it is looked at.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 1, key: String::new(), message: message.into() }
    }

    fn of_serde(file: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let inner = error.inner();
        let key = match error.path().to_string() {
            // What it says where it does not know.
            path if path == "." => String::new(),
            path => path.trim_end_matches('?').trim_end_matches('.').to_owned(),
        };
        let said = bare(inner);
        let message = unknown(&said).unwrap_or(said);
        Self { file: file.to_owned(), line: inner.line().max(1), key, message }
    }
}

/// What serde_json says, without the place: that stands in front.
fn bare(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.rfind(" at line ") {
        Some(end) => said.get(..end).unwrap_or_default().to_owned(),
        None => said,
    }
}

/// A better word for an unknown key or value: which known one is near.
fn unknown(said: &str) -> Option<String> {
    let (what, rest) = [("unknown field ", "key"), ("unknown variant ", "value")]
        .into_iter()
        .find_map(|(start, what)| Some((what, said.strip_prefix(start)?)))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let given = words.next()?;
    let known: Vec<&str> = words.collect();
    let near = known
        .iter()
        .map(|word| (strsim::osa_distance(given, word), *word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 3))
        .min();
    Some(match near {
        Some((_, word)) => format!("unknown {what} `{given}`; did you mean `{word}`?"),
        None => format!("unknown {what} `{given}`; known are {}", known.join(", ")),
    })
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(members))
            }
        }

        json.deserialize_map(Members(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        match u64::deserialize(json)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!("revision {other} is not known here, only 1"))),
        }
    }
}

impl<'de> Deserialize<'de> for TargetDuration {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        match u32::deserialize(json)? {
            millis @ 100..=3_600_000 => Ok(Self(millis)),
            _ => Err(de::Error::custom("it must lie between 100 and 3600000 milliseconds")),
        }
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let path = String::deserialize(json)?;
        let wrong = |why| Err(de::Error::custom(why));
        if path.is_empty() || path.len() > 1_024 {
            return wrong("a path has 1 to 1024 bytes");
        }
        if path.contains(|c: char| c == '\\' || c.is_control()) {
            return wrong("a path holds no backslash and no control character");
        }
        if Path::new(&path).is_absolute() {
            return wrong("a path is relative to the descriptor's folder");
        }
        let inside = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        // Components pass over `a/./b` and `a//b`: one file has one spelling here.
        let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || !plain {
            return wrong("a path stays inside the descriptor's folder, without `.` and `..`");
        }
        Ok(Self(path))
    }
}

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let tag = String::deserialize(json)?;
        let mut parts = tag.split('-');
        let first = parts.next().unwrap_or_default();
        let well_formed = (2..=8).contains(&first.len())
            && first.bytes().all(|byte| byte.is_ascii_alphabetic())
            && tag.len() <= 64
            && parts.all(|part| {
                (1..=8).contains(&part.len())
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if well_formed {
            Ok(Self(tag))
        } else {
            Err(de::Error::custom(format!("`{tag}` is no language tag such as `en` or `pt-BR`")))
        }
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let text = String::deserialize(json)?;
        if text.trim().is_empty() || text.len() > 4_096 {
            return Err(de::Error::custom("it must have 1 to 4096 bytes that are not all blank"));
        }
        // RFC 8216bis §4.2: a quoted string has neither.
        if text.contains(|c: char| c == '"' || c.is_control()) {
            return Err(de::Error::custom(
                "it must hold no quotation mark and no control character",
            ));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for KeyUri {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let uri = String::deserialize(json)?;
        let may_stand =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
        if (1..=4_096).contains(&uri.len()) && uri.bytes().all(may_stand) {
            Ok(Self(uri))
        } else {
            Err(de::Error::custom(
                "it must be a URI: 1 to 4096 letters, digits and -._~:/?#[]@!$&'()*+,;=%",
            ))
        }
    }
}
