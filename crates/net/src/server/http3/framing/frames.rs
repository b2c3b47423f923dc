//! The frames of a request's stream (RFC 9114 §4.1, §7), as its bytes arrive: one HEADERS, any
//! number of DATA, and perhaps HEADERS again for trailers; what is of an unknown type is passed over.
//!
//! Promises: data is handed out as it came, without a copy; a field section is held until it is
//! whole, and no more than so many bytes of it. What brings neither, such as empty DATA and frames of
//! unknown types, may be as many bytes in a row.

use bytes::{Buf as _, Bytes, BytesMut};

use super::code::{Code, Wrong};
use super::integer::read_var_int;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
/// The frames of RFC 9218 §7.2, which belong on the control stream.
const PRIORITY_UPDATES: [u64; 2] = [0xf0700, 0xf0701];

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A section of fields: the request's, and after its body its trailers'.
    Section(Bytes),
    /// Some of the body; never empty.
    Data(Bytes),
}

/// Where the stream stands.
#[derive(Debug)]
pub(crate) struct Frames {
    /// What has come of a frame's type and length, where that is not all.
    head: [u8; 16],
    filled: usize,
    inside: Inside,
    /// Bytes of the frame's payload still to come.
    left: u64,
    stage: Stage,
    /// What has come of a section, where that is not all.
    section: BytesMut,
    /// Bytes in a row that brought nothing.
    idle: usize,
    limit: usize,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Data,
    Section,
    Unknown,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Headers,
    Body,
    End,
}

impl Frames {
    /// A stream of which nothing has come. `limit` is the most bytes of a section, and of frames that
    /// bring nothing.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            head: [0; 16],
            filled: 0,
            inside: Inside::Nothing,
            left: 0,
            stage: Stage::Headers,
            section: BytesMut::new(),
            idle: 0,
            limit,
        }
    }

    /// The next of what `input` brings, which is taken from its front; `None` when all is taken.
    ///
    /// # Errors
    /// What the client did wrong; nothing more is to be read then.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Event>, Wrong> {
        loop {
            if self.inside == Inside::Nothing {
                let Some((kind, len)) = self.frame_head(input)? else { return Ok(None) };
                self.begin(kind, len)?;
            }
            let came = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            self.left -= came as u64;
            let inside = self.inside;
            if self.left == 0 {
                self.inside = Inside::Nothing;
            }
            match inside {
                Inside::Data if came > 0 => {
                    self.idle = 0;
                    return Ok(Some(Event::Data(input.split_to(came))));
                }
                Inside::Section if self.left == 0 => {
                    let whole = if self.section.is_empty() {
                        input.split_to(came)
                    } else {
                        self.section.extend_from_slice(&input.split_to(came));
                        std::mem::take(&mut self.section).freeze()
                    };
                    self.idle = 0;
                    self.stage = match self.stage {
                        Stage::Headers => Stage::Body,
                        Stage::Body | Stage::End => Stage::End,
                    };
                    return Ok(Some(Event::Section(whole)));
                }
                Inside::Section => {
                    self.section.extend_from_slice(input);
                    input.clear();
                }
                Inside::Unknown => {
                    input.advance(came);
                    self.passed(came)?;
                }
                Inside::Nothing | Inside::Data => {}
            }
            if self.inside != Inside::Nothing {
                return Ok(None);
            }
        }
    }

    /// What the end of the stream means.
    ///
    /// # Errors
    /// Where it came inside a frame (RFC 9114 §7.1), or before a request (§4.1).
    pub(crate) fn end(&self) -> Result<(), Wrong> {
        if self.inside != Inside::Nothing || self.filled > 0 {
            return Err(Wrong::Connection(Code::Frame));
        }
        if self.stage == Stage::Headers {
            return Err(Wrong::Stream(Code::RequestIncomplete));
        }
        Ok(())
    }

    /// Type and length of the next frame, once they are there.
    fn frame_head(&mut self, input: &mut Bytes) -> Result<Option<(u64, u64)>, Wrong> {
        if self.filled == 0
            && let Some((kind, len, size)) = parse_head(input)
        {
            input.advance(size);
            self.passed(size)?;
            return Ok(Some((kind, len)));
        }
        while let Some(&byte) = input.first() {
            input.advance(1);
            // Two integers of at most eight bytes each: the head is complete before it is full.
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = byte;
                self.filled += 1;
            }
            let head = self.head.get(..self.filled).unwrap_or_default();
            if let Some((kind, len, size)) = parse_head(head) {
                self.filled = 0;
                self.passed(size)?;
                return Ok(Some((kind, len)));
            }
        }
        Ok(None)
    }

    fn begin(&mut self, kind: u64, len: u64) -> Result<(), Wrong> {
        self.left = len;
        self.inside = match kind {
            DATA if self.stage == Stage::Body => Inside::Data,
            HEADERS if self.stage != Stage::End => {
                if usize::try_from(len).map_or(true, |len| len > self.limit) {
                    return Err(Wrong::Stream(Code::ExcessiveLoad));
                }
                Inside::Section
            }
            // DATA and HEADERS out of place, the control stream's (RFC 9114 §7.2), those of HTTP/2
            // (§7.2.8), and no push was ever promised.
            0x0..=0x9 | 0xd => return Err(Wrong::Connection(Code::FrameUnexpected)),
            _ if PRIORITY_UPDATES.contains(&kind) => {
                return Err(Wrong::Connection(Code::FrameUnexpected));
            }
            _ => Inside::Unknown,
        };
        if len == 0 && self.inside != Inside::Section {
            self.inside = Inside::Nothing;
        }
        Ok(())
    }

    fn passed(&mut self, bytes: usize) -> Result<(), Wrong> {
        self.idle += bytes;
        if self.idle > self.limit {
            return Err(Wrong::Stream(Code::ExcessiveLoad));
        }
        Ok(())
    }
}

