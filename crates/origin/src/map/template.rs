//! URL templates of DASH (ISO/IEC 23009-1 §5.3.9.4.4).

use std::fmt::Write as _;
use std::sync::Arc;

use super::track::{Pattern, Target, Track};
use super::url::{MAX_URL, Url};

/// The most segments that a template with several identifiers is written out to.
const MAX_LISTED: u32 = 65_536;

/// Which identifier varies from segment to segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Number,
    Time,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Variable(Variable, u8),
}

/// A template whose `$RepresentationID$` and `$Bandwidth$` are filled in.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Where the number goes, when it goes in one place.
    pattern: Option<Arc<Pattern>>,
    base: Url,
}

impl Template {
    /// Reads `text`, a reference relative to `base`; `None` where it is no template of the
    /// standard, or names nothing HTTP can fetch.
    pub(super) fn parse(text: &str, base: &Url, id: &str, bandwidth: Option<u64>) -> Option<Self> {
        if text.len() > MAX_URL {
            return None;
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut parts = text.split('$');
        literal.push_str(parts.next().unwrap_or(""));
        while let Some(identifier) = parts.next() {
            // Every `$` opens or closes: an odd one out makes the template malformed.
            let after = parts.next()?;
            let (name, width) = match identifier.split_once('%') {
                Some((name, format)) => {
                    let width = format.strip_prefix('0')?.strip_suffix('d')?.parse::<u8>().ok()?;
                    (name, Some(width.min(20)))
                }
                None => (identifier, None),
            };
            let variable = match name {
                "" if width.is_none() => {
                    literal.push('$');
                    None
                }
                "RepresentationID" if width.is_none() => {
                    literal.push_str(id);
                    None
                }
                "Bandwidth" => {
                    let width = usize::from(width.unwrap_or(1));
                    let _ = write!(literal, "{:0width$}", bandwidth?);
                    None
                }
                "Number" => Some(Variable::Number),
                "Time" => Some(Variable::Time),
                _ => return None,
            };
            if literal.len() > MAX_URL || pieces.len() > 64 {
                return None;
            }
            if let Some(variable) = variable {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
                pieces.push(Piece::Variable(variable, width.unwrap_or(1)));
            }
            literal.push_str(after);
        }
        pieces.push(Piece::Text(literal));
        let mut template = Self { pieces, pattern: None, base: base.clone() };
        template.pattern = template.find_pattern().map(Arc::new);
        Some(template)
    }

    /// Whether segments are named by their start time.
    pub(super) fn by_time(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable(Variable::Time, _)))
    }

    /// Whether segments are named by their start time, and their numbers by nothing.
    pub(super) fn is_by_time_alone(&self) -> bool {
        let number = |piece: &Piece| matches!(piece, Piece::Variable(Variable::Number, _));
        self.by_time() && !self.pieces.iter().any(number)
    }

    /// Appends `count` segments: numbers from `number` on, times from `time` on, `duration` apart.
    /// Stops when the track weighs more than `budget`.
    pub(super) fn push(
        &self,
        track: &mut Track,
        (number, time): (u64, u64),
        duration: u64,
        count: u32,
        budget: usize,
    ) {
        if let Some(pattern) = &self.pattern {
            if track.weight() <= budget {
                let (first, step) = if self.by_time() { (time, duration) } else { (number, 1) };
                track.push_progression(pattern, first, step, count);
            }
            return;
        }
        for i in 0..u64::from(count.min(MAX_LISTED)) {
            let Some(time) = duration.checked_mul(i).and_then(|ahead| time.checked_add(ahead))
            else {
                return;
            };
            let Some(url) = self.url(number.saturating_add(i), time) else { return };
            if track.weight() > budget {
                return;
            }
            track.push(Target { url, range: None });
        }
    }

    /// The URL with both identifiers filled in; of an initialization template, with none to fill.
    pub(super) fn url(&self, number: u64, time: u64) -> Option<Url> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Variable(variable, width) => {
                    let width = usize::from(*width);
                    let value = if *variable == Variable::Time { time } else { number };
                    let _ = write!(text, "{value:0width$}");
                }
            }
        }
        self.base.resolve(&text)
    }

    /// The pattern of the resolved URL where exactly one identifier varies: resolved with a word
    /// in its place that occurs nowhere else.
    fn find_pattern(&self) -> Option<Pattern> {
        let mut variables = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(_, width) => Some(*width),
            Piece::Text(_) => None,
        });
        let width = variables.next()?;
        if variables.next().is_some() {
            return None;
        }
        let taken = |word: &str| {
            self.base.as_str().contains(word)
                || self.pieces.iter().any(|p| matches!(p, Piece::Text(t) if t.contains(word)))
        };
        let word = (0..8).map(|n| format!("n-u-m-b-e-r-{n}-")).find(|word| !taken(word))?;
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Variable(..) => text.push_str(&word),
            }
        }
        let resolved = self.base.resolve(&text)?;
        let (prefix, suffix) = resolved.as_str().split_once(&word)?;
        Some(Pattern::new(prefix, suffix, width))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn urls(template: &str, count: u32) -> Vec<String> {
        let base = Url::new("h", "/d/a.mpd").unwrap();
        let template = Template::parse(template, &base, "v1", Some(5000)).unwrap();
        let mut track = Track::default();
        template.push(&mut track, (9, 180), 20, count, 10_000);
        (0..track.len()).map(|i| track.get(i).unwrap().url.as_str().to_owned()).collect()
    }

    #[test]
    fn identifiers_widths_and_dollars() {
        assert_eq!(
            urls("$RepresentationID$/$Number%03d$.m4s", 2),
            ["//h/d/v1/009.m4s", "//h/d/v1/010.m4s"]
        );
        assert_eq!(urls("../$Bandwidth$/t$Time$", 2), ["//h/5000/t180", "//h/5000/t200"]);
        assert_eq!(urls("$$/$Number$-$Time$", 2), ["//h/d/$/9-180", "//h/d/$/10-200"]);
        let base = Url::new("h", "/").unwrap();
        for bad in ["$Number", "$Number%3d$", "$SubNumber$", "$Bandwidth$", "skd://$$"] {
            let template = Template::parse(bad, &base, "v1", None);
            assert!(template.is_none_or(|t| t.url(1, 1).is_none()), "{bad}");
        }
    }
}
