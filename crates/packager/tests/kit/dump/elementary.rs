//! The descriptors in an `esds` box (ISO/IEC 14496-1 §7.2.6).

use super::{Coded, hex};

const ES: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const SPECIFIC_INFO: u8 = 5;

/// All descriptors, those inside others in brackets.
pub fn descriptors(mut bytes: &[u8], coded: Coded) -> String {
    let mut all = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let digits = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (length, rest) = rest.split_at(digits);
        let len = length.iter().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7f));
        let (contents, after) = rest.split_at(len);
        all.push(descriptor(*tag, contents, coded));
        bytes = after;
    }
    all.join(" ")
}

fn descriptor(tag: u8, contents: &[u8], coded: Coded) -> String {
    match tag {
        ES => {
            let (head, inner) = contents.split_at(3);
            format!("stream {} ({})", hex(head), descriptors(inner, coded))
        }
        DECODER_CONFIG => {
            let (head, inner) = contents.split_at(13);
            // Buffer size and bit rates.
            let rates = if coded == Coded::Shown { hex(&head[2..]) } else { "~".to_owned() };
            format!(
                "object {:02x} kind {:02x} rates {rates} ({})",
                head[0],
                head[1],
                descriptors(inner, coded)
            )
        }
        SPECIFIC_INFO => format!("specific {}", hex(contents)),
        other => format!("descriptor {other:02x} {}", hex(contents)),
    }
}
