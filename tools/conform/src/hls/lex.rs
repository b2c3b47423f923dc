//! Playlists, line by line (RFC 8216bis §4.1): exact about lines, with no opinion on meaning.

/// One line of a playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Blank,
    Comment,
    /// A line that begins with `#EXT`: its name without `#`, and what stands after the colon.
    Tag {
        name: String,
        value: Option<String>,
    },
    Uri(String),
}

/// Splits a playlist into lines: each ends in a line feed, or a carriage return and a line feed.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines.enumerate().map(|(index, line)| Line { number: index + 1, kind: kind(line) }).collect()
}

fn kind(line: &str) -> Kind {
    if line.trim().is_empty() {
        return Kind::Blank;
    }
    let Some(rest) = line.strip_prefix('#') else { return Kind::Uri(line.to_owned()) };
    if !rest.starts_with("EXT") {
        return Kind::Comment;
    }
    match rest.split_once(':') {
        Some((name, value)) => Kind::Tag { name: name.to_owned(), value: Some(value.to_owned()) },
        None => Kind::Tag { name: rest.to_owned(), value: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_kinds() {
        let text = "#EXTM3U\r\n\n# note\n#EXTINF:2.5,a:b\nseg 1.ts\n";
        let kinds: Vec<_> = lines(text).into_iter().map(|line| (line.number, line.kind)).collect();
        let tag = |name: &str, value: Option<&str>| Kind::Tag {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(
            kinds,
            [
                (1, tag("EXTM3U", None)),
                (2, Kind::Blank),
                (3, Kind::Comment),
                (4, tag("EXTINF", Some("2.5,a:b"))),
                (5, Kind::Uri("seg 1.ts".to_owned())),
                (6, Kind::Blank),
            ]
        );
    }
}
