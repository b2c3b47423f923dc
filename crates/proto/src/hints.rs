//! What an edge tells its shield of the sessions it serves from its own cache: of those the shield
//! sees no request, and would think them gone.
//!
//! A [`Hint`] says of one URL that it was answered, how often, how fast its clients are, and what
//! they will ask for next. It tells of no client: requests for one URL are one hint
//! ([`Batch`]), and an edge takes off who asks before it notes anything. Hints are best effort. They
//! travel as a small text, some hundred milliseconds' worth at a time, by `POST` to [`PATH`]:
//!
//! ```text
//! headwater-hints 1
//! //video.example/film/v2/17.m4s k=12 t=2500-8000 d=900
//! //video.example/film/v2/18.m4s k=3 p=4100
//! //video.example/film/all.mp4 k=1 b=1048576 n=all.mp4 r=2097152-3145727
//! ```
//!
//! A line is a location and fields: `k` requests, `t` the least and the most throughput in kbit/s,
//! `p` what the slowest of the paths to its clients lets through at most in kbit/s, `d` in how many
//! milliseconds the first of its clients has nothing to play, `b` the first byte that was asked for, and for
//! each next object `n`, a reference relative to the location, with `r`, its range, behind it. A message is read
//! whole or not at all, and is bounded by [`MAX_MESSAGE`] and [`MAX_HINTS`].
//!
//! A field of another name (one to eight small letters) is left out, so that who sends may be newer than who
//! reads. Readers from before `p` refuse messages with it: shields are renewed before the edges in front of
//! them.

mod batch;

use std::fmt::Write as _;

use crate::cmcd::{MAX_NEXT, NextRange};

pub use batch::{Batch, Seen, joined};

/// Where a shield takes hints.
pub const PATH: &str = "/.well-known/headwater-hints";

/// The type of a message of hints.
pub const MEDIA_TYPE: &str = "application/vnd.headwater.hints";

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;

/// The most hints of one message, and of one batch.
pub const MAX_HINTS: usize = 256;

/// The longest location and the longest reference, in bytes.
pub const MAX_LOCATION: usize = 2048;

/// The most that [`Hint::path`] is told as, in kbit/s: a terabit a second.
pub const MAX_PATH: u64 = 1_000_000_000;

/// The longest name of a field that is not known, in bytes.
const MAX_NAME: usize = 8;

const FIRST_LINE: &str = "headwater-hints 1";

/// Marks a request that never left the process, as one between an edge and a shield that are in the
/// same: an extension of the request, which no stranger can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameProcess;

/// One URL that an edge answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// What was asked for: `//authority/path?query`, as the shield is asked for it.
    pub location: String,
    /// How often, since the last message.
    pub requests: u32,
    /// The first byte that was asked for, where a range was.
    pub first_byte: Option<u64>,
    /// The least and the most that its clients measured, in kbit/s.
    pub throughput: Option<(u64, u64)>,
    /// What the path to one of them lets through at most, in kbit/s, of those that have not measured: the
    /// least of these, as the edge's connections know it; [`MAX_PATH`] at most. An estimate from above.
    pub path: Option<u64>,
    /// In how many milliseconds the first of them has nothing to play.
    pub dry: Option<u64>,
    /// What they said they will ask for next; at most [`MAX_NEXT`].
    pub next: Vec<NextObject>,
}

/// A next object: a reference relative to the hint's location (empty for the same), and its range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextObject {
    /// The reference.
    pub reference: String,
    /// The bytes of it.
    pub range: Option<NextRange>,
}

impl NextObject {
    /// A next object; `None` where the reference is too long, or holds what no URL does.
    pub fn new(reference: &str, range: Option<NextRange>) -> Option<Self> {
        let fits = reference.len() <= MAX_LOCATION
            && reference.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self { reference: reference.to_owned(), range })
    }
}

/// It is not a message of hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HintError {
    /// It is longer than [`MAX_MESSAGE`], or has more than [`MAX_HINTS`].
    #[error("the message of hints is too long")]
    TooLong,
    /// A line of it cannot be read; the first is 1.
    #[error("line {0} of the hints cannot be read")]
    Malformed(usize),
}

