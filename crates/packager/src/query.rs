//! The query parameters of manifests, read in one place: text → [`Selection`], total.
//!
//! | parameter | form | does |
//! |---|---|---|
//! | `min_bitrate`, `max_bitrate` | whole number of bits per second | keeps pictures whose own peak rate lies between; sounds where there is no picture |
//! | `min_height`, `max_height` | whole number of pixels | keeps pictures displayed so high |
//! | `codecs` | names from [`Coding`](crate::Coding), with commas | keeps these codings; a kind of which none is named stays whole |
//! | `container` | a name from [`Container`] | how HLS segments are made |
//! | `start` | seconds, with up to three decimals; below zero from the end | `EXT-X-START` (HLS) |
//! | `iframes` | `0` or `1` | whether trick play is offered |
//! | `define` | up to 8 names, with commas | `EXT-X-DEFINE:QUERYPARAM`: players copy these parameters into the URLs that playlists name (HLS) |
//!
//! Names that are not in this table are passed over: they belong to caches, access control and
//! logs. A known name with a bad value is an error that says what was expected.

use std::collections::BTreeSet;
use std::fmt;

use crate::codec::Coding;
use crate::download::Wish;
use crate::selection::{Container, Selection};
use crate::track::{TrackId, TrackMedia};

/// A known parameter with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {parameter} must be {expected}, not {}", Shown(.value))]
#[non_exhaustive]
pub struct QueryError {
    /// The parameter's name.
    pub parameter: &'static str,
    /// What its value may be, in words.
    pub expected: &'static str,
    /// What it was, cut to [`MAX_SHOWN`](Self::MAX_SHOWN) characters.
    pub value: String,
}

impl QueryError {
    /// The most characters of a bad value that an error repeats.
    pub const MAX_SHOWN: usize = 64;

    fn new(parameter: &'static str, expected: &'static str, value: &str) -> Self {
        let value = value.chars().take(Self::MAX_SHOWN).collect();
        Self { parameter, expected, value }
    }
}

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("empty") } else { write!(f, "{:?}", self.0) }
    }
}

impl Selection {
    /// Reads a URL's query, without its question mark.
    ///
    /// # Errors
    /// [`QueryError`] for the first parameter, in the query's order, that is known and has a bad
    /// value or comes twice; then for bounds that exclude each other.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let pairs: Vec<(Option<String>, &str)> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), value))
            .collect();
        let mut selection = Self::default();
        let mut seen = BTreeSet::new();
        for (name, raw) in &pairs {
            let Some(name) =
                name.as_deref().and_then(|name| NAMES.iter().find(|own| **own == name))
            else {
                continue;
            };
            let value = decode(raw).ok_or_else(|| {
                QueryError::new(name, "a value with whole percent escapes in UTF-8", raw)
            })?;
            if !seen.insert(*name) {
                return Err(QueryError::new(name, "given once", &value));
            }
            selection.set(name, &value)?;
        }
        for defined in &selection.define {
            let given = |(name, value): &(Option<String>, &str)| {
                name.as_deref() == Some(defined) && !value.is_empty()
            };
            // RFC 8216bis §4.4.2.3: players refuse a playlist whose URL lacks the parameter.
            if !pairs.iter().any(given) {
                let expected = "names of parameters that have a value in the same query";
                return Err(QueryError::new("define", expected, defined));
            }
        }
        selection.check_bounds()?;
        Ok(selection)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), QueryError> {
        let bitrate = "a whole number of bits per second";
        let height = "a whole number of pixels from 1 to 65535";
        match name {
            "min_bitrate" => self.min_bitrate = Some(number(name, bitrate, value)?),
            "max_bitrate" => self.max_bitrate = Some(number(name, bitrate, value)?),
            "min_height" => self.min_height = Some(pixels(name, height, value)?),
            "max_height" => self.max_height = Some(pixels(name, height, value)?),
            "codecs" => self.codecs = codings(name, value)?,
            "container" => {
                self.container = CONTAINERS
                    .into_iter()
                    .find(|container| container.name() == value)
                    .ok_or_else(|| QueryError::new(name, "cmaf, muxed or ts", value))?;
            }
            "start" => self.start_millis = Some(millis(name, value)?),
            "iframes" => {
                self.without_iframes = match value {
                    "0" => true,
                    "1" => false,
                    _ => return Err(QueryError::new(name, "0 or 1", value)),
                };
            }
            "define" => self.define = names(name, value)?,
            _ => {}
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), QueryError> {
        if let (Some(least), Some(most)) = (self.min_bitrate, self.max_bitrate)
            && least > most
        {
            let expected = "at most max_bitrate";
            return Err(QueryError::new("min_bitrate", expected, &least.to_string()));
        }
        if let (Some(least), Some(most)) = (self.min_height, self.max_height)
            && least > most
        {
            return Err(QueryError::new("min_height", "at most max_height", &least.to_string()));
        }
        Ok(())
    }
}

