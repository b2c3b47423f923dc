//! What a player says of itself with a request: Common Media Client Data, version 1 (CTA-5004) and
//! version 2 (CTA-5004-A), in the query parameter `CMCD` or in four request fields.
//!
//! Both versions are a dictionary of structured fields (RFC 9651 §3.2): version 1 has items only,
//! version 2 has lists of items with parameters too. [`Cmcd::read`] takes one such dictionary, and
//! promises that
//!
//! - it is read whole or not at all: one byte that does not fit, and nothing is believed;
//! - a key that is not known is passed over, one whose value is of the wrong type is an error;
//! - it takes no more than [`MAX_BYTES`] and keeps no more than [`MAX_NEXT`] next objects.
//!
//! Kept is what an edge may act on or tell its operator. Who is watching what (`sid`, `cid`) is
//! checked and told ([`Cmcd::session`]); no shield is told of it: see [`hints`](crate::hints). What
//! players send of themselves, without a request for media, [`Reports`] reads.

mod playback;
mod reader;

use std::sync::Arc;

pub use playback::{Event, MAX_ERROR, MAX_ERRORS, MAX_REPORTS, MEDIA_TYPE, Reports, State};
use reader::{Bare, Members, Value};

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Next objects that are kept of one request.
pub const MAX_NEXT: usize = 4;

/// The highest bit rate that is believed, in kbit/s: what is above it was not said.
pub const MAX_BITRATE: u64 = 100_000_000;

/// The longest `sid` and `cid`, in bytes (CTA-5004 §3).
pub const MAX_ID: usize = 128;

/// What a player told. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cmcd {
    /// The version it is written in, `v`; 1 where it does not say.
    pub version: Option<u64>,
    /// The playback session, `sid`.
    pub session: Option<String>,
    /// What is played, `cid`.
    pub content: Option<String>,
    /// The buffer ahead of the playhead in milliseconds, `bl`.
    pub buffer: Option<u64>,
    /// In so many milliseconds the object has to be there, or playback stops, `dl`.
    pub deadline: Option<u64>,
    /// What the player measured, in kbit/s, `mtp`.
    pub throughput: Option<u64>,
    /// What it will ask for next, `nor` and `nrr`; the first [`MAX_NEXT`].
    pub next: Vec<Next>,
    /// The bit rate of what is asked for in kbit/s, `br`; up to [`MAX_BITRATE`].
    pub bitrate: Option<u64>,
    /// The highest bit rate that it could ask for in kbit/s, `tb`.
    pub top_bitrate: Option<u64>,
    /// The kind of object, `ot`.
    pub object: Option<Object>,
    /// The duration of the object in milliseconds, `d`.
    pub duration: Option<u64>,
    /// The format: `d`, `h`, `s` or `o`, `sf`.
    pub format: Option<char>,
    /// Whether it is live, `st`.
    pub live: Option<bool>,
    /// It wants the object soon, to start or to go on, `su`.
    pub startup: bool,
    /// Its buffer ran empty since it last asked, `bs`.
    pub starved: bool,
    /// The most it wants to be sent in kbit/s, `rtp`.
    pub max_rate: Option<u64>,
    /// What it is doing, `sta`.
    pub state: Option<State>,
    /// Why it reports, `e`: in reports alone.
    pub event: Option<Event>,
    /// When that happened, by its clock in milliseconds since 1970, `ts`.
    pub at: Option<u64>,
    /// From when its viewer asked for playback to the first picture, in milliseconds, `msd`.
    pub startup_delay: Option<u64>,
    /// For how long its buffer was empty since it last told, in milliseconds, `bsd`.
    pub starved_for: Option<u64>,
    /// How far behind the live edge it plays, in milliseconds, `ltc`.
    pub latency: Option<u64>,
    /// Codes of its errors, `ec`: the first [`MAX_ERRORS`], none longer than [`MAX_ERROR`].
    pub errors: Vec<String>,
}

/// Something that a player will ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Next {
    /// A reference, to be resolved against the URL that was asked for. It is any text: who follows
    /// it has to see where it leads. Empty for the URL that was asked for.
    pub reference: String,
    /// The bytes of it that will be asked for, as in a `Range` field.
    pub range: Option<NextRange>,
}

/// A range of bytes, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextRange {
    /// The first byte.
    pub first: u64,
    /// The last byte; all to the end where there is none.
    pub last: Option<u64>,
}

/// The kinds of object (`ot`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// `m`: a manifest.
    Manifest,
    /// `a`: a segment of sound.
    Audio,
    /// `v`: a segment of pictures.
    Video,
    /// `av`: a segment of both.
    Muxed,
    /// `i`: an init segment.
    Init,
    /// `c`: captions or subtitles.
    Caption,
    /// `tt`: timed text in ISO BMFF.
    TimedText,
    /// `k`: a key, licence or certificate.
    Key,
    /// `o`: something else.
    Other,
}

