//! Text of what the packager makes, for golden files: every field of every box
//! (ISO/IEC 14496-12), independent of the packager's own reader.
//!
//! Where boxes end is followed strictly; what a box holds is written down in [`layouts`]. What is
//! not written down there is shown as hexadecimal, so nothing passes unseen. Long tables are cut in
//! the middle, with a hash of what is left out.

mod elementary;
mod fields;
mod layouts;
pub mod packets;

use std::fmt::Write as _;

use fields::Fields;

/// Rows of a table, lines of a list and such that are shown at its start, and at its end.
const FIRST_ROWS: usize = 4;
const LAST_ROWS: usize = 1;

/// Bytes that are shown in hexadecimal.
const MOST_HEX: usize = 64;

/// Whether what depends on coded bytes (sizes, offsets, rates, parameter sets) is shown. Encoders
/// differ from build to build: files that they make are compared without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coded {
    Shown,
    Masked,
}

/// Every field of boxes that follow each other. The last may be an `mdat` of which only the start
/// is there.
pub fn boxes(bytes: &[u8], coded: Coded) -> String {
    let mut out = String::new();
    walk(bytes, 0, coded, &mut out);
    out
}

/// The boxes of these kinds among those that follow each other, as they are.
pub fn only(bytes: &[u8], kinds: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (size, kind, _) = head(rest);
        let (whole, after) = rest.split_at(usize::try_from(size).unwrap());
        if kinds.contains(&kind.as_str()) {
            out.extend(whole);
        }
        rest = after;
    }
    out
}

fn walk(mut rest: &[u8], depth: usize, coded: Coded, out: &mut String) {
    while !rest.is_empty() {
        let (size, kind, header) = head(rest);
        let is_media = kind == "mdat";
        assert!(is_media || size <= rest.len() as u64, "{kind} of {size} bytes is too long");
        let end = rest.len().min(usize::try_from(size).unwrap());
        let contents = &rest[header..end];
        let size_shown = if coded == Coded::Shown { format!(" {size}") } else { String::new() };
        write!(out, "{:indent$}{kind}{size_shown}", "", indent = depth * 2).unwrap();
        if is_media {
            if coded == Coded::Shown && size == end as u64 {
                write!(out, ": #{:016x}", hash(contents)).unwrap();
            }
            out.push('\n');
        } else {
            let mut fields = Fields::new(contents, coded);
            fields.read(layouts::of(&kind));
            out.push_str(&fields.line());
            out.push('\n');
            fields.rows().write(depth + 1, out);
            walk(fields.boxes(), depth + 1, coded, out);
        }
        rest = &rest[end..];
    }
}

/// Size, kind and length of the header of a box (§4.2).
fn head(bytes: &[u8]) -> (u64, String, usize) {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let kind: String = bytes[4..8].iter().map(|byte| char::from(*byte)).collect();
    match word(0) {
        1 => (u64::from(word(8)) << 32 | u64::from(word(12)), kind, 16),
        size => {
            assert!(size >= 8, "{kind} of {size} bytes");
            (size.into(), kind, 8)
        }
    }
}

/// Lines of which the middle is left out where they are many.
#[derive(Debug, Default)]
pub struct Rows(pub Vec<String>);

impl Rows {
    pub fn write(&self, depth: usize, out: &mut String) {
        let all = self.0.len();
        let cut = if all > FIRST_ROWS + LAST_ROWS + 1 { all - FIRST_ROWS - LAST_ROWS } else { 0 };
        for (number, row) in self.0.iter().enumerate() {
            let indent = depth * 2;
            if cut == 0 || number < FIRST_ROWS || number >= FIRST_ROWS + cut {
                writeln!(out, "{:indent$}{row}", "").unwrap();
            } else if number == FIRST_ROWS {
                let left_out = self.0[FIRST_ROWS..FIRST_ROWS + cut].join("\n");
                let hash = hash(left_out.as_bytes());
                writeln!(out, "{:indent$}… {cut} more #{hash:016x}", "").unwrap();
            }
        }
    }
}

/// A text of which the middle is left out where it has many lines.
pub fn text(text: &str) -> String {
    let mut out = String::new();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() <= 40 {
        return text.trim_end().to_owned() + "\n";
    }
    let (first, rest) = lines.split_at(30);
    for line in first {
        writeln!(out, "{line}").unwrap();
    }
    Rows(rest.to_vec()).write(0, &mut out);
    out
}

/// FNV-1a.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Hexadecimal in words of four bytes, cut where it is long.
fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MOST_HEX)];
    let mut out = String::new();
    for (number, byte) in shown.iter().enumerate() {
        if number > 0 && number % 4 == 0 {
            out.push(' ');
        }
        write!(out, "{byte:02x}").unwrap();
    }
    let rest = &bytes[shown.len()..];
    if !rest.is_empty() {
        write!(out, " … {} more #{:016x}", rest.len(), hash(rest)).unwrap();
    }
    out
}
