//! Dictionaries of structured fields (RFC 9651 §4.2.2), read member by member where they lie.
//!
//! Nothing is copied and nothing allocated but the items of lists, so that a request with CMCD costs
//! an edge no more than a look at its bytes. All that may stand in one is ASCII: what is read are bytes, and any
//! that is not ends it.

use super::CmcdError;

/// Items of one list, and parameters of one item: more is an error.
const MAX_ITEMS: usize = 64;
const MAX_PARAMETERS: usize = 16;
/// The most members of a dictionary.
const MAX_MEMBERS: usize = 128;

/// What a member is.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Item(Item<'a>),
    List(Vec<Item<'a>>),
}

/// An item with its parameters.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) bare: Bare<'a>,
    parameters: Vec<(&'a [u8], Bare<'a>)>,
}

#[derive(Debug)]
pub(super) enum Bare<'a> {
    Number(i64),
    Decimal(f64),
    Text(Text<'a>),
    Token(&'a [u8]),
    Flag(bool),
    /// Bytes or a date: well formed, and of no use to any key that is known.
    Other,
}

/// What stands between quotes, as it stands there.
#[derive(Debug)]
pub(super) struct Text<'a>(&'a [u8]);

impl Text<'_> {
    pub(super) fn unescaped(&self) -> String {
        let mut bytes = self.0.to_vec();
        if bytes.contains(&b'\\') {
            // An escape is a backslash before what it stands for.
            let mut escaped = false;
            bytes.retain(|byte| {
                escaped = *byte == b'\\' && !escaped;
                !escaped
            });
        }
        // ASCII, as all that was read is.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

impl<'a> Value<'a> {
    pub(super) fn items(&self) -> impl Iterator<Item = &Item<'a>> {
        match self {
            Self::Item(item) => std::slice::from_ref(item).iter(),
            Self::List(items) => items.iter(),
        }
    }

    pub(super) fn single(&self) -> Result<&Bare<'a>, CmcdError> {
        match self {
            Self::Item(item) => Ok(&item.bare),
            Self::List(_) => Err(CmcdError::Value),
        }
    }
}

impl<'a> Item<'a> {
    pub(super) fn parameter(&self, name: &[u8]) -> Option<&Bare<'a>> {
        self.parameters.iter().rev().find(|(key, _)| *key == name).map(|(_, bare)| bare)
    }
}

