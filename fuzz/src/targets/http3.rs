//! What a client of HTTP/3 sends: a request's stream, its field sections, and the control stream.
//! However the bytes are cut, they mean the same.

use bytes::Bytes;

use crate::seeds::Seed;

#[path = "../../../crates/net/src/server/http3/framing/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the server uses the rest")]
mod framing;

use framing::code::Wrong;
use framing::control::{Control, Said};
use framing::frames::{Event, Frames};
use framing::head;

/// What the server holds of frames that are not whole, and the size of sections.
const LIMIT: usize = 4 << 10;

/// The first byte of an input says what it is, and in what pieces it comes.
pub(crate) fn seeds() -> Vec<Seed> {
    let section = b"\0\0\xd1\xd7\x50\x09localhost\x51\x82\x60\x1f\x5f\x1d\x03*/*\x23x-a\x01b";
    let mut request = vec![7, 0x21, 2, 9, 9, 1, section.len() as u8];
    request.extend_from_slice(section);
    request.extend_from_slice(b"\0\0\0\x05hello\x01\x08\0\0\x23x-a\x01b");
    let coded = b"\x80\0\0\xd1\xd7\x50\x86\xa0\xe4\x1d\x13\x9d\x09\xc1\x2a\x2d\x7f\x02\x85\
        \xae\xc3\x77\x1a\x4b\x84\xff\xff\xff\xff";
    let control =
        b"\xc5\x04\x06\x06\x44\0\x40\x21\0\x80\x0f\x07\0\x04\x04u=1\x07\x01\0\x0d\x01\x05";
    [("request", request), ("section", coded.to_vec()), ("control", control.to_vec())]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into()
}

/// Tries an input.
pub(crate) fn run(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    let piece = usize::from(kind & 0x3f) + 1;
    match kind >> 6 {
        0 | 1 => {
            let read = stream(bytes, bytes.len());
            assert_eq!(read, stream(bytes, piece), "in pieces of {piece}");
            for event in read.into_iter().flatten() {
                if let Event::Section(section) = event {
                    sections(&section);
                }
            }
        }
        2 => sections(bytes),
        _ => {
            let whole = control(bytes, bytes.len());
            assert_eq!(whole, control(bytes, piece), "in pieces of {piece}");
        }
    }
}

/// The events of a stream, its data together.
fn stream(bytes: &[u8], piece: usize) -> Result<Vec<Event>, Wrong> {
    let mut frames = Frames::new(LIMIT);
    let mut events: Vec<Event> = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(event) = frames.next(&mut input)? {
            match (events.last_mut(), event) {
                (Some(Event::Data(all)), Event::Data(more)) => {
                    *all = [&all[..], &more].concat().into();
                }
                (_, event) => events.push(event),
            }
        }
    }
    frames.end()?;
    Ok(events)
}

/// Reads a section as a request's and as trailers; a field is never larger than it was said to be.
fn sections(section: &[u8]) {
    if let Ok(head) = head::request(section, LIMIT) {
        let fields = head.headers.iter();
        let size: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(size <= LIMIT, "{size} bytes of fields");
        assert!(head.uri.authority().is_some(), "{} names whom it asks", head.uri);
    }
    if let Ok(trailers) = head::trailers(section, LIMIT) {
        assert!(trailers.keys().all(|name| !name.as_str().starts_with(':')));
    }
}

fn control(bytes: &[u8], piece: usize) -> (Result<(), framing::code::Code>, u64, bool) {
    let (mut control, said) = (Control::default(), Said::default());
    let read = bytes.chunks(piece.max(1)).try_for_each(|piece| control.pass(piece, &said));
    (read, said.largest_section(), control.is_done())
}