/// It is not CMCD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmcdError {
    /// It is longer than [`MAX_BYTES`].
    #[error("CMCD is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is no dictionary of structured fields.
    #[error("CMCD is malformed at byte {0}")]
    Syntax(usize),
    /// A key has a value that it cannot have.
    #[error("CMCD has a value that its key cannot have")]
    Value,
}

impl Cmcd {
    /// Reads a dictionary, as it stands in a request field or in the query once that is decoded.
    ///
    /// # Errors
    /// [`CmcdError`] where any of it does not fit.
    pub fn read(text: &str) -> Result<Self, CmcdError> {
        let mut told = Self::default();
        told.hear([text.as_bytes()])?;
        Ok(told)
    }

    /// Reads the request fields `CMCD-Request`, `CMCD-Object`, `CMCD-Session` and `CMCD-Status`, in
    /// any order: a key counts in whichever it stands (players of version 2 may send all in one).
    ///
    /// # Errors
    /// [`CmcdError`] where any of it does not fit.
    pub fn read_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Arc<Self>, CmcdError> {
        Self::shared(texts.into_iter().map(str::as_bytes))
    }

    /// What a request tells is of 300 bytes, and several hold on to it: it is read to where it stays.
    fn shared<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Result<Arc<Self>, CmcdError> {
        let mut told = Arc::<Self>::default();
        // Nobody else holds it yet.
        Arc::make_mut(&mut told).hear(texts)?;
        Ok(told)
    }

    /// Takes what texts tell, where nothing was told yet.
    fn hear<'a>(&mut self, texts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), CmcdError> {
        let mut range = None;
        let mut left = MAX_BYTES;
        for text in texts {
            left = left.checked_sub(text.len()).ok_or(CmcdError::TooLong)?;
            let mut members = Members::new(text);
            while let Some((key, value)) = members.next()? {
                self.take(key, &value, &mut range)?;
            }
        }
        if let Some(range) = range {
            // Version 1: the range of the next object, or of this one where there is no other.
            match self.next.first_mut() {
                Some(next) if next.range.is_none() => next.range = Some(range),
                Some(_) => {}
                None => self.next.push(Next { reference: String::new(), range: Some(range) }),
            }
        }
        if self.version.is_none_or(|version| version < 2) {
            // Version 1 has the reference encoded once more (CTA-5004 §3, `nor`).
            for next in &mut self.next {
                let bytes = decoded(&next.reference).ok_or(CmcdError::Value)?;
                next.reference = String::from_utf8(bytes).map_err(|_| CmcdError::Value)?;
            }
        }
        Ok(())
    }

    /// Reads the parameter `CMCD` of a query, as it stands in a URL. `None` where there is none.
    ///
    /// # Errors
    /// [`CmcdError`] where there is one that does not fit.
    pub fn read_query(query: &str) -> Result<Option<Arc<Self>>, CmcdError> {
        let mut parameters = query.split('&').filter_map(|one| one.strip_prefix("CMCD="));
        let Some(encoded) = parameters.next() else { return Ok(None) };
        // Encoded, a byte takes three.
        if encoded.len() > 3 * MAX_BYTES {
            return Err(CmcdError::TooLong);
        }
        let text = decoded(encoded).ok_or(CmcdError::Value)?;
        Self::shared([&text[..]]).map(Some)
    }

    /// In how many milliseconds it has nothing to play, as far as it told: now where it waits to start or
    /// to go on, else by its deadline and its buffer, whichever is sooner.
    pub fn runs_dry(&self) -> Option<u64> {
        if self.startup || self.starved {
            return Some(0);
        }
        self.buffer.into_iter().chain(self.deadline).min()
    }

    fn take(
        &mut self,
        key: &[u8],
        value: &Value<'_>,
        range: &mut Option<NextRange>,
    ) -> Result<(), CmcdError> {
        match key {
            b"v" => self.version = Some(value.number()?),
            b"sid" => self.session = Some(value.id()?),
            b"cid" => self.content = Some(value.id()?),
            b"bl" => self.buffer = Some(value.number()?),
            b"dl" => self.deadline = Some(value.number()?),
            b"mtp" => self.throughput = Some(value.number()?),
            b"br" => self.bitrate = Some(value.number()?).filter(|kbps| *kbps <= MAX_BITRATE),
            b"tb" => self.top_bitrate = Some(value.number()?),
            b"d" => self.duration = Some(value.number()?),
            b"rtp" => self.max_rate = Some(value.number()?),
            b"su" => self.startup = value.flag()?,
            b"bs" => self.starved = value.flag()?,
            b"ot" => self.object = Object::of(value.token()?),
            b"sf" => self.format = value.token()?.first().copied().map(char::from),
            b"st" => self.live = Some(matches!(value.token()?, b"l" | b"ll")),
            b"nrr" => *range = Some(NextRange::read(&value.string()?).ok_or(CmcdError::Value)?),
            b"nor" => self.next = value.next()?,
            b"sta" => self.state = State::of(value.token()?),
            b"e" => self.event = Some(Event::of(value.token()?)),
            b"ts" => self.at = Some(value.number()?),
            b"msd" => self.startup_delay = Some(value.number()?),
            b"bsd" => self.starved_for = Some(value.number()?),
            b"ltc" => self.latency = Some(value.number()?),
            b"ec" => self.errors = value.errors()?,
            _ => {}
        }
        Ok(())
    }
}