impl Hint {
    /// A hint of one request; `None` where the location is none.
    pub fn new(location: &str) -> Option<Self> {
        let fits = location.len() <= MAX_LOCATION
            && location.starts_with("//")
            && location.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self {
            location: location.to_owned(),
            requests: 1,
            first_byte: None,
            throughput: None,
            path: None,
            dry: None,
            next: Vec::new(),
        })
    }

    fn write(&self, out: &mut String) {
        // Writing to a String does not fail.
        let _ = write!(out, "{} k={}", self.location, self.requests);
        if let Some(first) = self.first_byte {
            let _ = write!(out, " b={first}");
        }
        if let Some((least, most)) = self.throughput {
            let _ = write!(out, " t={least}-{most}");
        }
        if let Some(most) = self.path {
            let _ = write!(out, " p={}", most.min(MAX_PATH));
        }
        if let Some(millis) = self.dry {
            let _ = write!(out, " d={millis}");
        }
        for next in &self.next {
            let _ = write!(out, " n={}", next.reference);
            if let Some(range) = next.range {
                let _ = write!(out, " r={range}");
            }
        }
        out.push('\n');
    }

    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut hint = Self::new(fields.next()?)?;
        for field in fields {
            let (key, value) = field.split_once('=')?;
            match key {
                "k" => hint.requests = value.parse().ok()?,
                "b" => hint.first_byte = Some(value.parse().ok()?),
                "t" => {
                    let (least, most) = value.split_once('-')?;
                    let (least, most) = (least.parse().ok()?, most.parse().ok()?);
                    hint.throughput = (least <= most).then_some((least, most));
                    hint.throughput?;
                }
                "p" => {
                    hint.path = value.parse().ok().filter(|most| *most <= MAX_PATH);
                    hint.path?;
                }
                "d" => hint.dry = Some(value.parse().ok()?),
                "n" => {
                    let next = NextObject::new(value, None)?;
                    (hint.next.len() < MAX_NEXT).then(|| hint.next.push(next))?;
                }
                "r" => {
                    let next = hint.next.last_mut().filter(|next| next.range.is_none())?;
                    next.range = Some(NextRange::read(value)?);
                }
                // Of one who is newer.
                _ => {
                    let is_name = (1..=MAX_NAME).contains(&key.len())
                        && key.bytes().all(|byte| byte.is_ascii_lowercase())
                        && value.bytes().all(|byte| byte.is_ascii_graphic());
                    is_name.then_some(())?;
                }
            }
        }
        Some(hint)
    }
}

/// Writes hints as a message; those beyond [`MAX_MESSAGE`] or [`MAX_HINTS`] are left out. Gives the
/// message and how many it holds.
pub fn write(hints: &[Hint]) -> (String, usize) {
    let mut out = format!("{FIRST_LINE}\n");
    let mut line = String::new();
    let mut held = 0;
    for hint in hints.iter().take(MAX_HINTS) {
        line.clear();
        hint.write(&mut line);
        if out.len() + line.len() > MAX_MESSAGE {
            break;
        }
        out.push_str(&line);
        held += 1;
    }
    (out, held)
}

