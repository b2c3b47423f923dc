//! Reads along on the client's control stream (RFC 9114 §6.2.1), for what h3 lets pass there:
//! frames whose one number does not fill them, pushes that nobody promised, and the priorities of
//! RFC 9218, which h3 does not know.

use std::sync::Arc;

use h3::error::Code;
use h3::quic::StreamErrorIncoming;

use super::errors::internal;
use super::frames::read_var_int;
use super::priority::{Updates, Urgency};
use super::var_int;

const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// The frames that change a request's priority, and a push's (RFC 9218 §7.2).
const PRIORITY_UPDATE: u64 = 0xf0700;
const PRIORITY_UPDATE_OF_PUSH: u64 = 0xf0701;

/// The longest PRIORITY_UPDATE that is read; `u=0, i` and an ID are 15 bytes.
const MAX_UPDATE: u64 = 64;

/// What reads along on the control stream, and closes the connection for what is wrong there.
pub(super) struct Control {
    tap: Tap,
    updates: Arc<Updates>,
    conn: quinn::Connection,
}

impl Control {
    pub(super) fn new(conn: quinn::Connection, updates: Arc<Updates>) -> Self {
        Self { tap: Tap::default(), updates, conn }
    }

    /// Lets bytes pass, and closes the connection for what is wrong with them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), StreamErrorIncoming> {
        self.tap.pass(bytes, &self.updates).map_err(|code| self.close(code))
    }

    /// Closes the connection.
    pub(super) fn close(&self, code: Code) -> StreamErrorIncoming {
        self.conn.close(var_int(code.value()), b"");
        internal("the control stream broke a rule")
    }
}

/// Where a control stream stands, as its bytes pass behind its type.
#[derive(Debug, Default)]
struct Tap {
    /// What has come of the frame at hand, as far as it is kept.
    held: Vec<u8>,
    /// Bytes of a frame that are passed over.
    skip: u64,
    settings_came: bool,
    max_push_id: u64,
}

impl Tap {
    /// Lets bytes pass. Memory is bounded by the longest update that is read.
    ///
    /// # Errors
    /// What the connection is to be closed with.
    fn pass(&mut self, mut bytes: &[u8], updates: &Updates) -> Result<(), Code> {
        loop {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= passed as u64;
            let Some((&byte, rest)) = bytes[passed..].split_first() else { return Ok(()) };
            bytes = rest;
            self.held.push(byte);
            let Some((kind, rest)) = read_var_int(&self.held) else { continue };
            if !self.settings_came && kind != SETTINGS {
                return Err(Code::H3_MISSING_SETTINGS);
            }
            let Some((len, payload)) = read_var_int(rest) else { continue };
            self.settings_came = true;
            let longest = match kind {
                // RFC 9114 §7.1: one number, and nothing behind it.
                CANCEL_PUSH | GOAWAY | MAX_PUSH_ID if len > 8 => return Err(Code::H3_FRAME_ERROR),
                CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => 8,
                PRIORITY_UPDATE | PRIORITY_UPDATE_OF_PUSH => MAX_UPDATE,
                _ => 0,
            };
            if len > longest || longest == 0 {
                self.held.clear();
                self.skip = len;
            } else if payload.len() as u64 >= len {
                let (number, field) = read_var_int(payload).ok_or(Code::H3_FRAME_ERROR)?;
                match kind {
                    PRIORITY_UPDATE if number & 3 != 0 => return Err(Code::H3_ID_ERROR),
                    PRIORITY_UPDATE => {
                        updates.keep(number, Urgency::parse(field).unwrap_or(Urgency::DEFAULT));
                    }
                    _ if kind != PRIORITY_UPDATE_OF_PUSH && !field.is_empty() => {
                        return Err(Code::H3_FRAME_ERROR);
                    }
                    // Nothing was ever promised.
                    PRIORITY_UPDATE_OF_PUSH | CANCEL_PUSH => return Err(Code::H3_ID_ERROR),
                    MAX_PUSH_ID if number < self.max_push_id => return Err(Code::H3_ID_ERROR),
                    MAX_PUSH_ID => self.max_push_id = number,
                    _ => {}
                }
                self.held.clear();
            }
        }
    }
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
    fn updates_are_found_however_they_are_cut() {
        // SETTINGS of two bytes, an update, a frame that is passed over, another.
        let mut bytes = vec![4, 2, 6, 0];
        bytes.extend(update(4, "u=1, i"));
        bytes.extend([0x40, 0x21, 3, 9, 9, 9]);
        bytes.extend(update(8, "nonsense"));
        for size in 1..=bytes.len() {
            let (mut tap, updates) = (Tap::default(), Updates::default());
            for chunk in bytes.chunks(size) {
                tap.pass(chunk, &updates).unwrap();
            }
            assert_eq!(updates.of(4), Some(Urgency::parse(b"u=1").unwrap()), "in pieces of {size}");
            assert_eq!(updates.of(8), Some(Urgency::DEFAULT));
            assert_eq!((updates.came(), updates.of(0)), (2, None));
        }
    }

    #[test]
    fn floods_keep_little() {
        let (mut tap, updates) = (Tap::default(), Updates::default());
        tap.pass(&NO_SETTINGS, &updates).unwrap();
        for stream in 0..5000u64 {
            let id = (0xc000_0000_0000_0000 | (stream * 4)).to_be_bytes();
            let frame = [&[0x80, 0x0f, 0x07, 0x00, 11][..], &id, b"u=0"].concat();
            tap.pass(&frame, &updates).unwrap();
        }
        assert_eq!(updates.kept(), 1024);
        // A frame that says it is endless is passed over without being held.
        tap.pass(&[0x80, 0x0f, 0x07, 0x00, 0xbf, 0xff, 0xff, 0xff], &updates).unwrap();
        tap.pass(&vec![7; 100_000], &updates).unwrap();
        assert!(tap.held.capacity() < 1000);
    }

    #[test]
    fn what_h3_lets_pass_is_an_error() {
        for (frames, code) in [
            (&[&[0x21, 0][..]][..], Code::H3_MISSING_SETTINGS),
            (&[&NO_SETTINGS, &[3, 1, 0]], Code::H3_ID_ERROR),
            (&[&NO_SETTINGS, &[0xd, 1, 5], &[0xd, 1, 4]], Code::H3_ID_ERROR),
            (&[&NO_SETTINGS, &[0xd, 2, 5, 5]], Code::H3_FRAME_ERROR),
            (&[&NO_SETTINGS, &[7, 0]], Code::H3_FRAME_ERROR),
            (&[&NO_SETTINGS, &[7, 9]], Code::H3_FRAME_ERROR),
            (&[&NO_SETTINGS, &update(1, "u=1")], Code::H3_ID_ERROR),
            (&[&NO_SETTINGS, &[0x80, 0x0f, 0x07, 0x01, 1, 0]], Code::H3_ID_ERROR),
            (&[&NO_SETTINGS, &[0x80, 0x0f, 0x07, 0x00, 0]], Code::H3_FRAME_ERROR),
        ] {
            let result = Tap::default().pass(&frames.concat(), &Updates::default());
            assert_eq!(result, Err(code), "{frames:?}");
        }
        let fine =
            [&NO_SETTINGS[..], &[0xd, 1, 5], &[0xd, 1, 5], &[7, 1, 0], &[0x21, 1, 9]].concat();
        Tap::default().pass(&fine, &Updates::default()).unwrap();
    }
}