/// Type and length of a frame, and the bytes that they take.
fn parse_head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (kind, rest) = read_var_int(bytes)?;
    let (len, rest) = read_var_int(rest)?;
    Some((kind, len, bytes.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    const UNEXPECTED: Wrong = Wrong::Connection(Code::FrameUnexpected);

    /// What a stream of these bytes brings, its data together, when it comes in such pieces.
    fn read(bytes: &[u8], size: usize) -> Result<Vec<Event>, Wrong> {
        let mut frames = Frames::new(100);
        let mut all: Vec<Event> = Vec::new();
        for piece in bytes.chunks(size) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(event) = frames.next(&mut input)? {
                match (all.last_mut(), event) {
                    (Some(Event::Data(all)), Event::Data(more)) => {
                        *all = [&all[..], &more].concat().into();
                    }
                    (_, event) => all.push(event),
                }
            }
            assert!(input.is_empty(), "all is taken");
        }
        frames.end()?;
        Ok(all)
    }

    fn event(make: fn(Bytes) -> Event, bytes: &'static [u8]) -> Event {
        make(Bytes::from_static(bytes))
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        // Unknown, HEADERS, an empty DATA, DATA, unknown, DATA in long integers, HEADERS, unknown.
        let bytes = b"\x21\x02..\x01\x03abc\x00\x00\x00\x05hello\x40\x21\x01.\
            \xc0\0\0\0\0\0\0\0\x40\x01!\x01\x01t\x21\x00";
        let expected = [
            event(Event::Section, b"abc"),
            event(Event::Data, b"hello!"),
            event(Event::Section, b"t"),
        ];
        for size in 1..=bytes.len() {
            assert_eq!(read(bytes, size), Ok(expected.to_vec()), "in pieces of {size}");
        }
        let whole = [9, 11, 18, 22, 33, 36, 38];
        for len in 9..bytes.len() {
            let ends = read(&bytes[..len], usize::MAX).map(|_| ());
            let expected =
                if whole.contains(&len) { Ok(()) } else { Err(Wrong::Connection(Code::Frame)) };
            assert_eq!(ends, expected, "after {len} bytes");
        }
    }

    #[test]
    fn rfc_9114_4_1_frames_come_in_order() {
        for (bytes, wrong) in [
            (&b""[..], Wrong::Stream(Code::RequestIncomplete)),
            (b"\x21\x00", Wrong::Stream(Code::RequestIncomplete)),
            (b"\x00\x01x", UNEXPECTED),
            (b"\x00\x00", UNEXPECTED),
            (b"\x01\x00\x01\x00\x01\x00", UNEXPECTED),
            (b"\x01\x00\x01\x00\x00\x00", UNEXPECTED),
            (b"\x01\x00\x80\x0f\x07\x00\x00", UNEXPECTED),
            (b"\x80\x0f\x07\x01\x00", UNEXPECTED),
        ] {
            assert_eq!(read(bytes, 1), Err(wrong), "{bytes:x?}");
        }
        for kind in [2, 3, 4, 5, 6, 7, 8, 9, 13] {
            assert_eq!(read(&[1, 0, kind, 0], 9), Err(UNEXPECTED), "{kind}");
            assert_eq!(read(&[kind, 0], 9), Err(UNEXPECTED), "{kind}");
        }
    }

    #[test]
    fn what_brings_nothing_is_bounded() {
        let load = Err(Wrong::Stream(Code::ExcessiveLoad));
        assert_eq!(read(&[1, 0x40, 101], 9), load, "a section");
        assert_eq!(read(&[0x21, 0xbf, 0xff, 0xff, 0xff].repeat(40), 9), load, "a frame");
        let empty = [&[1, 0][..], &[0, 0].repeat(51)].concat();
        assert_eq!(read(&empty, 9), load, "empty DATA");
        let some = [&[1, 0][..], &[&[0, 0].repeat(40)[..], &[0, 1, b'x']].concat().repeat(9)];
        assert_eq!(read(&some.concat(), 9).unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200),
            size in 1usize..20,
        ) {
            prop_assert_eq!(read(&bytes, size), read(&bytes, usize::MAX));
        }
    }
}