/// Reads a message.
///
/// # Errors
/// [`HintError`] where any of it cannot be read.
pub fn read(text: &str) -> Result<Vec<Hint>, HintError> {
    if text.len() > MAX_MESSAGE {
        return Err(HintError::TooLong);
    }
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(HintError::Malformed(1));
    }
    let mut hints = Vec::new();
    for (number, line) in lines.enumerate() {
        if hints.len() >= MAX_HINTS {
            return Err(HintError::TooLong);
        }
        hints.push(Hint::read(line).ok_or(HintError::Malformed(number + 2))?);
    }
    Ok(hints)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    fn hint() -> Hint {
        let mut hint = Hint::new("//h/a/1.m4s?x=1").unwrap();
        hint.requests = 7;
        hint.throughput = Some((1000, 9000));
        hint.path = Some(4100);
        hint.first_byte = Some(100);
        hint.dry = Some(400);
        hint.next.push(NextObject::new("../b.m4s?y=1", None).unwrap());
        hint.next.push(NextObject::new("", NextRange::new(200, Some(299))).unwrap());
        hint
    }

    #[test]
    fn a_message_is_text_and_is_read_as_it_was_written() {
        let hints = [hint(), Hint::new("//h/b").unwrap()];
        let (text, held) = write(&hints);
        assert_eq!(held, 2);
        assert_eq!(
            text,
            "headwater-hints 1\n\
             //h/a/1.m4s?x=1 k=7 b=100 t=1000-9000 p=4100 d=400 n=../b.m4s?y=1 n= r=200-299\n//h/b k=1\n"
        );
        assert_eq!(read(&text).unwrap(), hints);
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let good = "//h/a k=1";
        for (bad, line) in [
            ("", 1),
            ("headwater-hints 2\n", 1),
            ("headwater-hints 1\n/a k=1", 2),
            ("headwater-hints 1\n//h/a k=1\n//h/a k=-1", 3),
            ("headwater-hints 1\n//h/a t=9-1", 2),
            ("headwater-hints 1\n//h/a d=-1", 2),
            ("headwater-hints 1\n//h/a r=1-2", 2),
            ("headwater-hints 1\n//h/a n=x r=1-2 r=3-4", 2),
            ("headwater-hints 1\n//h/a  k=1", 2),
            ("headwater-hints 1\n//h/a p=-1", 2),
            ("headwater-hints 1\n//h/a p=1-2", 2),
            ("headwater-hints 1\n//h/a p=1000000001", 2),
            ("headwater-hints 1\n//h/a z", 2),
            ("headwater-hints 1\n//h/a =1", 2),
            ("headwater-hints 1\n//h/a Z=1", 2),
            ("headwater-hints 1\n//h/a z1=1", 2),
            ("headwater-hints 1\n//h/a ninechars=1", 2),
            ("headwater-hints 1\n//h/a z=\u{e4}", 2),
            ("headwater-hints 1\n//h/a n=1 n=2 n=3 n=4 n=5", 2),
            ("headwater-hints 1\n//h/\u{e4}", 2),
            ("headwater-hints 1\n\n", 2),
        ] {
            assert_eq!(read(bad), Err(HintError::Malformed(line)), "{bad}");
        }
        let many = format!("headwater-hints 1\n{}", format!("{good}\n").repeat(MAX_HINTS + 1));
        assert_eq!(read(&many), Err(HintError::TooLong));
        assert_eq!(read(&"x".repeat(MAX_MESSAGE + 1)), Err(HintError::TooLong));
        assert_eq!(Hint::new("//h/a b"), None);
        assert_eq!(NextObject::new("a\nb", None), None);
    }

    #[test]
    fn fields_of_who_is_newer_are_left_out() {
        let text = "headwater-hints 1\n//h/a z=1 k=2 later=x,y=z n=b x= r=1-2 p=1000000000\n";
        let hints = read(text).unwrap();
        assert_eq!(write(&hints).0, "headwater-hints 1\n//h/a k=2 p=1000000000 n=b r=1-2\n");
        let mut most = Hint::new("//h/a").unwrap();
        most.path = Some(u64::MAX);
        assert_eq!(read(&write(&[most]).0).unwrap()[0].path, Some(MAX_PATH));
    }

    #[test]
    fn a_message_stays_within_its_bounds() {
        let long = Hint::new(&format!("//h/{}", "a".repeat(2000))).unwrap();
        let (text, held) = write(&vec![long; 300]);
        assert!(text.len() <= MAX_MESSAGE && held == 32, "{held} in {}", text.len());
        assert_eq!(read(&text).unwrap().len(), held);
        assert_eq!(write(&vec![hint(); 300]).1, MAX_HINTS);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(headwater-hints 1\n)?([ -~\u{e4}\n]{0,80}|(//h/a|k=|t=1-2|p=9|zz=1|d=3|n=x|r=| |\n){0,12})") {
            if let Ok(hints) = read(&text) {
                let (again, held) = write(&hints);
                prop_assert_eq!(held, hints.len());
                prop_assert_eq!(read(&again).unwrap(), hints);
            }
        }
    }
}