impl Wish {
    /// The parameters of a download, `video` and `audio`: a track of that kind, or `none`; what is not
    /// given is the best. Others are passed over.
    ///
    /// # Errors
    /// [`QueryError`] for the first of the two that has a bad value or comes twice, and where both are
    /// `none`.
    pub fn of_query(query: &str) -> Result<(Self, Self), QueryError> {
        let (mut video, mut audio) = (None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, media, wish, expected) = match decode(name).as_deref() {
                Some("video") => ("video", TrackMedia::Video, &mut video, "v1, v2, … or none"),
                Some("audio") => ("audio", TrackMedia::Audio, &mut audio, "a1, a2, … or none"),
                _ => continue,
            };
            if wish.is_some() {
                return Err(QueryError::new(name, "given once", value));
            }
            *wish = Some(match (value, value.parse::<TrackId>()) {
                ("none", _) => Wish::Without,
                (_, Ok(track)) if track.media() == media => Wish::Track(track),
                _ => return Err(QueryError::new(name, expected, value)),
            });
        }
        match (video.unwrap_or_default(), audio.unwrap_or_default()) {
            (Wish::Without, Wish::Without) => {
                Err(QueryError::new("audio", "a track where video is none", "none"))
            }
            wishes => Ok(wishes),
        }
    }
}

fn number(name: &'static str, expected: &'static str, value: &str) -> Result<u64, QueryError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| QueryError::new(name, expected, value))
}

fn pixels(name: &'static str, expected: &'static str, value: &str) -> Result<u32, QueryError> {
    match u16::try_from(number(name, expected, value)?) {
        Ok(pixels) if pixels > 0 => Ok(u32::from(pixels)),
        _ => Err(QueryError::new(name, expected, value)),
    }
}

fn codings(name: &'static str, value: &str) -> Result<BTreeSet<Coding>, QueryError> {
    let expected =
        "a list, with commas, of avc, hevc, av1, vp9, aac, ac3, eac3, opus, flac and mp3";
    let coding = |one: &str| Coding::ALL.into_iter().find(|coding| coding.name() == one);
    let all: Option<BTreeSet<_>> = value.split(',').map(coding).collect();
    all.ok_or_else(|| QueryError::new(name, expected, value))
}

/// Up to ten million seconds (115 days) on either side of zero.
fn millis(name: &'static str, value: &str) -> Result<i64, QueryError> {
    let bad = || {
        let expected = "seconds with up to three decimals, such as 90, 12.5 or -30";
        QueryError::new(name, expected, value)
    };
    let (negative, magnitude) = match value.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, value),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 7) || !digits(fraction, 3) {
        return Err(bad());
    }
    let whole: i64 = whole.parse().map_err(|_| bad())?;
    let fraction: i64 = format!("{fraction:0<3}").parse().map_err(|_| bad())?;
    let millis = whole * 1_000 + fraction;
    Ok(if negative { -millis } else { millis })
}

fn names(name: &'static str, value: &str) -> Result<Vec<String>, QueryError> {
    let expected =
        "up to 8 names of other parameters, with commas, each of 1 to 64 of A-Z a-z 0-9 - _";
    let usable = |one: &&str| {
        (1..=64).contains(&one.len())
            && one.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !NAMES.contains(one)
    };
    let all: BTreeSet<&str> = value.split(',').collect();
    if all.len() > 8 || !all.iter().all(usable) {
        return Err(QueryError::new(name, expected, value));
    }
    Ok(all.into_iter().map(str::to_owned).collect())
}

/// Percent-decoding (RFC 3986 §2.1); `None` where an escape is broken or the result is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

const NAMES: [&str; 9] = [
    "codecs",
    "container",
    "define",
    "iframes",
    "max_bitrate",
    "max_height",
    "min_bitrate",
    "min_height",
    "start",
];

