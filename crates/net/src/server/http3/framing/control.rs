//! The client's control stream (RFC 9114 §6.2.1): its settings, how far it wants to go (GOAWAY), and
//! the priorities of RFC 9218.
//!
//! Promises: no more is held of a frame than the longest that is read; what is not read is passed
//! over. How much may come in all is for the caller to bound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::code::Code;
use super::integer::read_var_int;
use super::priority::{Updates, Urgency};

const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// The frames that change a request's priority, and a push's (RFC 9218 §7.2).
const PRIORITY_UPDATE: u64 = 0xf0700;
const PRIORITY_UPDATE_OF_PUSH: u64 = 0xf0701;

const MAX_FIELD_SECTION_SIZE: u64 = 0x6;

/// The longest PRIORITY_UPDATE that is read; `u=0, i` and an ID are 15 bytes.
const MAX_UPDATE: u64 = 64;
/// The longest SETTINGS of a client of HTTP/3; longer ones close the connection (H3_EXCESSIVE_LOAD). Unit:
/// bytes. Default 1 KiB. Bound: not to be set. Danger: none known: those of browsers are 20 to 40 bytes.
const MAX_SETTINGS: u64 = 1024;

/// What a client has said of its connection, for the answers on it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) updates: Updates,
    /// The largest section of fields that it takes, by the measure of RFC 9114 §4.2.2.
    largest_section: AtomicU64,
}

impl Default for Said {
    fn default() -> Self {
        Self { updates: Updates::default(), largest_section: AtomicU64::new(u64::MAX) }
    }
}

impl Said {
    /// The largest section of fields that the client takes, in bytes by the measure of RFC 9114
    /// §4.2.2; before it has said so, any.
    pub(crate) fn largest_section(&self) -> u64 {
        self.largest_section.load(Ordering::Relaxed)
    }
}

/// Where a control stream stands, as its bytes pass behind its type.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// What has come of the frame at hand, as far as it is kept.
    held: Vec<u8>,
    /// Bytes of a frame that are passed over.
    skip: u64,
    settings_came: bool,
    max_push_id: u64,
    goaway: Option<u64>,
}

impl Control {
    /// Whether the client has said that it will ask for nothing more (GOAWAY).
    pub(crate) const fn is_done(&self) -> bool {
        self.goaway.is_some()
    }

    /// Lets bytes pass.
    ///
    /// # Errors
    /// What the connection is to be closed with.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], said: &Said) -> Result<(), Code> {
        loop {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= passed as u64;
            let Some((&byte, rest)) = bytes.get(passed..).and_then(<[u8]>::split_first) else {
                return Ok(());
            };
            bytes = rest;
            self.held.push(byte);
            let Some((kind, rest)) = read_var_int(&self.held) else { continue };
            if !self.settings_came && kind != SETTINGS {
                return Err(Code::MissingSettings);
            }
            let Some((len, payload)) = read_var_int(rest) else { continue };
            let longest = match kind {
                SETTINGS if self.settings_came => return Err(Code::FrameUnexpected),
                SETTINGS if len > MAX_SETTINGS => return Err(Code::ExcessiveLoad),
                SETTINGS => MAX_SETTINGS,
                // RFC 9114 §7.1: one number, and nothing behind it.
                CANCEL_PUSH | GOAWAY | MAX_PUSH_ID if len > 8 => return Err(Code::Frame),
                CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => 8,
                PRIORITY_UPDATE | PRIORITY_UPDATE_OF_PUSH => MAX_UPDATE,
                // DATA, HEADERS, PUSH_PROMISE and what was of HTTP/2 (§7.2).
                0x0..=0x9 => return Err(Code::FrameUnexpected),
                _ => 0,
            };
            if len > longest || longest == 0 {
                self.skip = len;
                self.held.clear();
            } else if payload.len() as u64 >= len {
                if kind == SETTINGS {
                    settings(payload, said)?;
                    self.settings_came = true;
                } else {
                    let (number, field) = read_var_int(payload).ok_or(Code::Frame)?;
                    let field = field.to_vec();
                    self.number(kind, number, &field, said)?;
                }
                self.held.clear();
            }
        }
    }

    /// A frame that begins with a number.
    fn number(&mut self, kind: u64, number: u64, field: &[u8], said: &Said) -> Result<(), Code> {
        match kind {
            PRIORITY_UPDATE if number & 3 != 0 => return Err(Code::Id),
            PRIORITY_UPDATE => {
                said.updates.keep(number, Urgency::parse(field).unwrap_or(Urgency::DEFAULT));
            }
            _ if kind != PRIORITY_UPDATE_OF_PUSH && !field.is_empty() => return Err(Code::Frame),
            // Nothing was ever promised.
            PRIORITY_UPDATE_OF_PUSH | CANCEL_PUSH => return Err(Code::Id),
            MAX_PUSH_ID if number < self.max_push_id => return Err(Code::Id),
            MAX_PUSH_ID => self.max_push_id = number,
            GOAWAY if self.goaway.is_some_and(|earlier| number > earlier) => return Err(Code::Id),
            _ => self.goaway = Some(number),
        }
        Ok(())
    }
}