/// The members of a dictionary, in their order.
pub(super) struct Members<'a> {
    text: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Members<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut members = Self { text, at: 0, count: 0 };
        members.skip_spaces();
        members
    }

    /// The next member; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, CmcdError> {
        if self.peek().is_none() {
            return Ok(None);
        }
        self.count += 1;
        if self.count > MAX_MEMBERS {
            return Err(self.wrong());
        }
        let key = self.key()?;
        let value = if self.eat(b'=') {
            if self.peek() == Some(b'(') { self.list()? } else { Value::Item(self.item()?) }
        } else {
            let parameters = self.parameters()?;
            Value::Item(Item { bare: Bare::Flag(true), parameters })
        };
        self.skip_blanks();
        if self.peek().is_some() {
            if !self.eat(b',') {
                return Err(self.wrong());
            }
            self.skip_blanks();
            // A comma has a member after it.
            if self.peek().is_none() {
                return Err(self.wrong());
            }
        }
        Ok(Some((key, value)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self) -> CmcdError {
        CmcdError::Syntax(self.at)
    }

    /// As many bytes as are of a kind, after `start`.
    fn run(&mut self, start: usize, kind: &Kind) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| !kind[usize::from(*byte)]);
        self.at += end.unwrap_or(rest.len());
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// §4.2.3.3.
    fn key(&mut self) -> Result<&'a [u8], CmcdError> {
        let start = self.at;
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return Err(self.wrong());
        }
        Ok(self.run(start, &IN_KEY))
    }

    /// §4.2.1.2.
    fn list(&mut self) -> Result<Value<'a>, CmcdError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_spaces();
            if self.eat(b')') {
                // What the list itself is said to be is of no use here.
                self.parameters()?;
                return Ok(Value::List(items));
            }
            if items.len() >= MAX_ITEMS {
                return Err(self.wrong());
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(self.wrong());
            }
        }
    }

    /// §4.2.3.
    fn item(&mut self) -> Result<Item<'a>, CmcdError> {
        let bare = self.bare()?;
        Ok(Item { bare, parameters: self.parameters()? })
    }

    /// §4.2.3.2. Hardly anything has any.
    #[inline]
    fn parameters(&mut self) -> Result<Vec<(&'a [u8], Bare<'a>)>, CmcdError> {
        if self.peek() == Some(b';') { self.some_parameters() } else { Ok(Vec::new()) }
    }

    fn some_parameters(&mut self) -> Result<Vec<(&'a [u8], Bare<'a>)>, CmcdError> {
        let mut all = Vec::new();
        while self.eat(b';') {
            self.skip_spaces();
            if all.len() >= MAX_PARAMETERS {
                return Err(self.wrong());
            }
            let key = self.key()?;
            let bare = if self.eat(b'=') { self.bare()? } else { Bare::Flag(true) };
            all.push((key, bare));
        }
        Ok(all)
    }

    /// §4.2.3.1.
    fn bare(&mut self) -> Result<Bare<'a>, CmcdError> {
        let start = self.at;
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'*' => {
                Ok(Bare::Token(self.run(start, &IN_TOKEN)))
            }
            Some(b'?') => {
                self.at += 1;
                let flag = match self.peek() {
                    Some(b'0') => false,
                    Some(b'1') => true,
                    _ => return Err(self.wrong()),
                };
                self.at += 1;
                Ok(Bare::Flag(flag))
            }
            Some(b':') => {
                self.at += 1;
                self.run(start, &IN_BYTES);
                if self.eat(b':') { Ok(Bare::Other) } else { Err(self.wrong()) }
            }
            Some(b'@') => {
                self.at += 1;
                self.number().map(|_| Bare::Other)
            }
            _ => Err(self.wrong()),
        }
    }

    /// §4.2.4: up to fifteen digits, or twelve and three behind the point.
    fn number(&mut self) -> Result<Bare<'a>, CmcdError> {
        let start = self.at;
        let is_negative = self.eat(b'-');
        let (from, mut number) = (self.at, 0);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - from == 15 {
                return Err(self.wrong());
            }
            // Fifteen digits fit.
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let whole = self.at - from;
        if whole == 0 {
            return Err(self.wrong());
        }
        if self.eat(b'.') {
            let from = self.at;
            let part = self.run(from, &DIGITS);
            if whole > 12 || part.is_empty() || part.len() > 3 {
                return Err(self.wrong());
            }
            let text = self.text.get(start..self.at).unwrap_or_default();
            let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return number.map(Bare::Decimal).ok_or_else(|| self.wrong());
        }
        Ok(Bare::Number(if is_negative { -number } else { number }))
    }

    /// §4.2.5.
    fn string(&mut self) -> Result<Bare<'a>, CmcdError> {
        self.at += 1;
        let start = self.at;
        loop {
            self.run(start, &IN_TEXT);
            match self.peek() {
                Some(b'"') => {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Bare::Text(Text(text)));
                }
                Some(b'\\') => {
                    self.at += 1;
                    if !matches!(self.peek(), Some(b'"' | b'\\')) {
                        return Err(self.wrong());
                    }
                    self.at += 1;
                }
                _ => return Err(self.wrong()),
            }
        }
    }
}

/// Which bytes are of a kind.
type Kind = [bool; 256];

const DIGITS: Kind = kind(b"0123456789");
const IN_KEY: Kind = kind(b"abcdefghijklmnopqrstuvwxyz0123456789_-.*");
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// §4.2.6.
const IN_TOKEN: Kind = both(kind(LETTERS), kind(b"!#$%&'*+-.^_`|~:/"));
const IN_BYTES: Kind = both(kind(LETTERS), kind(b"+/="));
/// What means itself between quotes.
const IN_TEXT: Kind = {
    let mut kind = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        kind[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    kind
};

const fn kind(bytes: &[u8]) -> Kind {
    let mut kind = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        kind[bytes[at] as usize] = true;
        at += 1;
    }
    kind
}

const fn both(one: Kind, other: Kind) -> Kind {
    let mut kind = one;
    let mut byte = 0;
    while byte < kind.len() {
        kind[byte] |= other[byte];
        byte += 1;
    }
    kind
}