const CONTAINERS: [Container; 3] = [Container::Cmaf, Container::Muxed, Container::Ts];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn canonical(query: &str) -> String {
        Selection::parse(query).unwrap().to_string()
    }

    #[test]
    fn what_is_known_is_read_and_the_rest_passed_over() {
        assert_eq!(canonical(""), "");
        assert_eq!(canonical("utm_source=x&&=&%zz=1&Max_Height=9"), "");
        assert_eq!(
            canonical("start=-30.50&max_height=0720&codecs=aac%2Cavc,avc&token=%zz"),
            "codecs=avc,aac&max_height=720&start=-30.5"
        );
        assert_eq!(canonical("iframes=1&container=cmaf"), "");
        assert_eq!(canonical("container=ts"), "container=ts");
        assert_eq!(
            canonical("token=a&define=token,uid&uid=%20&container=muxed&iframes=0"),
            "container=muxed&define=token,uid&iframes=0"
        );
    }

    #[test]
    fn bad_values_are_named() {
        for (query, words) in [
            (
                "max_height=tall",
                "max_height must be a whole number of pixels from 1 to 65535, not \"tall\"",
            ),
            (
                "max_height=",
                "max_height must be a whole number of pixels from 1 to 65535, not empty",
            ),
            ("min_height=0", "min_height must be"),
            ("min_height=65536", "min_height must be"),
            ("min_bitrate=+1", "min_bitrate must be a whole number of bits per second"),
            ("max_bitrate=99999999999999999999", "max_bitrate must be"),
            ("codecs=avc,vvc", "codecs must be a list"),
            ("codecs=", "codecs must be a list"),
            ("container=mkv", "container must be cmaf, muxed or ts, not \"mkv\""),
            ("start=1e3", "start must be seconds"),
            ("start=1.", "start must be seconds"),
            ("start=--1", "start must be seconds"),
            ("start=1.2345", "start must be seconds"),
            ("iframes=yes", "iframes must be 0 or 1"),
            ("define=to$ken", "define must be up to 8 names"),
            ("define=start&start=1", "define must be up to 8 names"),
            ("define=token", "define must be names of parameters that have a value"),
            ("define=token&token=", "define must be names of parameters that have a value"),
            ("start=1&start=1", "start must be given once"),
            ("max_height=%f", "max_height must be a value with whole percent escapes"),
            ("min_height=3&max_height=2", "min_height must be at most max_height, not \"3\""),
            ("min_bitrate=3&max_bitrate=2", "min_bitrate must be at most max_bitrate"),
        ] {
            let error = Selection::parse(query).unwrap_err().to_string();
            assert!(error.contains(words), "{query}: {error}");
        }
        let long = format!("start={}", "x".repeat(10_000));
        assert!(Selection::parse(&long).unwrap_err().to_string().len() < 300);
    }

    fn selections() -> impl Strategy<Value = Selection> {
        let bound = |most: u64| proptest::option::of((0..=most, 0..=most));
        (
            bound(u64::MAX),
            bound(65_534),
            proptest::sample::subsequence(Coding::ALL.to_vec(), 0..=10),
            proptest::option::of(-9_999_999_999..=9_999_999_999_i64),
            any::<(bool, bool)>(),
        )
            .prop_map(
                |(bitrates, heights, codecs, start_millis, (muxed, without_iframes))| {
                    let ends = |(a, b): (u64, u64)| (a.min(b), a.max(b));
                    let pixels = |height: u64| u32::try_from(height + 1).unwrap();
                    Selection {
                        min_bitrate: bitrates.map(|both| ends(both).0),
                        max_bitrate: bitrates.map(|both| ends(both).1),
                        min_height: heights.map(|both| pixels(ends(both).0)),
                        max_height: heights.map(|both| pixels(ends(both).1)),
                        codecs: codecs.into_iter().collect(),
                        container: if muxed { Container::Muxed } else { Container::Cmaf },
                        start_millis,
                        without_iframes,
                        define: Vec::new(),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn every_selection_has_one_spelling(selection in selections()) {
            prop_assert_eq!(Selection::parse(&selection.to_string()), Ok(selection));
        }

        #[test]
        fn no_query_is_too_much(query in "\\PC{0,80}") {
            if let Ok(selection) = Selection::parse(&query) {
                // Names that are defined need their values beside them.
                if selection.define.is_empty() {
                    prop_assert_eq!(Selection::parse(&selection.to_string()), Ok(selection));
                }
            }
        }

        #[test]
        fn known_names_with_any_value_are_read_or_refused(
            name in proptest::sample::select(NAMES.to_vec()), value in "[ -~]{0,12}",
        ) {
            if let Err(error) = Selection::parse(&format!("{name}={value}")) {
                prop_assert!(NAMES.contains(&error.parameter));
            }
        }
    }
}