impl Value<'_> {
    /// A whole number that is not negative. Of a list, which tells renditions of several kinds apart
    /// (version 2), the largest.
    fn number(&self) -> Result<u64, CmcdError> {
        let numbers = self.items().map(|item| match item.bare {
            Bare::Number(number) => u64::try_from(number).map_err(|_| CmcdError::Value),
            Bare::Decimal(number) if number >= 0.0 => Ok(number as u64),
            _ => Err(CmcdError::Value),
        });
        let mut most = None;
        for number in numbers {
            most = most.max(Some(number?));
        }
        most.ok_or(CmcdError::Value)
    }

    fn flag(&self) -> Result<bool, CmcdError> {
        match self.single()? {
            Bare::Flag(flag) => Ok(*flag),
            _ => Err(CmcdError::Value),
        }
    }

    fn token(&self) -> Result<&[u8], CmcdError> {
        match self.single()? {
            Bare::Token(token) => Ok(token),
            _ => Err(CmcdError::Value),
        }
    }

    fn string(&self) -> Result<String, CmcdError> {
        match self.single()? {
            Bare::Text(text) => Ok(text.unescaped()),
            _ => Err(CmcdError::Value),
        }
    }

    fn id(&self) -> Result<String, CmcdError> {
        self.string().and_then(|id| if id.len() <= MAX_ID { Ok(id) } else { Err(CmcdError::Value) })
    }

    /// Error codes; what is beyond the bounds is left out.
    fn errors(&self) -> Result<Vec<String>, CmcdError> {
        let mut all = Vec::new();
        for item in self.items() {
            let Bare::Text(text) = &item.bare else { return Err(CmcdError::Value) };
            if all.len() < MAX_ERRORS {
                all.push(text.unescaped());
            }
        }
        all.retain(|code| code.len() <= MAX_ERROR);
        Ok(all)
    }

    /// The next objects: one string in version 1, a list of strings in version 2, each with its
    /// range in the parameter `r`.
    fn next(&self) -> Result<Vec<Next>, CmcdError> {
        let mut all = Vec::new();
        for item in self.items() {
            let Bare::Text(text) = &item.bare else { return Err(CmcdError::Value) };
            let range = match item.parameter(b"r") {
                None => None,
                Some(Bare::Text(range)) => {
                    Some(NextRange::read(&range.unescaped()).ok_or(CmcdError::Value)?)
                }
                Some(_) => return Err(CmcdError::Value),
            };
            if all.len() < MAX_NEXT {
                all.push(Next { reference: text.unescaped(), range });
            }
        }
        Ok(all)
    }
}

impl NextRange {
    /// The range from `first` to `last`, both inclusive.
    pub fn new(first: u64, last: Option<u64>) -> Option<Self> {
        last.is_none_or(|last| first <= last).then_some(Self { first, last })
    }

    /// Reads `first-last` or `first-`: what may stand behind `bytes=` (RFC 9110 §14.1.2), without
    /// ranges from the end.
    pub fn read(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let last = if last.is_empty() { None } else { Some(number(last)?) };
        Self::new(number(first)?, last)
    }
}

impl std::fmt::Display for NextRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last {
            Some(last) => write!(f, "{}-{last}", self.first),
            None => write!(f, "{}-", self.first),
        }
    }
}

impl Object {
    fn of(token: &[u8]) -> Option<Self> {
        Some(match token {
            b"m" => Self::Manifest,
            b"a" => Self::Audio,
            b"v" => Self::Video,
            b"av" => Self::Muxed,
            b"i" => Self::Init,
            b"c" => Self::Caption,
            b"tt" => Self::TimedText,
            b"k" => Self::Key,
            b"o" => Self::Other,
            _ => return None,
        })
    }
}

/// What each byte is as a hexadecimal digit; [`NO_DIGIT`] where it is none.
const HEX: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        values[digit as usize] = value as u8;
        values[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xff;

/// Percent-decodes (RFC 3986 §2.1); `None` for an escape that is none.
fn decoded(text: &str) -> Option<Vec<u8>> {
    // A byte is written where there is room already: what grows looks for it each time.
    let mut out = vec![0; text.len()];
    let (mut length, mut bytes) = (0, text.bytes());
    for place in &mut out {
        let Some(mut byte) = bytes.next() else { break };
        if byte == b'%' {
            let high = HEX[usize::from(bytes.next()?)];
            let low = HEX[usize::from(bytes.next()?)];
            if high == NO_DIGIT || low == NO_DIGIT {
                return None;
            }
            byte = high << 4 | low;
        }
        *place = byte;
        length += 1;
    }
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests;
