//! Dictionaries of structured fields (RFC 9651, which RFC 8941 is a part of), read strictly: a field
//! that breaks the grammar anywhere is no field at all (§4.2).
//!
//! Only what cache directives need of a value is kept; parameters are read and dropped, as RFC 9213
//! §2.1 asks. Pure; the length of what is read bounds time and memory.

use std::borrow::Cow;
use std::str;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// What a member of a dictionary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// §3.3.1
    Integer(i64),
    /// §3.3.3
    String(String),
    /// §3.3.6; also a member without a value (§3.2).
    Boolean(bool),
    /// Anything else the grammar knows: no cache directive is one.
    Other,
}

/// A dictionary: keys in the order they first came, each with its last value (§3.2).
pub(crate) type Dictionary = SmallVec<[(String, Value); 4]>;

/// Reads all lines of a field as one dictionary; `None` where there is none, or it is malformed.
pub(crate) fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    let mut text = Cow::Borrowed(first);
    for line in lines {
        let text = text.to_mut();
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    Parser { rest: &text }.dictionary()
}

/// A string as a field has it (§3.3.3); what such a string cannot hold is left out.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// What is left to be read.
struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// §4.2 and §4.2.2
    fn dictionary(mut self) -> Option<Dictionary> {
        let mut all = Dictionary::new();
        self.skip(|byte| byte == b' ');
        while !self.rest.is_empty() {
            let key = self.key()?;
            let value = if self.eat(b'=') {
                self.member()?
            } else {
                self.parameters()?;
                Value::Boolean(true)
            };
            match all.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value,
                None => all.push((key.to_owned(), value)),
            }
            self.skip(|byte| matches!(byte, b' ' | b'\t'));
            if self.rest.is_empty() {
                break;
            }
            if !self.eat(b',') {
                return None;
            }
            self.skip(|byte| matches!(byte, b' ' | b'\t'));
            if self.rest.is_empty() {
                return None;
            }
        }
        Some(all)
    }

    /// An item or an inner list, with its parameters (§4.2.1.1).
    fn member(&mut self) -> Option<Value> {
        if self.rest.first() == Some(&b'(') {
            self.inner_list()?;
            return Some(Value::Other);
        }
        self.item()
    }

    /// §4.2.1.2
    fn inner_list(&mut self) -> Option<()> {
        self.eat(b'(');
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                return self.parameters();
            }
            self.item()?;
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    /// §4.2.3
    fn item(&mut self) -> Option<Value> {
        let value = self.bare_item()?;
        self.parameters()?;
        Some(value)
    }

    /// §4.2.3.2
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// §4.2.3.1
    fn bare_item(&mut self) -> Option<Value> {
        match *self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Value::String),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take(|byte| is_token(byte) || matches!(byte, b':' | b'/'));
                Some(Value::Other)
            }
            b':' => self.bytes(),
            b'?' => self.boolean(),
            b'@' => self.date(),
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// §4.2.3.3
    fn key(&mut self) -> Option<&'a str> {
        if !matches!(self.rest.first(), Some(b'*' | b'a'..=b'z')) {
            return None;
        }
        let key = self.take(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        str::from_utf8(key).ok()
    }

    /// §4.2.4: at most fifteen digits, or twelve, a point, and at most three.
    fn number(&mut self) -> Option<Value> {
        let negative = self.eat(b'-');
        let whole = self.take(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if self.rest.first() == Some(&b'.') {
            self.eat(b'.');
            let part = self.take(|byte| byte.is_ascii_digit());
            let fits = whole.len() <= 12 && (1..=3).contains(&part.len());
            return fits.then_some(Value::Other);
        }
        let number: i64 = str::from_utf8(whole).ok()?.parse().ok()?;
        Some(Value::Integer(if negative { -number } else { number }))
    }

    /// §4.2.5
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.eat(b'"');
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(char::from(self.next().filter(|b| matches!(b, b'"' | b'\\'))?)),
                byte @ 0x20..=0x7e => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    /// §4.2.7
    fn bytes(&mut self) -> Option<Value> {
        self.eat(b':');
        self.take(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        self.eat(b':').then_some(Value::Other)
    }

    /// §4.2.8
    fn boolean(&mut self) -> Option<Value> {
        self.eat(b'?');
        match self.next()? {
            b'0' => Some(Value::Boolean(false)),
            b'1' => Some(Value::Boolean(true)),
            _ => None,
        }
    }

    /// §4.2.9
    fn date(&mut self) -> Option<Value> {
        self.eat(b'@');
        matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
    }

    /// §4.2.10
    fn display_string(&mut self) -> Option<Value> {
        let mut bytes = Vec::new();
        self.eat(b'%');
        if !self.eat(b'"') {
            return None;
        }
        loop {
            match self.next()? {
                b'"' => return str::from_utf8(&bytes).is_ok().then_some(Value::Other),
                b'%' => bytes.push((self.hex()? << 4) | self.hex()?),
                byte @ 0x20..=0x7e => bytes.push(byte),
                _ => return None,
            }
        }
    }

    fn hex(&mut self) -> Option<u8> {
        match self.next()? {
            byte @ b'0'..=b'9' => Some(byte - b'0'),
            byte @ b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let is = self.rest.first() == Some(&wanted);
        if is {
            self.next();
        }
        is
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|byte| belongs(**byte)).count();
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        self.take(belongs);
    }
}

/// A character of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NAME: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn read(lines: &[&str]) -> Option<Vec<(String, Value)>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        dictionary(&headers, &NAME).map(SmallVec::into_vec)
    }

    fn pair(key: &str, value: Value) -> (String, Value) {
        (key.to_owned(), value)
    }

    #[test]
    fn rfc_9651_4_2_2_members_of_every_kind() {
        let text = r#"a, b=1;x;y="z", c=-7, d="q\"\\", e=?0, f=tok/en:x, g=:aGk=:, h=(1 "2" a);p, i=1.5, j=@17, k=%"f%c3%bc""#;
        let expected = [
            pair("a", Value::Boolean(true)),
            pair("b", Value::Integer(1)),
            pair("c", Value::Integer(-7)),
            pair("d", Value::String("q\"\\".to_owned())),
            pair("e", Value::Boolean(false)),
            pair("f", Value::Other),
            pair("g", Value::Other),
            pair("h", Value::Other),
            pair("i", Value::Other),
            pair("j", Value::Other),
            pair("k", Value::Other),
        ];
        assert_eq!(read(&[text]).unwrap(), expected);
    }

    #[test]
    fn rfc_9651_3_2_lines_join_and_the_last_of_a_key_counts() {
        let expected = [pair("a", Value::Integer(3)), pair("b", Value::Boolean(true))];
        assert_eq!(read(&["  a=1", "b,\ta=3  "]).unwrap(), expected);
        assert_eq!(read(&[""]).unwrap(), []);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn rfc_9651_4_2_one_mistake_anywhere_and_nothing_is_left() {
        for bad in [
            "a,",
            "a,,b",
            ",a",
            "a b",
            "A",
            "a=",
            "a =1",
            "a= 1",
            "a=1, &&&&&",
            "a=\"",
            "a=\"\\n\"",
            "a=1.",
            "a=1.2345",
            "a=1234567890123456",
            "a=1234567890123.1",
            "a=--1",
            "a=?2",
            "a=?",
            "a=:x",
            "a=:%:",
            "a=(1",
            "a=(1\"b\")",
            "a=@1.5",
            "a=%\"%C3\"",
            "a=%\"%c3\"",
            "a=%x",
            "a;B",
            "a;b=",
            "a=1;",
            "a=\u{e4}",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(text in "[ -~\t]{0,60}") {
            let _ = read(&[&text]);
        }

        #[test]
        fn what_is_written_by_the_grammar_is_read(
            members in proptest::collection::vec(("[a-z*][a-z0-9_.*-]{0,8}", -999i64..999), 1..6),
        ) {
            let text: Vec<_> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let all = read(&[&text.join(", ")]).unwrap();
            for (key, value) in &all {
                let last = members.iter().rev().find(|(known, _)| known == key).unwrap().1;
                prop_assert_eq!(value, &Value::Integer(last));
            }
        }
    }
}
