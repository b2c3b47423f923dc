//! An MPD as a tree of elements that know their lines, by quick-xml.

use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::limits::{MAX_DEPTH, MAX_ELEMENTS};

/// The namespace of MPDs (ISO/IEC 23009-1 §5.2.2).
pub(crate) const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";

/// An element.
#[derive(Debug, Clone, Default)]
pub(crate) struct Element {
    /// The local name in the MPD's namespace; `{namespace}name` in another.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    /// Reads a document: no document type, one root, all in its place.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut lines = Lines { text, at: 0, line: 1 };
        let mut open: Vec<(Element, BTreeMap<String, String>)> = Vec::new();
        let mut root = None;
        let mut count = 0;
        loop {
            let line = lines.of(reader.buffer_position());
            let event = reader.read_event().map_err(|error| format!("line {line}: {error}"))?;
            match event {
                Event::Eof if open.is_empty() => {
                    return root.ok_or_else(|| "there is no element".to_owned());
                }
                Event::Eof => return Err("the document ends before its root does".to_owned()),
                Event::DocType(_) => return Err(format!("line {line}: a document type")),
                Event::Start(start) => {
                    count += 1;
                    if count > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err("the document is too large".to_owned());
                    }
                    if root.is_some() {
                        return Err(format!("line {line}: a second root"));
                    }
                    let scope = open.last().map(|(_, scope)| scope.clone()).unwrap_or_default();
                    // The end of the tag: where it began may be lines before.
                    let line = lines.of(reader.buffer_position());
                    open.push(begin(&start, scope, line)?);
                }
                Event::End(_) => {
                    if let Some((done, _)) = open.pop() {
                        match open.last_mut() {
                            Some((parent, _)) => parent.children.push(done),
                            None => root = Some(done),
                        }
                    }
                }
                Event::Text(text) => {
                    if let Some((element, _)) = open.last_mut() {
                        element.text.push_str(&text.xml_content(XmlVersion::Implicit1_0));
                    }
                }
                Event::GeneralRef(reference) => {
                    if let Some((element, _)) = open.last_mut() {
                        element.text.push_str(match reference.as_ref() {
                            "amp" => "&",
                            "lt" => "<",
                            "gt" => ">",
                            _ => "",
                        });
                    }
                }
                Event::CData(text) => {
                    if let Some((element, _)) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Whether it is of another namespace, on which the MPD's schema has no opinion.
    pub(crate) fn is_foreign(&self) -> bool {
        self.name.starts_with('{')
    }

    /// This element and all inside, outermost first.
    pub(crate) fn walk(&self) -> Vec<&Element> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(element) = found.get(next).copied() {
            found.extend(&element.children);
            next += 1;
        }
        found
    }
}

fn begin(
    start: &BytesStart<'_>,
    mut scope: BTreeMap<String, String>,
    line: usize,
) -> Result<(Element, BTreeMap<String, String>), String> {
    let mut attributes = BTreeMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("line {line}: {error}"))?;
        let key: &str = attribute.key.as_ref();
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("line {line}: {error}"))?
            .into_owned();
        if key == "xmlns" {
            scope.insert(String::new(), value.clone());
        } else if let Some(prefix) = key.strip_prefix("xmlns:") {
            scope.insert(prefix.to_owned(), value.clone());
        }
        attributes.insert(key.to_owned(), value);
    }
    let full = start.name();
    let full: &str = full.as_ref();
    let (prefix, local) = full.split_once(':').unwrap_or(("", full));
    let namespace = scope.get(prefix).map_or("", String::as_str);
    let name = if namespace == NAMESPACE {
        local.to_owned()
    } else if prefix.is_empty() && !scope.contains_key("") {
        // Without any namespace: the rule about namespaces says so once, the others go on.
        local.to_owned()
    } else {
        format!("{{{namespace}}}{local}")
    };
    Ok((Element { name, line, attributes, ..Element::default() }, scope))
}

/// Line numbers of offsets that only grow.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, position: u64) -> usize {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        let passed = self.text.get(self.at..position).unwrap_or("");
        self.line += passed.matches('\n').count();
        self.at = position.max(self.at);
        self.line
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn elements_know_their_lines_and_namespaces() {
        let text = format!(
            "<?xml version=\"1.0\"?>\n<MPD xmlns=\"{NAMESPACE}\" xmlns:c=\"urn:c\">\n <c:x/>\n \
             <BaseURL>a&amp;b</BaseURL>\n</MPD>"
        );
        let root = Element::read(&text).unwrap();
        assert_eq!((&*root.name, root.line), ("MPD", 2));
        assert_eq!(root.children[0].name, "{urn:c}x");
        assert_eq!((&*root.children[1].text, root.children[1].line), ("a&b", 4));
        for wrong in ["", "<a>", "<a></b>", "<a/><b/>", "<!DOCTYPE a><a/>", "<a b=1/>"] {
            assert!(Element::read(wrong).is_err(), "{wrong}");
        }
    }
}