/// Reads the payload of SETTINGS (RFC 9114 §7.2.4).
fn settings(mut payload: &[u8], said: &Said) -> Result<(), Code> {
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let (id, rest) = read_var_int(payload).ok_or(Code::Frame)?;
        let (value, rest) = read_var_int(rest).ok_or(Code::Frame)?;
        payload = rest;
        // §7.2.4.1: those of HTTP/2.
        if matches!(id, 0x0 | 0x2..=0x5) {
            return Err(Code::Settings);
        }
        if id == MAX_FIELD_SECTION_SIZE {
            said.largest_section.store(value, Ordering::Relaxed);
        }
        seen.push(id);
    }
    seen.sort_unstable();
    let is_twice = |pair: &[u64]| matches!(pair, [one, other] if one == other);
    if seen.windows(2).any(is_twice) { Err(Code::Settings) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const NO_SETTINGS: [u8; 2] = [4, 0];

    fn update(stream: u8, field: &str) -> Vec<u8> {
        let len = u8::try_from(1 + field.len()).unwrap();
        [&[0x80, 0x0f, 0x07, 0x00, len, stream], field.as_bytes()].concat()
    }

    #[test]
    fn what_is_said_is_found_however_it_is_cut() {
        // SETTINGS, an update, a frame that is passed over, another update, GOAWAY.
        let mut bytes = vec![4, 6, 6, 0x44, 0, 0x40, 0x21, 0];
        bytes.extend(update(4, "u=1, i"));
        bytes.extend([0x40, 0x21, 3, 9, 9, 9]);
        bytes.extend(update(8, "nonsense"));
        bytes.extend([7, 1, 0]);
        for size in 1..=bytes.len() {
            let (mut control, said) = (Control::default(), Said::default());
            assert_eq!(said.largest_section(), u64::MAX);
            for chunk in bytes.chunks(size) {
                assert!(!control.is_done());
                control.pass(chunk, &said).unwrap();
            }
            let updates = &said.updates;
            assert_eq!(updates.of(4), Urgency::parse(b"u=1"), "in pieces of {size}");
            assert_eq!(updates.of(8), Some(Urgency::DEFAULT));
            assert_eq!((updates.came(), updates.of(0)), (2, None));
            assert_eq!(said.largest_section(), 1024);
            assert!(control.is_done());
        }
    }

    /// Limit: `priority::MAX_KEPT`.
    #[test]
    fn floods_keep_little() {
        let (mut control, said) = (Control::default(), Said::default());
        control.pass(&NO_SETTINGS, &said).unwrap();
        for stream in 0..5000u64 {
            let id = (0xc000_0000_0000_0000 | (stream * 4)).to_be_bytes();
            let frame = [&[0x80, 0x0f, 0x07, 0x00, 11][..], &id, b"u=0"].concat();
            control.pass(&frame, &said).unwrap();
        }
        assert_eq!(said.updates.kept(), 1024);
        // A frame that says it is endless is passed over without being held.
        control.pass(&[0x80, 0x0f, 0x07, 0x00, 0xbf, 0xff, 0xff, 0xff], &said).unwrap();
        control.pass(&vec![7; 100_000], &said).unwrap();
        assert!(control.held.capacity() < 1000);
    }

    /// Limit: `control::MAX_SETTINGS`.
    #[test]
    fn rfc_9114_7_2_what_may_not_be_said_is_an_error() {
        for (frames, code) in [
            (&[&[0x21, 0][..]][..], Code::MissingSettings),
            (&[&[0x1]], Code::MissingSettings),
            (&[&NO_SETTINGS, &NO_SETTINGS], Code::FrameUnexpected),
            (&[&NO_SETTINGS, &[0, 0]], Code::FrameUnexpected),
            (&[&NO_SETTINGS, &[1, 0]], Code::FrameUnexpected),
            (&[&NO_SETTINGS, &[5, 0]], Code::FrameUnexpected),
            (&[&NO_SETTINGS, &[9, 0]], Code::FrameUnexpected),
            (&[&[4, 1, 6]], Code::Frame),
            (&[&[4, 1, 0x40]], Code::Frame),
            (&[&[4, 3, 6, 0, 6]], Code::Frame),
            (&[&[4, 2, 0, 0]], Code::Settings),
            (&[&[4, 2, 5, 0]], Code::Settings),
            (&[&[4, 6, 6, 0, 1, 0, 6, 0]], Code::Settings),
            (&[&[4, 0x44, 1]], Code::ExcessiveLoad),
            (&[&NO_SETTINGS, &[3, 1, 0]], Code::Id),
            (&[&NO_SETTINGS, &[0xd, 1, 5], &[0xd, 1, 4]], Code::Id),
            (&[&NO_SETTINGS, &[0xd, 2, 5, 5]], Code::Frame),
            (&[&NO_SETTINGS, &[7, 0]], Code::Frame),
            (&[&NO_SETTINGS, &[7, 9]], Code::Frame),
            (&[&NO_SETTINGS, &[7, 1, 0], &[7, 1, 1]], Code::Id),
            (&[&NO_SETTINGS, &update(1, "u=1")], Code::Id),
            (&[&NO_SETTINGS, &[0x80, 0x0f, 0x07, 0x01, 1, 0]], Code::Id),
            (&[&NO_SETTINGS, &[0x80, 0x0f, 0x07, 0x00, 0]], Code::Frame),
        ] {
            let result = Control::default().pass(&frames.concat(), &Said::default());
            assert_eq!(result, Err(code), "{frames:?}");
        }
        let fine = [&NO_SETTINGS[..], &[0xd, 1, 5], &[0xd, 1, 5], &[7, 1, 9], &[7, 1, 9]].concat();
        Control::default().pass(&[&fine[..], &[0x21, 1, 9]].concat(), &Said::default()).unwrap();
    }
}
