//! One tag with an attribute list (RFC 8216bis §4.2).

use std::fmt::{Display, Write as _};

/// A line `#NAME:A=…,B=…` that is being written; attributes keep the order they are given in.
pub(super) struct Tag {
    line: String,
    separator: &'static str,
}

impl Tag {
    /// Starts the tag `#name`.
    pub(super) fn new(name: &str) -> Self {
        Self { line: format!("#{name}"), separator: ":" }
    }

    /// An attribute written bare: a decimal, an enumerated string, a resolution.
    pub(super) fn bare(mut self, name: &str, value: impl Display) -> Self {
        // Writing into a String never fails.
        let _ = write!(self.line, "{}{name}={value}", self.separator);
        self.separator = ",";
        self
    }

    /// A quoted string, as [`quotable`] has it.
    pub(super) fn quoted(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.line, "{}{name}=\"", self.separator);
        self.line.push_str(&quotable(value));
        self.line.push('"');
        self.separator = ",";
        self
    }

    /// `YES` or `NO`.
    pub(super) fn flag(self, name: &str, value: bool) -> Self {
        self.bare(name, if value { "YES" } else { "NO" })
    }

    /// Appends the line.
    pub(super) fn end(self, out: &mut String) {
        out.push_str(&self.line);
        out.push('\n');
    }
}

/// A text as it stands in a quoted string. There are no escapes: a double quote becomes a single
/// one, and line breaks and other controls become spaces.
pub(super) fn quotable(text: &str) -> String {
    let plain = |c: char| match c {
        '"' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_their_order_and_never_leave_their_quotes() {
        let mut out = String::new();
        Tag::new("EXT-X-MEDIA")
            .bare("TYPE", "AUDIO")
            .quoted("NAME", "a \"b\"\nURI=\"x\",é")
            .flag("DEFAULT", false)
            .end(&mut out);
        assert_eq!(out, "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a 'b' URI='x',é\",DEFAULT=NO\n");
    }
}
