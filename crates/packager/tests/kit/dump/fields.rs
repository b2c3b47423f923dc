//! Reads the fields of one box as a layout names them.
//!
//! A layout is words of the form `name:type`. `?N` after it makes a field depend on flag N (in
//! hexadecimal), `~` before the type says that it depends on coded bytes. `rows` makes what follows
//! the fields of a table's row, of which there are as many as the field `count` says (or none, where
//! all rows are alike and said in the head). Types:
//!
//! | type | is |
//! |---|---|
//! | `u8` `u16` `u24` `u32` `u48` `u64`, `x…` | a number, in hexadecimal with `x` |
//! | `i8` `i16` `i32` | with a sign |
//! | `w`, `iw` | 32 bits, or 64 in version 1 |
//! | `v32` | 32 bits, with a sign in version 1 |
//! | `f16` `f32` | fixed point, half of the bits behind it |
//! | `4cc`, `4cc*` | four letters; as many of them as there are |
//! | `lang`, `cstr`, `pstr` | a packed language; text that ends in a zero; 32 bytes with the length first |
//! | `zeroN` | N bytes that are zero, and shown only if not |
//! | `matrix`, `hex`, `esds` | a transformation; all that is left; descriptors |
//! | `boxes` | boxes to the end |
//!
//! `full` reads version and flags.

use super::{Coded, Rows, elementary, hex};

pub struct Fields<'a> {
    rest: &'a [u8],
    coded: Coded,
    version: u8,
    flags: u32,
    count: u64,
    shown: Vec<String>,
    rows: Rows,
    boxes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(contents: &'a [u8], coded: Coded) -> Self {
        Self {
            rest: contents,
            coded,
            version: 0,
            flags: 0,
            count: 0,
            shown: Vec::new(),
            rows: Rows::default(),
            boxes: &[],
        }
    }

    /// Reads all; what the layout leaves over is shown, too.
    pub fn read(&mut self, layout: &str) {
        let (head, row) = layout.split_once("rows").unwrap_or((layout, ""));
        for word in head.split_whitespace() {
            self.word(word);
        }
        if !row.is_empty() {
            let head = std::mem::take(&mut self.shown);
            for _ in 0..self.count {
                if self.rest.is_empty() {
                    break;
                }
                for word in row.split_whitespace() {
                    self.word(word);
                }
                let row = std::mem::take(&mut self.shown).join(", ");
                if !row.is_empty() {
                    self.rows.0.push(row);
                }
            }
            self.shown = head;
        }
        if !self.rest.is_empty() {
            self.word("rest:hex");
        }
    }

    /// What stands behind the kind and size of the box.
    pub fn line(&self) -> String {
        if self.shown.is_empty() { String::new() } else { format!(": {}", self.shown.join(", ")) }
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The boxes in it.
    pub fn boxes(&self) -> &'a [u8] {
        self.boxes
    }

    fn word(&mut self, word: &str) {
        if word == "full" {
            self.version = self.number(1) as u8;
            self.flags = self.number(3) as u32;
            if self.version != 0 {
                self.shown.push(format!("version {}", self.version));
            }
            if self.flags != 0 {
                self.shown.push(format!("flags {:x}", self.flags));
            }
            return;
        }
        if word == "boxes" {
            self.boxes = std::mem::take(&mut self.rest);
            return;
        }
        let (word, condition) = word.split_once('?').unwrap_or((word, ""));
        if !condition.is_empty() && self.flags & u32::from_str_radix(condition, 16).unwrap() == 0 {
            return;
        }
        let (name, kind) = word.split_once(':').unwrap();
        let (kind, masked) = match kind.strip_prefix('~') {
            Some(kind) => (kind, self.coded == Coded::Masked),
            None => (kind, false),
        };
        if let Some(value) = self.value(kind) {
            if name == "count" {
                self.count = value.parse().unwrap();
            }
            let value = if masked { "~".to_owned() } else { value };
            self.shown.push(format!("{name} {value}"));
        }
    }

    /// The text of a field; none for what is as it must be.
    fn value(&mut self, kind: &str) -> Option<String> {
        if let Some(len) = kind.strip_prefix("zero") {
            let bytes = self.take(len.parse().unwrap());
            return bytes.iter().any(|byte| *byte != 0).then(|| hex(bytes));
        }
        let wide = if self.version == 1 { 64 } else { 32 };
        let bits = |digits: &str| digits.parse::<usize>().unwrap();
        Some(match kind {
            "w" => self.number(wide / 8).to_string(),
            "iw" => self.signed(wide).to_string(),
            "v32" if self.version == 1 => self.signed(32).to_string(),
            "v32" => self.number(4).to_string(),
            "f16" => fixed(self.number(2), 8),
            "f32" => fixed(self.number(4), 16),
            "4cc" => letters(self.take(4)),
            "4cc*" => {
                self.take(self.rest.len()).chunks(4).map(letters).collect::<Vec<_>>().join(" ")
            }
            "lang" => {
                let packed = self.number(2);
                let letter = |shift: u32| char::from(((packed >> shift & 31) + 0x60) as u8);
                [10, 5, 0].map(letter).iter().collect()
            }
            "cstr" => {
                let len = self.rest.iter().position(|byte| *byte == 0).unwrap();
                let text = self.take(len);
                self.take(1);
                format!("{:?}", String::from_utf8_lossy(text))
            }
            "pstr" => {
                let (len, text) = self.take(32).split_first().unwrap();
                format!("{:?}", String::from_utf8_lossy(&text[..usize::from(*len)]))
            }
            "matrix" => {
                let all: Vec<_> = (0..9).map(|_| self.signed(32)).collect();
                match all.as_slice() {
                    [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000] => "as it is".to_owned(),
                    other => format!("{other:x?}"),
                }
            }
            "hex" => hex(self.take(self.rest.len())),
            "esds" => elementary::descriptors(self.take(self.rest.len()), self.coded),
            other => match other.split_at(1) {
                ("u", digits) => self.number(bits(digits) / 8).to_string(),
                ("i", digits) => self.signed(bits(digits)).to_string(),
                ("x", digits) => {
                    format!("{:0width$x}", self.number(bits(digits) / 8), width = bits(digits) / 4)
                }
                _ => panic!("no such type: {other}"),
            },
        })
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn number(&mut self, len: usize) -> u64 {
        self.take(len).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn signed(&mut self, bits: usize) -> i64 {
        let shift = 64 - bits;
        (self.number(bits / 8) << shift).cast_signed() >> shift
    }
}

fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn fixed(number: u64, behind: u32) -> String {
    let (whole, fraction) = (number >> behind, number & ((1 << behind) - 1));
    if fraction == 0 { whole.to_string() } else { format!("{whole}+{fraction}/{}", 1 << behind) }
}
