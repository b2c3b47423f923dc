//! A small XML writer: elements, attributes and text, indented, escaped (XML 1.0 §2.4, §2.2).

use std::fmt::{Display, Write as _};

/// A document that is being written. Elements are closed in the reverse order of their opening.
pub(super) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() }
    }

    /// Opens an element that will have children.
    pub(super) fn open(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.start(name, attributes);
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.start(name, attributes);
        self.out.push_str("/>\n");
    }

    /// An element with the children that `contents` writes, or without content where there are
    /// none.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: &[Attribute<'_>],
        contents: impl FnOnce(&mut Self),
    ) {
        let before = self.out.len();
        self.open(name, attributes);
        let opened = self.out.len();
        contents(self);
        if self.out.len() == opened {
            self.open.pop();
            self.out.truncate(before);
            self.empty(name, attributes);
        } else {
            self.close();
        }
    }

    /// An element that holds text only.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        self.start(name, &[]);
        self.out.push('>');
        escape(&mut self.out, text);
        // Writing into a String never fails.
        let _ = writeln!(self.out, "</{name}>");
    }

    /// Closes the innermost open element.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            let _ = writeln!(self.out, "</{name}>");
        }
    }

    /// Closes what is open and gives the document.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn start(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        for Attribute(name, value) in attributes {
            let _ = write!(self.out, " {name}=\"");
            escape(&mut self.out, &value.to_string());
            self.out.push('"');
        }
    }

    fn indent(&mut self) {
        for _ in &self.open {
            self.out.push_str("  ");
        }
    }
}

/// A name and what it is set to.
pub(super) struct Attribute<'a>(pub(super) &'static str, pub(super) &'a dyn Display);

/// Escapes for both text and double-quoted attributes. Characters that XML cannot hold, escaped or
/// not, become U+FFFD; line breaks and tabs are written as references, so that they survive
/// attribute normalisation.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_nest_and_escape() {
        let mut xml = Xml::new();
        xml.open("A", &[Attribute("b", &"<\"&\n\u{1}>")]);
        xml.text("Label", "x < y & z");
        xml.empty("S", &[Attribute("d", &5)]);
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <A b=\"&lt;&quot;&amp;&#10;\u{fffd}&gt;\">\n  \
             <Label>x &lt; y &amp; z</Label>\n  <S d=\"5\"/>\n</A>\n"
        );
    }
}
